//! What must be true of the page whatever the run.

mod browser;
mod chromium;

use record::{EventKind, RunResult};
use units::{Nanos, Seed};

use super::*;
use crate::conclude;
use crate::fixture::{EVERY, Kind, asked, objectives, observations, played, result, steps};
use crate::told::Baseline;

fn told(result: RunResult) -> Told {
    Told { asked: asked(), result, environment: None, twin: None, baseline: None }
}

/// A run with a fault, a twin, a baseline and an environment.
fn rich() -> Told {
    let live = observations(Kind::Fault, 1, Seed::new(42));
    let environment = record::Environment {
        started: "2026-11-23T02:10:00Z".into(),
        took_s: 163.2,
        system: "linux x86_64".into(),
        cores: 2,
        open_files: 65_536,
        notes: [("driver CPU".to_owned(), "31 % of one core".to_owned())].into(),
    };
    Told {
        twin: Some(crate::compare(&live, &live, &steps()).reaching(result(Kind::Pass))),
        baseline: Some(Baseline { name: "last night".into(), result: result(Kind::Pass) }),
        environment: Some(environment),
        ..told(result(Kind::Fault))
    }
}

/// The text between tags.
fn text(html: &str) -> String {
    let body = &html[html.find("<body").unwrap()..html.find("<script>").unwrap()];
    let mut out = String::new();
    let mut inside = false;
    for c in body.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(if c == '\u{a0}' || c == '\u{202f}' { ' ' } else { c }),
            _ => {}
        }
    }
    out
}

#[test]
fn every_section_is_there_and_nothing_is_fetched() {
    for kind in EVERY {
        let html = page(&told(result(kind)));
        for (id, name) in SECTIONS.iter().filter(|(id, _)| *id != "faults" || kind == Kind::Fault) {
            assert!(html.contains(&format!("<section id=\"{id}\"")), "{kind:?}: {name}");
            assert!(html.contains(&format!("href=\"#{id}\"")), "{kind:?}: {name} is linked");
        }
        for attribute in ["src=\"", "href=\"", "url("] {
            for (at, _) in html.match_indices(attribute) {
                let value = &html[at + attribute.len()..];
                assert!(!value.starts_with("http") && !value.starts_with("//"), "{kind:?}: {}", &html[at..at + 60]);
            }
        }
        let written = &html[html.find("<body").unwrap()..html.find("<script>").unwrap()];
        assert!(!written.contains("NaN") && !written.contains("inf%"), "{kind:?}");
        for (open, close) in [("<svg", "</svg>"), ("<table", "</table>"), ("<section", "</section>")] {
            assert_eq!(html.matches(open).count(), html.matches(close).count(), "{kind:?}: {open}");
        }
        let pictures = html.matches("<svg viewBox=\"0 0 2000").count();
        assert_eq!(html.matches("<desc").count(), pictures, "{kind:?}: every plot says its result");
    }
}

#[test]
fn the_title_says_how_it_ended() {
    for (kind, title) in [
        (Kind::Fault, "It holds: the core flow keeps its 800 ms."),
        (Kind::Pass, "It holds: the core flow keeps its 800 ms."),
        (Kind::Fail, "Do not ship: the core flow is too slow while transactions-service scales."),
        (Kind::Failures, "Do not ship: too many requests of the core flow fail or are late in phase"),
        (Kind::Invalid, "No verdict: the run is invalid, one check failed."),
        (Kind::Interrupted, "No verdict: the run was interrupted."),
        (Kind::Empty, "Undecided: no request of the core flow was judged."),
    ] {
        let text = text(&page(&told(result(kind))));
        assert!(text.contains(title), "{kind:?}: {}", &text[..text.len().min(600)]);
    }
    let undecided = text(&page(&told(result(Kind::Undecided))));
    assert!(undecided.contains("are too few to tell.") && undecided.contains("would settle it."), "{undecided}");
}

#[test]
fn sentences_are_borne_out_by_the_data() {
    let of = |kind| text(&page(&told(result(kind))));
    for (case, text, has, has_not) in [
        ("pass", of(Kind::Pass), "p95 was never over the limit", "broken"),
        (
            "fail",
            of(Kind::Fail),
            "3 were ready; the autoscaler asked for more after 7.2 s, the first new one was ready after 20.4 s.",
            "It holds",
        ),
        ("failures", of(Kind::Failures), "of the requests failed or took longer, and 5 % may", "too slow"),
        ("failures", of(Kind::Failures), "the most frequent cause being 5xx", "gateway 502"),
        (
            "fault",
            of(Kind::Fault),
            "the first sign that the platform noticed came 1.3 s later (auth-service has 1 endpoint left)",
            "FAIL",
        ),
        ("fault", of(Kind::Fault), "45 requests were lost", "FAIL"),
        ("pass", of(Kind::Pass), "10 min judged over 2 min", "FAIL"),
        ("interrupted", of(Kind::Interrupted), "Load lasted 1 min of the 2 min 30 s planned", "It holds"),
        ("empty", of(Kind::Empty), "No workload is autoscaled in this run.", "It holds"),
        ("empty", of(Kind::Empty), "Nothing was checked about the run itself.", "checks hold"),
        ("no twin", of(Kind::Pass), "It was not held against a simulation.", "simulated twin"),
    ] {
        assert!(text.contains(has), "{case}: no “{has}” in {text}");
        assert!(!text.contains(has_not), "{case}: “{has_not}” in it");
    }
}

#[test]
fn names_cannot_become_markup() {
    let mut result = result(Kind::Fail);
    let evil = "<script>alert(1)</script>";
    result.scenario.name = evil.into();
    result.scenario.question = evil.into();
    result.verdicts[0].title = evil.into();
    result.verdicts[0].source = evil.into();
    result.verdicts[0].note = Some(evil.into());
    result.checks[0].name = evil.into();
    result.findings[0].consequence = evil.into();
    result.findings[0].place = "\" onload=\"alert(1)".into();
    result.workloads[0].workload = evil.into();
    result.phases.iter_mut().for_each(|phase| phase.name = evil.into());
    result.steps.iter_mut().for_each(|step| step.request = evil.into());
    result.decisions.iter_mut().for_each(|(_, d)| d.workload = evil.into());
    result.time_splits.iter_mut().for_each(|split| split.step = evil.into());
    let mut told = told(result);
    told.asked.command = evil.into();
    let html = page(&told);
    assert_eq!(html.matches("<script").count(), 2, "only our own, and its figures");
    assert!(html.contains("&lt;script&gt;") && !html.contains("\" onload"));
}

#[test]
fn a_twin_and_an_environment_are_shown() {
    let live = observations(Kind::Pass, 1, Seed::new(42));
    let mut told = told(result(Kind::Pass));
    told.twin = Some(crate::compare(&live, &live, &steps()));
    told.environment =
        Some(record::Environment { started: "2026-11-23T02:10:00Z".into(), cores: 2, ..Default::default() });
    let text = text(&page(&told));
    for has in ["2026-11-23T02:10:00Z", "the simulated twin says", "within", "2 cores"] {
        assert!(text.contains(has), "{has}");
    }
}

#[test]
fn an_hour_stays_small() {
    // 3600 s, and an autoscaler that changes its mind every 15 s.
    let mut played = played(Kind::Fail, 24);
    for sync in 0..240_u64 {
        let (current, desired) = if sync % 2 == 0 { (3, 6) } else { (6, 3) };
        let EventKind::Scaling(mut d) = played.chronicle.events()[2].kind.clone() else { panic!("a sync") };
        (d.current, d.desired) = (current, desired);
        played.chronicle.note(Nanos::from_secs(3 + sync * 15), EventKind::Scaling(d));
    }
    let html = page(&told(conclude(played, &objectives())));
    assert!(html.len() < 700_000, "{} bytes", html.len());
}
