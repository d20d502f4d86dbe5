//! What nginx decided, from its debug log.
//!
//! `limit_req` tells each zone's verdict and excess; the first timer that the same connection arms afterwards tells the
//! instant, since its key is nginx's clock plus its length and the clock stands still within one turn of the event loop.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use gateway::{Admission, Key, Zones};
use platform::{GatewayConfig, Location};
use units::Nanos;

use crate::child::Nginx;
use crate::traffic::pause;

/// One decision of nginx's.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    /// The target as the client sent it.
    pub(crate) target: String,
    /// Verdict (`NGX_OK` 0, `NGX_AGAIN` -2, `NGX_BUSY` -3) and excess in thousandths, zone by zone until one refused.
    pub(crate) zones: Vec<(i64, i64)>,
    /// nginx's clock, ms since the machine started.
    pub(crate) now_ms: u64,
    /// The delay in ms, if it was delayed.
    pub(crate) delay_ms: Option<u64>,
}

impl Decision {
    /// A number of the query.
    pub(crate) fn number(&self, name: &str) -> u32 {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {}", self.target))
    }

    fn admission(&self) -> Admission {
        match (self.zones.last(), self.delay_ms) {
            (Some((-3, _)), _) => Admission::Refused,
            (_, Some(ms)) => Admission::After(Nanos::from_millis(ms)),
            _ => Admission::Now,
        }
    }
}

/// The decisions of the requests that `wanted` picks, in nginx's order, once there are `count` of them: the timer that
/// tells the instant is armed after the client has its answer.
pub(crate) async fn told(nginx: &Nginx, count: usize, wanted: impl Fn(&Decision) -> bool) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for _ in 0..100 {
        decisions = read(&nginx.read("debug.log"));
        decisions.retain(&wanted);
        if decisions.len() == count {
            return decisions;
        }
        pause(Duration::from_millis(50)).await;
    }
    panic!("nginx told of {} decisions and not of {count}", decisions.len());
}

/// All decisions of a log.
fn read(log: &str) -> Vec<Decision> {
    let mut open: BTreeMap<&str, Decision> = BTreeMap::new();
    let mut decisions = Vec::new();
    for line in log.lines() {
        // 2026/11/23 12:00:00 [debug] 1#1: *7 http request line: "GET / HTTP/1.1"
        let Some((connection, text)) = line.split_once(": *").and_then(|(_, rest)| rest.split_once(' ')) else {
            continue;
        };
        if let Some(request) = text.strip_prefix("http request line: \"") {
            let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
            open.insert(connection, Decision { target, ..Decision::default() });
        } else if let Some(verdict) = text.strip_prefix("limit_req[") {
            let mut words = verdict.split(' ').skip(1);
            let verdict = words.next().unwrap().parse().unwrap();
            let excess = words.next().unwrap().replace('.', "").parse().unwrap();
            open.get_mut(connection).unwrap().zones.push((verdict, excess));
        } else if let Some(timer) = text.strip_prefix("event timer add: ") {
            // fd: length:key
            let Some(mut decision) = open.remove(connection) else { continue };
            if decision.zones.is_empty() {
                open.insert(connection, decision);
                continue;
            }
            let mut numbers = timer.split(':').map(|number| number.trim().parse::<u64>().unwrap()).skip(1);
            let (length, key) = (numbers.next().unwrap(), numbers.next().unwrap());
            decision.now_ms = key - length;
            // Every other timer that can follow is longer than any delay here: the configurations see to it.
            decision.delay_ms = (length < 10_000).then_some(length);
            decisions.push(decision);
        }
    }
    decisions
}

/// Offers nginx's requests to our zones at nginx's instants; panics at the first difference, with both states.
pub(crate) fn replay(
    config: &GatewayConfig,
    zones: &Zones,
    decisions: &[Decision],
    locate: impl Fn(&Decision) -> (Ipv4Addr, Location),
) -> [usize; 3] {
    let mut counts = [0; 3];
    for (index, decision) in decisions.iter().enumerate() {
        let (client, location) = locate(decision);
        let key = Key::of(client.into());
        let before: Vec<_> = location.limits.iter().map(|limit| zones.stored(limit, key)).collect();
        let now = Nanos::from_millis(decision.now_ms);
        let ours = zones.offer(&location.limits, key, || now);
        let after: Vec<_> = location.limits.iter().map(|limit| zones.stored(limit, key).map(|e| e.0)).collect();
        let theirs: Vec<_> = decision.zones.iter().map(|(_, excess)| Some(*excess)).collect();
        let same = ours == decision.admission() && (ours == Admission::Refused || after == theirs);
        assert!(
            same,
            "decision {index} differs: nginx {:?}, ours {ours:?}\nnginx: {decision:?}\nours: {before:?} before, \
             {after:?} after, client {client}\nlimits: {:?}",
            decision.admission(),
            location.limits.iter().map(|limit| (limit, &config.zones[usize::from(limit.zone.0)])).collect::<Vec<_>>(),
        );
        counts[match ours {
            Admission::Now => 0,
            Admission::After(_) => 1,
            Admission::Refused => 2,
        }] += 1;
    }
    counts
}
