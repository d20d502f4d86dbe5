//! kube-proxy: which endpoint a new connection goes to.
//!
//! Owns two rules. Without session affinity: uniform at random per connection, as the iptables and nftables proxiers
//! have it (probability 1/(n−i) down the list, `pkg/proxy/iptables/proxier.go`). With `sessionAffinity: ClientIP` a
//! client address stays with the endpoint it got first, until that is no endpoint any more or the address has opened
//! no connection for the timeout (10800 s by default; iptables' `recent` match with `--rcheck --seconds --reap`: each
//! new connection begins the time anew). Every node remembers for itself.
//!
//! A connection that is kept alive stays where it went, whatever becomes of the endpoints: only its own end moves it.
//! The name of a headless Service resolves to all its endpoints, in an order that differs from answer to answer, and
//! clients take the first: the same uniform choice, without affinity.

use std::collections::BTreeMap;

use platform::{Affinity, Service, ServiceId, ServiceKind};
use units::{Draw, Nanos};

use crate::PodId;

/// The endpoint that `draw` picks, or `None` where there is none: the connection is refused.
pub fn choose(endpoints: &[PodId], draw: Draw) -> Option<PodId> {
    draw.pick(endpoints).copied()
}

/// Who opens a connection. A pod's are seen by the proxy of its own node; clients from outside are taken to enter by
/// one and the same node each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// A client with this address, or whatever stands for it.
    Outside(u32),
    /// A pod.
    Pod(PodId),
}

/// What the proxies remember of clients of Services with affinity. Clock-free, and small where no Service has it.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    seen: BTreeMap<(ServiceId, Caller), (PodId, Nanos)>,
}

impl Sessions {
    /// The endpoint of a new connection at `now`; `draw` decides where no session does.
    pub fn choose(
        &mut self,
        now: Nanos,
        (id, service): (ServiceId, &Service),
        caller: Caller,
        endpoints: &[PodId],
        draw: Draw,
    ) -> Option<PodId> {
        let Affinity::ClientIp(timeout) = service.affinity else { return choose(endpoints, draw) };
        if service.kind == ServiceKind::Headless {
            return choose(endpoints, draw);
        }
        let known = self.seen.get(&(id, caller)).filter(|(_, last)| now < *last + timeout).map(|(pod, _)| *pod);
        let pod = known.filter(|pod| endpoints.contains(pod)).or_else(|| choose(endpoints, draw))?;
        self.seen.insert((id, caller), (pod, now));
        Some(pod)
    }
}

/// What a host name means to a pod that resolves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved<'a> {
    /// A Service's address: a proxy chooses.
    Cluster(ServiceId),
    /// The addresses of a headless Service's pods.
    Pods(ServiceId),
    /// A host outside.
    Outside(&'a str),
}

/// Follows a Service's name; `None` where `ExternalName`s go in a circle.
pub fn resolve(platform: &platform::Platform, mut id: ServiceId) -> Option<Resolved<'_>> {
    for _ in 0..=platform.services.len() {
        let service = platform.service(id);
        match &service.kind {
            ServiceKind::Headless => return Some(Resolved::Pods(id)),
            ServiceKind::ExternalName(host) => match platform.service_from(&service.namespace, host) {
                Some(next) => id = next,
                None => return Some(Resolved::Outside(host)),
            },
            _ => return Some(Resolved::Cluster(id)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use units::{Purpose, RequestId, Seed};

    use super::*;

    fn draw(arrival: u64) -> Draw {
        Seed::new(1).draw(RequestId::of_step(arrival, 0), Purpose::Endpoint)
    }

    #[test]
    fn spreads_evenly_and_refuses_where_nothing_is_ready() {
        let endpoints = [PodId(3), PodId(5), PodId(9)];
        let mut hits = [0; 3];
        for arrival in 0..30_000 {
            assert_eq!(choose(&[], draw(arrival)), None);
            let pod = choose(&endpoints, draw(arrival)).unwrap();
            hits[endpoints.iter().position(|p| *p == pod).unwrap()] += 1;
        }
        assert!(hits.iter().all(|n| (9_700..10_300).contains(n)), "{hits:?}");
    }

    #[test]
    fn a_client_stays_with_its_endpoint_while_it_comes_back_in_time() {
        let web = Service { affinity: Affinity::ClientIp(Nanos::from_secs(60)), ..Service::default() };
        let all: Vec<_> = (0..50).map(PodId).collect();
        let here = Caller::Outside(7);
        let mut sessions = Sessions::default();
        let mut at = |secs, service: u16, caller, endpoints: &[PodId]| {
            sessions.choose(Nanos::from_secs(secs), (ServiceId(service), &web), caller, endpoints, draw(secs)).unwrap()
        };
        let first = at(0, 0, here, &all);
        for (case, secs, service, caller, stays) in [
            ("again", 10, 0, here, true),
            ("each connection begins the time anew", 69, 0, here, true),
            ("just in time", 128, 0, here, true),
            ("another address", 129, 0, Caller::Outside(8), false),
            ("a pod, behind another proxy", 130, 0, Caller::Pod(PodId(7)), false),
            ("another Service", 131, 1, here, false),
            ("too late", 188, 0, here, false),
        ] {
            assert_ne!(choose(&all, draw(secs)), Some(first), "{case}: the draw alone would go elsewhere");
            assert_eq!(at(secs, service, caller, &all) == first, stays, "{case}");
        }
        let now = at(200, 0, here, &all);
        let others: Vec<_> = all.iter().copied().filter(|pod| *pod != now).collect();
        let next = at(201, 0, here, &others);
        assert_ne!(next, now, "its endpoint has gone");
        assert_eq!(at(202, 0, here, &all), next, "and it stays with the new one");
    }

    #[test]
    fn without_affinity_and_by_name_nothing_is_remembered() {
        let all: Vec<_> = (0..50).map(PodId).collect();
        let caller = Caller::Outside(7);
        let affine = Affinity::ClientIp(Nanos::from_secs(60));
        for service in
            [Service::default(), Service { affinity: affine, kind: ServiceKind::Headless, ..Service::default() }]
        {
            let mut sessions = Sessions::default();
            for arrival in 0..20 {
                let pod = sessions.choose(Nanos::ZERO, (ServiceId(0), &service), caller, &all, draw(arrival));
                assert_eq!(pod, choose(&all, draw(arrival)));
            }
            assert!(sessions.seen.is_empty());
        }
        let service = Service { affinity: affine, ..Service::default() };
        assert_eq!(Sessions::default().choose(Nanos::ZERO, (ServiceId(0), &service), caller, &[], draw(0)), None);
    }

    #[test]
    fn names_lead_to_addresses() {
        let service =
            |name: &str, kind| Service { name: name.into(), namespace: "shop".into(), kind, ..Service::default() };
        let alias = |host: &str| ServiceKind::ExternalName(host.into());
        let platform = platform::Platform {
            services: vec![
                service("web", ServiceKind::ClusterIp),
                service("db", ServiceKind::Headless),
                service("old-web", alias("web.shop.svc.cluster.local")),
                service("older-web", alias("old-web")),
                service("mail", alias("smtp.example.com")),
                service("a", alias("b")),
                service("b", alias("a")),
            ],
            ..platform::Platform::default()
        };
        for (index, want) in [
            (0, Some(Resolved::Cluster(ServiceId(0)))),
            (1, Some(Resolved::Pods(ServiceId(1)))),
            (2, Some(Resolved::Cluster(ServiceId(0)))),
            (3, Some(Resolved::Cluster(ServiceId(0)))),
            (4, Some(Resolved::Outside("smtp.example.com"))),
            (5, None),
        ] {
            assert_eq!(resolve(&platform, ServiceId(index)), want, "{}", platform.services[usize::from(index)].name);
        }
    }
}
