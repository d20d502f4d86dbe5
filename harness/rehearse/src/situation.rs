//! What a plan is to objectives: its steps, phases and faults, and what it provokes.

use objectives::{FaultSpan, Objective, Situation};
use record::StepId;
use scenarios::{Bounds, Ending, ExpectationKind, FaultKind, Plan, Requests};
use units::Nanos;

use crate::failure::Failure;

/// How long a fault that nobody undoes takes to heal where the scenario does not say.
const HEALS: Nanos = Nanos::from_secs(60);

/// The plan as objectives see it.
pub(crate) fn situation(plan: &Plan) -> Situation {
    let limits = plan.load.steps.iter().enumerate().filter_map(|(id, step)| Some((StepId(id as u16), step.limit?)));
    Situation {
        scenario: plan.scenario.name.clone(),
        steps: plan.load.step_plans(),
        phases: plan.load.phases.iter().map(|p| (p.name.clone(), p.kind, p.start, p.end)).collect(),
        faults: plan.faults.iter().enumerate().map(|(index, fault)| span(plan, index, fault)).collect(),
        provoked: provoked(plan),
        step_limits: limits.collect(),
        data: (plan.platform.database().is_some(), plan.platform.cache().is_some()),
    }
}

/// A fault is healed when it is over and when the scenario expects requests to be answered again.
fn span(plan: &Plan, index: usize, fault: &scenarios::Fault) -> FaultSpan {
    let expected = plan.expectations.iter().filter_map(|expectation| match expectation.kind {
        ExpectationKind::Recovered { after, within, .. } if after == index => Some(fault.at + within),
        _ => None,
    });
    let undone = fault.lasts.map(|_| fault.end());
    let healed = expected.chain(undone).max().unwrap_or(fault.at + HEALS);
    FaultSpan { name: fault.name.clone(), kind: key(&fault.kind).into(), at: fault.at, healed }
}

/// As a scenario's file calls it.
const fn key(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::PodKill { .. } => "podKill",
        FaultKind::NodeDrain { .. } => "nodeDrain",
        FaultKind::NodeLoss { .. } => "nodeLoss",
        FaultKind::ZoneLoss { .. } => "zoneLoss",
        FaultKind::Partition { .. } => "partition",
        FaultKind::RollingUpdate { .. } => "rollingUpdate",
        FaultKind::BadImage { .. } => "badImage",
        FaultKind::Rollback { .. } => "rollback",
        FaultKind::Latency { .. } => "latency",
        FaultKind::Errors { .. } => "errors",
        FaultKind::Blackhole { .. } => "blackhole",
        FaultKind::DatabaseLoss { .. } => "databaseLoss",
        FaultKind::RedisLoss { .. } => "redisLoss",
        FaultKind::GatewayLoss { .. } => "gatewayLoss",
        FaultKind::NoisyNeighbour { .. } => "noisyNeighbour",
        FaultKind::DnsFailure { .. } => "dnsFailure",
    }
}

/// Steps of which the scenario expects that a rate limiter refuses some.
fn provoked(plan: &Plan) -> Vec<StepId> {
    let mut all = Vec::new();
    for expectation in &plan.expectations {
        let ExpectationKind::Requests { ended: Ending::Rejected, of, is, .. } = &expectation.kind else { continue };
        let some = match is {
            Bounds::Count { max, .. } => *max > 0,
            Bounds::Share { max, .. } => *max > 0.0,
        };
        let meant = |(id, step): (usize, &scenarios::Step)| match of {
            Requests::All => true,
            Requests::Flow(flow) => step.flow == *flow,
            Requests::Step(wanted) => usize::from(wanted.0) == id,
        };
        if some {
            let steps = plan.load.steps.iter().enumerate().filter(|step| meant(*step));
            all.extend(steps.map(|(id, _)| StepId(id as u16)));
        }
    }
    all
}

/// The built-in objectives and those that were asked for: each a line, or a file of documents.
pub(crate) fn objectives(asked: &[String]) -> Result<Vec<Objective>, Failure> {
    let mut all = objectives::built_in();
    for text in asked {
        let path = std::path::Path::new(text);
        let is_file = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        let more = if is_file {
            let document = std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("--objective: cannot read {text}: {error}")))?;
            objectives::parse(&document, text)?
        } else {
            let line = objectives::line(text);
            vec![line.map_err(|message| Failure::usage(format!("--objective \"{text}\": {message}")))?]
        };
        // A document of one's own replaces the built-in one of its name.
        all.retain(|old| !more.iter().any(|new| new.name == old.name));
        all.extend(more);
    }
    Ok(all)
}
