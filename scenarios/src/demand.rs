//! What the load asks of each autoscaled workload: the CPU of a step, with the calls it makes, and what a replica at the
//! autoscaler's target gives.
//!
//! Means of the profiles, as everything that a plan can know beforehand; what a request really drew, stages record.

use platform::{MetricSource, MetricTarget, WorkloadId};
use record::Demand;

use crate::{Call, Plan};

/// The resource that autoscalers read most, as Kubernetes names it.
const CPU: &str = "cpu";

impl Plan {
    /// One for each autoscaler that holds a workload's CPU at a share of its request.
    pub fn demands(&self) -> Vec<Demand> {
        let demand = |scaler: &platform::Autoscaler| {
            let id = scaler.target?;
            let percent = scaler.metrics.iter().find_map(|metric| match (&metric.source, &metric.target) {
                (MetricSource::Resource { resource }, MetricTarget::Utilization(percent)) if resource == CPU => {
                    Some(*percent)
                }
                _ => None,
            })?;
            let workload = self.platform.workload(id);
            let request = workload.requests().cpu?.get();
            let replica_us_per_s = request * u64::from(percent) * 10; // m × 1000 µs/s × % / 100
            let step_us = (0..self.load.steps.len()).map(|step| self.step_cost(step, id)).collect();
            (replica_us_per_s > 0).then(|| Demand { workload: workload.name.clone(), replica_us_per_s, step_us })
        };
        self.platform.autoscalers.iter().filter_map(demand).collect()
    }

    /// CPU that one request of a step costs at `workload`, microseconds on average.
    fn step_cost(&self, step: usize, workload: WorkloadId) -> u64 {
        if self.platform.gateway.as_ref().is_some_and(|gateway| gateway.workload == workload) {
            return model::GATEWAY_CPU.as_micros();
        }
        self.target(record::StepId(step as u16)).behind.map_or(0, |call| self.call_cost(call, workload))
    }

    fn call_cost(&self, call: Call, workload: WorkloadId) -> u64 {
        let route = &self.profile(call.workload).routes[usize::from(call.route.0)];
        let own = if call.workload == workload { route.cpu.mean().as_micros() } else { 0 };
        let below = self.calls(call.workload, call.route).iter().map(|call| self.call_cost(*call, workload));
        own + below.sum::<u64>() // calls never go round in a circle
    }
}
