//! How much less a request says because its neighbours share its fate.
//!
//! Failures and slow answers come in bursts, so a second of a run is a cluster, and a burst of many seconds is a larger
//! one. The design effect is the variance of the share beyond the limit over what independent requests would give;
//! `n / effect` requests are as good as independent ones. The variance is that of a sum of correlated seconds: their
//! autocovariances are added up for as long as pairs of them are positive and do not grow (Geyer, Statistical Science 7
//! (1992), the initial monotone sequence), up to a minute apart.
//!
//! A planned step of the load, and the slow rise and fall that answers it, are no noise: another run of the same
//! scenario does the same. So levels are taken phase by phase, and the first episode after a step of the load or a
//! fault counts by the differences of successive seconds alone (von Neumann, 1941). What follows it, or comes without a
//! step, counts in full, be it a burst or an answer to something that nobody planned.
//!
//! A run with few bursts knows little about how large bursts are, and a run that was lucky with them has seen fewer and
//! smaller ones: its own design effect is too small just when its share is. So a pass reckons with larger bursts than
//! were seen, and with one more of them ([`Effect::keeps`]). A fail needs no such caution: bad luck shows more bursts.

use record::Block;

use crate::statistics::poisson;

/// A level holds for so many blocks, if nobody says otherwise.
pub(crate) const LEVEL: usize = 300;
/// Blocks are looked at up to this share of that apart: bursts that last longer are a level of their own.
const LAGS: usize = 5;
/// An answer to a step begins within so many blocks of it, and is over after so many good ones.
const ANSWER_WITHIN: usize = 30;
const CALM: usize = 5;

/// How surely bursts are no larger than a pass reckons with. Checked by `tests/truth.rs`.
const CAUTION: f64 = 0.02;

/// A variance of fewer has hardly a bound: two requests that failed in one second would be feared to be two hundred.
const LEAST: f64 = 4.0;

/// What bursts make of counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Effect {
    /// The design effect as the run shows it, at least 1.
    pub(crate) seen: f64,
    /// As it may be, for all that the run's few bursts say.
    pub(crate) feared: f64,
}

impl Default for Effect {
    fn default() -> Self {
        Self { seen: 1.0, feared: 1.0 }
    }
}

impl Effect {
    /// Of blocks, as [`design_effect`] takes them.
    pub(crate) fn of(blocks: &[Block], planned: &[u32], level: usize) -> Self {
        let Variance { ratio: seen, freedom } = design_effect(blocks, planned, level);
        // A variance that was estimated from m independent bursts is χ² with m degrees of freedom, divided by m; one that
        // was added up over lags has no more than the blocks give at that width (Priestley, Spectral Analysis, §6.2.4).
        let half = (total(blocks).1 / seen).min(freedom).max(LEAST) / 2.0;
        let widening = half / poisson::bounds(half, CAUTION).0;
        Self { seen, feared: 1.0 + (seen - 1.0) * widening }
    }

    /// `k` of `n` requests as independent ones, for a claim that a limit is kept: one burst more than was seen.
    pub(crate) fn keeps(self, k: f64, n: f64) -> (f64, f64) {
        let one_more = (k + self.feared - 1.0).min(n);
        (one_more / self.feared, n / self.feared)
    }

    /// Likewise, for a claim that it is broken: as they were seen.
    pub(crate) fn breaks(self, k: f64, n: f64) -> (f64, f64) {
        (k / self.seen, n / self.seen)
    }
}

/// What the blocks of a run say of how their requests go together.
#[derive(Clone, Copy, Debug)]
struct Variance {
    /// Variance of the share beyond over that of independent requests, at least 1.
    ratio: f64,
    /// Of how many independent squares it is made.
    freedom: f64,
}

/// Variance of the share beyond over that of independent requests. `planned` are seconds at which
/// something was meant to change beside the load, such as the beginning of a fault. `level` is for how many blocks a
/// level holds at most: what is judged window by window asks nothing about what lasts as long as a window.
fn design_effect(blocks: &[Block], planned: &[u32], level: usize) -> Variance {
    let (n, beyond) = total(blocks);
    let independent = beyond * (1.0 - beyond / n.max(1.0));
    if independent <= 0.0 {
        return Variance { ratio: 1.0, freedom: blocks.len() as f64 }; // all good or all bad: nothing to see bursts by
    }
    let lags = (level / LAGS).max(1) + 2;
    let mut covariances = vec![0.0; lags];
    let mut answers = 0.0;
    let mut before: Option<&[Block]> = None;
    for stretch in stretches(blocks, planned) {
        let answer = if stepped(before, stretch, planned) { answer(stretch, beyond / n) } else { 0 };
        let (first, rest) = stretch.split_at(answer);
        answers += successive(first);
        for part in rest.chunks(level.max(2)) {
            let residuals = residuals(part);
            for (lag, covariance) in covariances.iter_mut().enumerate().take(residuals.len()) {
                *covariance += residuals.iter().zip(&residuals[lag..]).map(|(one, other)| one * other).sum::<f64>();
            }
        }
        before = Some(stretch);
    }
    let (variance, last) = initial_sequence(&covariances);
    let ratio = ((variance + answers) / independent).clamp(1.0, n.max(1.0));
    Variance { ratio, freedom: blocks.len() as f64 / (2 * last + 1) as f64 }
}

fn total(blocks: &[Block]) -> (f64, f64) {
    blocks.iter().fold((0.0, 0.0), |(n, k), b| (n + f64::from(b.n), k + f64::from(b.beyond)))
}

/// Blocks of one phase between two planned instants.
fn stretches<'a>(blocks: &'a [Block], planned: &'a [u32]) -> impl Iterator<Item = &'a [Block]> {
    blocks.chunk_by(|one, next| one.phase == next.phase && !planned.iter().any(|at| one.at_s < *at && *at <= next.at_s))
}

/// What is beyond more than the stretch's own level says.
fn residuals(stretch: &[Block]) -> Vec<f64> {
    let (n, beyond) = total(stretch);
    stretch.iter().map(|block| f64::from(block.beyond) - beyond / n.max(1.0) * f64::from(block.n)).collect()
}

/// Variance of a sum by differences of successive blocks.
fn successive(stretch: &[Block]) -> f64 {
    let residuals = residuals(stretch);
    let squares: f64 = residuals.windows(2).map(|pair| (pair[1] - pair[0]) * (pair[1] - pair[0]) / 2.0).sum();
    squares * stretch.len() as f64 / (stretch.len().max(2) - 1) as f64
}

/// Whether the load, or something planned, changed where the stretch begins.
fn stepped(before: Option<&[Block]>, stretch: &[Block], planned: &[u32]) -> bool {
    let rate = |blocks: &[Block]| total(blocks).0 / blocks.len().max(1) as f64;
    let Some(before) = before else { return false };
    let (last, first) = (rate(&before[before.len().saturating_sub(10)..]), rate(&stretch[..stretch.len().min(10)]));
    let began = before
        .last()
        .zip(stretch.first())
        .is_some_and(|(one, next)| planned.iter().any(|at| one.at_s < *at && *at <= next.at_s));
    began || (first - last).abs() > 0.2 * last
}

/// How many blocks the answer to a step takes: until its first episode is over.
fn answer(stretch: &[Block], level: f64) -> usize {
    let bad = |block: &Block| f64::from(block.beyond) > level * f64::from(block.n).max(1.0);
    let Some(begins) = stretch.iter().take(ANSWER_WITHIN).position(bad) else { return 0 };
    let calm = stretch[begins..].windows(CALM).position(|window| !window.iter().any(bad));
    calm.map_or(stretch.len(), |blocks| begins + blocks)
}

/// Variance of a sum from the sums of products at each lag, and the last lag that counts.
fn initial_sequence(covariances: &[f64]) -> (f64, usize) {
    let (mut variance, mut last) = (covariances[0], 0);
    let mut least = f64::INFINITY;
    // Pairs (1, 2), (3, 4), …: their sums are positive and fall for a reversible process.
    for pair in covariances[1..].chunks_exact(2) {
        let sum = (pair[0] + pair[1]).min(least);
        if sum <= 0.0 {
            break;
        }
        variance += 2.0 * sum;
        least = sum;
        last += 2;
    }
    (variance, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::binomial::bounds;
    use units::{Draw, Purpose, Seed};

    /// Blocks of `n` requests, of which each second's own share of bad ones is drawn by `share`.
    fn blocks(seed: Seed, count: u64, n: u64, share: impl Fn(u64, Draw) -> f64) -> Vec<Block> {
        let block = |second: u64| {
            let p = share(second, seed.draw_nth(second, Purpose::Phase));
            let bad = |i: &u64| seed.child("requests").draw_nth(second * n + i, Purpose::Failure).unit() < p;
            Block { at_s: second as u32, phase: 0, n: n as u32, beyond: (0..n).filter(bad).count() as u32 }
        };
        (0..count).map(block).collect()
    }

    #[test]
    fn independent_requests_have_no_effect() {
        let effect = design_effect(&blocks(Seed::new(1), 400, 100, |_, _| 0.05), &[], LEVEL).ratio;
        assert!((1.0..1.4).contains(&effect), "{effect}");
    }

    #[test]
    fn bursts_of_a_second_are_found() {
        // One second in ten loses half of its 100 requests: variance between seconds 0.5²·0.1·0.9 on top.
        let burst = |_, draw: Draw| if draw.unit() < 0.1 { 0.5 } else { 0.0 };
        let effect = design_effect(&blocks(Seed::new(2), 2_000, 100, burst), &[], LEVEL).ratio;
        let expected = 100.0 * (0.25 * 0.1 * 0.9) / (0.05 * 0.95); // Kish: n·Var(p) / p(1 − p), about 47
        assert!((effect / expected - 1.0).abs() < 0.3, "{effect} against {expected}");
    }

    #[test]
    fn a_burst_of_many_seconds_counts_as_the_one_that_it_is() {
        // Every 50 s on average, 10 s in which half of the requests are beyond.
        let bad = |seed: Seed| {
            let mut until = 0;
            let begins: Vec<bool> = (0..3_000).map(|s| seed.draw_nth(s, Purpose::Failure).unit() < 0.02).collect();
            let mut bad = vec![false; 3_000];
            for (second, begins) in begins.into_iter().enumerate() {
                until = if begins { second + 10 } else { until };
                bad[second] = second < until;
            }
            bad
        };
        let long = bad(Seed::new(5));
        let share = |second: u64, _| if long[second as usize] { 0.5 } else { 0.001 };
        let all = blocks(Seed::new(6), 3_000, 20, share);
        let edges = {
            let squares: f64 =
                all.windows(2).map(|p| (f64::from(p[1].beyond) - f64::from(p[0].beyond)).powi(2) / 2.0).sum();
            let k: f64 = all.iter().map(|b| f64::from(b.beyond)).sum();
            squares / (k * (1.0 - k / 60_000.0))
        };
        let effect = design_effect(&all, &[], LEVEL).ratio;
        assert!(effect > 4.0 * edges, "by its edges it would be {edges}, in full it is {effect}");
        // The truth, by repetition: variance of the sum over what independent requests would give.
        let sums: Vec<f64> = (0..60)
            .map(|run| {
                let long = bad(Seed::new(1_000 + run));
                let share = |second: u64, _| if long[second as usize] { 0.5 } else { 0.001 };
                blocks(Seed::new(2_000 + run), 600, 20, share).iter().map(|b| f64::from(b.beyond)).sum()
            })
            .collect();
        let mean = sums.iter().sum::<f64>() / 60.0;
        let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / 59.0;
        let truth = variance / (mean * (1.0 - mean / 12_000.0));
        assert!((0.6..1.7).contains(&(effect / truth)), "{effect} against {truth}");
    }

    #[test]
    fn a_planned_step_and_its_answer_are_not_noise() {
        // Half of the run has no slow request; then the queue fills over 15 s, stands, and drains over 15 s.
        let answer = |second: u64, _| match second {
            100..115 => (second - 100) as f64 / 15.0,
            115..125 => 1.0,
            125..140 => (140 - second) as f64 / 15.0,
            _ => 0.0,
        };
        let mut blocks = blocks(Seed::new(3), 200, 150, answer);
        // The load doubles with the phase: only its first half is of 75 requests a second.
        blocks[..100].iter_mut().for_each(|block| block.n = 75);
        blocks[100..].iter_mut().for_each(|block| block.phase = 1);
        let mean = blocks.iter().map(|b| f64::from(b.beyond)).sum::<f64>() / 200.0;
        let pooled = blocks.iter().map(|b| (f64::from(b.beyond) - mean).powi(2)).sum::<f64>() / (mean * 200.0);
        let effect = design_effect(&blocks, &[], LEVEL).ratio;
        assert!(pooled > 50.0, "the trap is real: {pooled}");
        assert!(effect < 2.0, "{effect}");
    }

    #[test]
    fn the_jump_between_two_phases_is_left_out() {
        let jump = |second: u64, _| if second < 30 { 0.0 } else { 0.9 };
        let one_phase = blocks(Seed::new(4), 60, 200, jump);
        let mut two_phases = one_phase.clone();
        two_phases[30..].iter_mut().for_each(|block| block.phase = 1);
        let (told, untold) =
            (design_effect(&two_phases, &[], LEVEL).ratio, design_effect(&one_phase, &[], LEVEL).ratio);
        assert!(told < 1.5 && untold > 2.0 * told, "{told} {untold}");
    }

    #[test]
    fn without_anything_beyond_it_is_one() {
        for (case, blocks) in [
            ("nothing", vec![]),
            ("all good", vec![Block { n: 9, ..Block::default() }; 5]),
            ("all bad", vec![Block { n: 9, beyond: 9, ..Block::default() }; 5]),
            ("one second", vec![Block { n: 9, beyond: 3, ..Block::default() }]),
        ] {
            assert!((design_effect(&blocks, &[], LEVEL).ratio - 1.0).abs() < 1e-12, "{case}");
        }
    }

    #[test]
    fn widened_bounds_cover_where_plain_ones_do_not() {
        let (mut plain_wrong, mut wide_wrong) = (0, 0);
        let trials = 300;
        for trial in 0..trials {
            let burst = |_, draw: Draw| if draw.unit() < 0.2 { 0.2 } else { 0.01 };
            let truth = 0.2 * 0.2 + 0.8 * 0.01;
            let blocks = blocks(Seed::new(100 + trial), 120, 50, burst);
            let (n, k) = (120.0 * 50.0, blocks.iter().map(|b| f64::from(b.beyond)).sum::<f64>());
            let effect = design_effect(&blocks, &[], LEVEL).ratio;
            let wrong = |(low, high): (f64, f64)| u32::from(truth < low) + u32::from(truth > high);
            plain_wrong += wrong(bounds(k, n, 0.05));
            wide_wrong += wrong(bounds(k / effect, n / effect, 0.05));
        }
        // Both ends together may be wrong 10 times in 100.
        assert!(plain_wrong > 60, "the bursts are too weak to test anything: {plain_wrong}");
        assert!(wide_wrong < 45, "{wide_wrong} of {trials}");
    }
}
