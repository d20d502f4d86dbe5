//! What a rate stands on, and what that costs by a dated price file.

use record::Footing;
use scenarios::Plan;
use serde::Deserialize;

use crate::{Demands, Mixture};

/// What things cost. Somebody's prices on some day: the file says whose and when.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prices {
    /// Such as `2026-11-01`.
    pub date: String,
    /// Such as `EUR`.
    pub currency: String,
    /// Whose prices they are.
    pub source: String,
    /// A core that is requested, for an hour.
    pub core_hour: f64,
    /// A GiB of memory that is requested, for an hour.
    pub gib_hour: f64,
}

/// Why prices are none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PriceError {
    /// A price that cannot be.
    #[error("{field} is {value}: a price is a number of at least 0")]
    Value {
        /// Which.
        field: &'static str,
        /// As written.
        value: f64,
    },
    /// No date.
    #[error("date is `{0}`: write the day the prices are from, such as 2026-11-01, since prices change")]
    Date(String),
}

impl Prices {
    /// Refuses prices that cannot be.
    pub fn checked(self) -> Result<Self, PriceError> {
        for (field, value) in [("coreHour", self.core_hour), ("gibHour", self.gib_hour)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(PriceError::Value { field, value });
            }
        }
        let date: Vec<&str> = self.date.split('-').collect();
        let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
        match date[..] {
            [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2) => Ok(self),
            _ => Err(PriceError::Date(self.date)),
        }
    }

    /// Cost of these requests for an hour.
    pub(crate) fn hourly(&self, cores: f64, gib: f64) -> f64 {
        cores * self.core_hour + gib * self.gib_hour
    }
}

const GIB: f64 = (1u64 << 30) as f64;

/// CPU and memory that all pods request at `rate`, cores and GiB.
pub(crate) fn requested(plan: &Plan, demands: &Demands, rate: f64) -> (f64, f64) {
    let mut sum = (0.0, 0.0);
    for workload in plan.platform.workload_ids() {
        let declared = plan.platform.workload(workload);
        let pods = if declared.kind.is_service() { f64::from(demands.replicas(plan, workload, rate)) } else { 0.0 };
        let requests = declared.requests();
        sum.0 += pods * requests.cpu.unwrap_or_default().get() as f64 / 1e3;
        sum.1 += pods * requests.memory.unwrap_or_default().get() as f64 / GIB;
    }
    sum
}

/// What `rate` sessions a second stand on.
pub(crate) fn footing(
    plan: &Plan,
    demands: &Demands,
    mixture: &Mixture,
    rate: f64,
    prices: Option<&Prices>,
) -> Footing {
    let (cores, gib) = requested(plan, demands, rate);
    let hourly = prices.map(|prices| prices.hourly(cores, gib));
    let requests = rate * mixture.requests(&plan.load) * 3_600.0;
    Footing {
        rate,
        cores,
        gib,
        nodes: nodes(plan, demands, rate),
        hourly,
        per_million: hourly.map(|hourly| hourly / requests * 1e6),
        prices: prices.map(|prices| format!("{}, {} of {}", prices.currency, prices.source, prices.date)),
    }
}

/// How many nodes of each kind (same size, same taints) hold the pods that go there. By the larger of what CPU and
/// memory ask for, so it is a lower bound: pods do not fill nodes to the brim.
fn nodes(plan: &Plan, demands: &Demands, rate: f64) -> Vec<(String, u32)> {
    let mut kinds: Vec<(&platform::Node, f64, f64)> = Vec::new();
    for node in &plan.nodes {
        if !kinds.iter().any(|(kind, ..)| kind.taints == node.taints && kind.cpu == node.cpu) {
            kinds.push((node, 0.0, 0.0));
        }
    }
    for workload in plan.platform.workload_ids() {
        let declared = plan.platform.workload(workload);
        if !declared.kind.is_service() || matches!(declared.kind, platform::WorkloadKind::DaemonSet) {
            continue;
        }
        // A pod that may go to tainted nodes is meant for them.
        let tolerates = |node: &platform::Node| {
            node.taints.iter().all(|taint| declared.tolerations.iter().any(|toleration| toleration.tolerates(taint)))
        };
        let Some(best) = (0..kinds.len()).filter(|i| tolerates(kinds[*i].0)).max_by_key(|i| kinds[*i].0.taints.len())
        else {
            continue;
        };
        let pods = f64::from(demands.replicas(plan, workload, rate));
        let requests = declared.requests();
        kinds[best].1 += pods * requests.cpu.unwrap_or_default().get() as f64;
        kinds[best].2 += pods * requests.memory.unwrap_or_default().get() as f64;
    }
    let told = |(node, cpu, memory): &(&platform::Node, f64, f64)| {
        let count = (cpu / node.cpu.get() as f64).max(memory / node.memory.get() as f64);
        let taint = node.taints.first().map_or_else(String::new, |taint| format!(", tainted {}", taint.value));
        (format!("{} CPU, {}{taint}", node.cpu, node.memory), libm::ceil(count) as u32)
    };
    kinds.iter().map(told).collect()
}
