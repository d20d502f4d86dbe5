package workloads

import (
	"context"
	"encoding/json"
	"log"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/kubernetes/pkg/controller/deployment"
	disruptioncontroller "k8s.io/kubernetes/pkg/controller/disruption"
	"k8s.io/kubernetes/pkg/controller/replicaset"
)

const namespace = "default"

// burst is the number of pods that the controller manager lets a ReplicaSet make or delete in one sync.
const burst = 500

// world is one case being played.
type world struct {
	c      *Case
	server *server
	// Held while a pod is made, so that pods have numbers in the order of their creation.
	making   sync.Mutex
	podsMade int
	setsMade int
	fates    map[string]Fate
	numbers  map[string]int
}

// Run answers every case, one after the other on one clock.
func Run(t *testing.T, cases []json.RawMessage, answer func(any)) {
	// The usual handlers sleep for a millisecond when errors come fast.
	utilruntime.ErrorHandlers = nil
	for number, raw := range cases {
		var one Case
		if err := json.Unmarshal(raw, &one); err != nil {
			log.Fatalf("case %d: %v", number+1, err)
		}
		answer(play(&one))
	}
}

func play(c *Case) []State {
	// Each case begins at a whole second, as the API knows no other.
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(2 * time.Second)))
	origin := time.Now()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	w := &world{c: c, server: newServer(ctx.Done()), fates: map[string]Fate{}, numbers: map[string]int{}}
	w.start(ctx)
	var states []State
	next := 0
	reach := func(at int64) {
		time.Sleep(time.Until(origin.Add(time.Duration(at) * time.Millisecond)))
		w.server.rest()
	}
	for at := c.Every / 2; at <= c.Until; at += c.Every {
		for ; next < len(c.Actions) && c.Actions[next].At <= at; next++ {
			reach(c.Actions[next].At)
			w.act(&c.Actions[next])
			w.server.rest()
		}
		reach(at)
		state := w.state(at)
		if len(states) > 0 {
			last := states[len(states)-1]
			last.At = at
			if reflect.DeepEqual(last, state) {
				continue
			}
		}
		states = append(states, state)
	}
	return states
}

func (w *world) start(ctx context.Context) {
	s := w.server
	s.watcher = replicaSets
	sets := replicaset.NewReplicaSetController(ctx, setInformer{s.sets}, podInformer{s.pods}, client{world: w}, burst)
	s.watcher = deployments
	rollouts, err := deployment.NewDeploymentController(ctx, deploymentInformer{s.deployments}, setInformer{s.sets}, podInformer{s.pods}, client{world: w})
	if err != nil {
		log.Fatal(err)
	}
	s.watcher = disruption
	budgets := disruptioncontroller.NewDisruptionController(ctx, podInformer{s.pods}, budgetInformer{s.budgets}, rcInformer{s.others}, setInformer{s.sets},
		deploymentInformer{s.deployments}, statefulInformer{s.others}, client{world: w}, meta.NewDefaultRESTMapper(nil), nil, nil)
	go s.deliver()
	go sets.Run(ctx, 1)
	go rollouts.Run(ctx, 1)
	go budgets.Run(ctx)
	s.rest()

	labels := map[string]string{"app": "web"}
	one := &apps.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: namespace, UID: "deployment", CreationTimestamp: metav1.Now()}}
	if err := json.Unmarshal(w.c.Deployment, &one.Spec); err != nil {
		log.Fatal(err)
	}
	one.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	one.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
	setTemplate(one, 0)
	for name, spec := range w.c.Budgets {
		budget := &policy.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: types.UID("budget-" + name)}}
		if err := json.Unmarshal(spec, &budget.Spec); err != nil {
			log.Fatal(err)
		}
		budget.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		s.budgets.create(budget)
	}
	s.deployments.create(one)
	s.rest()
}

// A template is told by its image.
func setTemplate(one *apps.Deployment, template int) {
	one.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "app:" + strconv.Itoa(template)}}
}

func templateOf(spec *corev1.PodSpec) int {
	template, err := strconv.Atoi(strings.TrimPrefix(spec.Containers[0].Image, "app:"))
	if err != nil {
		log.Fatal(err)
	}
	return template
}

func (w *world) act(a *Action) {
	if a.Delete != nil {
		for name, number := range w.numbers {
			if number == *a.Delete {
				_ = w.deletePod(name)
			}
		}
		return
	}
	template := -1
	if a.Rollback != nil {
		template = w.templateOfRevision(*a.Rollback)
	}
	_, err := w.server.deployments.write("web", "", func(stored object) {
		one := stored.(*apps.Deployment)
		if a.Scale != nil {
			one.Spec.Replicas = a.Scale
		}
		if a.Template != nil {
			setTemplate(one, *a.Template)
		}
		if template >= 0 && !one.Spec.Paused {
			setTemplate(one, template)
		}
		if a.Spec != nil {
			if strings.Contains(string(a.Spec), `"strategy"`) {
				one.Spec.Strategy = apps.DeploymentStrategy{}
			}
			if err := json.Unmarshal(a.Spec, &one.Spec); err != nil {
				log.Fatal(err)
			}
		}
	})
	if err != nil {
		log.Fatal(err)
	}
}

// templateOfRevision is what kubectl does on its side of the API: it looks for the ReplicaSet of the revision, or for the
// one with the highest revision but one, and applies its template again.
func (w *world) templateOfRevision(wanted int64) int {
	templates := map[int64]int{}
	var revisions []int64
	for _, one := range w.server.sets.store.List() {
		set := one.(*apps.ReplicaSet)
		revision, _ := strconv.ParseInt(set.Annotations["deployment.kubernetes.io/revision"], 10, 64)
		templates[revision] = templateOf(&set.Spec.Template.Spec)
		revisions = append(revisions, revision)
	}
	sort.Slice(revisions, func(i, j int) bool { return revisions[i] > revisions[j] })
	if wanted == 0 && len(revisions) > 1 {
		wanted = revisions[1]
	}
	if template, known := templates[wanted]; known {
		return template
	}
	return -1
}

func (w *world) state(at int64) State {
	found, _ := w.server.deployments.get("web")
	one := found.(*apps.Deployment)
	status := one.Status
	state := State{At: at, Status: Status{status.Replicas, status.UpdatedReplicas, status.ReadyReplicas, status.AvailableReplicas, status.UnavailableReplicas}}
	var sets []*apps.ReplicaSet
	for _, set := range w.server.sets.store.List() {
		sets = append(sets, set.(*apps.ReplicaSet))
	}
	sort.Slice(sets, func(i, j int) bool { return w.server.order(sets[i]) < w.server.order(sets[j]) })
	names := []string{}
	for _, set := range sets {
		template := templateOf(&set.Spec.Template.Spec)
		revision, _ := strconv.ParseInt(set.Annotations["deployment.kubernetes.io/revision"], 10, 64)
		state.Sets = append(state.Sets, Set{template, revision, *set.Spec.Replicas, set.Status.Replicas, set.Status.ReadyReplicas, set.Status.AvailableReplicas})
		names = append(names, set.Name, "web-"+strconv.Itoa(template))
	}
	renamed := strings.NewReplacer(names...)
	for _, condition := range status.Conditions {
		state.Conditions = append(state.Conditions, Condition{string(condition.Type), string(condition.Status), condition.Reason, renamed.Replace(condition.Message)})
	}
	sort.Slice(state.Conditions, func(i, j int) bool { return state.Conditions[i].Type < state.Conditions[j].Type })
	for _, pod := range w.server.pods.store.List() {
		if pod.(*corev1.Pod).DeletionTimestamp == nil {
			state.Pods = append(state.Pods, w.numbers[pod.(*corev1.Pod).Name])
		}
	}
	sort.Ints(state.Pods)
	state.Budgets = map[string]Budget{}
	for _, one := range w.server.budgets.store.List() {
		budget := one.(*policy.PodDisruptionBudget)
		told := Budget{budget.Status.ExpectedPods, budget.Status.DesiredHealthy, budget.Status.CurrentHealthy, budget.Status.DisruptionsAllowed, ""}
		for _, condition := range budget.Status.Conditions {
			told.Reason = condition.Reason
		}
		state.Budgets[budget.Name] = told
	}
	return state
}
