//! Verdicts on made-up runs, and on counts written by hand.

use record::{Block, Recorder, RecorderPlan, WatchCounts};
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
        let watches = objectives::select(objectives(), &crate::fixture::situation(&played.phases)).unwrap().watches;
        let plan = RecorderPlan { steps: crate::fixture::steps(), phases: played.phases.clone(), watches };
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

/// Counts of a watch, `n` a second for the judged two minutes, `bad` of them beyond.
fn counts(name: &str, n: u32, bad: impl Fn(u32) -> u32) -> WatchCounts {
    let block = |at_s| Block { at_s, phase: if at_s < 43 { 1 } else { 2 }, n, beyond: bad(at_s) };
    WatchCounts {
        objective: name.into(),
        blocks: (13..133).map(block).collect(),
        width_s: 1,
        spans_us: vec![(13_000_000, 133_000_000)],
        ..WatchCounts::default()
    }
}

fn asked(name: &str, line: &str) -> Objective {
    Objective { name: name.into(), ..objectives::line(line).unwrap() }
}

#[test]
fn what_does_not_gate_does_not_decide_and_a_family_is_stricter_than_one() {
    let mut played = played(Kind::Empty, 1);
    let named = |name: &str, gating| Objective { gating, ..asked(name, "p95<800ms") };
    // 59 without a failure decide alone, not as the lesser of two.
    let few = |name: &str, n| WatchCounts {
        blocks: vec![Block { at_s: 13, phase: 1, n, beyond: 0 }],
        ..counts(name, n, |_| 0)
    };
    played.recording.watches = vec![few("a", 59), few("b", 60)];
    let both = conclude(played.clone(), &[named("a", true), named("b", true)]);
    assert_eq!(both.conclusion, Conclusion::Undecided);
    assert!((both.verdicts[0].confidence - 0.975).abs() < 1e-9);
    let one = conclude(played.clone(), &[named("a", true), named("b", false)]);
    assert_eq!(one.conclusion, Conclusion::Pass);
    played.look = Some(Look { nth: 1, of: 2, steady_us: 120_000_000, before: None });
    let looked_at_twice = conclude(played.clone(), &[named("a", true)]);
    assert_eq!(looked_at_twice.conclusion, Conclusion::Undecided, "the error is spent on two looks");
    played.recording.watches[1].blocks[0].beyond = 60;
    let broken_beside = conclude(Played { look: None, ..played }, &[named("a", true), named("b", false)]);
    assert_eq!(broken_beside.verdicts[1].judgement, Judgement::Fail);
    assert_eq!(broken_beside.conclusion, Conclusion::Pass);
}

#[test]
fn every_kind_of_goal_passes_fails_and_stays_undecided() {
    use Judgement::{Fail, Pass, Undecided};
    // A hundred requests a second for two minutes.
    let spread = |per_10: u32| move |at: u32| if at % 10 < per_10 { 10 } else { 0 };
    for (line, want) in [
        ("failed < 5%", [Pass, Fail, Undecided]),
        ("403 <= 5/s over 10m", [Pass, Fail, Undecided]),
        ("5xx < 5% over 2m and 1m", [Pass, Fail, Undecided]),
    ] {
        for (per_10, want) in [1, 9, 5].into_iter().zip(want) {
            let mut played = played(Kind::Empty, 1);
            played.recording.watches = vec![counts("it", 100, spread(per_10))];
            let verdict = conclude(played, &[asked("it", line)]).verdicts.remove(0);
            assert_eq!(verdict.judgement, want, "{line} at {per_10}: {verdict:?}");
        }
    }
    for (line, bad, want) in [("failed = 0", 0, Pass), ("failed = 0", 1, Fail), ("recovery < 60s", 0, Pass)] {
        let mut played = played(Kind::Empty, 1);
        played.recording.watches = vec![counts("it", 100, |at| if at == 20 { bad } else { 0 })];
        let verdict = conclude(played, &[asked("it", line)]).verdicts.remove(0);
        assert_eq!(verdict.judgement, want, "{line} with {bad}");
    }
}

#[test]
fn nothing_seen_of_anything_is_never_a_pass() {
    for line in ["p95<1s", "failed<1%", "403<=5/s", "failed=0", "5xx<5% over 10m and 5m", "recovery<60s"] {
        let verdict = conclude(played(Kind::Empty, 1), &[asked("it", line)]).verdicts.remove(0);
        assert_eq!(verdict.judgement, Judgement::Undecided, "{line}");
        assert!(verdict.reason.is_some() && verdict.measured.is_none(), "{line}: {verdict:?}");
    }
}

#[test]
fn one_bad_window_breaks_what_is_promised_for_each() {
    // A minute and a half is good; the last half minute loses a tenth.
    let late = |at: u32| if at >= 103 { 10 } else { 0 };
    let mut played = played(Kind::Empty, 1);
    played.recording.watches = vec![counts("it", 100, late)];
    let whole = conclude(played.clone(), &[asked("it", "failed < 5%")]).verdicts.remove(0);
    assert_eq!(
        (whole.judgement, whole.worst),
        (Judgement::Undecided, None),
        "one burst, of which nobody knows how often"
    );
    let verdict = conclude(played.clone(), &[asked("it", "failed < 5% over 30s")]).verdicts.remove(0);
    let worst = verdict.worst.unwrap();
    assert_eq!((verdict.judgement, worst.of, worst.start_us), (Judgement::Fail, 7, 103_000_000), "{verdict:?}");
    let longer = conclude(played, &[asked("it", "failed < 5% over 30d")]).verdicts.remove(0);
    let label = longer.label.unwrap().replace('\u{a0}', " ");
    assert_eq!(label, "30 d judged over 2 min");
}

#[test]
fn a_recorder_too_coarse_for_a_window_leaves_it_undecided() {
    let mut played = played(Kind::Empty, 1);
    played.recording.watches = vec![WatchCounts { width_s: 16, ..counts("it", 100, |_| 0) }];
    let verdict = conclude(played, &[asked("it", "failed < 5% over 30s")]).verdicts.remove(0);
    assert_eq!(verdict.judgement, Judgement::Undecided);
    assert!(verdict.reason.unwrap().contains("too coarse"));
}

#[test]
fn a_month_is_told_as_a_price() {
    let verdict =
        conclude(played(Kind::Failures, 1), &[asked("it", "availability >= 99.5% over 30d")]).verdicts.remove(0);
    let budget = verdict.budget.unwrap();
    // One in five fails where five in a thousand may: 40 times too fast, for two and a half minutes of a month.
    assert!((38.0..42.0).contains(&budget.burn_rate), "{budget:?}");
    assert!((budget.spent - budget.burn_rate * 150.0 / 2_592_000.0).abs() < 1e-9, "{budget:?}");
}

#[test]
fn outages_are_measured_between_events() {
    use record::EventKind::{DataChanged, PodGone, PodReady, PodStarted};
    let at = Nanos::from_secs;
    let pod = || "auth-1".to_owned();
    let lost = || DataChanged { what: "the database's primary is lost, and with it 3 acknowledged writes".into() };
    let back = || DataChanged { what: "the database has a primary again".into() };
    for (case, line, events, seconds, held) in [
        (
            "never",
            "target down < 2m",
            vec![(5, PodStarted { pod: pod() }), (9, PodReady { pod: pod(), ready: true })],
            0.0,
            true,
        ),
        (
            "for a while",
            "target down < 10s",
            vec![(50, PodReady { pod: pod(), ready: false }), (62, PodGone { pod: pod() })],
            12.0,
            false,
        ),
        ("to the end", "target down < 2m", vec![(100, PodStarted { pod: pod() })], 53.0, true),
        ("the database", "database down < 1m", vec![(50, lost()), (80, back())], 30.0, true),
        ("for too long", "database down < 1m", vec![(50, lost())], 103.0, false),
        ("not the cache", "redis down < 1m", vec![(50, lost())], 0.0, true),
    ] {
        let mut played = played(Kind::Empty, 1);
        events.into_iter().for_each(|(second, event)| drop(played.chronicle.note(at(second), event).clone()));
        let verdict = conclude(played, &[asked("it", line)]).verdicts.remove(0);
        assert_eq!((verdict.measured, verdict.judgement == Judgement::Pass), (Some(seconds), held), "{case}");
    }
    let nothing = conclude(played(Kind::Empty, 1), &[asked("it", "target down < 2m")]).verdicts.remove(0);
    assert_eq!((nothing.measured, nothing.judgement), (None, Judgement::Undecided), "no pod was ever seen");
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
