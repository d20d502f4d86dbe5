//! The self-probe: what this machine carries, before anything is asked of it. A scenario beyond that would measure the
//! machine and call it the platform.

use std::sync::Arc;

use manifests::Source;
use model::Profile;
use record::ExitCode;
use scenarios::{Plan, Scenario};
use stage::{EmbeddedSettings, StageError};
use tokio::sync::watch;
use units::{Nanos, Seed};

use crate::args::PlayArgs;
use crate::backend::Backend;
use crate::failure::Failure;
use crate::resolve;

/// Of what the machine carries, as much as a run may ask for at its peak: beyond it queues begin that are not the
/// platform's.
const SHARE: f64 = 0.6;
const WORKLOAD: &str = "auth-service";
const SCENARIO: &str = "apiVersion: rehearse/v1
kind: Scenario
metadata: {name: self-probe, question: How many requests a second do driver and gateway carry here?}
spec:
  host: api.selfmonitor.app
  timeout: 30s
  phases: [{name: all, kind: steady, duration: 10s}]
  journeys: {one: {flow: probe, steps: [{name: free, request: GET /auth/free}]}}
  load: [{journey: one, arrivals: even, clients: 32, rate: {all: 30000/s}}]
";
const PROFILE: &str = "{workload: auth-service, source: 'assumed: it costs nothing', workers: 16, backlog: 100000, \
memory: 100Mi, memoryPerRequest: 1Ki, routes: [{route: GET /auth/free, cpu: {constant: 0ms}, response: '180'}, \
{route: GET /auth/verify, cpu: {constant: 0ms}, response: '180'}]}";

/// Requests a second that driver, gateway and a pod that costs nothing carry on this machine as it is now.
pub(crate) async fn carries(settings: &EmbeddedSettings, mut interrupts: watch::Receiver<u32>) -> Result<f64, Failure> {
    let plan = Arc::new(plan()?);
    tokio::select! {
        carries = stage::carries(plan, settings) => Ok(carries?),
        Ok(()) = interrupts.changed() => Err(StageError::Interrupted.into()),
    }
}

/// Of what a machine carries, what a run may ask for.
pub(crate) fn safe(carries: f64) -> f64 {
    carries * SHARE
}

/// Why a live run of `plan` would judge the machine, and which rate would not.
pub(crate) fn beyond(carries: f64, plan: &Plan) -> Option<String> {
    let (peak, most) = (plan.load.peak_rate(), safe(carries));
    (peak > most).then(|| {
        format!(
            "it asks for {peak:.0} requests/s at its peak, and driver and gateway carry about {carries:.0} on this \
             machine now: a live run would judge the machine. Up to {most:.0} requests/s would do, which is {:.2} times \
             its rates",
            most / peak
        )
    })
}

/// Refuses a plan that asks for more than is safe, and says what would do.
pub(crate) fn refuse_beyond(carries: f64, plan: &Plan, args: &PlayArgs) -> Result<(), Failure> {
    let Some(why) = beyond(carries, plan) else { return Ok(()) };
    Err(Failure::of_invalid(format!(
        "scenario {} cannot be played live: {why}; or play all of it in virtual time:\n  {}",
        plan.scenario.name,
        resolve::command(args, Backend::Simulated),
    )))
}

/// The shipped gateway before a pod that costs nothing, without rate limits and without waiting for probes.
fn plan() -> Result<Plan, Failure> {
    let mut platform = manifests::load(&Source::BuiltIn, "production")?.platform;
    platform.autoscalers.clear();
    for workload in &mut platform.workloads {
        workload.replicas = Some(1);
        for container in &mut workload.containers {
            container.limits.cpu = None;
            (container.startup, container.liveness) = (None, None);
            if let Some(probe) = &mut container.readiness {
                (probe.initial_delay, probe.period) = (Nanos::ZERO, Nanos::from_secs(1_000_000));
            }
        }
    }
    for server in platform.gateway.iter_mut().flat_map(|gateway| &mut gateway.config.servers) {
        server.locations.iter_mut().for_each(|location| location.limits.clear());
    }
    let mut profiles = model::shipped()?;
    let text = PROFILE;
    profiles.insert(WORKLOAD.into(), Profile::parse(text, "self-probe")?);
    let scenario = Scenario::parse(SCENARIO, "self-probe")?;
    let nodes = manifests::load_nodes(None)?;
    Plan::resolve(&scenario, Arc::new(platform), nodes, &profiles, Seed::default())
        .map_err(|error| Failure::new(ExitCode::Internal, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_can_always_be_played() {
        let plan = plan().unwrap();
        assert!(plan.load.peak_rate() > 20_000.0);
    }

    #[test]
    fn what_a_machine_does_not_carry_is_told_with_what_it_does() {
        let plan = plan().unwrap(); // 30,000 requests a second
        assert_eq!(beyond(60_000.0, &plan), None);
        let why = beyond(25_000.0, &plan).unwrap();
        assert!(
            ["30000 requests/s", "about 25000", "Up to 15000", "0.50 times"].iter().all(|part| why.contains(part)),
            "{why}"
        );
    }
}
