//! One load on one platform: does it keep every objective?
//!
//! A trial plays a setting in virtual time, once for each replication, and asks `reports` for the verdicts: the
//! same bounds, the same family, the same exit as a rehearsal of its own. A load holds only if the *upper* bound of
//! every gating objective keeps its limit in every replication, and the platform was in balance.

use std::collections::BTreeMap;
use std::sync::Arc;

use objectives::Objective;
use record::{Conclusion, Deaf, Event, Judgement, RunResult, Verdict, Watch};
use reports::Played;
use scenarios::Plan;
use simulation::{Settings, SimulationError};
use units::Seed;

use crate::{Change, Mixture, Shape};

/// Chooses the objectives that say something about a plan, and what is counted for them.
pub type Select = Arc<dyn Fn(&Plan) -> (Vec<Objective>, Vec<Watch>) + Send + Sync>;

/// Who judges: which objectives a plan has to keep, and what virtual time needs.
#[derive(Clone)]
pub struct Judge {
    /// Which objectives.
    pub select: Select,
    /// Delays of the control plane and the network.
    pub settings: Settings,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    /// The platform and its scenario, as declared.
    pub plan: &'a Plan,
    /// What is different.
    pub changes: &'a [Change],
    /// Which sessions.
    pub mixture: &'a Mixture,
    /// In which shape.
    pub shape: Shape,
}

/// What a load came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// It keeps every gating objective.
    Keeps,
    /// It breaks one, or is too close to tell.
    Breaks {
        /// The worst verdict.
        objective: String,
        /// In words: what was measured and what the limit is.
        why: String,
    },
    /// The platform did not become ready.
    NeverReady {
        /// Why.
        why: String,
    },
}

impl Trial<'_> {
    /// The plan that is played at `rate` sessions a second.
    pub fn plan_at(&self, rate: f64) -> Plan {
        let mut plan = self.plan.clone();
        self.changes.iter().for_each(|change| change.apply(&mut plan));
        plan.load = self.mixture.load(&plan.load, rate, self.shape);
        plan.faults.clear();
        plan.expectations.clear();
        plan.abort = None;
        plan
    }

    /// Plays `rate` sessions a second under `seed`.
    pub fn play(&self, judge: &Judge, rate: f64, seed: Seed) -> Result<RunResult, SimulationError> {
        let mut plan = self.plan_at(rate);
        plan.load.seed = seed;
        judge.play(&plan)
    }

    /// The same, and what happened.
    pub fn watch(&self, judge: &Judge, rate: f64, seed: Seed) -> Result<(RunResult, Vec<Event>), SimulationError> {
        let mut plan = self.plan_at(rate);
        plan.load.seed = seed;
        judge.watch(&plan)
    }

    /// Whether `rate` sessions a second hold in every one of `replications`.
    pub fn holds(&self, judge: &Judge, rate: f64, replications: u32) -> Held {
        for replication in 0..replications {
            let seed = self.plan.load.seed.child_nth(u64::from(replication));
            let held = self.decide(judge, rate, seed);
            if held != Held::Keeps {
                return held;
            }
        }
        Held::Keeps
    }

    /// Plays longer and longer until the bounds decide, or time is out.
    fn decide(&self, judge: &Judge, rate: f64, seed: Seed) -> Held {
        let mut last = Held::Keeps;
        for times in STRETCHES {
            let shape = Shape { steady: self.shape.steady * times, ..self.shape };
            let longer = Trial { shape, ..self.clone() };
            match longer.play(judge, rate, seed) {
                Err(SimulationError::NeverReady { why, .. }) => return Held::NeverReady { why },
                Ok(result) => {
                    let Some(broken) = broken(&result) else { return Held::Keeps };
                    last = broken;
                    if result.conclusion != Conclusion::Undecided {
                        break;
                    }
                }
            }
        }
        last
    }
}

impl Judge {
    /// Plays a plan and judges it.
    pub fn play(&self, plan: &Plan) -> Result<RunResult, SimulationError> {
        Ok(self.watch(plan)?.0)
    }

    /// Plays a plan, judges it, and tells what happened.
    pub fn watch(&self, plan: &Plan) -> Result<(RunResult, Vec<Event>), SimulationError> {
        let (objectives, watches) = (self.select)(plan);
        let observed = simulation::simulate(plan, watches, &self.settings, &mut Deaf)?.observed;
        let bound = |a: &platform::Autoscaler| Some((plan.platform.workload(a.target?).name.clone(), (a.min, a.max)));
        let bounds: BTreeMap<_, _> = plan.platform.autoscalers.iter().filter_map(bound).collect();
        let tightest = objectives.iter().filter_map(Objective::limit).min();
        let mut checks = reports::validity(&observed.recording, tightest.unwrap_or(units::Nanos::from_secs(1)));
        checks.extend(observed.checks);
        let events = observed.chronicle.events().to_vec();
        let played = Played {
            scenario: plan.scenario.clone(),
            platform: record::PlatformStamp::default(),
            backend: "simulated".into(),
            seed: plan.load.seed,
            load_start_us: observed.load_start.as_micros(),
            load_end_us: observed.load_end.as_micros(),
            phases: plan.load.phase_spans(observed.load_start),
            bounds,
            chronicle: observed.chronicle,
            recording: observed.recording,
            demands: plan.demands(),
            expectations: observed.expectations,
            checks,
            findings: Vec::new(),
            stand_ins: Vec::new(),
            not_judged: Vec::new(),
            look: None,
            interrupted: false,
        };
        Ok((reports::conclude(played, &objectives), events))
    }
}

/// Why a run does not hold; `None` if it does.
pub(crate) fn broken(result: &RunResult) -> Option<Held> {
    let told = |objective: &str, why: String| Held::Breaks { objective: objective.to_owned(), why };
    let gating = || result.verdicts.iter().filter(|verdict| verdict.gating);
    let worst = gating()
        .find(|v| v.judgement == Judgement::Fail)
        .or_else(|| gating().find(|verdict| verdict.judgement == Judgement::Undecided));
    if let Some(verdict) = worst {
        return Some(told(&verdict.objective, sentence(verdict)));
    }
    if result.conclusion == Conclusion::Invalid {
        let check = result.checks.iter().find(|check| !check.ok);
        return Some(told("validity", check.map_or_else(String::new, |c| format!("{}: {}", c.name, c.measured))));
    }
    growing(result).then(|| told("balance", "queues grow: latency rises all through the steady phase".into()))
}

pub(crate) fn sentence(verdict: &Verdict) -> String {
    let measured = verdict.measured.map_or_else(|| "nothing".to_owned(), |value| format!("{value:.0}"));
    let far = if verdict.judgement == Judgement::Fail { "" } else { ", too close to tell" };
    format!("{}: {measured} {} against a limit of {} {}{far}", verdict.title, verdict.unit, verdict.limit, verdict.unit)
}

/// How many times as long the steady phase is played until its bounds decide: at a low rate a minute has few requests.
const STRETCHES: [u64; 3] = [1, 4, 16];
/// Standard deviations of Kendall's τ beyond which the p95 of windows is taken to rise: 1 in 10⁴ by chance.
const RISING: f64 = 3.9;
/// Below so many windows a trend is chance.
const FEWEST_WINDOWS: usize = 20;

/// Whether latency rises all through the judged phases (Kendall's τ over windows): a queue that has no balance, even
/// if the run was too short for it to break a limit.
fn growing(result: &RunResult) -> bool {
    let width = result.timeline.width_us.max(1);
    let judged = |index: usize| {
        let at = result.load_start_us + index as u64 * width;
        let within = |phase: &&record::PhaseSpan| (phase.start_us..phase.end_us).contains(&at);
        result.phases.iter().find(within).is_some_and(|phase| phase.name == "steady")
    };
    let windows = result.timeline.windows.iter().enumerate();
    let p95: Vec<u64> = windows.filter(|(i, w)| judged(*i) && w.p95_us > 0).map(|(_, w)| w.p95_us).collect();
    p95.len() >= FEWEST_WINDOWS && kendall(&p95) > RISING && doubled(&p95)
}

/// A trend that matters: the last quarter's median is twice the first's.
fn doubled(values: &[u64]) -> bool {
    let median = |part: &[u64]| {
        let mut sorted = part.to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    let quarter = values.len() / 4;
    median(&values[values.len() - quarter..]) >= 2 * median(&values[..quarter])
}

/// Kendall's τ against time, in its own standard deviations.
fn kendall(values: &[u64]) -> f64 {
    let n = values.len() as f64;
    let mut score = 0i64;
    for (index, value) in values.iter().enumerate() {
        for later in &values[index + 1..] {
            score += match later.cmp(value) {
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Equal => 0,
                std::cmp::Ordering::Less => -1,
            };
        }
    }
    score as f64 / libm::sqrt(n * (n - 1.0) * (2.0 * n + 5.0) / 18.0)
}
