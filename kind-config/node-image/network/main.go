// Command network connects a node's pods with those of the other nodes. On its own node it writes the CNI
// configuration for the node's pod range; for every other node it keeps a route to that node's range; and its firewall
// rules say under which address pods leave the cluster.
//
// It takes the place of kindnet, which is published as an image only. NetworkPolicies are firewall rules of the node that a
// pod is on (policy.go). What it lacks: it knows IPv4 only and restores no rule that somebody deletes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	core "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// containerd reads the first file of this folder by name. kind's entrypoint and `kind export logs` know this one.
const configuration = "/etc/cni/net.d/10-kindnet.conflist"

// settings is what network.yaml and kind tell by environment variables.
type settings struct{ hostIP, podSubnet, serviceSubnet, server string }

func fromEnvironment() (settings, error) {
	s := settings{
		hostIP:        os.Getenv("HOST_IP"),
		podSubnet:     os.Getenv("POD_SUBNET"),
		serviceSubnet: os.Getenv("SERVICE_SUBNET"),
		server:        os.Getenv("CONTROL_PLANE_ENDPOINT"),
	}
	if net.ParseIP(s.hostIP) == nil {
		return s, fmt.Errorf("HOST_IP is %q, not an address", s.hostIP)
	}
	for name, value := range map[string]string{"POD_SUBNET": s.podSubnet, "SERVICE_SUBNET": s.serviceSubnet} {
		if _, _, err := net.ParseCIDR(value); err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

// pointToPoint gives every pod a link of its own to the node, and an address of the node's range.
func pointToPoint(podRange string) ([]byte, error) {
	type object = map[string]any
	return json.MarshalIndent(object{
		"cniVersion": "0.3.1",
		"name":       "kindnet",
		"plugins": []object{
			{
				"type": "ptp",
				"ipam": object{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"routes":  []object{{"dst": "0.0.0.0/0"}},
					"ranges":  [][]object{{{"subnet": podRange}}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
}

// The file appears whole or not at all: the runtime watches the folder, and a node is Ready once it can read this.
func configure(podRange string) error {
	text, err := pointToPoint(podRange)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(configuration); err == nil && string(old) == string(text) {
		return nil
	}
	unfinished := configuration + ".new"
	if err := os.WriteFile(unfinished, text, 0o644); err != nil {
		return err
	}
	return os.Rename(unfinished, configuration)
}

// firewall replaces our own table in one transaction. A pod talks to what is outside the cluster under its node's
// address. A Service's address that kube-proxy has not translated (yet) is refused: it would leave by the default route,
// and where the network outside answers for any address, such a connection would never notice that it met a stranger.
func firewall(s settings) error {
	rules := exec.Command("nft", "-f", "-")
	rules.Stdin = strings.NewReader(fmt.Sprintf(`
add table ip kindnet
delete table ip kindnet
table ip kindnet {
  chain postrouting {
    type nat hook postrouting priority srcnat - 5; policy accept;
    ip saddr %[1]s ip daddr != %[1]s fib daddr type != local masquerade
  }
  chain output {
    type filter hook output priority filter; policy accept;
    ip daddr %[2]s reject
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    ip daddr %[2]s reject
  }
}`, s.podSubnet, s.serviceSubnet))
	if told, err := rules.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, told)
	}
	return nil
}

func address(node *core.Node) string {
	for _, known := range node.Status.Addresses {
		if known.Type == core.NodeInternalIP {
			return known.Address
		}
	}
	return ""
}

// follow brings this node in line with what is known of one node: itself or another.
func follow(node *core.Node, hostIP string) error {
	at := address(node)
	if at == "" || node.Spec.PodCIDR == "" {
		return nil // cannot be reached yet; another event will tell
	}
	if at == hostIP {
		return configure(node.Spec.PodCIDR)
	}
	_, pods, err := net.ParseCIDR(node.Spec.PodCIDR)
	if err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{Dst: pods, Gw: net.ParseIP(at)})
}

func forget(node *core.Node) error {
	_, pods, err := net.ParseCIDR(node.Spec.PodCIDR)
	if err != nil {
		return nil // it never had a route
	}
	if err := netlink.RouteDel(&netlink.Route{Dst: pods}); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

func run(ctx context.Context) error {
	s, err := fromEnvironment()
	if err != nil {
		return err
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	// The API server's Service works once kube-proxy does, and kube-proxy may come later than we.
	if s.server != "" {
		config.Host = "https://" + s.server
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := firewall(s); err != nil {
		return err
	}

	told := func(node *core.Node, err error) {
		if err != nil {
			log.Printf("node %s: %v", node.Name, err)
		}
	}
	changed := func(object any) {
		if node, ok := object.(*core.Node); ok {
			told(node, follow(node, s.hostIP))
		}
	}
	// What failed is tried again with the next event, or with the next round of all nodes.
	factory := informers.NewSharedInformerFactory(client, time.Minute)
	_, err = factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, object any) { changed(object) },
		DeleteFunc: func(object any) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			if node, ok := object.(*core.Node); ok {
				told(node, forget(node))
			}
		},
	})
	if err != nil {
		return err
	}
	if err := enforce(ctx, factory, s.hostIP); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}
