//! Many runs at once: replications of a plan, and sweeps over variations of it, on as many cores as there are.
//!
//! Owns nothing that decides. Each run is the same [`simulate`] on its own seed, and what is kept of it is what `judge`
//! makes of it on the thread that played it, so that memory does not grow with the number of runs. Results stand in
//! the order of the question, whoever was ready first: the same bytes on any number of threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use record::{Deaf, Watch};
use scenarios::Plan;
use units::Seed;

use crate::{Settings, Simulated, SimulationError, simulate};

/// One thing that is tried: a plan, perhaps [varied](Plan::varied), and how it is played.
#[derive(Clone, Debug)]
pub struct Arm {
    /// What is played. Its own seed does not matter: each replication brings one.
    pub plan: Plan,
    /// How.
    pub settings: Settings,
}

/// One run of many.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// Which arm, by its index.
    pub arm: usize,
    /// What is played, with the seed of this replication.
    pub plan: &'a Plan,
    /// Which seed.
    pub seed: Seed,
}

/// Plays every arm with every seed. Answers by arm, then by seed: what `judge` made of each run.
///
/// Every arm gets the same seeds (*common random numbers*), so differences between arms are paired and their noise
/// cancels.
///
/// ```no_run
/// # fn example(plan: &scenarios::Plan) -> Result<(), scenarios::VariationError> {
/// use scenarios::{LoadScale, Variation};
/// use simulation::{Arm, Settings, all_cores, replicate};
/// use units::Seed;
///
/// // How many requests fail at one, two and four times the load, on seeds 1 to 5?
/// let arm = |times| {
///     let more = Variation { load: LoadScale::Times(times), ..Variation::default() };
///     Ok(Arm { plan: plan.varied(&more)?, settings: Settings::default() })
/// };
/// let arms = [1.0, 2.0, 4.0].into_iter().map(arm).collect::<Result<Vec<_>, scenarios::VariationError>>()?;
/// let seeds: Vec<Seed> = (1..=5).map(Seed::new).collect();
/// let failed = replicate(&arms, &seeds, &[], all_cores(), |_, played| {
///     let steps = played.map(|played| played.observed.recording.steps);
///     steps.map(|steps| steps.iter().flat_map(|step| step.failed.values()).sum::<u64>())
/// });
/// # Ok(())
/// # }
/// ```
pub fn replicate<R: Send>(
    arms: &[Arm],
    seeds: &[Seed],
    watches: &[Watch],
    threads: NonZeroUsize,
    judge: impl Fn(Trial<'_>, Result<Simulated, SimulationError>) -> R + Sync,
) -> Vec<Vec<R>> {
    // The arms of one seed are neighbours: whoever compares them has early answers.
    let play = |index: usize| {
        let (arm, seed) = (index % arms.len(), seeds[index / arms.len()]);
        let plan = arms[arm].plan.seeded(seed);
        let played = simulate(&plan, watches.to_vec(), &arms[arm].settings, &mut Deaf);
        judge(Trial { arm, plan: &plan, seed }, played)
    };
    let mut by_arm: Vec<Vec<R>> = arms.iter().map(|_| Vec::with_capacity(seeds.len())).collect();
    for (index, played) in in_order(arms.len() * seeds.len(), threads, play).into_iter().enumerate() {
        by_arm[index % arms.len()].push(played);
    }
    by_arm
}

/// What `work` makes of `0..count`, in this order, with `threads` at work.
pub fn in_order<R: Send>(count: usize, threads: NonZeroUsize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return done;
            }
            done.push((index, work(index)));
        }
    };
    let mut all: Vec<(usize, R)> = thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.get().min(count)).map(|_| scope.spawn(take)).collect();
        let mut all = take();
        for helper in helpers {
            match helper.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, done)| done).collect()
}

/// As many threads as this process may use cores.
pub fn all_cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_question_on_any_number_of_threads() {
        let want: Vec<usize> = (0..100).map(|n| n * n).collect();
        for threads in [1, 2, 7, 200] {
            let got = in_order(100, NonZeroUsize::new(threads).unwrap(), |index| {
                if index % 3 == 0 {
                    thread::yield_now();
                }
                index * index
            });
            assert_eq!(got, want, "{threads} threads");
        }
        assert_eq!(in_order(0, NonZeroUsize::MIN, |index| index), Vec::<usize>::new());
    }
}
