//! The largest load that keeps every objective: doubling until one breaks, then bisection.
//!
//! Pure: whoever asks says what a load comes to. The method is that of the research on capacity tools: a continuous
//! ramp finds an outer bound, only held steps find a load that can be promised.

/// Between which loads the limit lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Bracket {
    /// The largest load that was tried and kept everything; 0 if none did.
    pub keeps: f64,
    /// The smallest load above it that was tried and did not; `None` if none was found up to the most that was asked.
    pub breaks: Option<f64>,
    /// Every step in the order in which it was tried: the load, and whether it kept everything.
    pub steps: Vec<(f64, bool)>,
}

/// How often the first load is halved before nothing is said to hold.
const HALVINGS: u32 = 10;

/// Finds the largest load up to `most` that `keeps`, to a factor of `within` (such as 1.05). Begins at `start`.
///
/// # Panics
/// Unless `0 < start <= most` and `within > 1`: the caller's figures are checked before.
pub fn largest<E>(
    start: f64,
    most: f64,
    within: f64,
    mut keeps: impl FnMut(f64) -> Result<bool, E>,
) -> Result<Bracket, E> {
    assert!(start > 0.0 && start <= most && within > 1.0, "a search from {start} to {most} within {within}");
    let mut steps = Vec::new();
    let mut ask = |load: f64| -> Result<bool, E> {
        let kept = keeps(load)?;
        steps.push((load, kept));
        Ok(kept)
    };
    let (mut low, mut high) = (0.0, None);
    if ask(start)? {
        low = start;
        while low < most && high.is_none() {
            let next = (low * 2.0).min(most);
            if ask(next)? { low = next } else { high = Some(next) }
        }
    } else {
        let mut above = start;
        for _ in 0..HALVINGS {
            let next = above / 2.0;
            if ask(next)? {
                low = next;
                break;
            }
            above = next;
        }
        high = Some(above);
    }
    while let Some(above) = high.filter(|above| low > 0.0 && above / low > within) {
        // In the middle of their logarithms: the bracket is a factor.
        let middle = libm::sqrt(low * above);
        if ask(middle)? { low = middle } else { high = Some(middle) }
    }
    Ok(Bracket { keeps: low, breaks: high, steps })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn search(start: f64, most: f64, limit: f64) -> Bracket {
        largest(start, most, 1.05, |load| Ok::<_, Infallible>(load <= limit)).unwrap()
    }

    #[test]
    fn the_limit_lies_in_a_narrow_bracket_wherever_the_search_begins() {
        for start in [0.1, 1.0, 37.0, 900.0] {
            let bracket = search(start, 1_000.0, 37.0);
            let breaks = bracket.breaks.unwrap();
            assert!(bracket.keeps <= 37.0 && breaks > 37.0 && breaks / bracket.keeps <= 1.05, "{start}: {bracket:?}");
            assert!(bracket.steps.len() < 20, "{start}: {} steps", bracket.steps.len());
        }
    }

    #[test]
    fn what_never_breaks_and_what_never_keeps_is_told() {
        let endless = search(1.0, 100.0, f64::INFINITY);
        assert_eq!((endless.keeps, endless.breaks), (100.0, None));
        let hopeless = search(1.0, 100.0, 0.0);
        assert!(hopeless.keeps <= 0.0);
        assert_eq!(hopeless.steps.len(), 11);
    }

    #[test]
    fn an_error_ends_the_search() {
        assert_eq!(largest(1.0, 8.0, 1.05, |load| if load < 3.0 { Ok(true) } else { Err("no") }), Err("no"));
    }
}
