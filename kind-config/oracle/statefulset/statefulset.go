// Package statefulset asks the StatefulSet controller for one sync: a set and its pods as they are in, what it creates and
// deletes out.
package statefulset

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"
	"unicode"

	apps "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/record"
	"k8s.io/kubernetes/pkg/controller/history"
	"k8s.io/kubernetes/pkg/controller/statefulset"
)

const namespace = "default"

// Case is a StatefulSet with template 0 as its current one.
type Case struct {
	Replicas  int32 `json:"replicas"`
	Parallel  bool  `json:"parallel"`
	Partition int32 `json:"partition"`
	OnDelete  bool  `json:"onDelete"`
	// Update is the template that is wanted, 0 or 1.
	Update int `json:"update"`
	// Pods has a letter for each ordinal: a for available, u for unready, e for ending and ready, x for ending and
	// unready, - for none. Capitals have template 1.
	Pods string `json:"pods"`
}

// objects records what is done to pods.
type objects struct {
	revisions []string
	pods      map[string]*corev1.Pod
	// A parallel set makes and deletes pods at once.
	lock sync.Mutex
	did  []string
}

// Run answers every case.
func Run(_ *testing.T, cases []json.RawMessage, answer func(any)) {
	for number, raw := range cases {
		var one Case
		if err := json.Unmarshal(raw, &one); err != nil {
			log.Fatalf("case %d: %v", number+1, err)
		}
		answer(play(&one))
	}
}

type noStatus struct{}

func (noStatus) UpdateStatefulSetStatus(context.Context, *apps.StatefulSet, *apps.StatefulSetStatus) error {
	return nil
}

func play(c *Case) []string {
	world := &objects{pods: map[string]*corev1.Pod{}, did: []string{}}
	kept := history.NewFakeHistory(informers.NewSharedInformerFactory(nil, 0).Apps().V1().ControllerRevisions())
	pods := statefulset.NewStatefulPodControlFromManager(world.manager(), &record.FakeRecorder{})
	control := statefulset.NewDefaultStatefulSetControl(pods, noStatus{}, kept)
	// Two syncs of an empty set make the revisions of both templates.
	for template := range 2 {
		set := newSet(&Case{}, template)
		world.revisions = append(world.revisions, update(control, set, nil).UpdateRevision)
	}
	set := newSet(c, c.Update)
	set.Status.CurrentRevision = world.revisions[0]
	set.Status.UpdateRevision = world.revisions[c.Update]
	var all []*corev1.Pod
	for ordinal, letter := range c.Pods {
		if letter != '-' {
			pod := world.pod(set, ordinal, letter)
			world.pods[pod.Name] = pod
			all = append(all, pod)
		}
	}
	world.did = []string{}
	update(control, set, all)
	return world.did
}

// update calls UpdateStatefulSet, which is told the time from 1.35 on, and gives the status that it made.
func update(control statefulset.StatefulSetControlInterface, set *apps.StatefulSet, pods []*corev1.Pod) *apps.StatefulSetStatus {
	method := reflect.ValueOf(control).MethodByName("UpdateStatefulSet")
	args := []any{context.Background(), set, pods, time.Now()}
	values := []reflect.Value{}
	for _, arg := range args[:method.Type().NumIn()] {
		values = append(values, reflect.ValueOf(arg))
	}
	told := method.Call(values)
	if err := told[1]; !err.IsNil() {
		log.Fatal(err)
	}
	return told[0].Interface().(*apps.StatefulSetStatus)
}

func newSet(c *Case, template int) *apps.StatefulSet {
	selector := map[string]string{"app": "db"}
	policy := apps.OrderedReadyPodManagement
	if c.Parallel {
		policy = apps.ParallelPodManagement
	}
	strategy := apps.StatefulSetUpdateStrategy{
		Type:          apps.RollingUpdateStatefulSetStrategyType,
		RollingUpdate: &apps.RollingUpdateStatefulSetStrategy{Partition: &c.Partition},
	}
	if c.OnDelete {
		strategy = apps.StatefulSetUpdateStrategy{Type: apps.OnDeleteStatefulSetStrategyType}
	}
	limit := int32(10)
	return &apps.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: namespace, UID: "set", Generation: int64(template + 1)},
		Spec: apps.StatefulSetSpec{
			Replicas: &c.Replicas, Selector: &metav1.LabelSelector{MatchLabels: selector}, PodManagementPolicy: policy,
			UpdateStrategy: strategy, RevisionHistoryLimit: &limit, ServiceName: "db",
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: selector},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "db", Image: "db:" + strconv.Itoa(template)}}},
			},
		},
	}
}

func (w *objects) pod(set *apps.StatefulSet, ordinal int, letter rune) *corev1.Pod {
	template := 0
	if unicode.IsUpper(letter) {
		template = 1
	}
	state := unicode.ToLower(letter)
	ready := corev1.ConditionFalse
	if state == 'a' || state == 'e' {
		ready = corev1.ConditionTrue
	}
	name := fmt.Sprintf("db-%d", ordinal)
	yes := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace, UID: "pod",
			Labels: labels.Set{
				"app": "db", apps.ControllerRevisionHashLabelKey: w.revisions[template],
				apps.StatefulSetPodNameLabel: name, apps.PodIndexLabel: strconv.Itoa(ordinal),
			},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: set.Name, UID: set.UID, Controller: &yes}},
		},
		Spec:   corev1.PodSpec{Hostname: name, Subdomain: "db", Containers: []corev1.Container{{Name: "db", Image: "db:" + strconv.Itoa(template)}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	}
	if state == 'e' || state == 'x' {
		now := metav1.Now()
		pod.DeletionTimestamp = &now
	}
	return pod
}

func (w *objects) created(pod *corev1.Pod) error {
	template := 0
	if pod.Labels[apps.ControllerRevisionHashLabelKey] == w.revisions[1] {
		template = 1
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	w.did = append(w.did, fmt.Sprintf("create %s %d", pod.Name[len("db-"):], template))
	return nil
}

func (w *objects) deleted(pod *corev1.Pod) error {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.did = append(w.did, "delete "+pod.Name[len("db-"):])
	return nil
}

func (w *objects) found(name string) (*corev1.Pod, error) {
	if pod, ok := w.pods[name]; ok {
		return pod, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, name)
}
