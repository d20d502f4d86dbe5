//! Goose: the pool of workers.
//!
//! A goose user is a worker here and not a virtual client. It runs one transaction for the whole run: take a request
//! that is due, play it, take the next. Goose itself is closed-loop and measures to the response's headers from the
//! instant of sending, so time is kept outside it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use goose::GooseAttack;
use goose::client::GooseClientBuilder;
use goose::config::GooseConfiguration;
use goose::goose::{Scenario, Transaction, TransactionFunction};
use scenarios::LoadPlan;

use crate::exchange::Player;
use crate::protocol::Frame;
use crate::schedule;

/// A request that takes this long holds its worker this long; Little's law turns it into workers.
const PATIENCE_SECS: f64 = 2.0;
const FEWEST: usize = 64;
/// 9 kB and 15 µs of starting each: 200 MB and 0.3 s.
const MOST: usize = 20_000;

/// How many workers a plan gets unless [`Orders::workers`](crate::Orders::workers) says otherwise: enough for its
/// peak rate, every step of a session counted as due at once, if each request took 2 s, and one for each user of closed
/// load; at least 64, at most 20,000.
pub fn workers_for(plan: &LoadPlan) -> usize {
    // A user of closed load has one request under way at most, however slow the answer is.
    let open = plan.streams.iter().map(|s| s.peak() * plan.journeys[usize::from(s.journey)].steps.len() as f64);
    let users: u32 = plan.crowds.iter().map(scenarios::Crowd::peak).sum();
    ((open.sum::<f64>() * PATIENCE_SECS) as usize + users as usize).clamp(FEWEST, MOST)
}

/// Runs the workers until the backlog sends them home. When all of them stand, says so to the parent: load that
/// began before would find nobody to send it.
pub(crate) async fn attack(player: &'static Player, workers: usize) -> Result<(), goose::GooseError> {
    let standing = Arc::new(AtomicUsize::new(0));
    let work: TransactionFunction = Arc::new(move |_user| {
        let standing = Arc::clone(&standing);
        Box::pin(async move {
            let worker = standing.fetch_add(1, Ordering::SeqCst);
            if worker + 1 == workers {
                player.sink.push(Frame::Ready);
            }
            while let Some(due) = player.backlog.next(worker).await {
                // Goose loses a user that panics without a word, and would then wait for it for ever.
                let next = AssertUnwindSafe(player.play(&due))
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_| player.give_up(&due, player.clock.now()));
                schedule::proceed(player, next);
            }
            Ok(())
        })
    });
    let scenario = Scenario::new("open load").register_transaction(Transaction::new(work));
    // One shared client, which nobody uses. Not verifying certificates spares it reading the system's, which a
    // minimal image does not have.
    let client = GooseClientBuilder::new().without_cookies().accept_invalid_certs(true);
    let attack = GooseAttack::initialize_with_config(configuration(workers))?
        .set_client_builder_without_cookies(client)?
        .register_scenario(scenario);
    Box::pin(attack.execute()).await?; // 20 kB of future
    Ok(())
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
        assert_eq!(workers_for(&closed), 700, "a user needs one worker at most");
        for (case, rates, steps, want) in [
            ("nothing still gets a few", &[0][..], 1, 64),
            ("the peak counts, not the mean", &[10, 500, 10], 1, 1_000),
            ("every step counts", &[100], 4, 800),
            ("there is an end", &[1_000_000], 1, 20_000),
        ] {
            assert_eq!(workers_for(&plan(rates, steps)), want, "{case}");
        }
    }
}
