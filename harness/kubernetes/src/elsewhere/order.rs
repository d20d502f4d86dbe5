//! What a rehearsal asks of a cluster, made ready to be applied. Nothing is done yet.
//!
//! Owns the way from the manifests' objects to those that are applied: the layer, our own Service in front of the gateway,
//! and which of them somebody's own script makes.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::ClusterConfig;
use containers::{Image, Program};
use platform::{Node, WorkloadId};
use scenarios::Plan;
use serde_json::{Value, json};

use super::{Cluster, DOOR, NODE_PORT, deploy, layer, workers};
use crate::KubeError;

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
    /// Load comes from so many pods, if not from this machine.
    pub workers: Option<u32>,
}

/// What is to be applied.
#[derive(Clone, Debug)]
pub struct Layered {
    pub(super) plan: Arc<Plan>,
    pub(super) config: ClusterConfig,
    pub(super) objects: Vec<Value>,
    /// What is not as the manifests have it, in words.
    pub told: Vec<String>,
    pub(super) programs: Vec<Program>,
    pub(super) kept: BTreeSet<WorkloadId>,
    pub(super) share: f64,
    pub(super) only: Option<BTreeSet<String>>,
    pub(super) direct: bool,
    /// Mock services use what they account for.
    pub(super) burn: bool,
    /// Those that nodes are to have.
    pub(super) images: Vec<String>,
    pub(super) deploy: Option<Deploy>,
    /// Load comes from so many pods.
    pub(super) workers: Option<u32>,
    /// The registry and folder that the stand-ins' images are in.
    pub(super) registry: Option<String>,
}

/// How somebody else's script deploys.
#[derive(Clone, Debug)]
pub(super) struct Deploy {
    pub(super) command: String,
    pub(super) swap: deploy::Swap,
    /// Of the objects those that are the script's to make.
    pub(super) theirs: Vec<Value>,
    /// Secrets that nobody declares: made up behind it, where it has not made them.
    pub(super) secrets: Vec<Value>,
}

impl Layered {
    /// The share of the manifests' CPU requests that pods have.
    pub const fn share(&self) -> f64 {
        self.share
    }

    /// The namespaces that are rehearsed.
    pub(super) fn namespaces(&self) -> BTreeSet<String> {
        let theirs = self.deploy.iter().flat_map(|deploy| &deploy.theirs);
        let named = self.objects.iter().chain(theirs).filter_map(|one| one["metadata"]["namespace"].as_str());
        self.only.clone().unwrap_or_else(|| named.map(str::to_owned).collect())
    }

    /// The objects, without those that hold secrets.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|object| object["kind"] != "Secret")
    }
}

/// Of what nodes have, this much is for pods of ours; the rest is for the cluster's own.
const OURS_OF_NODES: f64 = 0.85;

impl Cluster {
    /// Makes the layer between the manifests and what is applied. Nothing is done yet.
    pub fn layer(&self, order: ClusterOrder) -> Result<Layered, KubeError> {
        let ClusterOrder { plan, objects, config, keep_images, burn, registry, deploy, workers } = order;
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
        let linux = cfg!(target_os = "linux") && containers::permitted().is_ok();
        let direct = self.kind.is_some() && linux && workers.is_none();
        let door = self.door(&plan, direct)?;
        if let Some(count) = workers {
            let namespace = door["metadata"]["namespace"].as_str().unwrap_or_default();
            made.objects.push(workers::job(namespace, count, recipe.registry));
            made.told.push(format!(
                "load comes from {count} pods of Job {}: each has one address, and what counts by address takes their \
                 clients for one",
                workers::DRIVERS
            ));
        }
        made.objects.push(door);
        let kept = platform.workload_ids().filter(|id| keep_images.contains(&platform.workload(*id).name)).collect();
        let mut images: BTreeSet<Image> = programs.iter().map(|program| program.image).collect();
        images.extend(workers.map(|_| Image::Driver));
        let images = if registry.is_none() { images.into_iter().map(Image::tag).collect() } else { Vec::new() };
        let layer::Layer { objects: mut applied, mut told } = made;
        if deploy.is_some() {
            told.iter_mut()
                .for_each(|line| *line = line.replace(", made up:", ", made up where the script makes none:"));
        }
        let images_from = registry.clone();
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
        Ok(Layered {
            plan,
            config,
            objects: applied,
            told,
            programs,
            kept,
            share,
            only,
            direct,
            burn,
            images,
            deploy,
            workers,
            registry: images_from,
        })
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
}

/// Millicores of the nodes that take any pod.
fn allocatable(nodes: &[Node]) -> u64 {
    let takes = |node: &&Node| !node.taints.iter().any(|taint| taint.key.starts_with("node-role.kubernetes.io/"));
    nodes.iter().filter(takes).map(|node| node.cpu.get()).sum()
}
