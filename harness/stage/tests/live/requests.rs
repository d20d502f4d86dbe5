//! Single requests through a platform that stands without load.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::TcpListener;

use crate::common::{HOST, api, ask, at_once, pause, plan, pods_of, scenario};
use platform::Template;
use record::{Deaf, EventKind, Hops, wire};
use stage::Standing;
use tokio::net::TcpStream;
use units::{Nanos, RequestId};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_cross_the_gateway_and_the_services_behind_it() {
    let mut deaf = Deaf;
    let mut standing = Standing::begin(plan(&scenario(20), 1, |_| {}), &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    let id = format!("{}: {}\r\n", wire::REQUEST, RequestId::of_step(7, 0));

    let token = api(&mut standing, 0, "POST /auth/token", &format!("{id}content-length: 2\r\n\r\n{{}}")).await;
    assert_eq!(token.status, 200, "{token:?}");
    let hops = Hops::from_header(token.header(wire::HOPS).unwrap()).unwrap();
    assert!(hops.cpu_us > 5_000 && hops.wait_us > 500 && hops.limiter_us == 0, "{hops:?}");
    let number: u32 = token.header(wire::POD).unwrap().parse().unwrap();
    assert!(pods_of(&standing, "auth-service").iter().any(|pod| pod.id.0 + 1 == number));
    assert_eq!((token.header("x-frame-options"), token.header(wire::CAUSE)), (Some("DENY"), None));
    assert_eq!(token.body.len(), 680);

    // user-profile-service calls auth-service: both services' time is in the header.
    let verify = pods_of(&standing, "auth-service").iter().map(|pod| pod.cpu).sum::<Nanos>();
    let profile = api(&mut standing, 0, "GET /users/me", &id).await;
    assert_eq!((profile.status, profile.body.len()), (200, 1_024));
    let verified = pods_of(&standing, "auth-service").iter().map(|pod| pod.cpu).sum::<Nanos>();
    assert!(verified > verify, "auth-service was asked");
    let again = api(&mut standing, 1, "GET /users/me", &id).await;
    assert_eq!(again.body, profile.body, "the same request gets the same answer");
    assert_eq!(again.header(wire::POD), profile.header(wire::POD), "from the same pod");

    let root = api(&mut standing, 0, "GET /", "").await;
    assert_eq!((root.status, root.body.as_str()), (200, "SelfMonitor API\n"));
    let head = api(&mut standing, 0, "HEAD /", "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.as_str()), (200, Some("16"), ""));
    for (case, line, more, want) in [
        ("a path that no service has", "GET /auth/nothing", String::new(), 404),
        ("a path that no location has", "GET /nothing", String::new(), 404),
        ("a body beyond client_max_body_size", "POST /auth/token", "content-length: 9000000\r\n\r\n".into(), 413),
        (
            "a body just within",
            "POST /auth/token",
            format!("content-length: 1000000\r\n\r\n{}", " ".repeat(1_000_000)),
            200,
        ),
    ] {
        let answer = api(&mut standing, 2, line, &more).await;
        assert_eq!(answer.status, want, "{case}: {answer:?}");
    }
    let (from, to) = (standing.client(0), standing.doors()[0].addr);
    let stranger = standing.during(ask(from, to, "GET /users/me", "host: elsewhere.example\r\n")).await.unwrap();
    assert_eq!(stranger.unwrap().status, 404, "another host gets the default server, which has no such path");
    assert_eq!(standing.pods().iter().map(|pod| pod.label).collect::<BTreeSet<_>>().len(), standing.pods().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limiter_refuses_what_comes_after_the_burst() {
    let mut deaf = Deaf;
    let plan = plan(&scenario(20), 2, |platform| {
        // One request in 1,000 s and a burst of 3: the test cannot be too slow for it.
        let config = &mut platform.gateway.as_mut().unwrap().config;
        config.zones.iter_mut().for_each(|zone| zone.rate = units::Rate::from_milli(1));
        let locations = config.servers.iter_mut().flat_map(|server| &mut server.locations);
        locations.flat_map(|location| &mut location.limits).for_each(|limit| limit.burst = 3);
        platform.workloads.iter_mut().filter(|w| w.name.contains("gateway")).for_each(|w| w.replicas = Some(1));
        platform.autoscalers.clear();
    });
    let mut standing = Standing::begin(plan, &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let answer = api(&mut standing, 0, "GET /users/me", "").await;
        seen.push((answer.status, answer.header(wire::CAUSE).map(str::to_owned)));
    }
    let fine = (200, None);
    let refused = (503, Some(wire::LIMITED.to_owned()));
    assert_eq!(seen, [fine.clone(), fine.clone(), fine.clone(), fine.clone(), refused], "burst + 1, then no more");
    assert_eq!(api(&mut standing, 1, "GET /users/me", "").await.status, 200, "another address has its own account");
}

/// A Service chooses an endpoint for a connection, not for a request: what keeps connections keeps to pods.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_stays_with_its_pod() {
    let pods_that_answer = async |keepalive: u32| {
        let mut deaf = Deaf;
        let plan = plan(&scenario(20), 4, |platform| {
            platform.autoscalers.clear();
            platform.workloads.iter_mut().filter(|w| w.name.contains("gateway")).for_each(|w| w.replicas = Some(1));
            let config = &mut platform.gateway.as_mut().unwrap().config;
            config.upstreams.iter_mut().for_each(|upstream| upstream.keepalive = keepalive);
            for location in config.servers.iter_mut().flat_map(|server| &mut server.locations) {
                location.http11 = true;
                location.set_headers.retain(|(name, _)| !name.eq_ignore_ascii_case("connection"));
                location.set_headers.push(("Connection".to_owned(), Template::default()));
            }
        });
        let mut standing = Standing::begin(plan, &at_once(), &mut deaf).unwrap();
        standing.ready().await.unwrap();
        let mut pods = BTreeSet::new();
        for nth in 0..12 {
            let id = format!("{}: {}\r\ncontent-length: 2\r\n\r\n{{}}", wire::REQUEST, RequestId::of_step(nth, 0));
            let answer = api(&mut standing, nth as u32, "POST /auth/token", &id).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            pods.insert(answer.header(wire::POD).unwrap().to_owned());
        }
        pods
    };
    assert_eq!(pods_that_answer(8).await.len(), 1, "one connection is enough for one request at a time");
    assert!(pods_that_answer(0).await.len() > 2, "each request has a connection of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_endpoint_the_gateway_answers_for_the_service() {
    let mut deaf = Deaf;
    let plan = plan(&scenario(20), 3, |platform| {
        platform.autoscalers.clear();
        platform.workloads.iter_mut().filter(|w| w.name == "auth-service").for_each(|w| w.replicas = Some(0));
    });
    let mut standing = Standing::begin(plan, &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    let answer = api(&mut standing, 0, "POST /auth/token", "").await;
    assert_eq!((answer.status, answer.header(wire::CAUSE)), (502, Some(wire::GATEWAY)));
    let answer = api(&mut standing, 0, "GET /users/me", "").await;
    assert_eq!((answer.status, answer.header(wire::CAUSE)), (500, None), "a service that cannot reach another one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_pod_refuses_until_it_is_started_again_on_its_own_port() {
    let mut deaf = Deaf;
    let mut standing = Standing::begin(plan(&scenario(20), 4, |_| {}), &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    let victim = pods_of(&standing, "auth-service").remove(0);
    let from = standing.client(0);
    let more = format!("host: {HOST}\r\n");
    let mut idle = TcpStream::connect(victim.address).await.unwrap();
    standing.crash(victim.id, "OOMKilled").unwrap();
    let refused = ask(from, victim.address, "GET /auth/verify", &more).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let reset = tokio::io::AsyncReadExt::read(&mut idle, &mut [0]).await.unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    let restarted = async {
        loop {
            if let Ok(answer) = ask(from, victim.address, "GET /auth/verify", &more).await {
                return answer;
            }
            pause().await;
        }
    };
    assert_eq!(standing.during(restarted).await.unwrap().status, 401, "it answers, and knows no token");
    let substituted =
        |kind: &EventKind| matches!(kind, EventKind::Substituted { what, .. } if what.contains(&victim.name));
    let told: Vec<_> = standing.chronicle().events().iter().filter(|event| substituted(&event.kind)).collect();
    assert!(told.is_empty(), "its port was free at once: {told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_somebody_holds_on_every_address_is_substituted() {
    const TAKEN: u16 = 18_437;
    let _holder = TcpListener::bind(("0.0.0.0", TAKEN)).unwrap();
    let mut deaf = Deaf;
    let plan = plan(&scenario(20), 5, |platform| {
        let auth = platform.workloads.iter_mut().find(|w| w.name == "auth-service").unwrap();
        auth.containers[0].ports[0].port = TAKEN;
    });
    let mut standing = Standing::begin(plan, &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    let told = |kind: &EventKind| match kind {
        EventKind::Substituted { what, by } if what.contains("auth-service") => Some((what.clone(), by.clone())),
        _ => None,
    };
    let (what, by) = standing.chronicle().events().iter().find_map(|event| told(&event.kind)).unwrap();
    assert!(what.starts_with("port 18437 of auth-service") && by.contains("another process"), "{what}: {by}");
    assert_eq!(api(&mut standing, 0, "POST /auth/token", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stages_at_once_share_no_address() {
    let (mut deaf, mut other) = (Deaf, Deaf);
    let stand = |seed, deaf| Standing::begin(plan(&scenario(20), seed, |_| {}), &at_once(), deaf).unwrap();
    let (mut one, mut two) = (stand(6, &mut deaf), stand(7, &mut other));
    one.ready().await.unwrap();
    two.ready().await.unwrap();
    let addresses = |standing: &Standing<'_>| standing.pods().iter().map(|p| p.address.ip()).collect::<BTreeSet<_>>();
    assert!(addresses(&one).is_disjoint(&addresses(&two)));
    assert_eq!(api(&mut one, 0, "GET /users/me", "").await.status, 200);
    let gone = two.pods().remove(0).address;
    drop(two);
    let refused = TcpStream::connect(gone).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "nothing listens after a stage is dropped");
    assert_eq!(api(&mut one, 0, "GET /users/me", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cpu_that_is_accounted_is_the_demand_that_was_served() {
    let mut deaf = Deaf;
    let plan = plan(&scenario(20), 8, |platform| {
        // Health checks are work, too: without them every microsecond is a request's.
        for container in platform.workloads.iter_mut().flat_map(|workload| &mut workload.containers) {
            (container.startup, container.readiness, container.liveness) = (None, None, None);
        }
    });
    let mut standing = Standing::begin(plan, &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    let mut served = 0;
    for arrival in 0..20 {
        for (step, line) in ["POST /auth/token", "GET /users/me", "POST /transactions/"].iter().enumerate() {
            let id = RequestId::of_step(arrival, step as u32);
            let answer = api(&mut standing, arrival as u32, line, &format!("{}: {id}\r\n", wire::REQUEST)).await;
            assert_eq!(answer.status, 200);
            let hops = Hops::from_header(answer.header(wire::HOPS).unwrap()).unwrap();
            served += u64::from(hops.cpu_us + hops.downstream_cpu_us);
        }
    }
    let services = standing.pods().into_iter().filter(|pod| !pod.workload.contains("gateway"));
    let accounted = services.map(|pod| pod.cpu).sum::<Nanos>().as_micros();
    // Headers carry whole microseconds: each of 100 parts may have lost one.
    assert!((served..=served + 100).contains(&accounted), "{accounted} µs accounted, {served} µs served");
}
