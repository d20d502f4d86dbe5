//! `limit_req`: generated traffic, the golden rows, and a zone that is full.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::Duration;

use gateway::{Routed, Zones};
use platform::{GatewayConfig, Location};
use units::{Purpose, Seed};

use crate::child::{DECISIONS, Nginx, lease, usable};
use crate::decisions::{Decision, replay, told};
use crate::traffic::{connect, exchange, get, pause};

const SEED: Seed = Seed::new(221);
/// Requests of one case.
const REQUESTS: usize = 240;

/// Path, rate of its first zone per second for the pacing, and what stands in the location.
const CASES: [(&str, f64, &str); 13] = [
    ("/burst-nodelay/", 10.0, "limit_req zone=a burst=5 nodelay;"),
    ("/burst-waits/", 20.0, "limit_req zone=b burst=4;"),
    ("/delay/", 40.0, "limit_req zone=c burst=12 delay=4;"),
    ("/no-burst/", 10.0, "limit_req zone=d;"),
    ("/minutes/", 1.7, "limit_req zone=e burst=2 nodelay;"),
    ("/slow-minutes/", 0.2, "limit_req zone=f;"),
    ("/fast/", 500.0, "limit_req zone=g burst=20 nodelay;"),
    ("/fast-waits/", 300.0, "limit_req zone=h burst=9;"),
    ("/two/", 30.0, "limit_req zone=i burst=20 nodelay; limit_req zone=j burst=3 nodelay;"),
    ("/two-wait/", 30.0, "limit_req zone=k burst=6; limit_req zone=l burst=9 delay=2;"),
    ("/three/", 50.0, "limit_req zone=m burst=2; limit_req zone=a burst=9 nodelay; limit_req zone=n burst=5 delay=1;"),
    ("/shared-wide/", 25.0, "limit_req zone=o burst=30 nodelay;"),
    ("/shared-narrow/", 25.0, "limit_req zone=o burst=2 nodelay; limit_req_status 429;"),
];

const ZONES: [(&str, &str); 19] = [
    ("a", "1m rate=10r/s"),
    ("b", "1m rate=20r/s"),
    ("c", "1m rate=40r/s"),
    ("d", "1m rate=10r/s"),
    ("e", "1m rate=100r/m"),
    ("f", "1m rate=7r/m"),
    ("g", "1m rate=500r/s"),
    ("h", "1m rate=300r/s"),
    ("i", "1m rate=40r/s"),
    ("j", "1m rate=25r/s"),
    ("k", "1m rate=20r/s"),
    ("l", "1m rate=35r/s"),
    ("m", "1m rate=30r/s"),
    ("n", "1m rate=45r/s"),
    ("o", "1m rate=25r/s"),
    ("golden", "1m rate=10r/s"),
    ("golden-two", "1m rate=10r/s"),
    ("full-32", "32k rate=1r/m"),
    ("full-60", "60k rate=1r/m"),
];

/// What nginx is started with: an `http` block's inside, and how it answers behind a limit (`return` is never limited).
fn http(port: u16) -> String {
    let mut http = String::from(
        "log_format told '$arg_n $remote_addr $status $limit_req_status $request_time';\naccess_log access.log told;\n\
         keepalive_timeout 65;\n",
    );
    for (name, rest) in ZONES {
        writeln!(http, "limit_req_zone $binary_remote_addr zone={name}:{rest};").unwrap();
    }
    writeln!(http, "server {{ listen {}:{port};", crate::child::ADDRESS).unwrap();
    let golden = [
        ("/golden-nodelay/", "limit_req zone=golden burst=20 nodelay;"),
        ("/golden-waits/", "limit_req zone=golden burst=20;"),
        ("/golden-delay/", "limit_req zone=golden-two burst=20 delay=8;"),
        ("/full-32/", "limit_req zone=full-32;"),
        ("/full-60/", "limit_req zone=full-60;"),
    ];
    for (path, limits) in CASES.map(|(path, _, limits)| (path, limits)).into_iter().chain(golden) {
        writeln!(http, "location {path} {{ {limits} stub_status; }}").unwrap();
    }
    http + "}"
}

fn client(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 90, 0, 1).to_bits() + number)
}

fn ours(http: &str) -> GatewayConfig {
    manifests::nginx::parse(&format!("http {{\n{http}\n}}"), "nginx.conf").unwrap().config
}

fn locate(config: &GatewayConfig, port: u16, decision: &Decision) -> (Ipv4Addr, Location) {
    let Routed::To(id) = gateway::route(config, port, "a", &decision.target) else { panic!("{decision:?}") };
    (client(decision.number("c")), config.location(id).clone())
}

/// One client's requests of one case: bursts, gaps about the rate, and gaps at the very edge of it.
async fn play(case: usize, of: u32, port: u16) {
    let (path, rate, _) = CASES[case];
    let seed = SEED.child(path).child(&of.to_string());
    let per_client = REQUESTS / 3;
    // No case takes longer than this many seconds, however slow its rate.
    let longest = 4.0 / per_client as f64;
    let mut waiting = Vec::new();
    for nth in 0..per_client {
        let draw = |purpose| seed.draw_nth(nth as u64, purpose);
        let gap = match draw(Purpose::Journey).below(4) {
            0 => 0.0,
            1 => draw(Purpose::Gap).exponential() / rate,
            2 => draw(Purpose::Gap).exponential() * 0.5 / rate,
            _ => (1.0 + draw(Purpose::Gap).below(2) as f64) / rate,
        };
        pause(Duration::from_secs_f64(gap.min(longest * 3.0))).await;
        let target = format!("{path}?n={}&c={of}", case * 10_000 + of as usize * 1_000 + nth);
        waiting.push(tokio::spawn(async move {
            exchange(&mut connect(client(of), port).await, &get("a", &target)).await.status
        }));
    }
    for one in waiting {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn generated_traffic_is_decided_alike() {
    if !usable("generated_traffic_is_decided_alike") {
        return;
    }
    let port = lease();
    let http = http(port);
    let nginx = Nginx::start(&http, DECISIONS, port);
    let mut running = Vec::new();
    for case in 0..CASES.len() {
        for of in 0..3 {
            running.push(tokio::spawn(play(case, of, port)));
        }
    }
    for one in running {
        one.await.unwrap();
    }
    let decisions = told(&nginx, CASES.len() * REQUESTS, |_| true).await;
    let config = ours(&http);
    let zones = Zones::new(&config);
    let counts = replay(&config, &zones, &decisions, |decision| locate(&config, port, decision));
    // A request is logged after its answer is sent.
    let mut log = nginx.read("access.log");
    for _ in 0..100 {
        if log.lines().count() == decisions.len() {
            break;
        }
        pause(Duration::from_millis(50)).await;
        log = nginx.read("access.log");
    }
    agrees_with_the_access_log(&config, port, &decisions, &log);
    println!("generated: {} cases, {} decisions, {counts:?} passed, delayed, refused", CASES.len(), decisions.len());
    assert!(counts.iter().all(|count| *count > 200), "each outcome is well covered: {counts:?}");
}

/// The debug log is our witness; what nginx tells everybody has to say the same.
fn agrees_with_the_access_log(config: &GatewayConfig, port: u16, decisions: &[Decision], log: &str) {
    let mut lateness = Vec::new();
    for decision in decisions {
        let start = format!("{} ", decision.number("n"));
        let line = log.lines().find(|line| line.starts_with(&start)).expect("it was logged");
        let words: Vec<_> = line.split(' ').collect();
        let (client, location) = locate(config, port, decision);
        let (status, word) = match (decision.zones.last(), decision.delay_ms) {
            (Some((-3, _)), _) => (location.limit_status, "REJECTED"),
            (_, Some(_)) => (200, "DELAYED"),
            _ => (200, "PASSED"),
        };
        assert_eq!(words[1..4], [&client.to_string(), &status.to_string(), word], "{decision:?}");
        if let Some(delay) = decision.delay_ms {
            // The wall clock and the monotonic one that the timer uses may tick a millisecond apart.
            let took = (words[4].parse::<f64>().unwrap() * 1e3).round() as i64;
            assert!(took >= delay as i64 - 2, "{decision:?} took {took} ms");
            lateness.push(took - delay as i64);
        }
    }
    lateness.sort_unstable();
    // A busy machine makes some late; half of them are not.
    assert!(lateness.get(lateness.len() / 2).is_none_or(|median| *median <= 10), "{lateness:?}");
}

#[tokio::test]
async fn thirty_at_once_give_the_golden_rows() {
    if !usable("thirty_at_once_give_the_golden_rows") {
        return;
    }
    let port = lease();
    let http = http(port);
    let nginx = Nginx::start(&http, DECISIONS, port);
    let config = ours(&http);
    for (of, (path, want)) in
        [("/golden-nodelay/", [21, 0, 9]), ("/golden-waits/", [1, 20, 9]), ("/golden-delay/", [9, 12, 9])]
            .into_iter()
            .enumerate()
    {
        // Thirty count as one instant if a bucket regains nothing meanwhile, which takes 100 ms: again where the
        // machine was that slow, each time from another address.
        let counted = (0..10).map(|again| (of * 10 + again) as u32);
        let mut got = None;
        for of in counted {
            let mut streams = Vec::new();
            for _ in 0..30 {
                streams.push(connect(client(of), port).await);
            }
            let mut running = Vec::new();
            for (nth, mut stream) in streams.into_iter().enumerate() {
                let request = get("a", &format!("{path}?n={}&c={of}", of * 100 + nth as u32));
                running.push(tokio::spawn(async move { exchange(&mut stream, &request).await.status }));
            }
            for one in running {
                one.await.unwrap();
            }
            let decisions = told(&nginx, 30, |decision| decision.number("c") == of).await;
            let zones = Zones::new(&config);
            let counts = replay(&config, &zones, &decisions, |decision| locate(&config, port, decision));
            if decisions.last().unwrap().now_ms - decisions[0].now_ms < 100 {
                got = Some(counts);
                break;
            }
        }
        println!("{path} 30 at once: {got:?} passed, delayed, refused");
        assert_eq!(got, Some(want), "{path}");
    }
}

#[tokio::test]
async fn a_full_zone_forgets_the_same_clients() {
    if !usable("a_full_zone_forgets_the_same_clients") {
        return;
    }
    let port = lease();
    let http = http(port);
    let nginx = Nginx::start(&http, DECISIONS, port);
    let config = ours(&http);
    for (path, clients) in [("/full-32/", 300_u32), ("/full-60/", 520)] {
        // More clients than fit, then the same backwards and forwards again: each answer tells who was remembered.
        let order = (0..clients).chain((100..clients).rev()).chain(150..clients);
        let mut sent = 0;
        for of in order {
            let request = get("a", &format!("{path}?n={sent}&c={of}"));
            exchange(&mut connect(client(of), port).await, &request).await;
            sent += 1;
        }
        let decisions = told(&nginx, sent, |decision| decision.target.starts_with(path)).await;
        let zones = Zones::new(&config);
        let counts = replay(&config, &zones, &decisions, |decision| locate(&config, port, decision));
        println!("{path} {sent} decisions, {counts:?}");
        assert!(counts[0] > clients as usize && counts[2] > 100, "some were forgotten, some not: {counts:?}");
    }
}
