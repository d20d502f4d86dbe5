//! The nginx.conf that the platform ships: who answers with which status and headers at each documented location.

use std::net::Ipv4Addr;

use gateway::{Answer, Ask, Broken, Choice, Exchange, Reply, ReplyFrom, Request, Routed, Upstreams, Zones};
use platform::GatewayConfig;
use units::Nanos;

use crate::child::{ADDRESS, CLIENT, DECISIONS, Nginx, lease, usable};
use crate::decisions::{Decision, replay, told};
use crate::traffic::{Response, connect, exchange, get, upstream};

const API: &str = "api.selfmonitor.app";

/// The shipped file on a port of ours, before our upstream, telling its decisions in its own folder.
fn text(port: u16, upstream: u16) -> String {
    let text = include_str!("../../../../kind-config/platform/base/nginx-gateway/nginx.conf")
        .replace("/tmp/", "")
        .replace("include /etc/nginx/mime.types;", "")
        .replace("error_log /dev/stderr warn;", &format!("error_log debug.log {DECISIONS};"))
        .replace("access_log /dev/stdout;", "access_log off;")
        .replace("listen 80", &format!("listen {ADDRESS}:{port}"));
    let to_ours = |line: &str| match line.trim_start().strip_prefix("server ").and_then(|rest| rest.split_once(":80 "))
    {
        Some((_, parameters)) => format!("server {ADDRESS}:{upstream} {parameters}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(to_ours).collect()
}

/// Drives one exchange as the live gateway does, with the upstream's answer and, for a limited location, nginx's clock.
fn ours(config: &GatewayConfig, zones: &Zones, port: u16, host: &str, target: &str, at: Nanos) -> Reply {
    let routed = gateway::route(config, port, host, target);
    let mut exchange = Exchange::new(routed);
    let upstreams = Upstreams::new(config);
    let mut ask = exchange.begin(config);
    loop {
        let answer = match ask {
            Ask::Offer(id) => {
                Answer::Offered(zones.offer(&config.location(id).limits, gateway::Key::of(CLIENT.into()), || at))
            }
            Ask::Pick(id) => Answer::Picked(upstreams.pick(id, &Choice { tried: exchange.tried(), ..Choice::at(at) })),
            Ask::Hold(_) => Answer::Held(true),
            Ask::Free(peer, failed) => {
                upstreams.free(peer, failed, at);
                Answer::Freed
            }
            Ask::Until(_) => Answer::Waited,
            Ask::Send(_) if target.contains("reset") => Answer::Broken(Broken::Reset),
            Ask::Send(_) => Answer::Replied(if target.contains("fail") { 500 } else { 200 }),
            Ask::Reply(reply) => return reply,
        };
        ask = exchange.proceed(config, at, answer);
    }
}

/// The security headers that are to be added to an answer of `status`, by a location or by none; `None` where no request
/// was understood.
fn headers(config: &GatewayConfig, port: u16, host: &str, target: &str, status: u16) -> Option<Vec<(String, String)>> {
    let resolved = gateway::resolve(config, &Request::new(port, host, target));
    if resolved.routed == Routed::Malformed {
        return None;
    }
    let in_force = config.in_force(resolved.server, resolved.location())?;
    Some(in_force.added_headers(status).cloned().collect())
}

fn has(response: &Response, headers: &[(String, String)], case: &str) {
    for (name, value) in headers {
        assert_eq!(response.header(name), Some(value.as_str()), "{name}: {case}: {response:?}");
    }
}

#[tokio::test]
async fn every_documented_location_answers_alike() {
    if !usable("every_documented_location_answers_alike") {
        return;
    }
    let port = lease();
    let text = text(port, upstream().await);
    let config = manifests::nginx::parse(&text, "nginx.conf").unwrap().config;
    let _nginx = Nginx::start_with(&text, port);
    let zones = Zones::new(&config);
    let mut at = Nanos::from_secs(100);
    for (case, host, target) in [
        ("health by its name", "localhost", "/health"),
        ("health by the pod's address", "10.1.2.3", "/health"),
        ("everything below health", "localhost", "/healthz/x?y"),
        ("counters", "localhost", "/nginx_status"),
        ("nothing on the health server", "localhost", "/auth/token"),
        ("nothing at its root", "localhost", "/"),
        ("the API's root", API, "/"),
        ("the API's root with a query", API, "/?a=/auth/"),
        ("auth", API, "/auth/token"),
        ("auth in another spelling", API, "/users/..//%61uth/token"),
        ("auth without its slash", API, "/auth"),
        ("users", API, "/users/me"),
        ("users without its slash", API, "/users?x"),
        ("transactions", API, "/transactions/?page=2"),
        ("an upstream's own error", API, "/transactions/fail"),
        ("an upstream that hangs up", API, "/transactions/reset"),
        ("and again: one server is never marked as failed", API, "/transactions/reset"),
        ("a third time, which is max_fails", API, "/transactions/reset"),
        ("so it is asked still", API, "/transactions/fine"),
        ("a location by its prefix", API, "/banking/x"),
        ("no documented location", API, "/nothing/x"),
        ("health on the API's host", API, "/health"),
        ("above the root", API, "/../etc"),
        ("the API's host with a port", "API.selfmonitor.app:80", "/users/me"),
    ] {
        // Far enough apart for every bucket to be empty: limits are compared below.
        at += Nanos::from_secs(60);
        let response = exchange(&mut connect(CLIENT, port).await, &get(host, target)).await;
        let reply = ours(&config, &zones, port, host, target, at);
        assert_eq!(reply.status, response.status, "{case}: {reply:?} {response:?}");
        // Only our upstream answers with the target it saw; nginx's own pages name nginx.
        let from_upstream = response.body == target;
        assert_eq!(reply.from == ReplyFrom::Upstream, from_upstream, "{case}: {reply:?} {response:?}");
        if let Some(headers) = headers(&config, port, host, target, response.status) {
            assert!(headers.len() >= 3, "{case}: the file adds security headers");
            has(&response, &headers, case);
        }
    }
}

#[tokio::test]
async fn limited_locations_refuse_alike() {
    if !usable("limited_locations_refuse_alike") {
        return;
    }
    let port = lease();
    let text = text(port, upstream().await);
    let config = manifests::nginx::parse(&text, "nginx.conf").unwrap().config;
    let nginx = Nginx::start_with(&text, port);
    let client = |of: u32| Ipv4Addr::from_bits(Ipv4Addr::new(127, 91, 0, 1).to_bits() + of);
    let mut statuses = [0_usize; 2];
    for (of, path) in ["/auth/", "/users/", "/transactions/", "/users/"].into_iter().enumerate() {
        // The last two share an address, and thereby the zone `api` with two bursts.
        let of = of.min(2) as u32;
        for nth in 0..60 {
            let target = format!("{path}x?n={nth}&c={of}");
            let response = exchange(&mut connect(client(of), port).await, &get(API, &target)).await;
            let Some(headers) = headers(&config, port, API, &target, response.status) else {
                panic!("{target} has a location")
            };
            has(&response, &headers, &target);
            assert!([200, 503].contains(&response.status), "{response:?}");
            assert_eq!(response.status == 200, response.body == target, "{response:?}");
            statuses[usize::from(response.status == 503)] += 1;
        }
    }
    let decisions = told(&nginx, 240, |_| true).await;
    let zones = Zones::new(&config);
    let locate = |decision: &Decision| match gateway::route(&config, port, API, &decision.target) {
        Routed::To(id) => (client(decision.number("c")), config.location(id).clone()),
        other => panic!("{decision:?} went to {other:?}"),
    };
    let [now, after, refused] = replay(&config, &zones, &decisions, locate);
    println!("shipped: {} decisions, {now} passed, {refused} refused", decisions.len());
    assert_eq!([now, refused], statuses, "as the clients saw it");
    assert_eq!(after, 0, "every limit of the file is nodelay");
    assert!(refused > 60, "{statuses:?}");
}
