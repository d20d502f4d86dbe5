//! Profiles fitted to a log: a rehearsal of the log's own load has to answer as the log does.
//!
//! Queues, calls and networks are in a measured time, too; so no time is taken from the log as it is. A route's own CPU
//! and wait are scaled by how far its median is off in virtual time, a few rounds long, and the spread by how far p95
//! is from the median. What is left is told.

use std::collections::{BTreeMap, BTreeSet};

use record::Deaf;
use scenarios::Scenario;
use simulation::Settings;
use units::{Distribution, Nanos};

use super::Profiles;
use super::load::Load;
use crate::failure::Failure;
use crate::resolve::Rehearsal;

/// Rounds of playing and scaling.
const ROUNDS: usize = 6;
/// No round changes a time by more: a queue answers out of proportion.
const STEP: (f64, f64) = (0.2, 5.0);
/// A spread that a log-normal law may have.
const SIGMA: (f64, f64) = (0.05, 2.0);

/// What came of it.
#[derive(Debug)]
pub(crate) struct Fit {
    /// The profiles that were changed.
    pub(crate) profiles: Profiles,
    pub(crate) residuals: Vec<Residual>,
}

/// A route, measured and rehearsed.
#[derive(Debug)]
pub(crate) struct Residual {
    pub(crate) route: String,
    pub(crate) n: usize,
    pub(crate) rate: f64,
    /// p50 and p95 in the log, microseconds.
    pub(crate) log: [u64; 2],
    /// The same in the rehearsal; `None` where no service is asked.
    pub(crate) fitted: Option<[u64; 2]>,
}

impl Fit {
    pub(crate) fn of(base: &Rehearsal, load: &Load, source: &str) -> Result<Self, Failure> {
        let scenario = Scenario::parse(&load.scenario(source), "scenarios/recorded.yaml")?;
        let mut all = base.profiles().clone();
        let mut changed = BTreeSet::new();
        for round in 0..=ROUNDS {
            let plan = base.with_profiles(&scenario, &all)?;
            let observed = simulation::simulate(&plan, Vec::new(), &Settings::default(), &mut Deaf)?.observed;
            let seen = |name: &str| {
                let of = observed.recording.steps.iter().filter(|step| step.step == name && step.phase == "steady");
                of.map(|step| [step.service.p50_us, step.service.p95_us]).find(|us| us[0] > 0)
            };
            if round == ROUNDS {
                let residuals = load.routes.iter().map(|route| Residual {
                    route: route.name.clone(),
                    n: route.n,
                    rate: route.rate,
                    log: [route.percentile(50), route.percentile(95)],
                    fitted: seen(&route.name),
                });
                let residuals = residuals.collect();
                let span = format!("measured: {source}, {} requests", load.routes.iter().map(|r| r.n).sum::<usize>());
                let told = |workload: &String| {
                    let mut profile = all[workload].clone();
                    profile.source.clone_from(&span);
                    (workload.clone(), profile)
                };
                return Ok(Self { profiles: changed.iter().map(told).collect(), residuals });
            }
            // Several paths may be one route of a profile: what counts is their mean by requests.
            let mut wanted: BTreeMap<(String, usize), Wanted> = BTreeMap::new();
            for (index, route) in load.routes.iter().enumerate() {
                let target = plan.target(record::StepId(index as u16));
                let (Some(call), Some(us)) = (target.behind, seen(&route.name)) else { continue };
                let workload = plan.platform.workload(call.workload).name.clone();
                let of = wanted.entry((workload, usize::from(call.route.0))).or_default();
                of.take(route.n as f64, [route.percentile(50), route.percentile(95)], us);
            }
            for ((workload, route), of) in wanted {
                let known = all.entry(workload.clone()).or_insert_with(|| {
                    let id = plan.platform.workload_ids().find(|id| plan.platform.workload(*id).name == workload);
                    (**plan.profile(id.expect("its name is from there"))).clone()
                });
                if let Some(route) = known.routes.get_mut(route) {
                    let (factor, spread) = of.factors();
                    route.cpu = scaled(route.cpu, factor, spread);
                    route.wait = scaled(route.wait, factor, spread);
                    route.source = None;
                    changed.insert(workload);
                }
            }
        }
        unreachable!("the last round returns")
    }
}

/// How far a route is off: sums of logarithms, weighted by requests.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    weight: f64,
    median: f64,
    spread: f64,
}

impl Wanted {
    fn take(&mut self, n: f64, log: [u64; 2], seen: [u64; 2]) {
        let ln = |us: u64| (us.max(1) as f64).ln();
        let wide = |us: [u64; 2]| (ln(us[1]) - ln(us[0])).max(0.01);
        self.weight += n;
        self.median += n * (ln(log[0]) - ln(seen[0]));
        self.spread += n * (wide(log).ln() - wide(seen).ln());
    }

    /// What a time and its spread are to be multiplied by.
    fn factors(&self) -> (f64, f64) {
        let mean = |sum: f64| (sum / self.weight.max(1.0)).exp().clamp(STEP.0, STEP.1);
        (mean(self.median), mean(self.spread))
    }
}

fn scaled(law: Distribution, factor: f64, spread: f64) -> Distribution {
    let times = |time: Nanos| Nanos::from_secs_f64(time.as_secs_f64() * factor);
    match law {
        Distribution::Constant(time) => Distribution::Constant(times(time)),
        Distribution::Exponential(mean) => Distribution::Exponential(times(mean)),
        Distribution::Uniform { from, to } => Distribution::Uniform { from: times(from), to: times(to) },
        Distribution::LogNormal { median, sigma } => {
            Distribution::LogNormal { median: times(median), sigma: (sigma * spread).clamp(SIGMA.0, SIGMA.1) }
        }
    }
}
