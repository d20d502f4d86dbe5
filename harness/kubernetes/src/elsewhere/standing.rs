//! A platform in a cluster, from its first object to its last.
//!
//! Owns the order in which things are made, each noted in the ledger before: objects, what a script of the user's own
//! deploys, routes, the metrics APIs; and what goes on beside a platform that stands.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use clock::Clock;
use cluster::{ControlInput, ControlSide};
use record::Check;
use scenarios::{Fault, FaultKind, Plan};
use serde_json::Value;
use server::Listening;
use stage::ContainerRuntime;
use tokio::task::AbortHandle;

use super::ledger::Note;
use super::order::{Deploy, Layered};
use super::pods::{ClusterPods, Door};
use super::workers::Workers;
use super::{Cluster, DOOR, Deployed, NODE_PORT, deploy, heeds, kind, objects, remedy};
use crate::KubeError;
use crate::answers::{self, Answers, Registrar};
use crate::apply::{self, Applied};
use crate::deeds::quota_path;
use crate::pki::Authority;
use crate::plane::{METRICS_NAMESPACE, METRICS_SERVICE};
use crate::remote::{Hands, Parts, Remote};
use crate::wall::Wall;

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

impl Cluster {
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
    pub(super) async fn put(&mut self, objects: &[Value]) -> Result<Applied, KubeError> {
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
        let plan = &layered.plan;
        remedy::put_back(&self.rest, &self.ledger.journal()).await?;
        let Note { run, objects: before, .. } = &self.ledger.note;
        if !before.is_empty() {
            objects::remove(&self.rest, run, &objects::there(&self.rest, run, before).await?).await?;
            self.ledger.write(|note| note.objects.clear())?;
        }
        if let Some(kind) = self.kind.as_ref().filter(|_| !layered.images.is_empty() && !self.loaded) {
            say(&format!("{} images are loaded into the nodes", layered.images.len()));
            kind.load(&layered.images).await?;
            self.loaded = true;
        }
        self.ledger.write(|note| note.routed = layered.direct)?;
        let mut applied = self.put(&layered.objects).await?;
        // A scenario makes them later, and they go with the rest.
        let later: Vec<String> = quotas(plan).into_iter().chain(heeds::policies(plan)).collect();
        if let Some(path) = objects::foreign(&self.rest, &self.ledger.note.run, &later).await? {
            return Err(KubeError::Foreign { path });
        }
        self.ledger.write(|note| note.objects.extend(later))?;
        let mut deployed = None;
        if let Some(deploy) = &layered.deploy {
            say(&format!("`{}` deploys", deploy.command));
            let done = self.deploy(deploy, &namespaces, false).await?;
            applied.objects += done.made.len() + done.outside.len();
            self.behind(deploy, &mut applied).await?;
            deployed = Some(done);
        }
        self.heeds(plan, layered.registry.as_deref(), say).await?;
        if layered.direct {
            kind::route_clients(true).await?;
        }
        let door = self.way_in(plan, layered.direct).await?;
        let (clock, rest) = (Clock::start(), self.rest.clone());
        let wall = Wall::of(&clock);
        let nodes = plan.nodes.clone();
        let names = nodes.iter().map(|node| node.name.clone()).collect();
        let answers = Arc::new(Answers::new(Arc::clone(&plan.platform), names, &layered.config, clock.clone(), wall));
        let listening = self.serve(&answers).await?;
        let drivers = match layered.workers {
            Some(count) => Some(Arc::new(self.workers(plan, count).await?)),
            None => None,
        };
        let pods =
            Arc::new(ClusterPods::new(rest.clone(), layered.programs, layered.kept, layered.burn, door, drivers));
        let watching = tokio::spawn(Arc::clone(&pods).watch()).abort_handle();
        let hands = Hands::Real {
            pods: Arc::clone(&pods),
            share: layered.share,
            addresses: self.node_addresses(),
            journal: self.ledger.journal(),
        };
        let run = self.ledger.note.run.clone();
        let platform = Arc::clone(&plan.platform);
        let offset = units::Nanos::ZERO;
        let parts = Parts {
            rest,
            platform,
            nodes,
            config: layered.config,
            answers,
            died: None,
            wall,
            offset,
            listening,
            hands,
            only: layered.only,
            run,
        };
        let runtime = Arc::clone(&pods) as Arc<dyn ContainerRuntime>;
        let closing = Closing { pods, watching };
        Ok(Stood { runtime, applied, deployed, closing, parts, clock })
    }

    /// Where load goes.
    async fn way_in(&self, plan: &Plan, direct: bool) -> Result<Door, KubeError> {
        if direct {
            return Ok(Door::OfNodes { port: NODE_PORT, clients: kind::CLIENTS });
        }
        if self.ours {
            return Ok(Door::At(SocketAddr::from((Ipv4Addr::LOCALHOST, NODE_PORT))));
        }
        let (_, found) = self.our_service(plan).await?;
        let port = found["spec"]["ports"][0]["nodePort"].as_u64().and_then(|port| u16::try_from(port).ok());
        let address = ["ExternalIP", "InternalIP"].iter().find_map(|kind| self.address(kind));
        match (address, port) {
            (Some(address), Some(port)) => Ok(Door::At(SocketAddr::from((address, port)))),
            _ => Err(KubeError::NoGateway),
        }
    }

    /// Our own Service in front of the gateway, and its namespace.
    async fn our_service(&self, plan: &Plan) -> Result<(String, Value), KubeError> {
        let gateway = plan.platform.gateway.as_ref().ok_or(KubeError::NoGateway)?;
        let namespace = plan.platform.service(gateway.service).namespace.clone();
        let path = format!("/api/v1/namespaces/{namespace}/services/{DOOR}");
        let found = self.rest.get(&path).await.map_err(KubeError::api("tell about our Service"))?;
        Ok((namespace, found))
    }

    /// The load drivers in the cluster, which find the gateway by our Service's own address.
    async fn workers(&self, plan: &Plan, count: u32) -> Result<Workers, KubeError> {
        let (namespace, found) = self.our_service(plan).await?;
        let address: Option<IpAddr> = found["spec"]["clusterIP"].as_str().and_then(|text| text.parse().ok());
        let door = SocketAddr::from((address.ok_or(KubeError::NoGateway)?, 80));
        Ok(Workers { rest: self.rest.clone(), namespace, count, door })
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
}

/// What is asked of a platform that stood, when it is over.
#[derive(Debug)]
pub struct Closing {
    pods: Arc<ClusterPods>,
    /// Goes on as long as the platform stands.
    watching: AbortHandle,
}

impl Closing {
    /// Whether what mock services burnt was seen by the cluster, where they did.
    pub async fn burnt(&self) -> Option<Check> {
        self.pods.burnt().await
    }

    /// Keeps what pods have logged: a file for each, in `folder`.
    pub async fn keep_logs(&self, folder: &Path) {
        self.pods.keep_logs(folder).await;
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.watching.abort();
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

/// Paths of the quotas that a plan's faults set.
fn quotas(plan: &Plan) -> Vec<String> {
    let of = |fault: &Fault| match &fault.kind {
        FaultKind::Quota(quota) => Some(quota_path(&quota.namespace, &quota.name)),
        _ => None,
    };
    plan.faults.iter().filter_map(of).collect()
}
