//! Autoscalers that cannot act, or that somebody works against.

use platform::{Autoscaler, Container, MetricSource, MetricTarget, Workload, WorkloadKind};

use super::Context;
use crate::{Finding, Rule, Severity};

pub(crate) static TARGET_MISSING: Rule = Rule {
    id: "hpa-target-missing",
    severity: Severity::Error,
    title: "an autoscaler's target is not there",
    explanation: "The controller reads the scale subresource of scaleTargetRef at every sync; without it the HPA \
        shows AbleToScale=False, FailedGetScale, and never acts. DaemonSets have no scale.",
    fix: "Correct apiVersion, kind and name in scaleTargetRef; the target lives in the HPA's namespace.",
};

pub(crate) static FIGHTS_REPLICAS: Rule = Rule {
    id: "hpa-fights-replicas",
    severity: Severity::Error,
    title: "an autoscaled workload also declares replicas",
    explanation: "Every `kubectl apply` sets spec.replicas back to what the manifest says, in the middle of the day, \
        and the autoscaler needs a sync and a start-up time to undo it.",
    fix: "Remove spec.replicas from the workload; the overlay's `replicas:` and patches, too.",
};

pub(crate) static WITHOUT_REQUEST: Rule = Rule {
    id: "hpa-without-request",
    severity: Severity::Error,
    title: "an autoscaler targets a utilization of requests that a container does not make",
    explanation: "Utilization is usage over requests of all containers of the pod, sidecars included. One container \
        without a request makes the whole metric unreadable: `missing request for cpu in container x of Pod y` \
        (replica_calculator.go, calculatePodRequests), and the HPA does nothing at all on that metric.",
    fix: "Give every container of the pod, sidecars too, a request for that resource, or use ContainerResource.",
};

pub(crate) static UNKNOWN_CONTAINER: Rule = Rule {
    id: "hpa-unknown-container",
    severity: Severity::Error,
    title: "a ContainerResource metric names a container that the pods do not have",
    explanation: "From 1.36 on this is an error at every sync; before, the metric reads as if every pod were missing.",
    fix: "Correct the container's name.",
};

pub(crate) static TWO_FOR_ONE: Rule = Rule {
    id: "hpa-ambiguous",
    severity: Severity::Error,
    title: "two autoscalers scale the same pods",
    explanation: "The controller refuses to act for pods that two HPAs select: ScalingActive=False, AmbiguousSelector.",
    fix: "Keep one, with all metrics in it: it takes the largest proposal.",
};

pub(crate) static NEVER_MOVES: Rule = Rule {
    id: "hpa-never-moves",
    severity: Severity::Warning,
    title: "an autoscaler's minimum is its maximum",
    explanation: "With minReplicas equal to maxReplicas nothing is ever scaled; below it the API refuses the object.",
    fix: "Raise maxReplicas, or remove the autoscaler and set replicas.",
};

pub(crate) static SERVED_BY_ADAPTER: Rule = Rule {
    id: "hpa-metric-needs-adapter",
    severity: Severity::Note,
    title: "an autoscaler reads a custom or external metric",
    explanation: "Pods and Object metrics come from custom.metrics.k8s.io, External ones from external.metrics.k8s.io. \
        Kubernetes serves neither by itself: without an adapter that knows this metric the HPA shows \
        FailedGetPodsMetric and acts on its other metrics only, upwards only.",
    fix: "Install an adapter (such as prometheus-adapter) and give it a rule for this metric.",
};

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let platform = context.platform;
    for (index, autoscaler) in platform.autoscalers.iter().enumerate() {
        let subject = format!("HorizontalPodAutoscaler/{}", autoscaler.name);
        if autoscaler.min >= autoscaler.max {
            found.push(NEVER_MOVES.at(
                &subject,
                &autoscaler.place,
                format!("{} is never scaled.", autoscaler.reference.name),
                format!("minReplicas is {}, maxReplicas {}.", autoscaler.min, autoscaler.max),
            ));
        }
        let workload = autoscaler.target.map(|id| platform.workload(id));
        let scalable = |w: &&Workload| matches!(w.kind, WorkloadKind::Deployment | WorkloadKind::StatefulSet { .. });
        let Some(workload) = workload.filter(scalable) else {
            found.push(TARGET_MISSING.at(
                &subject,
                &autoscaler.place,
                "It never scales anything.",
                format!(
                    "scaleTargetRef is {}, which is not in namespace {} or cannot be scaled.",
                    autoscaler.reference, autoscaler.namespace
                ),
            ));
            continue;
        };
        if let Some(replicas) = workload.replicas {
            found.push(FIGHTS_REPLICAS.at(
                &subject,
                &workload.place,
                format!("Every apply sets {} back to {replicas} pods, whatever the load is.", workload.name),
                format!("{} declares replicas, and {} scales it.", workload.name, autoscaler.name),
            ));
        }
        let earlier = &platform.autoscalers[..index];
        if let Some(other) = earlier.iter().find(|a| a.target.is_some() && a.target == autoscaler.target) {
            found.push(TWO_FOR_ONE.at(
                &subject,
                &autoscaler.place,
                format!("Neither of them ever scales {}.", workload.name),
                format!("{} (at {}) scales it, too.", other.name, other.place),
            ));
        }
        metrics(autoscaler, workload, &subject, found);
    }
}

fn metrics(autoscaler: &Autoscaler, workload: &Workload, subject: &str, found: &mut Vec<Finding>) {
    for metric in &autoscaler.metrics {
        let utilization = matches!(metric.target, MetricTarget::Utilization(_));
        match &metric.source {
            MetricSource::Resource { resource } if utilization => {
                for container in workload.running().filter(|container| !requests(container, resource)) {
                    found.push(WITHOUT_REQUEST.at(
                        subject,
                        &autoscaler.place,
                        format!("{} never scales on {resource}.", workload.name),
                        format!("Container {} requests no {resource}.", container.name),
                    ));
                }
            }
            MetricSource::ContainerResource { resource, container } => {
                match workload.running().find(|declared| declared.name == *container) {
                    None => found.push(UNKNOWN_CONTAINER.at(
                        subject,
                        &autoscaler.place,
                        format!("{} never scales on {resource} of {container}.", workload.name),
                        format!(
                            "Its pods have: {}.",
                            workload.running().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
                        ),
                    )),
                    Some(declared) if utilization && !requests(declared, resource) => found.push(WITHOUT_REQUEST.at(
                        subject,
                        &autoscaler.place,
                        format!("{} never scales on {resource} of {container}.", workload.name),
                        format!("Container {container} requests no {resource}."),
                    )),
                    Some(_) => {}
                }
            }
            MetricSource::Resource { .. } => {}
            MetricSource::Pods(metric) | MetricSource::Object { metric, .. } | MetricSource::External(metric) => {
                found.push(SERVED_BY_ADAPTER.at(
                    subject,
                    &autoscaler.place,
                    format!("Without an adapter {} does not scale on {}.", workload.name, metric.name),
                    format!("Metric {} is none that Kubernetes measures itself.", metric.name),
                ));
            }
        }
    }
}

fn requests(container: &Container, resource: &str) -> bool {
    match resource {
        "cpu" => container.requests.cpu.is_some(),
        "memory" => container.requests.memory.is_some(),
        _ => true, // other resources are not kept
    }
}
