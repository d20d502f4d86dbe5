//! A run that was cut off, told as far as it came.
//!
//! Before load begins, `begun.json` takes down everything that judging needs and that a later process could not find
//! again: the platform may have changed, or came from standard input.

use std::collections::BTreeMap;
use std::path::Path;

use objectives::Objective;
use record::{
    Asked, Check, Chronicle, Demand, EventKind, Finding, Look, NotJudged, PhaseSpan, Recorder, RecorderPlan, RunFolder,
    RunResult, ScenarioStamp, StandIn, StepPlan, Unfinished, Watch,
};
use reports::Played;
use serde::{Deserialize, Serialize};
use units::Nanos;

use crate::failure::Failure;
use crate::resolve::Rehearsal;

/// `begun.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// `rehearse/begun/v1`.
    schema: String,
    scenario: ScenarioStamp,
    /// From the start of load on.
    phases: Vec<PhaseSpan>,
    steps: Vec<StepPlan>,
    /// The journey of each step.
    journeys: BTreeMap<String, String>,
    watches: Vec<Watch>,
    objectives: Vec<Objective>,
    tightest_limit: Nanos,
    demands: Vec<Demand>,
    not_judged: Vec<NotJudged>,
    #[serde(default)]
    look: Option<Look>,
    bounds: BTreeMap<String, (u32, u32)>,
    findings: Vec<Finding>,
    stand_ins: Vec<StandIn>,
}

impl Begun {
    pub(crate) fn of(rehearsal: &Rehearsal, findings: Vec<Finding>) -> Self {
        let load = &rehearsal.plan.load;
        Self {
            schema: "rehearse/begun/v1".into(),
            scenario: rehearsal.plan.scenario.clone(),
            phases: load.phase_spans(Nanos::ZERO),
            steps: load.step_plans(),
            journeys: journeys(load),
            watches: rehearsal.watches.clone(),
            objectives: rehearsal.objectives.clone(),
            tightest_limit: rehearsal.tightest_limit(),
            demands: rehearsal.plan.demands(),
            not_judged: rehearsal.not_judged.clone(),
            look: rehearsal.look.clone(),
            bounds: rehearsal.bounds(),
            findings,
            stand_ins: rehearsal.stand_ins.clone(),
        }
    }
}

/// The journey of each step, by the step's name.
pub(crate) fn journeys(load: &scenarios::LoadPlan) -> BTreeMap<String, String> {
    let steps = |journey: &scenarios::JourneyPlan| {
        let name = journey.name.clone();
        journey.steps.iter().map(|id| (load.step(*id).name.clone(), name.clone())).collect::<Vec<_>>()
    };
    load.journeys.iter().flat_map(steps).collect()
}

/// Says of each step which journey it belongs to.
pub(crate) fn name_journeys(result: &mut RunResult, journeys: &BTreeMap<String, String>) {
    for step in &mut result.steps {
        step.journey = journeys.get(&step.step).cloned().unwrap_or_default();
    }
}

/// Finishes the run in `folder`, if it was cut off: writes its `result.json` from what it kept second by second.
/// Answers in a sentence what was done; `None` for a run that has a result.
pub(crate) fn finish(folder: &Path) -> Result<Option<String>, Failure> {
    let Some(Unfinished { folder: open, events, observations }) = RunFolder::interrupted(folder)? else {
        return Ok(None);
    };
    let asked: Asked = RunFolder::read_json(folder, "run.json")?;
    let begun: Begun = RunFolder::read_begun(folder)?;
    // Load began as `Live` and the stage reckon it; never, if the platform was not ready.
    let ready = events.iter().find(|event| event.kind == EventKind::PlatformReady);
    let load_start = ready.map(|event| Nanos::from_micros(event.at_us).ceil_to_second() + Nanos::from_secs(1));
    let start = load_start.unwrap_or(Nanos::ZERO);
    let shift = |span: &PhaseSpan| PhaseSpan {
        start_us: span.start_us + start.as_micros(),
        end_us: span.end_us + start.as_micros(),
        ..span.clone()
    };
    let phases: Vec<PhaseSpan> = begun.phases.iter().map(shift).collect();
    let plan = RecorderPlan { steps: begun.steps, phases: phases.clone(), watches: begun.watches };
    let mut recorder = Recorder::new(plan);
    let mut last = start;
    for observation in &observations {
        recorder.observe(observation);
        last = last.max(observation.done);
    }
    let end = phases.last().map_or(start.as_micros(), |phase| phase.end_us);
    let recording = recorder.finish();
    let played = Played {
        scenario: begun.scenario,
        platform: asked.platform,
        backend: asked.backend,
        seed: asked.seed,
        load_start_us: start.as_micros(),
        load_end_us: last.as_micros().clamp(start.as_micros(), end.max(start.as_micros())),
        phases,
        chronicle: Chronicle::of(events),
        bounds: begun.bounds,
        demands: begun.demands,
        not_judged: begun.not_judged,
        look: begun.look,
        expectations: Vec::new(), // they are about a whole run
        checks: checks(&recording, begun.tightest_limit, load_start.map(|start| last - start)),
        recording,
        findings: begun.findings,
        stand_ins: begun.stand_ins,
        interrupted: true,
    };
    let mut result = reports::conclude(played, &begun.objectives);
    name_journeys(&mut result, &begun.journeys);
    open.result(&result)?;
    Ok(Some(match load_start {
        Some(start) => format!(
            "this run was cut off; finished from what it had kept, up to {} s after load began",
            (last - start).as_secs()
        ),
        None => "this run was cut off before load began: nothing was measured".to_owned(),
    }))
}

fn checks(recording: &record::Recording, tightest: Nanos, lasted: Option<Nanos>) -> Vec<Check> {
    let mut checks = reports::validity(recording, tightest);
    checks.push(Check {
        name: "the run came to its end".into(),
        ok: false,
        measured: match lasted {
            Some(lasted) => format!("it was cut off {} s after load began", lasted.as_secs()),
            None => "it was cut off before load began".into(),
        },
        limit: "its own end, or an interrupt".into(),
    });
    checks
}
