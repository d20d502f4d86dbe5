//! What the driver says against what the server knows: stalls, streams, and users of closed load; by our own sender and
//! by goose's.

use std::collections::BTreeMap;

use crate::common::{Server, begin, collect, orders, plan, step};
use clock::Clock;
use driver::Sender;
use record::{Cause, Observation};
use scenarios::{ArrivalLaw, Crowd, Headcount, Share};
use units::{Distribution, Nanos};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn percentiles_are_those_of_the_servers_own_stall() {
    let clock = Clock::start();
    for (index, sender) in [Sender::Hyper, Sender::Goose].into_iter().enumerate() {
        let server = Server::start(&clock, [127, 77, 208, 1 + index as u8]).await;
        // Sessions of two requests, and a stall in a tenth of the time, as in `examples/stall.rs`. A second request
        // waits for the first one's answer, so only the first ones are due whatever the server does.
        let mut again = step("GET", "/ok");
        (again.name, again.think) = ("again".to_owned(), Distribution::Constant(Nanos::from_millis(10)));
        let mut plan = plan(vec![step("GET", "/ok"), again], 50, 200, 4_000);
        plan.streams[0].law = ArrivalLaw::Even;
        let mut orders = orders(&clock, plan, 40 + index as u8);
        orders.sender = sender;
        let (mut driver, load_start) = begin(&clock, &orders, &[server.addr]).await;
        let (from, to) = (load_start + Nanos::from_millis(1_500), load_start + Nanos::from_millis(1_900));
        server.stall(from, to);
        let (observations, _) = collect(&mut driver).await;
        assert!(observations.iter().all(Observation::ok) && observations.len() == 1_600, "{sender:?}");
        let observations: Vec<Observation> = observations.into_iter().filter(|o| o.step.0 == 0).collect();

        let stalled = |o: &&Observation| (from..to).contains(&o.intended);
        let left = |o: &Observation| if stalled(&o) { to - o.intended } else { Nanos::ZERO };
        assert!(observations.iter().filter(stalled).all(|o| o.response() >= left(o)), "{sender:?}: before it was sent");
        let p95 = |mut values: Vec<Nanos>| {
            values.sort_unstable();
            values[values.len() * 95 / 100]
        };
        let truth = p95(observations.iter().map(left).collect());
        // How quick this machine is just now: by the requests that met no stall, and by how long those that did took
        // to be answered once it was over.
        let usual = p95(observations.iter().filter(|o| !stalled(o)).map(Observation::response).collect());
        let usual = usual.max(p95(observations.iter().filter(stalled).map(|o| o.done - to).collect()));
        let seen = p95(observations.iter().map(Observation::response).collect());
        assert!(truth > Nanos::from_millis(150), "half of the stalled ones wait longer: {truth}");
        assert!((truth..=truth + usual + truth / 100).contains(&seen), "{sender:?}: {seen}, truth {truth} + {usual}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_timed_to_its_first_event_and_between_events() {
    let clock = Clock::start();
    let server = Server::start(&clock, [127, 77, 209, 1]).await;
    for (index, sender) in [Sender::Hyper, Sender::Goose].into_iter().enumerate() {
        let plan = plan(vec![step("POST", "/stream"), step("GET", "/ok")], 10, 20, 500);
        let mut orders = orders(&clock, plan, 44 + index as u8);
        orders.sender = sender;
        let (mut driver, _) = begin(&clock, &orders, &[server.addr]).await;
        let (observations, _) = collect(&mut driver).await;
        assert!(observations.len() > 5);
        let us = |ms: u64| (ms * 1_000) as u32;
        for o in observations {
            assert_eq!(o.cause, Cause::None);
            let service = o.service().as_micros() as u32;
            if o.step.0 == 0 {
                assert!((us(40)..service - us(100)).contains(&o.first_byte_us), "{sender:?}: {o:?}");
                // The server sleeps that long between two events; how long the reader does, only it knows.
                assert!(o.gap_us > us(80) && o.gap_us < service, "{sender:?}: {o:?}");
            } else {
                assert!(o.first_byte_us > 0 && o.first_byte_us <= service && o.gap_us == 0, "{sender:?}: {o:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_closed_load_is_one_worker_that_waits_for_its_answer_and_thinks() {
    let clock = Clock::start();
    let server = Server::start(&clock, [127, 77, 207, 1]).await;
    let mut second = step("GET", "/ok");
    second.think = Distribution::Constant(Nanos::from_millis(30));
    let mut plan = plan(vec![step("GET", "/ok"), second], 6, 1, 1_000);
    plan.streams.clear();
    plan.crowds.push(Crowd {
        mix: vec![Share { journey: 0, weight: 1 }],
        users: vec![Headcount { duration: Nanos::from_secs(1), from: 6, to: 6 }],
        rest: Distribution::Constant(Nanos::from_millis(50)),
        first_client: 0,
        clients: 6,
        retry: None,
    });
    let (mut driver, load_start) = begin(&clock, &orders(&clock, plan, 46), &[server.addr]).await;
    let (observations, summary) = collect(&mut driver).await;
    assert_eq!((summary.arrivals, summary.busy_max, summary.starved), (6, 0, 0), "users are no workers of open load");
    let mut users: BTreeMap<u32, Vec<Observation>> = BTreeMap::new();
    for o in observations {
        users.entry(o.client).or_default().push(o);
    }
    assert_eq!(users.len(), 6);
    for requests in users.values_mut() {
        requests.sort_unstable_by_key(|o| o.intended);
        assert!(requests.len() > 5, "one request after the other, for a second");
        for pair in requests.windows(2) {
            let pause = Nanos::from_millis(if pair[1].step.0 == 0 { 50 } else { 30 });
            assert_eq!(pair[1].intended, pair[0].done + pause, "the next is due after answer and thought");
        }
        assert!(requests.last().unwrap().intended < load_start + Nanos::from_secs(2));
    }
}
