//! From what the metrics ask for to what is done: stabilization windows, then rate limits, then bounds.
//!
//! Follows `pkg/controller/podautoscaler/horizontal.go`: `normalizeDesiredReplicas` for an autoscaler without
//! `behavior`, `normalizeDesiredReplicasWithBehaviors` for one with it, `storeScaleEvent` after a change. With
//! `behavior` the code stabilizes first and limits second, against the order in its own comment. Arithmetic is that of
//! Go's `int32`, wrapping included.

use std::cmp::Ordering;

use platform::{Behavior, Policy, PolicyKind, ScalingRules, SelectPolicy};
use units::Nanos;

use super::calculator::to_i32;

/// `scaleUpLimitFactor` and `scaleUpLimitMinimum` of the path without `behavior`.
const SCALE_UP_FACTOR: f64 = 2.0;
const SCALE_UP_MINIMUM: f64 = 4.0;

/// What an autoscaler remembers between syncs. Kept in memory upstream too: a restarted controller forgets it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    recommendations: Vec<(Nanos, i32)>,
    ups: Vec<Change>,
    downs: Vec<Change>,
}

/// A change of the replicas that later policies count.
#[derive(Clone, Copy, Debug)]
struct Change {
    then: Nanos,
    by: i32,
    /// Was found to be older than every policy once. It still counts where it is young enough for a policy that came
    /// later, until its place is needed.
    outdated: bool,
}

/// Bounds and standing of one sync.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) now: Nanos,
    pub(super) current: i32,
    pub(super) min: i32,
    pub(super) max: i32,
    /// The controller's `--horizontal-pod-autoscaler-downscale-stabilization`.
    pub(super) downscale: Nanos,
}

/// Reason and message of a condition.
pub(super) type Words = (&'static str, &'static str);

/// What came of it, with what conditions `AbleToScale` and `ScalingLimited` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Normalized {
    pub(super) stabilized: i32,
    pub(super) desired: i32,
    pub(super) able: Words,
    pub(super) limited: Words,
}

const READY: Words = ("ReadyForNewScale", "recommended size matches current size");
const UP_STABILIZED: Words = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_STABILIZED: Words = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const WITHIN: Words = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FAST_UP: Words =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: Words =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const TOO_MANY: Words = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: Words = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");

impl Memory {
    /// `recordInitialRecommendation`: once, with what runs when the controller first looks.
    pub(super) fn begin(&mut self, now: Nanos, current: i32) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    /// Puts a recommendation from before the first sync.
    pub(super) fn recall_recommendation(&mut self, then: Nanos, replicas: i32) {
        self.recommendations.push((then, replicas));
    }

    /// Puts a change from before the first sync.
    pub(super) fn recall_change(&mut self, then: Nanos, from: i32, to: i32) {
        let events = if to > from { &mut self.ups } else { &mut self.downs };
        events.push(Change { then, by: to.wrapping_sub(from).wrapping_abs(), outdated: false });
    }

    /// Normalizes what the metrics ask for.
    pub(super) fn normalize(&mut self, at: Bounds, wanted: i32, behavior: Option<&Behavior>) -> Normalized {
        match behavior {
            None => self.without_behavior(at, wanted),
            Some(behavior) => self.with_behavior(at, wanted, behavior),
        }
    }

    fn without_behavior(&mut self, at: Bounds, wanted: i32) -> Normalized {
        // A recommendation exactly as old as the window still counts.
        let stale = |then: Nanos| then + at.downscale < at.now;
        let recent = self.recommendations.iter().filter(|(then, _)| !stale(*then)).map(|(_, replicas)| *replicas);
        let stabilized = recent.fold(wanted, i32::max);
        remember(&mut self.recommendations, (at.now, wanted), stale);

        let limit = to_i32((SCALE_UP_FACTOR * f64::from(at.current)).max(SCALE_UP_MINIMUM));
        let (most, words) = if at.max > limit { (limit, TOO_FAST_UP) } else { (at.max, TOO_MANY) };
        let (desired, limited) = if stabilized < at.min {
            (at.min, TOO_FEW)
        } else if stabilized > most {
            (most, words)
        } else {
            (stabilized, WITHIN)
        };
        let able = if stabilized == wanted { READY } else { DOWN_STABILIZED };
        Normalized { stabilized, desired, able, limited }
    }

    fn with_behavior(&mut self, at: Bounds, wanted: i32, behavior: &Behavior) -> Normalized {
        let up_window = behavior.up.stabilization_window.unwrap_or(Nanos::ZERO);
        // The flag fills the gap in whole seconds (`maybeInitScaleDownStabilizationWindow`).
        let down_window =
            behavior.down.stabilization_window.unwrap_or_else(|| Nanos::from_secs(at.downscale.as_secs()));
        let (mut lowest, mut highest) = (wanted, wanted);
        for &(then, replicas) in &self.recommendations {
            if then + up_window > at.now {
                lowest = lowest.min(replicas);
            }
            if then + down_window > at.now {
                highest = highest.max(replicas);
            }
        }
        remember(&mut self.recommendations, (at.now, wanted), |then| {
            then + up_window < at.now && then + down_window < at.now
        });
        // At least the lowest of the up window, at most the highest of the down window: the latter has the last word.
        let stabilized = at.current.max(lowest).min(highest);
        let able = match stabilized {
            same if same == wanted => READY,
            _ if wanted >= at.current => UP_STABILIZED,
            _ => DOWN_STABILIZED,
        };

        let (desired, limited) = match stabilized.cmp(&at.current) {
            Ordering::Greater => {
                let limit = self.limit(at, &behavior.up, Direction::Up).max(at.current);
                let (most, words) = if at.max > limit { (limit, TOO_FAST_UP) } else { (at.max, TOO_MANY) };
                if stabilized > most { (most, words) } else { (stabilized, WITHIN) }
            }
            Ordering::Less => {
                let limit = self.limit(at, &behavior.down, Direction::Down).min(at.current);
                let (least, words) = if at.min < limit { (limit, TOO_FAST_DOWN) } else { (at.min, TOO_FEW) };
                if stabilized < least { (least, words) } else { (stabilized, WITHIN) }
            }
            Ordering::Equal => (stabilized, WITHIN),
        };
        Normalized { stabilized, desired, able, limited }
    }

    /// How far the policies of one direction allow to go: `calculateScaleUpLimitWithScalingRules` and
    /// `calculateScaleDownLimitWithBehaviors`.
    fn limit(&self, at: Bounds, rules: &ScalingRules, direction: Direction) -> i32 {
        let proposals = rules.policies.iter().map(|policy| {
            let within = |events: &[Change]| {
                let recent = events.iter().filter(|change| change.then + policy.period > at.now); // strictly younger
                recent.fold(0_i32, |sum, change| sum.wrapping_add(change.by))
            };
            let start = at.current.wrapping_sub(within(&self.ups)).wrapping_add(within(&self.downs));
            direction.allowed(start, policy)
        });
        let farthest = match (rules.select, direction) {
            (SelectPolicy::Disabled, _) => return at.current,
            (SelectPolicy::Max, Direction::Up) | (SelectPolicy::Min, Direction::Down) => proposals.max(),
            (SelectPolicy::Max, Direction::Down) | (SelectPolicy::Min, Direction::Up) => proposals.min(),
        };
        // The API refuses an empty list; without a policy there is nothing to allow a change.
        farthest.unwrap_or(at.current)
    }

    /// `storeScaleEvent`: what later policies count. Only with `behavior`.
    pub(super) fn scaled(&mut self, now: Nanos, from: i32, to: i32, behavior: Option<&Behavior>) {
        let Some(behavior) = behavior else { return };
        let (events, rules) = if to > from { (&mut self.ups, &behavior.up) } else { (&mut self.downs, &behavior.down) };
        let longest = rules.policies.iter().map(|policy| policy.period).max().unwrap_or(Nanos::ZERO);
        for change in events.iter_mut().filter(|change| change.then + longest < now) {
            change.outdated = true;
        }
        let new = Change { then: now, by: to.wrapping_sub(from).wrapping_abs(), outdated: false };
        match events.iter_mut().rev().find(|change| change.outdated) {
            Some(change) => *change = new,
            None => events.push(new),
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    /// What one policy allows from the replicas at its period's start. Up rounds up, so that a small target can grow
    /// at all; down truncates.
    fn allowed(self, start: i32, policy: &Policy) -> i32 {
        let value = policy.value.cast_signed();
        let share = f64::from(policy.value) / 100.0;
        match (policy.kind, self) {
            (PolicyKind::Pods, Self::Up) => start.wrapping_add(value),
            (PolicyKind::Pods, Self::Down) => start.wrapping_sub(value),
            (PolicyKind::Percent, Self::Up) => to_i32(libm::ceil(f64::from(start) * (1.0 + share))),
            (PolicyKind::Percent, Self::Down) => to_i32(f64::from(start) * (1.0 - share)),
        }
    }
}

/// Appends, or reuses the last entry that nothing needs any more: upstream keeps its list short this way, and the
/// place of an entry never matters.
fn remember(entries: &mut Vec<(Nanos, i32)>, new: (Nanos, i32), stale: impl Fn(Nanos) -> bool) {
    match entries.iter().rposition(|(then, _)| stale(*then)) {
        Some(index) => entries[index] = new,
        None => entries.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64, current: i32) -> Bounds {
        Bounds { now: Nanos::from_secs(secs), current, min: 1, max: 100, downscale: Nanos::from_secs(300) }
    }
    fn rules(window: u64, select: SelectPolicy, policies: &[(PolicyKind, u32, u64)]) -> ScalingRules {
        let policy =
            |&(kind, value, period): &(PolicyKind, u32, u64)| Policy { kind, value, period: Nanos::from_secs(period) };
        ScalingRules {
            stabilization_window: Some(Nanos::from_secs(window)),
            select,
            policies: policies.iter().map(policy).collect(),
            tolerance: None,
        }
    }

    #[test]
    fn without_behavior_growth_is_doubled_at_most_and_shrinking_waits() {
        for (case, current, wanted, want) in [
            ("doubles", 10, 50, (20, "ReadyForNewScale", "ScaleUpLimit")),
            ("up to four from one", 1, 50, (4, "ReadyForNewScale", "ScaleUpLimit")),
            ("up to the maximum", 60, 150, (100, "ReadyForNewScale", "TooManyReplicas")),
            ("not below the minimum", 5, 0, (1, "ReadyForNewScale", "TooFewReplicas")),
            ("within", 5, 7, (7, "ReadyForNewScale", "DesiredWithinRange")),
        ] {
            let got = Memory::default().normalize(at(0, current), wanted, None);
            assert_eq!((got.desired, got.able.0, got.limited.0), want, "{case}");
        }
        let mut memory = Memory::default();
        memory.begin(Nanos::ZERO, 9);
        assert_eq!(memory.normalize(at(300, 9), 3, None).desired, 9, "exactly as old as the window still counts");
        let later = memory.normalize(at(301, 9), 3, None);
        assert_eq!((later.desired, later.able.0), (3, "ReadyForNewScale"));
    }

    #[test]
    fn with_behavior_the_window_excludes_its_own_age() {
        let behavior = Behavior {
            up: rules(60, SelectPolicy::Max, &[(PolicyKind::Percent, 900, 15)]),
            down: rules(300, SelectPolicy::Max, &[(PolicyKind::Percent, 100, 15)]),
        };
        let mut memory = Memory::default();
        memory.begin(Nanos::ZERO, 3);
        let early = memory.normalize(at(59, 3), 9, Some(&behavior));
        assert_eq!((early.desired, early.able.0), (3, "ScaleUpStabilized"));
        let later = memory.normalize(at(60, 3), 9, Some(&behavior));
        assert_eq!((later.desired, later.able.0), (9, "ReadyForNewScale"), "60 s old is outside");
        let down = memory.normalize(at(359, 9), 2, Some(&behavior));
        assert_eq!((down.desired, down.able.0), (9, "ScaleDownStabilized"));
        assert_eq!(memory.normalize(at(360, 9), 2, Some(&behavior)).desired, 2);
    }

    #[test]
    fn policies_limit_what_a_period_may_change() {
        use PolicyKind::{Percent, Pods};
        use SelectPolicy::{Disabled, Max, Min};
        let pods_or_half = [(Pods, 4, 60), (Percent, 50, 60)];
        for (case, current, wanted, up, down, want) in [
            ("up: the greater of +4 and +50 %", 10, 90, (Max, &pods_or_half[..]), (Max, &[][..]), 15),
            ("up: the smaller", 10, 90, (Min, &pods_or_half[..]), (Max, &[]), 14),
            ("up: never", 10, 90, (Disabled, &pods_or_half[..]), (Max, &[]), 10),
            ("up: percent rounds up", 3, 90, (Max, &[(Percent, 10, 60)][..]), (Max, &[]), 4),
            ("down: the greater of −4 and −50 %", 10, 1, (Max, &[]), (Max, &pods_or_half[..]), 5),
            ("down: the smaller", 10, 1, (Max, &[]), (Min, &pods_or_half[..]), 6),
            ("down: never", 10, 1, (Max, &[]), (Disabled, &pods_or_half[..]), 10),
            ("down: what remains is truncated", 5, 1, (Max, &[]), (Max, &[(Percent, 10, 60)][..]), 4),
        ] {
            let behavior = Behavior { up: rules(0, up.0, up.1), down: rules(0, down.0, down.1) };
            assert_eq!(Memory::default().normalize(at(0, current), wanted, Some(&behavior)).desired, want, "{case}");
        }
    }

    #[test]
    fn changes_of_both_directions_count_within_the_period_only() {
        let behavior = Behavior {
            up: rules(0, SelectPolicy::Max, &[(PolicyKind::Pods, 4, 60)]),
            down: rules(0, SelectPolicy::Max, &[(PolicyKind::Pods, 1, 60)]),
        };
        let mut memory = Memory::default();
        memory.scaled(Nanos::from_secs(0), 10, 13, Some(&behavior));
        memory.scaled(Nanos::from_secs(10), 13, 12, Some(&behavior));
        let up = |memory: &mut Memory, secs| memory.normalize(at(secs, 12), 90, Some(&behavior)).desired;
        assert_eq!(up(&mut memory, 59), 14, "12 − 3 + 1 + 4");
        assert_eq!(up(&mut memory, 60), 17, "the rise is 60 s old and counts no more: 12 + 1 + 4");
        assert_eq!(up(&mut memory, 70), 16);
    }
}
