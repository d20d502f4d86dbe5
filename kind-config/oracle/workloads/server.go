package workloads

import (
	"encoding/json"
	"log"
	"sort"
	"strconv"
	"sync"
	"testing/synctest"

	apps "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
)

// Controllers hear of changes in this order, each after those before it have come to rest. In a cluster their order
// within some milliseconds is chance; this is one of the orders it may have.
const (
	replicaSets = iota
	deployments
	disruption
	controllers
)

type object interface {
	metav1.Object
	runtime.Object
}

// server is the API server, as far as these controllers need one: it keeps objects as they travel (times in whole
// seconds), counts versions and generations, refuses stale writes, and tells whoever watches.
type server struct {
	lock    sync.Mutex
	version int
	// Who watches from now on.
	watcher int
	told    [controllers][]event
	wake    chan struct{}
	asked   chan chan struct{}
	stopped <-chan struct{}

	deployments, sets, pods, budgets, others *informer
}

// An event waits to be told. Events of one instant are told in the order in which the ReplicaSets concerned were made.
type event struct {
	order int
	tell  func()
}

func newServer(stopped <-chan struct{}) *server {
	s := &server{wake: make(chan struct{}, 1), asked: make(chan chan struct{}), stopped: stopped}
	for _, one := range []**informer{&s.deployments, &s.sets, &s.pods, &s.budgets, &s.others} {
		*one = &informer{server: s, store: ordered{cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})}}
	}
	return s
}

// deliver tells what there is to tell, whenever there is something.
func (s *server) deliver() {
	for {
		select {
		case <-s.stopped:
			return
		case <-s.wake:
			s.drain()
		case done := <-s.asked:
			s.drain()
			close(done)
		}
	}
}

// drain returns when everybody is at rest.
func (s *server) drain() {
	for {
		synctest.Wait()
		events := s.next()
		if events == nil {
			return
		}
		for _, one := range events {
			one.tell()
		}
	}
}

func (s *server) next() []event {
	s.lock.Lock()
	defer s.lock.Unlock()
	for controller, events := range s.told {
		if len(events) > 0 {
			s.told[controller] = nil
			sort.SliceStable(events, func(i, j int) bool { return events[i].order < events[j].order })
			return events
		}
	}
	return nil
}

// rest waits until everybody is at rest.
func (s *server) rest() {
	done := make(chan struct{})
	s.asked <- done
	<-done
}

// informer holds the objects of one kind and tells of their changes.
type informer struct {
	cache.SharedIndexInformer
	server   *server
	store    cache.Indexer
	handlers []handler
}

// ordered lists objects by UID. A real indexer lists them in the order of a map, which decides between pods that are
// equal in everything that the controllers look at.
type ordered struct{ cache.Indexer }

func byUID(all []any) []any {
	sort.Slice(all, func(i, j int) bool { return all[i].(object).GetUID() < all[j].(object).GetUID() })
	return all
}

func (o ordered) List() []any { return byUID(o.Indexer.List()) }

func (o ordered) Index(name string, like any) ([]any, error) {
	all, err := o.Indexer.Index(name, like)
	return byUID(all), err
}

func (o ordered) ByIndex(name, value string) ([]any, error) {
	all, err := o.Indexer.ByIndex(name, value)
	return byUID(all), err
}

type handler struct {
	controller int
	cache.ResourceEventHandler
}

func (i *informer) HasSynced() bool                       { return true }
func (i *informer) GetIndexer() cache.Indexer             { return i.store }
func (i *informer) GetStore() cache.Store                 { return i.store }
func (i *informer) AddIndexers(more cache.Indexers) error { return i.store.AddIndexers(more) }

func (i *informer) AddEventHandler(one cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	i.handlers = append(i.handlers, handler{i.server.watcher, one})
	return nil, nil
}

func (i *informer) tell(about object, call func(cache.ResourceEventHandler)) {
	for _, one := range i.handlers {
		i.server.told[one.controller] = append(i.server.told[one.controller], event{i.server.order(about), func() { call(one.ResourceEventHandler) }})
	}
	select {
	case i.server.wake <- struct{}{}:
	default:
	}
}

// order is the place of the ReplicaSet that an object is or belongs to.
func (s *server) order(about object) int {
	if owner := metav1.GetControllerOf(about); owner != nil && owner.Kind == "ReplicaSet" {
		set, ok, _ := s.sets.store.GetByKey(about.GetNamespace() + "/" + owner.Name)
		if !ok {
			return 0
		}
		about = set.(object)
	}
	order, _ := strconv.Atoi(about.GetLabels()[orderLabel])
	return order
}

const orderLabel = "rehearse/order"

func (i *informer) get(name string) (object, bool) {
	found, ok, _ := i.store.GetByKey(namespace + "/" + name)
	if !ok {
		return nil, false
	}
	return found.(object), true
}

// create keeps a new object.
func (i *informer) create(one object) object {
	i.server.lock.Lock()
	defer i.server.lock.Unlock()
	one = canonical(one)
	one.SetGeneration(1)
	i.keep(one)
	i.tell(one, func(h cache.ResourceEventHandler) { h.OnAdd(one, false) })
	return copied(one)
}

func (i *informer) keep(one object) {
	i.server.version++
	one.SetResourceVersion(strconv.Itoa(i.server.version))
	if err := i.store.Update(one); err != nil {
		log.Fatal(err)
	}
}

// write replaces an object by what `change` makes of the stored one. A write that changes nothing is none.
func (i *informer) write(name, version string, change func(stored object)) (object, error) {
	i.server.lock.Lock()
	defer i.server.lock.Unlock()
	old, ok := i.get(name)
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "objects"}, name)
	}
	if version != "" && version != old.GetResourceVersion() {
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: "objects"}, name, nil)
	}
	next := copied(old)
	change(next)
	next = canonical(next)
	if equality.Semantic.DeepEqual(old, next) {
		return next, nil
	}
	if !equality.Semantic.DeepEqual(spec(old), spec(next)) {
		next.SetGeneration(old.GetGeneration() + 1)
	}
	i.keep(next)
	i.tell(next, func(h cache.ResourceEventHandler) { h.OnUpdate(old, next) })
	return copied(next), nil
}

func (i *informer) remove(name string) error {
	i.server.lock.Lock()
	defer i.server.lock.Unlock()
	old, ok := i.get(name)
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "objects"}, name)
	}
	i.tell(old, func(h cache.ResourceEventHandler) { h.OnDelete(old) })
	return i.store.Delete(old)
}

func copied(one object) object { return one.DeepCopyObject().(object) }

func spec(of object) any {
	switch one := of.(type) {
	case *apps.Deployment:
		return one.Spec
	case *apps.ReplicaSet:
		return one.Spec
	case *corev1.Pod:
		return one.Spec
	case *policy.PodDisruptionBudget:
		return one.Spec
	}
	return nil
}

// canonical is an object after it went through the API.
func canonical(one object) object {
	text, err := json.Marshal(one)
	if err != nil {
		log.Fatal(err)
	}
	var again object
	switch one.(type) {
	case *apps.Deployment:
		again = &apps.Deployment{}
	case *apps.ReplicaSet:
		again = &apps.ReplicaSet{}
	case *corev1.Pod:
		again = &corev1.Pod{}
	case *policy.PodDisruptionBudget:
		again = &policy.PodDisruptionBudget{}
	}
	if err := json.Unmarshal(text, again); err != nil {
		log.Fatal(err)
	}
	return again
}
