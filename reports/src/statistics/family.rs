//! Several verdicts that are right together (Holm, Scandinavian Journal of Statistics 6, 1979).

/// The error that each member of a family may make, so that the chance of any wrong claim stays what each one asked
/// for. `p` is the p-value of a member's better claim, `alpha` the error it would be allowed alone.
///
/// A member decides if `p ≤ level`. Once the procedure stops, the level at which it stopped holds for the rest.
pub(crate) fn levels(members: &[(f64, f64)]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    let relative = |index: usize| members[index].0 / members[index].1;
    order.sort_by(|a, b| relative(*a).total_cmp(&relative(*b)));
    let mut levels = vec![0.0; members.len()];
    let mut stopped: Option<f64> = None;
    for (rank, index) in order.into_iter().enumerate() {
        let share = stopped.unwrap_or(1.0 / (members.len() - rank) as f64);
        if relative(index) > share {
            stopped = Some(share);
        }
        levels[index] = members[index].1 * share;
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::levels;

    #[test]
    fn steps_down_and_stops_at_the_first_that_does_not_decide() {
        for (case, p, expected) in [
            ("alone", vec![0.04], vec![0.05]),
            ("all decide", vec![0.001, 0.02], vec![0.025, 0.05]),
            ("the order of p counts, not that of the list", vec![0.02, 0.001], vec![0.05, 0.025]),
            ("0.02 would decide alone, but not beside 0.03", vec![0.03, 0.026], vec![0.025, 0.025]),
            ("none", vec![], vec![]),
        ] {
            let members: Vec<_> = p.into_iter().map(|p| (p, 0.05)).collect();
            assert_eq!(levels(&members), expected, "{case}");
        }
    }
}
