//! Faults and expectations meet a platform: every name finds what it names, or is refused with its place.

use std::collections::BTreeSet;

use cluster::AutoscalerEdit;
use platform::{Node, Platform, Quota, Resources, WorkloadId};
use units::Nanos;

use crate::faults::{Hit, Planned};
use crate::file::ExpectFile;
use crate::problem::{Place, Problem, nearest};
use crate::word::{At, That};
use crate::{Expectation, ExpectationKind, Fault, FaultKind, LoadPlan, Party, Requests, Stretch};

const ZONE: &str = "topology.kubernetes.io/zone";

/// The only node whose name ends so, after a dash: kind's are called `CLUSTER-worker`, and a cluster that is made for a run
/// has the run's name.
fn node_by_its_end(nodes: &[Node], end: &str) -> Option<usize> {
    let ends = |node: &Node| node.name.strip_suffix(end).is_some_and(|start| start.ends_with('-'));
    let mut found = (0..nodes.len()).filter(|index| ends(&nodes[*index]));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// A platform to find things on.
pub(crate) struct Binder<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) nodes: &'a [Node],
    pub(crate) problems: Vec<Problem>,
}

impl Binder<'_> {
    fn wrong(&mut self, place: Place, what: String) {
        self.problems.push(Problem { place, what });
    }

    fn workload(&mut self, word: &At<String>) -> Option<WorkloadId> {
        let found = self.platform.workload_named(&word.text);
        if found.is_none() {
            let hint = nearest(&word.text, self.platform.workloads.iter().map(|workload| workload.name.as_str()));
            self.wrong(word.place, format!("there is no workload `{}`{hint}", word.text));
        }
        found
    }

    fn node(&mut self, word: &At<String>) -> Option<usize> {
        let name = |node: &Node| node.name.clone();
        let found = self.nodes.iter().position(|node| name(node) == word.text);
        let found = found.or_else(|| node_by_its_end(self.nodes, &word.text));
        if found.is_none() {
            let names: Vec<_> = self.nodes.iter().map(name).collect();
            let hint = nearest(&word.text, names.iter().map(String::as_str));
            self.wrong(word.place, format!("there is no node `{}`{hint}", word.text));
        }
        found
    }

    fn zone(&mut self, word: &At<String>) -> Option<FaultKind> {
        let zone = |node: &Node| node.labels.get(ZONE).cloned().unwrap_or_default();
        let nodes: Vec<usize> = (0..self.nodes.len()).filter(|index| zone(&self.nodes[*index]) == word.text).collect();
        if nodes.is_empty() {
            let zones: Vec<_> = self.nodes.iter().map(zone).filter(|zone| !zone.is_empty()).collect();
            let hint = nearest(&word.text, zones.iter().map(String::as_str));
            self.wrong(word.place, format!("no node is in a zone `{}`{hint}", word.text));
            return None;
        }
        Some(FaultKind::ZoneLoss { zone: word.text.clone(), nodes })
    }

    fn party(&mut self, word: &At<String>) -> Option<Party> {
        let gateway = self.platform.gateway.as_ref().map(|gateway| gateway.workload);
        match word.text.as_str() {
            "clients" => Some(Party::Clients),
            "gateway" => Some(Party::Gateway),
            name => {
                let found = self.platform.workload_named(name);
                if found.is_none() {
                    let workloads = self.platform.workloads.iter().map(|workload| workload.name.as_str());
                    let hint = nearest(name, workloads.chain(["clients", "gateway"]));
                    self.wrong(word.place, format!("there is no workload `{name}`{hint}"));
                }
                found.map(|id| if Some(id) == gateway { Party::Gateway } else { Party::Workload(id) })
            }
        }
    }

    fn pair(&mut self, from: &At<String>, to: &At<String>) -> Option<(Party, Party)> {
        let (one, two) = (self.party(from), self.party(to));
        let (one, two) = (one?, two?);
        let why = match (one, two) {
            (_, Party::Clients) => "nobody connects to clients",
            (Party::Clients, Party::Workload(_)) => "clients only connect to the gateway",
            (one, two) if one == two => "both ends are the same",
            _ => return Some((one, two)),
        };
        self.wrong(to.place, format!("no request goes from {} to {}: {why}", from.text, to.text));
        None
    }

    /// The workload that is named, or the one called `part`, or the only one whose name contains it.
    fn store(&mut self, word: Option<&At<String>>, part: &str, place: Place) -> Option<WorkloadId> {
        if let Some(word) = word {
            return self.workload(word);
        }
        if let Some(found) = self.platform.workload_named(part) {
            return Some(found);
        }
        let named = |id: &WorkloadId| self.platform.workload(*id).name.contains(part);
        let found: Vec<_> = self.platform.workload_ids().filter(named).collect();
        match found.as_slice() {
            [one] => Some(*one),
            [] => {
                self.wrong(
                    place,
                    format!("the platform has no workload with `{part}` in its name: name it with `workload`"),
                );
                None
            }
            many => {
                let names: Vec<_> = many.iter().map(|id| self.platform.workload(*id).name.as_str()).collect();
                let what = format!("several workloads could be meant: {}: name one with `workload`", names.join(", "));
                self.wrong(place, what);
                None
            }
        }
    }

    /// The autoscaler of a workload, and what is set in it.
    fn edit(&mut self, word: &At<String>, edit: AutoscalerEdit, place: Place) -> Option<FaultKind> {
        let workload = self.workload(word)?;
        let Some(declared) = self.platform.autoscalers.iter().find(|one| one.target == Some(workload)) else {
            self.wrong(word.place, format!("{} has no autoscaler that could be edited", word.text));
            return None;
        };
        let edited = edit.applied(declared);
        if edit.cpu.is_some() && !declared.metrics.iter().any(platform::Metric::is_cpu_share) {
            self.wrong(place, format!("autoscaler {} does not hold a share of CPU: leave out `cpu`", declared.name));
        }
        if edited.min > edited.max {
            let what = format!(
                "autoscaler {} would have minReplicas {} and maxReplicas {}, which the API server refuses",
                declared.name, edited.min, edited.max
            );
            self.wrong(place, what);
        }
        Some(FaultKind::AutoscalerEdit { workload, edit })
    }

    /// The namespace that is named, or the platform's own, or the only one that workloads are in.
    fn namespace(&mut self, word: Option<&At<String>>, place: Place) -> Option<String> {
        let all: BTreeSet<&str> = self.platform.workloads.iter().map(|workload| workload.namespace.as_str()).collect();
        let (place, what) = match word {
            Some(word) if all.contains(word.text.as_str()) => return Some(word.text.clone()),
            Some(word) => {
                let hint = nearest(&word.text, all.iter().copied());
                (word.place, format!("no workload is in a namespace `{}`{hint}", word.text))
            }
            None if all.contains(self.platform.namespace.as_str()) => return Some(self.platform.namespace.clone()),
            None if all.len() == 1 => return all.first().map(|name| (*name).to_owned()),
            None => {
                let names: Vec<_> = all.into_iter().collect();
                (place, format!("several namespaces could be meant: {}: name one with `namespace`", names.join(", ")))
            }
        };
        self.wrong(place, what);
        None
    }

    pub(crate) fn faults(&mut self, all: &[Planned], end: Nanos) -> Vec<Fault> {
        let bound: Vec<_> = all.iter().filter_map(|fault| self.fault(fault)).collect();
        self.lost_zones(all, &bound, end);
        bound
    }

    fn fault(&mut self, planned: &Planned) -> Option<Fault> {
        let kind = match &planned.hit {
            Hit::PodKill { workload, pods, forced } => {
                FaultKind::PodKill { workload: self.workload(workload)?, pods: *pods, forced: *forced }
            }
            Hit::NodeDrain(node) => FaultKind::NodeDrain { node: self.node(node)? },
            Hit::NodeLoss(node) => FaultKind::NodeLoss { node: self.node(node)? },
            Hit::ZoneLoss(zone) => self.zone(zone)?,
            Hit::Partition(node) => FaultKind::Partition { node: self.node(node)? },
            Hit::RollingUpdate(workload) => FaultKind::RollingUpdate { workload: self.workload(workload)? },
            Hit::BadImage(workload) => FaultKind::BadImage { workload: self.workload(workload)? },
            Hit::Rollback(workload) => FaultKind::Rollback { workload: self.workload(workload)? },
            Hit::Latency { from, to, add } => {
                let (from, to) = self.pair(from, to)?;
                FaultKind::Latency { from, to, add: *add }
            }
            Hit::Errors { from, to, share, status } => {
                let (from, to) = self.pair(from, to)?;
                FaultKind::Errors { from, to, share: *share, status: *status }
            }
            Hit::Reset { from, to, share } => {
                let (from, to) = self.pair(from, to)?;
                FaultKind::Reset { from, to, share: *share }
            }
            Hit::PacketLoss { from, to, share } => {
                let (from, to) = self.pair(from, to)?;
                FaultKind::PacketLoss { from, to, share: *share }
            }
            Hit::Blackhole { from, to } => {
                let (from, to) = self.pair(from, to)?;
                FaultKind::Blackhole { from, to }
            }
            Hit::DatabaseLoss(word) => {
                FaultKind::DatabaseLoss { workload: self.store(word.as_ref(), "postgres", planned.place)? }
            }
            Hit::RedisLoss(word) => {
                FaultKind::RedisLoss { workload: self.store(word.as_ref(), "redis", planned.place)? }
            }
            Hit::ConnectionsTaken { connections } => {
                self.store(None, "postgres", planned.place)?;
                FaultKind::ConnectionsTaken { connections: *connections }
            }
            Hit::DiskFull(word) => {
                self.store(word.as_ref(), "postgres", planned.place)?;
                FaultKind::DiskFull
            }
            Hit::Restore(word) => {
                self.store(word.as_ref(), "postgres", planned.place)?;
                FaultKind::Restore
            }
            Hit::Backup { cpu } => {
                self.store(None, "postgres", planned.place)?;
                FaultKind::Backup { cpu: *cpu }
            }
            Hit::GatewayLoss { pods, place } => {
                let gateway = self.platform.gateway.as_ref()?.workload;
                let replicas = self.platform.workload(gateway).replicas.unwrap_or(1);
                if *pods > replicas {
                    self.wrong(*place, format!("{pods} gateway pods cannot be lost: there are {replicas}"));
                }
                FaultKind::GatewayLoss { pods: *pods }
            }
            Hit::NoisyNeighbour { node, cpu } => {
                let index = self.node(node)?;
                let has = self.nodes[index].cpu;
                if *cpu > has {
                    self.wrong(node.place, format!("{cpu} CPU cannot be taken from {}: it has {has}", node.text));
                }
                FaultKind::NoisyNeighbour { node: index, cpu: *cpu }
            }
            Hit::DnsFailure(word) => {
                let found = self.platform.service_named(&word.text);
                let Some(service) = found else {
                    let hint = nearest(&word.text, self.platform.services.iter().map(|service| service.name.as_str()));
                    self.wrong(word.place, format!("there is no Service `{}`{hint}", word.text));
                    return None;
                };
                FaultKind::DnsFailure { service }
            }
            Hit::AutoscalerEdit { workload, edit, place } => self.edit(workload, *edit, *place)?,
            Hit::Quota { namespace, pods, requests } => FaultKind::Quota(Quota {
                name: object_name(&planned.name),
                namespace: self.namespace(namespace.as_ref(), planned.place)?,
                requests: *requests,
                limits: Resources::default(),
                pods: *pods,
                place: platform::Place::default(),
            }),
        };
        Some(Fault { name: planned.name.clone(), at: planned.at, lasts: planned.lasts, kind })
    }

    /// A node that is lost with its zone cannot be hit on its own meanwhile.
    fn lost_zones(&mut self, planned: &[Planned], bound: &[Fault], end: Nanos) {
        for zone in bound {
            let FaultKind::ZoneLoss { zone: name, nodes } = &zone.kind else { continue };
            let until = zone.lasts.map_or(end, |lasts| zone.at + lasts);
            for fault in bound.iter().filter(|fault| fault.name != zone.name && (zone.at..until).contains(&fault.at)) {
                let (FaultKind::NodeDrain { node }
                | FaultKind::NodeLoss { node }
                | FaultKind::Partition { node }
                | FaultKind::NoisyNeighbour { node, .. }) = &fault.kind
                else {
                    continue;
                };
                let place = planned.iter().find(|one| one.name == fault.name).map_or(Place::default(), |one| one.place);
                if nodes.contains(node) {
                    let what = format!(
                        "`{}` and `{}` exclude each other: node {} is lost with zone {name} until {until}",
                        fault.name, zone.name, self.nodes[*node].name
                    );
                    self.wrong(place, what);
                }
            }
        }
    }

    pub(crate) fn expectations(&mut self, all: &[ExpectFile], load: &LoadPlan, faults: &[Planned]) -> Vec<Expectation> {
        all.iter().filter_map(|file| self.expectation(file, load, faults)).collect()
    }

    fn expectation(&mut self, file: &ExpectFile, load: &LoadPlan, faults: &[Planned]) -> Option<Expectation> {
        let fault = |word: &At<String>| faults.iter().position(|fault| fault.name == word.text);
        let phase = |word: &At<String>| load.phases.iter().find(|phase| phase.name == word.text);
        let whole = Stretch { start: Nanos::ZERO, end: load.end() };
        let during = |word: &At<String>| {
            let fault = &faults[fault(word)?];
            let end = if fault.end(load.end()) > fault.at { fault.end(load.end()) } else { load.end() };
            Some(Stretch { start: fault.at, end })
        };
        let kind = match file.that.value.as_ref().ok()? {
            That::Ended(ended) => ExpectationKind::Requests {
                ended: *ended,
                of: requests(file.of.as_ref(), load),
                due: match (&file.r#in, &file.during) {
                    (Some(word), _) => phase(word).map(|phase| Stretch { start: phase.start, end: phase.end })?,
                    (None, Some(word)) => during(word)?,
                    (None, None) => whole,
                },
                is: *file.is.as_ref()?.value.as_ref().ok()?,
            },
            That::Replicas => {
                let word = file.of.as_ref()?;
                let workload = self.workload(word)?;
                let reaches = *file.reaches.as_ref()?.value.as_ref().ok()?;
                self.reachable(workload, reaches, file, faults);
                ExpectationKind::Replicas {
                    workload,
                    reaches,
                    from: match (&file.r#in, &file.after) {
                        (Some(word), _) => phase(word)?.start,
                        (None, Some(word)) => faults[fault(word)?].at,
                        (None, None) => Nanos::ZERO,
                    },
                    within: file.within.as_ref()?.value.as_ref().ok()?.0,
                }
            }
            That::Recovered => ExpectationKind::Recovered {
                of: requests(file.of.as_ref(), load),
                after: fault(file.after.as_ref()?)?,
                within: file.within.as_ref()?.value.as_ref().ok()?.0,
            },
        };
        Some(Expectation { told: told(file), kind })
    }

    /// No workload grows beyond its autoscaler's maximum, be it an edited one, or without one at all.
    fn reachable(&mut self, workload: WorkloadId, reaches: u32, file: &ExpectFile, faults: &[Planned]) {
        let scaler = self.platform.autoscalers.iter().find(|scaler| scaler.target == Some(workload));
        let edited = faults.iter().filter_map(|fault| match &fault.hit {
            Hit::AutoscalerEdit { workload: of, edit, .. } if self.platform.workload(workload).name == of.text => {
                edit.max
            }
            _ => None,
        });
        let most = edited.chain(scaler.map(|scaler| scaler.max)).max();
        let most = most.unwrap_or(self.platform.workload(workload).replicas.unwrap_or(1));
        if let Some(word) = file.reaches.as_ref().filter(|_| reaches > most) {
            let name = &self.platform.workload(workload).name;
            self.wrong(word.place, format!("{name} never has {reaches} replicas: {most} is the most"));
        }
    }
}

/// A name that an object may have (RFC 1123), from a fault's.
pub(crate) fn object_name(fault: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = fault.chars().map(plain).collect();
    format!("rehearse-{}", name.trim_matches('-'))
}

fn requests(word: Option<&At<String>>, load: &LoadPlan) -> Requests {
    let Some(name) = word.map(|word| &word.text) else { return Requests::All };
    if load.steps.iter().any(|step| step.flow == *name) {
        return Requests::Flow(name.clone());
    }
    let step = load.steps.iter().position(|step| step.name == *name);
    step.map_or(Requests::All, |index| Requests::Step(record::StepId(index as u16)))
}

/// `failed of core during drain is 0`.
fn told(file: &ExpectFile) -> String {
    let word = |key: &str, word: Option<&str>| word.map(|word| format!("{key} {word}"));
    let name = |at: &Option<At<String>>| at.as_ref().map(|at| at.text.clone());
    let parts = [
        word("of", name(&file.of).as_deref()),
        word("in", name(&file.r#in).as_deref()),
        word("during", name(&file.during).as_deref()),
        word("after", name(&file.after).as_deref()),
        word("is", file.is.as_ref().map(|at| at.text.as_str())),
        word("reaches", file.reaches.as_ref().map(|at| at.text.as_str())),
        word("within", file.within.as_ref().map(|at| at.text.as_str())),
    ];
    let words: Vec<_> = std::iter::once(file.that.text.clone()).chain(parts.into_iter().flatten()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_the_end_of_its_name_if_no_other_ends_so() {
        let node = |name: &str| Node {
            name: name.into(),
            labels: platform::Labels::default(),
            cpu: units::Millicores::ZERO,
            memory: units::Bytes::ZERO,
            pods: 0,
            taints: Vec::new(),
        };
        let nodes = ["week-control-plane", "week-worker", "week-worker2", "a-1", "b-1"].map(node);
        for (end, want) in [
            ("worker", Some(1)),
            ("worker2", Some(2)),
            ("control-plane", Some(0)),
            ("plane", Some(0)),
            ("1", None),
            ("orker", None),
        ] {
            assert_eq!(node_by_its_end(&nodes, end), want, "{end}");
        }
    }
}
