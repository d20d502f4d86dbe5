//! How much less a request says because its neighbours share its fate.
//!
//! Failures and slow answers come in bursts, so a second of a run is a cluster. The design effect is the variance of
//! the share beyond the limit over what independent requests would give; `n / effect` requests are as good as
//! independent ones. It is estimated from differences of successive seconds (von Neumann, 1941; the
//! successive-difference estimator of systematic sampling, Wolter ch. 8): a planned step of the load, and the slow
//! rise and fall that answers it, move the level and hardly the differences, so they do not count as noise.
//! Differences across the border of two phases are left out.
//!
//! A burst that lasts for many seconds counts by its edges only. It cannot be told from an answer to the load by
//! looking at one run.

use record::Block;

/// Variance of the share beyond over that of independent requests, at least 1.
pub(crate) fn design_effect(blocks: &[Block]) -> f64 {
    let total =
        |blocks: &[Block]| blocks.iter().fold((0.0, 0.0), |(n, k), b| (n + f64::from(b.n), k + f64::from(b.beyond)));
    let (n, beyond) = total(blocks);
    let independent = beyond * (1.0 - beyond / n.max(1.0));
    if independent <= 0.0 {
        return 1.0; // all good or all bad: nothing to see bursts by
    }
    let (mut squares, mut pairs) = (0.0, 0_u32);
    for stretch in blocks.chunk_by(|one, next| one.phase == next.phase) {
        let (n, beyond) = total(stretch);
        let residual = |block: &Block| f64::from(block.beyond) - beyond / n.max(1.0) * f64::from(block.n);
        for pair in stretch.windows(2) {
            let difference = residual(&pair[1]) - residual(&pair[0]);
            squares += difference * difference / 2.0;
            pairs += 1;
        }
    }
    if pairs == 0 {
        return 1.0;
    }
    (squares / f64::from(pairs) * blocks.len() as f64 / independent).max(1.0)
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
            Block { phase: 0, n: n as u32, beyond: (0..n).filter(bad).count() as u32 }
        };
        (0..count).map(block).collect()
    }

    #[test]
    fn independent_requests_have_no_effect() {
        let effect = design_effect(&blocks(Seed::new(1), 400, 100, |_, _| 0.05));
        assert!((1.0..1.25).contains(&effect), "{effect}");
    }

    #[test]
    fn bursts_of_a_second_are_found() {
        // One second in ten loses half of its 100 requests: variance between seconds 0.5²·0.1·0.9 on top.
        let burst = |_, draw: Draw| if draw.unit() < 0.1 { 0.5 } else { 0.0 };
        let effect = design_effect(&blocks(Seed::new(2), 2_000, 100, burst));
        let expected = 100.0 * (0.25 * 0.1 * 0.9) / (0.05 * 0.95); // Kish: n·Var(p) / p(1 − p), about 47
        assert!((effect / expected - 1.0).abs() < 0.2, "{effect} against {expected}");
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
        let blocks = blocks(Seed::new(3), 200, 150, answer);
        let mean = blocks.iter().map(|b| f64::from(b.beyond)).sum::<f64>() / 200.0;
        let pooled = blocks.iter().map(|b| (f64::from(b.beyond) - mean).powi(2)).sum::<f64>() / (mean * 200.0);
        let effect = design_effect(&blocks);
        assert!(pooled > 50.0, "the trap is real: {pooled}");
        assert!(effect < 2.0, "{effect}");
    }

    #[test]
    fn the_jump_between_two_phases_is_left_out() {
        let jump = |second: u64, _| if second < 30 { 0.0 } else { 0.9 };
        let one_phase = blocks(Seed::new(4), 60, 200, jump);
        let mut two_phases = one_phase.clone();
        two_phases[30..].iter_mut().for_each(|block| block.phase = 1);
        let (told, untold) = (design_effect(&two_phases), design_effect(&one_phase));
        assert!(told < 1.5 && untold > 2.0 * told, "{told} {untold}");
    }

    #[test]
    fn without_anything_beyond_it_is_one() {
        for (case, blocks) in [
            ("nothing", vec![]),
            ("all good", vec![Block { phase: 0, n: 9, beyond: 0 }; 5]),
            ("all bad", vec![Block { phase: 0, n: 9, beyond: 9 }; 5]),
            ("one second", vec![Block { phase: 0, n: 9, beyond: 3 }]),
        ] {
            assert!((design_effect(&blocks) - 1.0).abs() < 1e-12, "{case}");
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
            let effect = design_effect(&blocks);
            let wrong = |(low, high): (f64, f64)| u32::from(truth < low) + u32::from(truth > high);
            plain_wrong += wrong(bounds(k, n, 0.05));
            wide_wrong += wrong(bounds(k / effect, n / effect, 0.05));
        }
        // Both ends together may be wrong 10 times in 100.
        assert!(plain_wrong > 60, "the bursts are too weak to test anything: {plain_wrong}");
        assert!(wide_wrong < 45, "{wide_wrong} of {trials}");
    }
}
