//! Our answer to a case, in the oracle's words: the cluster with pods whose fates the case tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{
    Action, Cluster, ClusterConfig, DeploymentStatus, Effect, Flaw, Input, Patch, PodId, PodStatus, Release,
};
use platform::{
    Container, CountOrPercent, DisruptionBound, DisruptionBudget, Node, Place, Platform, Selector, Strategy, Workload,
    WorkloadId,
};
use serde_json::{Value, json};
use units::{Bytes, Machine, Millicores, Nanos, Out, Purpose, Wake};

const WEB: WorkloadId = WorkloadId(0);

/// Plays a case by our rules.
pub(crate) fn answer(case: &Value, release: Release) -> Value {
    World::new(case, release).play()
}

/// What stands for the random identities of pods, in order of creation, and some to spare.
pub(crate) fn uids(case: &Value) -> Vec<String> {
    let mut world = World::new(case, Release::V1_34);
    world.play();
    let seed = ClusterConfig::default().seed.child("pod-uids");
    let bits = |pod: usize| seed.draw_nth(pod as u64, Purpose::Phase).bits();
    (0..world.cluster.pods().count() + 20).map(|pod| format!("{:08x}", bits(pod) >> 32)).collect()
}

struct World<'a> {
    case: &'a Value,
    cluster: Cluster,
    due: BTreeMap<(Nanos, u64), Input>,
    planned: u64,
    /// What is known of every pod that is there.
    pods: Vec<Seen>,
    /// The budgets as of the last change of a pod: only these make the controller look again.
    budgets: Value,
}

/// What the disruption controller hears of a pod.
#[expect(clippy::struct_excessive_bools, reason = "each is a condition that Kubernetes tells apart")]
#[derive(PartialEq)]
struct Seen(PodId, bool, bool, bool, u32, bool);

/// What one step of the cluster wants.
#[derive(Default)]
struct Wishes {
    effects: Vec<Effect>,
    wakes: Vec<(Nanos, Wake)>,
}

impl Out<Effect> for Wishes {
    fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.wakes.push((at, wake));
    }
}

fn millis(of: &Value) -> Nanos {
    Nanos::from_millis(of.as_u64().unwrap())
}

impl<'a> World<'a> {
    fn new(case: &'a Value, release: Release) -> Self {
        // Pods are bound after a millisecond, as the oracle binds them, to the only node there is.
        let config =
            ClusterConfig { kubernetes: release, scheduling_delay: Nanos::from_millis(1), ..ClusterConfig::default() };
        let node = Node {
            name: "node".into(),
            labels: platform::Labels::default(),
            cpu: Millicores::from_cores(1_000),
            memory: Bytes::from_mebi(1_000_000),
            pods: 10_000,
            taints: vec![],
        };
        let mut world = Self {
            case,
            cluster: Cluster::new(Arc::new(platform(case)), vec![node], config),
            due: BTreeMap::new(),
            planned: 0,
            pods: Vec::new(),
            budgets: Value::Null,
        };
        world.budgets = world.told_budgets();
        world.plan(Nanos::ZERO, Input::Start);
        if let Some(paused) = case["deployment"]["paused"].as_bool() {
            let patch = Patch { paused: Some(paused), ..Patch::default() };
            world.input(Nanos::ZERO, Input::Act(Action::Patch { workload: WEB, patch }));
        }
        world
    }

    fn play(&mut self) -> Value {
        let (until, every) = (self.case["until"].as_u64().unwrap(), self.case["every"].as_u64().unwrap());
        let actions = self.case["actions"].as_array().unwrap();
        let mut actions = actions.iter().peekable();
        let mut states: Vec<Value> = Vec::new();
        for at in (every / 2..=until).step_by(every as usize) {
            while let Some(action) = actions.next_if(|action| action["at"].as_u64().unwrap() <= at) {
                let then = millis(&action["at"]);
                self.reach(then);
                self.input(then, Input::Act(act(action)));
                self.reach(then);
            }
            self.reach(Nanos::from_millis(at));
            let mut state = self.state(at);
            if let Some(last) = states.last() {
                let mut last = last.clone();
                last["at"] = state["at"].take();
                state["at"] = json!(at);
                if last == state {
                    continue;
                }
            }
            states.push(state);
        }
        Value::Array(states)
    }

    fn plan(&mut self, at: Nanos, input: Input) {
        self.due.insert((at, self.planned), input);
        self.planned += 1;
    }

    /// Everything that is due until then.
    fn reach(&mut self, then: Nanos) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= then) {
            let ((at, _), input) = entry.remove_entry();
            self.input(at, input);
        }
    }

    fn input(&mut self, at: Nanos, input: Input) {
        if let Input::Pod(pod, status) = &input {
            // A pod that ends changes no more.
            let record = self.cluster.pod(*pod).unwrap();
            if record.deleted.is_some() && *status != PodStatus::Gone {
                return;
            }
        }
        let mut wishes = Wishes::default();
        self.cluster.step(at, input, &mut wishes);
        for effect in wishes.effects {
            match effect {
                Effect::RunPod { pod, template, .. } => self.start(pod, template),
                Effect::StopPod { pod } => {
                    let template = self.cluster.pod(pod).unwrap().template;
                    self.plan(at + millis(&self.fate(pod, template)["ends"]), Input::Pod(pod, PodStatus::Gone));
                }
                _ => {}
            }
        }
        for (at, wake) in wishes.wakes {
            self.plan(at, Input::Wake(wake));
        }
        let there = self.cluster.pods().filter(|(_, record)| record.gone.is_none());
        let seen = |(pod, record): (PodId, &cluster::PodRecord)| {
            let (bound, started) = (record.node.is_some(), record.started.is_some());
            Seen(pod, bound, started, record.ready, record.restarts, record.deleted.is_some())
        };
        let pods: Vec<Seen> = there.map(seen).collect();
        if pods != self.pods {
            self.pods = pods;
            self.budgets = self.told_budgets();
        }
    }

    fn fate(&self, pod: PodId, template: u32) -> &'a Value {
        let fates = self.case["templates"][template as usize].as_array().unwrap();
        &fates[pod.0 as usize % fates.len()]
    }

    fn start(&mut self, pod: PodId, template: u32) {
        let now = self.cluster.pod(pod).unwrap().created;
        let fate = self.fate(pod, template);
        if !fate["starts"].is_null() {
            self.plan(now + millis(&fate["starts"]), Input::Pod(pod, PodStatus::Started));
        }
        for (index, at) in fate["ready"].as_array().into_iter().flatten().enumerate() {
            self.plan(now + millis(at), Input::Pod(pod, PodStatus::Ready(index % 2 == 0)));
        }
        for at in fate["restarts"].as_array().into_iter().flatten() {
            let reason = "Error".to_owned();
            self.plan(now + millis(at), Input::Pod(pod, PodStatus::Restarted { reason }));
        }
    }

    fn state(&self, at: u64) -> Value {
        let status = self.cluster.deployment(Nanos::from_millis(at), WEB).unwrap();
        let mut state = told(&status);
        state["at"] = json!(at);
        let pods = self.cluster.pods().filter(|(_, record)| record.is_active()).map(|(pod, _)| pod.0);
        // Where there are none, the oracle says null.
        let pods: Vec<u32> = pods.collect();
        state["pods"] = if pods.is_empty() { Value::Null } else { json!(pods) };
        state["budgets"] = self.budgets.clone();
        state
    }

    fn told_budgets(&self) -> Value {
        let budgets = self.case["budgets"].as_object().unwrap().keys().enumerate().map(|(index, name)| {
            let status = self.cluster.budget_status(index).unwrap();
            if status.failed {
                let mut told = self.budgets[name].clone();
                (told["allowed"], told["reason"]) = (json!(0), json!("SyncFailed"));
                return (name.clone(), told);
            }
            let reason = if status.allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
            let told = json!({
                "expected": status.expected, "desired": status.desired_healthy, "healthy": status.healthy,
                "allowed": status.allowed, "reason": reason,
            });
            (name.clone(), told)
        });
        Value::Object(budgets.collect())
    }
}

/// A status as the oracle tells it.
fn told(status: &DeploymentStatus) -> Value {
    let sets: Vec<Value> = status
        .replica_sets
        .iter()
        .map(|set| {
            json!({
                "template": set.template, "revision": set.revision, "spec": set.wanted, "replicas": set.replicas,
                "ready": set.ready, "available": set.available,
            })
        })
        .collect();
    let renamed = |message: &str| {
        let rename = |message: String, set: &cluster::ReplicaSetStatus| {
            message.replace(&set.name, &format!("web-{}", set.template))
        };
        status.replica_sets.iter().fold(message.to_owned(), rename)
    };
    let conditions: Vec<Value> = status
        .conditions
        .iter()
        .map(|condition| {
            json!({
                "type": condition.kind, "status": condition.status, "reason": condition.reason,
                "message": renamed(&condition.message),
            })
        })
        .collect();
    json!({
        "sets": if sets.is_empty() { Value::Null } else { json!(sets) },
        "status": {
            "replicas": status.replicas, "updated": status.updated, "ready": status.ready,
            "available": status.available, "unavailable": status.unavailable,
        },
        "conditions": conditions,
    })
}

fn platform(case: &Value) -> Platform {
    let spec = &case["deployment"];
    let labels: platform::Labels = [("app".to_owned(), "web".to_owned())].into();
    let selector = Selector { labels: labels.clone(), expressions: vec![] };
    let web = Workload {
        name: "web".into(),
        replicas: Some(spec["replicas"].as_u64().unwrap() as u32),
        selector: selector.clone(),
        labels,
        containers: vec![Container { name: "app".into(), ..Container::default() }],
        strategy: strategy(&spec["strategy"]),
        min_ready: seconds(&spec["minReadySeconds"]),
        progress_deadline: deadline(&spec["progressDeadlineSeconds"]),
        revision_history: Some(spec["revisionHistoryLimit"].as_u64().unwrap() as u32),
        grace_period: Nanos::from_secs(30),
        ..Workload::default()
    };
    let budget = |(name, spec): (&String, &Value)| DisruptionBudget {
        name: name.clone(),
        namespace: String::new(),
        selector: Some(selector.clone()),
        bound: match &spec["minAvailable"] {
            Value::Null => DisruptionBound::MaxUnavailable(bound(&spec["maxUnavailable"])),
            least => DisruptionBound::MinAvailable(bound(least)),
        },
        always_evict_unready: false,
        place: Place::default(),
    };
    Platform {
        workloads: vec![web],
        budgets: case["budgets"].as_object().unwrap().iter().map(budget).collect(),
        ..Platform::default()
    }
}

fn act(action: &Value) -> Action {
    let number = |field: &str| action[field].as_u64().map(|number| number as u32);
    if let Some(replicas) = number("scale") {
        return Action::Scale(WEB, replicas);
    }
    if number("template").is_some() {
        return Action::Rollout { workload: WEB, flaw: Flaw::None };
    }
    match number("rollback") {
        Some(0) => return Action::Rollback(WEB),
        Some(revision) => return Action::RollBackTo { workload: WEB, revision },
        None => {}
    }
    if let Some(pod) = number("delete") {
        return Action::DeletePod { pod: PodId(pod), forced: false };
    }
    let spec = &action["spec"];
    let given = |field: &str| spec.get(field);
    let patch = Patch {
        strategy: given("strategy").map(strategy),
        min_ready: given("minReadySeconds").map(seconds),
        progress_deadline: given("progressDeadlineSeconds").map(deadline),
        paused: spec["paused"].as_bool(),
    };
    Action::Patch { workload: WEB, patch }
}

fn seconds(of: &Value) -> Nanos {
    Nanos::from_secs(of.as_u64().unwrap())
}

/// `HasProgressDeadline`: the greatest number means none.
fn deadline(of: &Value) -> Option<Nanos> {
    (of.as_u64() != Some(2_147_483_647)).then(|| seconds(of))
}

fn strategy(of: &Value) -> Strategy {
    if of["type"] == "Recreate" {
        return Strategy::Recreate;
    }
    let rolling = &of["rollingUpdate"];
    Strategy::Rolling { max_unavailable: bound(&rolling["maxUnavailable"]), max_surge: bound(&rolling["maxSurge"]) }
}

fn bound(of: &Value) -> CountOrPercent {
    match of.as_str() {
        Some(percent) => CountOrPercent::Percent(percent.trim_end_matches('%').parse().unwrap()),
        None => CountOrPercent::Count(of.as_u64().unwrap() as u32),
    }
}
