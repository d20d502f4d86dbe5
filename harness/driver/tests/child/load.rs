//! The driver against real sockets: what it sends, what it sees, and what it says about it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::common::{Server, begin, collect, drive, orders, plan, step};
use clock::Clock;
use driver::{Door, Drivers, Report, Update};
use record::{Cause, Hops};
use scenarios::Arrivals;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use units::{Distribution, Nanos, Purpose, RequestId};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_arrival_is_sent_once_when_it_is_due_from_its_own_address() {
    let clock = Clock::start();
    let server = Server::start(&clock, [127, 77, 200, 1]).await;
    let plan = plan(vec![step("GET", "/ok"), step("POST", "/status/201")], 40, 400, 1_500);
    let (mut driver, load_start) = begin(&clock, &orders(&clock, plan.clone(), 1), &[server.addr]).await;
    let (observations, summary) = collect(&mut driver).await;

    let arrivals: BTreeMap<u64, _> = Arrivals::new(&plan).map(|arrival| (arrival.number, arrival)).collect();
    assert!(arrivals.len() > 400);
    assert_eq!((summary.arrivals, summary.not_sent), (arrivals.len() as u64, 0));
    let told: BTreeSet<_> = observations.iter().map(|o| (o.arrival, o.step.0)).collect();
    let wanted: BTreeSet<_> = arrivals.keys().flat_map(|&number| [(number, 0), (number, 1)]).collect();
    assert_eq!(told, wanted);
    assert_eq!(observations.len(), wanted.len(), "exactly once");

    let seen = server.seen();
    assert_eq!(seen.len(), wanted.len());
    for o in &observations {
        let arrival = arrivals[&o.arrival];
        let id = RequestId::of_step(o.arrival, u32::from(o.step.0)).to_string();
        let [request] = seen[&id].as_slice() else { panic!("{id} came {} times", seen[&id].len()) };
        assert_eq!((o.cause, o.pod, o.gateway_pod), (Cause::None, 7, 1));
        assert_eq!(
            o.hops,
            Hops { queue_us: 1, cpu_us: 2, wait_us: 3, limiter_us: 4, downstream_us: 5, ..Hops::default() }
        );
        assert!(o.intended <= o.sent && o.sent < o.done);
        assert_eq!(o.client, arrival.client.address);
        assert_eq!(request.peer.ip(), SocketAddr::from(([127, 77, 1, 1 + o.client as u8], 0)).ip());
        assert_eq!(request.host, "shop.example");
        if o.step.0 == 0 {
            assert_eq!(o.intended, load_start + arrival.due, "from the plan, to the nanosecond");
            assert_eq!((o.status, request.method.as_str(), request.body.len()), (200, "GET", 0));
        } else {
            assert_eq!((o.status, request.method.as_str(), request.path.as_str()), (201, "POST", "/status/201"));
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body["id"], id.as_str());
        }
    }
    // Kept alive: about one connection a client, where one a request would be a thousand.
    assert!((40..200).contains(&summary.connections), "{summary:?}");
    let mut lags: Vec<_> = observations.iter().map(record::Observation::lag).collect();
    lags.sort_unstable();
    let p90 = lags[lags.len() * 9 / 10];
    assert!(p90 < Nanos::from_millis(20), "lag p90 {p90}: tens of microseconds on an idle machine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_drivers_send_what_one_would_and_share_no_client() {
    let clock = Clock::start();
    let server = Server::start(&clock, [127, 77, 203, 1]).await;
    let plan = plan(vec![step("GET", "/ok"), step("POST", "/status/201")], 40, 300, 1_000);
    let orders = orders(&clock, plan.clone(), 4);
    let mut drivers = Drivers::spawn(drive(), &orders, 3).await.unwrap();
    drivers.update(&Update::Doors(vec![Door { pod: 1, addr: server.addr }])).await.unwrap();
    let load_start = clock.now() + Nanos::from_millis(20);
    drivers.update(&Update::Start { load_start }).await.unwrap();
    let (mut told, mut ended) = (Vec::new(), 0);
    let summary = loop {
        match drivers.next().await.unwrap().expect("a summary comes last") {
            Report::Observation(o) => {
                assert_eq!(o.cause, Cause::None);
                told.push((o.arrival, o.step.0));
            }
            Report::Pulse(pulse) => ended = ended.max(pulse.ended),
            Report::Summary(summary) => break summary,
        }
    };
    assert_eq!(drivers.next().await.unwrap(), None);
    told.sort_unstable();
    let mut wanted: Vec<_> =
        Arrivals::new(&plan).flat_map(|arrival| [(arrival.number, 0), (arrival.number, 1)]).collect();
    wanted.sort_unstable();
    assert_eq!(told, wanted, "each request of the plan, once");
    assert_eq!((summary.requests, summary.arrivals * 2), (told.len() as u64, told.len() as u64));
    assert!(ended <= summary.requests);
    // A client's connections are all at one driver, so there are no more of them than one driver would open.
    assert!((40..200).contains(&summary.connections), "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_cannot_hide_itself() {
    let clock = Clock::start();
    let server = Server::start(&clock, [127, 77, 201, 1]).await;
    let plan = plan(vec![step("GET", "/ok")], 10, 200, 2_000);
    let (mut driver, load_start) = begin(&clock, &orders(&clock, plan, 2), &[server.addr]).await;
    let (from, to) = (load_start + Nanos::from_millis(500), load_start + Nanos::from_millis(1_500));
    server.stall(from, to);
    let (observations, _) = collect(&mut driver).await;
    let within: Vec<_> = observations.iter().filter(|o| (from..to).contains(&o.sent)).collect();
    assert!(within.len() > 150, "load goes on during the stall: {}", within.len());
    for o in within {
        assert!(o.done >= to, "answered during the stall");
        let late = o.response() - (to - o.intended);
        assert!(late < Nanos::from_millis(200), "{late} more than the stall explains");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn causes_are_told_apart() {
    let clock = Clock::start();
    let server = Server::start(&clock, [127, 77, 202, 1]).await;
    // A port that was free a moment ago, on an address that nobody else uses.
    let nobody = Server::start(&clock, [127, 77, 202, 2]).await.addr;
    let closed = SocketAddr::new([127, 77, 202, 3].into(), nobody.port());
    for (index, (case, path, addr, cause, status)) in [
        ("not found", "/status/404", Some(server.addr), Cause::ClientError, 404),
        ("service error", "/status/500", Some(server.addr), Cause::ServerError, 500),
        ("limited", "/limited", Some(server.addr), Cause::Limited, 503),
        ("no upstream", "/gateway", Some(server.addr), Cause::Gateway, 502),
        ("cut off", "/cut", Some(server.addr), Cause::Reset, 0),
        ("no answer", "/never", Some(server.addr), Cause::Timeout, 0),
        ("nobody listens", "/ok", Some(closed), Cause::Refused, 0),
        ("no gateway pod is ready", "/ok", None, Cause::Refused, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let mut plan = plan(vec![step("GET", path), step("GET", "/ok")], 3, 100, 200);
        plan.timeout = Nanos::from_millis(300);
        let doors: Vec<_> = addr.into_iter().collect();
        let (mut driver, _) = begin(&clock, &orders(&clock, plan, 10 + index as u8), &doors).await;
        let (observations, summary) = collect(&mut driver).await;
        assert!(summary.arrivals > 5, "{case}");
        assert_eq!(summary.arrivals, summary.requests, "{case}: who fails does not go on");
        for o in observations {
            assert_eq!((o.cause, o.status), (cause, status), "{case}");
            if cause == Cause::Timeout {
                let service = o.service();
                assert!((Nanos::from_millis(300)..Nanos::from_millis(600)).contains(&service), "{case}: {service}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_worker_in_time_counts_as_not_sent() {
    let clock = Clock::start();
    let server = Server::start(&clock, [127, 77, 203, 1]).await;
    let mut plan = plan(vec![step("GET", "/never")], 4, 100, 600);
    plan.timeout = Nanos::from_millis(250);
    let mut orders = orders(&clock, plan.clone(), 20);
    orders.workers = Some(2);
    let (mut driver, _) = begin(&clock, &orders, &[server.addr]).await;
    let (observations, summary) = collect(&mut driver).await;
    assert_eq!(observations.len(), Arrivals::new(&plan).count());
    let (given_up, sent): (Vec<record::Observation>, Vec<_>) =
        observations.iter().copied().partition(|o| o.cause == Cause::NotSent);
    assert_eq!(summary.not_sent, given_up.len() as u64);
    assert_eq!(summary.busy_max, 2);
    assert!(given_up.len() > sent.len() && !sent.is_empty(), "{} {}", given_up.len(), sent.len());
    for o in given_up {
        assert_eq!(o.sent, o.done);
        assert!((Nanos::from_millis(250)..Nanos::from_millis(500)).contains(&o.response()), "{}", o.response());
    }
    assert!(sent.iter().all(|o| o.cause == Cause::Timeout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thinking_user_holds_no_worker() {
    let clock = Clock::start();
    let server = Server::start(&clock, [127, 77, 204, 1]).await;
    let mut second = step("GET", "/ok");
    second.think = Distribution::Exponential(Nanos::from_millis(300));
    let plan = plan(vec![step("GET", "/ok"), second.clone()], 4, 200, 500);
    let mut orders = orders(&clock, plan.clone(), 21);
    orders.workers = Some(4); // about 60 users think at once
    let (mut driver, _) = begin(&clock, &orders, &[server.addr]).await;
    let (observations, _) = collect(&mut driver).await;
    assert_eq!(observations.len(), 2 * Arrivals::new(&plan).count());
    let firsts: BTreeMap<_, _> = observations.iter().filter(|o| o.step.0 == 0).map(|o| (o.arrival, o.done)).collect();
    for o in observations.iter().filter(|o| o.step.0 == 1) {
        let think = second.think.sample(plan.seed.draw(RequestId::of_step(o.arrival, 1), Purpose::Think));
        assert_eq!(o.intended, firsts[&o.arrival] + think);
        assert!(o.sent >= o.intended);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_drawn_among_the_doors_that_are_open_now() {
    let clock = Clock::start();
    let (one, two) = (Server::start(&clock, [127, 77, 205, 1]).await, Server::start(&clock, [127, 77, 205, 2]).await);
    let plan = plan(vec![step("GET", "/ok")], 200, 300, 1_000);
    let (mut driver, _) = begin(&clock, &orders(&clock, plan.clone(), 22), &[one.addr, two.addr]).await;
    let (observations, _) = collect(&mut driver).await;
    // The first request of a client opens its connection, and so draws the door.
    let mut first: BTreeMap<u32, _> = BTreeMap::new();
    for o in &observations {
        first
            .entry(o.client)
            .and_modify(|f: &mut &record::Observation| *f = if o.sent < f.sent { o } else { f })
            .or_insert(o);
    }
    for o in first.values() {
        let drawn = plan.seed.draw(RequestId::of_step(o.arrival, 0), Purpose::Endpoint).below(2);
        assert_eq!(usize::from(o.gateway_pod), drawn + 1);
    }
    let second = first.values().filter(|o| o.gateway_pod == 2).count();
    assert!((40..160).contains(&second), "{second} of {}", first.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_server_closed_is_not_used_again() {
    let clock = Clock::start();
    for (index, (case, head)) in [
        ("closed as announced", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        ("closed without a word", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ]
    .into_iter()
    .enumerate()
    {
        let listener = tokio::net::TcpListener::bind("127.77.206.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                }
                stream.write_all(head.as_bytes()).await.unwrap();
            }
        });
        let mut plan = plan(vec![step("GET", "/ok")], 1, 40, 500);
        plan.streams[0].law = scenarios::ArrivalLaw::Even; // 25 ms apart: the end has long arrived by then
        let (mut driver, _) = begin(&clock, &orders(&clock, plan, 23 + index as u8), &[addr]).await;
        let (observations, summary) = collect(&mut driver).await;
        assert!(observations.iter().all(record::Observation::ok), "{case}: {observations:?}");
        assert_eq!((summary.requests, summary.connections), (20, 20), "{case}");
    }
}
