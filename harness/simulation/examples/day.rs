//! A day of the shipped production overlay at about 500 requests a second: wall time and peak memory.
//!
//! `cargo run --release -p simulation --example day [hours]`. Floor 110 s and 200 MB, aim 55 s and 80 MB, and memory
//! does not grow with the run. Peak memory needs Linux.
#![expect(clippy::print_stdout, reason = "an example that prints its measurement")]
#![expect(clippy::disallowed_methods, reason = "what is measured is the wall clock")]

use std::sync::Arc;
use std::time::Instant;

use manifests::Source;
use record::{Event, Listener, PhaseKind, Second, StepId, Watch};
use scenarios::{Plan, Scenario};
use simulation::{Settings, simulate};
use units::{Nanos, Seed};

const SCENARIO: &str = include_str!("../benches/production.yaml");

/// Takes what a run folder would, and writes it nowhere.
struct Folder;

impl Listener for Folder {
    fn event(&mut self, _: &Event) {}
    fn second(&mut self, _: &Second<'_>) {}
}

fn main() {
    let hours: u32 = std::env::args().nth(1).map_or(24, |hours| hours.parse().expect("a number of hours"));
    let text = SCENARIO.replace("duration: 240s", &format!("duration: {hours}h"));
    let scenario = Scenario::parse(&text, "production.yaml").expect("the scenario is sound");
    let platform = manifests::load(&Source::BuiltIn, "production").expect("the manifests are sound").platform;
    let nodes = manifests::load_nodes(None).expect("the nodes are sound");
    let profiles = model::shipped().expect("the profiles are sound");
    let plan = Plan::resolve(&scenario, Arc::new(platform), nodes, &profiles, Seed::new(1)).expect("the plan is sound");
    let watch = Watch {
        objective: "core-latency".into(),
        steps: (0..plan.load.steps.len()).map(|step| StepId(step as u16)).collect(),
        phases: vec![PhaseKind::Steady],
        limit: Some(Nanos::from_millis(800)),
        ..Watch::default()
    };
    let before = Instant::now();
    let played = simulate(&plan, vec![watch], &Settings::default(), &mut Folder).expect("the platform gets ready");
    let wall = before.elapsed().as_secs_f64();
    let offered = played.observed.recording.offered;
    let failed: u64 = played.observed.recording.steps.iter().flat_map(|step| step.failed.values()).sum();
    println!("{hours} h of load: {offered} requests, of them {failed} failed, {} events", played.events);
    println!("wall {wall:.1} s, {:.2} M requests/s, peak {}", offered as f64 / wall / 1e6, peak());
}

/// The most memory that was ever resident, as the kernel writes it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".into(), |peak| peak.trim().to_owned())
}
