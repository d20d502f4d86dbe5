//! Tables of the scheduler's rules, after what upstream's own tables are about, and properties of every binding.

mod affinity;
mod fit;
mod groups;
mod preemption;
mod properties;
mod spread;

use std::collections::BTreeMap;
use std::sync::Arc;

use platform::{
    Container, Labels, Node, Operator, Platform, Requirement, Resources, Selector, Taint, Toleration, Workload,
    WorkloadId,
};
use units::{Bytes, Draw, Millicores, Nanos, Purpose, Seed};

use super::{Candidate, Outcome, Scheduler};
use crate::PodId;

pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// `app=web` selects what bears that label.
#[expect(clippy::unnecessary_wraps, reason = "selectors of constraints are optional")]
pub(super) fn select(pair: &str) -> Option<Selector> {
    let (key, value) = pair.split_once('=').unwrap();
    Some(Selector { labels: labels(&[(key, value)]), expressions: vec![] })
}

pub(super) fn within(key: &str, values: &[&str]) -> Requirement {
    Requirement { key: key.into(), operator: Operator::In(values.iter().map(|v| (*v).to_owned()).collect()) }
}

/// A node of `cores` cores and 8 GiB with these labels.
pub(super) fn node(name: &str, cores: u64, pairs: &[(&str, &str)]) -> Node {
    Node {
        name: name.into(),
        labels: labels(pairs),
        cpu: Millicores::from_cores(cores),
        memory: Bytes::from_mebi(8_192),
        pods: 110,
        taints: vec![],
    }
}

/// Nodes `a1 a2 b1 …` of 4 cores: the letter is the zone.
pub(super) fn zoned(names: &str) -> Vec<Node> {
    names.split(' ').map(|name| node(name, 4, &[("zone", &name[..1])])).collect()
}

pub(super) fn tainted(mut node: Node, effect: platform::Effect) -> Node {
    node.taints.push(Taint { key: "dedicated".into(), value: "database".into(), effect });
    node
}

pub(super) fn tolerates_dedicated() -> Toleration {
    Toleration { key: Some("dedicated".into()), value: None, effect: None, seconds: None }
}

/// A workload whose pods ask for `milli` and bear `app=name`.
pub(super) fn workload(name: &str, milli: u64) -> Workload {
    let requests = Resources { cpu: Some(Millicores::new(milli)), memory: Some(Bytes::from_mebi(1)) };
    Workload {
        name: name.into(),
        namespace: "shop".into(),
        labels: labels(&[("app", name)]),
        containers: vec![Container { requests, ..Container::default() }],
        ..Workload::default()
    }
}

/// A scheduler with a count of the pods it was given.
pub(super) struct Bench {
    pub(super) scheduler: Scheduler,
    platform: Arc<Platform>,
    pub(super) pods: u32,
    pub(super) on: BTreeMap<PodId, usize>,
    pub(super) allowed: Vec<u32>,
}

impl Bench {
    pub(super) fn new(nodes: Vec<Node>, workloads: Vec<Workload>) -> Self {
        Self::of(nodes, Platform { workloads, ..Platform::default() })
    }

    pub(super) fn of(nodes: Vec<Node>, platform: Platform) -> Self {
        let platform = Arc::new(platform);
        let allowed = vec![0; platform.budgets.len()];
        let scheduler = Scheduler::new(Arc::clone(&platform), nodes);
        Self { scheduler, platform, pods: 0, on: BTreeMap::new(), allowed }
    }

    pub(super) fn candidate(&mut self, name: &str) -> Candidate {
        self.candidate_with(name, &[])
    }

    /// A pod of workload `name` with labels besides those of its template.
    pub(super) fn candidate_with(&mut self, name: &str, more: &[(&str, &str)]) -> Candidate {
        let index = self.platform.workloads.iter().position(|workload| workload.name == name).unwrap();
        let mut all = self.platform.workloads[index].labels.clone();
        all.extend(labels(more));
        self.pods += 1;
        Candidate { pod: PodId(self.pods), workload: WorkloadId(index as u16), labels: Arc::new(all), only: None }
    }

    pub(super) fn schedule(&mut self, candidate: &Candidate) -> Outcome {
        self.schedule_at(Nanos::from_secs(u64::from(candidate.pod.0)), candidate)
    }

    pub(super) fn schedule_at(&mut self, now: Nanos, candidate: &Candidate) -> Outcome {
        let allowed = self.allowed.clone();
        let outcome = self.scheduler.schedule(now, candidate, tie(u64::from(candidate.pod.0)), &allowed);
        if let Outcome::Bound(node) = outcome {
            self.on.insert(candidate.pod, node);
        }
        outcome
    }

    /// Puts a pod of workload `name` on the node called `at`, whatever the rules say.
    pub(super) fn put(&mut self, name: &str, at: &str) -> PodId {
        let candidate = self.candidate(name);
        self.stand(candidate, at)
    }

    pub(super) fn stand(&mut self, candidate: Candidate, at: &str) -> PodId {
        let node = self.index(at);
        let pod = candidate.pod;
        let since = Nanos::from_secs(u64::from(pod.0));
        let placed = super::Placed { candidate, since, ending: false, preempted: false };
        self.scheduler.inventory.place(node, placed);
        self.on.insert(pod, node);
        pod
    }

    pub(super) fn index(&self, name: &str) -> usize {
        let places = &self.scheduler.inventory.places;
        places.iter().position(|place| place.node.name == name).unwrap()
    }

    /// Names of the nodes that a pod of `name` may go to.
    pub(super) fn open_to(&mut self, name: &str) -> String {
        let candidate = self.candidate(name);
        self.open_to_candidate(&candidate)
    }

    pub(super) fn open_to_candidate(&mut self, candidate: &Candidate) -> String {
        let nodes: Vec<_> = self.scheduler.present().map(|(index, _)| index).collect();
        let (fits, _) = self.scheduler.fits(candidate, &nodes);
        let names = fits.iter().map(|index| self.scheduler.place(*index).node.name.as_str());
        names.collect::<Vec<_>>().join(" ")
    }

    /// Binds a pod of `name`: the name of its node.
    pub(super) fn bind(&mut self, name: &str) -> String {
        let candidate = self.candidate(name);
        match self.schedule(&candidate) {
            Outcome::Bound(node) => self.scheduler.place(node).node.name.clone(),
            Outcome::Refused { reason, .. } => reason,
        }
    }

    /// What is told about a pod of `name` that no node takes.
    pub(super) fn refusal(&mut self, name: &str) -> String {
        let candidate = self.candidate(name);
        match self.schedule(&candidate) {
            Outcome::Bound(node) => panic!("bound to {}", self.scheduler.place(node).node.name),
            Outcome::Refused { reason, .. } => reason,
        }
    }
}

pub(super) fn tie(n: u64) -> Draw {
    Seed::new(1).draw_nth(n, Purpose::Phase)
}

#[test]
fn prefers_the_emptier_node_and_draws_between_equals() {
    let nodes = || vec![node("small", 2, &[]), node("large", 16, &[])];
    assert_eq!(Bench::new(nodes(), vec![workload("web", 500)]).bind("web"), "large");
    let picks: Vec<_> = (0..64)
        .map(|nth| {
            let mut bench = Bench::new(zoned("x y"), vec![workload("web", 500)]);
            bench.pods = nth;
            bench.bind("web")
        })
        .collect();
    assert!(picks.contains(&"x".to_owned()) && picks.contains(&"y".to_owned()), "chance decides between equals");
}

#[test]
fn a_pod_that_ends_holds_its_room_until_it_has_gone() {
    let mut bench = Bench::new(vec![node("only", 1, &[])], vec![workload("web", 800)]);
    assert_eq!(bench.bind("web"), "only");
    bench.scheduler.ending(0, PodId(1));
    assert!(bench.bind("web").starts_with("0/1 nodes"));
    bench.scheduler.release(0, PodId(1));
    assert_eq!(bench.bind("web"), "only");
}
