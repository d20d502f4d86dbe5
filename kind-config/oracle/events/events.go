// Package events holds a client of the events API that forgets what it is told.
package events

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
)

// None takes events and forgets them.
type None struct{ typedcore.EventInterface }

// Events is itself, for any namespace.
func (e None) Events(string) typedcore.EventInterface { return e }

// CreateWithEventNamespace forgets the event.
func (None) CreateWithEventNamespace(event *corev1.Event) (*corev1.Event, error) {
	return event, nil
}

// CreateWithEventNamespaceWithContext forgets the event.
func (None) CreateWithEventNamespaceWithContext(_ context.Context, event *corev1.Event) (*corev1.Event, error) {
	return event, nil
}

// PatchWithEventNamespace forgets the event.
func (None) PatchWithEventNamespace(event *corev1.Event, _ []byte) (*corev1.Event, error) {
	return event, nil
}

// PatchWithEventNamespaceWithContext forgets the event.
func (None) PatchWithEventNamespaceWithContext(_ context.Context, event *corev1.Event, _ []byte) (*corev1.Event, error) {
	return event, nil
}

// UpdateWithEventNamespace forgets the event.
func (None) UpdateWithEventNamespace(event *corev1.Event) (*corev1.Event, error) {
	return event, nil
}
