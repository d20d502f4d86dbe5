//! The invariants, each counted from what the run left: observations, events, and the simulator's own audit.

use std::collections::{BTreeMap, BTreeSet};

use platform::{CountOrPercent, DisruptionBound, Platform, Workload};
use record::{EventKind, Observation};
use scenarios::Plan;
use simulation::{Audit, Settings, Simulated};
use units::Nanos;

/// How much there was to check.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    requests: u64,
    failed: u64,
    dialled: u64,
    evicted: u64,
    unready: u64,
    in_flight: u64,
}

impl Seen {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            failed: self.failed + other.failed,
            dialled: self.dialled + other.dialled,
            evicted: self.evicted + other.evicted,
            unready: self.unready + other.unready,
            in_flight: self.in_flight + other.in_flight,
        }
    }

    /// Each invariant had something to say.
    pub(crate) fn is_in_earnest(self) -> bool {
        let Self { requests, failed, dialled, evicted, unready, in_flight } = self;
        [requests, failed, dialled, evicted, unready, in_flight].iter().all(|count| *count > 0)
    }
}

/// Checks one run. `again` says how it is played again.
pub(crate) fn check(plan: &Plan, simulated: &Simulated, again: &str) -> Seen {
    let observed = &simulated.observed;
    let audit = simulated.audit.as_ref().unwrap();
    let mut seen = each_request_ends_once_and_in_time(plan, &observed.observations, again);
    what_came_went_or_is_under_way(plan, &observed.observations, again);
    seen.in_flight = littles_law(&observed.observations, audit, again);
    let events: Vec<(Nanos, &EventKind)> =
        observed.chronicle.events().iter().map(|event| (Nanos::from_micros(event.at_us), &event.kind)).collect();
    (seen.dialled, seen.unready) = only_ready_endpoints_are_dialled(&events, audit, again);
    seen.evicted = evictions_keep_to_budgets(&plan.platform, &events, again);
    let began = events.iter().filter(|(_, kind)| matches!(kind, EventKind::FaultBegan { .. })).count();
    assert_eq!(began, plan.faults.len(), "a fault never began: {again}");
    let recorded: u64 = observed.recording.steps.iter().map(|step| step.n).sum();
    assert_eq!(recorded, observed.observations.len() as u64, "recorded otherwise than observed: {again}");
    seen
}

fn each_request_ends_once_and_in_time(plan: &Plan, observations: &[Observation], again: &str) -> Seen {
    let (mut ended, mut failed) = (BTreeSet::new(), 0);
    for o in observations {
        let Observation { arrival, step, intended, sent, done, status, .. } = *o;
        assert!(ended.insert((arrival, step, intended)), "a request ended twice: {o:?}: {again}");
        assert!(intended <= sent && sent <= done, "time runs backwards: {o:?}: {again}");
        // Two hops beyond the client's patience, at most.
        let patience = plan.load.timeout + Nanos::from_millis(1);
        assert!(done - sent <= patience, "{} for a request: {again}", done - sent);
        assert_eq!(o.ok(), (200..400).contains(&status), "{o:?}: {again}");
        let held = u64::from(o.hops.limiter_us);
        assert!(held <= (done - sent).as_micros() + 1, "held back longer than it took: {o:?}: {again}");
        failed += u64::from(!o.ok());
    }
    Seen { requests: observations.len() as u64, failed, ..Seen::default() }
}

/// In = out + in flight, at the end: nothing is in flight any more, so every session that arrived made its first request,
/// and went on to its last one unless it was not served.
fn what_came_went_or_is_under_way(plan: &Plan, observations: &[Observation], again: &str) {
    let mut sessions: BTreeMap<u64, Vec<&Observation>> = BTreeMap::new();
    for o in observations {
        sessions.entry(o.arrival).or_default().push(o);
    }
    if plan.load.crowds.is_empty() {
        assert_eq!(sessions.len(), scenarios::Arrivals::new(&plan.load).count(), "sessions: {again}");
    }
    let lengths: BTreeSet<usize> = plan.load.journeys.iter().map(|journey| journey.steps.len()).collect();
    let retries = plan.load.streams.iter().any(|stream| stream.retry.is_some());
    for requests in sessions.values().filter(|_| !retries) {
        let served = requests.iter().filter(|o| o.ok()).count();
        assert!(requests.len() - served <= 1, "who was not served went on: {requests:?}: {again}");
        assert!(served < requests.len() || lengths.contains(&served), "ended early: {requests:?}: {again}");
    }
}

/// Little's law as an identity of the run itself, L = λW without limits: what is in flight at whole seconds, summed over
/// them, is how many whole seconds each request lasted, summed over requests. A request that has ended is told so when
/// its last byte leaves, up to three hops before it is there.
fn littles_law(observations: &[Observation], audit: &Audit, again: &str) -> u64 {
    let hops = Settings::default().hop * 3;
    let mut sent: Vec<Nanos> = observations.iter().map(|o| o.sent).collect();
    let mut done: Vec<Nanos> = observations.iter().map(|o| o.done).collect();
    sent.sort_unstable();
    done.sort_unstable();
    let until = |sorted: &[Nanos], at: Nanos| sorted.partition_point(|instant| *instant <= at);
    let before = |sorted: &[Nanos], at: Nanos| sorted.partition_point(|instant| *instant < at);
    let mut sum = 0;
    for &(at, under_way) in &audit.under_way {
        let (least, most) =
            (before(&sent, at) - until(&done, at + hops).min(before(&sent, at)), until(&sent, at) - before(&done, at));
        let counted = under_way as usize;
        assert!((least..=most).contains(&counted), "{counted} in flight at {at}, not {least} to {most}: {again}");
        sum += u64::from(under_way);
    }
    sum
}

/// No request to an endpoint that has been unready for longer than news of it take, nor to one that never was.
fn only_ready_endpoints_are_dialled(events: &[(Nanos, &EventKind)], audit: &Audit, again: &str) -> (u64, u64) {
    let mut ready: BTreeMap<&str, Vec<(Nanos, Nanos)>> = BTreeMap::new();
    let mut unready = 0;
    for (at, kind) in events {
        match kind {
            EventKind::PodReady { pod, ready: true } => ready.entry(pod).or_default().push((*at, Nanos::MAX)),
            EventKind::PodReady { pod, ready: false } | EventKind::PodGone { pod } => {
                if let Some(last) = ready.get_mut(pod.as_str()).and_then(|spans| spans.last_mut())
                    && last.1 == Nanos::MAX
                {
                    last.1 = *at;
                    unready += 1;
                }
            }
            _ => {}
        }
    }
    // Events are told in whole microseconds.
    let news = Settings::default().cluster.endpoint_propagation + Nanos::from_micros(1);
    for (at, pod) in &audit.dialled {
        let name = audit.pods[pod.0 as usize].as_str();
        let spans = ready.get(name).map_or(&[][..], Vec::as_slice);
        let was = spans.iter().any(|(from, to)| from <= at && *at <= Nanos::new(to.get().saturating_add(news.get())));
        assert!(was, "{name} was dialled at {at}, and ready {spans:?}: {again}");
    }
    (audit.dialled.len() as u64, unready)
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    workload: Option<usize>,
    ready: bool,
    ending: bool,
}

/// Never below what a budget wants by an eviction of a pod that serves.
fn evictions_keep_to_budgets(platform: &Platform, events: &[(Nanos, &EventKind)], again: &str) -> u64 {
    let of = |pod: &str| {
        let named = |w: &Workload| pod.strip_prefix(w.name.as_str()).is_some_and(|rest| rest.starts_with('-'));
        let all = platform.workloads.iter().enumerate().filter(|(_, w)| named(w));
        all.max_by_key(|(_, w)| w.name.len()).map(|(index, _)| index)
    };
    let mut pods: BTreeMap<&str, Standing> = BTreeMap::new();
    let mut scale: BTreeMap<&str, u32> = BTreeMap::new();
    let mut evicted = 0;
    for (at, kind) in events {
        match kind {
            EventKind::PodScheduled { pod, .. } => {
                pods.insert(pod, Standing { workload: of(pod), ..Standing::default() });
            }
            EventKind::PodReady { pod, ready } => pods.entry(pod).or_default().ready = *ready,
            EventKind::PodTerminating { pod, .. } => pods.entry(pod).or_default().ending = true,
            EventKind::PodGone { pod } => drop(pods.remove(pod.as_str())),
            EventKind::ReplicasChanged { workload, desired, .. } => drop(scale.insert(workload, *desired)),
            EventKind::PodEvicted { pod, reason } if reason.starts_with("Eviction") => {
                let Some(own) = pods.get(pod.as_str()).copied().filter(|own| own.ready) else { continue };
                let Some(workload) = own.workload.map(|index| &platform.workloads[index]) else { continue };
                let budget = platform.budgets.iter().find(|budget| {
                    budget.namespace == workload.namespace
                        && budget.selector.as_ref().is_some_and(|selector| selector.selects(&workload.labels))
                });
                let wanted = scale.get(workload.name.as_str()).copied().unwrap_or(0);
                let least = match budget.map(|budget| budget.bound) {
                    Some(DisruptionBound::MinAvailable(CountOrPercent::Count(count))) => count,
                    Some(DisruptionBound::MaxUnavailable(CountOrPercent::Count(count))) => wanted.saturating_sub(count),
                    _ => continue,
                };
                let serves = |(name, standing): (&&str, &Standing)| {
                    **name != *pod.as_str() && standing.workload == own.workload && standing.ready && !standing.ending
                };
                let left = pods.iter().filter(|pair| serves(*pair)).count() as u32;
                assert!(left >= least, "{pod} was evicted at {at}: {left} are left, {least} must be: {again}");
                evicted += 1;
            }
            _ => {}
        }
    }
    evicted
}
