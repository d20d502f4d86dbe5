//! What each fault did: when the platform noticed, which requests it cost, when everything stood again.
//!
//! Pure, from events, windows and the requests that failed. A share of failures that was there before the first fault
//! is not counted as its work.

use std::collections::BTreeMap;

use record::{
    Cause, Chronicle, Event, EventKind, FaultResult, LostRequest, NodeState, Spell, Timeline, Verdict, Window,
};

/// So long nothing beyond the usual must fail before a fault counts as over for the load.
const CALM_US: u64 = 10_000_000;
/// Seconds of the month that budgets are told for.
const MONTH_S: f64 = 30.0 * 86_400.0;

/// What the analysis reads of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) chronicle: &'a Chronicle,
    pub(crate) timeline: &'a Timeline,
    pub(crate) lost: &'a [LostRequest],
    pub(crate) load: (u64, u64),
    pub(crate) limit_us: Option<u64>,
}

/// One per fault that began, in order of time. The price is told in the budget of `priced_by`.
pub(crate) fn faults(seen: &Seen<'_>, priced_by: Option<&Verdict>) -> Vec<FaultResult> {
    let began: Vec<(u64, &str, &str)> = seen
        .chronicle
        .events()
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::FaultBegan { fault, what } => Some((event.at_us, fault.as_str(), what.as_str())),
            _ => None,
        })
        .collect();
    let usual = began.first().map_or(0.0, |(first, ..)| seen.usual(*first));
    let untils = began.iter().skip(1).map(|(at, ..)| *at).chain([seen.load.1]);
    let one = |(&(began_us, fault, what), until_us): (&(u64, &str, &str), u64)| {
        let mut result = FaultResult {
            fault: fault.into(),
            what: what.into(),
            began_us,
            until_us: until_us.max(began_us),
            ended_us: seen.ended(fault, began_us),
            ..FaultResult::default()
        };
        seen.reaction(&mut result);
        seen.cost(&mut result, usual);
        seen.pods(&mut result);
        if let Some(verdict) = priced_by {
            let rate = verdict.n as f64 / (verdict.judged_us.max(1) as f64 / 1e6);
            let lost: u64 = result.lost.values().sum();
            result.month_share = Some(lost as f64 / (verdict.allowed * rate * MONTH_S).max(f64::MIN_POSITIVE));
            result.priced_by = Some(verdict.objective.clone());
        }
        result
    };
    began.iter().zip(untils).map(one).collect()
}

/// The objective that lost requests are priced by: the strictest share that decides, or else a time whose budget a lost
/// request spends as well.
pub(crate) fn pricing(verdicts: &[Verdict]) -> Option<&Verdict> {
    let rank = |v: &Verdict| (v.percentile.is_some(), !v.gating, v.allowed);
    let priced = verdicts.iter().filter(|v| v.allowed > 0.0 && v.n > 0);
    priced.min_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal))
}

/// Requests of a window that failed for another reason than a rate limiter.
fn failed(window: &Window) -> u64 {
    window.failed.iter().filter(|(cause, _)| **cause != Cause::Limited).map(|(_, n)| n).sum()
}

impl Seen<'_> {
    /// Windows that begin in a span, each with its start.
    fn windows(&self, from_us: u64, to_us: u64) -> impl Iterator<Item = (u64, &Window)> {
        let width = self.timeline.width_us.max(1);
        let first = from_us.saturating_sub(self.load.0) / width;
        let all = self.timeline.windows.iter().enumerate().skip(first as usize);
        all.map(move |(index, window)| (self.load.0 + index as u64 * width, window))
            .take_while(move |(start, _)| *start < to_us)
    }

    /// The share that fails without any fault.
    fn usual(&self, first_fault_us: u64) -> f64 {
        let width = self.timeline.width_us;
        let before = self.windows(self.load.0, first_fault_us.saturating_sub(width));
        let (lost, due) = before.fold((0, 0), |(lost, due), (_, w)| (lost + failed(w), due + w.offered));
        lost as f64 / (due as f64).max(1.0)
    }

    fn ended(&self, fault: &str, began_us: u64) -> Option<u64> {
        let ended = |event: &&Event| {
            event.at_us >= began_us && matches!(&event.kind, EventKind::FaultEnded { fault: name } if name == fault)
        };
        self.chronicle.events().iter().find(ended).map(|event| event.at_us).filter(|at| *at > began_us)
    }

    /// The first event that shows that the platform knows.
    fn reaction(&self, result: &mut FaultResult) {
        let mut endpoints: BTreeMap<&str, u32> = BTreeMap::new();
        for event in self.chronicle.events() {
            let said = match &event.kind {
                EventKind::EndpointsChanged { service, ready } => {
                    let before = endpoints.insert(service, *ready);
                    before.filter(|before| before > ready).map(|_| {
                        format!("{service} has {ready} {} left", if *ready == 1 { "endpoint" } else { "endpoints" })
                    })
                }
                EventKind::NodeChanged { node, state: NodeState::NotReady } => Some(format!("{node} is NotReady")),
                EventKind::PodReady { pod, ready: false } => Some(format!("{pod} is unready")),
                EventKind::PodRestarted { pod, .. } => Some(format!("{pod} is restarted")),
                EventKind::DataChanged { what } if event.at_us > result.began_us => Some(what.clone()),
                EventKind::DeadlineExceeded { workload, .. } => Some(format!("the rollout of {workload} is stuck")),
                _ => None,
            };
            if event.at_us >= result.began_us && event.at_us < result.until_us && said.is_some() {
                (result.detected_us, result.detected_by) = (Some(event.at_us), said);
                return;
            }
        }
    }

    /// Requests that failed from the beginning on until nothing beyond the usual fails any more.
    fn cost(&self, result: &mut FaultResult, usual: f64) {
        let (from, until) = (result.began_us, result.until_us);
        let calm = self.calm_from(from, until, usual);
        let end = calm.unwrap_or(until);
        for (_, window) in self.windows(from, end) {
            result.due += window.offered;
            for (cause, n) in window.failed.iter().filter(|(cause, _)| **cause != Cause::Limited) {
                *result.lost.entry(*cause).or_default() += n;
            }
        }
        if !result.lost.is_empty() {
            result.still_failing = calm.is_none();
            let seen = self.lost.iter().filter(|lost| lost.cause != Cause::Limited);
            let last = seen.map(|lost| lost.intended_us).filter(|at| (from..end).contains(at)).max();
            // Only the first failures of a run are kept one by one; windows have all of them.
            let width = self.timeline.width_us;
            let window = self.windows(from, end).filter(|(_, w)| failed(w) > 0).last();
            let window = window.map(|(start, _)| start);
            result.failed_over_us = match (last, window) {
                (Some(last), Some(start)) if last >= start => Some(last),
                (_, start) => start.map(|start| (start + width).min(end)),
            };
        }
        let over = |spell: &Spell| self.limit_us.is_some_and(|limit| spell.p95_us > limit);
        let spells = (0..).map(|index| self.load.0 + index * self.timeline.spell_us).zip(&self.timeline.spells);
        let within = spells.filter(|(start, spell)| (from..until).contains(start) && over(spell));
        result.over_limit_us = within.count() as u64 * self.timeline.spell_us;
        let after = calm.map_or(0, |calm| self.windows(calm, until).map(|(_, window)| failed(window)).sum());
        result.lost_later = after;
    }

    /// The first window from which on [`CALM_US`] pass with no more failures than usual.
    fn calm_from(&self, from: u64, until: u64, usual: f64) -> Option<u64> {
        let long = CALM_US.max(self.timeline.width_us);
        self.windows(from, until).map(|(start, _)| start).find(|start| {
            if start + long > until {
                return false;
            }
            let counted =
                self.windows(*start, start + long).fold((0, 0), |(n, due), (_, w)| (n + failed(w), due + w.offered));
            let expected = usual * counted.1 as f64;
            counted.0 as f64 <= expected + 3.0 * libm::sqrt(expected)
        })
    }

    /// Pods that were wanted and not ready, and when none was missing any more.
    fn pods(&self, result: &mut FaultResult) {
        let mut replicas: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        let missing = |all: &BTreeMap<&str, (u32, u32)>| {
            all.values().map(|(desired, ready)| desired.saturating_sub(*ready)).sum::<u32>()
        };
        let mut before = None;
        for event in self.chronicle.events().iter().take_while(|event| event.at_us < result.until_us) {
            let EventKind::ReplicasChanged { workload, desired, ready } = &event.kind else { continue };
            if event.at_us >= result.began_us && before.is_none() {
                before = Some(missing(&replicas));
            }
            replicas.insert(workload, (*desired, *ready));
            let Some(before) = before else { continue };
            let now = missing(&replicas).saturating_sub(before);
            if now > result.pods_missing {
                (result.pods_missing, result.recovered_us) = (now, None);
            } else if now == 0 && result.pods_missing > 0 && result.recovered_us.is_none() {
                result.recovered_us = Some(event.at_us);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::StepId;
    use units::Nanos;

    const SECOND: u64 = 1_000_000;

    /// A minute of 100 requests a second from second 10 on; those of `bad` seconds lose 20 each.
    fn timeline(bad: &[u64]) -> (Timeline, Vec<LostRequest>) {
        let window = |second: u64| {
            let lost = if bad.contains(&second) { 20 } else { 0 };
            let failed = if lost > 0 { [(Cause::Reset, lost)].into() } else { BTreeMap::new() };
            Window { offered: 100, succeeded: 100 - lost, failed, ..Window::default() }
        };
        let lost = |second: &u64| LostRequest {
            intended_us: second * SECOND + 300_000,
            done_us: second * SECOND + 310_000,
            step: StepId(0),
            cause: Cause::Reset,
        };
        let windows = (10..70).map(window).collect();
        let spells = vec![Spell { n: 100, p95_us: 50_000, ..Spell::default() }; 30];
        let timeline = Timeline { width_us: SECOND, windows, spell_us: 2 * SECOND, spells, ..Timeline::default() };
        (timeline, bad.iter().map(lost).collect())
    }

    fn chronicle() -> Chronicle {
        let mut chronicle = Chronicle::default();
        let mut note = |second: u64, kind: EventKind| drop(chronicle.note(Nanos::from_secs(second), kind).clone());
        let endpoints = |ready| EventKind::EndpointsChanged { service: "auth".into(), ready };
        let replicas = |ready| EventKind::ReplicasChanged { workload: "auth".into(), desired: 5, ready };
        note(5, replicas(5));
        note(5, endpoints(5));
        note(30, EventKind::FaultBegan { fault: "kill".into(), what: "one pod of auth is killed".into() });
        note(31, endpoints(4));
        note(31, replicas(4));
        note(41, replicas(5));
        note(41, endpoints(5));
        chronicle
    }

    fn result(bad: &[u64]) -> FaultResult {
        let (chronicle, (timeline, lost)) = (chronicle(), timeline(bad));
        let load = (10 * SECOND, 70 * SECOND);
        let seen = Seen { chronicle: &chronicle, timeline: &timeline, lost: &lost, load, limit_us: Some(40_000) };
        faults(&seen, None).remove(0)
    }

    #[test]
    fn a_kill_is_noticed_survived_and_healed() {
        let result = result(&[30, 31]);
        assert_eq!(result.detected_us, Some(31 * SECOND));
        assert_eq!(result.detected_by.as_deref(), Some("auth has 4 endpoints left"));
        assert_eq!((result.failed_over_us, result.still_failing), (Some(31 * SECOND + 300_000), false));
        assert_eq!((result.recovered_us, result.pods_missing), (Some(41 * SECOND), 1));
        assert_eq!((result.due, result.lost[&Cause::Reset]), (200, 40));
        assert_eq!(result.over_limit_us, 40 * SECOND, "p95 was over this limit all the time");
    }

    #[test]
    fn what_costs_nothing_and_what_never_ends_are_told_apart() {
        let nothing = result(&[]);
        assert_eq!((nothing.failed_over_us, nothing.still_failing, nothing.lost.len()), (None, false, 0));
        let all: Vec<u64> = (30..70).collect();
        let never = result(&all);
        assert!(never.still_failing && never.lost[&Cause::Reset] == 800, "{never:?}");
    }

    #[test]
    fn what_failed_before_is_not_its_work() {
        // A fifth fails all the time: the kill adds nothing.
        let usual = result(&(10..70).collect::<Vec<_>>());
        assert!(usual.lost.is_empty() && !usual.still_failing, "{usual:?}");
        let gap = result(&[30, 36]);
        assert_eq!(gap.lost[&Cause::Reset], 40, "a pause of less than ten seconds is no end");
    }

    #[test]
    fn the_price_is_a_share_of_a_month() {
        let (chronicle, (timeline, lost)) = (chronicle(), timeline(&[30]));
        let load = (10 * SECOND, 70 * SECOND);
        let seen = Seen { chronicle: &chronicle, timeline: &timeline, lost: &lost, load, limit_us: None };
        let mut verdict = crate::fixture::result(crate::fixture::Kind::Pass).verdicts.remove(0);
        (verdict.n, verdict.judged_us, verdict.allowed) = (6_000, 60 * SECOND, 0.005);
        // 20 lost of 0.005 × 100/s × 2 592 000 s = 1 296 000 that a month may lose.
        let share = faults(&seen, Some(&verdict))[0].month_share.unwrap();
        assert!((share - 20.0 / 1_296_000.0).abs() < 1e-12, "{share}");
    }
}
