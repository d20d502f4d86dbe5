//! Plays a series: keeps what is so, and lets the autoscaler sync.

use std::collections::{BTreeMap, BTreeSet};

use platform::{Autoscaler, Labels, Workload};
use record::{ScalingCondition, ScalingDecision};
use units::{Milli, Nanos};

use super::record::{CustomRecord, ExternalRecord, PodRecord, Record, SampleRecord};
use super::{Alike, ConditionRecord, PhaseRecord, ReadSpec, Rival, Series, SeriesError, Settings, TruthRecord, labels};
use crate::ClusterConfig;
use crate::hpa::{
    Amounts, ContainerAmounts, CustomMetric, CustomValues, ExternalMetric, FedMetrics, Hpa, Observed, Phase,
    PodRequests, PodView, Ready, Sample, Scale, SelectorState, Truth, whole_seconds,
};

/// The creation of the autoscaler on the machine's scale, which knows no negative instants.
const CREATION: Nanos = Nanos::from_secs(1_000_000_000);

/// One sync of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Synced {
    /// Seconds from the creation of the autoscaler.
    pub at_secs: f64,
    /// What came of it.
    pub decision: ScalingDecision,
}

/// A pod with what outlives one sync.
#[derive(Clone, Debug)]
struct Pod {
    name: String,
    labels: Labels,
    requests: PodRequests,
    deleting: bool,
    phase: Phase,
    ready: Option<Ready>,
    started: Option<Nanos>,
}

/// The resource sample of a pod.
#[derive(Clone, Debug)]
struct Sampled {
    pod: String,
    timestamp: Nanos,
    window: Nanos,
    containers: Vec<ContainerAmounts>,
}

/// Pods that follow the replicas, with the usage that they share.
struct Crowd {
    pod: Pod,
    usage: Vec<(String, i64)>,
}

/// What is so at an instant.
struct World<'a> {
    target: Option<&'a Workload>,
    scale: Scale,
    follows: bool,
    selector: String,
    get_error: Option<String>,
    update_error: Option<String>,
    pods: Vec<Pod>,
    crowd: Option<Crowd>,
    /// Containers by the name of the pod that was seen with them.
    known: BTreeMap<String, PodRequests>,
    samples: Vec<Sampled>,
    samples_error: Option<String>,
    fed: FedMetrics,
    rivals: Vec<Rival>,
}

pub(super) fn play(
    series: &Series,
    declared: &Autoscaler,
    target: Option<&Workload>,
    config: &ClusterConfig,
    read: ReadSpec<'_>,
) -> Result<Vec<Synced>, SeriesError> {
    let mut config = config.clone();
    for (index, (line, record)) in series.records.iter().enumerate() {
        if let Some(settings) = &record.settings {
            if index > 0 {
                return Err(
                    series.refused(*line, "settings: the controller is started once: put them in the first record")
                );
            }
            set(&mut config, settings).map_err(|problem| series.refused(*line, &problem))?;
        }
    }
    let mut autoscaler = Hpa::new(declared, &declared.reference.name, &config);
    let mut world = World {
        target,
        scale: Scale::default(),
        follows: true,
        selector: "app=target".to_owned(),
        get_error: None,
        update_error: None,
        pods: Vec::new(),
        crowd: None,
        known: BTreeMap::new(),
        samples: Vec::new(),
        samples_error: None,
        fed: FedMetrics::default(),
        rivals: Vec::new(),
    };
    let last = series.records.last().map_or(0.0, |(_, record)| record.at);
    let mut records = series.records.iter().peekable();
    let mut synced = Vec::new();
    let mut since = config.hpa_sync;
    loop {
        let now = CREATION + since;
        while let Some((line, record)) = records.next_if(|(_, record)| instant(record.at) <= now) {
            let refused = |problem: String| series.refused(*line, &problem);
            begin(&mut autoscaler, record, synced.is_empty()).map_err(refused)?;
            if let Some(spec) = &record.spec {
                autoscaler.declare(&read(spec).map_err(|why| refused(format!("spec: {why}")))?);
            }
            world.apply(record).map_err(refused)?;
        }
        let decision = world.sync(now, declared, &mut autoscaler);
        synced.push(Synced { at_secs: since.as_secs_f64(), decision });
        since += config.hpa_sync;
        if since.as_secs_f64() > last {
            // Every record is looked at, also one that no sync sees.
            for (line, record) in records {
                world.apply(record).map_err(|problem| series.refused(*line, &problem))?;
            }
            return Ok(synced);
        }
    }
}

fn instant(at: f64) -> Nanos {
    let distance = Nanos::from_secs_f64(at.abs());
    if at < 0.0 { CREATION - distance } else { CREATION + distance }
}

fn set(config: &mut ClusterConfig, settings: &Settings) -> Result<(), String> {
    let span = |name: &str, secs: Option<f64>, default: Nanos| match secs {
        None => Ok(default),
        Some(secs) if secs.is_finite() && (0.0..1e6).contains(&secs) => Ok(Nanos::from_secs_f64(secs)),
        Some(secs) => Err(format!("settings.{name}: {secs} is no length of time: write seconds from 0 up")),
    };
    config.hpa_sync = span("syncPeriod", settings.sync_period, config.hpa_sync)?;
    if config.hpa_sync < Nanos::from_secs(1) {
        return Err("settings.syncPeriod: is below 1 s: write seconds from 1 up".to_owned());
    }
    config.downscale_stabilization =
        span("downscaleStabilization", settings.downscale_stabilization, config.downscale_stabilization)?;
    config.cpu_initialization =
        span("cpuInitializationPeriod", settings.cpu_initialization_period, config.cpu_initialization)?;
    config.initial_readiness_delay =
        span("initialReadinessDelay", settings.initial_readiness_delay, config.initial_readiness_delay)?;
    if let Some(tolerance) = settings.tolerance {
        if !(tolerance.is_finite() && tolerance >= 0.0) {
            return Err(format!("settings.tolerance: {tolerance} is no share: write a number from 0 up, such as 0.1"));
        }
        config.tolerance = tolerance;
    }
    for (gate, on) in &settings.feature_gates {
        match gate.as_str() {
            "HPAConfigurableTolerance" => config.gates.configurable_tolerance = Some(*on),
            "HPAScaleToZero" => config.gates.scale_to_zero = Some(*on),
            other => {
                return Err(format!(
                    "settings.featureGates: `{other}` is not asked by the autoscaler: write HPAConfigurableTolerance or \
                     HPAScaleToZero"
                ));
            }
        }
    }
    Ok(())
}

/// What the controller remembers from before its first sync.
fn begin(autoscaler: &mut Hpa, record: &Record, first: bool) -> Result<(), String> {
    let early = |field: &str| {
        if first { Ok(()) } else { Err(format!("{field}: only before the first sync: give it an earlier `at`")) }
    };
    let then = instant(record.at);
    if let Some(replicas) = record.recommendation {
        early("recommendation")?;
        autoscaler.recall_recommendation(then, replicas);
    }
    if let Some(change) = record.scaled {
        early("scaled")?;
        autoscaler.recall_change(then, change.from, change.to);
    }
    if record.rivals.is_some() {
        early("rivals")?;
    }
    if let Some(conditions) = &record.conditions {
        early("conditions")?;
        let one = |condition: &ConditionRecord| ScalingCondition {
            kind: condition.kind.clone().into(),
            status: format!("{:?}", condition.status).into(),
            reason: condition.reason.clone().into(),
            message: condition.message.clone().into(),
        };
        autoscaler.recall_conditions(conditions.iter().map(one).collect());
    }
    Ok(())
}

fn amounts(field: &str, list: &BTreeMap<String, String>) -> Result<Amounts, String> {
    let mut amounts = Amounts::default();
    for (resource, text) in list {
        amounts.set(resource, quantity(&format!("{field}.{resource}"), text)?);
    }
    Ok(amounts)
}

fn quantity(field: &str, text: &str) -> Result<i64, String> {
    text.parse::<Milli>().map(Milli::get).map_err(|error| format!("{field}: {error}"))
}

fn no_text_is_none(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

impl World<'_> {
    fn apply(&mut self, record: &Record) -> Result<(), String> {
        if let Some(scale) = &record.scale {
            if let Some(spec) = scale.spec {
                self.scale = Scale { spec, status: spec };
            }
            self.scale.status = scale.status.unwrap_or(self.scale.status);
            if self.scale.spec < 0 || self.scale.status < 0 {
                return Err("scale: replicas are below 0: write a whole number from 0 up".to_owned());
            }
            self.follows = scale.follows.unwrap_or(self.follows);
            if let Some(selector) = &scale.selector {
                self.selector.clone_from(selector);
            }
            if let Some(why) = &scale.get_error {
                self.get_error = no_text_is_none(why);
            }
            if let Some(why) = &scale.update_error {
                self.update_error = no_text_is_none(why);
            }
        }
        if let Some(pods) = &record.pods {
            self.pods = pods.iter().map(|pod| self.pod(pod)).collect::<Result<_, _>>()?;
            self.crowd = None;
            unique("pods", self.pods.iter().map(|pod| &pod.name))?;
            self.known.extend(self.pods.iter().map(|pod| (pod.name.clone(), pod.requests.clone())));
        }
        if let Some(Alike { pod, total_usage }) = &record.as_many_as_replicas {
            let usage = total_usage.iter().map(|(resource, text)| {
                Ok((resource.clone(), quantity(&format!("asManyAsReplicas.totalUsage.{resource}"), text)?))
            });
            let pod = self.pod(pod)?;
            self.known.insert(pod.name.clone(), pod.requests.clone());
            self.crowd = Some(Crowd { pod, usage: usage.collect::<Result<_, String>>()? });
        }
        if let Some(samples) = &record.samples {
            self.samples = samples.iter().map(sample).collect::<Result<_, _>>()?;
            unique("samples", self.samples.iter().map(|sample| &sample.pod))?;
        }
        if let Some(why) = &record.samples_error {
            self.samples_error = no_text_is_none(why);
        }
        if let Some(metrics) = &record.custom {
            self.fed.custom = metrics.iter().map(custom).collect::<Result<_, _>>()?;
        }
        if let Some(metrics) = &record.external {
            self.fed.external = metrics.iter().map(external).collect::<Result<_, _>>()?;
        }
        if let Some(rivals) = &record.rivals {
            for rival in rivals {
                labels::parse(&rival.selector).map_err(|why| format!("rivals.{}.selector: {why}", rival.name))?;
            }
            self.rivals.clone_from(rivals);
        }
        Ok(())
    }

    fn pod(&self, record: &PodRecord) -> Result<Pod, String> {
        let name = &record.name;
        let list = |containers: &[super::ContainerRecord]| {
            let one = |container: &super::ContainerRecord| {
                let field = format!("pods.{name}.containers.{}.requests", container.name);
                let amounts = amounts(&field, &container.requests)?;
                let restartable = container.restart_policy.as_deref() == Some("Always");
                Ok((ContainerAmounts { name: container.name.clone(), amounts }, restartable))
            };
            containers.iter().map(one).collect::<Result<Vec<_>, String>>()
        };
        let requests = match &record.containers {
            Some(containers) => {
                let main = list(containers)?.into_iter().map(|(container, _)| container).collect();
                let own = record.requests.as_ref().map(|own| amounts(&format!("pods.{name}.requests"), own));
                let overhead = amounts(&format!("pods.{name}.overhead"), &record.overhead)?;
                PodRequests::new(main, list(&record.init_containers)?, own.transpose()?.as_ref(), &overhead)
            }
            None => match self.known.get(name) {
                Some(known) => known.clone(),
                None => self.target.map(PodRequests::of).unwrap_or_default(),
            },
        };
        let started = record.start_time.map(|at| whole_seconds(instant(at)));
        let changed = record.ready_since.or(record.start_time).map_or(CREATION, |at| whole_seconds(instant(at)));
        let status = |truth| match truth {
            TruthRecord::True => Truth::True,
            TruthRecord::False => Truth::False,
            TruthRecord::Unknown => Truth::Unknown,
        };
        Ok(Pod {
            name: name.clone(),
            labels: record.labels.clone().unwrap_or_else(labels::of_target),
            requests,
            deleting: record.deleting,
            phase: match record.phase {
                PhaseRecord::Pending => Phase::Pending,
                PhaseRecord::Running => Phase::Running,
                PhaseRecord::Succeeded => Phase::Succeeded,
                PhaseRecord::Failed => Phase::Failed,
                PhaseRecord::Unknown => Phase::Unknown,
            },
            ready: record.ready.map(|truth| Ready { status: status(truth), changed }),
            started,
        })
    }

    /// The pods and samples of a crowd, as of now.
    fn gather(&mut self, now: Nanos) {
        let Some(crowd) = &self.crowd else { return };
        let count = self.scale.spec;
        let named = |index| Pod { name: format!("{}-{index}", crowd.pod.name), ..crowd.pod.clone() };
        self.pods = (0..count).map(named).collect();
        if crowd.usage.is_empty() {
            return;
        }
        let mut share = Amounts::default();
        for (resource, total) in &crowd.usage {
            let rounded_up =
                total.div_euclid(count.max(1).into()) + i64::from(total.rem_euclid(count.max(1).into()) > 0);
            share.set(resource, rounded_up);
        }
        let name = crowd.pod.requests.containers().first().map_or("app", |container| &container.name);
        let containers = vec![ContainerAmounts { name: name.to_owned(), amounts: share }];
        let sampled = |pod: &Pod| Sampled {
            pod: pod.name.clone(),
            timestamp: whole_seconds(now),
            window: Nanos::from_secs(15),
            containers: containers.clone(),
        };
        self.samples = self.pods.iter().map(sampled).collect();
    }

    fn sync(&mut self, now: Nanos, declared: &Autoscaler, autoscaler: &mut Hpa) -> ScalingDecision {
        self.gather(now);
        let selector = labels::parse(&self.selector);
        let selects = |pod: &Pod| selector.as_ref().is_ok_and(|selector| selector.selects(&pod.labels));
        let samples: BTreeMap<&str, Sample<'_>> = self.samples.iter().map(|s| (s.pod.as_str(), s.view())).collect();
        let selected: Vec<&Pod> = self.pods.iter().filter(|pod| selects(pod)).collect();
        let views: Vec<_> = selected.iter().map(|pod| pod.view(samples.get(pod.name.as_str()).copied())).collect();
        // The API gives what bears the labels: samples of pods that are not selected do not come.
        let names: BTreeSet<&str> = self.pods.iter().map(|pod| pod.name.as_str()).collect();
        let strays: Vec<_> = samples.iter().filter(|(pod, _)| !names.contains(*pod)).map(|(_, s)| *s).collect();
        let mut fed = self.fed.clone();
        for metric in &mut fed.custom {
            if let CustomValues::Pods(values) = &mut metric.values {
                values.retain(|(pod, _)| !names.contains(pod.as_str()) || selected.iter().any(|p| p.name == *pod));
            }
        }
        let rivals = self.rivals.iter().filter(|rival| {
            let theirs = labels::parse(&rival.selector);
            selected.iter().any(|pod| theirs.as_ref().is_ok_and(|theirs| theirs.selects(&pod.labels)))
        });
        let own = (declared.name.clone(), declared.namespace.clone());
        let mut all: Vec<_> = rivals.map(|rival| (rival.name.clone(), declared.namespace.clone())).collect();
        all.push(own);
        all.sort();
        let state = match &selector {
            _ if self.selector.is_empty() => SelectorState::Missing,
            Err(why) => SelectorState::Invalid(why),
            Ok(_) if all.len() > 1 => SelectorState::Ambiguous { selector: &self.selector, autoscalers: &all },
            Ok(_) => SelectorState::Usable,
        };
        let observed = Observed {
            scale: self.get_error.as_deref().map_or(Ok(self.scale), Err),
            pods: &views,
            strays: &strays,
            resource_error: self.samples_error.as_deref(),
            fed: &fed,
            selector: state,
            update_error: self.update_error.as_deref(),
        };
        let decision = autoscaler.sync(now, &observed);
        if self.follows && self.get_error.is_none() {
            let desired = decision.desired.cast_signed();
            if desired != self.scale.spec {
                self.scale = Scale { spec: desired, status: desired };
            }
        }
        decision
    }
}

impl Pod {
    fn view<'a>(&'a self, sample: Option<Sample<'a>>) -> PodView<'a> {
        PodView {
            name: &self.name,
            requests: &self.requests,
            deleting: self.deleting,
            phase: self.phase,
            ready: self.ready,
            started: self.started,
            sample,
        }
    }
}

impl Sampled {
    fn view(&self) -> Sample<'_> {
        Sample { timestamp: self.timestamp, window: self.window, containers: &self.containers }
    }
}

fn unique<'a>(field: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("{field}: `{name}` is there twice: name each pod once"));
        }
    }
    Ok(())
}

fn sample(record: &SampleRecord) -> Result<Sampled, String> {
    let one = |container: &super::UsageRecord| {
        let field = format!("samples.{}.containers.{}.usage", record.pod, container.name);
        Ok(ContainerAmounts { name: container.name.clone(), amounts: amounts(&field, &container.usage)? })
    };
    let window = record.window.unwrap_or(15.0);
    if !(0.0..1e6).contains(&window) || !record.timestamp.is_finite() {
        return Err(format!("samples.{}: timestamp and window must be seconds, the window from 0 up", record.pod));
    }
    Ok(Sampled {
        pod: record.pod.clone(),
        timestamp: whole_seconds(instant(record.timestamp)),
        window: Nanos::from_secs_f64(window),
        containers: record.containers.iter().map(one).collect::<Result<_, String>>()?,
    })
}

fn custom(record: &CustomRecord) -> Result<CustomMetric, String> {
    let field = format!("custom.{}", record.metric);
    let values = match (&record.error, &record.pods, &record.object, &record.value) {
        (Some(why), None, None, None) => CustomValues::Error(why.clone()),
        (None, Some(pods), None, None) => {
            let one =
                |(pod, text): (&String, &String)| Ok((pod.clone(), quantity(&format!("{field}.pods.{pod}"), text)?));
            CustomValues::Pods(pods.iter().map(one).collect::<Result<_, String>>()?)
        }
        (None, None, Some(object), Some(value)) => CustomValues::Object {
            kind: object.kind.clone(),
            name: object.name.clone(),
            value: quantity(&format!("{field}.value"), value)?,
        },
        _ => return Err(format!("{field}: write `pods`, or `object` with `value`, or `error`")),
    };
    Ok(CustomMetric { name: record.metric.clone(), selector: record.selector.clone(), values })
}

fn external(record: &ExternalRecord) -> Result<ExternalMetric, String> {
    let values = if let Some(why) = &record.error {
        Err(why.clone())
    } else {
        let field = format!("external.{}.values", record.metric);
        Ok(record.values.iter().map(|text| quantity(&field, text)).collect::<Result<_, String>>()?)
    };
    Ok(ExternalMetric { name: record.metric.clone(), selector: record.selector.clone(), values })
}
