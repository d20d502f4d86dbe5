//! `--backend kubernetes`: a cluster of kind's or any other, from the command line's side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use alerts::Scraper;
use cluster::ClusterConfig;
use kubernetes::{Cluster, ClusterOrder, Deployed, KubeError, Layered, Whose};
use platform::Node;
use record::{ExitCode, Observed, Origin, StandIn};
use scenarios::{Affected, Plan};
use stage::{ControlMaker, EmbeddedSettings, StageError};
use tokio::sync::watch;

use crate::args::ClusterArgs;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::resolve::Rehearsal;
use crate::told;

/// The cluster of a command, which serves each of its runs.
pub(crate) struct ClusterSide {
    args: ClusterArgs,
    held: Mutex<Held>,
    /// In one line.
    told: String,
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Held {
    cluster: Option<Cluster>,
    layered: Option<Layered>,
}

impl ClusterSide {
    /// Makes or finds the cluster, and sees to it that a rehearsal may go there.
    pub(crate) async fn reach(args: &ClusterArgs, interrupts: &mut watch::Receiver<u32>) -> Result<Self, Failure> {
        let whose = match (args.kind, &args.context) {
            (true, _) => Whose::Kind { node_image: args.node_image.clone() },
            (false, Some(name)) => Whose::Context {
                name: name.clone(),
                namespace: args.namespace.clone(),
                allow_production: args.allow_production.clone(),
            },
            (false, None) => {
                return Err(Failure::usage(
                    "--backend kubernetes needs a cluster: --kind makes one for the run, --context NAME --namespace NS \
                     uses one that there is"
                        .to_owned(),
                ));
            }
        };
        let mut say = |words: &str| told::aside(&format!("{words}\n"));
        let run = format!("{:x}", std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id()));
        let cluster = tokio::select! {
            cluster = Cluster::reach(&whose, &run[..run.len().min(12)], &mut say) => cluster?,
            _ = interrupts.changed() => {
                // What was begun is nobody's now.
                kubernetes::clean_clusters(false).await.troubles.iter().for_each(|trouble| say(&trouble.told()));
                return Err(StageError::Interrupted.into());
            }
        };
        let text: Vec<String> = cluster.nodes().iter().map(ToString::to_string).collect();
        let nodes = match manifests::nodes_of(&text.join("\n---\n"), "the cluster's nodes") {
            Ok(nodes) => nodes,
            Err(error) => {
                cluster.close(false).await?;
                return Err(error.into());
            }
        };
        let told = cluster.told();
        Ok(Self { args: args.clone(), held: Mutex::new(Held { cluster: Some(cluster), layered: None }), told, nodes })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its nodes.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.nodes.clone()
    }

    /// In one line.
    pub(crate) fn told(&self) -> String {
        self.told.clone()
    }

    /// Decides what is applied, and tells the report what of it is not as the manifests have it.
    pub(crate) async fn prepare(
        &self,
        rehearsal: &mut Rehearsal,
        mut interrupts: watch::Receiver<u32>,
    ) -> Result<(), Failure> {
        let Some(mut cluster) = self.held().cluster.take() else { return Ok(()) };
        let prepared = tokio::select! {
            prepared = self.prepare_in(&mut cluster, rehearsal) => prepared,
            _ = interrupts.changed() => Err(StageError::Interrupted.into()),
        };
        self.held().cluster = Some(cluster);
        prepared
    }

    async fn prepare_in(&self, cluster: &mut Cluster, rehearsal: &mut Rehearsal) -> Result<(), Failure> {
        if rehearsal.plan.nodes != self.nodes {
            // It was made for others; what it does to nodes is refused before, for they are called otherwise here.
            let mut plan = Plan::clone(&rehearsal.plan);
            plan.nodes.clone_from(&self.nodes);
            rehearsal.plan = Arc::new(plan);
        }
        let plan = &rehearsal.plan;
        let refused = plan.faults.iter().find_map(|fault| Some((&fault.name, cluster.refuses(&fault.kind)?)));
        if let Some((name, why)) = refused {
            return Err(Failure::usage(format!("fault {name} cannot be played in this cluster: {why}")));
        }
        if let Some(why) = cluster.unmeasured(plan, self.args.burn) {
            return Err(Failure::usage(why));
        }
        cluster.permits(plan, self.args.workers_in_cluster.is_some()).await?;
        rehearsal.stand_ins.extend(self.within_limits(plan)?);
        let keep_images: BTreeSet<String> = self.args.keep_image.iter().cloned().collect();
        let known = |name: &&String| plan.platform.workloads.iter().any(|workload| workload.name == **name);
        if let Some(unknown) = keep_images.iter().find(|name| !known(name)) {
            return Err(Failure::usage(format!("--keep-image {unknown}: the platform has no such workload")));
        }
        let order = ClusterOrder {
            plan: Arc::clone(plan),
            objects: rehearsal.objects.iter().map(manifests::Object::to_json).collect(),
            config: ClusterConfig { seed: plan.load.seed, ..ClusterConfig::default() },
            keep_images,
            burn: self.args.burn,
            registry: self.args.registry.clone(),
            deploy: self.args.deploy.clone(),
            workers: self.args.workers_in_cluster,
        };
        let layered = cluster.layer(order)?;
        if let Some(most) = self.args.max_affected_pods {
            refuse_beyond(&rehearsal.plan.most_affected(layered.share()), most)?;
        }
        rehearsal.stand_ins.push(documented("the cluster", &self.told));
        rehearsal.stand_ins.extend(layered.told.iter().map(|line| {
            let (what, how) = line.split_once(": ").unwrap_or(("in the cluster", line));
            documented(how, what)
        }));
        if let (Some(command), Some(would)) = (&self.args.deploy, cluster.dry_run(&layered).await?) {
            let told =
                format!("`{command}` makes the objects: {} in its dry run", would.made.len() + would.outside.len());
            rehearsal.stand_ins.push(documented("deployment", &told));
            let outside = would.outside.iter().map(|what| documented("outside of what is rehearsed", what));
            rehearsal.stand_ins.extend(outside);
            let refused = would.refused.iter().map(|what| documented("not allowed to the script", what));
            rehearsal.stand_ins.extend(refused);
        }
        self.held().layered = Some(layered);
        Ok(())
    }

    /// Refuses a plan that goes beyond what was allowed, and tells what was allowed to go to production.
    fn within_limits(&self, plan: &Plan) -> Result<Option<StandIn>, Failure> {
        let ClusterArgs { allow_production, max_rate, max_affected_pods, .. } = &self.args;
        let mut permission = None;
        if let Some(context) = allow_production {
            if plan.abort.is_none() {
                return Err(Failure::usage(format!(
                    "scenario {} has no abort rule, and without one nothing goes to a production cluster: write `abort: \
                     {{ when: …, for: … }}` into it",
                    plan.scenario.name
                )));
            }
            let (Some(rate), Some(pods)) = (max_rate, max_affected_pods) else {
                return Err(Failure::usage(
                    "--allow-production needs --max-rate R, the requests per second that may go there, and \
                     --max-affected-pods N, the pods that faults may hit at one time"
                        .to_owned(),
                ));
            };
            let told = format!("{context} may look like production; --max-rate {rate}, --max-affected-pods {pods}");
            permission = Some(documented("permission", &told));
        }
        if let Some(most) = max_rate.filter(|most| *most < plan.load.peak_rate()) {
            return Err(Failure::usage(format!(
                "the scenario peaks at {:.0} requests/s, and --max-rate is {most}: give --rate {most}, or allow more",
                plan.load.peak_rate()
            )));
        }
        Ok(permission)
    }

    /// Stands the platform up, plays, and keeps what pods have logged.
    pub(crate) async fn play(
        &self,
        rehearsal: &Rehearsal,
        settings: EmbeddedSettings,
        progress: &mut Progress,
        mut interrupts: watch::Receiver<u32>,
        scraper: Option<&mut Scraper>,
    ) -> Result<Observed, Failure> {
        let (cluster, layered) = {
            let mut held = self.held();
            (held.cluster.take(), held.layered.clone()) // a run that is repeated is given the same
        };
        let (Some(mut cluster), Some(layered)) = (cluster, layered) else {
            return Err(Failure::of_backend("the cluster has gone".to_owned()));
        };
        let documents: Vec<String> = layered.objects().map(ToString::to_string).collect();
        std::fs::write(progress.folder.path().join("applied.yaml"), documents.join("\n---\n")).ok(); // for who looks
        let mut say = |words: &str| progress.say(words);
        let stood = tokio::select! {
            stood = cluster.stand(layered, &mut say) => stood.map_err(|error| located(error, rehearsal)),
            _ = interrupts.changed() => Err(StageError::Interrupted.into()),
        };
        let played = match stood {
            Ok(stood) => {
                progress.say(&format!("{} objects applied", stood.applied.objects));
                if let Some(deployed) = &stood.deployed {
                    tell(deployed, progress);
                }
                if !stood.applied.unknown.is_empty() {
                    progress.say(&format!("not served here, and left out: {}", stood.applied.unknown.join(", ")));
                }
                let settings = EmbeddedSettings { runtime: Some(stood.runtime.clone()), ..settings };
                let (make, closing) = stood.control();
                let control: ControlMaker = Box::new(move |_, clock, teller| make(&clock, teller));
                let (plan, watches) = (rehearsal.plan.clone(), rehearsal.watches.clone());
                let mut played =
                    stage::play_under(plan, watches, settings, control, progress, interrupts, scraper).await;
                if let Ok(observed) = &mut played {
                    observed.checks.extend(closing.burnt().await);
                }
                closing.keep_logs(&progress.folder.path().join("logs")).await;
                played.map_err(Failure::from)
            }
            Err(error) => Err(error),
        };
        self.held().cluster = Some(cluster);
        played
    }

    /// Removes what was made.
    pub(crate) async fn close(&self) {
        let Some(cluster) = self.held().cluster.take() else { return };
        match cluster.close(self.args.keep_cluster).await {
            Ok(Some(name)) => told::aside(&format!(
                "cluster {name} is kept: use it by `--backend kubernetes --context kind-{name}`, end it by `kind delete \
                 cluster --name {name}`\n"
            )),
            Ok(None) => {}
            Err(error) => told::aside(&format!("{}\n", error.told())),
        }
    }
}

/// The nodes of the cluster that kind will make, so that a scenario is refused before that takes its minute. How large they
/// are is known when they are there.
pub(crate) fn nodes_of_kind() -> Result<Vec<Node>, Failure> {
    #[derive(serde::Deserialize)]
    struct Config {
        nodes: Vec<Role>,
    }
    #[derive(serde::Deserialize)]
    struct Role {
        role: String,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }
    let broken = |error: serde_saphyr::Error| Failure::usage(format!("kind-config/cluster.yaml: {error}"));
    let config: Config = serde_saphyr::from_str(kubernetes::KIND_CLUSTER).map_err(broken)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut counts = BTreeMap::<&str, u32>::new();
    let node = |Role { role, labels }: &Role, nth: u32| {
        // As kind numbers them from the second on.
        let name = if nth == 1 { format!("kind-{role}") } else { format!("kind-{role}{nth}") };
        let taints = if role == "control-plane" {
            serde_json::json!([{ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }])
        } else {
            serde_json::json!([])
        };
        serde_json::json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels }, "spec": { "taints": taints },
            "status": { "allocatable": { "cpu": cores.to_string(), "memory": "64Gi", "pods": "110" } },
        })
    };
    let documents: Vec<String> = config
        .nodes
        .iter()
        .map(|one| {
            let nth = counts.entry(&one.role).or_default();
            *nth += 1;
            node(one, *nth).to_string()
        })
        .collect();
    Ok(manifests::nodes_of(&documents.join("\n---\n"), "kind-config/cluster.yaml")?)
}

/// Tells what a script did where it was not meant to, and keeps what it said.
fn tell(deployed: &Deployed, progress: &mut Progress) {
    for (what, names) in [("outside of what is rehearsed", &deployed.outside), ("not allowed", &deployed.refused)] {
        for name in names {
            progress.say(&format!("the script, {what}: {name}"));
        }
    }
    std::fs::write(progress.folder.path().join("deploy.log"), &deployed.said).ok(); // for who looks
}

/// Refuses faults that may hit more pods at one time than are allowed.
fn refuse_beyond(affected: &Affected, most: u32) -> Result<(), Failure> {
    if affected.pods <= most {
        return Ok(());
    }
    let by = affected.by.iter().map(|(fault, pods)| format!("`{fault}` {pods}")).collect::<Vec<_>>().join(" and ");
    Err(Failure::usage(format!(
        "faults may hit {} pods at one time ({by}), and --max-affected-pods is {most}: allow more, or leave out or space \
         out what hits them",
        affected.pods
    )))
}

fn documented(what: &str, how: &str) -> StandIn {
    StandIn { what: what.into(), how: how.into(), origin: Origin::Documented }
}

/// What runs left in clusters, or as clusters; removed, unless it is a `dry_run`.
pub(crate) fn clean(dry_run: bool) -> Result<kubernetes::Cleaned, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(ExitCode::Backend, &error))?;
    Ok(runtime.block_on(kubernetes::clean_clusters(dry_run)))
}

/// A failure with the place of the object that was refused.
pub(crate) fn located(error: KubeError, rehearsal: &Rehearsal) -> Failure {
    let refused = match &error {
        KubeError::Refused { object, namespace, .. } => rehearsal
            .objects
            .iter()
            .find(|one| one.to_string() == *object && (one.namespace == *namespace || namespace.is_empty())),
        _ => None,
    };
    let place = refused.map(|object| object.place.clone());
    let mut failure = Failure::from(error);
    if let (Some(place), Some(first)) = (place, failure.chain.first_mut()) {
        *first = format!("{place}: {first}");
        let text = std::fs::read_to_string(&place.file).ok();
        failure.excerpt = text.and_then(|text| manifests::excerpt(&text, place.line)).unwrap_or_default();
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_can_be_read_before_kind_has_made_its_nodes() {
        let nodes = nodes_of_kind().unwrap();
        let told = |node: &Node| {
            let zone = node.labels.get("topology.kubernetes.io/zone").cloned().unwrap_or_default();
            (node.name.clone(), zone, node.taints.len())
        };
        let told: Vec<_> = nodes.iter().map(told).collect();
        let want = [("kind-control-plane", "", 1), ("kind-worker", "zone-a", 0), ("kind-worker2", "zone-b", 0)];
        assert_eq!(told, want.map(|(name, zone, taints)| (name.to_owned(), zone.to_owned(), taints)));
    }
}
