//! A cluster that is not played: kind's, or any that a kubeconfig knows.
//!
//! Owns the way there and back: the cluster is made or found, asked whether a rehearsal may go there, given the platform
//! with stand-ins for its images, and left as it was. Between that, a [`Remote`] watches it, and the stage asks
//! [`ClusterPods`] where pods are.

mod context;
mod deploy;
mod kind;
mod layer;
mod ledger;
mod measured;
mod node_image;
mod objects;
mod pods;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use cluster::{ClusterConfig, ControlInput, ControlSide};
use containers::{Image, Program};
use platform::{Node, WorkloadId};
use scenarios::{FaultKind, Plan};
use serde_json::{Value, json};
use server::Listening;
use stage::ContainerRuntime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use deploy::Deployed;
pub(crate) use kind::pause;
pub(crate) use objects::pause as look_again;
pub(crate) use pods::{ClusterPods, Place};

use crate::KubeError;
use crate::answers::{self, Answers, Registrar};
use crate::apply::{self, Applied};
use crate::pki::Authority;
use crate::plane::{METRICS_NAMESPACE, METRICS_SERVICE};
use crate::remote::{Hands, Parts, Remote};
use crate::rest::Rest;
use crate::wall::Wall;
use kind::Kind;
use ledger::Ledger;
use measured::Measurer;
use pods::Door;

/// Which cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One that kind makes for the run.
    Kind {
        /// The image of its nodes, if not the one that was built here or kind's own.
        node_image: Option<String>,
    },
    /// One that is there.
    Context {
        /// As the kubeconfig has it.
        name: String,
        /// The namespace to rehearse in.
        namespace: Option<String>,
        /// The context that may look like production.
        allow_production: Option<String>,
    },
}

/// A cluster that a rehearsal may use.
#[derive(Debug)]
pub struct Cluster {
    rest: Rest,
    context: String,
    /// We made it, now or before.
    ours: bool,
    kind: Option<Kind>,
    nodes: Vec<Value>,
    namespace: Option<String>,
    version: String,
    /// Its own metrics server answers.
    measures: bool,
    /// Its nodes have the images.
    loaded: bool,
    ledger: Ledger,
}

/// What is stood up in it.
#[derive(Clone, Debug)]
pub struct ClusterOrder {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The platform's objects as they were read.
    pub objects: Vec<Value>,
    /// How often metrics are scraped.
    pub config: ClusterConfig,
    /// Workloads that keep their own images.
    pub keep_images: BTreeSet<String>,
    /// Mock services use the CPU and the memory that they account for.
    pub burn: bool,
    /// The registry and folder that the stand-ins' images are in, if they are not loaded into the nodes.
    pub registry: Option<String>,
    /// The command that makes the objects, instead of us.
    pub deploy: Option<String>,
}

/// What is to be applied.
#[derive(Clone, Debug)]
pub struct Layered {
    plan: Arc<Plan>,
    config: ClusterConfig,
    objects: Vec<Value>,
    /// What is not as the manifests have it, in words.
    pub told: Vec<String>,
    programs: Vec<Program>,
    kept: BTreeSet<WorkloadId>,
    share: f64,
    only: Option<BTreeSet<String>>,
    direct: bool,
    /// Those that nodes are to have.
    images: Vec<String>,
    deploy: Option<Deploy>,
}

/// How somebody else's script deploys.
#[derive(Clone, Debug)]
struct Deploy {
    command: String,
    swap: deploy::Swap,
    /// Of the objects those that are the script's to make.
    theirs: Vec<Value>,
    /// Secrets that nobody declares: made up behind it, where it has not made them.
    secrets: Vec<Value>,
}

impl Layered {
    /// The share of the manifests' CPU requests that pods have.
    pub const fn share(&self) -> f64 {
        self.share
    }

    /// The namespaces that are rehearsed.
    fn namespaces(&self) -> BTreeSet<String> {
        let theirs = self.deploy.iter().flat_map(|deploy| &deploy.theirs);
        let named = self.objects.iter().chain(theirs).filter_map(|one| one["metadata"]["namespace"].as_str());
        self.only.clone().unwrap_or_else(|| named.map(str::to_owned).collect())
    }

    /// The objects, without those that hold secrets.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|object| object["kind"] != "Secret")
    }
}

/// A platform whose objects are applied.
pub struct Stood {
    /// Where its pods are.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// What was applied.
    pub applied: Applied,
    /// What the user's own script did.
    pub deployed: Option<Deployed>,
    closing: Closing,
    parts: Parts,
    clock: Clock,
}

impl std::fmt::Debug for Stood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stood").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// The port of every node at which gateways are reached, in a cluster of ours: `kind-config/cluster.yaml` maps it.
const NODE_PORT: u16 = 30_080;
const DOOR: &str = "rehearse-door";
/// How often an API server is asked whether it is ready, and how many times it may say nothing.
const ASK_EVERY: Duration = Duration::from_secs(5);
const SILENCES: u32 = 6;
/// Of what nodes have, this much is for pods of ours; the rest is for the cluster's own.
const OURS_OF_NODES: f64 = 0.85;

impl Cluster {
    /// Makes it or finds it, and asks whether a rehearsal may go there. Nothing of the platform is there yet. `run`: the
    /// run's id, a label's value. `say` hears what takes long.
    pub async fn reach(whose: &Whose, run: &str, say: &mut dyn FnMut(&str)) -> Result<Self, KubeError> {
        server::tls::aws_lc_rs::default_provider().install_default().ok();
        let Cleaned { things, troubles } = clean_clusters(false).await;
        things.iter().for_each(|thing| say(&format!("removed {thing} of a run that was killed")));
        // Another cluster's trouble keeps nobody from this one.
        troubles.iter().for_each(|trouble| say(&trouble.told()));
        let mut ledger = Ledger::open(run)?;
        let (context, kind, namespace, allow_production) = match whose {
            Whose::Kind { node_image } => {
                let kind = Kind::find(&format!("rehearse-{}", short(run)))?;
                ledger.write(|note| note.kind = Some(kind.name.clone()))?;
                say(&format!("kind makes cluster {}: this takes half a minute or more", kind.name));
                let made = kind.create(&ledger.folder, node_image.as_deref()).await;
                let kubeconfig = match made {
                    Ok(kubeconfig) => kubeconfig,
                    Err(error) => {
                        ledger.settle().await.ok(); // the first error is the one to tell
                        return Err(error);
                    }
                };
                let context = context::connect(Some(&kubeconfig), &format!("kind-{}", kind.name)).await;
                (context, Some(kind), None, None)
            }
            Whose::Context { name, namespace, allow_production } => {
                let kind = name.strip_prefix("kind-").and_then(|name| Kind::find(name).ok());
                (context::connect(None, name).await, kind, namespace.clone(), allow_production.clone())
            }
        };
        let looked = match context {
            Ok(context) => Self::look(context, namespace, allow_production.as_deref()).await,
            Err(error) => Err(error),
        };
        let (context, nodes, version) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                ledger.settle().await.ok(); // the first error is the one to tell
                return Err(error);
            }
        };
        let ours = context::is_ours(&nodes);
        let measures = context.0.rest.get("/apis/metrics.k8s.io/v1beta1").await.is_ok();
        Ok(Self {
            rest: context.0.rest,
            context: context.0.name,
            ours,
            kind: kind.filter(|_| ours),
            nodes,
            namespace: context.1.filter(|_| !ours),
            version,
            measures,
            loaded: false,
            ledger,
        })
    }

    /// Whether a rehearsal may go to a context, and what it has.
    async fn look(
        context: context::Context,
        namespace: Option<String>,
        allow_production: Option<&str>,
    ) -> Result<((context::Context, Option<String>), Vec<Value>, String), KubeError> {
        let rest = &context.rest;
        let names = [context.name.as_str(), context.server.as_str(), namespace.as_deref().unwrap_or_default()];
        if let Some(name) = context::production(&names).filter(|_| allow_production != Some(context.name.as_str())) {
            return Err(KubeError::Production { name, context: context.name });
        }
        let version = rest.get("/version").await.map_err(|error| context.unanswered(error))?;
        let version = version["gitVersion"].as_str().unwrap_or("of an unknown version").to_owned();
        let nodes = context::nodes(rest).await?;
        if !context::is_ours(&nodes) {
            let namespace = namespace.as_deref().ok_or(KubeError::NamespaceMissing)?;
            context::allowed(rest, namespace).await?;
            let missing = context::missing(rest, context::needed(namespace)).await?;
            if !missing.is_empty() {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                return Err(KubeError::Forbidden { missing: missing.join(", ") });
            }
        }
        Ok(((context, namespace), nodes, version))
    }

    /// Its nodes, as the API server has them.
    pub fn nodes(&self) -> Vec<Value> {
        let of = |node: &Value| {
            let mut node = node.clone();
            (node["apiVersion"], node["kind"]) = ("v1".into(), "Node".into());
            node
        };
        self.nodes.iter().map(of).collect()
    }

    /// In one line, for reports.
    pub fn told(&self) -> String {
        let Self { context, version, .. } = self;
        format!("context {context}, Kubernetes {version}, {} nodes", self.nodes.len())
    }

    /// Whether the cluster is there for rehearsals alone: then autoscalers are shown what pods account for.
    pub const fn is_ours(&self) -> bool {
        self.ours
    }

    /// Why a fault cannot be played here, if it cannot.
    pub fn refuses(&self, fault: &FaultKind) -> Option<&'static str> {
        let loses = matches!(fault, FaultKind::NodeLoss { .. } | FaultKind::ZoneLoss { .. });
        (loses && self.kind.is_none()).then_some("nodes of a cluster that is not kind's are not switched off")
    }

    /// Why what is expected of autoscalers cannot come true here, if it cannot. `burn`: mock services use what they account
    /// for.
    pub fn unmeasured(&self, plan: &Plan, burn: bool) -> Option<String> {
        let measurer = match (self.teller(), self.measures) {
            (Some(_), _) => Measurer::Us,
            (None, true) => Measurer::Theirs,
            (None, false) => Measurer::Nobody,
        };
        measured::unmeasured(&plan.platform, &plan.expectations, measurer, burn)
    }

    /// Makes the layer between the manifests and what is applied. Nothing is done yet.
    pub fn layer(&self, order: ClusterOrder) -> Result<Layered, KubeError> {
        let ClusterOrder { plan, objects, config, keep_images, burn, registry, deploy } = order;
        let platform = &plan.platform;
        let edges = |id: WorkloadId| alerts::Edges::of(platform, platform.workload(id)).edges;
        let programs = containers::programs(&plan, &self.ledger.folder.join("files"), edges)?;
        let fits = (allocatable(&plan.nodes) as f64 * OURS_OF_NODES) as u64;
        let share = if self.ours { layer::share(platform, fits) } else { 1.0 };
        let only: Option<BTreeSet<String>> = self.namespace.clone().map(|namespace| BTreeSet::from([namespace]));
        let recipe = layer::Recipe {
            platform,
            programs: &programs,
            kept: &keep_images,
            registry: registry.as_deref().unwrap_or(layer::NO_REGISTRY),
            share,
            burn,
            only: only.as_ref(),
        };
        let mut made = layer::layer(&objects, &recipe);
        if self.ours {
            let more = crate::made_up::missing(platform, &made.objects);
            made.objects.extend(more.into_iter().filter(|object| object["kind"] == "Namespace"));
        }
        if burn {
            made.told.push("mock services use the CPU and the memory that they account for".to_owned());
        }
        if self.teller().is_none() {
            let used = if burn { "mock services really use" } else { "is next to nothing of mock services" };
            made.told.push(format!("autoscalers see what the cluster's own metrics server does, which {used}"));
        }
        let direct = self.kind.is_some() && cfg!(target_os = "linux") && containers::permitted().is_ok();
        made.objects.push(self.door(&plan, direct)?);
        let kept = platform.workload_ids().filter(|id| keep_images.contains(&platform.workload(*id).name)).collect();
        let images: BTreeSet<Image> = programs.iter().map(|program| program.image).collect();
        let images = if registry.is_none() { images.into_iter().map(Image::tag).collect() } else { Vec::new() };
        let layer::Layer { objects: mut applied, mut told } = made;
        if deploy.is_some() {
            told.iter_mut()
                .for_each(|line| *line = line.replace(", made up:", ", made up where the script makes none:"));
        }
        let deploy = deploy.map(|command| {
            let key =
                |one: &Value| [&one["kind"], &one["metadata"]["name"], &one["metadata"]["namespace"]].map(Value::clone);
            let declared: Vec<_> = objects.iter().map(key).collect();
            let namespaces = self.ours; // they are ours to make, so that a dry run has them
            let (theirs, own) = std::mem::take(&mut applied)
                .into_iter()
                .partition(|one| declared.contains(&key(one)) && !(namespaces && one["kind"] == "Namespace"));
            let (secrets, own) = Vec::into_iter(own).partition(|one: &Value| one["kind"] == "Secret");
            applied = own;
            let registry = registry.unwrap_or_else(|| layer::NO_REGISTRY.to_owned());
            let platform = Arc::clone(&plan.platform);
            let swap = deploy::Swap { platform, programs: programs.clone(), kept: keep_images, registry, share, burn };
            Deploy { command, swap, theirs, secrets }
        });
        Ok(Layered { plan, config, objects: applied, told, programs, kept, share, only, direct, images, deploy })
    }

    /// Has the script of a layer deploy without anything being kept, and tells what it would have done.
    pub async fn dry_run(&mut self, layered: &Layered) -> Result<Option<Deployed>, KubeError> {
        let Some(deploy) = &layered.deploy else { return Ok(None) };
        let namespaces: Vec<Value> =
            layered.objects.iter().filter(|object| object["kind"] == "Namespace").cloned().collect();
        self.put(&namespaces).await?;
        self.deploy(deploy, &layered.namespaces(), true).await.map(Some)
    }

    async fn deploy(
        &mut self,
        deploy: &Deploy,
        namespaces: &BTreeSet<String>,
        dry: bool,
    ) -> Result<Deployed, KubeError> {
        let (context, rest) = (self.context.clone(), self.rest.clone());
        let Deploy { command, swap, .. } = deploy;
        let terms =
            deploy::Terms { command, context: &context, rest: &rest, swap, namespaces, everywhere: self.ours, dry };
        deploy::deploy(&terms, &mut self.ledger).await
    }

    /// Applies objects that are nobody's yet, and notes them before.
    async fn put(&mut self, objects: &[Value]) -> Result<Applied, KubeError> {
        let paths = apply::paths(&self.rest, objects).await?;
        if let Some(path) = objects::foreign(&self.rest, &self.ledger.note.run, &paths).await? {
            return Err(KubeError::Foreign { path });
        }
        let context = self.context.clone();
        self.ledger.write(|note| {
            note.context = Some(context);
            note.objects.extend(paths);
        })?;
        apply::apply(&self.rest, &self.ledger.note.run, objects).await
    }

    /// Makes up the Secrets that a script has not made, and refuses to go on without what load is for.
    async fn behind(&mut self, deploy: &Deploy, applied: &mut Applied) -> Result<(), KubeError> {
        let mut missing = Vec::new();
        for object in &deploy.secrets {
            let path = apply::paths(&self.rest, std::slice::from_ref(object)).await?;
            if objects::there(&self.rest, &self.ledger.note.run, &path).await?.is_empty() {
                applied.objects += self.put(std::slice::from_ref(object)).await?.objects;
            }
        }
        for object in &deploy.theirs {
            let kind = object["kind"].as_str().unwrap_or_default();
            if !matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "Service") {
                continue;
            }
            let path = apply::paths(&self.rest, std::slice::from_ref(object)).await?;
            if objects::there(&self.rest, &self.ledger.note.run, &path).await?.is_empty() {
                missing.push(format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or_default()));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(KubeError::Undeployed { command: deploy.command.clone(), missing: missing.join(", ") })
    }

    /// Applies a layer, after what stood before was removed. Needs a tokio runtime. `say` hears what takes long.
    pub async fn stand(&mut self, layered: Layered, say: &mut dyn FnMut(&str)) -> Result<Stood, KubeError> {
        let namespaces = layered.namespaces();
        let Layered { plan, config, objects, programs, kept, share, only, direct, images, deploy, .. } = layered;
        let before = std::mem::take(&mut self.ledger.note.objects);
        if !before.is_empty() {
            let run = &self.ledger.note.run;
            objects::remove(&self.rest, run, &objects::there(&self.rest, run, &before).await?).await?;
        }
        if let Some(kind) = self.kind.as_ref().filter(|_| !images.is_empty() && !self.loaded) {
            say(&format!("{} images are loaded into the nodes", images.len()));
            kind.load(&images).await?;
            self.loaded = true;
        }
        self.ledger.write(|note| note.routed = direct)?;
        let mut applied = self.put(&objects).await?;
        let mut deployed = None;
        if let Some(deploy) = &deploy {
            say(&format!("`{}` deploys", deploy.command));
            let done = self.deploy(deploy, &namespaces, false).await?;
            applied.objects += done.made.len() + done.outside.len();
            self.behind(deploy, &mut applied).await?;
            deployed = Some(done);
        }
        if direct {
            kind::route_clients(true).await?;
        }
        let door = self.way_in(&plan, direct).await?;
        let (clock, rest) = (Clock::start(), self.rest.clone());
        let wall = Wall::of(&clock);
        let nodes = plan.nodes.clone();
        let names = nodes.iter().map(|node| node.name.clone()).collect();
        let answers = Arc::new(Answers::new(Arc::clone(&plan.platform), names, &config, clock.clone(), wall));
        let listening = self.serve(&answers).await?;
        let pods = Arc::new(ClusterPods::new(rest.clone(), programs, kept, door));
        let watching = tokio::spawn(Arc::clone(&pods).watch()).abort_handle();
        let (told, died) = watch::channel(None);
        let answering = tokio::spawn(answers_on(self.rest.clone(), told)).abort_handle();
        let hands = Hands::Real { pods: Arc::clone(&pods), share, pauses: self.kind.is_some() };
        let platform = Arc::clone(&plan.platform);
        let offset = units::Nanos::ZERO;
        let parts = Parts { rest, platform, nodes, config, answers, died, wall, offset, listening, hands, only };
        let runtime = Arc::clone(&pods) as Arc<dyn ContainerRuntime>;
        let closing = Closing { pods, tasks: [watching, answering] };
        Ok(Stood { runtime, applied, deployed, closing, parts, clock })
    }

    /// A Service of our own in front of the gateway: the manifests' stays as it is.
    fn door(&self, plan: &Plan, direct: bool) -> Result<Value, KubeError> {
        let platform = &plan.platform;
        let gateway = platform.gateway.as_ref().ok_or(KubeError::NoGateway)?;
        let service = platform.service(gateway.service);
        let mut port = json!({ "name": "http", "port": 80, "targetPort": plan.gateway_port });
        if self.ours {
            port["nodePort"] = NODE_PORT.into();
        }
        // By `Local` a node hands on to its own pods only, and leaves the client's address as it is.
        let policy = if direct { "Local" } else { "Cluster" };
        Ok(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": DOOR, "namespace": service.namespace },
            "spec": {
                "type": "NodePort", "externalTrafficPolicy": policy, "selector": service.selector, "ports": [port],
            },
        }))
    }

    /// Where load goes.
    async fn way_in(&self, plan: &Plan, direct: bool) -> Result<Door, KubeError> {
        if direct {
            return Ok(Door::OfNodes { port: NODE_PORT, clients: kind::CLIENTS });
        }
        if self.ours {
            return Ok(Door::At(SocketAddr::from((Ipv4Addr::LOCALHOST, NODE_PORT))));
        }
        let gateway = plan.platform.gateway.as_ref().ok_or(KubeError::NoGateway)?;
        let namespace = &plan.platform.service(gateway.service).namespace;
        let path = format!("/api/v1/namespaces/{namespace}/services/{DOOR}");
        let found = self.rest.get(&path).await.map_err(KubeError::api("tell about our Service"))?;
        let port = found["spec"]["ports"][0]["nodePort"].as_u64().and_then(|port| u16::try_from(port).ok());
        let address = ["ExternalIP", "InternalIP"].iter().find_map(|kind| self.address(kind));
        match (address, port) {
            (Some(address), Some(port)) => Ok(Door::At(SocketAddr::from((address, port)))),
            _ => Err(KubeError::NoGateway),
        }
    }

    /// The first address of this kind that a node has.
    fn address(&self, kind: &str) -> Option<IpAddr> {
        let addresses = self.nodes.iter().filter_map(|node| node["status"]["addresses"].as_array()).flatten();
        addresses.filter(|one| one["type"] == kind).find_map(|one| one["address"].as_str()?.parse().ok())
    }

    /// The address of this machine at which the API server of a cluster of ours reaches us.
    fn teller(&self) -> Option<Ipv4Addr> {
        self.kind.as_ref().and(self.address("InternalIP")).and_then(kind::this_machine)
    }

    /// Serves `metrics.k8s.io` to the API server from this machine, where that can be reached.
    async fn serve(&mut self, answers: &Arc<Answers>) -> Result<Option<Listening>, KubeError> {
        let Some(address) = self.teller() else { return Ok(None) };
        // Each platform that stands has an authority of its own, and the one before is gone.
        let folder = self.ledger.folder.join("metrics");
        let made = || {
            std::fs::remove_dir_all(&folder).ok();
            std::fs::create_dir(&folder)
        };
        made().map_err(|source| KubeError::Folder { path: folder.clone(), source })?;
        let authority = Authority::new(&folder, "authority")?;
        let serving = authority.server("metrics", &[&format!("{METRICS_SERVICE}.{METRICS_NAMESPACE}.svc")])?;
        let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
        let found = self.rest.get(path).await.map_err(KubeError::api("tell by whom it is vouched for"))?;
        let pem = found["data"]["requestheader-client-ca-file"].as_str().unwrap_or_default();
        let front_proxy = answers::certificates(pem)?;
        let (authority, run) = (authority.pem(), self.ledger.note.run.clone());
        let registrar = Registrar { address, serving: &serving, authority: &authority, front_proxy, run: &run };
        // Behind the others, so that they go first: where nobody answers for a group, no namespace can go.
        let paths = answers::registrations(&registrar, &answers.groups(), 0).into_iter().map(|(path, _)| path);
        self.ledger.write(|note| note.objects.extend(paths))?;
        answers::serve(&registrar, &self.rest, answers).await.map(Some)
    }

    /// Removes everything of the run, or lets a cluster of kind's be, if it is to be `kept`: its name, then.
    pub async fn close(mut self, kept: bool) -> Result<Option<String>, KubeError> {
        let kind = self.kind.as_ref().filter(|_| kept && self.ledger.note.kind.is_some()).cloned();
        if let Some(kind) = &kind {
            // Its own kubeconfig goes with the folder; the user's gets the context.
            kind.export().await?;
            self.ledger.write(|note| note.kind = None)?;
        }
        self.ledger.settle().await?;
        Ok(kind.map(|kind| kind.name))
    }
}

/// What is asked of a platform that stood, when it is over.
#[derive(Debug)]
pub struct Closing {
    pods: Arc<ClusterPods>,
    /// What goes on as long as the platform stands.
    tasks: [AbortHandle; 2],
}

impl Closing {
    /// Keeps what pods have logged: a file for each, in `folder`.
    pub async fn keep_logs(&self, folder: &Path) {
        self.pods.keep_logs(folder).await;
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Stood {
    /// The control side of a rehearsal on the clock of the run, and what is left to do afterwards.
    pub fn control(self) -> (Maker, Closing) {
        let Self { closing, mut parts, clock: own, .. } = self;
        let make = Box::new(move |clock: &Clock, teller: Teller| {
            parts.offset = own.now() - clock.now();
            Box::new(Remote::new(parts, clock, teller)) as Box<dyn ControlSide>
        });
        (make, closing)
    }
}

/// Makes the control side on the clock of the run.
pub type Maker = Box<dyn FnOnce(&Clock, Teller) -> Box<dyn ControlSide>>;
type Teller = Arc<dyn Fn(ControlInput) + Send + Sync>;

/// Asks the API server whether it is ready, again and again, and tells when it has not said so for too long. A shorter
/// silence is nobody's end: watches are taken up again.
#[expect(clippy::disallowed_methods, reason = "a pause between two questions; nothing is measured by it")]
async fn answers_on(rest: Rest, died: watch::Sender<Option<String>>) {
    let mut silent = 0;
    while silent < SILENCES {
        tokio::time::sleep(ASK_EVERY).await;
        let asked = tokio::time::timeout(ASK_EVERY, rest.text("/readyz")).await;
        silent = if matches!(asked, Ok(Ok(_))) { 0 } else { silent + 1 };
    }
    let silence = (ASK_EVERY * SILENCES).as_secs();
    died.send(Some(format!("the cluster's API server has not answered for {silence} s or more"))).ok();
}

/// Millicores of the nodes that take any pod.
fn allocatable(nodes: &[Node]) -> u64 {
    let takes = |node: &&Node| !node.taints.iter().any(|taint| taint.key.starts_with("node-role.kubernetes.io/"));
    nodes.iter().filter(takes).map(|node| node.cpu.get()).sum()
}

/// The end of a run's id, which tells runs apart.
fn short(run: &str) -> String {
    let start = run.len().saturating_sub(12);
    run[start..].trim_matches('-').to_ascii_lowercase()
}

/// What runs left in clusters, or as clusters.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// Each thing that was removed, or would be, in the order in which it goes.
    pub things: Vec<String>,
    /// What could not be looked at or removed.
    pub troubles: Vec<KubeError>,
}

/// Removes what runs left in clusters, or as clusters, whose process is gone; a `dry_run` only looks.
pub async fn clean_clusters(dry_run: bool) -> Cleaned {
    server::tls::aws_lc_rs::default_provider().install_default().ok();
    let mut cleaned = Cleaned::default();
    for (note, folder, _held) in ledger::left() {
        let removed = async {
            let left = ledger::Left::of(&note, &folder).await?;
            let told = left.told();
            if !dry_run {
                left.remove().await?;
            }
            Ok(told)
        };
        match removed.await {
            Ok(told) => cleaned.things.extend(told),
            Err(trouble) => cleaned.troubles.push(trouble),
        }
    }
    cleaned
}

/// The programs that a cluster of kind's needs, for `doctor`: where `kind` is.
pub fn find_kind() -> Result<PathBuf, KubeError> {
    Kind::find("").map(|kind| kind.program().to_owned())
}
