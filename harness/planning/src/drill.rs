//! Drills: every failure we know, as scenarios made for one platform.
//!
//! Owns the catalogue and what each drill asks. A drill is a scenario file like any other: it is parsed, bound and
//! refused by `scenarios`, and whoever wants to see it again plays the file.

use std::fmt::Write;

use platform::{Platform, WorkloadId};
use scenarios::{LoadPlan, Plan};

use crate::Mixture;

/// One drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drill {
    /// Its name, fit for a file.
    pub name: String,
    /// What it is about, such as `rollout` or `node`.
    pub kind: &'static str,
    /// What is taken to be true before and after.
    pub hypothesis: String,
    /// The scenario, as a file.
    pub text: String,
}

/// What cannot be drilled in virtual time, and why.
pub const NOT_DRILLED: [(&str, &str); 1] = [(
    "what a restore brings back",
    "in virtual time there is no data; `backup` on the containers backend restores and counts it",
)];

/// Time before the fault, so that the control arm and the drill are seen in balance.
pub(crate) const BEFORE: u64 = 30;
const WARM_UP: u64 = 20;

/// A fault with its times and what is expected of it.
struct Plot {
    name: String,
    kind: &'static str,
    hypothesis: String,
    /// The fault's key and value, such as `podKill: {workload: auth-service, pods: 1}`.
    fault: Option<String>,
    /// Seconds it lasts; `None`: it is not undone.
    lasts: Option<u64>,
    /// Seconds of load from its beginning.
    watched: u64,
    /// Seconds within which nothing may fail any more; `None`: nothing is asked.
    recovers: Option<u64>,
    /// The share of requests that may fail meanwhile, percent.
    failed: Option<&'static str>,
    /// The load's shape after the fault's instant instead of a constant rate: `spike` in nginx' sense.
    spike: Option<f64>,
    /// Everybody comes from one address.
    abuse: bool,
    /// Clients ask again.
    retries: bool,
}

impl Plot {
    fn new(
        name: impl Into<String>,
        kind: &'static str,
        fault: impl Into<String>,
        hypothesis: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            kind,
            hypothesis: hypothesis.into(),
            fault: Some(fault.into()),
            lasts: None,
            watched: 90,
            recovers: Some(30),
            failed: Some("at most 0.5 %"),
            spike: None,
            abuse: false,
            retries: false,
        }
    }

    fn lasting(mut self, seconds: u64, watched: u64) -> Self {
        (self.lasts, self.watched) = (Some(seconds), watched);
        self
    }

    fn recovering(mut self, seconds: Option<u64>, failed: Option<&'static str>) -> Self {
        (self.recovers, self.failed) = (seconds, failed);
        self
    }
}

/// Every drill that `plan`'s platform can be put through. `journeys` is the text of that key in a scenario file.
pub fn drills(plan: &Plan, mixture: &Mixture, journeys: &str) -> Vec<Drill> {
    catalogue(plan, mixture).iter().map(|plot| write(plan, mixture, journeys, plot)).collect()
}

/// A drill without a fault: so many times the usual rate for so many seconds.
pub fn burst(plan: &Plan, mixture: &Mixture, journeys: &str, times: f64, seconds: u64) -> Drill {
    let hypothesis = format!("A burst of {times:.2} times the usual rate for {seconds} s breaks no objective.");
    let plot = Plot {
        fault: None,
        failed: None,
        recovers: None,
        spike: Some(times),
        watched: seconds,
        ..Plot::new("burst", "burst", "", hypothesis)
    };
    write(plan, mixture, journeys, &plot)
}

/// The workloads that serve the mixture, the busiest first.
fn serving(plan: &Plan, mixture: &Mixture) -> Vec<WorkloadId> {
    let visits = crate::Demands::of(plan, mixture).visits;
    let gateway = plan.platform.gateway.as_ref().map(|gateway| gateway.workload);
    let mut all: Vec<_> = visits.into_iter().filter(|(workload, _)| Some(*workload) != gateway).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.into_iter().map(|(workload, _)| workload).collect()
}

fn catalogue(plan: &Plan, mixture: &Mixture) -> Vec<Plot> {
    let platform = &*plan.platform;
    let name = |workload: WorkloadId| platform.workload(workload).name.as_str();
    let serving = serving(plan, mixture);
    let mut all = Vec::new();
    for workload in &serving {
        let name = name(*workload);
        all.push(Plot::new(
            format!("pod-kill-{name}"),
            "pod kill",
            format!("podKill: {{workload: {name}, pods: 1, forced: true}}"),
            format!("Losing a pod of {name} costs what was in flight there, and no more."),
        ));
    }
    for workload in &serving {
        let name = name(*workload);
        let update = Plot::new(
            format!("rollout-{name}"),
            "rollout",
            format!("rollingUpdate: {{workload: {name}}}"),
            format!("Zero downtime: no request fails while {name} is updated."),
        );
        all.push(update.lasting(150, 180).recovering(None, Some("0")));
    }
    if let Some(workload) = serving.first() {
        let name = name(*workload);
        let mut bad = Plot::new(
            format!("bad-image-{name}"),
            "bad rollout",
            format!("badImage: {{workload: {name}}}"),
            format!("An image of {name} that cannot be pulled stops its own rollout and nothing else."),
        );
        bad.watched = 150;
        all.push(bad.recovering(None, Some("0")));
    }
    if let Some(gateway) = &platform.gateway {
        let pods = platform.workload(gateway.workload).replicas.unwrap_or(1);
        for count in 1..=pods.saturating_sub(1).min(3) {
            let plural = if count == 1 { "pod" } else { "pods" };
            let loss = Plot::new(
                format!("gateway-loss-{count}"),
                "gateway loss",
                format!("gatewayLoss: {{pods: {count}}}"),
                format!("With {count} gateway {plural} gone the others carry on."),
            );
            all.push(loss.recovering(Some(30), Some("at most 2 %")));
        }
    }
    for node in &plan.nodes {
        let drain = Plot::new(
            format!("drain-{}", node.name),
            "drain",
            format!("nodeDrain: {{node: {}}}", node.name),
            format!("Emptying {} within the disruption budgets costs nothing.", node.name),
        );
        all.push(drain.lasting(150, 180).recovering(Some(120), Some("at most 0.1 %")));
    }
    let mut zones: Vec<&String> =
        plan.nodes.iter().filter_map(|node| node.labels.get("topology.kubernetes.io/zone")).collect();
    zones.sort();
    zones.dedup();
    for zone in zones {
        let loss = Plot::new(
            format!("zone-{zone}"),
            "zone loss",
            format!("zoneLoss: {{zone: {zone}}}"),
            format!("Without {zone} the others carry on."),
        );
        let mut loss = loss.recovering(Some(120), None);
        loss.watched = 240;
        all.push(loss);
    }
    data(platform, &mut all);
    let calls = serving.iter().find_map(|from| {
        let profile = plan.profile(*from);
        let call = profile.routes.iter().flat_map(|route| &route.calls).next()?;
        let service = platform.service_named(&call.service)?;
        let to = platform.selected_by(platform.service(service)).next()?;
        Some((name(*from), name(to)))
    });
    if let Some((from, to)) = calls {
        let slow = Plot::new(
            format!("slow-{to}"),
            "slow dependency",
            format!("latency: {{from: {from}, to: {to}, add: 500ms}}"),
            format!("A slow {to} slows who calls it, and fails nobody."),
        );
        all.push(slow.lasting(30, 90).recovering(Some(60), Some("at most 0.5 %")));
        let lossy = Plot::new(
            format!("lossy-{to}"),
            "packet loss",
            format!("packetLoss: {{from: {from}, to: {to}, share: 2 %}}"),
            format!("What is lost on the way to {to} comes later, and nothing fails."),
        );
        all.push(lossy.lasting(30, 90).recovering(Some(60), Some("at most 0.5 %")));
        let cut = Plot::new(
            format!("cut-{from}"),
            "reset connections",
            format!("reset: {{from: gateway, to: {from}, share: 20 %}}"),
            "When nobody cuts connections any more, everything works again.",
        );
        all.push(cut.lasting(20, 90).recovering(Some(40), None));
        let mut storm = Plot::new(
            "retry-storm",
            "retry storm",
            format!("errors: {{from: gateway, to: {from}, share: 80 %, status: 503}}"),
            "When the errors end, so do the retries.",
        );
        storm.retries = true;
        all.push(storm.lasting(30, 120).recovering(Some(90), None));
    }
    if let Some(workload) = serving.first() {
        let name = name(*workload);
        if platform.service_named(name).is_some() {
            let dns = Plot::new(
                format!("dns-{name}"),
                "DNS failure",
                format!("dnsFailure: {{service: {name}}}"),
                "When names resolve again, everything works again.",
            );
            all.push(dns.lasting(20, 90).recovering(Some(40), None));
        }
    }
    if let Some(node) = plan.nodes.iter().find(|node| node.taints.is_empty()) {
        let noisy = Plot::new(
            format!("noisy-{}", node.name),
            "noisy neighbour",
            format!("noisyNeighbour: {{node: {}, cpu: {}m}}", node.name, node.cpu.get() * 9 / 10),
            "A neighbour that takes nine tenths of a node slows its pods, and fails nobody.",
        );
        all.push(noisy.lasting(60, 120).recovering(Some(90), Some("at most 0.5 %")));
    }
    if !platform.autoscalers.is_empty() {
        let mut spike = Plot::new("spike", "spike", "", "Four times the load at once is served after autoscaling.");
        (spike.fault, spike.spike, spike.watched, spike.failed) = (None, Some(4.0), 240, Some("at most 1 %"));
        spike.recovers = None;
        all.push(spike);
    }
    let mut abuse =
        Plot::new("abuse", "abuse", "", "One client that floods is refused, and the others notice nothing.");
    (abuse.fault, abuse.abuse, abuse.recovers, abuse.failed) = (None, true, None, Some("at most 0.5 %"));
    all.push(abuse);
    all
}

/// Databases, caches, and the vector store.
fn data(platform: &Platform, all: &mut Vec<Plot>) {
    if platform.database().is_some() {
        let lost = Plot::new(
            "database-primary",
            "database",
            "databaseLoss: {}",
            "A lost primary is replaced, and the core flow works again within a minute.",
        );
        all.push(lost.lasting(120, 180).recovering(Some(60), None));
    }
    if platform.database().is_some() {
        let taken = Plot::new(
            "connections-taken",
            "connections",
            "connectionsTaken: {connections: 10000}",
            "With every spare database connection taken by others, services work on with those they hold, and recover.",
        );
        all.push(taken.lasting(60, 120).recovering(Some(60), None));
        let backup =
            Plot::new("backup", "backup window", "backup: {cpu: 1}", "A backup slows the database, and fails nobody.");
        all.push(backup.lasting(60, 90).recovering(Some(60), Some("at most 0.5 %")));
        let full = Plot::new(
            "disk-full",
            "full disk",
            "diskFull: {}",
            "With a full database disk reads are served, and when there is space again everything works again.",
        );
        all.push(full.lasting(60, 90).recovering(Some(60), None));
        let restore = Plot::new(
            "restore",
            "restore",
            "restore: {}",
            "When a restored database is online again, everything works again.",
        );
        all.push(restore.lasting(60, 150).recovering(Some(90), None));
    }
    if platform.cache().is_some() {
        let lost = Plot::new(
            "redis-master",
            "Redis",
            "redisLoss: {}",
            "Sentinel fails over within its 15 s; misses are served by the database meanwhile.",
        );
        all.push(lost.lasting(60, 120).recovering(Some(60), None));
    }
    if platform.workload_named("weaviate").is_some() {
        let lost = Plot::new(
            "weaviate",
            "Weaviate",
            "podKill: {workload: weaviate, pods: 1, forced: true}",
            "Without the vector store answers are poorer, and come.",
        );
        all.push(lost.recovering(Some(90), None));
    }
}

fn write(plan: &Plan, mixture: &Mixture, journeys: &str, plot: &Plot) -> Drill {
    let load: &LoadPlan = &plan.load;
    let host = load.steps.first().map_or("localhost", |step| step.host.as_str());
    let after = plot.watched;
    let mut text = format!(
        "apiVersion: rehearse/v1\nkind: Scenario\nmetadata:\n  name: drill-{}\n  question: \"{}\"\nspec:\n  host: {host}\n  timeout: {}\n  phases:\n    - {{name: warm-up, kind: warm-up, duration: {WARM_UP}s}}\n    - {{name: drill, kind: steady, duration: {}s}}\n  journeys:\n{journeys}  load:\n",
        plot.name,
        plot.hypothesis,
        load.timeout,
        BEFORE + after,
    );
    let clients = mixture.clients(mixture.nominal);
    let put = |text: &mut String, line: String| writeln!(text, "{line}").expect("writing to a string");
    for (journey, share) in &mixture.shares {
        let rate = (mixture.nominal * share).max(0.001);
        let own = ((f64::from(clients) * share).ceil() as u32).max(1);
        let during = plot.spike.map_or_else(
            || format!("{rate:.3}/s"),
            |times| format!("{rate:.3}/s spike {:.3}/s at {BEFORE}s for {}s", rate * times, after),
        );
        let retry = if plot.retries {
            ", retry: {attempts: 4, on: [5xx, gateway, timeout, refused, reset], backoff: 100ms, factor: 2, max: 2s}"
        } else {
            ""
        };
        put(
            &mut text,
            format!(
                "    - {{journey: {}, clients: {own}, rate: {{warm-up: {rate:.3}/s, drill: {during}}}{retry}}}",
                load.journeys[usize::from(*journey)].name
            ),
        );
    }
    if plot.abuse
        && let Some((journey, _)) = mixture.shares.first()
    {
        let name = &load.journeys[usize::from(*journey)].name;
        put(
            &mut text,
            format!(
                "    - {{journey: {name}, clients: 1, rate: {{warm-up: 0/s, drill: 0/s spike 100/s at {BEFORE}s for 30s}}}}"
            ),
        );
    }
    if let Some(fault) = &plot.fault {
        let lasts = plot.lasts.map_or_else(String::new, |seconds| format!(", lasts: {seconds}s"));
        put(&mut text, format!("  faults:\n    - {{name: drill, at: drill + {BEFORE}s{lasts}, {fault}}}"));
    }
    let mut expect = Vec::new();
    if let Some(failed) = plot.failed {
        expect.push(format!("    - {{that: failed, in: drill, is: {failed}}}"));
    }
    if let Some(recovers) = plot.recovers.filter(|_| plot.fault.is_some()) {
        expect.push(format!("    - {{that: recovered, after: drill, within: {recovers}s}}"));
    }
    if plot.abuse {
        expect.push("    - {that: rejected, in: drill, is: at least 1}".into());
    }
    if !expect.is_empty() {
        put(&mut text, format!("  expect:\n{}", expect.join("\n")));
    }
    put(&mut text, "  abort: {when: failed > 95 %, for: 60s}".into());
    Drill { name: plot.name.clone(), kind: plot.kind, hypothesis: plot.hypothesis.clone(), text }
}

/// The text below `journeys:` of a scenario file in block style; `None` if it cannot be cut out.
pub fn journeys(scenario: &str) -> Option<String> {
    let mut lines = scenario.lines().skip_while(|line| line.trim_end() != "  journeys:");
    lines.next()?;
    let below = lines
        .take_while(|line| line.starts_with("   ") || line.trim().is_empty() || line.trim_start().starts_with('#'));
    let text: String = below.flat_map(|line| [line, "\n"]).collect();
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journeys_are_cut_out_whole() {
        let shipped = scenarios::find("nightly").unwrap();
        let text = journeys(shipped.text).unwrap();
        assert!(text.contains("core-flow:") && text.contains("upload") && !text.contains("clients:"), "{text}");
        assert_eq!(journeys("spec: {journeys: {}}"), None);
    }
}
