//! Profiles: what each route of a service costs, with a source for every figure or the word *assumed*.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use units::{Bytes, Distribution, Millicores, Nanos, Purpose, RequestId, Seed};

use crate::{StationConfig, Work};

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
    /// Worker threads that can be on a CPU at once.
    pub workers: u16,
    /// Requests in a pod beyond which a new one is refused.
    pub backlog: u32,
    /// Memory of the idle process, such as `380Mi`.
    #[serde(with = "quantity")]
    pub memory: Bytes,
    /// Memory of each request in flight.
    #[serde(with = "quantity")]
    pub memory_per_request: Bytes,
    /// Its routes. The first one that matches counts.
    pub routes: Vec<RouteProfile>,
}

/// What one route costs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteProfile {
    /// Method and path as the service sees them, such as `POST /token`; a path may end in `*`.
    pub route: String,
    /// CPU time of a request.
    pub cpu: Distribution,
    /// Time it waits without CPU, such as for its database.
    #[serde(default = "no_time")]
    pub wait: Distribution,
    /// Calls to other services, one after the other.
    #[serde(default)]
    pub calls: Vec<CallProfile>,
    /// Size of the answer's body.
    #[serde(with = "quantity")]
    pub response: Bytes,
}

/// A call to another service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallProfile {
    /// Name of the Service.
    pub service: String,
    /// Method and path, such as `GET /limits`.
    pub request: String,
}

const fn no_time() -> Distribution {
    Distribution::NONE
}

mod quantity {
    use serde::{Deserialize, Deserializer, Serializer};
    use units::Bytes;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(bytes)
    }
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The YAML is broken or has a key that no profile has.
    #[error("{file}: {reason}")]
    Parse {
        /// Which file.
        file: String,
        /// Where and why.
        reason: String,
    },
    /// A figure makes no sense.
    #[error("{file}: {what}")]
    Impossible {
        /// Which file.
        file: String,
        /// What, and what would do.
        what: String,
    },
}

/// Every shipped profile as (file name, text).
pub const PROFILES: [(&str, &str); 3] = [
    ("auth-service.yaml", include_str!("../profiles/auth-service.yaml")),
    ("transactions-service.yaml", include_str!("../profiles/transactions-service.yaml")),
    ("user-profile-service.yaml", include_str!("../profiles/user-profile-service.yaml")),
];

/// The shipped profiles by workload.
pub fn shipped() -> Result<BTreeMap<String, Profile>, ProfileError> {
    let parse = |(file, text): &(&str, &str)| Profile::parse(text, file).map(|p| (p.workload.clone(), p));
    PROFILES.iter().map(parse).collect()
}

impl Profile {
    /// Reads a profile and refuses what cannot be.
    pub fn parse(text: &str, file: &str) -> Result<Self, ProfileError> {
        let profile: Self = serde_saphyr::from_str(text)
            .map_err(|error| ProfileError::Parse { file: file.into(), reason: error.to_string() })?;
        let impossible = |what: String| Err(ProfileError::Impossible { file: file.into(), what });
        if profile.workers == 0 || profile.backlog == 0 {
            return impossible("workers and backlog must be at least 1".into());
        }
        for route in &profile.routes {
            if route.route.split_once(' ').is_none_or(|(_, path)| !path.starts_with('/')) {
                return impossible(format!("route `{}` is not of the form `GET /path`", route.route));
            }
            for law in [route.cpu, route.wait] {
                if matches!(law, Distribution::LogNormal { sigma, .. } if !(0.0..=3.0).contains(&sigma)) {
                    return impossible(format!("route `{}` has a sigma outside 0 to 3", route.route));
                }
            }
        }
        Ok(profile)
    }

    /// A profile for a workload nobody described: every route costs a little. Marked *assumed*.
    pub fn generic(workload: &str) -> Self {
        let law = |median, sigma| Distribution::LogNormal { median: Nanos::from_millis(median), sigma };
        Self {
            workload: workload.into(),
            source: "assumed: a generic service, for want of a profile".into(),
            workers: 1,
            backlog: 2_048,
            memory: Bytes::from_mebi(100),
            memory_per_request: Bytes::from_mebi(1),
            routes: vec![RouteProfile {
                route: "* /*".into(),
                cpu: law(5, 0.5),
                wait: law(5, 0.5),
                calls: vec![],
                response: Bytes::new(500),
            }],
        }
    }

    /// The route that answers; the health check has one even if the profile does not say.
    pub fn route(&self, method: &str, path: &str) -> Option<RouteId> {
        let path = path.split('?').next().unwrap_or(path);
        self.routes.iter().position(|r| r.matches(method, path)).map(|i| RouteId(i as u16))
    }

    /// A pod of this service under this CPU limit.
    pub fn station(&self, limit: Option<Millicores>) -> StationConfig {
        StationConfig {
            workers: self.workers,
            limit,
            backlog: self.backlog,
            memory: self.memory,
            memory_per_request: self.memory_per_request,
        }
    }

    /// Whether its figures are assumed.
    pub fn assumed(&self) -> bool {
        self.source.starts_with("assumed")
    }
}

impl RouteProfile {
    fn matches(&self, method: &str, path: &str) -> bool {
        let Some((want, pattern)) = self.route.split_once(' ') else { return false };
        let same_path = match pattern.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == pattern,
        };
        same_path && (want == "*" || want == method)
    }

    /// What this request costs: a pure function of the seed and its identity.
    pub fn work(&self, seed: Seed, id: RequestId) -> Work {
        let cpu = self.cpu.sample(seed.draw(id, Purpose::Cpu));
        let wait = self.wait.sample(seed.draw(id, Purpose::Wait));
        // Parsing and checking come before the calls and the database, serialising after: half each, for want of a
        // measurement.
        let cpu_after = if wait == Nanos::ZERO && self.calls.is_empty() { Nanos::ZERO } else { cpu / 2 };
        Work { cpu_before: cpu - cpu_after, calls: !self.calls.is_empty(), wait, cpu_after }
    }
}

/// What a health check costs.
impl Work {
    /// A health check: half a millisecond of CPU, through the same queue as everything else, as in an async service
    /// with one event loop. Assumed.
    pub const HEALTH: Self =
        Self { cpu_before: Nanos::from_micros(500), calls: false, wait: Nanos::ZERO, cpu_after: Nanos::ZERO };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_profiles_are_valid_and_named_after_their_file() {
        let shipped = shipped().unwrap();
        assert_eq!(shipped.len(), PROFILES.len());
        for (file, _) in PROFILES {
            assert!(shipped.contains_key(file.trim_end_matches(".yaml")), "{file}");
        }
    }

    #[test]
    fn the_first_matching_route_counts() {
        let profile = &shipped().unwrap()["auth-service"];
        assert!(profile.route("POST", "/auth/token?x=1").is_some());
        assert_eq!(profile.route("DELETE", "/auth/token"), None);
        assert!(Profile::generic("x").route("PUT", "/any/thing").is_some());
    }

    #[test]
    fn a_request_costs_the_same_whoever_asks() {
        let profile = &shipped().unwrap()["transactions-service"];
        let id = RequestId::of_step(9, 3);
        let work = |seed| profile.routes[0].work(Seed::new(seed), id);
        assert_eq!(work(1), work(1));
        assert_ne!(work(1), work(2));
        assert!(work(1).calls && work(1).cpu_after > Nanos::ZERO);
    }

    #[test]
    fn impossible_profiles_are_refused_with_a_reason() {
        let good = PROFILES[0].1;
        for (case, broken, want) in [
            ("unknown key", good.replace("workers:", "wrokers:"), "wrokers"),
            ("no workers", good.replace("workers: 1", "workers: 0"), "at least 1"),
            ("no unit", good.replace("median: 22ms", "median: 22"), "22"),
            ("sigma", good.replace("sigma: 0.35", "sigma: 9"), "sigma"),
        ] {
            let error = Profile::parse(&broken, "x.yaml").unwrap_err().to_string();
            assert!(error.contains(want), "{case}: {error}");
        }
    }
}
