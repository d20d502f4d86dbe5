package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
)

// As kind's /etc/crictl.yaml has it.
const containerd = "unix:///run/containerd/containerd.sock"

// crictl stands in for the two calls of cri-tools' program that kind makes. `kind load` asks a node by
// `crictl inspecti IMAGE` whether an image is there, and under which names; `kind export logs` lists them.
func crictl() {
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 2 && arguments[0] == "inspecti":
		err = inspect(arguments[1])
	case len(arguments) == 1 && arguments[0] == "images":
		err = list()
	default:
		err = fmt.Errorf("this crictl knows `inspecti IMAGE` and `images`, not %q", arguments)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crictl:", err)
		os.Exit(1)
	}
}

func inspect(name string) error {
	images, err := remote.NewRemoteImageService(containerd, 10*time.Second, nil, nil)
	if err != nil {
		return err
	}
	found, err := images.ImageStatus(context.Background(), &runtime.ImageSpec{Image: name}, false)
	if err != nil {
		return err
	}
	if found.Image == nil {
		return fmt.Errorf("no such image %q present", name)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"status": map[string]any{
		"id":          found.Image.Id,
		"repoTags":    found.Image.RepoTags,
		"repoDigests": found.Image.RepoDigests,
		"size":        fmt.Sprint(found.Image.Size),
	}})
}

func list() error {
	images, err := remote.NewRemoteImageService(containerd, 10*time.Second, nil, nil)
	if err != nil {
		return err
	}
	all, err := images.ListImages(context.Background(), nil)
	if err != nil {
		return err
	}
	for _, image := range all {
		fmt.Println(image.Id, image.Size, image.RepoTags)
	}
	return nil
}
