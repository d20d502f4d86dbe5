//! From arguments to a rehearsal that can be played.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ::lint::Finding;
use manifests::{Source, WayIn};
use model::Profile;
use model::data::Figures;
use objectives::{Objective, Selected};
use platform::Node;
use record::{Asked, ExitCode, Look, NotJudged, Origin, PlatformStamp, StandIn, Watch};
use scenarios::{Entry, LoadScale, Plan, Scenario, Variation};
use units::{Bytes, Millicores, Nanos, Seed};

use crate::args::{self, PlayArgs};
use crate::backend::Backend;
use crate::failure::Failure;
use crate::project::Project;

/// Everything there is to know before anything starts.
#[derive(Clone)]
pub(crate) struct Rehearsal {
    pub(crate) plan: Arc<Plan>,
    /// Where it is played.
    pub(crate) backend: Backend,
    pub(crate) objectives: Vec<Objective>,
    pub(crate) watches: Vec<Watch>,
    /// Documented objectives that the scenario says nothing about.
    pub(crate) not_judged: Vec<NotJudged>,
    pub(crate) asked: Asked,
    /// The share of its load that the scenario gives to this overlay, where nobody asked for another.
    pub(crate) sized: Option<f64>,
    pub(crate) stand_ins: Vec<StandIn>,
    /// What lint says of the platform, under the project's choices.
    pub(crate) findings: Vec<Finding>,
    /// The platform's objects, as they are applied where something applies them.
    pub(crate) objects: Arc<[manifests::Object]>,
    /// What was made up so that there is a way in.
    way_in: Option<WayIn>,
    /// The scenario's file.
    pub(crate) scenario_text: String,
    /// The objectives that stand in the scenario's file.
    pub(crate) own: Vec<Objective>,
    /// Which of several planned looks it is; `None`: the only one.
    pub(crate) look: Option<Look>,
    /// Costs by workload, for another scenario on the same platform.
    profiles: BTreeMap<String, Profile>,
}

impl Rehearsal {
    pub(crate) fn resolve(args: &PlayArgs, backend: Backend) -> Result<Self, Failure> {
        Self::resolve_on(args, backend, None)
    }

    /// The same on these nodes, instead of those that the arguments name.
    pub(crate) fn resolve_on(args: &PlayArgs, backend: Backend, on: Option<Vec<Node>>) -> Result<Self, Failure> {
        let project = Project::here()?;
        let args = &project.play(args);
        let scenario = scenario(&project, args)?;
        let mut loaded = platform(args)?;
        let nodes = on.map_or_else(|| manifests::load_nodes(args.nodes.as_deref()), Ok)?;
        let findings = crate::lint::before_play(&loaded, args, &nodes, &project)?;
        let way_in = manifests::way_in(&mut loaded.platform);
        let way_in = way_in.map_err(|error| Failure::new(ExitCode::Manifests, &error))?;
        loaded.platform.node_groups = manifests::load_node_groups(args.nodes.as_deref())?;
        let stamp = PlatformStamp {
            source: loaded.source,
            overlay: loaded.overlay,
            namespace: loaded.platform.namespace.clone(),
            digest: loaded.digest,
        };
        let described: Vec<String> = nodes.iter().map(describe).collect();
        let seed = Seed::new(args.seed);
        let entry = match args.entry {
            args::Entry::Gateway => Entry::Gateway,
            args::Entry::Ingress => Entry::Ingress,
        };
        let platform = Arc::new(loaded.platform);
        let profiles = project.profiles()?;
        let plan = Plan::resolve_entering(&scenario, platform, nodes, &profiles, seed, entry)?;
        let plan = plan.with_figures(project.figures()?);
        let sized = scenario.scale_on(&stamp.overlay).filter(|_| args.rate.is_none() && args.scale.is_none());
        let load = match (args.rate, args.scale.or(sized)) {
            (Some(rate), _) => LoadScale::Peak(rate),
            (None, Some(factor)) => LoadScale::Times(factor),
            (None, None) => LoadScale::AsWritten,
        };
        let plan = plan.varied(&Variation { load, ..Variation::default() })?;
        playable(&plan, way_in.as_ref(), backend)?;
        let own = crate::situation::own(&scenario)?;
        let objectives = crate::situation::objectives(&own, &args.objective)?;
        let Selected { objectives, watches, not_judged } = crate::situation::select(&scenario, objectives, &plan)?;
        let asked = Asked {
            schema: "rehearse/run/v1".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            command: command(args, backend),
            scenario: scenario.name.clone(),
            backend: backend.named().into(),
            seed,
            platform: stamp,
            nodes: described,
        };
        let mut stand_ins = stand_ins(&plan, way_in.as_ref(), backend);
        stand_ins.extend(sized.map(|share| StandIn {
            what: "the load".into(),
            how: format!(
                "{} of what is written, the scenario's size for overlay {}",
                percent(share),
                asked.platform.overlay
            ),
            origin: Origin::Assumed,
        }));
        let objects = loaded.objects.into();
        let (plan, scenario_text) = (Arc::new(plan), scenario.text().to_owned());
        Ok(Self {
            plan,
            backend,
            objectives,
            watches,
            not_judged,
            asked,
            sized,
            stand_ins,
            findings,
            objects,
            way_in,
            scenario_text,
            own,
            look: None,
            profiles,
        })
    }

    /// Another scenario on the same platform and nodes, under the same seed.
    pub(crate) fn with(&self, scenario: &Scenario) -> Result<Plan, Failure> {
        self.on(scenario, Arc::clone(&self.plan.platform))
    }

    /// The same on another platform.
    pub(crate) fn on(&self, scenario: &Scenario, platform: Arc<platform::Platform>) -> Result<Plan, Failure> {
        let Plan { nodes, load, figures, .. } = &*self.plan;
        let plan = Plan::resolve(scenario, platform, nodes.clone(), &self.profiles, load.seed)?;
        Ok(plan.with_figures(figures.clone()))
    }

    /// The same with other costs.
    pub(crate) fn with_profiles(
        &self,
        scenario: &Scenario,
        profiles: &BTreeMap<String, Profile>,
    ) -> Result<Plan, Failure> {
        let Plan { nodes, load, platform, figures, .. } = &*self.plan;
        let plan = Plan::resolve(scenario, Arc::clone(platform), nodes.clone(), profiles, load.seed)?;
        Ok(plan.with_figures(figures.clone()))
    }

    /// Costs by workload.
    pub(crate) const fn profiles(&self) -> &BTreeMap<String, Profile> {
        &self.profiles
    }

    /// The same with another plan on another backend, judged by the objectives that say something about it. `command`
    /// repeats it.
    pub(crate) fn playing(
        &self,
        plan: Plan,
        args: &PlayArgs,
        backend: Backend,
        command: String,
    ) -> Result<Self, Failure> {
        playable(&plan, self.way_in.as_ref(), backend)?;
        let situation = crate::situation::situation(&plan);
        let of = |own: &[Objective]| -> Result<Selected, Failure> {
            Ok(objectives::select(crate::situation::objectives(own, &args.objective)?, &situation)?)
        };
        // The scenario's own may look at what another plan does not have.
        let Selected { objectives, watches, not_judged } = of(&self.own).or_else(|_| of(&[]))?;
        let scenario = plan.scenario.name.clone();
        let asked = Asked { scenario, backend: backend.named().into(), command, ..self.asked.clone() };
        let stand_ins = stand_ins(&plan, self.way_in.as_ref(), backend);
        let plan = Arc::new(plan);
        // Its load is as it stands in the plan, whatever the scenario's was.
        Ok(Self { plan, backend, objectives, watches, not_judged, asked, stand_ins, sized: None, ..self.clone() })
    }

    /// How long its steady phases last together.
    pub(crate) fn steady(&self) -> Nanos {
        let steady = self.plan.load.phases.iter().filter(|phase| phase.kind == record::PhaseKind::Steady);
        steady.fold(Nanos::ZERO, |sum, phase| sum + (phase.end - phase.start))
    }

    /// Which look at the platform this is, of those that were planned.
    pub(crate) fn look(&mut self, look: Look) {
        self.look = Some(look);
    }

    /// The smallest latency limit among the objectives.
    pub(crate) fn tightest_limit(&self) -> Nanos {
        self.objectives
            .iter()
            .filter(|objective| objective.gating)
            .filter_map(Objective::limit)
            .min()
            .unwrap_or(Nanos::from_secs(1))
    }

    /// Bounds of each autoscaler by the name of its workload.
    pub(crate) fn bounds(&self) -> BTreeMap<String, (u32, u32)> {
        let bounds =
            |a: &platform::Autoscaler| Some((self.plan.platform.workload(a.target?).name.clone(), (a.min, a.max)));
        self.plan.platform.autoscalers.iter().filter_map(bounds).collect()
    }
}

/// Refuses what `backend` does not play.
fn playable(plan: &Plan, way_in: Option<&WayIn>, backend: Backend) -> Result<(), Failure> {
    crate::backend::check(plan, backend)?;
    match way_in.filter(|_| matches!(backend, Backend::Containers | Backend::Kubernetes)) {
        None => Ok(()),
        Some(way_in) => Err(Failure::usage(format!(
            "the platform has no nginx of its own for backend {} to run, only {}: use another backend",
            backend.named(),
            way_in.what
        ))),
    }
}

/// The platform, or everything that is wrong with its manifests at once.
fn platform(args: &PlayArgs) -> Result<manifests::Loaded, Failure> {
    let source = args.platform.as_deref().map_or(Source::BuiltIn, Source::parse);
    let (loaded, errors) = manifests::load_all(&source, args.overlay.as_deref().unwrap_or_default());
    if errors.is_empty() { Ok(loaded) } else { Err(Failure::of_manifests(&loaded, &errors)) }
}

/// A scenario of the project or a shipped one by its name, or a file.
fn scenario(project: &Project, args: &PlayArgs) -> Result<Scenario, Failure> {
    let (name, steady) = (args.scenario(), args.duration);
    if steady == Some(Nanos::ZERO) {
        return Err(Failure::usage("--duration 0s: a run that lasts no time shows nothing".to_owned()));
    }
    let own = project.scenario(name);
    if let (None, Some(shipped)) = (&own, scenarios::find(name)) {
        let alone = |file: &str| Err(format!("`{file}` cannot be read: this scenario stands alone"));
        return Ok(Scenario::parse_lasting(shipped.text, shipped.file, &alone, steady)?);
    }
    let path = own.as_deref().unwrap_or(Path::new(name));
    if path.exists() {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read scenario {name}: {error}")))?;
        let beside = path.parent().unwrap_or(Path::new("")).to_owned();
        let read = move |file: &str| {
            let file = beside.join(file);
            fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))
        };
        return Ok(Scenario::parse_lasting(&text, &path.display().to_string(), &read, steady)?);
    }
    let known: Vec<_> = scenarios::LIBRARY.iter().map(|shipped| shipped.name).collect();
    Err(Failure::usage(format!(
        "there is no scenario `{name}`: give the path of a scenario file, or one of the shipped ones: {}",
        known.join(", ")
    )))
}

/// The command that repeats the run, seed included.
pub(crate) fn command(args: &PlayArgs, backend: Backend) -> String {
    let verb = if backend == Backend::Simulated { "simulate" } else { "run" };
    let mut words = vec![format!("rehearse {verb} {} --seed {}", args.scenario(), args.seed)];
    if !matches!(backend, Backend::Embedded | Backend::Simulated) {
        words.push(format!("--backend {}", backend.named()));
    }
    words.extend(args.rate.map(|rate| format!("--rate {rate}")));
    words.extend(args.scale.map(|factor| format!("--scale {factor}")));
    words.extend(args.duration.map(|steady| format!("--duration {steady}")));
    words.extend(args.extend.map(|most| format!("--extend {most}")));
    if args.entry == args::Entry::Ingress {
        words.push("--entry ingress".to_owned());
    }
    words.extend(args.platform.iter().map(|platform| format!("--platform {platform}")));
    words.extend(args.overlay.iter().filter(|name| *name != "production").map(|name| format!("--overlay {name}")));
    words.extend(args.nodes.iter().map(|nodes| format!("--nodes {}", nodes.display())));
    words.extend(args.objective.iter().map(|objective| format!("--objective '{objective}'")));
    words.join(" ")
}

/// A share in words.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.3}", share * 100.0).trim_end_matches('0').trim_end_matches('.').to_owned() + " %"
}

fn describe(node: &Node) -> String {
    let zone = node.labels.get("topology.kubernetes.io/zone").map_or("no zone", String::as_str);
    let taints: Vec<_> = node.taints.iter().map(|taint| format!("{}={}", taint.key, taint.value)).collect();
    let tainted = if taints.is_empty() { String::new() } else { format!(", tainted {}", taints.join(" ")) };
    let (cpu, memory): (Millicores, Bytes) = (node.cpu, node.memory);
    format!("{}: {cpu} CPU, {memory}, {} pods, {zone}{tainted}", node.name, node.pods)
}

/// Who answers custom and external metrics, and which of them nobody answers.
fn adapter(plan: &Plan) -> Vec<StandIn> {
    let told = |autoscaler: &platform::Autoscaler| {
        let name = autoscaler.name.clone();
        cluster::monitoring::feeds(&plan.platform, autoscaler).into_iter().map(move |feed| StandIn {
            what: format!("metric {} of autoscaler {name}", feed.metric),
            how: match feed.quantity {
                Some(quantity) => {
                    format!(
                        "{}, as the mock pods count them, scraped every 15 s and served as an adapter does",
                        quantity.in_words()
                    )
                }
                None => "nobody: no mock pod counts that, so it fails as without an adapter".into(),
            },
            origin: Origin::Assumed,
        })
    };
    plan.platform.autoscalers.iter().flat_map(told).collect()
}

/// What stands in for the real thing.
fn stand_ins(plan: &Plan, way_in: Option<&WayIn>, backend: Backend) -> Vec<StandIn> {
    let rules = |what: &str, how: &str| StandIn { what: what.into(), how: how.into(), origin: Origin::Documented };
    let mut all = match backend {
        Backend::ControlPlane => {
            vec![rules("nodes and kubelets", "played by rehearse; what decides is Kubernetes' own control plane")]
        }
        Backend::Kubernetes => Vec::new(), // nothing does, but for what its layer tells
        Backend::Embedded | Backend::Containers | Backend::Simulated => {
            vec![rules("the control plane", "rules of Kubernetes 1.34, played by rehearse")]
        }
    };
    match way_in {
        Some(WayIn { what, how, .. }) => {
            all.push(StandIn { what: what.clone(), how: how.clone(), origin: Origin::Assumed });
        }
        None if matches!(backend, Backend::Containers | Backend::Kubernetes) => {} // a real one, which is told later
        None => {
            all.push(rules("the gateway", "rules of nginx on the manifests' own configuration, played by rehearse"));
        }
    }
    if plan.ingress.is_some() {
        all.push(rules("the ingress controller", "one pod, by the rules of ingress-nginx 1.11, played by rehearse"));
    }
    all.extend(adapter(plan));
    let Figures { postgres, redis, .. } = &plan.figures;
    let figures = postgres.iter().map(|of| ("figures of PostgreSQL", &of.source));
    for (what, source) in figures.chain(redis.iter().map(|of| ("figures of Redis", &of.source))) {
        all.push(StandIn { what: what.into(), how: source.clone(), origin: Origin::Measured });
    }
    if backend == Backend::Simulated {
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
