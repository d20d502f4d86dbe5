//! The node lifecycle controller: when a silent node is noticed, and when its pods are told to go.
//!
//! Follows `pkg/controller/nodelifecycle/node_lifecycle_controller.go` with the defaults of 1.34: nodes renew a lease
//! every 10 s, are looked at every 5 s, and after more than 50 s without news are marked NotReady; 45 to 60 s after
//! their last moment, by the phase of their lease. Then, one node of a zone in 10 s, they get the taint
//! `unreachable:NoExecute` that evicts pods. Where more than half of a zone is silent (three nodes at least, 55 %), that
//! stops in clusters of up to 50 nodes and slows down to a tenth in larger ones. Where every node is silent, the control
//! plane takes itself for the one that is cut off: no taints, and 50 s anew for all once somebody is heard.
//!
//! The taint is put at the 5 s tick instead of the queue's own of 100 ms.

use std::collections::BTreeMap;

use platform::Node;
use units::{Nanos, Purpose, Seed};

/// `--node-monitor-period`.
pub(crate) const MONITOR_PERIOD: Nanos = Nanos::from_secs(5);
/// `--node-monitor-grace-period`: 50 s since 1.32.
const GRACE_PERIOD: Nanos = Nanos::from_secs(50);
/// A quarter of `nodeLeaseDurationSeconds`, 40 s.
const LEASE_RENEWAL: Nanos = Nanos::from_secs(10);
/// `--node-eviction-rate` 0.1 and `--secondary-node-eviction-rate` 0.01 a second.
const EVICTION_PERIOD: Nanos = Nanos::from_secs(10);
const SECONDARY_EVICTION_PERIOD: Nanos = Nanos::from_secs(100);
/// `--large-cluster-size-threshold`, by zone.
const LARGE_ZONE: usize = 50;
/// `--unhealthy-zone-threshold`, in percent.
const UNHEALTHY_PERCENT: usize = 55;

/// What a look at the nodes changed, by the node's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Condition Ready is Unknown: its pods count as unready, new ones stay away.
    NotReady(usize),
    /// It was heard again.
    Ready(usize),
    /// `unreachable:NoExecute` was put on it.
    Tainted(usize),
    /// That taint was taken off.
    Untainted(usize),
}

#[derive(Debug)]
struct Health {
    zone: usize,
    /// When it renews its lease, modulo the renewal period.
    phase: Nanos,
    silent: bool,
    /// When news of it were seen last, while it is silent.
    seen: Nanos,
    ready: bool,
    tainted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disruption {
    Normal,
    Partial,
    Full,
}

/// What the controller knows of the nodes.
#[derive(Debug)]
pub(crate) struct NodeLifecycle {
    leases: Seed,
    nodes: BTreeMap<usize, Health>,
    /// Region and zone, to their number.
    zones: BTreeMap<(String, String), usize>,
    /// When the next node of each zone may be tainted.
    next_taint: Vec<Nanos>,
    all_silent: bool,
}

impl NodeLifecycle {
    pub(crate) fn new(seed: Seed) -> Self {
        let leases = seed.child("node-leases");
        Self { leases, nodes: BTreeMap::new(), zones: BTreeMap::new(), next_taint: Vec::new(), all_silent: false }
    }

    /// A node registers.
    pub(crate) fn add(&mut self, index: usize, node: &Node) {
        let label = |key: &str| node.labels.get(key).cloned().unwrap_or_default();
        let key = (label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"));
        let next = self.zones.len();
        let zone = *self.zones.entry(key).or_insert(next);
        self.next_taint.resize(self.zones.len(), Nanos::ZERO);
        let phase = self.leases.draw_nth(index as u64, Purpose::Phase).below(LEASE_RENEWAL.as_millis() as usize);
        let phase = Nanos::from_millis(phase as u64);
        let health = Health { zone, phase, silent: false, seen: Nanos::ZERO, ready: true, tainted: false };
        self.nodes.insert(index, health);
    }

    /// A node was removed.
    pub(crate) fn remove(&mut self, index: usize) {
        self.nodes.remove(&index);
    }

    /// Whether a node's condition Ready is True.
    pub(crate) fn is_ready(&self, index: usize) -> bool {
        self.nodes.get(&index).is_none_or(|node| node.ready)
    }

    /// A node renews its lease no more.
    pub(crate) fn falls_silent(&mut self, now: Nanos, node: usize) {
        let Some(health) = self.nodes.get_mut(&node) else { return };
        if !std::mem::replace(&mut health.silent, true) {
            let since = now - health.phase;
            let renewed = health.phase + LEASE_RENEWAL * (since.get() / LEASE_RENEWAL.get());
            // Before its first renewal it was seen when it registered.
            health.seen = if now < health.phase { Nanos::ZERO } else { tick_at_or_after(renewed) };
        }
    }

    /// A node renews its lease again.
    pub(crate) fn is_heard(&mut self, node: usize) {
        if let Some(health) = self.nodes.get_mut(&node) {
            health.silent = false;
        }
    }

    /// Whether the next look could change anything.
    pub(crate) fn is_quiet(&self) -> bool {
        self.nodes.values().all(|node| !node.silent && node.ready && !node.tainted)
    }

    /// One look at all nodes (`monitorNodeHealth`).
    pub(crate) fn look(&mut self, now: Nanos) -> Vec<Change> {
        let mut changes = Vec::new();
        for (&index, node) in &mut self.nodes {
            let ready = !node.silent || now <= node.seen + GRACE_PERIOD;
            match (node.ready, ready) {
                (true, false) => changes.push(Change::NotReady(index)),
                (false, true) => {
                    changes.push(Change::Ready(index));
                    if std::mem::take(&mut node.tainted) {
                        changes.push(Change::Untainted(index));
                    }
                }
                _ => {}
            }
            node.ready = ready;
        }
        let zones: Vec<(Disruption, usize)> = (0..self.next_taint.len()).map(|zone| self.disruption(zone)).collect();
        let all_silent = zones.iter().all(|(disruption, _)| *disruption == Disruption::Full);
        let were = std::mem::replace(&mut self.all_silent, all_silent);
        if all_silent {
            for (&index, node) in &mut self.nodes {
                if std::mem::take(&mut node.tainted) {
                    changes.push(Change::Untainted(index));
                }
            }
            return changes;
        }
        if were {
            // From now on everybody has the whole grace period again.
            self.nodes.values_mut().for_each(|node| node.seen = now);
            return changes;
        }
        self.taint(now, &zones, &mut changes);
        changes
    }

    fn taint(&mut self, now: Nanos, zones: &[(Disruption, usize)], changes: &mut Vec<Change>) {
        for (&index, node) in &mut self.nodes {
            let (disruption, size) = zones[node.zone];
            let period = match disruption {
                Disruption::Partial if size <= LARGE_ZONE => continue,
                Disruption::Partial => SECONDARY_EVICTION_PERIOD,
                Disruption::Normal | Disruption::Full => EVICTION_PERIOD,
            };
            if !node.ready && !node.tainted && self.next_taint[node.zone] <= now {
                node.tainted = true;
                self.next_taint[node.zone] = now + period;
                changes.push(Change::Tainted(index));
            }
        }
    }

    /// `ComputeZoneState`, with the zone's size.
    fn disruption(&self, zone: usize) -> (Disruption, usize) {
        let of = self.nodes.values().filter(|node| node.zone == zone);
        let (size, lost) = of.fold((0, 0), |(size, lost), node| (size + 1, lost + usize::from(!node.ready)));
        let disruption = match lost {
            0 => Disruption::Normal,
            all if all == size => Disruption::Full,
            some if some > 2 && some * 100 >= size * UNHEALTHY_PERCENT => Disruption::Partial,
            _ => Disruption::Normal,
        };
        (disruption, size)
    }
}

/// The first look at or after `at`.
pub(crate) fn tick_at_or_after(at: Nanos) -> Nanos {
    MONITOR_PERIOD * at.get().div_ceil(MONITOR_PERIOD.get())
}

#[cfg(test)]
mod tests {
    use units::{Bytes, Millicores};

    use super::*;

    fn lifecycle(zones: &[&str]) -> NodeLifecycle {
        let node = |(i, zone): (usize, &&str)| Node {
            name: format!("node-{i}"),
            labels: [("topology.kubernetes.io/zone".to_owned(), (*zone).to_owned())].into(),
            cpu: Millicores::from_cores(1),
            memory: Bytes::from_mebi(1),
            pods: 110,
            taints: vec![],
        };
        let mut lifecycle = NodeLifecycle::new(Seed::new(1));
        zones.iter().enumerate().for_each(|(i, zone)| lifecycle.add(i, &node((i, zone))));
        lifecycle
    }

    /// Looks every 5 s up to `until` seconds: second and change.
    fn looks(lifecycle: &mut NodeLifecycle, from: u64, until: u64) -> Vec<(u64, Change)> {
        let ticks = (from..=until).filter(|secs| secs % 5 == 0);
        ticks.flat_map(|s| lifecycle.look(Nanos::from_secs(s)).into_iter().map(move |c| (s, c))).collect()
    }

    #[test]
    fn a_silent_node_is_noticed_after_its_grace_period() {
        for node in 0..5 {
            let mut lifecycle = lifecycle(&["a", "b", "c", "d", "e"]);
            let lost = Nanos::from_secs(101);
            lifecycle.falls_silent(lost, node);
            let changes = looks(&mut lifecycle, 105, 300);
            let at = changes[0].0;
            assert!((146..=161).contains(&at), "{at}");
            assert_eq!(changes, [(at, Change::NotReady(node)), (at, Change::Tainted(node))]);
            lifecycle.is_heard(node);
            let back = looks(&mut lifecycle, 300, 310);
            assert_eq!(back, [(300, Change::Ready(node)), (300, Change::Untainted(node))]);
            assert!(lifecycle.is_quiet());
        }
    }

    #[test]
    fn a_node_that_is_back_soon_is_not_noticed() {
        let mut lifecycle = lifecycle(&["a", "a"]);
        lifecycle.falls_silent(Nanos::from_secs(100), 0);
        assert_eq!(looks(&mut lifecycle, 100, 135), []);
        lifecycle.is_heard(0);
        assert_eq!(looks(&mut lifecycle, 140, 300), []);
    }

    #[test]
    fn how_fast_nodes_are_tainted_depends_on_how_many_are_silent() {
        let tainted = |zones: &[&str], lost: std::ops::Range<usize>| {
            let mut lifecycle = lifecycle(zones);
            lost.for_each(|node| lifecycle.falls_silent(Nanos::from_secs(100), node));
            let changes = looks(&mut lifecycle, 100, 600).into_iter();
            changes.filter(|(_, change)| matches!(change, Change::Tainted(_))).map(|(at, _)| at).collect::<Vec<_>>()
        };
        let two = tainted(&["a"; 6], 0..2);
        assert!(two.len() == 2 && two[1] - two[0] >= 10, "one in ten seconds: {two:?}");
        assert!(tainted(&["a"; 5], 0..4).len() <= 1, "once most of a zone is silent, no more");
        assert_eq!(tainted(&["a", "a", "a", "b"], 0..3).len(), 3, "a whole zone: as usual");
        assert_eq!(tainted(&["a"; 1], 0..1), [] as [u64; 0], "everybody: nobody");
    }
}
