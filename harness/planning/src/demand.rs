//! Operational analysis: how much of each resource a session takes, and at which rate that is all of it.
//!
//! The utilisation law: a resource with `c` servers of which a session takes `D` seconds carries at most `c / D`
//! sessions a second (Denning and Buzen, *The operational analysis of queueing network models*, 1978). The figures
//! are means of the profiles, so a bound is where queues would grow without end; objectives break below it.

use std::collections::BTreeMap;

use platform::{Autoscaler, MetricSource, MetricTarget, WorkloadId};
use scenarios::{Call, Plan};
use units::Nanos;

use crate::{Change, Mixture};

/// What a session takes, in the mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Demands {
    /// CPU seconds by workload, the gateway's among them.
    pub cpu: BTreeMap<WorkloadId, f64>,
    /// Requests by workload.
    pub visits: BTreeMap<WorkloadId, f64>,
    /// CPU seconds of the database server.
    pub database: f64,
    /// Seconds of the cache's one thread.
    pub cache: f64,
}

/// What can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// CPU of a workload's pods.
    Pods(WorkloadId),
    /// The autoscaler of a workload reaches `maxReplicas`.
    Autoscaler(WorkloadId),
    /// CPU of the database server.
    DatabaseCpu,
    /// Its connections.
    Connections,
    /// The cache's thread.
    Cache,
    /// Room on the nodes for what autoscalers ask for.
    Nodes,
}

/// A resource and the rate at which it runs out.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Which.
    pub resource: Resource,
    /// Sessions a second.
    pub rate: f64,
    /// What runs out, with its figures.
    pub why: String,
    /// The smallest change that moves it, if a manifest says it.
    pub change: Option<Change>,
}

impl Demands {
    /// What a session of `mixture` takes on `plan`.
    pub fn of(plan: &Plan, mixture: &Mixture) -> Self {
        let mut demands = Self { cpu: BTreeMap::new(), visits: BTreeMap::new(), database: 0.0, cache: 0.0 };
        let gateway = plan.platform.gateway.as_ref().map(|gateway| gateway.workload);
        for (journey, share) in &mixture.shares {
            for step in &plan.load.journeys[usize::from(*journey)].steps {
                if let Some(gateway) = gateway {
                    *demands.cpu.entry(gateway).or_default() += share * model::GATEWAY_CPU.as_secs_f64();
                    *demands.visits.entry(gateway).or_default() += share;
                }
                if let Some(call) = plan.target(*step).behind {
                    demands.add(plan, call, *share);
                }
            }
        }
        demands
    }

    fn add(&mut self, plan: &Plan, call: Call, times: f64) {
        let route = &plan.profile(call.workload).routes[usize::from(call.route.0)];
        *self.cpu.entry(call.workload).or_default() += times * route.cpu.mean().as_secs_f64();
        *self.visits.entry(call.workload).or_default() += times;
        let mut misses = times;
        if let Some(cache) = route.cache {
            self.cache += times * f64::from(cache.operations) * cache.time.mean().as_secs_f64();
            misses *= 1.0 - cache.hit;
        }
        if let Some(database) = route.database {
            self.database += misses * f64::from(database.queries) * database.time.mean().as_secs_f64();
        }
        // Calls do not go round in a circle: a plan that does is refused when it is resolved.
        for next in plan.calls(call.workload, call.route) {
            self.add(plan, *next, times);
        }
    }

    /// Every bound, the lowest first.
    pub fn bounds(&self, plan: &Plan) -> Vec<Bound> {
        let mut bounds: Vec<Bound> = self.cpu.keys().filter_map(|workload| self.pods(plan, *workload)).collect();
        bounds.extend(plan.platform.autoscalers.iter().filter_map(|autoscaler| self.autoscaler(plan, autoscaler)));
        bounds.extend(self.database(plan));
        bounds.extend(self.connections(plan));
        if self.cache > 0.0 {
            bounds.push(Bound {
                resource: Resource::Cache,
                rate: 1.0 / self.cache,
                why: format!("Redis has one thread, and a session takes {} of it", told(self.cache)),
                change: None,
            });
        }
        bounds.extend(self.nodes(plan));
        bounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        bounds
    }

    /// Replicas of a workload at a rate: what its autoscaler's CPU metric asks for, within its bounds, or what is
    /// declared.
    pub fn replicas(&self, plan: &Plan, workload: WorkloadId, rate: f64) -> u32 {
        let declared = plan.platform.workload(workload).replicas.unwrap_or(1);
        let Some(autoscaler) = autoscaler_of(plan, workload) else { return declared };
        let wanted = self.wanted(plan, autoscaler, rate).unwrap_or(0.0);
        (libm::ceil(wanted - 1e-9) as u32).clamp(autoscaler.min, autoscaler.max)
    }

    /// What an autoscaler's CPU metric asks for at a rate, in parts of a replica.
    fn wanted(&self, plan: &Plan, autoscaler: &Autoscaler, rate: f64) -> Option<f64> {
        let workload = autoscaler.target?;
        let target = cpu_target(autoscaler)?;
        let request = plan.platform.workload(workload).requests().cpu?.get() as f64 / 1e3;
        let demand = self.cpu.get(&workload).copied().unwrap_or_default();
        Some(rate * demand / (request * f64::from(target) / 100.0))
    }

    fn pods(&self, plan: &Plan, workload: WorkloadId) -> Option<Bound> {
        let demand = self.cpu.get(&workload).copied().filter(|demand| *demand > 0.0)?;
        let name = &plan.platform.workload(workload).name;
        let cores = cores(plan, workload);
        let autoscaler = autoscaler_of(plan, workload);
        let replicas = autoscaler.map_or_else(|| plan.platform.workload(workload).replicas.unwrap_or(1), |a| a.max);
        let rate = f64::from(replicas) * cores / demand;
        let at = if autoscaler.is_some() { "at their maximum of" } else { "at" };
        let change = match autoscaler {
            Some(_) => Change::MaxReplicas(workload, replicas + 1),
            None => Change::Replicas(workload, replicas + 1),
        };
        Some(Bound {
            resource: Resource::Pods(workload),
            rate,
            why: format!(
                "pods of {name} {at} {replicas} × {cores} cores, and a session takes {} of CPU there",
                told(demand)
            ),
            change: Some(change),
        })
    }

    fn autoscaler(&self, plan: &Plan, autoscaler: &Autoscaler) -> Option<Bound> {
        let workload = autoscaler.target?;
        let one = self.wanted(plan, autoscaler, 1.0).filter(|wanted| *wanted > 0.0)?;
        let target = cpu_target(autoscaler)?;
        Some(Bound {
            resource: Resource::Autoscaler(workload),
            rate: f64::from(autoscaler.max) / one,
            why: format!(
                "the autoscaler of {} wants its maxReplicas of {} to keep {target} % of the CPU request",
                plan.platform.workload(workload).name,
                autoscaler.max
            ),
            change: Some(Change::MaxReplicas(workload, autoscaler.max + 1)),
        })
    }

    fn database(&self, plan: &Plan) -> Option<Bound> {
        let database = plan.platform.database().filter(|_| self.database > 0.0)?;
        let limit = plan.platform.workload(database).containers.first()?.limits.cpu?.get() as f64 / 1e3;
        let workload = plan.platform.workload(database);
        let request = workload.containers.first()?.requests.cpu.unwrap_or_default();
        let more = units::Millicores::new((limit * 1e3) as u64 + 1_000);
        Some(Bound {
            resource: Resource::DatabaseCpu,
            rate: limit / self.database,
            why: format!(
                "the database {} has {limit} cores, and a session's queries take {} of them",
                workload.name,
                told(self.database)
            ),
            change: Some(Change::Cpu(database, request, more)),
        })
    }

    /// The rate at which autoscaled pods bring more connections than the server takes.
    fn connections(&self, plan: &Plan) -> Option<Bound> {
        let database = plan.platform.database()?;
        let most = f64::from(plan.platform.max_connections(database)) - 3.0; // superuser_reserved_connections
        let pool = |workload: WorkloadId| {
            plan.profile(workload).pool.as_ref().map_or(0.0, |pool| f64::from(pool.size) + f64::from(pool.overflow))
        };
        let open = |rate: f64| -> f64 {
            plan.platform
                .workload_ids()
                .map(|workload| pool(workload) * f64::from(self.replicas(plan, workload, rate)))
                .sum()
        };
        let rates = plan.platform.autoscalers.iter().filter_map(|autoscaler| {
            let one = self.wanted(plan, autoscaler, 1.0).filter(|wanted| *wanted > 0.0)?;
            Some((autoscaler.min..=autoscaler.max).map(move |replicas| (f64::from(replicas) + 1e-6) / one))
        });
        let mut rates: Vec<f64> = rates.flatten().collect();
        rates.push(0.0);
        rates.sort_by(f64::total_cmp);
        let rate = rates.into_iter().find(|rate| open(*rate) > most)?;
        Some(Bound {
            resource: Resource::Connections,
            rate,
            why: format!("pools of {:.0} connections meet a max_connections of {:.0}", open(rate), most + 3.0),
            change: None,
        })
    }

    /// The rate at which what autoscalers want no longer fits on the nodes that take any pod.
    fn nodes(&self, plan: &Plan) -> Option<Bound> {
        let free = |node: &&platform::Node| node.taints.iter().all(|t| t.effect == platform::Effect::PreferNoSchedule);
        let cpu: f64 = plan.nodes.iter().filter(free).map(|node| node.cpu.get() as f64).sum();
        let anywhere = |workload: &WorkloadId| plan.platform.workload(*workload).tolerations.is_empty();
        let wanted = |rate: f64| -> f64 {
            let of = |workload: WorkloadId| {
                let cpu = plan.platform.workload(workload).requests().cpu.unwrap_or_default().get() as f64;
                // Beyond its bounds: the question is what the nodes hold, not what the autoscaler may ask.
                let wanted = autoscaler_of(plan, workload).and_then(|a| self.wanted(plan, a, rate));
                cpu * wanted.map_or_else(|| f64::from(self.replicas(plan, workload, rate)), libm::ceil)
            };
            plan.platform.workload_ids().filter(anywhere).map(of).sum()
        };
        let (mut low, mut high) = (0.0, 1.0);
        while wanted(high) <= cpu {
            (low, high) = (high, high * 2.0);
            if high > 1e7 {
                return None;
            }
        }
        while high - low > low.max(1e-3) / 1e3 {
            let middle = f64::midpoint(low, high);
            if wanted(middle) <= cpu { low = middle } else { high = middle }
        }
        Some(Bound {
            resource: Resource::Nodes,
            rate: low,
            why: format!("requests of all pods fill the {:.0} cores of the nodes that take any pod", cpu / 1e3),
            change: None,
        })
    }
}

/// Cores that one pod of a workload can use: its worker threads within its CPU limit.
pub(crate) fn cores(plan: &Plan, workload: WorkloadId) -> f64 {
    let limit = plan.platform.workload(workload).containers.first().and_then(|container| container.limits.cpu);
    let limit = limit.map_or(f64::INFINITY, |limit| limit.get() as f64 / 1e3);
    let gateway = plan.platform.gateway.as_ref().is_some_and(|gateway| gateway.workload == workload);
    if gateway {
        return if limit.is_finite() { limit } else { 1.0 };
    }
    f64::from(plan.profile(workload).workers).min(limit)
}

pub(crate) fn autoscaler_of(plan: &Plan, workload: WorkloadId) -> Option<&Autoscaler> {
    plan.platform.autoscalers.iter().find(|autoscaler| autoscaler.target == Some(workload))
}

/// CPU utilisation that an autoscaler aims at, percent of the request.
pub(crate) fn cpu_target(autoscaler: &Autoscaler) -> Option<u32> {
    autoscaler.metrics.iter().find_map(|metric| match (&metric.source, &metric.target) {
        (MetricSource::Resource { resource }, MetricTarget::Utilization(percent)) if resource == "cpu" => {
            Some(*percent)
        }
        _ => None,
    })
}

fn told(seconds: f64) -> String {
    Nanos::from_secs_f64(libm::round(seconds * 1e5) / 1e5).to_string()
}

/// The lowest bound that stops requests; an autoscaler at its maximum only loses its reserve.
pub(crate) fn first_hard(bounds: &[Bound]) -> Option<&Bound> {
    bounds.iter().find(|bound| !matches!(bound.resource, Resource::Autoscaler(_) | Resource::Nodes))
}
