//! Objectives meet a scenario: which of them it says something about, what of it, and why not of the others.

use record::{Bad, NotJudged, PhaseKind, StepId, StepPlan, Watch};
use units::Nanos;

use crate::error::nearest;
use crate::objective::{Faults, Goal, Objective, Requests, Subject};
use crate::{ObjectiveError, line};

/// What must be known of a scenario on its platform. Instants count from the start of load.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// Name of the scenario.
    pub scenario: String,
    /// Its steps.
    pub steps: Vec<StepPlan>,
    /// Its phases: name, kind, start, end.
    pub phases: Vec<(String, PhaseKind, Nanos, Nanos)>,
    /// What goes wrong in it.
    pub faults: Vec<FaultSpan>,
    /// Steps whose rejects it provokes.
    pub provoked: Vec<StepId>,
    /// Documented limits of its steps, by step; they do not gate.
    pub step_limits: Vec<(StepId, Nanos)>,
    /// Whether the platform has a database, and whether it has a cache.
    pub data: (bool, bool),
}

/// A fault on the timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultSpan {
    /// Its name.
    pub name: String,
    /// Its kind as the scenario's file calls it, such as `rollingUpdate`.
    pub kind: String,
    /// When it begins.
    pub at: Nanos,
    /// When it is healed, as far as the scenario says: its end, or when it must have recovered.
    pub healed: Nanos,
}

impl FaultSpan {
    /// Whether pods stay on nodes that nobody reaches, until they are evicted after five minutes.
    fn takes_nodes(&self) -> bool {
        ["nodeLoss", "zoneLoss", "partition"].contains(&self.kind.as_str())
    }

    /// Whether it is done on purpose and with care, so that objectives hold during it, too.
    fn planned(&self) -> bool {
        ["rollingUpdate", "rollback", "badImage", "nodeDrain", "backup"].contains(&self.kind.as_str())
    }
}

/// What a run of the situation judges.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    /// Objectives, with their scope; those that are drawn before others first.
    pub objectives: Vec<Objective>,
    /// What to count for them. Those that look at events have none.
    pub watches: Vec<Watch>,
    /// The others, each with the reason.
    pub not_judged: Vec<NotJudged>,
}

/// Chooses from `objectives` what a run in `situation` judges.
///
/// # Errors
/// If one that was `asked` for by name looks at what the situation does not have: it would hold without having been
/// tried.
pub fn select(objectives: Vec<Objective>, situation: &Situation) -> Result<Selected, ObjectiveError> {
    let mut selected = Selected::default();
    // A step's limit in the scenario is no news where a document promises the same.
    let promised = |objective: &Objective| {
        matches!(&objective.requests, Requests::Step(step) if objectives.iter().any(
            |other| other.requests == Requests::Step(step.clone()) && other.scenarios.contains(&situation.scenario)
        ))
    };
    let of_steps: Vec<Objective> = of_steps(situation).into_iter().filter(|objective| !promised(objective)).collect();
    for mut objective in objectives.into_iter().chain(of_steps) {
        match judged(&objective, situation) {
            Ok((scope, watch)) => {
                objective.scope = scope;
                selected.watches.extend(watch);
                selected.objectives.push(objective);
            }
            Err(Why::Unknown { what, name, known }) if objective.scenarios.is_empty() && objective.asked() => {
                return Err(ObjectiveError::NoSuch {
                    objective: objective.title,
                    what,
                    nearest: nearest(&name, &known),
                    name,
                    known,
                });
            }
            Err(why) => selected.not_judged.push(NotJudged {
                figure: objective.figure(),
                objective: objective.name,
                title: objective.title,
                source: objective.source,
                why: why.in_words(),
            }),
        }
    }
    Ok(selected)
}

impl Objective {
    /// Whether somebody asked for it in so many words, and no document.
    fn asked(&self) -> bool {
        self.source == "as asked for"
    }
}

enum Why {
    /// It names what is not there.
    Unknown {
        what: &'static str,
        name: String,
        known: Vec<String>,
    },
    Else(String),
}

impl Why {
    fn in_words(self) -> String {
        match self {
            Self::Unknown { what, name, .. } => format!("this scenario has no {what} `{name}`"),
            Self::Else(why) => why,
        }
    }
}

fn judged(objective: &Objective, situation: &Situation) -> Result<(String, Option<Watch>), Why> {
    let of = |why: &str| Why::Else(why.into());
    if !objective.scenarios.is_empty() && !objective.scenarios.contains(&situation.scenario) {
        return Err(Why::Else(format!("promised for scenario {} alone", objective.scenarios.join(" or "))));
    }
    match objective.goal {
        Goal::Regression { .. } => {
            return Err(of("judged by comparison: `rehearse run --against`, `rehearse compare`"));
        }
        Goal::Usage { .. } => return Err(of("a run does not record what its nodes use")),
        Goal::Down { what: Subject::Database, .. } if !situation.data.0 => {
            return Err(of("the platform has no database"));
        }
        Goal::Down { what: Subject::Cache, .. } if !situation.data.1 => return Err(of("the platform has no cache")),
        Goal::Down { what: Subject::Target, .. } if situation.faults.iter().any(FaultSpan::takes_nodes) => {
            return Err(of("the scenario takes whole nodes away, and their targets with them"));
        }
        Goal::Down { .. } => return Ok(("from the end of the warm-up to the end of load, by events".into(), None)),
        Goal::Share { .. } | Goal::Rate { .. } | Goal::Count { .. } | Goal::Recovery { .. } => {}
    }
    let steps = steps(&objective.requests, &situation.steps)?;
    let (kinds, spans, when) = times(objective, situation)?;
    let bad = match objective.goal {
        Goal::Share { bad, .. } | Goal::Rate { bad, .. } | Goal::Count { bad, .. } => bad,
        _ => Bad::Failed,
    };
    let whom = match &objective.requests {
        Requests::All => "all requests".to_owned(),
        Requests::Flow(name) => format!("flow {name}"),
        Requests::Named(name) if situation.steps.iter().any(|step| step.flow == *name) => format!("flow {name}"),
        Requests::Step(name) | Requests::Named(name) => format!("step {name}"),
    };
    let watch = Watch {
        objective: objective.name.clone(),
        steps,
        phases: kinds,
        limit: objective.limit(),
        bad,
        spans,
        provoked: situation.provoked.clone(),
    };
    Ok((format!("{whom}, {when}"), Some(watch)))
}

fn steps(requests: &Requests, steps: &[StepPlan]) -> Result<Vec<StepId>, Why> {
    let of = |belongs: &dyn Fn(&StepPlan) -> bool| -> Vec<StepId> {
        let all = steps.iter().enumerate().filter(|(_, step)| belongs(step));
        all.map(|(index, _)| StepId(index as u16)).collect()
    };
    let flows = || {
        let mut names: Vec<String> = steps.iter().map(|step| step.flow.clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    let names = || steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
    let (found, what, name, known) = match requests {
        Requests::All => return Ok(of(&|_| true)),
        Requests::Flow(name) => (of(&|step| step.flow == *name), "flow", name, flows()),
        Requests::Step(name) => (of(&|step| step.name == *name), "step", name, names()),
        Requests::Named(name) => {
            let flow = of(&|step| step.flow == *name);
            let found = if flow.is_empty() { of(&|step| step.name == *name) } else { flow };
            (found, "flow or step", name, flows().into_iter().chain(names()).collect())
        }
    };
    if found.is_empty() { Err(Why::Unknown { what, name: name.clone(), known }) } else { Ok(found) }
}

type Spans = Vec<(Nanos, Nanos)>;

/// Which kinds of phase, which stretches of them, and both in words.
fn times(objective: &Objective, situation: &Situation) -> Result<(Vec<PhaseKind>, Spans, String), Why> {
    let end = situation.phases.last().map_or(Nanos::ZERO, |phase| phase.3);
    let mut kinds = objective.phases.clone();
    let mut spans: Option<Spans> = None;
    let mut when = format!("{} phases", kinds.iter().map(|kind| word(*kind)).collect::<Vec<_>>().join(" and "));
    if !objective.named_phases.is_empty() {
        let mut named = Vec::new();
        kinds.clear();
        for name in &objective.named_phases {
            let Some(phase) = situation.phases.iter().find(|phase| phase.0 == *name) else {
                let known = situation.phases.iter().map(|phase| phase.0.clone());
                let known = ["steady", "probe", "warm-up", "ramp-down"].map(str::to_owned).into_iter().chain(known);
                return Err(Why::Unknown { what: "phase", name: name.clone(), known: known.collect() });
            };
            kinds.push(phase.1);
            named.push((phase.2, phase.3));
        }
        spans = Some(named);
        when = format!("phase {}", objective.named_phases.join(" and "));
    } else if !situation.phases.iter().any(|phase| kinds.contains(&phase.1)) {
        return Err(Why::Else(format!("this scenario has no {when}")));
    }
    let meant = |fault: &&FaultSpan, wanted: &str| fault.kind == wanted || fault.name == wanted;
    match &objective.faults {
        Faults::Include => {}
        Faults::Outside => {
            let hit: Vec<&FaultSpan> = situation.faults.iter().filter(|fault| !fault.planned()).collect();
            if !hit.is_empty() {
                let mut whole = spans.unwrap_or_else(|| vec![(Nanos::ZERO, end)]);
                for fault in &hit {
                    whole = whole.into_iter().flat_map(|span| without(span, (fault.at, fault.healed))).collect();
                }
                if whole.is_empty() {
                    return Err(Why::Else("no moment of this scenario is without a fault".into()));
                }
                spans = Some(whole);
                when += ", outside of faults";
            }
        }
        Faults::During(wanted) => {
            let during: Spans = situation
                .faults
                .iter()
                .filter(|fault| meant(fault, wanted))
                .map(|fault| (fault.at, fault.healed.max(fault.at + Nanos::from_secs(1))))
                .collect();
            if during.is_empty() {
                let known = situation.faults.iter().flat_map(|fault| [fault.name.clone(), fault.kind.clone()]);
                return Err(Why::Unknown { what: "fault", name: wanted.clone(), known: known.collect() });
            }
            kinds = ALL_KINDS.to_vec();
            spans = Some(during);
            when = format!("during {wanted}");
        }
        Faults::After(wanted) => {
            let mut after =
                situation.faults.iter().filter(|fault| wanted.as_ref().is_none_or(|wanted| meant(fault, wanted)));
            let Some(fault) = after.next() else {
                let known = situation.faults.iter().map(|fault| fault.name.clone()).collect();
                return Err(match wanted {
                    Some(name) => Why::Unknown { what: "fault", name: name.clone(), known },
                    None => Why::Else("this scenario has no fault to recover from".into()),
                });
            };
            kinds = ALL_KINDS.to_vec();
            spans = Some(vec![(fault.at, end)]);
            when = format!("after {}", fault.name);
        }
    }
    Ok((kinds, spans.unwrap_or_default(), when))
}

const ALL_KINDS: [PhaseKind; 4] = [PhaseKind::WarmUp, PhaseKind::Steady, PhaseKind::Probe, PhaseKind::RampDown];

fn word(kind: PhaseKind) -> &'static str {
    match kind {
        PhaseKind::WarmUp => "warm-up",
        PhaseKind::Steady => "steady",
        PhaseKind::Probe => "probe",
        PhaseKind::RampDown => "ramp-down",
    }
}

/// What is left of a stretch without another.
fn without(span: (Nanos, Nanos), hole: (Nanos, Nanos)) -> impl Iterator<Item = (Nanos, Nanos)> {
    let before = (span.0, span.1.min(hole.0));
    let behind = (span.0.max(hole.1), span.1);
    [before, behind].into_iter().filter(|(from, to)| from < to)
}

/// The limits that a scenario gives its steps: shown beside the others, and nobody's exit code.
fn of_steps(situation: &Situation) -> Vec<Objective> {
    let of = |(id, limit): &(StepId, Nanos)| {
        let step = &situation.steps[usize::from(id.0)].name;
        let mut objective = line(&format!("p95 < {}ms", limit.as_millis().max(1))).ok()?;
        objective.name = format!("step-{}", step.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "-"));
        objective.title = format!("Step {step}, p95");
        objective.requests = Requests::Step(step.clone());
        objective.source = format!("the limit of the step in scenario {}", situation.scenario);
        objective.gating = false;
        Some(objective)
    };
    situation.step_limits.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::built_in;

    fn situation(scenario: &str, flows: &[&str], faults: Vec<FaultSpan>) -> Situation {
        let step =
            |flow: &&str| StepPlan { flow: (*flow).into(), name: format!("{flow} step"), request: "GET /".into() };
        let secs = Nanos::from_secs;
        Situation {
            scenario: scenario.into(),
            steps: flows.iter().map(step).collect(),
            phases: vec![
                ("warm-up".into(), PhaseKind::WarmUp, secs(0), secs(20)),
                ("steady".into(), PhaseKind::Steady, secs(20), secs(320)),
            ],
            faults,
            data: (true, true),
            ..Situation::default()
        }
    }

    fn fault(kind: &str, at: u64, healed: u64) -> FaultSpan {
        FaultSpan { name: "it".into(), kind: kind.into(), at: Nanos::from_secs(at), healed: Nanos::from_secs(healed) }
    }

    #[test]
    fn each_scenario_is_judged_by_what_was_promised_for_it() {
        for (scenario, flows, has, lacks) in [
            (
                "nightly",
                &["core", "ai", "tax"][..],
                &["core-latency", "hmrc-success", "ai-alert-latency"][..],
                &["user-flow-latency", "stress-p99", "ai-load-latency", "zero-downtime"][..],
            ),
            ("user-flow", &["core"], &["user-flow-latency", "core-latency"], &["stress-p50", "hmrc-success"]),
            ("stress", &["core"], &["stress-p50", "stress-p95", "stress-p99", "stress-errors"], &["user-flow-latency"]),
            ("ai-agent", &["ai"], &["ai-load-latency", "ai-load-errors"], &["core-latency"]),
        ] {
            let selected = select(built_in(), &situation(scenario, flows, vec![])).unwrap();
            let names: Vec<_> = selected.objectives.iter().map(|o| o.name.as_str()).collect();
            let others: Vec<_> = selected.not_judged.iter().map(|o| o.objective.as_str()).collect();
            for name in has {
                assert!(names.contains(name), "{scenario} judges {name}: {names:?}");
            }
            for name in lacks {
                assert!(others.contains(name) && !names.contains(name), "{scenario} lacks {name}: {others:?}");
            }
            assert_eq!(names.len() + others.len(), built_in().len(), "{scenario}: none is dropped");
        }
    }

    #[test]
    fn faults_are_left_out_and_what_is_planned_is_not() {
        let latency = || vec![built_in().into_iter().find(|o| o.name == "core-latency").unwrap()];
        let secs = Nanos::from_secs;
        for (kind, spans, scope) in [
            ("databaseLoss", vec![(secs(0), secs(50)), (secs(170), secs(320))], "outside of faults"),
            ("rollingUpdate", vec![], "steady phases"),
        ] {
            let selected = select(latency(), &situation("x", &["core"], vec![fault(kind, 50, 170)])).unwrap();
            assert_eq!(selected.watches[0].spans, spans, "{kind}");
            assert!(selected.objectives[0].scope.ends_with(scope), "{kind}: {}", selected.objectives[0].scope);
        }
        let zero = line("failed = 0 during rollingUpdate").unwrap();
        let selected = select(vec![zero], &situation("x", &["core"], vec![fault("rollingUpdate", 50, 170)])).unwrap();
        assert_eq!(selected.watches[0].spans, [(secs(50), secs(170))]);
        assert_eq!(selected.watches[0].phases.len(), 4);
    }

    #[test]
    fn a_line_about_nothing_is_refused_and_a_document_is_told() {
        let error = select(vec![line("p95<1s for cor").unwrap()], &situation("x", &["core"], vec![])).unwrap_err();
        assert!(error.to_string().contains("did you mean `core`?"), "{error}");
        let error = select(vec![line("p95<1s in stedy").unwrap()], &situation("x", &["core"], vec![])).unwrap_err();
        assert!(error.to_string().contains("did you mean `steady`?"), "{error}");
        let selected = select(built_in(), &situation("x", &["core"], vec![])).unwrap();
        let tax = selected.not_judged.iter().find(|o| o.objective == "hmrc-success").unwrap();
        assert_eq!(tax.why, "this scenario has no flow `tax`");
    }
}
