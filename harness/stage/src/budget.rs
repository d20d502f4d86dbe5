//! File descriptors, reckoned before anything starts.

use scenarios::Plan;
use units::Nanos;

/// How long a request is under way: requests in flight follow from the peak rate by Little's law. Assumed.
const RESIDENCE: Nanos = Nanos::from_millis(500);

/// About how many files this process will hold open at once, with a margin of a half.
///
/// A listener per pod (at every autoscaler's maximum), a kept-alive connection per client or per request in flight,
/// whichever is more, and for each request in flight both ends of every hop behind the gateway.
pub fn open_files_needed(plan: &Plan) -> u64 {
    let replicas = |id| {
        let most = plan.platform.autoscalers.iter().find(|a| a.target == Some(id)).map(|a| a.max);
        u64::from(most.or(plan.platform.workload(id).replicas).unwrap_or(1))
    };
    let pods: u64 = plan.platform.workload_ids().map(replicas).sum();
    let in_flight = (plan.load.peak_rate() * RESIDENCE.as_secs_f64()) as u64;
    let to_gateway = in_flight.max(u64::from(plan.load.clients));
    (pods + to_gateway + in_flight * 4) * 3 / 2 + 64
}
