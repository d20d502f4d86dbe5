//! A place for pods without sockets, in real time under a real control plane and in virtual time under our rules: the
//! same script, and what came of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use clock::Clock;
use cluster::{
    Action, ClusterConfig, ControlInput, ControlPlane, ControlSide, ControlWake, Endpoints, Host, PodId, Question,
    Traffic, Usage,
};
use kubernetes::{LocalControlPlane, Order, PlaneSettings, Prepared};
use manifests::{Loaded, Source};
use platform::{Node, Platform, Probe, ServiceId, WorkloadId};
use record::EventKind;
use tokio::sync::mpsc::unbounded_channel;
use units::{Bytes, Nanos};

/// How long a platform may take to stand up.
const PATIENCE: Nanos = Nanos::from_secs(120);

/// What is done, counted from the instant when the platform stands, and for how long it is watched.
pub(crate) struct Script {
    pub(crate) acts: Vec<(Nanos, Action)>,
    /// CPU that each ready pod behind a Service uses, thousandths of a core, from an instant on. It answers a request for
    /// each 10 ms of that, and as many wait in it as it answers in a second. Not shared out among the pods: what a scrape
    /// sees would depend on who was ready how long.
    pub(crate) load: Vec<(Nanos, u64)>,
    pub(crate) lasts: Nanos,
}

/// Events with their instants, counted from when the platform stood.
pub(crate) type Told = Vec<(Nanos, EventKind)>;

/// Manifests as they are read and as they are applied.
fn load(text: &str) -> Loaded {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    manifests::load(&Source::parse(&file.path().display().to_string()), "").unwrap()
}

/// CPU that a request takes.
const REQUEST: Nanos = Nanos::from_millis(10);

struct Place<'a> {
    script: &'a Script,
    services: usize,
    now: Nanos,
    /// When the platform stood.
    stood: Option<Nanos>,
    events: Told,
    todo: Vec<(Nanos, ControlInput)>,
    endpoints: Option<Arc<Endpoints>>,
    running: BTreeMap<PodId, Usage>,
    /// Up to when CPU is accounted, and at which rate since.
    accounted: Nanos,
    rate: u64,
}

/// The pods that are ready behind a Service.
fn services(endpoints: &Endpoints, count: usize) -> impl Iterator<Item = PodId> {
    (0..count).flat_map(|index| endpoints.ready(ServiceId(index as u16))).copied()
}

impl<'a> Place<'a> {
    fn new(script: &'a Script, platform: &Platform) -> Self {
        Self {
            script,
            services: platform.services.len(),
            now: Nanos::ZERO,
            stood: None,
            events: Vec::new(),
            todo: Vec::new(),
            endpoints: None,
            running: BTreeMap::new(),
            accounted: Nanos::ZERO,
            rate: script.load.first().map_or(0, |(_, rate)| *rate),
        }
    }

    /// Accounts for what the pods that dialers know have used.
    fn account(&mut self) {
        let passed = self.now - self.accounted;
        self.accounted = self.now;
        let ready: BTreeSet<PodId> =
            self.endpoints.iter().flat_map(|endpoints| services(endpoints, self.services)).collect();
        for (pod, usage) in &mut self.running {
            if ready.contains(pod) {
                usage.cpu += Nanos::new(passed.get() * self.rate / 1_000);
                usage.traffic.answered = usage.cpu.get() / REQUEST.get();
            }
        }
    }

    fn stand(&mut self) {
        self.stood = Some(self.now);
        self.events.clear();
        self.todo.extend(self.script.acts.iter().map(|(at, act)| (self.now + *at, ControlInput::Act(act.clone()))));
    }

    fn over(&self) -> bool {
        self.stood.is_some_and(|stood| self.now > stood + self.script.lasts)
    }
}

impl Host for Place<'_> {
    fn bound(&mut self, _: PodId, _: WorkloadId, _: &str) {}
    fn start(&mut self, pod: PodId) {
        self.account();
        let usage =
            Usage { cpu: Nanos::ZERO, memory: Bytes::new(1 << 20), started: self.now, traffic: Traffic::default() };
        self.running.insert(pod, usage);
    }
    fn terminate(&mut self, pod: PodId) {
        self.todo.push((self.now, ControlInput::Drained(pod)));
        self.kill(pod);
    }
    fn kill(&mut self, pod: PodId) {
        self.account();
        self.running.remove(&pod);
    }
    fn probe(&mut self, pod: PodId, question: Question, _: &Probe) {
        let ok = self.running.contains_key(&pod);
        self.todo.push((self.now, ControlInput::Probed { pod, question, ok }));
    }
    fn usage(&mut self) -> Vec<(PodId, Usage)> {
        self.account();
        // Changes at a scrape only, so that no scrape sees a mixture.
        if let Some(stood) = self.stood {
            let since = self.now - stood;
            self.rate = self.script.load.iter().rfind(|(at, _)| *at <= since).map_or(0, |(_, rate)| *rate);
        }
        let waiting = (self.rate / 10) as u32;
        let told =
            |(pod, usage): (&PodId, &Usage)| (*pod, Usage { traffic: Traffic { waiting, ..usage.traffic }, ..*usage });
        self.running.iter().map(told).collect()
    }
    fn publish(&mut self, endpoints: Arc<Endpoints>) {
        self.account();
        self.endpoints = Some(endpoints);
    }
    fn note(&mut self, kind: EventKind) {
        self.events.push((self.now - self.stood.unwrap_or_default(), kind));
    }
    fn wake(&mut self, at: Nanos, wake: ControlWake) {
        self.todo.push((at, ControlInput::Wake(wake)));
    }
}

/// A script under both. `script` is made when the platform is known.
pub(crate) async fn both(
    manifests: &str,
    nodes: &str,
    config: &ClusterConfig,
    script: impl FnOnce(&Platform) -> Script,
) -> (Told, Told) {
    let loaded = load(manifests);
    let platform = Arc::new(loaded.platform.clone());
    let nodes = manifests::nodes_of(nodes, "nodes").unwrap();
    let script = script(&platform);
    let ours = under_rules(&platform, nodes.clone(), config, &script);
    let _alone = crate::ALONE.lock().await;
    let plane = crate::start(&PlaneSettings { controller_flags: flags(config), ..crate::settings() }).await;
    let theirs = under_kubernetes(&plane, &loaded, nodes, config, &script).await;
    plane.stop().await;
    (ours, theirs)
}

/// What kube-controller-manager is told so that it goes by the same periods.
fn flags(config: &ClusterConfig) -> Vec<String> {
    let autoscaler = [
        ("sync-period", config.hpa_sync),
        ("downscale-stabilization", config.downscale_stabilization),
        ("cpu-initialization-period", config.cpu_initialization),
        ("initial-readiness-delay", config.initial_readiness_delay),
    ];
    let flag = |(name, time): (&str, Nanos)| format!("--horizontal-pod-autoscaler-{name}={}us", time.as_micros());
    // So that none of them waits for another one's metrics.
    let workers = "--concurrent-horizontal-pod-autoscaler-syncs=15".to_owned();
    autoscaler.into_iter().map(flag).chain([workers]).collect()
}

/// The script under our rules.
fn under_rules(platform: &Arc<Platform>, nodes: Vec<Node>, config: &ClusterConfig, script: &Script) -> Told {
    let mut control = ControlPlane::new(Arc::clone(platform), nodes, config.clone());
    let mut place = Place::new(script, platform);
    let mut queue = BinaryHeap::new();
    let mut inputs = vec![ControlInput::Start];
    queue.push(Reverse((Nanos::ZERO, 0)));
    while let Some(Reverse((at, input))) = queue.pop() {
        place.now = at;
        ControlPlane::step(&mut control, at, inputs[input].clone(), &mut place);
        if place.stood.is_none() && control.settled() {
            place.stand();
        }
        for (at, input) in place.todo.drain(..) {
            inputs.push(input);
            queue.push(Reverse((at, inputs.len() - 1)));
        }
        assert!(place.stood.is_some() || at < PATIENCE, "the platform does not stand");
        if place.over() {
            break;
        }
    }
    place.events
}

/// The same under a real control plane.
async fn under_kubernetes(
    plane: &LocalControlPlane,
    loaded: &Loaded,
    nodes: Vec<Node>,
    config: &ClusterConfig,
    script: &Script,
) -> Told {
    let order = Order {
        platform: Arc::new(loaded.platform.clone()),
        objects: loaded.objects.iter().map(manifests::Object::to_json).collect(),
        nodes,
        config: config.clone(),
        run: "test".to_owned(),
    };
    let prepared = Prepared::new(plane, order).await.unwrap_or_else(|error| panic!("{error}"));
    let clock = Clock::start();
    let (feed, mut inputs) = unbounded_channel();
    let teller = feed.clone();
    let mut control: Box<dyn ControlSide> = prepared.control(&clock, Arc::new(move |input| drop(teller.send(input))));
    let mut place = Place::new(script, &loaded.platform);
    feed.send(ControlInput::Start).unwrap();
    let tick = Nanos::from_millis(100);
    loop {
        let input = tokio::select! {
            input = inputs.recv() => input,
            _ = clock.until(clock.now() + tick) => None,
        };
        place.now = clock.now();
        if let Some(input) = input {
            control.step(place.now, input, &mut place);
        }
        assert_eq!(control.lost(), None);
        if place.stood.is_none() {
            if control.settled() {
                place.stand();
            }
            assert!(place.now < PATIENCE, "{:?}", control.waits_for());
        }
        for (at, input) in place.todo.drain(..) {
            let feed = feed.clone();
            clock.call_at(at, move |_| drop(feed.send(input)));
        }
        if place.over() {
            return place.events;
        }
    }
}
