//! The faults of a scenario, done to the simulated platform at their instants.

use std::collections::BTreeSet;

use cluster::{Action, ControlInput, Flaw, PodId};
use model::StationInput;
use model::data::DataInput;
use platform::WorkloadId;
use record::EventKind;
use scenarios::FaultKind;
use units::{Millicores, Purpose};

use crate::world::{Event, World};

impl World<'_> {
    /// Puts the beginning and the end of every fault into the queue.
    pub(crate) fn plan_faults(&mut self) {
        for (index, fault) in self.plan.faults.iter().enumerate() {
            let event = |over| Event::Fault { index: index as u16, over };
            self.queue.schedule(self.load_start + fault.at, event(false));
            if fault.lasts.is_some() {
                self.queue.schedule(self.load_start + fault.end(), event(true));
            }
        }
    }

    /// A fault begins, or is over.
    pub(crate) fn fault(&mut self, index: u16, over: bool) {
        let plan = self.plan;
        let fault = &plan.faults[usize::from(index)];
        self.tell_event(if over {
            EventKind::FaultEnded { fault: fault.name.clone() }
        } else {
            EventKind::FaultBegan { fault: fault.name.clone(), what: plan.fault_in_words(fault) }
        });
        match (&fault.kind, over) {
            (FaultKind::PodKill { workload, pods, forced }, false) => self.kill_pods(index, *workload, *pods, *forced),
            (FaultKind::GatewayLoss { pods }, false) => {
                if let Some(gateway) = &plan.platform.gateway {
                    self.kill_pods(index, gateway.workload, *pods, true);
                }
            }
            (FaultKind::NodeDrain { node }, false) => self.act(Action::Drain(*node)),
            (FaultKind::NodeDrain { node }, true) => self.act(Action::Uncordon(*node)),
            (FaultKind::NodeLoss { node }, false) => self.lose_nodes(&[*node]),
            (FaultKind::ZoneLoss { nodes, .. }, false) => self.lose_nodes(nodes),
            (FaultKind::NodeLoss { node } | FaultKind::Partition { node }, true) => self.return_nodes(&[*node]),
            (FaultKind::ZoneLoss { nodes, .. }, true) => self.return_nodes(nodes),
            (FaultKind::Partition { node }, false) => self.act(Action::CutOff(*node)),
            (FaultKind::RollingUpdate { workload }, false) => {
                self.act(Action::Rollout { workload: *workload, flaw: Flaw::None });
            }
            (FaultKind::BadImage { workload }, false) => {
                self.act(Action::Rollout { workload: *workload, flaw: Flaw::ImagePull });
            }
            (FaultKind::Rollback { workload }, false) => self.act(Action::Rollback(*workload)),
            (FaultKind::DatabaseLoss { workload }, false) => {
                self.data(DataInput::PrimaryLost);
                self.kill_pods(index, *workload, 1, true);
            }
            (FaultKind::DatabaseLoss { .. }, true) => self.data(DataInput::PrimaryBack),
            (FaultKind::RedisLoss { workload }, false) => {
                self.data(DataInput::CacheLost);
                self.kill_pods(index, *workload, 1, true);
            }
            (FaultKind::RedisLoss { .. }, true) => self.data(DataInput::CacheBack),
            (FaultKind::NoisyNeighbour { node, cpu }, over) => {
                self.share_node(*node, (!over).then_some(*cpu));
            }
            // The network asks the scenario's faults itself, by their time.
            (
                FaultKind::Latency { .. }
                | FaultKind::Errors { .. }
                | FaultKind::Blackhole { .. }
                | FaultKind::DnsFailure { .. },
                _,
            )
            // What these did is not undone by their end.
            | (
                FaultKind::PodKill { .. }
                | FaultKind::GatewayLoss { .. }
                | FaultKind::RollingUpdate { .. }
                | FaultKind::BadImage { .. }
                | FaultKind::Rollback { .. },
                true,
            ) => {}
        }
    }

    fn act(&mut self, action: Action) {
        self.control(ControlInput::Act(action));
    }

    /// Pods of a workload that have started and are not ending, in order of creation.
    fn running(&self, workload: WorkloadId) -> Vec<PodId> {
        let Some(control) = &self.control else { return Vec::new() };
        let runs = |(_, record): &(PodId, &cluster::PodRecord)| {
            record.workload == workload && record.started.is_some() && record.is_active()
        };
        control.state().pods().filter(runs).map(|(pod, _)| pod).collect()
    }

    /// Deletes some of a workload's running pods; which ones, the seed says.
    fn kill_pods(&mut self, fault: u16, workload: WorkloadId, pods: u32, forced: bool) {
        let mut running = self.running(workload);
        let seed = self.plan.load.seed.child("fault").child_nth(u64::from(fault));
        for nth in 0..u64::from(pods) {
            if running.is_empty() {
                return;
            }
            let pod = running.remove(seed.draw_nth(nth, Purpose::Phase).below(running.len()));
            self.act(Action::DeletePod { pod, forced });
        }
    }

    fn lose_nodes(&mut self, nodes: &[usize]) {
        for node in nodes {
            // Nothing on it says goodbye: packets to it vanish from now on.
            self.reach_node(*node, false);
            self.act(Action::LoseNode(*node));
        }
    }

    fn return_nodes(&mut self, nodes: &[usize]) {
        for node in nodes {
            self.reach_node(*node, true);
            self.act(Action::ReturnNode(*node));
        }
    }

    fn pods_on(&self, node: usize) -> BTreeSet<u32> {
        let Some(control) = &self.control else { return BTreeSet::new() };
        let there = control.state().pods().filter(|(_, record)| record.node == Some(node) && record.gone.is_none());
        there.map(|(pod, _)| pod.0).collect()
    }

    fn reach_node(&mut self, node: usize, reached: bool) {
        for pod in self.pods_on(node) {
            if let Some(pod) = self.pod_mut(PodId(pod)) {
                pod.reached = reached;
            }
        }
    }

    /// Something else takes `noise` of a node's CPU, or no longer does. What is left is shared in proportion to the
    /// requests of the pods there, as CPU weights are made from them; each keeps at least its request.
    fn share_node(&mut self, node: usize, noise: Option<Millicores>) {
        let pods = self.pods_on(node);
        let request = |world: &Self, pod: u32| {
            let workload = world.pods.get(pod as usize)?.as_ref()?.workload;
            world.plan.platform.workload(workload).requests().cpu
        };
        let all: u64 = pods.iter().filter_map(|pod| request(self, *pod)).map(Millicores::get).sum();
        let Some(left) =
            self.plan.nodes.get(node).map(|n| n.cpu.get().saturating_sub(noise.map_or(0, Millicores::get)))
        else {
            return;
        };
        for pod in pods {
            let own = request(self, pod).map_or(0, Millicores::get);
            let share = own.max((u128::from(left) * u128::from(own) / u128::from(all.max(1))) as u64).max(1);
            self.station(pod, StationInput::Share(noise.map(|_| Millicores::new(share))));
        }
    }
}
