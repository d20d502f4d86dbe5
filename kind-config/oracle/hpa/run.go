package hpa

import (
	"context"
	"encoding/json"
	"log"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	autoscalinginformers "k8s.io/client-go/informers/autoscaling/v2"
	coreinformers "k8s.io/client-go/informers/core/v1"
	autoscalingclient "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	autoscalinglisters "k8s.io/client-go/listers/autoscaling/v2"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"

	"rehearse/oracle/events"
)

// beside is how far from the instants of syncs everything else happens: records come before, answers are read after.
const beside = time.Millisecond

// Run answers every case, one after the other on one clock.
func Run(t *testing.T, cases []json.RawMessage, answer func(any)) {
	// The usual handlers sleep for a millisecond when errors come fast, which would shift syncs.
	utilruntime.ErrorHandlers = nil
	for number, raw := range cases {
		var one Case
		if err := json.Unmarshal(raw, &one); err != nil {
			log.Fatalf("case %d: %v", number+1, err)
		}
		answer(play(&one))
	}
}

// play runs a new controller on one case.
func play(c *Case) []Synced {
	// Each case begins at a whole second, as the API knows no other.
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(2 * time.Second)))
	origin := time.Now()
	w := newWorld(origin)
	flags := settings(c)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	hpas := &hpaInformer{store: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})}
	mapper := apimeta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	for _, kind := range []string{"Deployment", "StatefulSet", "ReplicaSet"} {
		mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind}, apimeta.RESTScopeNamespace)
	}
	client := metrics.NewRESTMetricsClient(podMetrics{world: w}, customMetrics{w}, externalMetrics{w})
	controller := podautoscaler.NewHorizontalController(ctx, events.None{}, scales{world: w}, hpas, mapper, client, hpas, podInformer{w},
		flags.period, flags.downscale, flags.tolerance, flags.cpuInitialization, flags.readinessDelay)

	main := read(c.HPA)
	key := main.Namespace + "/" + main.Name
	next := 0
	early := func(until float64) {
		for ; next < len(c.Records) && c.Records[next].At <= until; next++ {
			record := &c.Records[next]
			w.apply(record)
			if record.Spec != nil {
				changed := main.DeepCopy()
				changed.Spec = read(withSpec(c.HPA, record.Spec)).Spec
				current := hpas.get(key)
				changed.Status = current.Status
				hpas.put(changed)
				main = changed
			}
		}
	}
	for i := range c.Records {
		remember(controller, key, origin, &c.Records[i])
		if conditions := c.Records[i].Conditions; conditions != nil {
			for _, one := range *conditions {
				main.Status.Conditions = append(main.Status.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{
					Type: autoscalingv2.HorizontalPodAutoscalerConditionType(one.Type), Status: corev1.ConditionStatus(one.Status),
					Reason: one.Reason, Message: one.Message,
				})
			}
		}
		for _, rival := range c.Records[i].Rivals {
			w.rivals[rival.Name] = rival.Selector
			hpas.put(rivalOf(rival))
		}
	}
	go controller.Run(ctx, 1)
	synctest.Wait()
	// Rivals are a second ahead, so that their selectors are known when the autoscaler looks.
	origin = origin.Add(time.Second)
	w.origin = origin
	reach(origin)
	shiftMemory(controller, key, time.Second)
	hpas.put(main)

	last := c.Records[len(c.Records)-1].At
	var synced []Synced
	for at := flags.period; len(synced) == 0 || at.Seconds() <= last; at += flags.period {
		reach(origin.Add(at - beside))
		early(at.Seconds())
		w.gather(at.Seconds())
		current := w.spec
		if w.getError != "" {
			current = 0
		}
		w.decided = nil
		reach(origin.Add(at + beside))
		result := Synced{At: at.Seconds(), Current: current, Desired: current}
		if w.decided != nil {
			result.Desired = *w.decided
			if w.follows {
				w.spec, w.status = *w.decided, *w.decided
			}
		}
		status := hpas.get(key).Status
		result.Metrics = metricsOf(status.CurrentMetrics)
		for _, condition := range status.Conditions {
			result.Conditions = append(result.Conditions, Condition{
				Type: string(condition.Type), Status: string(condition.Status), Reason: condition.Reason, Message: condition.Message,
			})
		}
		synced = append(synced, result)
	}
	return synced
}

func reach(then time.Time) {
	time.Sleep(time.Until(then))
	synctest.Wait()
}

type flagValues struct {
	period, downscale, cpuInitialization, readinessDelay time.Duration
	tolerance                                            float64
}

func settings(c *Case) flagValues {
	flags := flagValues{15 * time.Second, 5 * time.Minute, 5 * time.Minute, 30 * time.Second, 0.1}
	seconds := func(to *time.Duration, from *float64) {
		if from != nil {
			*to = time.Duration(*from * float64(time.Second))
		}
	}
	gates := map[string]bool{}
	for gate, on := range gatesAtFirst {
		gates[gate] = on
	}
	if s := c.Records[0].Settings; s != nil {
		seconds(&flags.period, s.SyncPeriod)
		seconds(&flags.downscale, s.DownscaleStabilization)
		seconds(&flags.cpuInitialization, s.CPUInitializationPeriod)
		seconds(&flags.readinessDelay, s.InitialReadinessDelay)
		set(&flags.tolerance, s.Tolerance)
		for gate, on := range s.FeatureGates {
			gates[gate] = on
		}
	}
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(gates); err != nil {
		log.Fatal(err)
	}
	return flags
}

// gatesAtFirst are the gates that cases may turn, as the release has them.
var gatesAtFirst = func() map[string]bool {
	gates := map[string]bool{}
	for _, gate := range []string{"HPAConfigurableTolerance", "HPAScaleToZero"} {
		for name := range utilfeature.DefaultMutableFeatureGate.GetAll() {
			if string(name) == gate {
				gates[gate] = utilfeature.DefaultFeatureGate.Enabled(name)
			}
		}
	}
	return gates
}()

// read understands an autoscaler as the API server hands it out: defaults filled in, quantities in canonical form.
func read(raw []byte) *autoscalingv2.HorizontalPodAutoscaler {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{}
	if err := json.Unmarshal(raw, hpa); err != nil {
		log.Fatal(err)
	}
	defaults.SetObjectDefaults_HorizontalPodAutoscaler(hpa)
	canonical, err := json.Marshal(hpa)
	if err != nil {
		log.Fatal(err)
	}
	hpa = &autoscalingv2.HorizontalPodAutoscaler{}
	if err := json.Unmarshal(canonical, hpa); err != nil {
		log.Fatal(err)
	}
	hpa.Namespace = namespace
	return hpa
}

func withSpec(hpa, spec []byte) []byte {
	whole := map[string]json.RawMessage{}
	if err := json.Unmarshal(hpa, &whole); err != nil {
		log.Fatal(err)
	}
	whole["spec"] = spec
	raw, err := json.Marshal(whole)
	if err != nil {
		log.Fatal(err)
	}
	return raw
}

func rivalOf(rival Rival) *autoscalingv2.HorizontalPodAutoscaler {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: rival.Name, Namespace: namespace}}
	hpa.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: rival.Name}
	hpa.Spec.MaxReplicas = 1
	defaults.SetObjectDefaults_HorizontalPodAutoscaler(hpa)
	return hpa
}

// remember puts what the controller recommended and changed before it was started into its memory, which has no other
// way in than reflection.
func remember(controller *podautoscaler.HorizontalController, key string, origin time.Time, record *Record) {
	then := origin.Add(time.Duration(record.At * float64(time.Second)))
	if record.Recommendation != nil {
		push(controller, "recommendations", key, map[string]any{"recommendation": *record.Recommendation, "timestamp": then})
	}
	if change := record.Scaled; change != nil && change.To > change.From {
		push(controller, "scaleUpEvents", key, map[string]any{"replicaChange": change.To - change.From, "timestamp": then})
	} else if change != nil {
		push(controller, "scaleDownEvents", key, map[string]any{"replicaChange": change.From - change.To, "timestamp": then})
	}
}

func field(of any, name string) reflect.Value {
	found := reflect.ValueOf(of).Elem().FieldByName(name)
	return reflect.NewAt(found.Type(), unsafe.Pointer(found.UnsafeAddr())).Elem()
}

func push(controller *podautoscaler.HorizontalController, memory, key string, values map[string]any) {
	all := field(controller, memory)
	entry := reflect.New(all.Type().Elem().Elem())
	for name, value := range values {
		field(entry.Interface(), name).Set(reflect.ValueOf(value))
	}
	entries := all.MapIndex(reflect.ValueOf(key))
	if !entries.IsValid() {
		entries = reflect.Zero(all.Type().Elem())
	}
	all.SetMapIndex(reflect.ValueOf(key), reflect.Append(entries, entry.Elem()))
}

// shiftMemory moves what was remembered, as the autoscaler is created later than its rivals.
func shiftMemory(controller *podautoscaler.HorizontalController, key string, by time.Duration) {
	for _, memory := range []string{"recommendations", "scaleUpEvents", "scaleDownEvents"} {
		entries := field(controller, memory).MapIndex(reflect.ValueOf(key))
		if !entries.IsValid() {
			continue
		}
		for i := range entries.Len() {
			stamp := field(entries.Index(i).Addr().Interface(), "timestamp")
			stamp.Set(reflect.ValueOf(stamp.Interface().(time.Time).Add(by)))
		}
	}
}

// hpaInformer is informer, lister and client of autoscalers in one.
type hpaInformer struct {
	cache.SharedIndexInformer
	autoscalingclient.HorizontalPodAutoscalerInterface
	store   cache.Indexer
	handler cache.ResourceEventHandler
}

func (i *hpaInformer) Informer() cache.SharedIndexInformer { return i }
func (i *hpaInformer) HasSynced() bool                     { return true }
func (i *hpaInformer) Lister() autoscalinglisters.HorizontalPodAutoscalerLister {
	return autoscalinglisters.NewHorizontalPodAutoscalerLister(i.store)
}

func (i *hpaInformer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	i.handler = handler
	return nil, nil
}

func (i *hpaInformer) get(key string) *autoscalingv2.HorizontalPodAutoscaler {
	found, ok, err := i.store.GetByKey(key)
	if err != nil || !ok {
		log.Fatalf("no autoscaler %s: %v", key, err)
	}
	return found.(*autoscalingv2.HorizontalPodAutoscaler)
}

func (i *hpaInformer) put(hpa *autoscalingv2.HorizontalPodAutoscaler) {
	old, known, _ := i.store.Get(hpa)
	if err := i.store.Update(hpa); err != nil {
		log.Fatal(err)
	}
	if known {
		i.handler.OnUpdate(old, hpa)
	} else {
		i.handler.OnAdd(hpa, false)
	}
}

func (i *hpaInformer) HorizontalPodAutoscalers(string) autoscalingclient.HorizontalPodAutoscalerInterface {
	return i
}

func (i *hpaInformer) UpdateStatus(_ context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler, _ metav1.UpdateOptions) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	stored := i.get(hpa.Namespace + "/" + hpa.Name).DeepCopy()
	stored.Status = *hpa.Status.DeepCopy()
	i.put(stored)
	return stored, nil
}

var _ autoscalinginformers.HorizontalPodAutoscalerInformer = &hpaInformer{}

// podInformer is the informer of pods.
type podInformer struct{ w *world }

func (i podInformer) Informer() cache.SharedIndexInformer { return syncedInformer{} }
func (i podInformer) Lister() corelisters.PodLister       { return podLister{i.w} }

var _ coreinformers.PodInformer = podInformer{}

type syncedInformer struct{ cache.SharedIndexInformer }

func (syncedInformer) HasSynced() bool { return true }
