//! From arguments to a rehearsal that can be played.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use manifests::Source;
use objectives::Objective;
use platform::Node;
use record::{Asked, Origin, PlatformStamp, StandIn, Watch};
use scenarios::{Plan, Scenario};
use units::{Bytes, Millicores, Nanos, Seed};

use crate::args::PlayArgs;
use crate::failure::Failure;

/// Everything there is to know before anything starts.
pub(crate) struct Rehearsal {
    pub(crate) plan: Arc<Plan>,
    pub(crate) objectives: Vec<Objective>,
    pub(crate) watches: Vec<Watch>,
    pub(crate) asked: Asked,
    pub(crate) stand_ins: Vec<StandIn>,
}

impl Rehearsal {
    pub(crate) fn resolve(args: &PlayArgs, backend: &str) -> Result<Self, Failure> {
        let scenario = scenario(&args.scenario)?;
        let source = args.platform.clone().map_or(Source::BuiltIn, Source::Path);
        let loaded = manifests::load(&source, &args.overlay)?;
        let nodes = manifests::load_nodes(args.nodes.as_deref())?;
        let stamp = PlatformStamp {
            source: loaded.source,
            overlay: loaded.overlay,
            namespace: loaded.platform.namespace.clone(),
            digest: loaded.digest,
        };
        let described: Vec<String> = nodes.iter().map(describe).collect();
        let seed = Seed::new(args.seed);
        let plan = Plan::resolve(&scenario, Arc::new(loaded.platform), nodes, &model::shipped()?, seed)?;
        let steps = plan.load.step_plans();
        let objectives = objectives::built_in();
        let watches = objectives.iter().map(|objective| objective.watch(&steps)).collect::<Result<_, _>>()?;
        let asked = Asked {
            schema: "rehearse/run/v1".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            command: command(args, backend),
            scenario: scenario.name.clone(),
            backend: backend.into(),
            seed,
            platform: stamp,
            nodes: described,
        };
        let stand_ins = stand_ins(&plan, backend);
        Ok(Self { plan: Arc::new(plan), objectives, watches, asked, stand_ins })
    }

    /// The smallest latency limit among the objectives.
    pub(crate) fn tightest_limit(&self) -> Nanos {
        self.objectives.iter().filter_map(|objective| objective.limit).min().unwrap_or(Nanos::from_secs(1))
    }

    /// Bounds of each autoscaler by the name of its workload.
    pub(crate) fn bounds(&self) -> BTreeMap<String, (u32, u32)> {
        let bounds = |a: &platform::Autoscaler| (self.plan.platform.workload(a.target).name.clone(), (a.min, a.max));
        self.plan.platform.autoscalers.iter().map(bounds).collect()
    }
}

/// A shipped scenario by its name, or a file.
fn scenario(name: &str) -> Result<Scenario, Failure> {
    if let Some(shipped) = scenarios::find(name) {
        return Ok(Scenario::parse(shipped.text, shipped.file)?);
    }
    let path = Path::new(name);
    if path.exists() {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read scenario {name}: {error}")))?;
        return Ok(Scenario::parse(&text, name)?);
    }
    let known: Vec<_> = scenarios::LIBRARY.iter().map(|shipped| shipped.name).collect();
    Err(Failure::usage(format!(
        "there is no scenario `{name}`: give the path of a scenario file, or one of the shipped ones: {}",
        known.join(", ")
    )))
}

/// The command that repeats the run, seed included.
fn command(args: &PlayArgs, backend: &str) -> String {
    let verb = if backend == "simulated" { "simulate" } else { "run" };
    let mut words = vec![format!("rehearse {verb} {} --seed {}", args.scenario, args.seed)];
    words.extend(args.platform.iter().map(|platform| format!("--platform {}", platform.display())));
    words.extend((args.overlay != "production").then(|| format!("--overlay {}", args.overlay)));
    words.extend(args.nodes.iter().map(|nodes| format!("--nodes {}", nodes.display())));
    words.join(" ")
}

fn describe(node: &Node) -> String {
    let zone = node.labels.get("topology.kubernetes.io/zone").map_or("no zone", String::as_str);
    let taints: Vec<_> = node.taints.iter().map(|taint| format!("{}={}", taint.key, taint.value)).collect();
    let tainted = if taints.is_empty() { String::new() } else { format!(", tainted {}", taints.join(" ")) };
    let (cpu, memory): (Millicores, Bytes) = (node.cpu, node.memory);
    format!("{}: {cpu} CPU, {memory}, {} pods, {zone}{tainted}", node.name, node.pods)
}

/// What stands in for the real thing.
fn stand_ins(plan: &Plan, backend: &str) -> Vec<StandIn> {
    let rules = |what: &str, how: &str| StandIn { what: what.into(), how: how.into(), origin: Origin::Documented };
    let mut all = vec![
        rules("the control plane", "rules of Kubernetes 1.34, played by rehearse"),
        rules("the gateway", "rules of nginx on the manifests' own configuration, played by rehearse"),
    ];
    if backend == "simulated" {
        let hop = simulation::Settings::default().hop;
        all.push(StandIn {
            what: "the network".into(),
            how: format!("{hop} one way between any two parties"),
            origin: Origin::Assumed,
        });
    }
    let gateway = plan.platform.gateway.as_ref().map(|gateway| gateway.workload);
    for id in plan.platform.workload_ids().filter(|id| Some(*id) != gateway) {
        let profile = plan.profile(id);
        all.push(StandIn {
            what: format!("service times of {}", plan.platform.workload(id).name),
            how: profile.source.clone(),
            origin: if profile.assumed() { Origin::Assumed } else { Origin::Measured },
        });
    }
    all
}
