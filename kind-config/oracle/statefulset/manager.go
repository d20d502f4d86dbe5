//go:build !kubernetes136

package statefulset

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/controller/statefulset"
)

func (w *objects) manager() statefulset.StatefulPodControlObjectManager { return manager{w} }

// manager is what the controller asks for pods and claims, as of 1.34 and 1.35.
type manager struct{ *objects }

func (m manager) CreatePod(_ context.Context, pod *corev1.Pod) error { return m.created(pod) }
func (m manager) GetPod(_, name string) (*corev1.Pod, error)         { return m.found(name) }
func (m manager) UpdatePod(*corev1.Pod) error                        { return nil }
func (m manager) DeletePod(pod *corev1.Pod) error                    { return m.deleted(pod) }
func (m manager) CreateClaim(*corev1.PersistentVolumeClaim) error    { return nil }
func (m manager) GetClaim(_, _ string) (*corev1.PersistentVolumeClaim, error) {
	return &corev1.PersistentVolumeClaim{}, nil
}
func (m manager) UpdateClaim(*corev1.PersistentVolumeClaim) error { return nil }
