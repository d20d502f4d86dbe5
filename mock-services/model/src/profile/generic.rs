//! A profile for a workload that nobody described, from what its manifest declares.

use units::{Bytes, Distribution, Millicores, Nanos};

use super::{Profile, RouteProfile};
use crate::cpu::Discipline;

/// What a manifest says of a workload's serving container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared<'a> {
    /// Name of the workload.
    pub workload: &'a str,
    /// `resources.requests.cpu`.
    pub cpu_request: Option<Millicores>,
    /// `resources.limits.cpu`.
    pub cpu_limit: Option<Millicores>,
    /// `resources.requests.memory`.
    pub memory_request: Option<Bytes>,
    /// `resources.limits.memory`.
    pub memory_limit: Option<Bytes>,
}

/// Requests per second that a pod's CPU request is taken to be meant for.
const NOMINAL_RATE: u64 = 25;

impl Profile {
    /// A profile in which every route costs the same, so that a pod uses about what it requests at 25 requests a second.
    ///
    /// The CPU time stays within 1 to 20 ms, for a request often says more about the start than about the load. The
    /// idle process holds half of the memory request and never more than half of the limit. Marked *assumed*.
    pub fn generic(of: &Declared<'_>) -> Self {
        let typical_us = of.cpu_request.or(of.cpu_limit).map_or(5_000, |cpu| cpu.get() * 1_000 / NOMINAL_RATE);
        let typical = Nanos::from_micros(typical_us.clamp(1_000, 20_000));
        let law = |median| Distribution::LogNormal { median, sigma: 0.5 };
        let half = |bytes: Bytes| bytes.get() / 2;
        let most = of.memory_limit.map_or(u64::MAX, half);
        let idle = of.memory_request.map_or(100 << 20, half).min(most);
        let workers = of.cpu_limit.or(of.cpu_request).map_or(1, |cpu| cpu.get().div_ceil(1_000).clamp(1, 64));
        Self {
            workload: of.workload.into(),
            source: "assumed: a generic service that uses its CPU request at 25 requests per second and pod".into(),
            discipline: Discipline::Fcfs,
            workers: workers as u16,
            backlog: 2_048,
            memory: Bytes::new(idle & !0xfff), // whole pages
            memory_per_request: Bytes::new(64 << 10),
            pool: None,
            routes: vec![RouteProfile {
                route: "* /*".into(),
                source: None,
                cpu: law(typical),
                wait: law(Nanos::from_millis(5)),
                calls: vec![],
                parallel: false,
                cache: None,
                database: None,
                stream: None,
                errors: None,
                memory: Bytes::ZERO,
                request: Bytes::ZERO,
                response: Bytes::new(500),
                content: None,
            }],
        }
    }

    /// As a file, with a comment that says what it is.
    pub fn to_yaml(&self) -> String {
        let body = serde_saphyr::to_string(self).expect("a profile is made of texts, numbers and lists");
        let kind = if self.assumed() { "assumed; replace its figures by measurements" } else { "from its source" };
        format!("# What {} costs: {kind}.\n{body}", self.workload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::shipped;

    #[test]
    fn costs_follow_what_is_declared_within_reason() {
        let milli = |milli| Some(Millicores::new(milli));
        let mebi = |mebi| Some(Bytes::from_mebi(mebi));
        for (case, declared, cpu_us, workers, memory) in [
            ("nothing said", (None, None, None, None), 5_000, 1, 100),
            ("a small service", (milli(50), milli(200), mebi(64), mebi(256)), 2_000, 1, 32),
            ("a usual one", (milli(200), milli(500), mebi(256), mebi(1_024)), 8_000, 1, 128),
            ("a big one", (milli(2_000), milli(4_000), mebi(2_048), mebi(8_192)), 20_000, 4, 1_024),
            ("hardly any", (milli(1), None, None, mebi(64)), 1_000, 1, 32),
            ("only a limit", (None, milli(250), None, None), 10_000, 1, 100),
        ] {
            let (cpu_request, cpu_limit, memory_request, memory_limit) = declared;
            let declared = Declared { workload: "x", cpu_request, cpu_limit, memory_request, memory_limit };
            let profile = Profile::generic(&declared);
            let law = Distribution::LogNormal { median: Nanos::from_micros(cpu_us), sigma: 0.5 };
            assert_eq!((profile.routes[0].cpu, profile.workers), (law, workers), "{case}");
            assert_eq!(profile.memory, Bytes::from_mebi(memory), "{case}");
            assert!(profile.assumed(), "{case}");
        }
    }

    #[test]
    fn every_profile_survives_being_written() {
        let generic = Profile::generic(&Declared { workload: "legacy-app", ..Declared::default() });
        for profile in shipped().unwrap().values().chain([&generic]) {
            let text = profile.to_yaml();
            assert_eq!(&Profile::parse(&text, "x.yaml").unwrap(), profile, "{text}");
        }
        assert!(generic.to_yaml().starts_with("# What legacy-app costs: assumed;"));
    }
}
