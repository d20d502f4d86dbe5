//! A bounded, seeded search for the smallest burst and the worst moment.
//!
//! Bursts are found by bisection, first by height and then by length: more load never helps. Moments are tried at random,
//! since what a fault meets (a rollout, an autoscaler's window) has no order. Whatever is tried is a scenario file, so
//! whatever is found plays again.

use std::num::NonZeroUsize;

use record::Judgement;
use scenarios::Plan;
use simulation::in_order;
use units::{Purpose, Seed};

use crate::release::lost;
use crate::trial::sentence;
use crate::{Drill, Judge, drill, largest};

/// The largest burst that holds and the smallest that does not, times the usual rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Burst {
    /// Holds.
    pub holds: f64,
    /// Breaks; `None` if none was found up to the most.
    pub breaks: Option<f64>,
    /// What it breaks.
    pub why: Option<String>,
    /// The shortest burst of that height that was found to break it, seconds.
    pub seconds: u64,
    /// It, to play again.
    pub drill: Option<Drill>,
    /// How many were tried.
    pub tried: u64,
}

/// Bursts are looked for up to so many times the usual rate.
const MOST: f64 = 256.0;
const WITHIN: f64 = 1.1;
/// Seconds that a burst lasts while its height is looked for, and the shortest that is tried.
const LONGEST: u64 = 60;
const SHORTEST: f64 = 2.0;

/// What a scenario file with a burst of so many times the usual rate for so many seconds comes to.
pub type Burster<'a> = &'a dyn Fn(f64, u64) -> Option<(Drill, Plan)>;

/// The smallest burst that breaks an objective, beginning from the usual rate: the lowest of a minute, and then the
/// shortest of that height.
pub fn burst(make: Burster<'_>, judge: &Judge, seed: Seed) -> Burst {
    let mut tried = 0;
    let mut breaks = |times: f64, seconds: u64| -> Option<(String, Drill)> {
        tried += 1;
        let (drill, mut plan) = make(times, seconds)?;
        plan.load.seed = seed;
        let why = match judge.play(&plan) {
            // A burst is short: what is too rare to be decided in it is not broken by it.
            Ok(result) => sentence(result.verdicts.iter().find(|v| v.gating && v.judgement == Judgement::Fail)?),
            Err(error) => error.to_string(),
        };
        Some((why, drill))
    };
    let mut smallest = None;
    let found = largest(1.0, MOST, WITHIN, |times| {
        let broken = breaks(times, LONGEST);
        let kept = broken.is_none();
        smallest = broken.or(smallest.take());
        Ok::<_, std::convert::Infallible>(kept)
    });
    let found = found.unwrap_or_else(|never| match never {});
    let mut seconds = LONGEST;
    if let Some(times) = found.breaks {
        let mut longest_held = SHORTEST;
        while seconds as f64 / longest_held > WITHIN && seconds as f64 - longest_held > 1.0 {
            let middle = libm::ceil(libm::sqrt(longest_held * seconds as f64)) as u64;
            if middle >= seconds {
                break;
            }
            match breaks(times, middle) {
                Some(broken) => (seconds, smallest) = (middle, Some(broken)),
                None => longest_held = middle as f64,
            }
        }
    }
    let (why, drill) = smallest.unzip();
    Burst { holds: found.keeps, breaks: found.breaks, why, seconds, drill, tried }
}

/// The worst of `tries` random moments for a drill's fault: how many seconds later than written it begins, and how many
/// requests it costs then.
pub fn worst_moment(plan: &Plan, judge: &Judge, seed: Seed, tries: u64, threads: NonZeroUsize) -> Option<(u64, i64)> {
    let first = plan.faults.first()?;
    let room = (plan.load.end() - first.end()) / 2;
    let results = in_order(tries as usize, threads, |index| {
        // Whole seconds, as a file has them.
        let later = (seed.draw_nth(index as u64, Purpose::Phase).unit() * room.as_secs_f64()) as u64;
        let mut plan = plan.clone();
        plan.faults.iter_mut().for_each(|fault| fault.at += units::Nanos::from_secs(later));
        plan.load.seed = seed;
        judge.play(&plan).ok().map(|result| (later, lost(&result)))
    });
    // The earliest of those that cost the same.
    results.into_iter().flatten().max_by_key(|(later, lost)| (*lost, std::cmp::Reverse(*later)))
}

/// A drill with its fault so many seconds later.
pub fn later(of: &Drill, seconds: u64) -> Drill {
    let name = format!("{}-later", of.name);
    let at = |seconds: u64| format!("at: drill + {seconds}s");
    let text = of.text.replace(&at(drill::BEFORE), &at(drill::BEFORE + seconds));
    Drill {
        text: text.replace(&format!("name: drill-{}\n", of.name), &format!("name: drill-{name}\n")),
        name,
        ..of.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_drill_differs_in_its_name_and_its_instant() {
        let text =
            "metadata:\n  name: drill-kill\nspec:\n  faults:\n    - {name: drill, at: drill + 30s, podKill: {}}\n";
        let drill = Drill { name: "kill".into(), kind: "pod kill", hypothesis: String::new(), text: text.into() };
        let later = later(&drill, 12);
        assert_eq!(later.name, "kill-later");
        assert_eq!(later.text, text.replace("drill-kill", "drill-kill-later").replace("30s", "42s"));
    }
}
