//! Verdicts on made-up runs, and on counts written by hand.

use record::{Recorder, RecorderPlan, WatchCounts};
use units::Nanos;

use super::*;
use crate::fixture::{EVERY, Kind, objectives, played, result};

#[test]
fn each_run_concludes_as_it_was_made() {
    for (kind, conclusion, judgement) in [
        (Kind::Pass, Conclusion::Pass, Judgement::Pass),
        (Kind::Fail, Conclusion::Fail, Judgement::Fail),
        (Kind::Undecided, Conclusion::Undecided, Judgement::Undecided),
        (Kind::Invalid, Conclusion::Invalid, Judgement::Pass),
        (Kind::Interrupted, Conclusion::Interrupted, Judgement::Pass),
        (Kind::Empty, Conclusion::Undecided, Judgement::Undecided),
        (Kind::Failures, Conclusion::Fail, Judgement::Fail),
    ] {
        let result = result(kind);
        assert_eq!((result.conclusion, result.verdicts[0].judgement), (conclusion, judgement), "{kind:?}");
        assert_eq!(result, crate::fixture::result(kind), "{kind:?}: the same twice");
    }
}

#[test]
fn a_verdict_carries_what_a_reader_needs_to_check_it() {
    for kind in EVERY {
        let verdict = result(kind).verdicts.remove(0);
        let (low, high) = verdict.beyond_bounds;
        match verdict.judgement {
            Judgement::Pass => assert!(high <= verdict.allowed, "{kind:?}"),
            Judgement::Fail => assert!(low >= verdict.allowed, "{kind:?}"),
            Judgement::Undecided => assert!(low < verdict.allowed && verdict.allowed < high, "{kind:?}"),
        }
        assert_eq!(verdict.more_needed.is_some(), verdict.judgement == Judgement::Undecided, "{kind:?}");
        assert!(verdict.design_effect >= 1.0 && verdict.design_effect < 3.0, "{kind:?}: {}", verdict.design_effect);
        if let (Some(measured), Some((low, high))) = (verdict.measured, verdict.interval) {
            assert!(low <= measured && measured <= high, "{kind:?}");
        }
        assert_eq!((verdict.percentile, verdict.limit, verdict.unit.as_str()), (Some(95.0), 800.0, "ms"), "{kind:?}");
    }
    let interrupted = result(Kind::Interrupted).verdicts.remove(0);
    assert_eq!(interrupted.judged_us, 50_000_000, "30 s of baseline and 20 s of the step");
}

#[test]
fn nothing_seen_is_undecided_and_says_what_it_takes() {
    let verdict = result(Kind::Empty).verdicts.remove(0);
    assert_eq!((verdict.n, verdict.measured, verdict.interval), (0, None, None));
    assert_eq!(verdict.more_needed, Some(59));
}

#[test]
fn a_pass_by_the_interval_is_a_pass_by_the_share() {
    // Order statistics and Clopper–Pearson are the same test, seen from the time and from the count.
    for slow_of_1000 in [1_u64, 3, 5, 20, 30, 45, 55, 70] {
        let mut played = played(Kind::Empty, 1);
        let watch = objectives()[0].watch(&crate::fixture::steps()).unwrap();
        let plan = RecorderPlan { steps: crate::fixture::steps(), phases: played.phases.clone(), watches: vec![watch] };
        let mut recorder = Recorder::new(plan);
        for index in 0..1_000_u64 {
            // Spread evenly, so that there is no burst; what alternates from second to second looks a little like one.
            let slow = index * slow_of_1000 / 1_000 != (index + 1) * slow_of_1000 / 1_000;
            let intended = Nanos::from_secs(13) + Nanos::from_millis(index * 100);
            let done = intended + Nanos::from_millis(if slow { 1_000 } else { 100 + index % 300 });
            recorder.observe(&record::Observation { intended, sent: intended, done, ..Default::default() });
        }
        played.recording = recorder.finish();
        let verdict = conclude(played, &objectives()).verdicts.remove(0);
        assert!(verdict.beyond == slow_of_1000 && verdict.design_effect < 1.1, "{verdict:?}");
        let (low, high) = verdict.interval.unwrap();
        let by_time = match (high <= 800.0, low > 800.0) {
            (true, _) => Judgement::Pass,
            (_, true) => Judgement::Fail,
            _ => Judgement::Undecided,
        };
        assert_eq!(verdict.judgement, by_time, "{slow_of_1000} of 1000 beyond: {low}..{high}");
    }
}

#[test]
fn an_objective_whose_times_were_not_kept_is_shown_as_a_share() {
    let mut played = played(Kind::Pass, 1);
    let mut second = objectives().remove(0);
    second.name = "profile-latency".into();
    second.gating = false;
    let blocks = vec![Block { phase: 1, n: 100, beyond: 1 }; 120];
    played.recording.watches.push(WatchCounts { objective: second.name.clone(), blocks });
    let result = conclude(played, &[objectives().remove(0), second]);
    let verdict = &result.verdicts[1];
    assert_eq!((verdict.percentile, verdict.unit.as_str(), verdict.limit), (None, "%", 5.0));
    assert_eq!((verdict.measured, verdict.n), (Some(1.0), 12_000));
    assert_eq!(result.conclusion, Conclusion::Pass);
}

#[test]
fn what_does_not_gate_does_not_decide_and_a_family_is_stricter_than_one() {
    let mut played = played(Kind::Empty, 1);
    let named = |name: &str, gating| {
        let mut objective = objectives().remove(0);
        objective.name = name.into();
        objective.gating = gating;
        objective
    };
    // 59 without a failure decide alone, not as the lesser of two.
    let counts = |name: &str, n| WatchCounts { objective: name.into(), blocks: vec![Block { phase: 1, n, beyond: 0 }] };
    played.recording.watches = vec![counts("a", 59), counts("b", 60)];
    let both = conclude(played.clone(), &[named("a", true), named("b", true)]);
    assert_eq!(both.conclusion, Conclusion::Undecided);
    assert!((both.verdicts[0].confidence - 0.975).abs() < 1e-9);
    let one = conclude(played.clone(), &[named("a", true), named("b", false)]);
    assert_eq!(one.conclusion, Conclusion::Pass);
    played.recording.watches[1].blocks[0].beyond = 60;
    let broken_beside = conclude(played, &[named("a", true), named("b", false)]);
    assert_eq!(broken_beside.verdicts[1].judgement, Judgement::Fail);
    assert_eq!(broken_beside.conclusion, Conclusion::Pass);
}

#[test]
fn the_curve_rises_and_ends_where_the_samples_do() {
    let result = result(Kind::Fail);
    let curve = &result.distribution;
    assert!(curve.is_sorted_by_key(|point| point.us));
    assert_eq!((curve[0].percent, curve.last().unwrap().percent), (0.0, 100.0));
    assert!(curve.iter().all(|p| p.interval_us.0 <= p.us && p.us <= p.interval_us.1));
    let few = self::result(Kind::Undecided).distribution;
    assert!(few.iter().all(|p| p.percent < 99.0 || p.percent >= 100.0), "fewer than 100 values know no p99");
}
