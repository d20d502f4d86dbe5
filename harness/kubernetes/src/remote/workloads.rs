//! Workloads: how many pods they want and have, and how their rollouts go.

use cluster::Host;
use platform::WorkloadKind;
use record::EventKind;
use units::Nanos;

use super::Remote;
use crate::view::{Event, Owner, Seen, condition};

const REVISION: &str = "deployment.kubernetes.io/revision";
/// What the Deployment wanted when its controller sized a set (`pkg/controller/deployment/util/deployment_util.go`).
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";

/// A workload as its controller tells of it.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// How many pods are wanted; `None` before it was seen.
    desired: Option<u32>,
    /// Whether its controller has seen what is declared.
    observed: bool,
    /// Pods of the wanted template.
    updated: u32,
    /// Hashes of its templates, in the order of their sight.
    templates: Vec<String>,
    /// Which revision it is at, counted from 1; 0 before it was seen.
    revision: u32,
    /// What stands for that at the API server.
    stamp: String,
    rolling: bool,
    overdue: bool,
    told: Option<(u32, u32)>,
    progress: (u32, u32),
    uid: String,
    /// Since when its pods are refused, and why.
    refused: Option<(Nanos, String)>,
}

/// How long pods may be refused before a platform has stood: what is asked of a namespace does not shrink by itself.
const REFUSED_FOR: Nanos = Nanos::from_secs(10);

impl Roll {
    /// The number of a template, counted from 0.
    pub(super) fn template(&mut self, hash: &str) -> u32 {
        let known = self.templates.iter().position(|known| known == hash);
        known.unwrap_or_else(|| {
            self.templates.push(hash.to_owned());
            self.templates.len() - 1
        }) as u32
    }
}

impl Remote {
    pub(super) fn owner_seen(&mut self, kind: &str, seen: &Seen<Owner>, host: &mut dyn Host) {
        let (namespace, name) = seen.key();
        if kind == "ReplicaSet" {
            return self.set_seen(&namespace, seen, host);
        }
        let Some(id) = self.platform.workload_of(kind, &namespace, &name) else { return };
        let roll = &mut self.rolls[usize::from(id.0)];
        seen.uid().clone_into(&mut roll.uid);
        let status = &seen.body.status;
        let daemons = kind == "DaemonSet";
        let (updated, available) = if daemons {
            (status.updated_number_scheduled, status.number_available)
        } else {
            (status.updated_replicas, status.available_replicas)
        };
        let desired = if daemons { status.desired_number_scheduled } else { seen.body.spec.replicas.unwrap_or(1) };
        roll.desired = Some(desired);
        roll.observed = status.observed_generation >= seen.meta.generation.unwrap_or(0);
        roll.updated = updated;
        let stamp = match kind {
            "Deployment" => seen.annotation(REVISION).unwrap_or_default(),
            "StatefulSet" => &status.update_revision,
            _ => "",
        };
        if !stamp.is_empty() && stamp != roll.stamp {
            stamp.clone_into(&mut roll.stamp);
            roll.revision += 1;
            if roll.revision > 1 {
                (roll.rolling, roll.overdue, roll.progress) = (true, false, (0, 0));
                host.note(EventKind::RolloutStarted { workload: name.clone(), revision: roll.revision });
            }
        }
        if roll.rolling && roll.observed {
            if roll.progress != (updated, available) {
                roll.progress = (updated, available);
                host.note(EventKind::RolloutProgressed { workload: name.clone(), updated, available, desired });
            }
            // `kubectl rollout status`: all of the new template, no old ones, all available.
            if updated >= desired && status.replicas <= updated && available >= updated {
                roll.rolling = false;
                host.note(EventKind::RolloutComplete { workload: name.clone(), revision: roll.revision });
            }
            let progressing = condition(&status.conditions, "Progressing");
            if let Some(late) = progressing.filter(|why| why.reason == "ProgressDeadlineExceeded")
                && !std::mem::replace(&mut roll.overdue, true)
            {
                host.note(EventKind::DeadlineExceeded { workload: name, message: late.message.clone() });
            }
        }
    }

    /// A `ReplicaSet` of a Deployment that has, or had, several templates.
    fn set_seen(&mut self, namespace: &str, seen: &Seen<Owner>, host: &mut dyn Host) {
        let Some(("Deployment", deployment)) = seen.owner() else { return };
        let Some(id) = self.platform.workload_of("Deployment", namespace, deployment) else { return };
        let to = seen.body.spec.replicas.unwrap_or(0);
        let (_, before) = self.sets.insert(seen.uid().to_owned(), (id, to)).unwrap_or((id, 0));
        // The size of an only set is the workload's own, unless it makes room for another template (`Recreate`). The
        // Deployment is not asked, for its watch may be behind this one.
        let several = || self.sets.values().filter(|(of, _)| *of == id).count() > 1;
        let makes_room = || seen.annotation(DESIRED).is_some_and(|desired| desired != to.to_string());
        if before != to && (several() || makes_room()) {
            let (workload, replica_set) = (deployment.to_owned(), seen.name().to_owned());
            host.note(EventKind::ReplicaSetScaled { workload, replica_set, from: before, to });
        }
    }

    /// Tells how many pods each workload wants and has ready, where that changed.
    pub(super) fn tell_replicas(&mut self, host: &mut dyn Host) {
        self.counts.fill((0, 0));
        for record in self.records.iter().filter(|record| record.is_active()) {
            let (there, ready) = &mut self.counts[usize::from(record.workload.0)];
            *there += 1;
            *ready += u32::from(record.ready);
        }
        for id in self.platform.workload_ids() {
            let (workload, roll) = (self.platform.workload(id), &mut self.rolls[usize::from(id.0)]);
            let Some(desired) = wanted(roll, &workload.kind) else { continue };
            let (there, ready) = self.counts[usize::from(id.0)];
            if there >= desired {
                roll.refused = None;
            }
            let now = (desired, ready);
            if roll.told != Some(now) && workload.kind.is_service() {
                roll.told = Some(now);
                let (workload, desired, ready) = (workload.name.clone(), now.0, now.1);
                host.note(EventKind::ReplicasChanged { workload, desired, ready });
            }
        }
    }

    /// A workload that does not have yet what it wants.
    pub(super) fn unsettled_workload(&self) -> Option<String> {
        self.platform.workload_ids().find_map(|id| {
            let (workload, roll) = (self.platform.workload(id), &self.rolls[usize::from(id.0)]);
            let applied = self.only.as_ref().is_none_or(|only| only.contains(&workload.namespace));
            if !workload.kind.is_service() || !applied {
                return None;
            }
            let Some(desired) = wanted(roll, &workload.kind) else {
                return Some(format!("{} has not been seen", workload.name));
            };
            // An autoscaler raises a workload to its minimum at its first sync.
            let minimum = self.platform.autoscalers.iter().find(|scaler| scaler.target == Some(id)).map(|a| a.min);
            let minimum = minimum.unwrap_or(0);
            if desired < minimum {
                return Some(format!(
                    "{} wants {desired} pods, and its autoscaler has not raised that to {minimum}",
                    workload.name
                ));
            }
            let (there, ready) = self.counts[usize::from(id.0)];
            let settled = (there, ready) == (desired, desired);
            let refused = roll.refused.as_ref().map_or(String::new(), |(_, why)| format!(": {why}"));
            (!settled).then(|| {
                format!("{} wants {desired} pods, has {there}, and {ready} of them are ready{refused}", workload.name)
            })
        })
    }

    /// A workload whose pods have been refused for so long that nothing will change it.
    pub(super) fn refused_for_good(&self, now: Nanos) -> Option<String> {
        let refused = |roll: &Roll| roll.refused.as_ref().is_some_and(|(since, _)| now >= *since + REFUSED_FOR);
        let (roll, id) = self.rolls.iter().zip(self.platform.workload_ids()).find(|(roll, _)| refused(roll))?;
        let (why, name) = (&roll.refused.as_ref()?.1, &self.platform.workload(id).name);
        let remedy = match why.split_once("exceeded quota: ").and_then(|(_, rest)| rest.split(',').next()) {
            Some(quota) => format!("; give ResourceQuota {quota} more room, or ask for less"),
            None => String::new(),
        };
        Some(format!("pods of {name} are refused: {why}{remedy}"))
    }

    /// What only an Event tells.
    pub(super) fn event_seen(&mut self, now: Nanos, seen: &Seen<Event>, host: &mut dyn Host) {
        let Event { reason, message, involved_object: about, .. } = &seen.body;
        match reason.as_str() {
            "FailedCreate" => {
                // Of a ReplicaSet `web-7c5d9f6b8d` or a StatefulSet `db`.
                let owner = match about.kind.as_str() {
                    "ReplicaSet" => about.name.rsplit_once('-').map_or(about.name.as_str(), |(name, _)| name),
                    _ => about.name.as_str(),
                };
                // By its id: an Event of an earlier run is still there, and names the same.
                let of_set = self.sets.get(&about.uid).map(|(id, _)| usize::from(id.0));
                let of_owner = || self.rolls.iter().position(|roll| !roll.uid.is_empty() && roll.uid == about.uid);
                if let Some(index) = of_set.or_else(of_owner) {
                    let since = self.rolls[index].refused.as_ref().map_or(now, |(since, _)| *since);
                    self.rolls[index].refused = Some((since, message.clone()));
                }
                host.note(EventKind::CreateFailed { workload: owner.to_owned(), reason: message.clone() });
            }
            "TaintManagerEviction" if about.kind == "Pod" && message.starts_with("Marking for deletion") => {
                let reason = "its node is unreachable for longer than it tolerates".to_owned();
                host.note(EventKind::PodEvicted { pod: about.name.clone(), reason });
            }
            "Preempted" if about.kind == "Pod" => {
                host.note(EventKind::PodEvicted { pod: about.name.clone(), reason: message.clone() });
            }
            _ => {}
        }
    }
}

/// How many pods a workload wants; a bare pod wants itself.
fn wanted(roll: &Roll, kind: &WorkloadKind) -> Option<u32> {
    if *kind == WorkloadKind::Pod { Some(1) } else { roll.desired.filter(|_| roll.observed) }
}
