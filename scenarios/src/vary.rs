//! A plan with something changed: more load, other replicas, no autoscaler, fewer nodes.
//!
//! Owns what a question such as "and with twice the load?" does to a plan. Nothing else moves, chance included: the
//! same seed draws the same for every request that both plans have, so two variations are compared request by request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use platform::{Platform, Resources, WorkloadId};
use units::{Rate, Seed};

use crate::check::CLIENTS_MAX;
use crate::crowd::USERS_MAX;
use crate::{Crowd, Fault, FaultKind, Headcount, LoadPlan, Plan, Segment, Stream};

/// What is changed of a plan before it is played. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variation {
    /// How much load.
    pub load: LoadScale,
    /// Workloads with a fixed number of pods: their autoscalers are taken away.
    pub replicas: BTreeMap<WorkloadId, u32>,
    /// Other bounds of autoscalers: `minReplicas` and `maxReplicas`.
    pub bounds: BTreeMap<WorkloadId, (u32, u32)>,
    /// Whether autoscalers act.
    pub autoscaling: Autoscaling,
    /// Other requests and limits of the container that serves.
    pub resources: BTreeMap<WorkloadId, (Resources, Resources)>,
    /// Nodes that are not there, by their index.
    pub nodes_gone: BTreeSet<usize>,
    /// Nothing goes wrong: neither faults nor what is expected of them.
    pub faultless: bool,
}

/// How much load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum LoadScale {
    /// As the scenario says.
    #[default]
    AsWritten,
    /// So many times as much, see [`LoadPlan::scaled`].
    Times(f64),
    /// So that the scenario's peak is this many requests a second, see [`LoadPlan::peak_rate`].
    Peak(f64),
}

/// Whether autoscalers act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Autoscaling {
    /// As declared.
    #[default]
    AsDeclared,
    /// Not at all: every workload keeps the replicas that it begins with.
    Off,
}

/// Why a plan cannot be varied so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum VariationError {
    /// No factor.
    #[error("load cannot be scaled by {0}: give a number above zero")]
    Factor(f64),
    /// No rate.
    #[error("{0} requests a second is no load: give a number above zero")]
    Rate(f64),
    /// Recorded instants are what they are.
    #[error("load cannot be scaled: the scenario replays recorded instants")]
    Replay,
    /// More addresses than there are.
    #[error("at that load sessions come from {0} client addresses: {CLIENTS_MAX} is the most")]
    Clients(u64),
    /// More users than can be numbered.
    #[error("at that load there are {0} users at once: {USERS_MAX} is the most in one load")]
    Users(u64),
    /// Rounding leaves nobody.
    #[error("at that load nobody ever arrives")]
    Nobody,
    /// Bounds that the API would refuse.
    #[error("{workload}: {min} to {max} replicas: the minimum is at least 1 and at most the maximum")]
    Bounds {
        /// Of which workload.
        workload: String,
        /// Minimum.
        min: u32,
        /// Maximum.
        max: u32,
    },
    /// A fault is about a node that is taken away.
    #[error("fault `{fault}` is about node {node}, which this variation takes away")]
    Node {
        /// Which fault.
        fault: String,
        /// Which node.
        node: String,
    },
    /// Nothing to stand on.
    #[error("no node is left")]
    NoNode,
}

impl LoadPlan {
    /// So many times as many users: rates and head counts grow, and so do the addresses they come from, so that each
    /// client asks as often as before. What comes from one address still does.
    pub fn scaled(&self, by: f64) -> Result<Self, VariationError> {
        if !(by.is_finite() && by > 0.0) {
            return Err(VariationError::Factor(by));
        }
        if self.streams.iter().any(|stream| !stream.times.is_empty()) {
            return Err(VariationError::Replay);
        }
        let (addresses, clients) = self.spread(by)?;
        let rate = |rate: Rate| Rate::from_milli((rate.milli() as f64 * by).round() as u64);
        let stream = |stream: &Stream| {
            let (first_client, clients) = addresses[&(stream.first_client, stream.clients)];
            let segment = |s: &Segment| Segment { from: rate(s.from), to: rate(s.to), ..*s };
            Stream { first_client, clients, rate: stream.rate.iter().map(segment).collect(), ..stream.clone() }
        };
        let crowd = |crowd: &Crowd| {
            let (first_client, clients) = addresses[&(crowd.first_client, crowd.clients)];
            let users = |users: u32| (f64::from(users) * by).round() as u32;
            let part = |part: &Headcount| Headcount { from: users(part.from), to: users(part.to), ..*part };
            Crowd { first_client, clients, users: crowd.users.iter().map(part).collect(), ..crowd.clone() }
        };
        let scaled = Self {
            streams: self.streams.iter().map(stream).collect(),
            crowds: self.crowds.iter().map(crowd).collect(),
            clients,
            ..self.clone()
        };
        let most = scaled.crowds.iter().map(Crowd::peak).max().unwrap_or(0);
        if most > USERS_MAX {
            return Err(VariationError::Users(u64::from(most)));
        }
        let silent = scaled.streams.iter().map(Stream::sessions).sum::<f64>() < 1.0;
        if silent && most == 0 { Err(VariationError::Nobody) } else { Ok(scaled) }
    }

    /// Where each range of addresses lies when there are so many times as many, and how many there are in all.
    #[expect(clippy::type_complexity, reason = "a table of ranges, used once")]
    fn spread(&self, by: f64) -> Result<(BTreeMap<(u32, u32), (u32, u32)>, u32), VariationError> {
        let streams = self.streams.iter().map(|stream| (stream.first_client, stream.clients));
        let ranges: BTreeSet<_> = streams.chain(self.crowds.iter().map(|c| (c.first_client, c.clients))).collect();
        let (mut next, mut spread) = (0_u64, BTreeMap::new());
        for range in ranges {
            let clients = if range.1 == 1 { 1 } else { (f64::from(range.1) * by).ceil().max(1.0) as u64 };
            if next + clients > CLIENTS_MAX {
                return Err(VariationError::Clients(next + clients));
            }
            spread.insert(range, (next as u32, clients as u32));
            next += clients;
        }
        Ok((spread, next as u32))
    }
}

impl Plan {
    /// The same with another seed.
    #[must_use]
    pub fn seeded(&self, seed: Seed) -> Self {
        let mut plan = self.clone();
        plan.load.seed = seed;
        plan
    }

    /// The same with something changed.
    pub fn varied(&self, by: &Variation) -> Result<Self, VariationError> {
        let mut plan = self.clone();
        match by.load {
            LoadScale::AsWritten => {}
            LoadScale::Times(factor) => plan.load = self.load.scaled(factor)?,
            LoadScale::Peak(rate) if rate.is_finite() && rate > 0.0 => {
                plan.load = self.load.scaled(rate / self.load.peak_rate())?;
            }
            LoadScale::Peak(rate) => return Err(VariationError::Rate(rate)),
        }
        if by.faultless {
            plan.faults.clear();
            plan.expectations.clear();
        }
        plan.without_nodes(&by.nodes_gone)?;
        let platform = Arc::make_mut(&mut plan.platform);
        for (workload, (min, max)) in &by.bounds {
            if *min == 0 || min > max {
                let workload = platform.workload(*workload).name.clone();
                return Err(VariationError::Bounds { workload, min: *min, max: *max });
            }
            let own = platform.autoscalers.iter_mut().filter(|autoscaler| autoscaler.target == Some(*workload));
            own.for_each(|autoscaler| (autoscaler.min, autoscaler.max) = (*min, *max));
        }
        fix_replicas(platform, by);
        for (workload, (requests, limits)) in &by.resources {
            if let Some(serving) = platform.workloads[usize::from(workload.0)].containers.first_mut() {
                (serving.requests, serving.limits) = (*requests, *limits);
            }
        }
        Ok(plan)
    }

    fn without_nodes(&mut self, gone: &BTreeSet<usize>) -> Result<(), VariationError> {
        if gone.is_empty() {
            return Ok(());
        }
        let place = |node: usize| (!gone.contains(&node)).then(|| node - gone.range(..node).count());
        for fault in &mut self.faults {
            let Fault { name, kind, .. } = fault;
            let lost = |node: usize, nodes: &[platform::Node]| VariationError::Node {
                fault: name.clone(),
                node: nodes.get(node).map_or(String::new(), |node| node.name.clone()),
            };
            match kind {
                FaultKind::NodeDrain { node }
                | FaultKind::NodeLoss { node }
                | FaultKind::Partition { node }
                | FaultKind::NoisyNeighbour { node, .. } => {
                    *node = place(*node).ok_or_else(|| lost(*node, &self.nodes))?;
                }
                FaultKind::ZoneLoss { nodes, .. } => *nodes = nodes.iter().filter_map(|node| place(*node)).collect(),
                _ => {}
            }
        }
        let mut index = 0..;
        self.nodes.retain(|_| index.next().is_none_or(|index| !gone.contains(&index)));
        if self.nodes.is_empty() { Err(VariationError::NoNode) } else { Ok(()) }
    }
}

fn fix_replicas(platform: &mut Platform, by: &Variation) {
    let off = by.autoscaling == Autoscaling::Off;
    let Platform { autoscalers, workloads, .. } = platform;
    autoscalers.retain(|autoscaler| {
        let Some(target) = autoscaler.target else { return !off };
        if off {
            // What the autoscaler would have begun with.
            let begins = workloads[usize::from(target.0)].replicas.unwrap_or(1).clamp(autoscaler.min, autoscaler.max);
            workloads[usize::from(target.0)].replicas = Some(begins);
        }
        !off && !by.replicas.contains_key(&target)
    });
    for (workload, replicas) in &by.replicas {
        workloads[usize::from(workload.0)].replicas = Some(*replicas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;

    fn load(load: &str) -> LoadPlan {
        let text = format!(
            "apiVersion: rehearse/v1\nkind: Scenario\nmetadata: {{name: t, question: q}}\nspec:\n  host: h\n  \
             timeout: 1s\n  phases: [{{name: all, kind: steady, duration: 60s}}]\n  journeys:\n    j: {{flow: f, \
             steps: [{{name: a, request: GET /a}}]}}\n    k: {{flow: f, steps: [{{name: b, request: GET /b}}]}}\n  \
             load:\n{load}"
        );
        Scenario::parse(&text, "t.yaml").unwrap().load(Seed::new(1))
    }

    const MIXED: &str = "    - {mix: {j: 50 %, k: 50 %}, clients: 10, rate: {all: 8/s}}\n    - {journey: j, clients: 1, \
                         rate: {all: 2/s}}\n    - {journey: k, users: {all: 0 to 20}}\n";

    #[test]
    fn twice_the_load_comes_from_twice_the_addresses() {
        let twice = load(MIXED).scaled(2.0).unwrap();
        let rates: Vec<_> = twice.streams.iter().map(Stream::peak).collect();
        assert_eq!(rates, [8.0, 8.0, 4.0]);
        let ranges: Vec<_> = twice.streams.iter().map(|stream| (stream.first_client, stream.clients)).collect();
        assert_eq!(ranges, [(0, 20), (0, 20), (20, 1)], "a mix shares its addresses, and one address stays one");
        assert_eq!((twice.crowds[0].peak(), twice.crowds[0].first_client, twice.crowds[0].clients), (40, 21, 40));
        assert_eq!(twice.clients, 61);
        assert_eq!(load(MIXED).scaled(1.0).unwrap(), load(MIXED));
    }

    #[test]
    fn what_cannot_be_scaled_is_refused() {
        let plan = load(MIXED);
        for by in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(plan.scaled(by), Err(VariationError::Factor(_))), "{by}");
        }
        assert!(matches!(plan.scaled(1e5), Err(VariationError::Clients(_))));
        assert!(matches!(plan.scaled(1e-4), Err(VariationError::Nobody)));
        let replay = load("    - {journey: j, clients: 1, replay: {times: [1s]}}\n");
        assert_eq!(replay.scaled(2.0), Err(VariationError::Replay));
    }
}
