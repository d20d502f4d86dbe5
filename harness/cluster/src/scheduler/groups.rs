//! Node groups: nodes that come when pods find no room, and go when nobody uses them.
//!
//! A rule like cluster-autoscaler's, cut down to what a rehearsal needs. A pod that no node takes, and that would fit
//! on a new node of a group, gets one, unless one that is on its way has room for it; groups are tried in the order of
//! the nodes file. A node that carries nothing but DaemonSet pods for the group's idle time goes, down to the minimum.
//!
//! Left out: expanders, the scan interval of 10 s (a pod is looked at when it is refused), and consolidation of nodes
//! that are used a little.

use platform::{NodeGroup, WorkloadKind};
use units::Nanos;

use super::Scheduler;
use super::filter::Filters;
use super::inventory::{Candidate, Inventory, Placed};
use crate::PodId;

#[derive(Debug)]
struct Member {
    node: usize,
    /// It has not come yet. Pods it is meant for are placed on it, which nobody counts before it is there.
    coming: bool,
    idle: Option<Nanos>,
}

#[derive(Debug)]
struct Group {
    spec: NodeGroup,
    members: Vec<Member>,
    named: u32,
}

/// All groups with their nodes.
#[derive(Debug, Default)]
pub(crate) struct Groups(Vec<Group>);

impl Group {
    fn grow(&mut self, inventory: &mut Inventory, coming: bool) -> usize {
        self.named += 1;
        let mut node = self.spec.template.clone();
        node.name = format!("{}-{}", self.spec.name, self.named);
        let node = inventory.add(node, !coming);
        self.members.push(Member { node, coming, idle: None });
        node
    }
}

impl Groups {
    /// Each group begins with its minimum.
    pub(super) fn new(groups: Vec<NodeGroup>, inventory: &mut Inventory) -> Self {
        let mut all = Self::default();
        for spec in groups {
            let mut group = Group { spec, members: Vec::new(), named: 0 };
            for _ in 0..group.spec.min {
                group.grow(inventory, false);
            }
            all.0.push(group);
        }
        all
    }

    fn coming(&self) -> impl Iterator<Item = usize> + use<'_> {
        self.0.iter().flat_map(|group| &group.members).filter(|member| member.coming).map(|member| member.node)
    }
}

impl Scheduler {
    /// A pod was refused: if a new node would take it, and none that is on its way will, one is ordered. Its index and
    /// when it comes.
    pub(crate) fn order_node(&mut self, now: Nanos, candidate: &Candidate) -> Option<(usize, Nanos)> {
        let coming: Vec<_> = self.groups.coming().collect();
        let meant = |node: &usize| self.inventory.places[*node].pods.contains_key(&candidate.pod);
        if self.nominated.contains_key(&candidate.pod) || coming.iter().any(meant) {
            return None; // room is being made for it, or on its way
        }
        if let Some(node) = coming.into_iter().find(|node| self.would_fit(candidate, *node)) {
            self.mean(now, candidate, node);
            return None;
        }
        for index in 0..self.groups.0.len() {
            let group = &mut self.groups.0[index];
            if group.members.len() >= group.spec.max as usize {
                continue;
            }
            let (comes, named) = (now + group.spec.provision, group.named);
            let node = group.grow(&mut self.inventory, true);
            if self.would_fit(candidate, node) {
                self.mean(now, candidate, node);
                return Some((node, comes));
            }
            let group = &mut self.groups.0[index];
            (group.named, _) = (named, group.members.pop());
            self.inventory.places.pop();
        }
        None
    }

    fn would_fit(&mut self, candidate: &Candidate, node: usize) -> bool {
        let coming: Vec<_> = self.groups.coming().collect();
        for node in &coming {
            self.inventory.places[*node].present = true;
        }
        let fits = Filters::new(&self.inventory, candidate).check(node).is_ok();
        for node in &coming {
            self.inventory.places[*node].present = false;
        }
        fits
    }

    fn mean(&mut self, now: Nanos, candidate: &Candidate, node: usize) {
        self.inventory.place(node, Placed::at(now, candidate.clone()));
    }

    /// A pod is meant for no node any more: it has one, or nobody wants it.
    pub(super) fn unmean(&mut self, pod: PodId) {
        let coming: Vec<_> = self.groups.coming().collect();
        for node in coming {
            self.inventory.remove(node, pod);
        }
    }

    /// An ordered node has come.
    pub(crate) fn node_came(&mut self, node: usize) {
        let members = self.groups.0.iter_mut().flat_map(|group| &mut group.members);
        if let Some(member) = members.into_iter().find(|member| member.node == node && member.coming) {
            member.coming = false;
            let meant: Vec<_> = self.inventory.places[node].pods.keys().copied().collect();
            for pod in meant {
                self.inventory.remove(node, pod);
            }
            self.inventory.places[node].present = true;
        }
    }

    /// Removes nodes of groups that nobody has used for long enough. The nodes that went, and when to look again.
    pub(crate) fn drop_idle_nodes(&mut self, now: Nanos) -> (Vec<usize>, Option<Nanos>) {
        let (mut gone, mut next) = (Vec::new(), None::<Nanos>);
        let inventory = &mut self.inventory;
        for group in &mut self.groups.0 {
            let Some(patience) = group.spec.idle else { continue };
            let mut spare = group.members.len().saturating_sub(group.spec.min as usize);
            group.members.retain_mut(|member| {
                let daemon = |p: &Placed| inventory.workload(&p.candidate).kind == WorkloadKind::DaemonSet;
                if member.coming || !inventory.places[member.node].pods.values().all(daemon) {
                    member.idle = None;
                    return true;
                }
                let due = *member.idle.get_or_insert(now) + patience;
                if spare > 0 && due <= now {
                    spare -= 1;
                    inventory.places[member.node].present = false;
                    gone.push(member.node);
                    return false;
                }
                if spare > 0 {
                    next = Some(next.map_or(due, |next| next.min(due)));
                }
                true
            });
        }
        (gone, next)
    }
}
