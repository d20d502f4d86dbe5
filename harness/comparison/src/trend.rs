//! Where a series of runs changed its level, and between which commits.
//!
//! Logarithms of p95, divided by what a fixed piece of work took on the machine where that was measured. Change points
//! by E-divisive (Matteson and James, JASA 109 (2014)) with its permutation test, as `MongoDB` and Apache Otava use it;
//! the shuffles are seeded, so that the same history says the same. A trend advises: it gates nothing.

use std::path::PathBuf;

use units::{Purpose, Seed};

use crate::Kept;

/// Shuffles of the permutation test; the least chance it can find is 1 in so many and one.
const SHUFFLES: u64 = 499;
/// Chance below which a change is one.
const ALPHA: f64 = 0.005;
/// Smaller changes of the level are nobody's business.
const MAGNITUDE: f64 = 0.05;
/// Runs on either side of a change, and runs that are looked back on.
const SIDE: usize = 3;
const RUNS_MAX: usize = 120;

/// The p95 of a step over the runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// Step name.
    pub step: String,
    /// p95 in milliseconds, the oldest run first.
    pub p95_ms: Vec<f64>,
    /// When each run began.
    pub started: Vec<String>,
    /// Where the level changed.
    pub changes: Vec<ChangePoint>,
}

/// A change of the level.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangePoint {
    /// Index of the first run of the new level.
    pub at: usize,
    /// By which share it changed.
    pub change: f64,
    /// The last run before it: when, and its commit.
    pub last_before: (String, Option<String>),
    /// The first run after it, likewise.
    pub first_after: (String, Option<String>),
}

/// The trend of every step of runs of one scenario, backend and machine, the oldest first.
pub fn trend(runs: &[(PathBuf, Kept)]) -> Vec<Trend> {
    let runs: Vec<&Kept> = runs[runs.len().saturating_sub(RUNS_MAX)..].iter().map(|(_, run)| run).collect();
    let mut names: Vec<&str> = runs.iter().flat_map(|run| run.steps.iter().map(|step| step.step.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &str| {
        let points: Vec<(&Kept, f64)> = runs.iter().filter_map(|run| Some((*run, run.p95(name)?))).collect();
        let level = |(run, p95): &(&Kept, f64)| libm::log(p95 / run.probe_ms.filter(|ms| *ms > 0.0).unwrap_or(1.0));
        let levels: Vec<f64> = points.iter().map(level).collect();
        let mut at = Vec::new();
        divide(&levels, 0, &mut at);
        at.sort_unstable();
        let borders: Vec<usize> = std::iter::once(0).chain(at.iter().copied()).chain([levels.len()]).collect();
        let change = |window: &[usize]| {
            let change = libm::expm1(mean(&levels[window[1]..window[2]]) - mean(&levels[window[0]..window[1]]));
            let told = |index: usize| (points[index].0.started.clone(), points[index].0.commit.clone());
            ChangePoint { at: window[1], change, last_before: told(window[1] - 1), first_after: told(window[1]) }
        };
        Trend {
            step: name.to_owned(),
            p95_ms: points.iter().map(|(_, p95)| *p95).collect(),
            started: points.iter().map(|(run, _)| run.started.clone()).collect(),
            changes: borders.windows(3).map(change).filter(|change| change.change.abs() >= MAGNITUDE).collect(),
        }
    };
    names.into_iter().map(of).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Finds the strongest change of a stretch, and those of its parts.
fn divide(levels: &[f64], offset: usize, found: &mut Vec<usize>) {
    let Some((at, strength)) = strongest(levels) else { return };
    let seed = Seed::new(levels.len() as u64).child("trend");
    let mut shuffled = levels.to_vec();
    let mut as_strong = 1;
    for shuffle in 0..SHUFFLES {
        for index in (1..shuffled.len()).rev() {
            let draw = seed.draw_nth(shuffle << 20 | index as u64, Purpose::Phase);
            shuffled.swap(index, draw.below(index + 1));
        }
        as_strong += u64::from(strongest(&shuffled).is_some_and(|(_, other)| other >= strength));
        if as_strong as f64 > ALPHA * (SHUFFLES + 1) as f64 {
            return;
        }
    }
    found.push(offset + at);
    divide(&levels[..at], offset, found);
    divide(&levels[at..], offset + at, found);
}

/// The border that divides best, and the energy statistic there.
fn strongest(levels: &[f64]) -> Option<(usize, f64)> {
    let n = levels.len();
    if n < 2 * SIDE {
        return None;
    }
    // Distances to all that come before and behind, moved along as the border moves.
    let distance = |one: usize, other: usize| (levels[one] - levels[other]).abs();
    let mut before: f64 = (0..SIDE).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| distance(i, j)).sum();
    let mut behind: f64 = (SIDE..n).flat_map(|i| (SIDE..i).map(move |j| (i, j))).map(|(i, j)| distance(i, j)).sum();
    let mut between: f64 = (0..SIDE).flat_map(|i| (SIDE..n).map(move |j| (i, j))).map(|(i, j)| distance(i, j)).sum();
    let mut best: Option<(usize, f64)> = None;
    for border in SIDE..=n - SIDE {
        let (m, k) = (border as f64, (n - border) as f64);
        let within = |sum: f64, count: f64| if count > 1.0 { 2.0 * sum / (count * (count - 1.0)) } else { 0.0 };
        let energy = m * k / (m + k) * (2.0 * between / (m * k) - within(before, m) - within(behind, k));
        if best.is_none_or(|(_, strength)| energy > strength) {
            best = Some((border, energy));
        }
        let (to_before, to_behind): (f64, f64) =
            ((0..border).map(|i| distance(i, border)).sum(), (border + 1..n).map(|i| distance(i, border)).sum());
        before += to_before;
        behind -= to_behind;
        between += to_behind - to_before;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs whose p95 is `level`, give or take three percent.
    fn runs(level: impl Fn(usize) -> f64, count: usize, seed: u64) -> Vec<f64> {
        let noise = |index: usize| {
            let draw = |k: u64| Seed::new(seed).draw_nth(index as u64 * 4 + k, Purpose::Cpu).unit() - 0.5;
            (0..4).map(draw).sum::<f64>() * 0.05
        };
        (0..count).map(|index| libm::log(level(index)) + noise(index)).collect()
    }

    #[test]
    fn a_lasting_step_is_found_where_it_is() {
        for seed in 0..10 {
            let mut found = Vec::new();
            divide(&runs(|index| if index < 20 { 100.0 } else { 112.0 }, 40, seed), 0, &mut found);
            assert!(found.len() == 1 && (18..=22).contains(&found[0]), "{seed}: {found:?}");
        }
        let mut two = Vec::new();
        let level = |index| match index {
            20..40 => 130.0,
            _ => 100.0,
        };
        divide(&runs(level, 60, 3), 0, &mut two);
        two.sort_unstable();
        assert_eq!(two, [20, 40]);
    }

    #[test]
    fn noise_alone_is_hardly_ever_a_change() {
        let cries = (0..100).filter(|seed| {
            let mut found = Vec::new();
            divide(&runs(|_| 100.0, 30, 1_000 + seed), 0, &mut found);
            !found.is_empty()
        });
        // One in 200 is expected.
        assert!(cries.count() <= 3);
    }

    #[test]
    fn one_night_alone_is_no_change_and_too_few_say_nothing() {
        let mut found = Vec::new();
        divide(&runs(|index| if index == 15 { 200.0 } else { 100.0 }, 30, 5), 0, &mut found);
        divide(&runs(|_| 100.0, 5, 5), 0, &mut found);
        assert!(found.is_empty(), "{found:?}");
        assert!(trend(&[]).is_empty());
    }
}
