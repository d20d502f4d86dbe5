//! What the examples share: a platform on which one route has a known cost, and a control plane that never waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use cluster::ClusterConfig;
use manifests::Source;
use model::Profile;
use scenarios::{Plan, Scenario};
use units::{Nanos, Seed};

/// Where the free route of auth-service is, through the gateway and without it.
pub(crate) const PATH: &str = "/auth/free";
pub(crate) const HOST: &str = "api.selfmonitor.app";

/// One request to auth-service, at `rate` a second for `seconds`, from 100 clients.
pub(crate) fn scenario(rate: u32, seconds: u32) -> String {
    format!(
        "apiVersion: rehearse/v1
kind: Scenario
metadata: {{name: station, question: Does one station behave as theory says?}}
spec:
  host: {HOST}
  timeout: 30s
  phases: [{{name: steady, kind: steady, duration: {seconds}s}}]
  journeys: {{one: {{flow: core, steps: [{{name: free, request: GET {PATH}}}]}}}}
  load: [{{journey: one, arrivals: poisson, clients: 100, rate: {{steady: {rate}/s}}}}]
"
    )
}

/// The shipped platform with `replicas` pods of each workload, or as many as it wants, no rate limit and no waiting for
/// probes; auth-service answers [`PATH`] at this cost.
pub(crate) fn plan(scenario: &str, cpu: &str, seed: u64, replicas: Option<u32>) -> anyhow::Result<Plan> {
    let mut platform = manifests::load(&Source::BuiltIn, "production")?.platform;
    if replicas.is_some() {
        platform.autoscalers.clear();
    }
    for workload in &mut platform.workloads {
        workload.replicas = replicas.or(workload.replicas);
        for container in &mut workload.containers {
            container.limits.cpu = None;
            container.startup = None;
            container.liveness = None; // its health checks would be jobs of the station, too
            if let Some(probe) = &mut container.readiness {
                probe.initial_delay = Nanos::ZERO;
                probe.period = Nanos::from_secs(1_000_000);
            }
        }
    }
    let gateway = platform.gateway.as_mut().context("the shipped platform has a gateway")?;
    for server in &mut gateway.config.servers {
        server.locations.iter_mut().for_each(|location| location.limits.clear());
    }
    let mut profiles: BTreeMap<String, Profile> = model::shipped()?;
    let text = format!(
        "{{workload: auth-service, source: 'assumed: an experiment', workers: 1, backlog: 100000, memory: 100Mi,
memoryPerRequest: 1Ki, routes: [{{route: GET {PATH}, cpu: {cpu}, response: '180'}},
{{route: GET /auth/verify, cpu: {cpu}, response: '180'}}]}}"
    );
    profiles.insert("auth-service".into(), Profile::parse(&text, "experiment")?);
    let scenario = Scenario::parse(scenario, "experiment.yaml")?;
    let nodes = manifests::load_nodes(None)?;
    Ok(Plan::resolve(&scenario, Arc::new(platform), nodes, &profiles, Seed::new(seed))?)
}

/// A control plane that never waits.
pub(crate) fn at_once() -> ClusterConfig {
    ClusterConfig {
        scheduling_delay: Nanos::ZERO,
        container_start: Nanos::ZERO,
        endpoint_propagation: Nanos::ZERO,
        ..ClusterConfig::default()
    }
}

/// The value below which `share` of them lie.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}
