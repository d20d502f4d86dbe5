//! Goose: the pool of workers, and the users of closed load.
//!
//! Every journey is a goose scenario with one transaction of its name. In open load a goose user is a worker and not a
//! virtual client: its transaction takes a request of its journey that is due, plays it, takes the next, for the whole
//! run. In closed load a goose user *is* the user: its transaction plays session after session, thinking in between.
//! Goose itself is closed-loop and measures to the response's headers from the instant of sending, so time is kept
//! outside it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use goose::GooseAttack;
use goose::client::GooseClientBuilder;
use goose::config::GooseConfiguration;
use goose::goose::{GooseUser, Scenario, Transaction, TransactionFunction};
use scenarios::{LoadPlan, Part};

use crate::backlog::{Due, LanePlan};
use crate::exchange::Player;
use crate::protocol::Frame;
use crate::schedule;

/// A request that takes this long holds its worker this long; Little's law turns it into workers.
const PATIENCE_SECS: f64 = 2.0;
const FEWEST: usize = 64;
/// A rare journey may be a slow one.
const FEWEST_OF_A_JOURNEY: usize = 8;
/// 9 kB and 15 µs of starting each: 200 MB and 0.3 s.
const MOST: usize = 20_000;

/// How many workers a part of a plan gets unless [`Orders::workers`](crate::Orders::workers) says otherwise: for each journey
/// enough for its peak rate, every step of a session counted as due at once, if each request took 2 s, with room for
/// chance; and one for each user of closed load. At least 64, at most 20,000.
pub fn workers_for(plan: &LoadPlan, part: Part) -> usize {
    let open: usize = wanted(plan, part).iter().sum();
    (open + users(plan, part)).clamp(FEWEST, MOST)
}

/// Workers by journey. A user of closed load has one request under way at most, however slow the answer is, and is a
/// worker of its own.
fn wanted(plan: &LoadPlan, part: Part) -> Vec<usize> {
    let mut requests = vec![0.0; plan.journeys.len()];
    for stream in &plan.streams {
        let journey = usize::from(stream.journey);
        requests[journey] += part.share(stream) * stream.peak() * plan.journeys[journey].steps.len() as f64;
    }
    // Requests under way by Little's law, and four standard deviations of a Poisson count.
    let room = |rate: f64| (rate * PATIENCE_SECS + 4.0 * (rate * PATIENCE_SECS).sqrt()) as usize + FEWEST_OF_A_JOURNEY;
    let started = |journey: usize| plan.streams.iter().any(|stream| usize::from(stream.journey) == journey);
    (0..).zip(requests).map(|(journey, rate)| if started(journey) { room(rate) } else { 0 }).collect()
}

fn users(plan: &LoadPlan, part: Part) -> usize {
    plan.crowds.iter().map(|crowd| part.users(crowd)).sum()
}

/// Shares `workers` out: to each journey of open load by what it wants and at least one, and to closed load one a user.
/// Lanes are in the order of the journeys, closed load last.
pub(crate) fn lanes(plan: &LoadPlan, part: Part, workers: usize) -> Vec<LanePlan> {
    let wanted = wanted(plan, part);
    let users = users(plan, part);
    let users = users.min(workers.saturating_sub(wanted.len())).max(usize::from(users > 0));
    let (open, all) = (workers.saturating_sub(users), wanted.iter().sum::<usize>().max(1));
    let share = |wanted: usize| if wanted == 0 { 0 } else { (wanted * open / all).max(1) };
    let named = plan.journeys.iter().zip(&wanted);
    let lane = |name: &str, workers, closed| LanePlan { name: name.to_owned(), workers, closed };
    let mut lanes: Vec<LanePlan> = named.map(|(journey, wanted)| lane(&journey.name, share(*wanted), false)).collect();
    lanes.push(lane("users of closed load", users, true));
    lanes
}

/// Runs the workers of `lanes` until the backlog sends them home. When all of them stand, says so to the parent: load
/// that began before would find nobody to send it.
pub(crate) async fn attack(player: &'static Player, lanes: Vec<LanePlan>) -> Result<(), goose::GooseError> {
    let all: usize = lanes.iter().map(|lane| lane.workers).sum();
    // One shared client. Goose's own sender has others; nobody uses this one. Not verifying certificates spares it
    // reading the system's, which a minimal image does not have.
    let client = GooseClientBuilder::new().without_cookies().accept_invalid_certs(true);
    let mut attack =
        GooseAttack::initialize_with_config(configuration(all))?.set_client_builder_without_cookies(client)?;
    let standing = Arc::new(AtomicUsize::new(0));
    for (index, lane) in lanes.iter().enumerate().filter(|(_, lane)| lane.workers > 0) {
        let work = work(player, index, lane, all, &standing);
        let transaction = Transaction::new(work).set_name(&lane.name);
        // Goose hands users out by weight: as many as the weights add up to, so each scenario gets its own number.
        let scenario = Scenario::new(&lane.name).set_weight(lane.workers)?.register_transaction(transaction);
        attack = attack.register_scenario(scenario);
    }
    Box::pin(attack.execute()).await?; // 20 kB of future
    Ok(())
}

/// The one transaction of a lane's users.
fn work(
    player: &'static Player,
    lane: usize,
    plan: &LanePlan,
    all: usize,
    standing: &Arc<AtomicUsize>,
) -> TransactionFunction {
    let (closed, standing, hired) = (plan.closed, Arc::clone(standing), Arc::new(AtomicUsize::new(0)));
    Arc::new(move |user| {
        let worker = hired.fetch_add(1, Ordering::SeqCst);
        if standing.fetch_add(1, Ordering::SeqCst) + 1 == all {
            player.sink.push(Frame::Ready);
        }
        Box::pin(async move {
            while let Some(due) = player.backlog.next(lane, worker).await {
                if closed {
                    live(player, user, due).await;
                    player.backlog.leave();
                } else {
                    let next = play(player, user, &due).await;
                    schedule::proceed(player, next);
                }
            }
            Ok(())
        })
    })
}

/// A user of closed load, from the first request to the last.
async fn live(player: &'static Player, user: &mut GooseUser, first: Due) {
    let mut due = first;
    while let Some(next) = play(player, user, &due).await {
        tokio::select! {
            biased;
            () = player.backlog.stopped() => return,
            _ = player.clock.until(next.intended) => {}
        }
        player.counts.due.fetch_add(1, Ordering::Relaxed);
        due = next;
    }
}

/// One request. Goose loses a user that panics without a word, and would then wait for it for ever.
async fn play(player: &'static Player, user: &mut GooseUser, due: &Due) -> Option<Due> {
    let played = AssertUnwindSafe(player.play(due, user)).catch_unwind().await;
    played.unwrap_or_else(|_| player.give_up(due, player.clock.now()))
}

/// No controllers, no metrics, no output but one line on stdout, which leads nowhere by then.
fn configuration(workers: usize) -> GooseConfiguration {
    let mut goose = GooseConfiguration::default();
    goose.host = Some("http://127.0.0.1/".to_owned()); // required, and unused
    goose.users = Some(workers);
    goose.increase_rate = Some("100000".to_owned());
    goose.iterations = Some(1); // a transaction is a whole run
    goose.quiet = 3;
    goose.no_telnet = true;
    goose.no_websocket = true;
    goose.no_metrics = true;
    goose.no_print_metrics = true;
    goose.no_error_summary = true;
    goose
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::StepId;
    use scenarios::{ArrivalLaw, JourneyPlan, Segment, Stream};
    use units::{Nanos, Rate, Seed};

    #[test]
    fn the_pool_follows_the_peak_rate() {
        let whole = Part::default();
        let plan = |rates: &[u64], steps: u16| LoadPlan {
            seed: Seed::new(1),
            phases: vec![],
            streams: vec![Stream {
                journey: 0,
                law: ArrivalLaw::Poisson,
                first_client: 0,
                clients: 1,
                rate: rates
                    .iter()
                    .map(|rate| Segment {
                        duration: Nanos::from_secs(1),
                        from: Rate::ZERO,
                        to: Rate::per_second(*rate),
                    })
                    .collect(),
                times: vec![],
                retry: None,
            }],
            crowds: vec![],
            journeys: vec![JourneyPlan { name: "j".to_owned(), steps: (0..steps).map(StepId).collect() }],
            steps: vec![],
            clients: 1,
            timeout: Nanos::from_secs(10),
        };
        let users = |users| scenarios::Crowd {
            mix: vec![],
            users: vec![scenarios::Headcount { duration: Nanos::from_secs(1), from: 0, to: users }],
            rest: units::Distribution::NONE,
            first_client: 0,
            clients: 1,
            retry: None,
        };
        let closed = LoadPlan { crowds: vec![users(300), users(200)], ..plan(&[100], 1) };
        assert_eq!(workers_for(&closed, whole), 264 + 500, "a user needs one worker at most");
        let shares =
            |plan: &LoadPlan, workers| lanes(plan, whole, workers).iter().map(|lane| lane.workers).collect::<Vec<_>>();
        assert_eq!(shares(&closed, 700), [200, 500], "a journey, and the users");
        assert_eq!(shares(&closed, 10), [1, 9], "few descriptors leave somebody for each");
        assert_eq!(shares(&plan(&[100], 1), 64), [64, 0]);
        for (case, rates, steps, want) in [
            ("nothing still gets a few", &[0][..], 1, 64),
            ("the peak counts, not the mean", &[10, 500, 10], 1, 1_134),
            ("every step counts", &[100], 4, 921),
            ("there is an end", &[1_000_000], 1, 20_000),
        ] {
            assert_eq!(workers_for(&plan(rates, steps), whole), want, "{case}");
        }
    }
}
