//! One change of a platform: what it does to a plan, and what an operator would apply to have it.
//!
//! A setting is a list of changes, in order. Whatever a plan can be asked "what if" about is a variant here, and
//! nowhere else.

use std::fmt;
use std::sync::Arc;

use platform::{MetricSource, MetricTarget, Platform, WorkloadId};
use scenarios::Plan;
use units::{Distribution, Millicores, Nanos};

/// What is different from what was declared.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// No autoscaler decides: replicas stay as they are declared, or at an autoscaler's minimum.
    NoAutoscalers,
    /// So many replicas, whoever decides: an autoscaler of the workload is taken away.
    Replicas(WorkloadId, u32),
    /// `maxReplicas` of the workload's autoscaler.
    MaxReplicas(WorkloadId, u32),
    /// `minReplicas` of the workload's autoscaler.
    MinReplicas(WorkloadId, u32),
    /// The CPU utilisation that the workload's autoscaler aims at, percent of the request.
    CpuTarget(WorkloadId, u32),
    /// CPU request and limit of the workload's serving container.
    Cpu(WorkloadId, Millicores, Millicores),
    /// Nodes are not there, by name.
    WithoutNodes(Vec<String>),
    /// Every request to the workload takes so many times its CPU time: for sensitivity.
    CpuCost(WorkloadId, f64),
    /// Every pod of the workload is ready so many times as late after its container's start: for sensitivity.
    Readiness(WorkloadId, f64),
}

/// A kustomize patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// What it is applied to, as `Kind/name`.
    pub target: String,
    /// What it does, in a sentence.
    pub does: String,
    /// An entry of `patches` in a kustomization.
    pub text: String,
}

impl Change {
    /// The plan with this change.
    pub fn apply(&self, plan: &mut Plan) {
        match self {
            Self::NoAutoscalers => {
                let platform = Arc::make_mut(&mut plan.platform);
                let minima: Vec<_> = platform.autoscalers.drain(..).filter_map(|a| Some((a.target?, a.min))).collect();
                for (workload, min) in minima {
                    let replicas = &mut platform.workloads[usize::from(workload.0)].replicas;
                    *replicas = Some(replicas.unwrap_or(1).max(min));
                }
            }
            Self::Replicas(workload, replicas) => {
                let platform = Arc::make_mut(&mut plan.platform);
                platform.autoscalers.retain(|autoscaler| autoscaler.target != Some(*workload));
                platform.workloads[usize::from(workload.0)].replicas = Some(*replicas);
            }
            Self::MaxReplicas(workload, max) => {
                autoscalers(plan, *workload, |autoscaler| autoscaler.max = (*max).max(autoscaler.min));
            }
            Self::MinReplicas(workload, min) => {
                autoscalers(plan, *workload, |autoscaler| {
                    autoscaler.min = *min;
                    autoscaler.max = autoscaler.max.max(*min);
                });
            }
            Self::CpuTarget(workload, percent) => autoscalers(plan, *workload, |autoscaler| {
                for metric in &mut autoscaler.metrics {
                    let cpu = matches!(&metric.source, MetricSource::Resource { resource } if resource == "cpu");
                    if let (true, MetricTarget::Utilization(target)) = (cpu, &mut metric.target) {
                        *target = *percent;
                    }
                }
            }),
            Self::Cpu(workload, request, limit) => {
                let workload = &mut Arc::make_mut(&mut plan.platform).workloads[usize::from(workload.0)];
                if let Some(container) = workload.containers.first_mut() {
                    container.requests.cpu = Some(*request);
                    container.limits.cpu = Some(*limit);
                }
            }
            Self::WithoutNodes(names) => plan.nodes.retain(|node| !names.contains(&node.name)),
            Self::CpuCost(workload, factor) => {
                let profile = Arc::make_mut(&mut plan.profiles[usize::from(workload.0)]);
                profile.routes.iter_mut().for_each(|route| route.cpu = longer(route.cpu, *factor));
            }
            Self::Readiness(workload, factor) => {
                let workload = &mut Arc::make_mut(&mut plan.platform).workloads[usize::from(workload.0)];
                for container in &mut workload.containers {
                    let probes = [&mut container.startup, &mut container.readiness];
                    probes.into_iter().flatten().for_each(|probe| {
                        probe.initial_delay = times(probe.initial_delay, *factor);
                    });
                }
            }
        }
    }

    /// What an operator applies to have this change; `None` for what no manifest says.
    pub fn patch(&self, platform: &Platform) -> Option<Patch> {
        let name = |workload: &WorkloadId| platform.workload(*workload).name.clone();
        let autoscaler =
            |workload: &WorkloadId| platform.autoscalers.iter().find(|autoscaler| autoscaler.target == Some(*workload));
        let json = |kind: &str, name: &str, operations: &[(&str, String)]| {
            let lines: String = operations
                .iter()
                .map(|(path, value)| format!("      - op: replace\n        path: {path}\n        value: {value}\n"))
                .collect();
            format!("  - target: {{kind: {kind}, name: {name}}}\n    patch: |-\n{lines}")
        };
        let (kind, target, operations): (&str, String, Vec<(&str, String)>) = match self {
            Self::Replicas(workload, replicas) => (
                platform.workload(*workload).kind.name(),
                name(workload),
                vec![("/spec/replicas", replicas.to_string())],
            ),
            Self::MaxReplicas(workload, max) => (
                "HorizontalPodAutoscaler",
                autoscaler(workload)?.name.clone(),
                vec![("/spec/maxReplicas", max.to_string())],
            ),
            Self::MinReplicas(workload, min) => (
                "HorizontalPodAutoscaler",
                autoscaler(workload)?.name.clone(),
                vec![("/spec/minReplicas", min.to_string())],
            ),
            Self::Cpu(workload, request, limit) => (
                platform.workload(*workload).kind.name(),
                name(workload),
                vec![
                    ("/spec/template/spec/containers/0/resources/requests/cpu", request.to_string()),
                    ("/spec/template/spec/containers/0/resources/limits/cpu", limit.to_string()),
                ],
            ),
            Self::CpuTarget(workload, percent) => {
                let found = autoscaler(workload)?;
                let is_cpu = |metric: &platform::Metric| matches!(&metric.source, MetricSource::Resource { resource } if resource == "cpu");
                let path: &'static str = match found.metrics.iter().position(is_cpu)? {
                    0 => "/spec/metrics/0/resource/target/averageUtilization",
                    1 => "/spec/metrics/1/resource/target/averageUtilization",
                    _ => return None,
                };
                ("HorizontalPodAutoscaler", found.name.clone(), vec![(path, percent.to_string())])
            }
            Self::NoAutoscalers | Self::WithoutNodes(_) | Self::CpuCost(..) | Self::Readiness(..) => return None,
        };
        Some(Patch {
            text: json(kind, &target, &operations),
            target: format!("{kind}/{target}"),
            does: self.told(platform),
        })
    }

    /// In words.
    pub fn told(&self, platform: &Platform) -> String {
        let name = |workload: &WorkloadId| platform.workload(*workload).name.as_str();
        let max = |workload: &WorkloadId| {
            platform.autoscalers.iter().find(|a| a.target == Some(*workload)).map_or(0, |autoscaler| autoscaler.max)
        };
        match self {
            Self::NoAutoscalers => "autoscaling off".into(),
            Self::Replicas(workload, replicas) => {
                let now = platform.workload(*workload).replicas.unwrap_or(1);
                format!("{}: replicas {now} → {replicas}", name(workload))
            }
            Self::MaxReplicas(workload, to) => format!("{}: maxReplicas {} → {to}", name(workload), max(workload)),
            Self::MinReplicas(workload, to) => format!("{}: minReplicas → {to}", name(workload)),
            Self::CpuTarget(workload, percent) => format!("{}: CPU target → {percent} %", name(workload)),
            Self::Cpu(workload, request, limit) => format!("{}: CPU {request} to {limit}", name(workload)),
            Self::WithoutNodes(names) => format!("without {}", List(names)),
            Self::CpuCost(workload, factor) => {
                format!("{}: CPU time {:+.0} %", name(workload), (factor - 1.0) * 100.0)
            }
            Self::Readiness(workload, factor) => {
                format!("{}: probe delays {:+.0} %", name(workload), (factor - 1.0) * 100.0)
            }
        }
    }
}

/// The first two of several names, and how many more there are.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("nothing"),
            [one] => f.write_str(one),
            [one, two] => write!(f, "{one} and {two}"),
            [one, two, more @ ..] => write!(f, "{one}, {two} and {} more", more.len()),
        }
    }
}

fn autoscalers(plan: &mut Plan, workload: WorkloadId, mut change: impl FnMut(&mut platform::Autoscaler)) {
    let platform = Arc::make_mut(&mut plan.platform);
    platform.autoscalers.iter_mut().filter(|a| a.target == Some(workload)).for_each(&mut change);
}

fn times(time: Nanos, factor: f64) -> Nanos {
    Nanos::from_secs_f64(time.as_secs_f64() * factor)
}

fn longer(law: Distribution, factor: f64) -> Distribution {
    match law {
        Distribution::Constant(value) => Distribution::Constant(times(value, factor)),
        Distribution::Exponential(mean) => Distribution::Exponential(times(mean, factor)),
        Distribution::Uniform { from, to } => {
            Distribution::Uniform { from: times(from, factor), to: times(to, factor) }
        }
        Distribution::LogNormal { median, sigma } => Distribution::LogNormal { median: times(median, factor), sigma },
    }
}
