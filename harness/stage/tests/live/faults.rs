//! Faults on a platform that stands: what a client sees of each, and that it is over when it is over.

#![expect(clippy::unwrap_used, reason = "a helper of tests: what fails there fails them")]

use std::io::ErrorKind;
use std::sync::Arc;

use crate::common::{Answer, HOST, api, ask, at_once, pause, plan, pods_of, scenario};
use record::{Deaf, EventKind, token, wire};
use scenarios::{OnTheWay, Party, Plan, Verdict};
use stage::{Standing, StandingPod};
use tokio::net::TcpStream;
use units::{Nanos, RequestId, Seed};

/// The short scenario with disturbances from the start of load on, and one partition and one loss for each node.
fn disturbed(seed: u64) -> Arc<Plan> {
    let nodes = manifests::load_nodes(None).unwrap();
    let mut text = scenario(20) + "  faults:\n";
    for fault in [
        "{name: late, at: 0s, latency: {from: user-profile-service, to: auth-service, add: 60ms}}",
        "{name: failing, at: 0s, errors: {from: gateway, to: transactions-service, share: 100 %, status: 503}}",
        "{name: hole, at: 0s, blackhole: {from: gateway, to: analytics-service}}",
        "{name: kill, at: 0s, podKill: {workload: auth-service, pods: 1, forced: true}}",
        "{name: redis, at: 0s, lasts: 5s, redisLoss: {}}",
    ] {
        text += &format!("    - {fault}\n");
    }
    for node in &nodes {
        text += &format!("    - {{name: cut {0}, at: 1s, lasts: 5s, partition: {{node: {0}}}}}\n", node.name);
        text += &format!("    - {{name: lose {0}, at: 7s, lasts: 1s, nodeLoss: {{node: {0}}}}}\n", node.name);
    }
    plan(&text, seed, |platform| {
        // A gateway that gives up soon, so that the test need not wait.
        let config = &mut platform.gateway.as_mut().unwrap().config;
        for location in config.servers.iter_mut().flat_map(|server| &mut server.locations) {
            location.connect_timeout = Nanos::from_millis(300);
            location.read_timeout = Nanos::from_millis(2_000);
        }
        // One pod each: whoever is hit is the one who answers. No autoscaler brings another.
        platform.autoscalers.clear();
        let few = ["auth-service", "analytics-service", "user-profile-service", "transactions-service"];
        platform.workloads.iter_mut().filter(|w| few.contains(&w.name.as_str())).for_each(|w| w.replicas = Some(1));
        platform.budgets.clear();
    })
}

fn status(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header(wire::CAUSE))
}

fn only(standing: &Standing<'_>, workload: &str) -> StandingPod {
    let mut pods = pods_of(standing, workload);
    assert_eq!(pods.len(), 1, "{workload}");
    pods.remove(0)
}

/// Asks until the answer has this status, and says what came instead.
async fn until(standing: &mut Standing<'_>, line: &str, want: u16) {
    for _ in 0..2_000 {
        if api(standing, 1, line, "").await.status == want {
            return;
        }
        standing.during(pause()).await.unwrap();
    }
    panic!("{line} never came to {want}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_disturbs_the_network_disturbs_real_requests() {
    let mut deaf = Deaf;
    let mut standing = Standing::begin(disturbed(11), &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    let id = format!("{}: {}\r\n", wire::REQUEST, RequestId::of_step(7, 0));
    assert_eq!(api(&mut standing, 0, "POST /transactions/", &id).await.status, 200, "before load nothing is disturbed");
    let calm = api(&mut standing, 0, "GET /users/me", &id).await;
    let verified = only(&standing, "transactions-service").cpu;
    standing.load_starts();
    let answer = api(&mut standing, 0, "POST /transactions/", &id).await;
    assert_eq!(status(&answer), (503, None), "somebody in between answers");
    assert_eq!(only(&standing, "transactions-service").cpu, verified, "and the service never sees it");
    assert_eq!(status(&api(&mut standing, 0, "GET /analytics/dashboard", "").await), (504, Some(wire::GATEWAY)));
    let began = standing.now();
    let late = api(&mut standing, 0, "GET /users/me", &id).await;
    assert!(late.status == 200 && standing.now() - began >= Nanos::from_millis(60), "{late:?}");
    assert_eq!(late.body, calm.body, "the same answer, later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_cut_and_lost_packets_come_later() {
    let faults = "  faults:
    - {name: lossy, at: 0s, packetLoss: {from: gateway, to: transactions-service, share: 60 %}}
    - {name: cut, at: 0s, reset: {from: gateway, to: auth-service, share: 100 %}}
    - {name: cutting, at: 0s, reset: {from: clients, to: gateway, share: 30 %}}\n";
    let mut deaf = Deaf;
    let plan = plan(&(scenario(20) + faults), 14, |_| {});
    let network = scenarios::Network::new(&plan.faults);
    let party = |name| Party::Workload(plan.platform.workload_named(name).unwrap());
    let verdict = |from, to, opens, id| {
        network.verdict(&OnTheWay { since: Nanos::ZERO, from, to, service: None, opens, id }, plan.load.seed)
    };
    let way_in = |id| verdict(Party::Clients, Party::Gateway, false, id);
    let way_on = |id: RequestId| verdict(Party::Gateway, party("transactions-service"), true, id.call(0));
    let among = |wanted: &dyn Fn(RequestId) -> bool| {
        (0..1_000).map(|n| RequestId::of_step(n, 0)).find(|id| wanted(*id)).unwrap()
    };
    let cut = among(&|id| way_in(id) == Verdict::Reset);
    let through = among(&|id| way_in(id) != Verdict::Reset);
    // Late by lost packets, and not by so much that the gateway gives up.
    let soon = Nanos::from_millis(200)..Nanos::from_secs(2);
    let late = among(&|id| {
        way_in(id) != Verdict::Reset && matches!(way_on(id), Verdict::Pass { delay } if soon.contains(&delay))
    });
    let Verdict::Pass { delay } = way_on(late) else { unreachable!("it was chosen so") };
    let mut standing = Standing::begin(Arc::clone(&plan), &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    standing.load_starts();

    let (from, to) = (standing.client(3), standing.doors()[0].addr);
    let more = format!("host: {HOST}\r\n{}: {cut}\r\n", wire::REQUEST);
    let ended = standing.during(ask(from, to, "GET /users/me", &more)).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let named = |id: RequestId| format!("{}: {id}\r\n", wire::REQUEST);
    let answer = api(&mut standing, 0, "POST /auth/token", &named(through)).await;
    assert_eq!(status(&answer), (502, Some(wire::GATEWAY)), "the gateway's own connection was cut");
    let began = standing.now();
    let answer = api(&mut standing, 0, "POST /transactions/", &named(late)).await;
    assert_eq!(answer.status, 200);
    assert!(standing.now() - began >= delay, "{} of {delay}", standing.now() - began);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_killed_cut_off_and_lost_with_their_node() {
    let mut deaf = Deaf;
    let mut standing = Standing::begin(disturbed(12), &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    let from = standing.client(9);
    let more = format!("host: {HOST}\r\n");

    // Deleted without grace: its connections are reset, nobody listens, another one takes its place.
    let victim = only(&standing, "auth-service");
    let mut idle = TcpStream::connect(victim.address).await.unwrap();
    standing.strike("kill", false).unwrap();
    let mut byte = [0];
    let reading = tokio::io::AsyncReadExt::read(&mut idle, &mut byte);
    // As a killed process's sockets end: with a reset where bytes are unread, else with the end of the stream.
    let ended = standing.during(reading).await.unwrap();
    assert!(
        ended.as_ref().is_ok_and(|read| *read == 0) || ended.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
    );
    assert_eq!(ask(from, victim.address, "GET /health", &more).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    until(&mut standing, "POST /auth/token", 200).await;
    assert_ne!(only(&standing, "auth-service").id, victim.id);

    // Cut off: it goes on and its kubelet still hears it; who asks it hears nothing until it is reached again.
    let victim = only(&standing, "auth-service");
    let node = manifests::load_nodes(None).unwrap()[victim.node.unwrap()].name.clone();
    let mut waiting = Box::pin(ask(from, victim.address, "GET /auth/verify", &more));
    standing.strike(&format!("cut {node}"), false).unwrap();
    assert_eq!(api(&mut standing, 0, "POST /auth/token", "").await.status, 504);
    let patience = tokio::time::timeout(std::time::Duration::from_millis(100), &mut waiting);
    let unheard = standing.during(patience).await.unwrap().is_err();
    standing.strike(&format!("cut {node}"), true).unwrap();
    if unheard {
        assert_eq!(standing.during(waiting).await.unwrap().unwrap().status, 401, "it arrives when the node is back");
    }
    until(&mut standing, "POST /auth/token", 200).await;
    assert_eq!(only(&standing, "auth-service").id, victim.id, "nobody replaced it");

    // Without power: silence, and a reset when the node is back and knows nothing of the connection.
    let mut idle = TcpStream::connect(victim.address).await.unwrap();
    standing.strike(&format!("lose {node}"), false).unwrap();
    let silent = tokio::time::timeout(std::time::Duration::from_millis(50), idle.readable()).await;
    assert!(silent.is_err(), "nobody says goodbye");
    assert_eq!(api(&mut standing, 0, "POST /auth/token", "").await.status, 504);
    standing.strike(&format!("lose {node}"), true).unwrap();
    let mut byte = [0];
    let reading = tokio::io::AsyncReadExt::read(&mut idle, &mut byte);
    let reset = standing.during(reading).await.unwrap().unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    until(&mut standing, "POST /auth/token", 200).await;

    let told = |what: &str| {
        standing.chronicle().events().iter().any(|event| match &event.kind {
            EventKind::FaultBegan { fault, .. } => fault.contains(what),
            _ => false,
        })
    };
    assert!(told("kill") && told("cut") && told("lose"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_cache_is_a_step_to_the_database_and_memory_has_an_end() {
    let mut deaf = Deaf;
    let plan =
        plan(&(scenario(20) + "  faults:\n    - {name: redis, at: 0s, lasts: 5s, redisLoss: {}}\n"), 13, |platform| {
            platform.autoscalers.clear();
            let fraud = platform.workloads.iter_mut().find(|w| w.name == FRAUD).unwrap();
            fraud.replicas = Some(1);
            // Room for four requests in flight.
            let profile = &model::shipped().unwrap()[FRAUD];
            let room = profile.memory.get() + 4 * profile.memory_per_request.get();
            fraud.containers[0].limits.memory = Some(units::Bytes::new(room));
        });
    let mut standing = Standing::begin(plan, &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    standing.strike("redis", false).unwrap();
    assert_eq!(api(&mut standing, 0, "POST /auth/token", "").await.status, 200, "the database is asked instead");
    let data = |standing: &Standing<'_>| {
        let events = standing.chronicle().events().iter();
        events.filter(|event| matches!(event.kind, EventKind::DataChanged { .. })).count()
    };
    assert_eq!(data(&standing), 1);
    standing.strike("redis", true).unwrap();
    while data(&standing) < 2 {
        standing.during(pause()).await.unwrap();
    }

    // More at once than it has room for: the kernel ends it, and whoever it was serving sees a broken connection.
    let pod = only(&standing, FRAUD);
    let mut asking = tokio::task::JoinSet::new();
    for index in 0..12 {
        let (from, more) = (standing.client(20 + index), format!("host: {HOST}\r\ncontent-length: 0\r\n"));
        asking.spawn(async move { ask(from, pod.address, "POST /fraud/check", &more).await });
    }
    let broken = standing.during(asking.join_all()).await.unwrap().into_iter().filter(Result::is_err).count();
    assert!(broken >= 5, "{broken} of 12");
    let killed = |kind: &EventKind| matches!(kind, EventKind::PodRestarted { pod: name, reason, .. } if *name == pod.name && reason.contains("OOMKilled"));
    while !standing.chronicle().events().iter().any(|event| killed(&event.kind)) {
        standing.during(pause()).await.unwrap();
    }
    while ask(from_of(&standing), pod.address, "GET /health", "host: x\r\n").await.is_err() {
        standing.during(pause()).await.unwrap();
    }
}

const FRAUD: &str = "fraud-detection-service";

fn from_of(standing: &Standing<'_>) -> std::net::Ipv4Addr {
    standing.client(40)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_records_are_the_same_in_every_pod() {
    let mut deaf = Deaf;
    let mut standing = Standing::begin(plan(&scenario(20), 14, |_| {}), &at_once(), &mut deaf).unwrap();
    standing.ready().await.unwrap();
    let (from, to) = (standing.client(3), standing.doors()[0].addr);
    let host = format!("host: {HOST}\r\n");
    for (case, header) in
        [("none", String::new()), ("another run's", format!("authorization: {}\r\n", token::bearer(Seed::new(99), 3)))]
    {
        let answer =
            standing.during(ask(from, to, "GET /users/me", &format!("{host}{header}"))).await.unwrap().unwrap();
        assert_eq!(answer.status, 401, "{case}");
    }
    let body = r#"{"username":"ada@example.com","password":"x"}"#;
    let more = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let issued = api(&mut standing, 3, "POST /auth/token", &more).await;
    let bearer = issued.body.split("access_token\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let auth = format!("{host}authorization: Bearer {bearer}\r\n");
    let answer = standing.during(ask(from, to, "GET /users/me", &auth)).await.unwrap().unwrap();
    assert_eq!(answer.status, 200, "the token issued is the token checked");
    let body = r#"{"amount":"12.34","merchant":"Corner Shop"}"#;
    let create = format!("{auth}content-length: {}\r\n\r\n{body}", body.len());
    let created = standing.during(ask(from, to, "POST /transactions/", &create)).await.unwrap().unwrap();
    let id = created.body.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    // Whichever pod answers.
    for _ in 0..5 {
        let listed = standing.during(ask(from, to, "GET /transactions/", &auth)).await.unwrap().unwrap();
        assert!(listed.body.contains(&id) && listed.body.contains("Corner Shop"), "{}", listed.body);
    }
}
