//! File descriptors, reckoned before anything starts.

use scenarios::{LoadPlan, Plan, Segment};
use units::{Nanos, Rate};

/// About how many files this process will hold open at once, with a margin of a half.
///
/// A listener per pod (at every autoscaler's maximum), a kept-alive connection per client or per request in flight,
/// whichever is more, and for each request in flight both ends of every hop behind the gateway.
pub fn open_files_needed(plan: &Plan) -> u64 {
    let replicas = |id| {
        let most = plan.platform.autoscalers.iter().find(|a| a.target == id).map(|a| a.max);
        u64::from(most.or(plan.platform.workload(id).replicas).unwrap_or(1))
    };
    let pods: u64 = plan.platform.workload_ids().map(replicas).sum();
    let in_flight = in_flight(&plan.load);
    let to_gateway = in_flight.max(u64::from(plan.load.clients));
    (pods + to_gateway + in_flight * 4) * 3 / 2 + 64
}

/// Requests in flight at the peak rate, by Little's law at half a second each.
fn in_flight(load: &LoadPlan) -> u64 {
    const RESIDENCE: Nanos = Nanos::from_millis(500);
    let peak = |segment: &Segment| segment.from.max(segment.to);
    let of = |stream: &scenarios::Stream| {
        let rate = stream.rate.iter().map(peak).max().unwrap_or(Rate::ZERO).as_f64();
        rate * load.journeys[usize::from(stream.journey)].steps.len() as f64 * RESIDENCE.as_secs_f64()
    };
    load.streams.iter().map(of).sum::<f64>() as u64
}
