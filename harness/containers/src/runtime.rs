//! A run's containers, as the stage asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::Clock;
use cluster::PodId;
use futures_util::future::join_all;
use scenarios::Plan;
use stage::{
    AddressLease, BackedUp, ContainerNews, ContainerRuntime, ContainerUsage, Followed, Hear, Later, Network, PodStart,
    Promoted, Writes, members,
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use units::{Bytes, Nanos};

use crate::backup;
use crate::docker::{Daemon, DockerError};
use crate::images::{self, Built, Image};
use crate::ledger::{Ledger, Removed};
use crate::network;
use crate::pods::{self, Command};
use crate::role::Role;
use crate::sentinels::{self, Hearing, Sentinel};
use crate::specification::{self, Shared};
use crate::strangers::Strangers;
use crate::usage::{self, Told};

/// How long a former primary may take to follow.
const REJOINS: Nanos = Nanos::from_secs(120);
/// How many containers are made at once.
const AT_ONCE: usize = 6;

/// What a run in containers needs beyond the plan.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program whose `reap` subcommand removes what a killed run leaves: usually this one.
    pub program: PathBuf,
    /// Where containers' logs go, if anywhere.
    pub logs: Option<PathBuf>,
}

/// What a run in containers is made with.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The daemon.
    pub daemon: Daemon,
    /// The gateway's image: the manifests' own, where the daemon has it.
    pub gateway: String,
    /// The images that stand in for others.
    pub stand_ins: Vec<Built>,
}

/// The containers of a run. [`Self::close`] removes them; what ends without it, the ledger's reaper removes.
#[derive(Debug)]
pub struct Containers {
    inner: Arc<Inner>,
    block: [u8; 2],
    pods: Mutex<BTreeMap<PodId, UnboundedSender<Command>>>,
    held: Mutex<Option<(Ledger, Child)>>,
    watch: tokio::task::AbortHandle,
    strangers: Strangers,
}

/// What the tasks of a run share.
pub(crate) struct Inner {
    pub(crate) plan: Arc<Plan>,
    pub(crate) daemon: Daemon,
    /// The run's name.
    pub(crate) run: String,
    /// The network's name.
    pub(crate) network: String,
    pub(crate) shared: Shared,
    pub(crate) logs: Option<PathBuf>,
    /// Who may make a container now.
    pub(crate) turns: Semaphore,
    state: Mutex<State>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("run", &self.run).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    hear: Option<Hear>,
    running: BTreeMap<PodId, Known>,
    told: BTreeMap<PodId, Told>,
    /// Writes that containers told of which have ended.
    written: Writes,
    /// By the name of a pod, which is that of its volume.
    alone: BTreeMap<String, Arc<tokio::sync::Mutex<()>>>,
}

/// A container that runs.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) role: Role,
    /// The pod's name.
    pub(crate) name: String,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hear(&self, pod: PodId, started: Nanos, news: ContainerNews) {
        let hear = self.lock().hear.clone();
        if let Some(hear) = hear {
            hear(pod, started, news);
        }
    }

    /// Whose turn it is to use the volume of the pods of that name.
    pub(crate) fn alone(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.lock().alone.entry(name.to_owned()).or_default())
    }

    pub(crate) fn remember(&self, start: &PodStart, id: &str, address: Ipv4Addr) {
        let role = Role::of(&self.plan.platform, start.workload);
        let known = Known { id: id.to_owned(), address, port: start.port, role, name: start.name.clone() };
        self.lock().running.insert(start.id, known);
    }

    /// Listens to the sentinels, and finds the pod of the master.
    async fn hear_sentinels(&self, name: String) -> Result<(PodId, Hearing), String> {
        let known = self.known();
        let sentinels = known
            .iter()
            .filter(|(_, known)| known.role == Role::Sentinel)
            .map(|(_, known)| Sentinel { pod: known.name.clone(), at: (known.address, known.port).into() });
        let sentinels: Vec<_> = sentinels.collect();
        let first = sentinels.first().ok_or("no sentinel runs")?.at;
        let host =
            sentinels::master(first, &name).await.map_err(|error| format!("the sentinels do not say: {error}"))?;
        let platform = &self.plan.platform;
        let member = members(platform).into_iter().find(|member| member.host(platform) == host);
        let member = member.ok_or_else(|| format!("the sentinels hold {host} for the master, which is no pod"))?;
        let pod = known.iter().find(|(_, known)| known.name == member.pod);
        let (pod, _) = pod.ok_or_else(|| format!("{host}, which is the master, does not run"))?;
        Ok((*pod, Hearing::begin(sentinels, name).await?))
    }

    /// Asks until a server follows, whose container may still have to be made.
    async fn rejoined(&self, pod: PodId) -> Result<String, String> {
        let clock = Clock::start();
        let mut last = "it does not run".to_owned();
        while clock.now() < REJOINS {
            let known = self.lock().running.get(&pod).cloned();
            let asked = match &known {
                Some(Known { role: Role::Redis, address, port, .. }) => {
                    match sentinels::role(*address, *port).await.as_deref() {
                        Ok([role, host, _, link, ..]) if role == "slave" && link == "connected" => {
                            Ok(format!("as a replica of {host}"))
                        }
                        Ok(words) => Err(format!("it says of itself: {}", words.join(" "))),
                        Err(error) => Err(error.to_string()),
                    }
                }
                Some(known) => pods::follows(&self.daemon, &known.id).await,
                None => Err(last.clone()),
            };
            match asked {
                Ok(how) => return Ok(how),
                Err(why) => last = why,
            }
            clock.until(clock.now() + Nanos::from_millis(250)).await;
        }
        Err(format!("not within {REJOINS}: {last}"))
    }

    pub(crate) fn forget(&self, pod: PodId) {
        let mut state = self.lock();
        state.running.remove(&pod);
        if let Some(told) = state.told.remove(&pod) {
            state.written = state.written + told.writes;
        }
    }

    /// Writes of all containers of the run.
    fn written(&self) -> Writes {
        let state = self.lock();
        state.told.values().fold(state.written, |sum, told| sum + told.writes)
    }

    pub(crate) fn known(&self) -> Vec<(PodId, Known)> {
        self.lock().running.iter().map(|(pod, known)| (*pod, known.clone())).collect()
    }

    /// Unless another container has its place by now.
    pub(crate) fn keep(&self, pod: PodId, id: &str, told: Told) {
        let mut state = self.lock();
        if state.running.get(&pod).is_some_and(|known| known.id == id) {
            state.told.insert(pod, told);
        }
    }
}

impl Containers {
    /// Sees to it that a run can be had before anything is made: a daemon, the privilege, every image.
    pub async fn check(plan: &Plan) -> Result<Ready, DockerError> {
        let daemon = Daemon::find().await?;
        network::permitted()?;
        let (gateway, wanted) = gateway_image(&daemon, plan).await;
        let mut stand_ins = Vec::new();
        for image in wanted {
            let built = images::find(&daemon, image).await?;
            stand_ins.push(built.ok_or(DockerError::NoImage { tag: image.tag() })?);
        }
        Ok(Ready { daemon, gateway, stand_ins })
    }

    /// Makes the network of a run. Needs a tokio runtime.
    pub async fn begin(daemon: Daemon, plan: Arc<Plan>, settings: Settings) -> Result<Self, DockerError> {
        let ledger = Ledger::open()?;
        let reaper = ledger.reaper(&settings.program)?;
        match Self::within(&ledger, daemon.clone(), plan, settings).await {
            Ok(containers) => {
                *containers.held.lock().unwrap_or_else(PoisonError::into_inner) = Some((ledger, reaper));
                Ok(containers)
            }
            Err(error) => {
                let_go(&daemon, ledger, reaper).await.ok(); // the first error is the one to tell
                Err(error)
            }
        }
    }

    async fn within(ledger: &Ledger, daemon: Daemon, plan: Arc<Plan>, settings: Settings) -> Result<Self, DockerError> {
        let (gateway, _) = gateway_image(&daemon, &plan).await;
        let files = ledger.folder.join("files");
        specification::write_files(&plan, &files)?;
        if let Some(folder) = &settings.logs {
            std::fs::create_dir_all(folder).map_err(DockerError::file(folder))?;
        }
        let network = network::Network::make(&daemon, ledger).await?;
        let lease = AddressLease::of_network(network.block);
        let inner = Arc::new(Inner {
            shared: Shared {
                files,
                gateway: specification::split(&gateway),
                hosts: specification::hosts(&plan.platform, &lease),
            },
            plan,
            daemon,
            run: ledger.run.clone(),
            network: network.name,
            logs: settings.logs,
            turns: Semaphore::new(AT_ONCE),
            state: Mutex::default(),
        });
        let watch = tokio::spawn(usage::watch(Arc::clone(&inner))).abort_handle();
        let (pods, held) = (Mutex::default(), Mutex::default());
        Ok(Self { inner, block: network.block, pods, held, watch, strangers: Strangers::default() })
    }

    /// Keeps what containers wrote, and removes everything of the run.
    pub async fn close(&self) -> Result<Removed, DockerError> {
        self.watch.abort();
        self.strangers.leave();
        self.inner.lock().hear = None;
        self.lock().clear(); // their tasks end
        let known = self.inner.known();
        let names = |known: &Known| {
            let inner = Arc::clone(&self.inner);
            let id = known.id.clone();
            async move {
                let inspected = inner.daemon.docker.inspect_container(&id, None).await.ok()?;
                let name = inspected.config?.hostname?;
                pods::keep_logs(&inner, &id, &name).await;
                Some(())
            }
        };
        join_all(known.iter().map(|(_, known)| names(known))).await;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        match held {
            Some((ledger, reaper)) => let_go(&self.inner.daemon, ledger, reaper).await,
            None => Ok(Removed::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PodId, UnboundedSender<Command>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, pod: PodId, command: Command) {
        let mut pods = self.lock();
        let sender = pods.entry(pod).or_insert_with(|| {
            let (sender, commands) = unbounded_channel();
            tokio::spawn(pods::live(Arc::clone(&self.inner), commands));
            sender
        });
        sender.send(command).ok(); // its task ends only with the run
    }
}

/// Removes everything of a run, then lets its reaper go, which finds nothing to do.
async fn let_go(daemon: &Daemon, ledger: Ledger, mut reaper: Child) -> Result<Removed, DockerError> {
    let removed = ledger.settle(daemon).await;
    drop(reaper.stdin.take());
    // It ends by itself; waiting takes its entry off the process table.
    tokio::task::spawn_blocking(move || reaper.wait()).await.ok();
    removed
}

/// The gateway's image: the manifests' own where the daemon has it, else the stand-in; and the stand-ins needed.
async fn gateway_image(daemon: &Daemon, plan: &Plan) -> (String, BTreeSet<Image>) {
    let platform = &plan.platform;
    let mut gateway = Image::Nginx.tag();
    let mut images = BTreeSet::new();
    for id in platform.workload_ids().filter(|id| platform.workload(*id).kind.is_service()) {
        match Role::of(platform, id) {
            Role::Gateway => {
                let own = platform.workload(id).containers.first().map(|container| container.image.clone());
                match own {
                    Some(own) if images::has(daemon, &own).await => gateway = own,
                    _ => drop(images.insert(Image::Nginx)),
                }
            }
            Role::Primary | Role::Standby => drop(images.insert(Image::Postgres)),
            Role::Redis | Role::Sentinel => drop(images.insert(Image::Redis)),
            Role::Mock => drop(images.insert(Image::MockService)),
        }
    }
    (gateway, images)
}

impl ContainerRuntime for Containers {
    fn network(&self) -> Network {
        Network::Here(self.block)
    }

    fn attach(&self, hear: Hear) {
        self.inner.lock().hear = Some(hear);
    }

    fn start(&self, pod: PodStart) {
        self.tell(pod.id, Command::Start(pod));
    }

    fn terminate(&self, pod: PodId) -> Later<()> {
        let (done, ended) = oneshot::channel();
        self.tell(pod, Command::Stop(done));
        Box::pin(async move { ended.await.unwrap_or(()) })
    }

    fn kill(&self, pod: PodId) {
        self.tell(pod, Command::Kill);
    }

    fn is_ready(&self, pod: PodId) -> Later<bool> {
        let known = self.inner.lock().running.get(&pod).cloned();
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let Some(known) = known else { return false };
            // A mock service has no such command.
            let Some(command) = known.role.readiness(known.port) else { return true };
            pods::passes(&inner.daemon, &known.id, &command.split(' ').collect::<Vec<_>>()).await
        })
    }

    fn usage(&self, pod: PodId) -> Option<ContainerUsage> {
        self.inner.lock().told.get(&pod).map(|told| told.usage)
    }

    fn promote(&self, pod: PodId) -> Later<Result<Promoted, String>> {
        let known = self.inner.lock().running.get(&pod).cloned();
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let known = known.ok_or("it does not run")?;
            let present = pods::promote(&inner.daemon, &known.id).await?;
            Ok(Promoted { writes: inner.written(), present })
        })
    }

    fn follow_failover(&self) -> Option<Later<Result<Followed, String>>> {
        let watch = sentinels::watched(&self.inner.plan.platform)?;
        let cache = self.inner.plan.platform.cache()?;
        if self.inner.plan.platform.workload(cache).replicas.unwrap_or(1) < 2 {
            return None; // there is nobody to promote
        }
        let inner = Arc::clone(&self.inner);
        Some(Box::pin(async move {
            let (pod, hearing) = inner.hear_sentinels(watch.name).await?;
            Ok((pod, Box::pin(hearing.failover()) as Later<_>))
        }))
    }

    fn rejoined(&self, pod: PodId) -> Later<Result<String, String>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.rejoined(pod).await })
    }

    fn back_up(&self, pod: PodId) -> Later<Result<BackedUp, String>> {
        let known = self.inner.lock().running.get(&pod).cloned();
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let known = known.ok_or("it does not run")?;
            backup::back_up(&inner.daemon, &known.id).await
        })
    }

    fn fill_disk(&self, pod: PodId, full: bool) -> Later<Result<Bytes, String>> {
        let known = self.inner.lock().running.get(&pod).cloned();
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let known = known.ok_or("it does not run")?;
            pods::fill_disk(&inner.daemon, &known.id, full).await
        })
    }

    fn take_connections(&self, pod: PodId, wanted: u32) -> Later<Result<u32, String>> {
        let known = self.inner.lock().running.get(&pod).cloned();
        let strangers = self.strangers.clone();
        Box::pin(async move {
            let known = known.ok_or("it does not run")?;
            strangers.come(known.address, known.port, wanted).await
        })
    }

    fn give_connections_back(&self) {
        self.strangers.leave();
    }

    fn requests(&self, pod: PodId, tell: &mut (dyn FnMut(&str, u16, &[u64], Nanos) + '_)) {
        for counted in self.inner.lock().told.get(&pod).iter().flat_map(|told| &told.requests) {
            tell(&counted.route, counted.status, &counted.buckets, counted.sum);
        }
    }
}
