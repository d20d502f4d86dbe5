//! How pods come and go: probes, preStop and the grace period.

use platform::{Platform, Strategy, Workload, WorkloadKind};
use units::Nanos;

use super::{Context, name_of};
use crate::{Finding, Rule, Severity};

/// What the gateway, or whoever dials, needs to hear that a pod is going: EndpointSlice, watch and kube-proxy.
const PROPAGATION: Nanos = Nanos::from_secs(1);

pub(crate) static NO_READINESS: Rule = Rule {
    id: "no-readiness-probe",
    severity: Severity::Warning,
    title: "a container that serves has no readiness probe",
    explanation: "Without one a pod counts as ready the moment its process runs: during every start, scale-out and \
        rolling update requests reach a service that does not listen yet.",
    fix: "Add a readinessProbe on the port that the Service uses.",
};

pub(crate) static NO_LIVENESS: Rule = Rule {
    id: "no-liveness-probe",
    severity: Severity::Note,
    title: "a container that serves has no liveness probe",
    explanation: "A process that hangs is taken out of its Services by its readiness probe, and nothing restarts it.",
    fix: "Add a livenessProbe, slower and more patient than the readiness probe.",
};

pub(crate) static SLOW_START_KILLED: Rule = Rule {
    id: "liveness-kills-slow-start",
    severity: Severity::Warning,
    title: "the liveness probe restarts a pod that is still starting",
    explanation: "Without a startup probe, liveness counts from initialDelaySeconds after the start. If the readiness \
        probe is given longer to succeed than liveness is given to fail, a slow start ends in a restart loop.",
    fix: "Add a startupProbe, or give liveness a longer initialDelaySeconds.",
};

pub(crate) static GRACE_TOO_SHORT: Rule = Rule {
    id: "grace-period-too-short",
    severity: Severity::Error,
    title: "the grace period ends before the preStop hook and the requests in flight do",
    explanation: "preStop runs inside terminationGracePeriodSeconds; what is left of it is for the requests in \
        flight, at least 2 s, then comes SIGKILL (kuberuntime_container.go, killContainer). Requests that the gateway \
        still waits for then end as 502.",
    fix: "Set terminationGracePeriodSeconds to preStop plus the longest request, at most the gateway's read timeout.",
};

pub(crate) static NO_PRE_STOP: Rule = Rule {
    id: "no-pre-stop",
    severity: Severity::Warning,
    title: "a pod stops listening before the others know",
    explanation: "Deletion sends SIGTERM and the change of endpoints at the same time, and the endpoints take about a \
        second to reach every node. A process that closes its port on SIGTERM refuses connections in between: a rolling \
        update loses requests (kubernetes#43576).",
    fix: "Add a preStop sleep of some seconds, inside the grace period.",
};

pub(crate) static UPDATE_TAKES_ALL: Rule = Rule {
    id: "update-takes-all",
    severity: Severity::Warning,
    title: "an update takes every pod of a service at once",
    explanation: "Recreate stops all old pods before it starts a new one; with maxUnavailable at or above the replicas \
        a rolling update may, too. Percentages of maxUnavailable round down, so 25 % of 3 is 0 and of 4 is 1.",
    fix: "Use RollingUpdate with maxSurge 1 and maxUnavailable 0, or run more replicas.",
};

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for workload in context.platform.workloads.iter().filter(|w| context.is_served(w)) {
        probes(workload, found);
        ending(context, workload, found);
        updating(context, workload, found);
    }
}

fn probes(workload: &Workload, found: &mut Vec<Finding>) {
    let Some(container) = workload.containers.first() else { return };
    let subject = name_of(workload);
    let Some(readiness) = &container.readiness else {
        found.push(NO_READINESS.at(
            subject,
            &workload.place,
            format!("New pods of {} receive requests before they listen.", workload.name),
            format!("Container {} has no readinessProbe.", container.name),
        ));
        return;
    };
    let Some(liveness) = &container.liveness else {
        found.push(NO_LIVENESS.at(
            subject,
            &workload.place,
            format!("A hanging pod of {} stays, and takes a replica with it.", workload.name),
            format!("Container {} has no livenessProbe.", container.name),
        ));
        return;
    };
    let until = |probe: &platform::Probe| probe.initial_delay + probe.period * u64::from(probe.failure_threshold);
    if container.startup.is_none() && until(liveness) < readiness.initial_delay + readiness.period {
        found.push(SLOW_START_KILLED.at(
            subject,
            &workload.place,
            format!("A slow start of {} ends in restarts.", workload.name),
            format!(
                "Liveness gives up {} after the start, when readiness may have been asked only once (every {}).",
                until(liveness),
                readiness.period
            ),
        ));
    }
}

/// The longest that a gateway location waits for this workload.
fn longest_wait(platform: &Platform, workload: &Workload) -> Option<Nanos> {
    let gateway = platform.gateway.as_ref()?;
    let config = &gateway.config;
    let leads_here = |host: &str| {
        platform.service_named(host).is_some_and(|service| {
            platform.selected_by(platform.service(service)).any(|id| std::ptr::eq(platform.workload(id), workload))
        })
    };
    let waits = config.servers.iter().flat_map(|server| &server.locations).filter_map(|location| {
        let platform::Action::Proxy { upstream, .. } = &location.action else { return None };
        config.upstream(*upstream).servers.iter().any(|s| leads_here(&s.host)).then_some(location.read_timeout)
    });
    waits.max()
}

fn ending(context: &Context<'_>, workload: &Workload, found: &mut Vec<Finding>) {
    let Some(container) = workload.containers.first() else { return };
    let Some(wait) = longest_wait(context.platform, workload) else { return };
    let hook = container.pre_stop.unwrap_or(Nanos::ZERO);
    let subject = name_of(workload);
    if hook + PROPAGATION > workload.grace_period {
        found.push(GRACE_TOO_SHORT.at(
            subject,
            &workload.place,
            format!("Every pod of {} that ends cuts off the requests it serves: 502 at the gateway.", workload.name),
            format!(
                "terminationGracePeriodSeconds {} leaves {} after a preStop of {hook}; the gateway waits up to {wait}.",
                workload.grace_period,
                workload.grace_period - hook.min(workload.grace_period)
            ),
        ));
    } else if hook < PROPAGATION {
        found.push(NO_PRE_STOP.at(
            subject,
            &workload.place,
            format!("Each pod of {} that ends may refuse requests for about a second.", workload.name),
            format!("Container {} has no preStop hook that waits for the endpoints to change.", container.name),
        ));
    }
}

fn updating(context: &Context<'_>, workload: &Workload, found: &mut Vec<Finding>) {
    if workload.kind != WorkloadKind::Deployment || context.fewest_pods(workload) < 2 {
        return;
    }
    let pods = context.fewest_pods(workload);
    let because = match workload.strategy {
        Strategy::Recreate => "Its strategy is Recreate.".to_owned(),
        Strategy::Rolling { max_unavailable, .. } => {
            let missing = match max_unavailable {
                platform::CountOrPercent::Count(count) => count,
                platform::CountOrPercent::Percent(percent) => pods * percent / 100,
            };
            if missing < pods {
                return;
            }
            format!("maxUnavailable allows {missing} of {pods} pods to be missing.")
        }
    };
    found.push(UPDATE_TAKES_ALL.at(
        name_of(workload),
        &workload.place,
        format!("Every update of {} is an outage.", workload.name),
        because,
    ));
}
