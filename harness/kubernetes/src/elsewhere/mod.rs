//! A cluster that is not played: kind's, or any that a kubeconfig knows.
//!
//! Owns the way there and back: the cluster is made or found, asked whether a rehearsal may go there, given the platform
//! with stand-ins for its images, and left as it was. Between that, a [`Remote`] watches it, and the stage asks
//! [`ClusterPods`] where pods are.

mod context;
mod deploy;
mod heeds;
mod kind;
mod layer;
mod ledger;
mod measured;
mod node_image;
mod objects;
mod order;
mod pods;
mod remedy;
mod standing;
mod workers;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use scenarios::{FaultKind, Plan};
use serde_json::Value;

pub use deploy::Deployed;
pub use kind::CLUSTER as KIND_CLUSTER;
pub(crate) use kind::{cut_off, pause};
pub(crate) use objects::pause as look_again;
pub use order::{ClusterOrder, Layered};
pub(crate) use pods::{ClusterPods, Place};
pub(crate) use remedy::{CORDONED_BY, Journal, Remedy, node_path, uncordon};
pub use standing::{Closing, Maker, Stood};

use crate::KubeError;
use crate::rest::Rest;
use kind::Kind;
use ledger::Ledger;
use measured::Measurer;

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

/// The port of every node at which gateways are reached, in a cluster of ours: `kind-config/cluster.yaml` maps it.
const NODE_PORT: u16 = 30_080;
const DOOR: &str = "rehearse-door";

impl Cluster {
    /// Makes it or finds it, and asks whether a rehearsal may go there. Nothing of the platform is there yet. `run`: the
    /// run's id, a label's value. `say` hears what takes long.
    pub async fn reach(whose: &Whose, run: &str, say: &mut dyn FnMut(&str)) -> Result<Self, KubeError> {
        server::tls::aws_lc_rs::default_provider().install_default().ok();
        let Cleaned { things, spared, troubles } = clean_clusters(false).await;
        things.iter().for_each(|thing| say(&format!("removed {thing} of a run that was killed")));
        spared.iter().for_each(|thing| say(thing));
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
            context::granted(rest, context::needed(namespace)).await?;
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
        use FaultKind::{NodeLoss, Partition, ZoneLoss};
        let loses = matches!(fault, NodeLoss { .. } | ZoneLoss { .. } | Partition { .. });
        (loses && self.kind.is_none())
            .then_some("nodes of a cluster that is not kind's are neither switched off nor cut off")
    }

    /// Asks whether we may do what the plan's faults do, beyond what every run does; `drivers`: load comes from pods.
    pub async fn permits(&self, plan: &Plan, drivers: bool) -> Result<(), KubeError> {
        let Some(namespace) = &self.namespace else { return Ok(()) };
        let mut needed = context::needed_by(namespace, &plan.faults);
        if drivers {
            needed.extend(context::needed_by_drivers(namespace));
        }
        context::granted(&self.rest, needed).await
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

    /// The first address of this kind that a node has.
    fn address(&self, kind: &str) -> Option<IpAddr> {
        let addresses = self.nodes.iter().filter_map(|node| node["status"]["addresses"].as_array()).flatten();
        addresses.filter(|one| one["type"] == kind).find_map(|one| one["address"].as_str()?.parse().ok())
    }

    /// The address of this machine at which the API server of a cluster of ours reaches us.
    fn teller(&self) -> Option<Ipv4Addr> {
        self.kind.as_ref().and(self.address("InternalIP")).and_then(kind::this_machine)
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
    /// What a run did to nodes and somebody has undone since, with why it is let be.
    pub spared: Vec<String>,
    /// What could not be looked at or removed.
    pub troubles: Vec<KubeError>,
}

/// Removes what runs left in clusters, or as clusters, whose process is gone; a `dry_run` only looks.
pub async fn clean_clusters(dry_run: bool) -> Cleaned {
    server::tls::aws_lc_rs::default_provider().install_default().ok();
    let mut cleaned = Cleaned::default();
    for (note, folder, _held) in ledger::left() {
        let removed = async {
            let woken = if dry_run { Vec::new() } else { ledger::wake(&note, &folder).await? };
            let left = ledger::Left::of(&note, &folder).await?;
            let told: Vec<String> = woken.into_iter().chain(left.told()).collect();
            let spared = left.spared().to_vec();
            if !dry_run {
                left.remove().await?;
            }
            Ok((told, spared))
        };
        match removed.await {
            Ok((told, spared)) => {
                cleaned.things.extend(told);
                cleaned.spared.extend(spared);
            }
            Err(trouble) => cleaned.troubles.push(trouble),
        }
    }
    cleaned
}

/// The programs that a cluster of kind's needs, for `doctor`: where `kind` is.
pub fn find_kind() -> Result<PathBuf, KubeError> {
    Kind::find("").map(|kind| kind.program().to_owned())
}
