//! Synthetic runs for tests, made by the recorder itself so that their parts agree with each other.

use std::collections::BTreeMap;

use objectives::Objective;
use record::{
    AlertRehearsal, AlertResult, AlertSpell, AlertVerdict, Asked, Cause, Check, Chronicle, Demand, EventKind, Expected,
    Finding, Hops, MetricReading, NotJudged, Observation, Origin, PhaseKind, PhaseSpan, PlatformStamp, Recorder,
    RecorderPlan, RunResult, ScalingDecision, ScenarioStamp, StandIn, StepId, StepPlan,
};
use units::{Nanos, Purpose, Seed};

use crate::{Played, conclude};

/// What kind of run to make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Fast throughout.
    Pass,
    /// Slow for a while after the step, and two gateway errors.
    Fail,
    /// Nine seconds are judged.
    Undecided,
    /// The driver was late.
    Invalid,
    /// Ended in the middle of the step.
    Interrupted,
    /// No request at all, no autoscaler, no check, no finding.
    Empty,
    /// A fast answer for everyone who gets one, but one in five fails.
    Failures,
    /// A pod of auth-service is killed in the probe: three seconds of losses, and an autoscaler that worked before.
    Fault,
}

pub(crate) const EVERY: [Kind; 8] = [
    Kind::Pass,
    Kind::Fail,
    Kind::Undecided,
    Kind::Invalid,
    Kind::Interrupted,
    Kind::Empty,
    Kind::Failures,
    Kind::Fault,
];

/// Load begins three seconds after the epoch.
const START: u64 = 3;

pub(crate) fn steps() -> Vec<StepPlan> {
    let step = |name: &str, request: &str| StepPlan { flow: "core".into(), name: name.into(), request: request.into() };
    vec![
        step("token", "POST /auth/token"),
        step("profile", "GET /users/me"),
        step("create-transaction", "POST /transactions"),
        StepPlan { flow: "probe".into(), name: "list".into(), request: "GET /transactions".into() },
    ]
}

fn phases(kind: Kind, stretch: u64) -> Vec<PhaseSpan> {
    let lengths = if kind == Kind::Undecided { [4, 1, 8, 2, 2] } else { [10, 30, 90, 15, 5] };
    let names = ["warm-up", "baseline", "step", "probe", "ramp-down"];
    let kinds = [PhaseKind::WarmUp, PhaseKind::Steady, PhaseKind::Steady, PhaseKind::Probe, PhaseKind::RampDown];
    let mut at = START;
    let span = |((name, kind), length): ((&str, PhaseKind), u64)| {
        let (start, end) = (at, at + length * stretch);
        at = end;
        PhaseSpan { name: name.into(), kind, start_us: start * 1_000_000, end_us: end * 1_000_000 }
    };
    names.into_iter().zip(kinds).zip(lengths).map(span).collect()
}

/// The observations of a run; `stretch` makes it longer.
pub(crate) fn observations(kind: Kind, stretch: u64, seed: Seed) -> Vec<Observation> {
    let phases = phases(kind, stretch);
    let second = |us: u64| us / 1_000_000;
    let (step_at, last) = (second(phases[2].start_us), second(phases[4].end_us));
    let probe_at = second(phases[3].start_us);
    let last = if kind == Kind::Interrupted { step_at + 20 } else { last };
    let mut all = Vec::new();
    let (first, rate) = (START, if kind == Kind::Undecided { 6 } else { 40 });
    let mut arrival = 0;
    for at in first..last {
        let into = at.saturating_sub(step_at);
        let count = if at < step_at { rate } else { rate * 3 / 2 };
        // The queue grows for 24 s after the step, stands, and empties within 4 s of the last new pods.
        let queue_ms = match (kind, at >= step_at, into) {
            (Kind::Fail, true, 0..24) => into * 75,
            (Kind::Fail, true, 24..36) => 1_800,
            (Kind::Fail, true, 36..40) => (40 - into) * 450,
            (Kind::Undecided, ..) => u64::from(at % 3 == 0) * 900,
            _ => 0,
        };
        for index in 0..count {
            arrival += 1;
            let draw = |purpose| seed.draw_nth(arrival, purpose);
            let step = draw(Purpose::Journey).below(3) as u16;
            let intended = Nanos::from_micros(at * 1_000_000 + index * 1_000_000 / count);
            let cpu = Nanos::from_secs_f64(0.012 + 0.02 * draw(Purpose::Cpu).exponential() * f64::from(step + 1) / 2.0);
            let wait = Nanos::from_secs_f64(0.010 * draw(Purpose::Wait).exponential());
            let queue = if step == 2 && (kind == Kind::Fail || index == 2) {
                Nanos::from_millis(queue_ms)
            } else {
                Nanos::ZERO
            };
            let lag = Nanos::from_micros(if kind == Kind::Invalid { 30_000 } else { 120 });
            let fails = match kind {
                Kind::Failures if draw(Purpose::Failure).unit() < 0.2 => Cause::ServerError,
                Kind::Fail if arrival % 3_001 == 0 => Cause::Gateway,
                Kind::Fault if index % 4 == 0 && (probe_at..probe_at + 3).contains(&at) => Cause::Reset,
                _ => Cause::None,
            };
            all.push(Observation {
                arrival,
                step: StepId(step),
                intended,
                sent: intended + lag,
                done: intended + lag + cpu + wait + queue + Nanos::from_micros(900),
                status: if fails == Cause::None { 200 } else { 502 },
                cause: fails,
                hops: Hops {
                    queue_us: queue.as_micros() as u32,
                    cpu_us: cpu.as_micros() as u32,
                    wait_us: wait.as_micros() as u32,
                    ..Hops::default()
                },
                ..Observation::default()
            });
        }
        if kind == Kind::Fail && at >= second(phases[3].start_us) && at < second(phases[3].end_us) {
            for index in 0..25 {
                arrival += 1;
                let intended = Nanos::from_micros(at * 1_000_000 + index * 40_000);
                let cause = if index >= 10 { Cause::Limited } else { Cause::None };
                let done = intended + Nanos::from_millis(4);
                all.push(Observation {
                    arrival,
                    step: StepId(3),
                    intended,
                    sent: intended,
                    done,
                    cause,
                    ..Observation::default()
                });
            }
        }
    }
    all
}

fn chronicle(kind: Kind, phases: &[PhaseSpan]) -> Chronicle {
    let mut chronicle = Chronicle::default();
    if kind == Kind::Empty {
        return chronicle;
    }
    let replicas =
        |workload: &str, desired, ready| EventKind::ReplicasChanged { workload: workload.into(), desired, ready };
    chronicle.note(Nanos::from_secs(1), replicas("auth-service", 2, 2));
    chronicle.note(Nanos::from_secs(2), replicas("transactions-service", 3, 3));
    let step = Nanos::from_micros(phases[2].start_us);
    let sync = |current, proposed, desired, value, unready| {
        EventKind::Scaling(ScalingDecision {
            autoscaler: "transactions-service-hpa".into(),
            workload: "transactions-service".into(),
            current,
            proposed,
            desired,
            metrics: vec![
                MetricReading {
                    metric: "cpu".into(),
                    value: Some(value),
                    target: 70,
                    unit: "%".into(),
                    proposal: Some(proposed),
                    pods_counted: current - unready,
                    pods_unready: unready,
                    pods_missing: 0,
                    sample_age_us: 9_200_000,
                    error: None,
                    average_milli: None,
                },
                MetricReading {
                    metric: "memory".into(),
                    value: None,
                    target: 80,
                    unit: "%".into(),
                    proposal: None,
                    pods_counted: 0,
                    pods_unready: 0,
                    pods_missing: 3,
                    sample_age_us: 0,
                    error: Some("no sample of any pod".into()),
                    average_milli: None,
                },
            ],
            able_to_scale: "SucceededRescale".into(),
            scaling_active: "ValidMetricFound".into(),
            scaling_limited: if proposed > 10 { "TooManyReplicas" } else { "DesiredWithinRange" }.into(),
            stabilized: None,
            forecast: None,
            conditions: Vec::new(),
        })
    };
    chronicle.note(Nanos::from_secs(8), sync(3, 3, 3, 48, 0));
    if matches!(kind, Kind::Fail | Kind::Fault) {
        chronicle.note(step + Nanos::from_millis(7_200), sync(3, 6, 6, 135, 0));
        chronicle.note(step + Nanos::from_millis(7_200), replicas("transactions-service", 6, 3));
        chronicle.note(step + Nanos::from_millis(20_400), replicas("transactions-service", 6, 5));
        chronicle.note(step + Nanos::from_millis(21_000), replicas("transactions-service", 6, 6));
        chronicle.note(step + Nanos::from_millis(22_200), sync(6, 14, 10, 106, 3));
        chronicle.note(step + Nanos::from_millis(22_200), replicas("transactions-service", 10, 6));
        chronicle.note(step + Nanos::from_millis(36_400), replicas("transactions-service", 10, 10));
    }
    if kind == Kind::Fault {
        let began = Nanos::from_micros(phases[3].start_us);
        let endpoints = |ready| EventKind::EndpointsChanged { service: "auth-service".into(), ready };
        let killed = "one pod of auth-service is killed".to_owned();
        chronicle.note(began, endpoints(2));
        chronicle.note(began, EventKind::FaultBegan { fault: "pod kill".into(), what: killed });
        chronicle.note(began + Nanos::from_millis(1_300), endpoints(1));
        chronicle.note(began + Nanos::from_millis(1_300), replicas("auth-service", 2, 1));
        chronicle.note(began + Nanos::from_millis(11_400), replicas("auth-service", 2, 2));
        chronicle.note(began + Nanos::from_millis(11_400), endpoints(2));
    }
    chronicle
}

/// A replica gives 0.2 cores at its target: not quite three are needed before the step, and more than four after it.
fn demand() -> Demand {
    Demand {
        workload: "transactions-service".into(),
        replica_us_per_s: 200_000,
        step_us: vec![2_000, 4_000, 36_000, 0],
    }
}

/// That of the core flow alone.
pub(crate) fn objectives() -> Vec<Objective> {
    let core = objectives::built_in().into_iter().find(|objective| objective.name == "core-latency");
    core.into_iter().collect()
}

/// What a scenario of these steps and phases is to objectives.
pub(crate) fn situation(phases: &[PhaseSpan]) -> objectives::Situation {
    let start = phases.first().map_or(0, |phase| phase.start_us);
    let at = |us: u64| Nanos::from_micros(us - start);
    objectives::Situation {
        scenario: "smoke".into(),
        steps: steps(),
        phases: phases.iter().map(|p| (p.name.clone(), p.kind, at(p.start_us), at(p.end_us))).collect(),
        ..objectives::Situation::default()
    }
}

pub(crate) fn played(kind: Kind, stretch: u64) -> Played {
    let phases = phases(kind, stretch);
    let watches = objectives::select(objectives(), &situation(&phases)).unwrap().watches;
    let mut recorder = Recorder::new(RecorderPlan { steps: steps(), phases: phases.clone(), watches });
    let seen = if kind == Kind::Empty { vec![] } else { observations(kind, stretch, Seed::new(42)) };
    for observation in &seen {
        recorder.observe(observation);
    }
    let bounds = if kind == Kind::Empty { BTreeMap::new() } else { [("transactions-service".into(), (3, 10))].into() };
    let check = |name: &str, ok, measured: &str, limit: &str| Check {
        name: name.into(),
        ok,
        measured: measured.into(),
        limit: limit.into(),
    };
    let late = kind == Kind::Invalid;
    let checks = vec![
        check("Offered load was sent", true, "100.0 %", "≥ 99 %"),
        check("Driver lag, p99", !late, if late { "30.0 ms" } else { "0.1 ms" }, "≤ 16 ms"),
    ];
    let expectations = vec![Expected {
        told: "rejected requests of flow probe in phase probe are between 5 % and 60 %".into(),
        held: true,
        seen: "37.0 % of 480 requests rejected".into(),
    }];
    let findings = vec![Finding {
        id: "limiter-answers-503".into(),
        consequence: "The 429 alert can never fire.".into(),
        because: "The gateway sets no limit_req_status, so a rejected request is a 503.".into(),
        place: "base/gateway/nginx-configmap.yaml:12".into(),
    }];
    let stand_ins = vec![
        StandIn {
            what: "profile of transactions-service".into(),
            how: "assumed: 30 ms of CPU a create".into(),
            origin: Origin::Assumed,
        },
        StandIn { what: "gateway".into(), how: "follows nginx's rules".into(), origin: Origin::Documented },
    ];
    let empty = kind == Kind::Empty;
    let ended = if kind == Kind::Interrupted { phases[2].start_us + 20_000_000 } else { phases[4].end_us };
    Played {
        scenario: ScenarioStamp {
            name: "smoke".into(),
            question: "Does the core flow keep its limit when creates rise?".into(),
            digest: "0123456789ab".into(),
        },
        platform: PlatformStamp {
            source: "built-in".into(),
            overlay: "production".into(),
            namespace: "selfmonitor".into(),
            digest: "8c1f2e7a90bd".into(),
        },
        backend: "embedded".into(),
        seed: Seed::new(42),
        load_start_us: START * 1_000_000,
        load_end_us: ended,
        chronicle: chronicle(kind, &phases),
        phases,
        bounds,
        recording: recorder.finish(),
        demands: if empty { vec![] } else { vec![demand()] },
        expectations: if empty { vec![] } else { expectations },
        checks: if empty { vec![] } else { checks },
        findings: if empty { vec![] } else { findings },
        stand_ins: if empty { vec![] } else { stand_ins },
        not_judged: vec![NotJudged {
            objective: "node-cpu".into(),
            title: "Node CPU".into(),
            figure: "≤ 85 %".into(),
            source: "docs/operations/alerts.md:7".into(),
            why: "a run does not record what its nodes use".into(),
        }],
        look: None,
        interrupted: kind == Kind::Interrupted,
    }
}

pub(crate) fn result(kind: Kind) -> RunResult {
    RunResult { alerts: Some(alerts()), ..conclude(played(kind, 1), &objectives()) }
}

/// One alert of each verdict; the first fired.
fn alerts() -> AlertRehearsal {
    let alert = |verdict, name: &str, told: &str| AlertResult {
        alert: name.into(),
        group: "alerts.yml: platform".into(),
        expr: "up == 0".into(),
        severity: "critical".into(),
        for_us: 120_000_000,
        verdict,
        told: told.into(),
        because: Vec::new(),
        peak: None,
        needs_us: None,
        spells: Vec::new(),
    };
    let spell = AlertSpell {
        labels: "{pod=\"a-1\"}".into(),
        summary: "a-1 cannot be scraped".into(),
        pending_us: 15_000_000,
        firing_us: Some(45_000_000),
        ended_us: None,
    };
    let fired = alert(AlertVerdict::Fired, "TargetDown", "fires at 0:40, and still fires at the end.");
    AlertRehearsal {
        source: "monitoring/prometheus".into(),
        interval_us: 15_000_000,
        alerts: vec![
            AlertResult { spells: vec![spell], ..fired },
            alert(AlertVerdict::Blind, "TooMany", "cannot fire: it counts 429, and limits answer 503."),
            alert(AlertVerdict::Quiet, "Slow", "is quiet; at most 0.2 of 0.8."),
        ],
        ..AlertRehearsal::default()
    }
}

pub(crate) fn asked() -> Asked {
    Asked {
        schema: "rehearse/run/v1".into(),
        version: "0.1.0".into(),
        command: "rehearse run smoke --backend embedded --seed 42".into(),
        scenario: "smoke".into(),
        backend: "embedded".into(),
        seed: Seed::new(42),
        platform: PlatformStamp { overlay: "production".into(), ..PlatformStamp::default() },
        nodes: vec!["worker-1: 8 CPU, 32Gi, zone a".into()],
    }
}
