//! Services and probes that lead nowhere, and selectors that take what is not theirs.

use platform::{Container, PortRef, ProbeAction, Service, ServiceKind, Workload, WorkloadKind};

use super::{Context, name_of};
use crate::{Finding, Rule, Severity};

pub(crate) static SERVICE_SELECTS_NOTHING: Rule = Rule {
    id: "service-selects-nothing",
    severity: Severity::Error,
    title: "a Service selects no pods",
    explanation: "A Service whose selector matches no pod has no endpoints: every connection to it is refused.",
    fix: "Compare spec.selector with the labels of the pod template, in the same namespace.",
};

pub(crate) static SERVICE_SELECTS_TWO: Rule = Rule {
    id: "service-selects-two",
    severity: Severity::Warning,
    title: "a Service selects the pods of two workloads",
    explanation: "Every pod that bears the labels is an endpoint, whoever made it: requests go to both workloads in \
        proportion to their ready pods.",
    fix: "Add a label that only one of them carries, unless a canary is meant.",
};

pub(crate) static TARGET_PORT_UNKNOWN: Rule = Rule {
    id: "target-port-unknown",
    severity: Severity::Error,
    title: "a Service's targetPort is the name of a port that no container has",
    explanation: "A named targetPort is looked up among the container ports; without one of that name the pod is no \
        endpoint of this port (endpointslice/utils.go, getEndpointPorts).",
    fix: "Name the container port, or write its number.",
};

pub(crate) static TARGET_PORT_UNDECLARED: Rule = Rule {
    id: "target-port-undeclared",
    severity: Severity::Warning,
    title: "a Service sends to a port that no container declares",
    explanation: "Declaring ports is documentation, so this can work. More often the number is wrong, and every \
        connection is refused by the pod.",
    fix: "Correct targetPort, or declare the container port.",
};

pub(crate) static PROBE_PORT_UNKNOWN: Rule = Rule {
    id: "probe-port-unknown",
    severity: Severity::Error,
    title: "a probe asks a port that its container does not have",
    explanation: "A probe on a port name that the container does not declare fails for ever; on an undeclared number \
        it fails unless the process listens there all the same. A failing readiness probe keeps the pod out of every \
        Service, a failing liveness probe restarts it.",
    fix: "Probe a port that the container declares.",
};

pub(crate) static SELECTORS_OVERLAP: Rule = Rule {
    id: "selectors-overlap",
    severity: Severity::Error,
    title: "two workloads select the same pods",
    explanation: "Controllers tell their pods by labels. Two whose selectors match each other's pods count them \
        double, and an autoscaler refuses to act (AmbiguousSelector).",
    fix: "Give each workload a label that no other has, in the selector and in the template.",
};

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for service in &context.platform.services {
        reached(context, service, found);
    }
    for workload in &context.platform.workloads {
        for container in &workload.containers {
            probes(workload, container, found);
        }
    }
    overlaps(context, found);
}

fn reached(context: &Context<'_>, service: &Service, found: &mut Vec<Finding>) {
    if matches!(service.kind, ServiceKind::ExternalName(_)) || service.selector.is_empty() {
        return;
    }
    let subject = format!("Service/{}", service.name);
    let behind: Vec<&Workload> =
        context.platform.selected_by(service).map(|id| context.platform.workload(id)).collect();
    if behind.is_empty() && is_for_one_pod(context, service) {
        return;
    }
    if behind.is_empty() {
        let selector: Vec<_> = service.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut finding = SERVICE_SELECTS_NOTHING.at(
            subject,
            &service.place,
            format!("Every connection to {} is refused.", service.name),
            format!("No pod in namespace {} has the labels {}.", service.namespace, selector.join(", ")),
        );
        if let Some(maker) = context.other_maker() {
            finding.severity = Severity::Warning;
            finding.because += &format!(" Unless an operator makes such pods: {maker}.");
        }
        found.push(finding);
        return;
    }
    if behind.len() > 1 {
        let names: Vec<_> = behind.iter().map(|w| name_of(w)).collect();
        // A primary and its standby behind one headless Service are meant so.
        if service.kind != ServiceKind::Headless {
            found.push(SERVICE_SELECTS_TWO.at(
                &subject,
                &service.place,
                format!("Requests to {} are shared out over {}.", service.name, names.join(" and ")),
                "Its selector matches the pods of both.",
            ));
        }
    }
    for port in &service.ports {
        let declared = |w: &Workload| w.running().any(|container| declares(container, &port.target));
        if behind.iter().any(|w| declared(w)) {
            continue;
        }
        let ports: Vec<_> =
            behind.iter().flat_map(|w| w.running()).flat_map(|c| &c.ports).map(|p| p.port.to_string()).collect();
        let (rule, because) = match &port.target {
            PortRef::Name(name) => (&TARGET_PORT_UNKNOWN, format!("No container has a port called `{name}`.")),
            // Pods that declare nothing at all may listen anywhere.
            PortRef::Number(_) if ports.is_empty() => continue,
            PortRef::Number(number) => (
                &TARGET_PORT_UNDECLARED,
                format!("It sends port {} to {number}; the pods declare {}.", port.port, ports.join(", ")),
            ),
        };
        found.push(rule.at(
            &subject,
            &service.place,
            format!("Port {} of {} probably answers nobody.", port.port, service.name),
            because,
        ));
    }
}

/// The label that a StatefulSet gives each of its pods, beside those of its template
/// (`pkg/controller/statefulset/stateful_set_utils.go`, `initIdentity`).
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

/// A Service for one pod of a `StatefulSet` by its name.
fn is_for_one_pod(context: &Context<'_>, service: &Service) -> bool {
    let Some(pod) = service.selector.get(POD_NAME) else { return false };
    context.platform.workloads.iter().any(|w| {
        let ordinal = pod.strip_prefix(&w.name).and_then(|rest| rest.strip_prefix('-'));
        matches!(w.kind, WorkloadKind::StatefulSet { .. })
            && w.namespace == service.namespace
            && ordinal.is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n < context.most_pods(w)))
            && service.selector.iter().all(|(key, value)| key == POD_NAME || w.labels.get(key) == Some(value))
    })
}

fn declares(container: &Container, port: &PortRef) -> bool {
    match port {
        PortRef::Number(number) => container.ports.iter().any(|p| p.port == *number),
        PortRef::Name(name) => container.ports.iter().any(|p| p.name.as_ref() == Some(name)),
    }
}

fn probes(workload: &Workload, container: &Container, found: &mut Vec<Finding>) {
    let all = [("startup", &container.startup), ("readiness", &container.readiness), ("liveness", &container.liveness)];
    for (name, probe) in all.into_iter().filter_map(|(name, probe)| Some((name, probe.as_ref()?))) {
        let port = match &probe.action {
            ProbeAction::Http(http) => http.port.clone(),
            ProbeAction::Tcp(port) => port.clone(),
            ProbeAction::Grpc(port) => PortRef::Number(*port),
            ProbeAction::Exec => continue,
        };
        let unknown = match &port {
            PortRef::Name(_) => !declares(container, &port),
            PortRef::Number(_) => !container.ports.is_empty() && !declares(container, &port),
        };
        if unknown {
            let consequence = match name {
                "readiness" => format!("No pod of {} ever receives a request.", workload.name),
                _ => format!("Pods of {} are restarted over and over.", workload.name),
            };
            let asked = match &port {
                PortRef::Name(name) => format!("port `{name}`"),
                PortRef::Number(number) => format!("port {number}"),
            };
            let ports: Vec<_> = container.ports.iter().map(|p| p.port.to_string()).collect();
            let declared = if ports.is_empty() { "no port".to_owned() } else { ports.join(", ") };
            // A name must be declared; behind a number a process may listen all the same.
            let (severity, unless) = match &port {
                PortRef::Name(_) => (Severity::Error, ""),
                PortRef::Number(_) => (Severity::Warning, " Unless the process listens there, too, it fails for ever."),
            };
            let because = format!(
                "The {name} probe of container {} asks {asked}; it declares {declared}.{unless}",
                container.name
            );
            let finding = PROBE_PORT_UNKNOWN.at(name_of(workload), &workload.place, consequence, because);
            found.push(Finding { severity, ..finding });
        }
    }
}

fn overlaps(context: &Context<'_>, found: &mut Vec<Finding>) {
    let workloads: Vec<&Workload> =
        context.platform.workloads.iter().filter(|w| w.kind.is_service() && !w.selector.is_empty()).collect();
    for (index, one) in workloads.iter().enumerate() {
        for other in &workloads[index + 1..] {
            if one.namespace == other.namespace
                && one.kind == other.kind
                && (one.selector.selects(&other.labels) || other.selector.selects(&one.labels))
            {
                found.push(SELECTORS_OVERLAP.at(
                    name_of(other),
                    &other.place,
                    format!("{} and {} fight over each other's pods.", one.name, other.name),
                    format!("The selector of one matches the pods of the other (the other one is at {}).", one.place),
                ));
            }
        }
    }
}
