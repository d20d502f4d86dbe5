//! The routes of a log, how often each is asked and how long it takes, and the scenario that asks the same.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use super::log::Log;

/// Good answers that a route needs to be fitted.
pub(crate) const FEWEST: usize = 30;
/// A scenario with more routes than these would be nobody's to read.
const MOST: usize = 60;

/// What a log asks for.
#[derive(Debug)]
pub(crate) struct Load {
    /// The busiest first.
    pub(crate) routes: Vec<Route>,
    /// Requests that belong to none of them.
    pub(crate) few: usize,
    /// What was seen of it all, in lines for people.
    pub(crate) told: Vec<String>,
    /// Different addresses.
    clients: usize,
    host: String,
}

/// Requests that differ by an identity in their path at most.
#[derive(Debug)]
pub(crate) struct Route {
    /// `GET /users/:id`.
    pub(crate) name: String,
    pub(crate) method: String,
    /// One of its paths.
    pub(crate) path: String,
    pub(crate) n: usize,
    /// A second.
    pub(crate) rate: f64,
    /// Times of good answers in microseconds, ascending.
    pub(crate) took: Vec<u64>,
}

impl Route {
    /// A percentile of its times, microseconds.
    pub(crate) fn percentile(&self, percent: usize) -> u64 {
        self.took.get((self.took.len() * percent / 100).min(self.took.len().saturating_sub(1))).copied().unwrap_or(0)
    }
}

impl Load {
    pub(super) fn new(mut routes: Vec<Route>, few: usize, clients: usize, told: Vec<String>, host: String) -> Self {
        routes.sort_by_key(|route| std::cmp::Reverse(route.n));
        routes.truncate(MOST);
        Self { routes, few, told, clients, host }
    }

    pub(crate) fn of(log: &Log, host: &str) -> Self {
        let mut routes: BTreeMap<String, Route> = BTreeMap::new();
        let mut seconds: HashMap<(&str, i64), u32> = HashMap::new();
        let mut totals: HashMap<&str, u32> = HashMap::new();
        let length = log.length.as_secs_f64();
        for seen in &log.seen {
            let began = seen.at - seen.took.as_secs_f64();
            *seconds.entry((&seen.client, began.floor() as i64)).or_default() += 1;
            *totals.entry(&seen.client).or_default() += 1;
            let path = seen.target.split('?').next().unwrap_or(&seen.target);
            let name = format!("{} {}", seen.method, shape(path));
            let route = routes.entry(name.clone()).or_insert_with(|| Route {
                name,
                method: seen.method.clone(),
                path: path.to_owned(),
                n: 0,
                rate: 0.0,
                took: Vec::new(),
            });
            route.n += 1;
            if seen.status < 400 {
                route.took.push(seen.took.as_micros());
            }
        }
        let mut routes: Vec<Route> = routes.into_values().collect();
        for route in &mut routes {
            route.rate = route.n as f64 / length;
            route.took.sort_unstable();
        }
        routes.retain(|route| route.took.len() >= FEWEST);
        let mut peaks: HashMap<&str, u32> = HashMap::new();
        for ((client, _), n) in &seconds {
            let peak = peaks.entry(client).or_default();
            *peak = (*peak).max(*n);
        }
        let mut peaks: Vec<u32> = peaks.into_values().collect();
        peaks.sort_unstable();
        let few = log.seen.len() - routes.iter().map(|route| route.n).sum::<usize>();
        let told = vec![
            format!(
                "{} requests of {} clients in {length:.0} s, {:.1} a second",
                log.seen.len(),
                totals.len(),
                log.seen.len() as f64 / length
            ),
            format!(
                "the busiest client makes {:.1} requests a second at its mean and {} in its busiest second; 99 % of clients \
                 at most {}",
                f64::from(totals.values().copied().max().unwrap_or(0)) / length,
                peaks.last().copied().unwrap_or(0),
                peaks.get(peaks.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(0)
            ),
        ];
        Self::new(routes, few, totals.len(), told, host.to_owned())
    }

    /// A scenario that asks every route as often as the log does.
    pub(crate) fn scenario(&self, source: &str) -> String {
        let host = &self.host;
        let mut text = format!(
            "# The load of {source}: every route at its mean rate, from as many addresses.
apiVersion: rehearse/v1
kind: Scenario
metadata: {{name: recorded, question: Does the platform answer as it did?}}
spec:
  host: {host}
  timeout: 30s
  phases:
    - {{name: warm-up, kind: warm-up, duration: 20s}}
    - {{name: steady, kind: steady, duration: {}s}}
  journeys:
",
            self.seconds()
        );
        for (index, route) in self.routes.iter().enumerate() {
            let request = quoted(&format!("{} {}", route.method, route.path));
            writeln!(text, "    route-{index}:\n      flow: recorded\n      steps:").ok();
            writeln!(text, "        - {{name: {}, request: {request}}}", quoted(&route.name)).ok();
        }
        text += "  load:\n";
        for (index, route) in self.routes.iter().enumerate() {
            let (clients, rate) = (self.clients.clamp(1, 5_000), route.rate.max(0.001));
            writeln!(
                text,
                "    - {{journey: route-{index}, clients: {clients}, rate: {{warm-up: {rate:.3}/s, steady: {rate:.3}/s}}}}"
            )
            .ok();
        }
        text
    }

    /// Long enough for the rarest route to be seen often enough.
    fn seconds(&self) -> u64 {
        let rarest = self.routes.iter().map(|route| route.rate).fold(f64::INFINITY, f64::min);
        (100.0 / rarest.max(1e-6)).clamp(60.0, 1_800.0) as u64
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A path with its identities taken out: numbers, and long words of hexadecimal digits.
fn shape(path: &str) -> String {
    let is_identity = |part: &str| {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        let hexadecimal = part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        !part.is_empty() && (digits == part.len() || (part.len() >= 8 && digits > 0 && hexadecimal))
    };
    path.split('/').map(|part| if is_identity(part) { ":id" } else { part }).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_taken_out_of_paths() {
        for (path, want) in [
            ("/users/42", "/users/:id"),
            ("/users/me", "/users/me"),
            ("/documents/6f9619ff-8b86-d011-b42d-00c04fc964ff/pages/3", "/documents/:id/pages/:id"),
            ("/v1/facade", "/v1/facade"),
            ("/", "/"),
        ] {
            assert_eq!(shape(path), want);
        }
    }
}
