//! Profiles: what each route of a service costs, with a source for every figure or the word *assumed*.
//!
//! Owns the format as it is written. What a single request draws from it is [`work`](RouteProfile::work).

mod generic;
mod parse;
mod shipped;
mod work;

pub use generic::Declared;
pub use parse::ProfileError;
pub use shipped::{PROFILES, shipped};

use serde::{Deserialize, Serialize};
use units::{Bytes, Distribution, Millicores};

use crate::StationConfig;
use crate::cpu::Discipline;
use crate::data::PoolConfig;

/// Index of a route in [`Profile::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u16);

/// A service's costs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Workload it belongs to.
    pub workload: String,
    /// Where the figures come from: a document, a measurement, or `assumed: why`.
    pub source: String,
    /// Who gets a thread when there is more work than threads: `fcfs` (an event loop) or `ps` (everything at once).
    #[serde(default)]
    pub discipline: Discipline,
    /// CPUs that a pod can use at once: worker threads, or cores to share.
    pub workers: u16,
    /// Requests in a pod beyond which a new one is refused.
    pub backlog: u32,
    /// Memory of the idle process, such as `380Mi`.
    #[serde(with = "quantity")]
    pub memory: Bytes,
    /// Memory of each request in flight.
    #[serde(with = "quantity")]
    pub memory_per_request: Bytes,
    /// Its connections to its database; needed when a route uses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolConfig>,
    /// Its routes. The first one that matches counts.
    pub routes: Vec<RouteProfile>,
}

/// What one route costs. What takes time comes in this order: half of the CPU, calls, cache, database, wait (or
/// stream), the rest of the CPU.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteProfile {
    /// Method and path as the service sees them, such as `POST /token`; a path may end in `*`.
    pub route: String,
    /// Where this route's figures come from, if not from where the profile's do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// CPU time of a request.
    pub cpu: Distribution,
    /// Time it waits for somebody outside the platform, without CPU.
    #[serde(default = "no_time", skip_serializing_if = "takes_none")]
    pub wait: Distribution,
    /// Calls to other services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallProfile>,
    /// All its calls at once, and not one after the other.
    #[serde(default, skip_serializing_if = "is_false")]
    pub parallel: bool,
    /// What it asks its cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheProfile>,
    /// What it asks its database, unless the cache has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseProfile>,
    /// It streams its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamProfile>,
    /// It fails of itself now and then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<ErrorProfile>,
    /// Memory that a request holds, beside the profile's `memoryPerRequest`.
    #[serde(default, with = "quantity", skip_serializing_if = "no_bytes")]
    pub memory: Bytes,
    /// Size of the request's body.
    #[serde(default, with = "quantity", skip_serializing_if = "no_bytes")]
    pub request: Bytes,
    /// Size of the answer's body.
    #[serde(with = "quantity")]
    pub response: Bytes,
    /// What its answers say, beside some made-up thing. Only live services show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
}

/// What the answers of a route say, consistent with each other across pods.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Content {
    /// The token of whoever the credentials name.
    IssuesToken,
    /// Whose token it is; 401 where there is none, or a wrong one.
    ChecksToken,
    /// What was posted, now a record of this collection.
    Creates(String),
    /// The records of this collection that belong to whoever asks, the newest first.
    Lists(String),
    /// The record of this collection that the path names.
    Shows(String),
}

/// A call to another service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallProfile {
    /// Name of the Service.
    pub service: String,
    /// Method and path, such as `GET /limits`.
    pub request: String,
    /// It is left out on a platform without such a Service, instead of refusing the run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
}

/// What a request asks of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CacheProfile {
    /// Operations, at least 1.
    pub operations: u16,
    /// How often the cache has what is wanted, 0 to 1. Then the database is not asked.
    pub hit: f64,
    /// Time of one operation on the server's thread.
    pub time: Distribution,
}

/// What a request asks of a database.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseProfile {
    /// Queries, one after the other on one connection; at least 1.
    pub queries: u16,
    /// Time of one query on the server's CPU.
    pub time: Distribution,
    /// Whether something is written. Without a word: by every method but GET and HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<bool>,
}

/// How an answer is streamed, such as a language model's tokens as server-sent events.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamProfile {
    /// Until the first token.
    pub first: Distribution,
    /// How many tokens there are.
    pub tokens: TokenCount,
    /// From one token to the next.
    pub gap: Distribution,
    /// Size of one token's event.
    #[serde(with = "quantity")]
    pub size: Bytes,
}

/// A log-normal number of tokens, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenCount {
    /// Half of the answers have fewer.
    pub median: u32,
    /// Standard deviation of the natural logarithm, 0 to 3.
    pub sigma: f64,
}

/// How often a route fails of itself, and how.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorProfile {
    /// Share of its requests, 0 to 1.
    pub rate: f64,
    /// The status of their answers, 400 to 599.
    pub status: u16,
}

const fn no_time() -> Distribution {
    Distribution::NONE
}
fn takes_none(law: &Distribution) -> bool {
    *law == Distribution::NONE
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_false(value: &bool) -> bool {
    !*value
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn no_bytes(bytes: &Bytes) -> bool {
    *bytes == Bytes::ZERO
}

pub(crate) mod quantity {
    use serde::{Deserialize, Deserializer, Serializer};
    use units::Bytes;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(bytes)
    }
}

impl Profile {
    /// The route that answers.
    pub fn route(&self, method: &str, path: &str) -> Option<RouteId> {
        let path = path.split('?').next().unwrap_or(path);
        self.routes.iter().position(|r| r.matches(method, path)).map(|i| RouteId(i as u16))
    }

    /// A pod of this service under these limits of its container.
    pub fn station(&self, limit: Option<Millicores>, memory_limit: Option<Bytes>) -> StationConfig {
        StationConfig {
            discipline: self.discipline,
            workers: self.workers,
            limit,
            backlog: self.backlog,
            memory: self.memory,
            memory_per_request: self.memory_per_request,
            memory_limit,
        }
    }

    /// This profile on a platform that has the Services for which `has` is true: without its optional calls to others.
    #[must_use]
    pub fn within(&self, has: impl Fn(&str) -> bool) -> Self {
        let mut own = self.clone();
        for route in &mut own.routes {
            route.calls.retain(|call| !call.optional || has(&call.service));
        }
        own
    }

    /// Whether its figures are assumed.
    pub fn assumed(&self) -> bool {
        self.source.starts_with("assumed")
    }
}

impl RouteProfile {
    /// Its method, or `*`.
    pub fn method(&self) -> &str {
        self.route.split_once(' ').map_or("*", |(method, _)| method)
    }

    fn pattern(&self) -> &str {
        self.route.split_once(' ').map_or("", |(_, pattern)| pattern)
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        let (want, pattern) = (self.method(), self.pattern());
        let same_path = match pattern.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == pattern,
        };
        same_path && (want == "*" || want == method)
    }

    /// Whether every request of `other` comes to this route.
    fn covers(&self, other: &Self) -> bool {
        let all = |pattern: &str| pattern.strip_suffix('*').map(str::to_owned);
        let path = match (all(self.pattern()), all(other.pattern())) {
            (Some(prefix), Some(narrower)) => narrower.starts_with(&prefix),
            (Some(prefix), None) => other.pattern().starts_with(&prefix),
            (None, Some(_)) => false,
            (None, None) => self.pattern() == other.pattern(),
        };
        path && (self.method() == "*" || self.method() == other.method())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_route_counts() {
        let profile = &shipped().unwrap()["auth-service"];
        assert!(profile.route("POST", "/auth/token?x=1").is_some());
        assert_eq!(profile.route("DELETE", "/auth/token"), None);
        assert!(Profile::generic(&Declared::default()).route("PUT", "/any/thing").is_some());
    }

    #[test]
    fn optional_calls_need_no_service() {
        let profile = &shipped().unwrap()["transactions-service"];
        let names = |profile: &Profile| -> Vec<String> {
            profile.routes.iter().flat_map(|route| &route.calls).map(|call| call.service.clone()).collect()
        };
        assert!(names(profile).iter().any(|name| name == "fraud-detection-service"));
        let alone = profile.within(|service| service == "user-profile-service");
        assert!(!names(&alone).is_empty() && names(&alone).iter().all(|name| name == "user-profile-service"));
    }
}
