//! What a plan is to objectives: its steps, phases and faults, and what it provokes.

use objectives::{FaultSpan, Objective, ObjectiveError, Selected, Situation};
use record::StepId;
use scenarios::{Bounds, Ending, ExpectationKind, FaultKind, Plan, Problem, Requests, Scenario};
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
        FaultKind::Reset { .. } => "reset",
        FaultKind::PacketLoss { .. } => "packetLoss",
        FaultKind::Blackhole { .. } => "blackhole",
        FaultKind::DatabaseLoss { .. } => "databaseLoss",
        FaultKind::RedisLoss { .. } => "redisLoss",
        FaultKind::GatewayLoss { .. } => "gatewayLoss",
        FaultKind::ConnectionsTaken { .. } => "connectionsTaken",
        FaultKind::Backup { .. } => "backup",
        FaultKind::DiskFull => "diskFull",
        FaultKind::Restore => "restore",
        FaultKind::NoisyNeighbour { .. } => "noisyNeighbour",
        FaultKind::DnsFailure { .. } => "dnsFailure",
        FaultKind::AutoscalerEdit { .. } => "autoscalerEdit",
        FaultKind::Quota(_) => "quota",
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

/// The scenario's own objectives, each a line of its file.
pub(crate) fn own(scenario: &Scenario) -> Result<Vec<Objective>, Failure> {
    let mut all: Vec<Objective> = Vec::new();
    let mut problems = Vec::new();
    for (line, place) in scenario.objectives() {
        match objectives::line(line) {
            Ok(objective) if all.iter().any(|old| old.name == objective.name) => {
                problems.push(Problem { place: *place, what: format!("objective `{line}` stands here twice") });
            }
            Ok(objective) => all.push(objective),
            Err(what) => problems.push(Problem { place: *place, what: format!("an objective: {what}") }),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(scenario.refuse(problems).into()) }
}

/// The built-in objectives, a scenario's own, and those that were asked for: each a line, or a file of documents.
pub(crate) fn objectives(own: &[Objective], asked: &[String]) -> Result<Vec<Objective>, Failure> {
    let mut all = objectives::built_in();
    all.retain(|old| !own.iter().any(|new| new.name == old.name));
    all.extend_from_slice(own);
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

/// Those that a plan can try, with what to watch for them. One of the scenario's that looks at what it does not have is
/// refused with its line.
pub(crate) fn select(scenario: &Scenario, objectives: Vec<Objective>, plan: &Plan) -> Result<Selected, Failure> {
    let place = |title: &str| {
        let means = |line: &str| objectives::line(line).is_ok_and(|own| own.title == title);
        scenario.objectives().iter().find(|(line, _)| means(line)).map(|(_, place)| *place)
    };
    let mut selected = objectives::select(objectives, &situation(plan)).map_err(|error| match &error {
        ObjectiveError::NoSuch { objective, .. } => match place(objective) {
            Some(place) => Failure::from(scenario.refuse(vec![Problem { place, what: error.to_string() }])),
            None => error.into(),
        },
        _ => error.into(),
    })?;
    for objective in &mut selected.objectives {
        if let Some(place) = place(&objective.title) {
            objective.source = format!("{}:{}", scenario.file, place.line);
        }
    }
    Ok(selected)
}
