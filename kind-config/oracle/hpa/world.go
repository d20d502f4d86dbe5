package hpa

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/scale"
	customapi "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	customclient "k8s.io/metrics/pkg/client/custom_metrics"
	externalclient "k8s.io/metrics/pkg/client/external_metrics"
)

const namespace = "default"

// world is what is so at an instant, and every client that the controller is given.
type world struct {
	origin      time.Time
	spec        int32
	status      int32
	follows     bool
	selector    string
	getError    string
	updateError string
	pods        []*corev1.Pod
	known       map[string]corev1.PodSpec
	crowd       *Alike
	samples     []Sample
	samplesErr  string
	custom      []Custom
	external    []External
	rivals      map[string]string
	// What the controller made of the scale since the last sync.
	decided *int32
}

func newWorld(origin time.Time) *world {
	return &world{origin: origin, follows: true, selector: "app=target", known: map[string]corev1.PodSpec{}, rivals: map[string]string{}}
}

// instant is a time as it travels through the API: without fractions of a second.
func (w *world) instant(at float64) metav1.Time {
	return metav1.NewTime(w.origin.Add(time.Duration(math.Floor(at)) * time.Second))
}

func (w *world) apply(record *Record) {
	if scale := record.Scale; scale != nil {
		if scale.Spec != nil {
			w.spec, w.status = *scale.Spec, *scale.Spec
		}
		set(&w.status, scale.Status)
		set(&w.follows, scale.Follows)
		set(&w.selector, scale.Selector)
		set(&w.getError, scale.GetError)
		set(&w.updateError, scale.UpdateError)
	}
	if record.Pods != nil {
		w.pods, w.crowd = nil, nil
		for i := range *record.Pods {
			w.pods = append(w.pods, w.pod(&(*record.Pods)[i]))
		}
		for _, pod := range w.pods {
			w.known[pod.Name] = pod.Spec
		}
	}
	if record.AsManyAsReplicas != nil {
		w.crowd = record.AsManyAsReplicas
	}
	if record.Samples != nil {
		w.samples = *record.Samples
	}
	set(&w.samplesErr, record.SamplesError)
	set(&w.custom, record.Custom)
	set(&w.external, record.External)
	for _, rival := range record.Rivals {
		w.rivals[rival.Name] = rival.Selector
	}
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// gather makes the pods of a crowd, and their samples as of the coming sync.
func (w *world) gather(at float64) {
	if w.crowd == nil {
		return
	}
	w.pods = nil
	for index := range w.spec {
		pod := w.pod(&w.crowd.Pod)
		pod.Name = fmt.Sprintf("%s-%d", w.crowd.Pod.Name, index)
		w.pods = append(w.pods, pod)
	}
	if len(w.crowd.TotalUsage) == 0 {
		return
	}
	share := map[string]resource.Quantity{}
	for name, total := range w.crowd.TotalUsage {
		count := max(int64(w.spec), 1)
		share[name] = *resource.NewMilliQuantity((total.MilliValue()+count-1)/count, resource.DecimalSI)
	}
	w.samples = nil
	for _, pod := range w.pods {
		container := "app"
		if len(pod.Spec.Containers) > 0 {
			container = pod.Spec.Containers[0].Name
		}
		w.samples = append(w.samples, Sample{Pod: pod.Name, Timestamp: at, Containers: []Usage{{Name: container, Usage: share}}})
	}
}

func list(from map[string]resource.Quantity) corev1.ResourceList {
	resources := corev1.ResourceList{}
	for name, quantity := range from {
		resources[corev1.ResourceName(name)] = quantity
	}
	return resources
}

func containers(from []Container) []corev1.Container {
	var all []corev1.Container
	for _, one := range from {
		container := corev1.Container{Name: one.Name, Resources: corev1.ResourceRequirements{Requests: list(one.Requests)}}
		if one.RestartPolicy != nil {
			policy := corev1.ContainerRestartPolicy(*one.RestartPolicy)
			container.RestartPolicy = &policy
		}
		all = append(all, container)
	}
	return all
}

func (w *world) pod(from *Pod) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: from.Name, Namespace: namespace, Labels: from.Labels}}
	if pod.Labels == nil {
		pod.Labels = map[string]string{"app": "target"}
	}
	if from.Deleting {
		pod.DeletionTimestamp = &metav1.Time{Time: w.origin}
	}
	if from.Containers == nil {
		pod.Spec = w.known[from.Name]
	} else {
		pod.Spec = corev1.PodSpec{Containers: containers(*from.Containers), InitContainers: containers(from.InitContainers)}
		if from.Requests != nil {
			pod.Spec.Resources = &corev1.ResourceRequirements{Requests: list(from.Requests)}
		}
		if len(from.Overhead) > 0 {
			pod.Spec.Overhead = list(from.Overhead)
		}
	}
	pod.Status.Phase = corev1.PodPhase(from.Phase)
	if from.Phase == "" {
		pod.Status.Phase = corev1.PodRunning
	}
	since := w.instant(0)
	if from.StartTime != nil {
		started := w.instant(*from.StartTime)
		pod.Status.StartTime, since = &started, started
	}
	if from.ReadySince != nil {
		since = w.instant(*from.ReadySince)
	}
	if from.Ready != nil {
		condition := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionStatus(*from.Ready), LastTransitionTime: since}
		pod.Status.Conditions = []corev1.PodCondition{condition}
	}
	return pod
}

// bears tells whether what is named like a pod bears the labels; what is named like none does.
func (w *world) bears(name string, selector labels.Selector) bool {
	for _, pod := range w.pods {
		if pod.Name == name {
			return selector.Matches(labels.Set(pod.Labels))
		}
	}
	return true
}

// podLister is the lister of the pod informer. Pods come in the order of the records.
type podLister struct{ *world }

func (l podLister) List(selector labels.Selector) ([]*corev1.Pod, error) {
	var pods []*corev1.Pod
	for _, pod := range l.pods {
		if selector.Matches(labels.Set(pod.Labels)) {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

func (l podLister) Get(name string) (*corev1.Pod, error) {
	return nil, fmt.Errorf("pod %s is not asked for by name", name)
}

func (l podLister) Pods(string) corelisters.PodNamespaceLister { return l }

// scales is the scale client of the target and of the rivals' targets.
type scales struct {
	scale.ScaleInterface
	*world
}

func (s scales) Scales(string) scale.ScaleInterface { return s }

func (s scales) Get(_ context.Context, _ schema.GroupResource, name string, _ metav1.GetOptions) (*autoscalingv1.Scale, error) {
	found := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	if selector, rival := s.rivals[name]; rival {
		found.Spec.Replicas, found.Status = 1, autoscalingv1.ScaleStatus{Replicas: 1, Selector: selector}
		return found, nil
	}
	if s.getError != "" {
		return nil, errors.New(s.getError)
	}
	found.Spec.Replicas, found.Status = s.spec, autoscalingv1.ScaleStatus{Replicas: s.status, Selector: s.selector}
	return found, nil
}

func (s scales) Update(_ context.Context, _ schema.GroupResource, wanted *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	if _, rival := s.rivals[wanted.Name]; rival {
		return wanted, nil
	}
	if s.updateError != "" {
		return nil, errors.New(s.updateError)
	}
	replicas := wanted.Spec.Replicas
	s.decided = &replicas
	return wanted, nil
}

// podMetrics is the client of metrics.k8s.io.
type podMetrics struct {
	resourceclient.PodMetricsInterface
	*world
}

func (m podMetrics) PodMetricses(string) resourceclient.PodMetricsInterface { return m }

func (m podMetrics) List(_ context.Context, options metav1.ListOptions) (*metricsapi.PodMetricsList, error) {
	if m.samplesErr != "" {
		return nil, errors.New(m.samplesErr)
	}
	selector, err := labels.Parse(options.LabelSelector)
	if err != nil {
		return nil, err
	}
	all := &metricsapi.PodMetricsList{}
	for _, sample := range m.samples {
		if !m.bears(sample.Pod, selector) {
			continue
		}
		window := 15.0
		set(&window, sample.Window)
		one := metricsapi.PodMetrics{
			ObjectMeta: metav1.ObjectMeta{Name: sample.Pod, Namespace: namespace},
			Timestamp:  m.instant(sample.Timestamp),
			Window:     metav1.Duration{Duration: time.Duration(window * float64(time.Second))},
		}
		for _, container := range sample.Containers {
			one.Containers = append(one.Containers, metricsapi.ContainerMetrics{Name: container.Name, Usage: list(container.Usage)})
		}
		all.Items = append(all.Items, one)
	}
	return all, nil
}

// customMetrics is the client of custom.metrics.k8s.io.
type customMetrics struct{ *world }

var errNoCustom = errors.New("no custom metrics API (custom.metrics.k8s.io) registered")

func (c customMetrics) RootScopedMetrics() customclient.MetricsInterface       { return c }
func (c customMetrics) NamespacedMetrics(string) customclient.MetricsInterface { return c }

func (c customMetrics) GetForObject(kind schema.GroupKind, name, metric string, selector labels.Selector) (*customapi.MetricValue, error) {
	for _, one := range c.custom {
		if one.Metric != metric || one.Selector != selector.String() {
			continue
		}
		if one.Error != nil {
			return nil, errors.New(*one.Error)
		}
		if one.Object != nil && one.Object.Kind == kind.Kind && one.Object.Name == name {
			return &customapi.MetricValue{Value: *one.Value}, nil
		}
	}
	return nil, errNoCustom
}

func (c customMetrics) GetForObjects(_ schema.GroupKind, pods labels.Selector, metric string, selector labels.Selector) (*customapi.MetricValueList, error) {
	for _, one := range c.custom {
		if one.Metric != metric || one.Selector != selector.String() {
			continue
		}
		if one.Error != nil {
			return nil, errors.New(*one.Error)
		}
		if one.Pods == nil {
			continue
		}
		all := &customapi.MetricValueList{}
		for name, value := range one.Pods {
			if c.bears(name, pods) {
				all.Items = append(all.Items, customapi.MetricValue{DescribedObject: corev1.ObjectReference{Name: name}, Value: value})
			}
		}
		return all, nil
	}
	return nil, errNoCustom
}

// externalMetrics is the client of external.metrics.k8s.io.
type externalMetrics struct{ *world }

func (e externalMetrics) NamespacedMetrics(string) externalclient.MetricsInterface { return e }

func (e externalMetrics) List(metric string, selector labels.Selector) (*externalapi.ExternalMetricValueList, error) {
	for _, one := range e.external {
		if one.Metric != metric || one.Selector != selector.String() {
			continue
		}
		if one.Error != nil {
			return nil, errors.New(*one.Error)
		}
		all := &externalapi.ExternalMetricValueList{}
		for _, value := range one.Values {
			all.Items = append(all.Items, externalapi.ExternalMetricValue{MetricName: metric, Value: value})
		}
		return all, nil
	}
	return nil, fmt.Errorf("the server could not find the requested resource (get %s.external.metrics.k8s.io)", metric)
}
