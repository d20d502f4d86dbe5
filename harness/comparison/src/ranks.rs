//! Tests by ranks: no assumption about the shape of anything.
//!
//! Sources: Wilcoxon, Biometrics Bulletin 1 (1945), with the exact distribution of the ranks at hand, ties included;
//! Hodges and Lehmann, Annals of Mathematical Statistics 34 (1963); Benjamini and Hochberg, JRSS B 57 (1995).

/// Chance of a signed-rank sum as far from its mean as this one, or farther, if differences are symmetric about zero.
/// Differences of exactly zero say nothing and are left out; without any other it is 1.
pub(crate) fn signed_rank(differences: &[f64]) -> f64 {
    let mut sizes: Vec<(f64, bool)> = differences.iter().filter(|d| **d != 0.0).map(|d| (d.abs(), *d > 0.0)).collect();
    sizes.sort_by(|one, other| one.0.total_cmp(&other.0));
    // Doubled, ranks of ties are whole numbers, too.
    let mut ranks: Vec<(usize, bool)> = Vec::with_capacity(sizes.len());
    for tied in sizes.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
        let first = ranks.len() + 1;
        let doubled = 2 * first + tied.len() - 1;
        ranks.extend(tied.iter().map(|(_, positive)| (doubled, *positive)));
    }
    let all: usize = ranks.iter().map(|(rank, _)| rank).sum();
    let seen: usize = ranks.iter().filter(|(_, positive)| *positive).map(|(rank, _)| rank).sum();
    // Each rank is positive with a chance of one half: the number of ways to reach each sum.
    let mut ways = vec![0.0_f64; all + 1];
    ways[0] = 1.0;
    let mut reached = 0;
    for (rank, _) in &ranks {
        for sum in (0..=reached).rev() {
            ways[sum + rank] += ways[sum];
        }
        reached += rank;
        // Halved as they come, so that they stay chances.
        ways[..=reached].iter_mut().for_each(|way| *way /= 2.0);
    }
    let least = seen.min(all - seen);
    let tail: f64 = ways[..=least].iter().sum();
    (2.0 * tail).min(1.0)
}

/// The median of all means of two differences: what they are about. `None` without any.
pub(crate) fn hodges_lehmann(differences: &[f64]) -> Option<f64> {
    let walsh = walsh(differences);
    middle(&walsh)
}

/// Its interval by the same test, each end wrong with probability `alpha`; `None` where there are too few.
pub(crate) fn interval(differences: &[f64], alpha: f64) -> Option<(f64, f64)> {
    let walsh = walsh(differences);
    // How many of the smallest means lie outside: the greatest sum that is that rare.
    let n = differences.len();
    let all = n * (n + 1) / 2;
    let mut ways = vec![0.0_f64; all + 1];
    ways[0] = 1.0;
    let mut reached = 0;
    for rank in 1..=n {
        for sum in (0..=reached).rev() {
            ways[sum + rank] += ways[sum];
        }
        reached += rank;
        ways[..=reached].iter_mut().for_each(|way| *way /= 2.0);
    }
    let mut tail = 0.0;
    let mut outside = 0;
    for chance in &ways {
        tail += chance;
        if tail > alpha {
            break;
        }
        outside += 1;
    }
    (outside > 0 && 2 * outside <= walsh.len()).then(|| (walsh[outside - 1], walsh[walsh.len() - outside]))
}

fn walsh(differences: &[f64]) -> Vec<f64> {
    let mut means = Vec::with_capacity(differences.len() * (differences.len() + 1) / 2);
    for (index, one) in differences.iter().enumerate() {
        means.extend(differences[index..].iter().map(|other| f64::midpoint(*one, *other)));
    }
    means.sort_by(f64::total_cmp);
    means
}

/// The shift of one sample against another, and its interval by Mann and Whitney's test in its normal approximation.
pub(crate) fn shift(base: &[f64], head: &[f64], z: f64) -> Option<(f64, (f64, f64))> {
    let mut differences: Vec<f64> = head.iter().flat_map(|h| base.iter().map(move |b| h - b)).collect();
    differences.sort_by(f64::total_cmp);
    let (m, n) = (base.len() as f64, head.len() as f64);
    let spread = z * libm::sqrt(m * n * (m + n + 1.0) / 12.0);
    let outside = libm::floor(m * n / 2.0 - spread);
    if outside.is_nan() || outside < 1.0 {
        return None;
    }
    let outside = outside as usize;
    Some((middle(&differences)?, (differences[outside - 1], differences[differences.len() - outside])))
}

/// The median of what is in order.
pub(crate) fn middle(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[half]),
        _ => Some(f64::midpoint(sorted[half - 1], sorted[half])),
    }
}

/// For each p the least share of false ones among those that are called with it.
pub(crate) fn false_discovery(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|one, other| p[*other].total_cmp(&p[*one]));
    let mut q = vec![1.0; p.len()];
    let mut least = 1.0_f64;
    for (index, member) in order.iter().enumerate() {
        let rank = p.len() - index;
        least = least.min(p[*member] * p.len() as f64 / rank as f64);
        q[*member] = least;
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::{Purpose, Seed};

    #[test]
    fn chances_are_the_published_ones() {
        // R: wilcox.test(x, exact = TRUE)$p.value.
        let all_up: Vec<f64> = (1..=6).map(f64::from).collect();
        assert!((signed_rank(&all_up) - 0.031_25).abs() < 1e-12);
        let mixed = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0];
        assert!((signed_rank(&mixed) - 0.195_312_5).abs() < 1e-9, "{}", signed_rank(&mixed));
        assert!((signed_rank(&[0.0, 0.0]) - 1.0).abs() < 1e-12);
        // Ties: ±1, ±1, 1: the doubled ranks are all 4, so it is a coin thrown three times.
        assert!((signed_rank(&[1.0, 1.0, 1.0]) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn the_estimate_is_the_textbook_one_and_its_interval_needs_enough() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
        assert_eq!(hodges_lehmann(&values), Some(6.5));
        // n = 12, 2.5 % on either side: the 14th mean from either end (Hollander and Wolfe, table A.4).
        let (low, high) = interval(&values, 0.025).unwrap();
        assert!(low < 6.5 && high > 6.5 && (low + high - 13.0).abs() < 1e-9, "{low} {high}");
        assert_eq!(interval(&values[..5], 0.025), None, "five pairs cannot be that sure");
        assert!(interval(&values[..6], 0.025).is_some());
    }

    #[test]
    fn intervals_cover_the_truth_as_often_as_they_say() {
        let trials = 600;
        let mut wrong = 0;
        for trial in 0..trials {
            let seed = Seed::new(trial).child("pairs");
            let noise = |index| {
                let draw = |k: u64| seed.draw_nth((index as u64) * 2 + k, Purpose::Cpu).unit() - 0.5;
                0.2 + draw(0) + draw(1)
            };
            let differences: Vec<f64> = (0..12).map(noise).collect();
            let (low, high) = interval(&differences, 0.025).unwrap();
            wrong += u32::from(!(low..=high).contains(&0.2));
        }
        assert!(wrong < 50, "{wrong} of {trials} miss the truth, and 30 may");
    }

    #[test]
    fn false_discoveries_are_counted_as_published() {
        let q = false_discovery(&[0.01, 0.04, 0.03, 0.5]);
        for (q, want) in q.iter().zip([0.04, 0.053_333, 0.053_333, 0.5]) {
            assert!((q - want).abs() < 1e-4, "{q} {want}");
        }
        assert!(false_discovery(&[]).is_empty());
    }

    #[test]
    fn a_shift_is_found_between_two_samples() {
        let base: Vec<f64> = (0..12).map(f64::from).collect();
        let head: Vec<f64> = base.iter().map(|value| value + 100.0).collect();
        let (estimate, (low, high)) = shift(&base, &head, 1.96).unwrap();
        assert!((estimate - 100.0).abs() < 1e-9 && low > 90.0 && high < 110.0, "{estimate} {low} {high}");
        assert!(shift(&base[..1], &head[..1], 1.96).is_none());
    }
}
