//! What bites in production that no objective shows: findings about a platform, told with their consequence first.
//!
//! So far the gateway's three documented surprises; the rest of the rules come with `rehearse lint`.

use std::collections::BTreeSet;

use platform::{GatewayConfig, Location, Platform};
use record::Finding;
use scenarios::Plan;
use units::Rate;

/// Findings about a plan's platform, in a fixed order.
pub fn findings(plan: &Plan) -> Vec<Finding> {
    let Some(gateway) = &plan.platform.gateway else { return Vec::new() };
    let config = &gateway.config;
    let replicas = plan.platform.workload(gateway.workload).replicas.unwrap_or(1);
    [limiter_answers_503(config), limit_multiplies(&plan.platform, config, replicas), lone_server_never_fails(config)]
        .into_iter()
        .flatten()
        .collect()
}

fn limited(config: &GatewayConfig) -> impl Iterator<Item = &Location> {
    config.servers.iter().flat_map(|server| &server.locations).filter(|location| !location.limits.is_empty())
}

fn limiter_answers_503(config: &GatewayConfig) -> Option<Finding> {
    let location = limited(config).find(|location| location.limit_status == 503)?;
    Some(Finding {
        id: "limiter-answers-503".into(),
        consequence: "An alert on 429 can never fire, and every reject is charged to the 5xx budget.".into(),
        because: "No limit_req_status is set, so nginx answers a request over the limit with its default, 503.".into(),
        place: location.place.to_string(),
    })
}

fn limit_multiplies(platform: &Platform, config: &GatewayConfig, replicas: u32) -> Option<Finding> {
    if replicas < 2 {
        return None;
    }
    let used: BTreeSet<_> = limited(config).flat_map(|location| &location.limits).map(|limit| limit.zone).collect();
    let zones: Vec<_> = used.iter().map(|zone| &config.zones[usize::from(zone.0)]).collect();
    let first = zones.first()?;
    let effective = |rate: Rate| Rate::from_milli(rate.milli() * u64::from(replicas));
    let list: Vec<_> = zones.iter().map(|z| format!("{}: {} becomes {}", z.name, z.rate, effective(z.rate))).collect();
    let gateway = platform.gateway.as_ref().map_or("gateway", |g| platform.workload(g.workload).name.as_str());
    Some(Finding {
        id: "limit-multiplies-with-replicas".into(),
        consequence: format!("One client may send {replicas} times the documented rate."),
        because: format!("Each of the {replicas} pods of {gateway} keeps buckets of its own ({}).", list.join(", ")),
        place: first.place.to_string(),
    })
}

fn lone_server_never_fails(config: &GatewayConfig) -> Option<Finding> {
    let lone: Vec<_> =
        config.upstreams.iter().filter(|u| u.servers.len() == 1 && u.servers[0].max_fails != 1).collect();
    let first = lone.first()?;
    Some(Finding {
        id: "lone-server-never-fails".into(),
        consequence: "max_fails and fail_timeout have no effect; failover is left to the Service's endpoints.".into(),
        because: format!(
            "{} of {} upstreams have one server, and nginx never marks a lone server as failed nor retries it.",
            lone.len(),
            config.upstreams.len()
        ),
        place: first.place.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use manifests::Source;
    use scenarios::Scenario;
    use units::Seed;

    fn plan(change: impl FnOnce(&mut Platform)) -> Plan {
        let shipped = scenarios::find("smoke").unwrap();
        let mut platform = manifests::load(&Source::BuiltIn, "production").unwrap().platform;
        change(&mut platform);
        let scenario = Scenario::parse(shipped.text, shipped.file).unwrap();
        let profiles = model::shipped().unwrap();
        Plan::resolve(&scenario, Arc::new(platform), vec![], &profiles, Seed::new(1)).unwrap()
    }

    #[test]
    fn the_shipped_gateway_has_its_three_documented_surprises() {
        let found = findings(&plan(|_| {}));
        let ids: Vec<_> = found.iter().map(|f| f.id.as_str()).collect();
        assert_eq!(ids, ["limiter-answers-503", "limit-multiplies-with-replicas", "lone-server-never-fails"]);
        assert!(found[1].because.contains("api: 10/s becomes 50/s"), "{}", found[1].because);
        assert!(found.iter().all(|f| f.place.contains("nginx.conf:")));
    }

    #[test]
    fn a_gateway_without_them_has_none() {
        let found = findings(&plan(|platform| {
            let gateway = platform.gateway.as_mut().unwrap();
            gateway.config.servers.iter_mut().flat_map(|s| &mut s.locations).for_each(|l| l.limit_status = 429);
            gateway.config.upstreams.iter_mut().flat_map(|u| &mut u.servers).for_each(|s| s.max_fails = 1);
            let workload = usize::from(gateway.workload.0);
            platform.workloads[workload].replicas = Some(1);
        }));
        assert_eq!(found, []);
    }
}
