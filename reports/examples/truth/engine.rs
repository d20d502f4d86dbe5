//! Observations whose truth is known, through the whole engine: recorder, evidence, verdict.
//!
//! A run is made second by second; a seed decides everything. What is counted is how often a verdict claims what is
//! not true.

use std::collections::BTreeMap;

use objectives::{Objective, Situation, line, select};
use record::{
    Cause, Chronicle, Judgement, Look, Observation, PhaseKind, PhaseSpan, PlatformStamp, Recorder, RecorderPlan,
    RunResult, ScenarioStamp, StepId, StepPlan, Verdict,
};
use reports::{Played, conclude};
use units::{Nanos, Purpose, Seed};

/// How bad requests come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Process {
    /// Each by itself.
    Independent,
    /// In stretches of so many seconds on average, which take so much of the time, and in which so many are bad.
    Bursts { seconds: f64, time: f64, bad: f64 },
    /// The share wanders: what is left of a deviation after a second, and how large deviations are.
    Wandering { stays: f64, spread: f64 },
}

/// A kind of run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// In words.
    pub(crate) name: &'static str,
    /// The objective.
    pub(crate) line: &'static str,
    /// The true share of bad requests.
    pub(crate) truth: f64,
    /// How they come.
    pub(crate) process: Process,
    /// Requests a second.
    pub(crate) rate: u64,
    /// Length of the run.
    pub(crate) seconds: u64,
}

/// What many runs of a case came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// All.
    pub(crate) runs: u32,
    /// Passed.
    pub(crate) passed: u32,
    /// Failed.
    pub(crate) failed: u32,
}

impl Tally {
    /// Shares of passes and fails.
    pub(crate) fn shares(self) -> (f64, f64) {
        let share = |count: u32| f64::from(count) / f64::from(self.runs.max(1));
        (share(self.passed), share(self.failed))
    }
}

/// Plays a case `runs` times.
pub(crate) fn tally(case: &Case, runs: u32) -> Tally {
    let mut tally = Tally::default();
    for run in 0..runs {
        let verdict = verdict(case, Seed::new(u64::from(run)).child(case.name));
        tally.runs += 1;
        tally.passed += u32::from(verdict.judgement == Judgement::Pass);
        tally.failed += u32::from(verdict.judgement == Judgement::Fail);
    }
    tally
}

/// The verdict of one run.
pub(crate) fn verdict(case: &Case, seed: Seed) -> Verdict {
    let objective = line(case.line).expect("a line of the table");
    conclude_all(&[objective], &observations(case, seed), case.seconds).remove(0)
}

/// Verdicts of several objectives over the same observations.
pub(crate) fn conclude_all(objectives: &[Objective], observations: &[Observation], seconds: u64) -> Vec<Verdict> {
    result(objectives, observations, seconds, 1).verdicts
}

/// What comes of a run that is one of so many planned looks.
pub(crate) fn result(objectives: &[Objective], observations: &[Observation], seconds: u64, looks: u32) -> RunResult {
    let step = StepPlan { flow: "core".into(), name: "step".into(), request: "GET /".into() };
    let phase = PhaseSpan { name: "steady".into(), kind: PhaseKind::Steady, start_us: 0, end_us: seconds * 1_000_000 };
    let situation = Situation {
        scenario: "truth".into(),
        steps: vec![step.clone()],
        phases: vec![("steady".into(), PhaseKind::Steady, Nanos::ZERO, Nanos::from_secs(seconds))],
        ..Situation::default()
    };
    let selected = select(objectives.to_vec(), &situation).expect("each of them applies");
    let plan = RecorderPlan { steps: vec![step], phases: vec![phase.clone()], watches: selected.watches };
    let mut recorder = Recorder::new(plan);
    observations.iter().for_each(|observation| recorder.observe(observation));
    let played = Played {
        scenario: ScenarioStamp::default(),
        platform: PlatformStamp::default(),
        backend: "made up".into(),
        seed: Seed::default(),
        load_start_us: 0,
        load_end_us: seconds * 1_000_000,
        phases: vec![phase],
        chronicle: Chronicle::default(),
        bounds: BTreeMap::new(),
        recording: recorder.finish(),
        demands: Vec::new(),
        expectations: vec![],
        checks: vec![],
        findings: vec![],
        stand_ins: vec![],
        not_judged: vec![],
        look: (looks > 1).then(|| Look { nth: 1, of: looks, steady_us: seconds * 1_000_000, before: None }),
        interrupted: false,
    };
    conclude(played, &selected.objectives)
}

/// The requests of one run.
pub(crate) fn observations(case: &Case, seed: Seed) -> Vec<Observation> {
    let shares = shares(case, seed.child("shares"));
    let requests = seed.child("requests");
    let mut all = Vec::with_capacity((case.rate * case.seconds) as usize);
    for (second, share) in (0..).zip(shares) {
        for index in 0..case.rate {
            let number = second * case.rate + index;
            let bad = requests.draw_nth(number, Purpose::Failure).unit() < share;
            let intended = Nanos::from_micros(second * 1_000_000 + index * 1_000_000 / case.rate);
            // Good ones below 800 ms, bad ones above.
            let spread = (requests.draw_nth(number, Purpose::Cpu).unit() * 700e3) as u64;
            let response = Nanos::from_micros(if bad { 800_001 + spread } else { 90_000 + spread });
            let failed = bad && case.line.starts_with("failed");
            all.push(Observation {
                arrival: number,
                step: StepId(0),
                intended,
                sent: intended,
                done: intended + response,
                status: if failed { 500 } else { 200 },
                cause: if failed { Cause::ServerError } else { Cause::None },
                ..Observation::default()
            });
        }
    }
    all
}

/// The true share of bad requests in each second.
fn shares(case: &Case, seed: Seed) -> Vec<f64> {
    let draw = |second: u64| seed.draw_nth(second, Purpose::Phase).unit();
    match case.process {
        Process::Independent => vec![case.truth; case.seconds as usize],
        Process::Bursts { seconds, time, bad } => {
            let quiet = (case.truth - time * bad) / (1.0 - time);
            assert!(quiet >= 0.0, "{}: bursts alone are more than the truth", case.name);
            let (ends, begins) = (1.0 / seconds, time / (1.0 - time) / seconds);
            let mut burst = draw(u64::MAX) < time;
            let next = |second: u64| {
                burst = if burst { draw(second) >= ends } else { draw(second) < begins };
                if burst { bad } else { quiet }
            };
            (0..case.seconds).map(next).collect()
        }
        Process::Wandering { stays, spread } => {
            // Twelve uniform draws are normal enough; the logarithm wanders, and its mean is corrected for that.
            let normal = |second: u64| (0..12).map(|k| draw(second * 16 + k)).sum::<f64>() - 6.0;
            let mut at = normal(u64::MAX >> 5);
            let next = |second: u64| {
                at = stays * at + (1.0 - stays * stays).sqrt() * normal(second);
                (case.truth * (spread * at - spread * spread / 2.0).exp()).min(1.0)
            };
            (0..case.seconds).map(next).collect()
        }
    }
}

/// Kinds of run at their limit: whatever is claimed there is claimed by chance. Each claim may be wrong 5 times in 100.
///
/// Runs with long bursts last until five of them are due. A run in which no burst came at all looks like one of a platform
/// that has none: with fewer than three due, that alone is more than 5 in 100.
pub(crate) const AT_THE_LIMIT: [Case; 7] = [
    Case {
        name: "p95, independent",
        line: "p95<800ms",
        truth: 0.05,
        process: Process::Independent,
        rate: 20,
        seconds: 180,
    },
    Case {
        name: "1 % failed, independent",
        line: "failed<1%",
        truth: 0.01,
        process: Process::Independent,
        rate: 20,
        seconds: 180,
    },
    Case {
        name: "p95, bursts of 1 s",
        line: "p95<800ms",
        truth: 0.05,
        process: Process::Bursts { seconds: 1.0, time: 0.08, bad: 0.5 },
        rate: 20,
        seconds: 300,
    },
    Case {
        name: "p95, bursts of 5 s",
        line: "p95<800ms",
        truth: 0.05,
        process: Process::Bursts { seconds: 5.0, time: 0.08, bad: 0.5 },
        rate: 20,
        seconds: 300,
    },
    Case {
        name: "p95, bursts of 10 s",
        line: "p95<800ms",
        truth: 0.05,
        process: Process::Bursts { seconds: 10.0, time: 0.08, bad: 0.5 },
        rate: 10,
        seconds: 600,
    },
    Case {
        name: "1 % failed, bursts of 10 s",
        line: "failed<1%",
        truth: 0.01,
        process: Process::Bursts { seconds: 10.0, time: 0.04, bad: 0.2 },
        rate: 10,
        seconds: 1_200,
    },
    Case {
        name: "p95, a share that wanders",
        line: "p95<800ms",
        truth: 0.05,
        process: Process::Wandering { stays: 0.8, spread: 0.8 },
        rate: 20,
        seconds: 300,
    },
];
