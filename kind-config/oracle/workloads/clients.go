package workloads

import (
	"context"
	"fmt"
	"strconv"
	"time"

	apps "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	policyclient "k8s.io/client-go/kubernetes/typed/policy/v1"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"
	"k8s.io/client-go/tools/cache"

	"rehearse/oracle/events"
)

// client is every client that the controllers are given.
type client struct {
	kubernetes.Interface
	*world
}

func (c client) AppsV1() appsclient.AppsV1Interface       { return appsClient{world: c.world} }
func (c client) CoreV1() coreclient.CoreV1Interface       { return coreClient{world: c.world} }
func (c client) PolicyV1() policyclient.PolicyV1Interface { return policyClient{world: c.world} }

type appsClient struct {
	appsclient.AppsV1Interface
	*world
}

func (c appsClient) Deployments(string) appsclient.DeploymentInterface {
	return deploymentClient{world: c.world}
}
func (c appsClient) ReplicaSets(string) appsclient.ReplicaSetInterface {
	return setClient{world: c.world}
}

type coreClient struct {
	coreclient.CoreV1Interface
	*world
}

func (c coreClient) Pods(string) coreclient.PodInterface     { return podClient{world: c.world} }
func (c coreClient) Events(string) coreclient.EventInterface { return events.None{} }

type policyClient struct {
	policyclient.PolicyV1Interface
	*world
}

func (c policyClient) PodDisruptionBudgets(string) policyclient.PodDisruptionBudgetInterface {
	return budgetClient{world: c.world}
}

type deploymentClient struct {
	appsclient.DeploymentInterface
	*world
}

func (c deploymentClient) Get(_ context.Context, name string, _ metav1.GetOptions) (*apps.Deployment, error) {
	return found[*apps.Deployment](c.server.deployments, name)
}

func (c deploymentClient) Update(_ context.Context, wanted *apps.Deployment, _ metav1.UpdateOptions) (*apps.Deployment, error) {
	return written(c.server.deployments, wanted, func(stored *apps.Deployment) {
		stored.Annotations, stored.Spec = wanted.Annotations, wanted.Spec
	})
}

// UpdateStatus takes annotations, too, as the API server's strategy does.
func (c deploymentClient) UpdateStatus(_ context.Context, wanted *apps.Deployment, _ metav1.UpdateOptions) (*apps.Deployment, error) {
	return written(c.server.deployments, wanted, func(stored *apps.Deployment) {
		stored.Annotations, stored.Status = wanted.Annotations, wanted.Status
	})
}

type setClient struct {
	appsclient.ReplicaSetInterface
	*world
}

func (c setClient) Get(_ context.Context, name string, _ metav1.GetOptions) (*apps.ReplicaSet, error) {
	return found[*apps.ReplicaSet](c.server.sets, name)
}

func (c setClient) List(context.Context, metav1.ListOptions) (*apps.ReplicaSetList, error) {
	all := &apps.ReplicaSetList{}
	for _, one := range c.server.sets.store.List() {
		all.Items = append(all.Items, *one.(*apps.ReplicaSet))
	}
	return all, nil
}

func (c setClient) Create(_ context.Context, wanted *apps.ReplicaSet, _ metav1.CreateOptions) (*apps.ReplicaSet, error) {
	if _, known := c.server.sets.get(wanted.Name); known {
		return nil, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "replicasets"}, wanted.Name)
	}
	c.setsMade++
	wanted = wanted.DeepCopy()
	wanted.UID = types.UID("set-" + strconv.Itoa(c.setsMade))
	wanted.CreationTimestamp = metav1.Now()
	labels := map[string]string{orderLabel: strconv.Itoa(c.setsMade)}
	for key, value := range wanted.Labels {
		labels[key] = value
	}
	wanted.Labels = labels
	return c.server.sets.create(wanted).(*apps.ReplicaSet), nil
}

func (c setClient) Update(_ context.Context, wanted *apps.ReplicaSet, _ metav1.UpdateOptions) (*apps.ReplicaSet, error) {
	return written(c.server.sets, wanted, func(stored *apps.ReplicaSet) {
		stored.Annotations, stored.Spec = wanted.Annotations, wanted.Spec
	})
}

func (c setClient) UpdateStatus(_ context.Context, wanted *apps.ReplicaSet, _ metav1.UpdateOptions) (*apps.ReplicaSet, error) {
	return written(c.server.sets, wanted, func(stored *apps.ReplicaSet) { stored.Status = wanted.Status })
}

func (c setClient) Delete(_ context.Context, name string, _ metav1.DeleteOptions) error {
	return c.server.sets.remove(name)
}

type podClient struct {
	coreclient.PodInterface
	*world
}

func (c podClient) Create(_ context.Context, wanted *corev1.Pod, _ metav1.CreateOptions) (*corev1.Pod, error) {
	return c.createPod(wanted)
}

func (c podClient) Delete(_ context.Context, name string, _ metav1.DeleteOptions) error {
	return c.deletePod(name)
}

func (c podClient) UpdateStatus(_ context.Context, wanted *corev1.Pod, _ metav1.UpdateOptions) (*corev1.Pod, error) {
	return written(c.server.pods, wanted, func(stored *corev1.Pod) { stored.Status = wanted.Status })
}

type budgetClient struct {
	policyclient.PodDisruptionBudgetInterface
	*world
}

func (c budgetClient) UpdateStatus(_ context.Context, wanted *policy.PodDisruptionBudget, _ metav1.UpdateOptions) (*policy.PodDisruptionBudget, error) {
	return written(c.server.budgets, wanted, func(stored *policy.PodDisruptionBudget) { stored.Status = wanted.Status })
}

func found[T object](in *informer, name string) (T, error) {
	one, ok := in.get(name)
	if !ok {
		var none T
		return none, apierrors.NewNotFound(schema.GroupResource{Resource: "objects"}, name)
	}
	return copied(one).(T), nil
}

func written[T object](in *informer, wanted T, change func(stored T)) (T, error) {
	one, err := in.write(wanted.GetName(), wanted.GetResourceVersion(), func(stored object) { change(stored.(T)) })
	if err != nil {
		var none T
		return none, err
	}
	return one.(T), nil
}

// What the controllers are given as informers.
type (
	deploymentInformer struct{ *informer }
	setInformer        struct{ *informer }
	podInformer        struct{ *informer }
	budgetInformer     struct{ *informer }
	rcInformer         struct{ *informer }
	statefulInformer   struct{ *informer }
)

func (i deploymentInformer) Informer() cache.SharedIndexInformer { return i.informer }
func (i deploymentInformer) Lister() appslisters.DeploymentLister {
	return appslisters.NewDeploymentLister(i.store)
}
func (i setInformer) Informer() cache.SharedIndexInformer { return i.informer }
func (i setInformer) Lister() appslisters.ReplicaSetLister {
	return appslisters.NewReplicaSetLister(i.store)
}
func (i podInformer) Informer() cache.SharedIndexInformer { return i.informer }
func (i podInformer) Lister() corelisters.PodLister       { return corelisters.NewPodLister(i.store) }
func (i budgetInformer) Informer() cache.SharedIndexInformer {
	return i.informer
}
func (i budgetInformer) Lister() policylisters.PodDisruptionBudgetLister {
	return policylisters.NewPodDisruptionBudgetLister(i.store)
}
func (i rcInformer) Informer() cache.SharedIndexInformer { return i.informer }
func (i rcInformer) Lister() corelisters.ReplicationControllerLister {
	return corelisters.NewReplicationControllerLister(i.store)
}
func (i statefulInformer) Informer() cache.SharedIndexInformer { return i.informer }
func (i statefulInformer) Lister() appslisters.StatefulSetLister {
	return appslisters.NewStatefulSetLister(i.store)
}

// createPod is admission, scheduler and kubelet in one: the pod is bound a millisecond later.
func (w *world) createPod(wanted *corev1.Pod) (*corev1.Pod, error) {
	w.making.Lock()
	defer w.making.Unlock()
	if w.c.Quota != nil && len(w.server.pods.store.List()) >= *w.c.Quota {
		return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web", fmt.Errorf("exceeded quota: pods"))
	}
	number := w.podsMade
	w.podsMade++
	pod := wanted.DeepCopy()
	pod.Name = fmt.Sprintf("%s%04d", pod.GenerateName, number)
	pod.Namespace = namespace
	pod.UID = types.UID(w.c.UIDs[number%len(w.c.UIDs)])
	now := metav1.Now()
	pod.CreationTimestamp = now
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "app"}}}
	fates := w.c.Templates[templateOf(&pod.Spec)]
	fate := fates[number%len(fates)]
	w.fates[pod.Name] = fate
	w.numbers[pod.Name] = number
	made := w.server.pods.create(pod).(*corev1.Pod)
	w.later(pod.Name, 1, func(pod *corev1.Pod) {
		now := metav1.Now()
		pod.Spec.NodeName = "node"
		pod.Status.StartTime = &now
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: now}}
	})
	if fate.Starts != nil {
		w.later(pod.Name, *fate.Starts, func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodRunning })
	}
	status := corev1.ConditionFalse
	for _, at := range fate.Ready {
		if status == corev1.ConditionTrue {
			status = corev1.ConditionFalse
		} else {
			status = corev1.ConditionTrue
		}
		turned := status
		w.later(pod.Name, at, func(pod *corev1.Pod) {
			pod.Status.Conditions[0].Status, pod.Status.Conditions[0].LastTransitionTime = turned, metav1.Now()
		})
	}
	for _, at := range fate.Restarts {
		w.later(pod.Name, at, func(pod *corev1.Pod) { pod.Status.ContainerStatuses[0].RestartCount++ })
	}
	return made, nil
}

// later changes a pod then, unless it is told to end before.
func (w *world) later(name string, after int64, change func(*corev1.Pod)) {
	time.AfterFunc(time.Duration(after)*time.Millisecond, func() {
		_, _ = w.server.pods.write(name, "", func(stored object) {
			if pod := stored.(*corev1.Pod); pod.DeletionTimestamp == nil {
				change(pod)
			}
		})
	})
}

// deletePod lets a pod end in its own time; one without a node goes at once.
func (w *world) deletePod(name string) error {
	if pod, ok := w.server.pods.get(name); ok && pod.(*corev1.Pod).Spec.NodeName == "" {
		return w.server.pods.remove(name)
	}
	_, err := w.server.pods.write(name, "", func(stored object) {
		pod := stored.(*corev1.Pod)
		if pod.DeletionTimestamp != nil {
			return
		}
		now, grace := metav1.Now(), int64(30)
		pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &now, &grace
		time.AfterFunc(time.Duration(w.fates[name].Ends)*time.Millisecond, func() { _ = w.server.pods.remove(name) })
	})
	return err
}
