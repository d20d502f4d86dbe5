package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os/exec"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
)

// Changes that come together are one new set of rules.
const together = 100 * time.Millisecond

// policies holds every NetworkPolicy against the pods of this node, as firewall rules. What comes from the node itself
// is never held back, or no kubelet could probe; nor are answers.
type policies struct {
	hostIP     string
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	policies   networkinglisters.NetworkPolicyLister
	wanted     chan struct{}
}

// enforce has the factory watch what policies are made of. The rules follow until the context ends.
func enforce(ctx context.Context, factory informers.SharedInformerFactory, hostIP string) error {
	p := &policies{
		hostIP:     hostIP,
		pods:       factory.Core().V1().Pods().Lister(),
		namespaces: factory.Core().V1().Namespaces().Lister(),
		policies:   factory.Networking().V1().NetworkPolicies().Lister(),
		wanted:     make(chan struct{}, 1),
	}
	changed := func() {
		select {
		case p.wanted <- struct{}{}:
		default:
		}
	}
	watched := []cache.SharedIndexInformer{
		factory.Core().V1().Pods().Informer(),
		factory.Core().V1().Namespaces().Informer(),
		factory.Networking().V1().NetworkPolicies().Informer(),
	}
	for _, informer := range watched {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { changed() },
			UpdateFunc: func(any, any) { changed() },
			DeleteFunc: func(any) { changed() },
		})
		if err != nil {
			return err
		}
	}
	go p.follow(ctx, watched)
	return nil
}

func (p *policies) follow(ctx context.Context, watched []cache.SharedIndexInformer) {
	for _, informer := range watched {
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			return
		}
	}
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wanted:
		}
		time.Sleep(together)
		rules := p.rules()
		if rules == last {
			continue
		}
		load := exec.CommandContext(ctx, "nft", "-f", "-")
		load.Stdin = strings.NewReader(rules)
		if told, err := load.CombinedOutput(); err != nil {
			log.Printf("policies: nft: %v: %s", err, told)
			continue
		}
		last = rules
	}
}

// rules is the whole table. A pod that no policy selects has no chain.
func (p *policies) rules() string {
	var chains, jumps strings.Builder
	pods, _ := p.pods.List(labels.Everything())
	all, _ := p.policies.List(labels.Everything())
	for _, pod := range pods {
		if pod.Status.HostIP != p.hostIP || !reachable(pod) {
			continue
		}
		for _, way := range []struct {
			kind        networking.PolicyType
			own, other  string
			permissions func(*networking.NetworkPolicy) []permission
		}{
			{networking.PolicyTypeIngress, "daddr", "saddr", ingress},
			{networking.PolicyTypeEgress, "saddr", "daddr", egress},
		} {
			held, lines := false, ""
			for _, policy := range all {
				if policy.Namespace != pod.Namespace || !selects(&policy.Spec.PodSelector, pod.Labels) || !has(policy, way.kind) {
					continue
				}
				held = true
				for _, permission := range way.permissions(policy) {
					lines += p.line(policy.Namespace, pod, way.kind, way.other, permission)
				}
			}
			if !held {
				continue
			}
			chain := fmt.Sprintf("%s-%s", way.own, pod.UID)
			fmt.Fprintf(&chains, "  chain %s {\n%s    drop\n  }\n", chain, lines)
			fmt.Fprintf(&jumps, "    ip %s %s jump %s\n", way.own, pod.Status.PodIP, chain)
		}
	}
	return fmt.Sprintf(`add table ip policies
delete table ip policies
table ip policies {
%s  chain forward {
    type filter hook forward priority filter - 1; policy accept;
    ct direction reply accept
%s  }
}`, chains.String(), jumps.String())
}

// permission is one rule of a policy, whichever way it goes.
type permission struct {
	peers []networking.NetworkPolicyPeer
	ports []networking.NetworkPolicyPort
}

func ingress(policy *networking.NetworkPolicy) (all []permission) {
	for _, rule := range policy.Spec.Ingress {
		all = append(all, permission{rule.From, rule.Ports})
	}
	return all
}

func egress(policy *networking.NetworkPolicy) (all []permission) {
	for _, rule := range policy.Spec.Egress {
		all = append(all, permission{rule.To, rule.Ports})
	}
	return all
}

func has(policy *networking.NetworkPolicy, kind networking.PolicyType) bool {
	for _, one := range policy.Spec.PolicyTypes {
		if one == kind {
			return true
		}
	}
	return false
}

// line is what a permission lets through: each of its peers at each of its ports; everybody, everywhere if it names none.
func (p *policies) line(namespace string, pod *core.Pod, way networking.PolicyType, side string, granted permission) string {
	from := []string{""}
	if len(granted.peers) > 0 {
		var addresses []string
		from = nil
		for _, peer := range granted.peers {
			if block := peer.IPBlock; block != nil {
				match := fmt.Sprintf("ip %s %s ", side, block.CIDR)
				if len(block.Except) > 0 {
					match += fmt.Sprintf("ip %s != { %s } ", side, strings.Join(block.Except, ", "))
				}
				from = append(from, match)
				continue
			}
			addresses = append(addresses, p.addresses(namespace, peer)...)
		}
		if len(addresses) > 0 {
			from = append(from, fmt.Sprintf("ip %s { %s } ", side, strings.Join(addresses, ", ")))
		}
	}
	at := []string{""}
	if len(granted.ports) > 0 {
		at = nil
		for _, port := range granted.ports {
			at = append(at, match(pod, way, port)...)
		}
	}
	lines := ""
	for _, peer := range from {
		for _, port := range at {
			lines += fmt.Sprintf("    %s%saccept\n", peer, port)
		}
	}
	return lines
}

func (p *policies) addresses(namespace string, peer networking.NetworkPolicyPeer) (all []string) {
	pods, _ := p.pods.List(labels.Everything())
	for _, pod := range pods {
		if !reachable(pod) || peer.PodSelector != nil && !selects(peer.PodSelector, pod.Labels) {
			continue
		}
		if peer.NamespaceSelector == nil {
			if pod.Namespace != namespace {
				continue
			}
		} else if at, err := p.namespaces.Get(pod.Namespace); err != nil || !selects(peer.NamespaceSelector, at.Labels) {
			continue
		}
		all = append(all, pod.Status.PodIP)
	}
	return all
}

// match is a port as a rule has it. A name means what the pod calls so; of egress, whose pods are many, none is known.
func match(pod *core.Pod, way networking.PolicyType, port networking.NetworkPolicyPort) (all []string) {
	protocol := "tcp"
	if port.Protocol != nil {
		protocol = strings.ToLower(string(*port.Protocol))
	}
	switch {
	case port.Port == nil:
		return []string{fmt.Sprintf("meta l4proto %s ", protocol)}
	case port.Port.Type == intstr.Int && port.EndPort != nil:
		return []string{fmt.Sprintf("%s dport %d-%d ", protocol, port.Port.IntVal, *port.EndPort)}
	case port.Port.Type == intstr.Int:
		return []string{fmt.Sprintf("%s dport %d ", protocol, port.Port.IntVal)}
	case way == networking.PolicyTypeIngress:
		for _, container := range pod.Spec.Containers {
			for _, named := range container.Ports {
				if named.Name == port.Port.StrVal {
					all = append(all, fmt.Sprintf("%s dport %d ", protocol, named.ContainerPort))
				}
			}
		}
	}
	return all
}

// A pod of the node's own network is the node: no policy is for it.
func reachable(pod *core.Pod) bool {
	ended := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
	return !pod.Spec.HostNetwork && !ended && net.ParseIP(pod.Status.PodIP) != nil
}

func selects(selector *meta.LabelSelector, of map[string]string) bool {
	known, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && known.Matches(labels.Set(of))
}
