//! The StatefulSet controller: which pod of a StatefulSet is created or deleted next.
//!
//! Follows `pkg/controller/statefulset/stateful_set_control.go` (`updateStatefulSet`): pods have ordinals and keep their
//! names; unless `Parallel`, each waits for all before it to be available, and a pod that is stuck blocks everything.
//! An ending pod is not replaced before it has gone, also where its node is lost. A pod of a broken template blocks the
//! way back, too, until somebody deletes it (documented as "forced rollback").
//!
//! Left out: claims, and `maxUnavailable` (alpha).

use crate::PodId;

/// What a StatefulSet wants.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// `replicas`.
    pub replicas: u32,
    /// `podManagementPolicy: Parallel`.
    pub parallel: bool,
    /// `updateStrategy.rollingUpdate.partition`.
    pub partition: u32,
    /// `updateStrategy.type: OnDelete`.
    pub on_delete: bool,
    /// The template before the update.
    pub current: u32,
    /// The one that is wanted.
    pub update: u32,
}

/// One of its pods.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Which pod.
    pub pod: PodId,
    /// Its ordinal.
    pub ordinal: u32,
    /// Of which template it was made.
    pub template: u32,
    /// Ready for `minReadySeconds`, whether it ends or not.
    pub available: bool,
    /// It is being deleted.
    pub ending: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Create the pod with this ordinal from this template.
    Create {
        /// Its ordinal.
        ordinal: u32,
        /// Its template.
        template: u32,
    },
    /// Delete this pod.
    Delete(PodId),
}

impl Spec {
    /// What one sync does. With `Parallel` that may be several things, otherwise one at most.
    pub fn steps(&self, members: &[Member]) -> Vec<Step> {
        let mut steps = Vec::new();
        let of = |ordinal: u32| members.iter().find(|member| member.ordinal == ordinal);
        for ordinal in 0..self.replicas {
            match of(ordinal) {
                None => {
                    steps.push(Step::Create { ordinal, template: self.template_of(ordinal) });
                    if !self.parallel {
                        return steps;
                    }
                }
                Some(member) if !self.parallel && (member.ending || !member.available) => return steps,
                Some(_) => {}
            }
        }
        if self.shrink(members, &mut steps) || self.on_delete {
            return steps;
        }
        for ordinal in (self.partition..self.replicas).rev() {
            match of(ordinal) {
                Some(member) if member.template != self.update && !member.ending => {
                    steps.push(Step::Delete(member.pod));
                    break;
                }
                Some(member) if member.available && !member.ending => {}
                Some(_) | None => break,
            }
        }
        steps
    }

    /// Deletes pods above the wanted count, the highest first. Whether that ends the sync.
    fn shrink(&self, members: &[Member], steps: &mut Vec<Step>) -> bool {
        let mut condemned: Vec<&Member> = members.iter().filter(|member| member.ordinal >= self.replicas).collect();
        condemned.sort_by_key(|member| std::cmp::Reverse(member.ordinal));
        // By now all that stay are available unless `Parallel`, so the first unavailable one is condemned.
        let first_unavailable = condemned.iter().rev().find(|m| m.ending || !m.available).map(|m| m.pod);
        for member in condemned {
            if self.parallel {
                if !member.ending {
                    steps.push(Step::Delete(member.pod));
                }
                continue;
            }
            if !member.ending && (member.available || first_unavailable == Some(member.pod)) {
                steps.push(Step::Delete(member.pod));
            }
            return true;
        }
        false
    }

    /// `newVersionedStatefulSetPod`: below the partition the old template, otherwise the wanted one.
    fn template_of(&self, ordinal: u32) -> u32 {
        if !self.on_delete && ordinal < self.partition { self.current } else { self.update }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec = Spec { replicas: 3, parallel: false, partition: 0, on_delete: false, current: 0, update: 0 };

    /// One letter a pod, by ordinal: `a`vailable, `u`nready, `e`nding, `-` missing; capitals are of template 1.
    fn members(pods: &str) -> Vec<Member> {
        let member = |(ordinal, letter): (usize, char)| {
            let state = letter.to_ascii_lowercase();
            let (pod, ordinal) = (PodId(ordinal as u32), ordinal as u32);
            let (template, available) = (u32::from(letter.is_ascii_uppercase()), state == 'a');
            (letter != '-').then_some(Member { pod, ordinal, template, available, ending: state == 'e' })
        };
        pods.chars().enumerate().filter_map(member).collect()
    }

    #[test]
    fn pods_come_go_and_change_in_order() {
        let update = Spec { update: 1, ..SPEC };
        let parallel = Spec { parallel: true, ..SPEC };
        let create = |ordinal, template| Step::Create { ordinal, template };
        let delete = |pod| Step::Delete(PodId(pod));
        for (case, spec, pods, want) in [
            ("the first comes alone", SPEC, "---", vec![create(0, 0)]),
            ("the next waits for it", SPEC, "u--", vec![]),
            ("then it comes", SPEC, "a--", vec![create(1, 0)]),
            ("a gap is filled before the rest", SPEC, "a-a", vec![create(1, 0)]),
            ("an ending pod is waited for", SPEC, "aea", vec![]),
            ("all at once", parallel, "---", vec![create(0, 0), create(1, 0), create(2, 0)]),
            ("one too many goes, the highest", SPEC, "aaaaa", vec![delete(4)]),
            ("and the next waits for it", SPEC, "aaaae", vec![]),
            ("parallel, all too many go", parallel, "aaaaa", vec![delete(4), delete(3)]),
            ("an unready pod that stays blocks shrinking", SPEC, "auaaa", vec![]),
            ("an unready pod that goes does not", SPEC, "aaau", vec![delete(3)]),
            ("unless another below is unready, too", SPEC, "aaauu", vec![]),
            ("an update begins at the top", update, "aaa", vec![delete(2)]),
            ("comes back new", update, "aa-", vec![create(2, 1)]),
            ("waits for it", update, "aaU", vec![]),
            ("and goes on", update, "aaA", vec![delete(1)]),
            ("down to the partition", Spec { partition: 2, ..update }, "aaA", vec![]),
            ("below which pods come back old", Spec { partition: 2, ..update }, "-aA", vec![create(0, 0)]),
            ("on delete nothing is deleted", Spec { on_delete: true, ..update }, "aaa", vec![]),
            ("but comes back new", Spec { on_delete: true, ..update }, "-aa", vec![create(0, 1)]),
            ("a broken pod blocks the way back", SPEC, "aaU", vec![]),
            ("which parallel management does not", parallel, "aaU", vec![delete(2)]),
        ] {
            assert_eq!(spec.steps(&members(pods)), want, "{case}");
        }
    }
}
