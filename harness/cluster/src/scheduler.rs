//! Which node a pod is bound to, or why none will do.
//!
//! Follows kube-scheduler's default profile (`pkg/scheduler/framework/plugins`): filters taints, node selector and
//! resources in that order; scores taints (weight 3), topology spread (2), least allocated (1) and balanced
//! allocation (1); breaks ties by a keyed draw where upstream draws at random.
//!
//! Simplified: spread constraints and affinities of the pod itself are not read, so spreading is the built-in soft
//! default (zone 5, hostname 3) with every node its own hostname; there is no preemption; nominated pods, image
//! locality and percentage-of-nodes sampling do not occur. The reason names the taint, as releases up to 1.33 print
//! it; 1.34 leaves it out.

use std::collections::BTreeMap;

use platform::{Effect, Labels, Node, Resources, Toleration, Workload, WorkloadId};
use units::{Bytes, Draw, Millicores};

const ZONE: &str = "topology.kubernetes.io/zone";
/// `pkg/scheduler/util/pod_resources.go`: what a pod without requests counts as when nodes are scored.
const DEFAULT_CPU: u64 = 100;
const DEFAULT_MEMORY: u64 = 200 << 20;
/// `systemDefaultConstraints` in `podtopologyspread/plugin.go`.
const ZONE_MAX_SKEW: f64 = 5.0;
const HOSTNAME_MAX_SKEW: f64 = 3.0;

/// What is bound to one node.
#[derive(Clone, Debug, Default)]
struct Bound {
    cpu: Millicores,
    memory: Bytes,
    scored_cpu: u64,
    scored_memory: u64,
    pods: u32,
    /// Pods by workload that are not ending.
    spread: BTreeMap<WorkloadId, u32>,
}

/// Nodes and what is bound to them.
#[derive(Debug)]
pub(crate) struct Scheduler {
    nodes: Vec<Node>,
    bound: Vec<Bound>,
}

impl Scheduler {
    pub(crate) fn new(nodes: Vec<Node>) -> Self {
        Self { bound: vec![Bound::default(); nodes.len()], nodes }
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// Binds a pod of `workload`: the index of its node, or why there is none.
    pub(crate) fn bind(&mut self, id: WorkloadId, workload: &Workload, tie: Draw) -> Result<usize, String> {
        let requests = workload.requests();
        let mut fits = Vec::new();
        let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let refused = refusals(node, &self.bound[index], workload, requests);
            if refused.is_empty() {
                fits.push(index);
            }
            for reason in refused {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        if fits.is_empty() {
            return Err(unschedulable(self.nodes.len(), &reasons));
        }
        let scores = self.scores(id, workload, requests, &fits);
        let best = scores.iter().max().expect("one node fits at least");
        let ties: Vec<_> =
            fits.iter().zip(&scores).filter(|(_, score)| *score == best).map(|(node, _)| *node).collect();
        let node = ties[tie.below(ties.len())];

        let (cpu, memory) = scored(requests);
        let bound = &mut self.bound[node];
        bound.cpu = bound.cpu + requests.cpu.unwrap_or_default();
        bound.memory = bound.memory + requests.memory.unwrap_or_default();
        bound.scored_cpu += cpu;
        bound.scored_memory += memory;
        bound.pods += 1;
        *bound.spread.entry(id).or_default() += 1;
        Ok(node)
    }

    /// A bound pod is ending: it still holds its resources, but spreading looks past it.
    pub(crate) fn ending(&mut self, node: usize, id: WorkloadId) {
        if let Some(count) = self.bound[node].spread.get_mut(&id) {
            *count -= 1;
        }
    }

    /// A bound pod has gone, after [`Self::ending`].
    pub(crate) fn release(&mut self, node: usize, workload: &Workload) {
        let requests = workload.requests();
        let (cpu, memory) = scored(requests);
        let bound = &mut self.bound[node];
        bound.cpu = bound.cpu - requests.cpu.unwrap_or_default();
        bound.memory = bound.memory - requests.memory.unwrap_or_default();
        bound.scored_cpu -= cpu;
        bound.scored_memory -= memory;
        bound.pods -= 1;
    }

    fn scores(&self, id: WorkloadId, workload: &Workload, requests: Resources, fits: &[usize]) -> Vec<i64> {
        let taints: Vec<i64> = fits.iter().map(|node| avoided_taints(&self.nodes[*node], workload)).collect();
        let most_taints = taints.iter().copied().max().unwrap_or(0);
        let spread = self.spread(id, &workload.node_selector, fits);
        let (fewest, most) = (spread.iter().copied().min().unwrap_or(0), spread.iter().copied().max().unwrap_or(0));
        let (cpu, memory) = scored(requests);
        fits.iter()
            .enumerate()
            .map(|(i, index)| {
                let (node, bound) = (&self.nodes[*index], &self.bound[*index]);
                let taint = if most_taints == 0 { 100 } else { 100 - 100 * taints[i] / most_taints };
                let topology = if most == 0 { 100 } else { 100 * (most + fewest - spread[i]) / most };
                let asked =
                    [(bound.scored_cpu + cpu, node.cpu.get()), (bound.scored_memory + memory, node.memory.get())];
                let real = [
                    ((bound.cpu + requests.cpu.unwrap_or_default()).get(), node.cpu.get()),
                    ((bound.memory + requests.memory.unwrap_or_default()).get(), node.memory.get()),
                ];
                3 * taint + 2 * topology + least_allocated(asked) + balanced(real)
            })
            .collect()
    }

    /// `podtopologyspread/scoring.go` with the built-in constraints: the more pods of the same workload in a node's
    /// zone and on the node itself, the worse.
    fn spread(&self, id: WorkloadId, selector: &Labels, fits: &[usize]) -> Vec<i64> {
        let of = |bound: &Bound| f64::from(bound.spread.get(&id).copied().unwrap_or(0));
        let mut zones: BTreeMap<Option<&String>, f64> = BTreeMap::new();
        for node in fits {
            zones.insert(self.nodes[*node].labels.get(ZONE), 0.0);
        }
        for (node, bound) in self.nodes.iter().zip(&self.bound) {
            if let Some(count) = zones.get_mut(&node.labels.get(ZONE)).filter(|_| selects(selector, node)) {
                *count += of(bound);
            }
        }
        let (zone_weight, node_weight) = (libm::log((zones.len() + 2) as f64), libm::log((fits.len() + 2) as f64));
        let score = |node: &usize| {
            let on_node = of(&self.bound[*node]) * node_weight + (HOSTNAME_MAX_SKEW - 1.0);
            let zone = self.nodes[*node].labels.get(ZONE);
            let in_zone = zone.map_or(0.0, |_| zones[&zone] * zone_weight + (ZONE_MAX_SKEW - 1.0));
            libm::round(on_node + in_zone) as i64
        };
        fits.iter().map(score).collect()
    }
}

/// Why `node` will not do; a node that lacks several resources tells all of them, as `noderesources/fit.go` does.
fn refusals(node: &Node, bound: &Bound, workload: &Workload, requests: Resources) -> Vec<String> {
    let taint = node.taints.iter().filter(|taint| taint.effect != Effect::PreferNoSchedule);
    if let Some(taint) = taint.into_iter().find(|taint| !workload.tolerations.iter().any(|t| t.tolerates(taint))) {
        return vec![format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value)];
    }
    if !selects(&workload.node_selector, node) {
        return vec!["node(s) didn't match Pod's node affinity/selector".to_owned()];
    }
    let cpu = requests.cpu.unwrap_or_default();
    let memory = requests.memory.unwrap_or_default();
    let lacks = [
        ("Too many pods", bound.pods + 1 > node.pods),
        ("Insufficient cpu", cpu > Millicores::ZERO && cpu > node.cpu - bound.cpu),
        ("Insufficient memory", memory > Bytes::ZERO && memory > node.memory - bound.memory),
    ];
    lacks.into_iter().filter(|(_, lacks)| *lacks).map(|(reason, _)| reason.to_owned()).collect()
}

/// `FitError.Error()`: reasons with their counts, sorted as text.
fn unschedulable(nodes: usize, reasons: &BTreeMap<String, u32>) -> String {
    let mut told: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    told.sort();
    match told.as_slice() {
        [] => "no nodes available to schedule pods".to_owned(),
        told => format!("0/{nodes} nodes are available: {}.", told.join(", ")),
    }
}

fn selects(selector: &Labels, node: &Node) -> bool {
    selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
}

/// `tainttoleration`: taints of effect `PreferNoSchedule` that nothing tolerates.
fn avoided_taints(node: &Node, workload: &Workload) -> i64 {
    let counts = |t: &&Toleration| t.effect.is_none_or(|effect| effect == Effect::PreferNoSchedule);
    let avoided = node.taints.iter().filter(|taint| {
        taint.effect == Effect::PreferNoSchedule
            && !workload.tolerations.iter().filter(counts).any(|t| t.tolerates(taint))
    });
    avoided.count() as i64
}

fn scored(requests: Resources) -> (u64, u64) {
    (requests.cpu.map_or(DEFAULT_CPU, Millicores::get), requests.memory.map_or(DEFAULT_MEMORY, Bytes::get))
}

/// `noderesources/least_allocated.go`, in integers.
fn least_allocated(resources: [(u64, u64); 2]) -> i64 {
    let free = |(asked, has): (u64, u64)| {
        if asked > has { 0 } else { (u128::from(has - asked) * 100 / u128::from(has.max(1))) as i64 }
    };
    let known: Vec<i64> = resources.into_iter().filter(|(_, has)| *has > 0).map(free).collect();
    if known.is_empty() { 0 } else { known.iter().sum::<i64>() / known.len() as i64 }
}

/// `noderesources/balanced_allocation.go` for two resources.
fn balanced(resources: [(u64, u64); 2]) -> i64 {
    let [cpu, memory] = resources.map(|(asked, has)| if has == 0 { 0.0 } else { (asked as f64 / has as f64).min(1.0) });
    let deviation = if resources.iter().any(|(_, has)| *has == 0) { 0.0 } else { (cpu - memory).abs() / 2.0 };
    ((1.0 - deviation) * 100.0) as i64
}

#[cfg(test)]
mod tests {
    use platform::{Container, Strategy, Taint};
    use units::{Nanos, Purpose, Seed};

    use super::*;

    const ID: WorkloadId = WorkloadId(0);

    fn node(name: &str, zone: &str, cores: u64) -> Node {
        Node {
            name: name.into(),
            labels: [(ZONE.to_owned(), zone.to_owned()), ("kind".to_owned(), "app".to_owned())].into(),
            cpu: Millicores::from_cores(cores),
            memory: Bytes::from_mebi(8_192),
            pods: 110,
            taints: vec![],
        }
    }
    fn tainted(name: &str, effect: Effect) -> Node {
        let taint = Taint { key: "dedicated".into(), value: "database".into(), effect };
        Node { taints: vec![taint], ..node(name, "a", 4) }
    }
    fn workload(milli: u64) -> Workload {
        let requests = Resources { cpu: Some(Millicores::new(milli)), memory: Some(Bytes::from_mebi(256)) };
        Workload {
            name: "web".into(),
            replicas: None,
            labels: Labels::new(),
            containers: vec![Container { requests, ..Container::default() }],
            strategy: Strategy::default(),
            min_ready: Nanos::ZERO,
            grace_period: Nanos::from_secs(30),
            node_selector: Labels::new(),
            tolerations: vec![],
            ..Workload::default()
        }
    }
    fn tie(n: u64) -> Draw {
        Seed::new(1).draw_nth(n, Purpose::Phase)
    }

    #[test]
    fn reasons_read_as_kubectl_tells_them() {
        let mut nodes: Vec<_> = (0..6).map(|i| node(&format!("app-{i}"), "a", 1)).collect();
        nodes.extend((0..3).map(|i| tainted(&format!("db-{i}"), Effect::NoSchedule)));
        let mut scheduler = Scheduler::new(nodes.clone());
        assert_eq!(
            scheduler.bind(ID, &workload(2_000), tie(0)).unwrap_err(),
            "0/9 nodes are available: 3 node(s) had untolerated taint {dedicated: database}, 6 Insufficient cpu."
        );
        let mut picky = workload(100);
        picky.node_selector.insert("kind".into(), "gpu".into());
        picky.tolerations.push(Toleration { key: Some("dedicated".into()), value: None, effect: None });
        assert_eq!(
            scheduler.bind(ID, &picky, tie(0)).unwrap_err(),
            "0/9 nodes are available: 9 node(s) didn't match Pod's node affinity/selector."
        );
        let full = Node { pods: 0, cpu: Millicores::ZERO, ..nodes[0].clone() };
        assert_eq!(
            Scheduler::new(vec![full]).bind(ID, &workload(100), tie(0)).unwrap_err(),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Too many pods."
        );
        assert_eq!(
            Scheduler::new(vec![]).bind(ID, &workload(1), tie(0)).unwrap_err(),
            "no nodes available to schedule pods"
        );
    }

    #[test]
    fn spreads_over_zones_before_it_fills_one() {
        let nodes: Vec<_> = ["a", "a", "b", "b", "c", "c"].iter().map(|zone| node("n", zone, 8)).collect();
        for round in 0..20 {
            let mut scheduler = Scheduler::new(nodes.clone());
            let mut zones: Vec<_> =
                (0..3).map(|i| scheduler.bind(ID, &workload(100), tie(round * 10 + i)).unwrap() / 2).collect();
            zones.sort_unstable();
            assert_eq!(zones, [0, 1, 2]);
        }
    }

    #[test]
    fn prefers_the_emptier_node_and_draws_between_equals() {
        let mut scheduler = Scheduler::new(vec![node("small", "a", 2), node("large", "a", 16)]);
        assert_eq!(scheduler.bind(ID, &workload(500), tie(0)), Ok(1));
        let equal = || Scheduler::new(vec![node("x", "a", 4), node("y", "a", 4)]);
        let picks: Vec<_> = (0..64).map(|i| equal().bind(ID, &workload(500), tie(i)).unwrap()).collect();
        assert!(picks.contains(&0) && picks.contains(&1), "chance decides between equals");
    }

    #[test]
    fn a_soft_taint_is_avoided_but_not_forbidden() {
        let mut scheduler = Scheduler::new(vec![tainted("db", Effect::PreferNoSchedule), node("app", "a", 1)]);
        assert_eq!(scheduler.bind(ID, &workload(900), tie(0)), Ok(1));
        assert_eq!(scheduler.bind(ID, &workload(900), tie(1)), Ok(0), "the other one is full");
    }

    #[test]
    fn a_pod_that_ends_holds_its_room_until_it_has_gone() {
        let mut scheduler = Scheduler::new(vec![node("only", "a", 1)]);
        let web = workload(800);
        assert_eq!(scheduler.bind(ID, &web, tie(0)), Ok(0));
        scheduler.ending(0, ID);
        assert!(scheduler.bind(ID, &web, tie(1)).is_err());
        scheduler.release(0, &web);
        assert_eq!(scheduler.bind(ID, &web, tie(2)), Ok(0));
    }
}
