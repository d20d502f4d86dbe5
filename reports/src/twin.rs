//! The twin: a live run held against the simulation of the same scenario and seed.
//!
//! Both runs draw the same for the same request, so they are compared request by request. Their difference at a
//! percentile gets its interval from a paired bootstrap over seconds: a second is drawn with all of its requests, on
//! both sides at once, so bursts and what both runs share stay together. Source: Künsch, Annals of Statistics 17
//! (1989), with blocks that do not overlap.

use std::collections::BTreeMap;

use record::{Observation, Percentile, RunResult, StepCurve, StepId, StepPlan};
use serde::{Deserialize, Serialize};
use units::{Purpose, Seed};

const RESAMPLES: u64 = 300;
const PERCENTS: [f64; 4] = [50.0, 90.0, 95.0, 99.0];
/// Which differences are good: a tenth of the simulated value, or this if that is more.
const TOLERANCE_US: f64 = 2_000.0;
const TOLERANCE_SHARE: f64 = 0.1;

/// `twin.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Twin {
    /// `rehearse/twin/v1`.
    pub schema: String,
    /// Of how many sessions one was compared: 1, or more in a long run, and the counts below are of those.
    #[serde(default = "all")]
    pub one_in: u64,
    /// Requests of the live run.
    pub n_live: u64,
    /// Requests of the simulation.
    pub n_simulated: u64,
    /// Requests that both had.
    pub matched: u64,
    /// Of them, those that succeeded in one and not in the other, or failed for another cause.
    pub outcomes_differ: u64,
    /// All requests first, then step by step.
    pub rows: Vec<TwinRow>,
    /// Response times of the judged flow in the simulation, as a result has them.
    #[serde(default)]
    pub distribution: Vec<Percentile>,
    /// The same step by step.
    #[serde(default)]
    pub curves: Vec<StepCurve>,
}

const fn all() -> u64 {
    1
}

/// One step, or all of them, over the requests that succeeded in both runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinRow {
    /// Step name; `None` for all.
    pub step: Option<String>,
    /// How many requests.
    pub n: u64,
    /// p50, p90, p95 and p99; none without requests.
    pub quantiles: Vec<TwinQuantile>,
}

/// One percentile, microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinQuantile {
    /// Which one, in percent.
    pub percent: u32,
    /// In the live run.
    pub live_us: u64,
    /// In the simulation.
    pub simulated_us: u64,
    /// Live − simulated.
    pub difference_us: i64,
    /// Its 95 % interval.
    pub interval_us: (i64, i64),
    /// Up to which difference either way it is good.
    pub tolerance_us: u64,
    /// Whether the interval meets what is good.
    pub within: bool,
}

impl Twin {
    /// With how far response times reach in the simulation.
    #[must_use]
    pub fn reaching(mut self, simulated: RunResult) -> Self {
        (self.distribution, self.curves) = (simulated.distribution, simulated.curves);
        self
    }

    /// Whether something was compared, and every percentile of every row is within its tolerance.
    pub fn agrees(&self) -> bool {
        let compared = self.rows.iter().any(|row| row.n > 0);
        compared && self.rows.iter().flat_map(|row| &row.quantiles).all(|quantile| quantile.within)
    }
}

/// A request that succeeded in both runs.
struct Pair {
    step: StepId,
    block: u32,
    live_us: u64,
    simulated_us: u64,
}

/// Compares a live run with its simulation. Deterministic: the resamples are seeded.
pub fn compare(live: &[Observation], simulated: &[Observation], steps: &[StepPlan]) -> Twin {
    let key = |o: &Observation| (o.arrival, o.step);
    let twins: BTreeMap<(u64, StepId), &Observation> = simulated.iter().map(|o| (key(o), o)).collect();
    let matched: Vec<(&Observation, &Observation)> =
        live.iter().filter_map(|o| twins.get(&key(o)).map(|twin| (o, *twin))).collect();
    // The second of the simulated instant: the live one may be off by its lag.
    let mut blocks: BTreeMap<u64, u32> = matched.iter().map(|(_, twin)| (twin.intended.as_secs(), 0)).collect();
    blocks.values_mut().zip(0..).for_each(|(index, next)| *index = next);
    let both: Vec<Pair> = matched
        .iter()
        .filter(|(o, twin)| o.ok() && twin.ok())
        .map(|(o, twin)| Pair {
            step: o.step,
            block: blocks[&twin.intended.as_secs()],
            live_us: o.response().as_micros(),
            simulated_us: twin.response().as_micros(),
        })
        .collect();
    let draws = resamples(blocks.len());
    let row = |step: Option<(StepId, &StepPlan)>| {
        let of_step: Vec<&Pair> = both.iter().filter(|p| step.is_none_or(|(id, _)| p.step == id)).collect();
        TwinRow {
            step: step.map(|(_, plan)| plan.name.clone()),
            n: of_step.len() as u64,
            quantiles: quantiles(&of_step, &draws),
        }
    };
    let ids = (0..).map(StepId);
    Twin {
        schema: "rehearse/twin/v1".into(),
        one_in: 1,
        n_live: live.len() as u64,
        n_simulated: simulated.len() as u64,
        matched: matched.len() as u64,
        outcomes_differ: matched.iter().filter(|(o, twin)| o.cause != twin.cause).count() as u64,
        rows: std::iter::once(None).chain(ids.zip(steps).map(Some)).map(row).collect(),
        distribution: Vec::new(),
        curves: Vec::new(),
    }
}

/// How often each block was drawn, for every resample.
fn resamples(blocks: usize) -> Vec<Vec<u32>> {
    let seed = Seed::new(0).child("twin");
    let resample = |index: u64| {
        let mut weights = vec![0; blocks];
        for draw in 0..blocks as u64 {
            weights[seed.draw_nth(index << 32 | draw, Purpose::Phase).below(blocks)] += 1;
        }
        weights
    };
    (0..RESAMPLES).map(resample).collect()
}

/// Values in ascending order, each with its block.
struct Sorted(Vec<(u64, u32)>);

impl Sorted {
    fn of(pairs: &[&Pair], value: impl Fn(&Pair) -> u64) -> Self {
        let mut all: Vec<(u64, u32)> = pairs.iter().map(|pair| (value(pair), pair.block)).collect();
        all.sort_unstable();
        Self(all)
    }

    /// The percentiles of a sample in which every value counts as often as its block was drawn.
    fn quantiles(&self, weights: &[u32]) -> Option<[u64; PERCENTS.len()]> {
        let total: u64 = self.0.iter().map(|(_, block)| u64::from(weights[*block as usize])).sum();
        let mut all = [0; PERCENTS.len()];
        let (mut next, mut seen) = (0, 0);
        for (value, block) in &self.0 {
            seen += u64::from(weights[*block as usize]);
            while next < PERCENTS.len() && total > 0 && seen as f64 >= PERCENTS[next] / 100.0 * total as f64 - 1e-6 {
                all[next] = *value;
                next += 1;
            }
        }
        (next == PERCENTS.len()).then_some(all)
    }
}

fn quantiles(pairs: &[&Pair], draws: &[Vec<u32>]) -> Vec<TwinQuantile> {
    let (live, simulated) = (Sorted::of(pairs, |p| p.live_us), Sorted::of(pairs, |p| p.simulated_us));
    let once = vec![1; draws.first().map_or(0, Vec::len)];
    let Some((seen, said)) = live.quantiles(&once).zip(simulated.quantiles(&once)) else { return Vec::new() };
    let resampled: Vec<_> =
        draws.iter().filter_map(|weights| live.quantiles(weights).zip(simulated.quantiles(weights))).collect();
    let quantile = |(index, percent): (usize, f64)| {
        let mut differences: Vec<i64> = resampled.iter().map(|(a, b)| a[index] as i64 - b[index] as i64).collect();
        differences.sort_unstable();
        let at = |share: f64| differences[(share * (differences.len() - 1) as f64) as usize];
        let interval_us = (at(0.025), at(0.975));
        let tolerance_us = (said[index] as f64 * TOLERANCE_SHARE).max(TOLERANCE_US) as u64;
        let good = tolerance_us as i64;
        TwinQuantile {
            percent: percent as u32,
            live_us: seen[index],
            simulated_us: said[index],
            difference_us: seen[index] as i64 - said[index] as i64,
            interval_us,
            tolerance_us,
            within: interval_us.0 <= good && interval_us.1 >= -good,
        }
    };
    PERCENTS.into_iter().enumerate().map(quantile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Cause;
    use units::Nanos;

    fn steps() -> Vec<StepPlan> {
        let step = |name: &str| StepPlan { flow: "core".into(), name: name.into(), request: "GET /".into() };
        vec![step("token"), step("profile")]
    }

    /// 100 requests a second for 40 s, the response drawn by the request and changed by `change`.
    fn run(change: impl Fn(u64, Nanos) -> Nanos) -> Vec<Observation> {
        let seen = |arrival: u64| {
            let intended = Nanos::from_millis(arrival * 10);
            let drawn = Nanos::from_millis(50)
                + Nanos::from_secs_f64(Seed::new(5).draw_nth(arrival, Purpose::Cpu).exponential() * 0.03);
            let done = intended + change(arrival, drawn);
            Observation {
                arrival,
                step: StepId((arrival % 2) as u16),
                intended,
                sent: intended,
                done,
                ..Observation::default()
            }
        };
        (0..4_000).map(seen).collect()
    }

    #[test]
    fn finds_what_differs_and_only_that() {
        let simulated = run(|_, response| response);
        for (case, live, agrees) in [
            ("the same", run(|_, r| r), true),
            ("one millisecond more is within 2 ms", run(|_, r| r + Nanos::from_millis(1)), true),
            ("5 % slower is within 10 %", run(|_, r| r + r / 20), true),
            ("a fifth slower", run(|_, r| r + r / 5), false),
            ("one step slower", run(|arrival, r| if arrival % 2 == 1 { r * 2 } else { r }), false),
            ("only the tail", run(|arrival, r| if arrival % 50 == 0 { r * 5 } else { r }), false),
        ] {
            let twin = compare(&live, &simulated, &steps());
            assert_eq!(twin.agrees(), agrees, "{case}: {:?}", twin.rows);
            assert_eq!((twin.matched, twin.rows.len(), twin.rows[0].n), (4_000, 3, 4_000), "{case}");
            assert_eq!(twin, compare(&live, &simulated, &steps()), "{case}: twice the same");
        }
    }

    #[test]
    fn only_requests_that_succeeded_in_both_are_compared() {
        let simulated = run(|_, response| response);
        let mut live = simulated.clone();
        live.truncate(3_000);
        live[0].cause = Cause::Timeout;
        let twin = compare(&live, &simulated, &steps());
        assert_eq!((twin.n_live, twin.n_simulated, twin.matched), (3_000, 4_000, 3_000));
        assert_eq!((twin.outcomes_differ, twin.rows[0].n), (1, 2_999));
    }

    #[test]
    fn nothing_compared_is_no_agreement() {
        let twin = compare(&[], &run(|_, response| response), &steps());
        assert!(!twin.agrees() && twin.rows.iter().all(|row| row.quantiles.is_empty()));
    }

    #[test]
    fn the_interval_covers_a_difference_that_varies() {
        // The live run adds a second's own amount, 8 ms on average: both ends must lie around what was added.
        let added =
            |arrival: u64| Nanos::from_secs_f64(Seed::new(9).draw_nth(arrival / 100, Purpose::Wait).unit() * 0.016);
        let twin = compare(&run(|arrival, r| r + added(arrival)), &run(|_, r| r), &steps());
        let median = &twin.rows[0].quantiles[0];
        assert!(
            median.interval_us.0 < median.difference_us && median.difference_us < median.interval_us.1,
            "{median:?}"
        );
        assert!((5_000..11_000).contains(&median.difference_us), "{median:?}");
        assert!(
            median.interval_us.1 - median.interval_us.0 > 500,
            "seconds differ, so it cannot be that sure: {median:?}"
        );
    }
}
