//! The control side of a rehearsal whose decisions are made by a real control plane.
//!
//! Owns what a node agent and an operator do between the API server and the place where pods live: pods that are bound
//! get a [`cluster::Kubelet`], what it says is written as status, and every change that a watch brings becomes an event
//! of the run. The API server's word is the only truth: a pod is ready when it says so, not when a probe has passed.

mod acts;
mod health;
mod nodes;
mod pods;
mod scaling;
mod services;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use clock::Clock;
use cluster::{
    AutoscalerEdit, ClusterConfig, ControlInput, ControlSide, ControlWake, Endpoints, Host, Kubelets, PodId, PodRecord,
    Scraper,
};
use platform::{Node, Platform, WorkloadId};
use server::Listening;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use units::{Nanos, Wake};

use crate::answers::Answers;
use crate::deeds::{Operator, Outcome};
use crate::elsewhere::{ClusterPods, Journal};
use crate::ground::{self, LEASE_EVERY, Silent};
use crate::rest::Rest;
use crate::view::{Key, ScalerStatus, Seen, Slice};
use crate::wall::Wall;
use crate::watching::{self, Post, Word};
use crate::writer::Writer;
use nodes::Ground;
use pods::Pod;
use workloads::Roll;

/// How a pod of a control plane elsewhere is told apart from the scrapes' timers.
const METRICS_SERVER: u32 = 0;
const PROMETHEUS: u32 = 1;
const JOB_ENDS: u32 = 2;

/// Who runs the pods that the control plane has bound.
pub(crate) enum Hands {
    /// Nodes and kubelets that are played here.
    Played,
    /// Kubelets of its own.
    Real {
        /// Where their pods are.
        pods: Arc<ClusterPods>,
        /// The share of the manifests' CPU requests that pods have: autoscalers are shown the same share of usage.
        share: f64,
        /// Where its nodes are.
        addresses: Vec<IpAddr>,
        /// Where it is noted what is to be undone about nodes.
        journal: Journal,
    },
}

/// What a [`Remote`] is made with.
pub(crate) struct Parts {
    pub(crate) rest: Rest,
    pub(crate) platform: Arc<Platform>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) config: ClusterConfig,
    pub(crate) answers: Arc<Answers>,
    /// Tells that a component has ended, where we started them. An API server of somebody else's is asked.
    pub(crate) died: Option<watch::Receiver<Option<String>>>,
    /// The control plane's own clock.
    pub(crate) wall: Wall,
    /// How far the run's clock is behind the one that `wall` and `answers` were made with.
    pub(crate) offset: Nanos,
    /// Where the metrics APIs are served, if they are ours.
    pub(crate) listening: Option<Listening>,
    pub(crate) hands: Hands,
    /// The namespaces that were applied; `None`: all of them.
    pub(crate) only: Option<BTreeSet<String>>,
    /// The run's id, which is a label of everything that it makes.
    pub(crate) run: String,
}

/// A control plane elsewhere, as the control side of a rehearsal.
pub struct Remote {
    platform: Arc<Platform>,
    nodes: Arc<[Node]>,
    config: ClusterConfig,
    wall: Wall,
    /// Between the run's clock and that of `wall` and `answers`.
    offset: Nanos,
    rest: Rest,
    post: Post,
    words: UnboundedReceiver<Word>,
    tasks: Vec<JoinHandle<()>>,
    writer: Writer,
    _listening: Option<Listening>,
    hands: Hands,
    only: Option<BTreeSet<String>>,
    run: String,
    answers: Arc<Answers>,
    kubelets: Kubelets,
    /// By id.
    records: Vec<PodRecord>,
    /// Of each workload, as of the last word: pods that there are, and of them, those that are ready.
    counts: Vec<(u32, u32)>,
    pods: Vec<Pod>,
    by_uid: BTreeMap<String, PodId>,
    ground: Vec<Ground>,
    silent: Silent,
    slices: BTreeMap<Key, Seen<Slice>>,
    endpoints: Arc<Endpoints>,
    rolls: Vec<Roll>,
    /// ReplicaSets by `uid`: whose they are and how large.
    sets: BTreeMap<String, (WorkloadId, u32)>,
    scalers: BTreeMap<Key, ScalerStatus>,
    /// What is set anew in the autoscaler of a workload.
    edits: BTreeMap<WorkloadId, AutoscalerEdit>,
    rollouts: u32,
    lost: Option<String>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("pods", &self.records.len()).field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl Remote {
    pub(crate) fn new(parts: Parts, clock: &Clock, teller: Arc<dyn Fn(ControlInput) + Send + Sync>) -> Self {
        let Parts { rest, platform, nodes, config, answers, died, wall, offset, listening, hands, only, run } = parts;
        let (sender, words) = unbounded_channel();
        let post = Post { words: sender, teller };
        let nodes: Arc<[Node]> = nodes.into();
        let silent = Silent::default();
        let beats = ground::beat(
            rest.clone(),
            clock.clone(),
            wall.later(offset),
            Arc::clone(&nodes),
            silent.clone(),
            LEASE_EVERY,
        );
        let mut tasks = vec![match died {
            Some(died) => tokio::spawn(tell_end(died, post.clone())),
            None => tokio::spawn(health::watch(rest.clone(), clock.clone(), post.clone())),
        }];
        if matches!(hands, Hands::Played) {
            tasks.push(tokio::spawn(beats));
        }
        Self {
            kubelets: Kubelets::new(Arc::clone(&platform), config.clone()),
            writer: Writer::new(&rest, &post),
            tasks,
            endpoints: Arc::new(Endpoints::empty(platform.services.len())),
            ground: nodes.iter().map(|_| Ground::default()).collect(),
            rolls: platform.workloads.iter().map(|_| Roll::default()).collect(),
            wall: wall.later(offset),
            records: Vec::new(),
            counts: vec![(0, 0); platform.workloads.len()],
            pods: Vec::new(),
            by_uid: BTreeMap::new(),
            slices: BTreeMap::new(),
            sets: BTreeMap::new(),
            scalers: BTreeMap::new(),
            edits: BTreeMap::new(),
            rollouts: 0,
            lost: None,
            platform,
            nodes,
            config,
            offset,
            rest,
            post,
            words,
            _listening: listening,
            hands,
            only,
            run,
            answers,
            silent,
        }
    }

    fn operator(&self) -> Operator {
        let journal = match &self.hands {
            Hands::Real { journal, .. } => Some(journal.clone()),
            Hands::Played => None,
        };
        Operator { rest: self.rest.clone(), post: self.post.clone(), journal }
    }

    fn begin(&mut self, now: Nanos, host: &mut dyn Host) {
        let only = self.only.as_ref().and_then(BTreeSet::first).map(String::as_str);
        self.tasks.extend(watching::start(&self.rest.client(), &self.post, only));
        for scraper in [Scraper::MetricsServer, Scraper::Prometheus] {
            if let Some((first, _)) = self.answers.meters(|meters| meters.schedule(scraper)) {
                host.wake(now + first, timer(slot(scraper), 0));
            }
        }
    }

    /// Listens to everything that has been said so far.
    fn listen(&mut self, now: Nanos, host: &mut dyn Host) {
        while let Ok(word) = self.words.try_recv() {
            match word {
                Word::Pod(pod) => self.pod_seen(now, &pod, host),
                Word::PodGone(uid) => self.pod_gone(now, &uid, host),
                Word::PodsListed(there) => {
                    let missing = |(uid, pod): (&String, &PodId)| {
                        let gone = self.records[pod.0 as usize].gone.is_some() || there.contains(uid);
                        (!gone).then(|| uid.clone())
                    };
                    let missing: Vec<String> = self.by_uid.iter().filter_map(missing).collect();
                    missing.iter().for_each(|uid| self.pod_gone(now, uid, host));
                }
                Word::Slice(slice) => self.slice_seen(*slice, host),
                Word::SliceGone(key) => self.slice_gone(&key, host),
                Word::Owner(kind, owner) => self.owner_seen(kind, &owner, host),
                Word::Scaler(scaler) => self.scaler_seen(&scaler, host),
                Word::Node(node) => self.node_seen(&node, host),
                Word::Event(event) => self.event_seen(now, &event, host),
                Word::Claim(claim) if matches!(self.hands, Hands::Played) => self.claim_seen(&claim),
                Word::Claim(_) => {} // provisioned by the cluster, if by anybody
                Word::Deed(outcome) => self.deed_done(outcome, host),
                Word::Silent(silence) => {
                    host.note(record::EventKind::ControlSilent { silent_us: silence.as_micros() });
                }
                Word::Lost(why) => drop(self.lost.get_or_insert(why)),
            }
        }
        self.tell_replicas(host);
    }

    fn scrape(&mut self, now: Nanos, scraper: Scraper, host: &mut dyn Host) {
        let mut usage = host.usage();
        usage.retain(|(pod, _)| self.is_heard(*pod));
        // The meters run by their own clock.
        let shifted = usage.into_iter().map(|(pod, mut usage)| {
            usage.started += self.offset;
            if let Hands::Real { share, .. } = self.hands {
                usage.cpu = Nanos::new((usage.cpu.get() as f64 * share) as u64);
            }
            (pod, usage)
        });
        let (usage, at): (Vec<_>, Nanos) = (shifted.collect(), now + self.offset);
        let records = &self.records;
        let next = self.answers.meters(|meters| {
            meters.store(at, scraper, &usage, |pod| records[pod.0 as usize].workload);
            meters.schedule(scraper)
        });
        if let Some((_, every)) = next {
            host.wake(now + every, timer(slot(scraper), 0));
        }
    }

    fn woken(&mut self, now: Nanos, wake: Wake, host: &mut dyn Host) {
        match wake.slot {
            METRICS_SERVER => self.scrape(now, Scraper::MetricsServer, host),
            PROMETHEUS => self.scrape(now, Scraper::Prometheus, host),
            JOB_ENDS => self.job_ends(now, PodId(wake.generation), host),
            _ => {}
        }
    }

    fn deed_done(&mut self, outcome: Outcome, host: &mut dyn Host) {
        use record::EventKind;
        match outcome {
            Outcome::Evicted { pod } => {
                host.note(EventKind::PodEvicted { pod, reason: "through the eviction subresource".to_owned() });
            }
            Outcome::Refused { pod, status, message } => {
                let budget = message.split_once("The disruption budget ").and_then(|(_, rest)| rest.split(' ').next());
                let budget = budget.map(str::to_owned);
                host.note(EventKind::EvictionRefused { pod, budget, status, reason: message });
            }
            Outcome::Drained { node } => {
                let node = self.nodes[node].name.clone();
                host.note(EventKind::NodeChanged { node, state: record::NodeState::Drained });
            }
            Outcome::Failed { what, why } => {
                self.lost.get_or_insert(format!("it does not {what}: {why}"));
            }
        }
    }
}

impl ControlSide for Remote {
    fn step(&mut self, now: Nanos, input: ControlInput, host: &mut dyn Host) {
        match input {
            ControlInput::Start => self.begin(now, host),
            ControlInput::Heard => self.listen(now, host),
            ControlInput::Act(action) => self.act(now, &action, host),
            ControlInput::Wake(ControlWake::Cluster(wake)) => self.woken(now, wake, host),
            ControlInput::Wake(ControlWake::Kubelet(..))
            | ControlInput::Probed { .. }
            | ControlInput::Drained(_)
            | ControlInput::Crashed { .. } => {
                if let Some((pod, input)) = self.kubelets.meant(input) {
                    self.kubelet(now, pod, input, host);
                }
            }
        }
    }

    fn settled(&self) -> bool {
        self.waits_for().is_none()
    }

    fn records(&self) -> &[PodRecord] {
        &self.records
    }

    fn waits_for(&self) -> Option<String> {
        self.unsettled_workload().or_else(|| self.unsettled_service())
    }

    fn never(&self, now: Nanos) -> Option<String> {
        self.refused_for_good(now)
    }

    fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

const fn slot(scraper: Scraper) -> u32 {
    match scraper {
        Scraper::MetricsServer => METRICS_SERVER,
        Scraper::Prometheus => PROMETHEUS,
    }
}

const fn timer(slot: u32, generation: u32) -> ControlWake {
    ControlWake::Cluster(Wake { slot, generation })
}

/// Says that a component has ended, when it has.
async fn tell_end(mut died: watch::Receiver<Option<String>>, post: Post) {
    if let Ok(told) = died.wait_for(Option::is_some).await {
        let why = told.clone().unwrap_or_default();
        drop(told);
        post.tell(Word::Lost(why));
    }
}
