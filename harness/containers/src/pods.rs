//! A pod's container over its life: one task a pod, which does what it is told in that order.

use std::fmt;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::exec::StartExecResults;
use bollard::models::{ExecConfig, HostConfig, VolumeCreateRequest};
use bollard::query_parameters::{
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;
use stage::{ContainerNews, PodStart};
use testcontainers::core::{AccessMode, Host, Mount};
use testcontainers::runners::AsyncRunner;
use testcontainers::{GenericImage, ImageExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::task::JoinHandle;
use units::Bytes;

use crate::docker::Daemon;
use crate::ledger::LABEL;
use crate::runtime::Inner;
use crate::specification::Specification;

/// As a shell tells of a process that SIGKILL ended; `mock-service` ends so when its accounted memory is used up.
const KILLED: i64 = 137;
/// The period of CPU quotas, microseconds: Kubernetes' own.
const PERIOD: i64 = 100_000;
/// How long a container may take from being made to running.
const START: Duration = Duration::from_mins(1);
/// Rows that a table of records begins with, as the image's script makes it.
const RECORDS: u64 = 10_000;
/// Longer than any grace period: who ends it in the end is the kubelet.
const GRACE: i32 = 3_600;

/// What a pod's task is told.
pub(crate) enum Command {
    Start(PodStart),
    /// By the image's stop signal; answered when its process has ended.
    Stop(oneshot::Sender<()>),
    Kill,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start(_) => "Start",
            Self::Stop(_) => "Stop",
            Self::Kill => "Kill",
        })
    }
}

/// A container that was started.
struct Running {
    id: String,
    start: PodStart,
    /// Its exit code, when it has ended.
    ended: JoinHandle<i64>,
    /// Who waits for its end, and so told it to end.
    told: Vec<oneshot::Sender<()>>,
    over: bool,
    /// Nobody else may use a pod's volume while it does.
    _alone: OwnedMutexGuard<()>,
}

/// Does what it is told until nobody can tell it anything any more.
pub(crate) async fn live(inner: Arc<Inner>, mut commands: UnboundedReceiver<Command>) {
    let mut running: Option<Running> = None;
    loop {
        let ended = async {
            match &mut running {
                Some(running) if !running.over => (&mut running.ended).await.unwrap_or(0),
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Start(start)) => {
                    remove(&inner, running.take()).await;
                    running = begin(&inner, start).await;
                }
                Some(Command::Stop(done)) => match &mut running {
                    Some(running) if !running.over => {
                        running.told.push(done);
                        let (docker, id) = (inner.daemon.docker.clone(), running.id.clone());
                        tokio::spawn(async move {
                            let options = StopContainerOptionsBuilder::default().t(GRACE).build();
                            docker.stop_container(&id, Some(options)).await.ok();
                        });
                    }
                    _ => {
                        done.send(()).ok(); // it has ended already
                    }
                },
                Some(Command::Kill) => remove(&inner, running.take()).await,
            },
            code = ended => if let Some(running) = &mut running {
                running.over = true;
                inner.forget(running.start.id);
                if running.told.is_empty() {
                    let reason = if code == KILLED { "OOMKilled" } else { "Error" };
                    let news = ContainerNews::Ended { reason: reason.to_owned() };
                    inner.hear(running.start.id, running.start.started, news);
                }
                for done in running.told.drain(..) {
                    done.send(()).ok(); // whoever waited may be gone
                }
            },
        }
    }
}

async fn begin(inner: &Arc<Inner>, start: PodStart) -> Option<Running> {
    let alone = inner.alone(&start.name).lock_owned().await;
    match make(inner, &start).await {
        Ok((id, address)) => {
            let (docker, waited) = (inner.daemon.docker.clone(), id.clone());
            let ended = tokio::spawn(async move {
                let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
                match docker.wait_container(&waited, Some(options)).next().await {
                    Some(Ok(ended)) => ended.status_code,
                    // How the client tells of an exit code that is not 0.
                    Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
                    _ => 0,
                }
            });
            inner.remember(&start, &id, address);
            inner.hear(start.id, start.started, ContainerNews::Runs(address));
            Some(Running { id, start, ended, told: Vec::new(), over: false, _alone: alone })
        }
        Err(why) => {
            inner.hear(start.id, start.started, ContainerNews::Failed(why));
            None
        }
    }
}

/// Makes and starts a container; its id and address.
async fn make(inner: &Arc<Inner>, start: &PodStart) -> Result<(String, Ipv4Addr), String> {
    // The daemon makes one after the other in the end; more at once only make each of them late.
    let _turn = inner.turns.acquire().await.map_err(|error| error.to_string())?;
    let specification = Specification::of(&inner.plan, start, &inner.shared);
    // Another pod may have had this name, and be on its way out.
    let name = format!("rehearse-{}-{}-{}", inner.run, start.name, start.id.0);
    let volume = format!("rehearse-{}-{}", inner.run, start.name);
    if specification.volume.is_some() {
        let request = VolumeCreateRequest {
            name: Some(volume.clone()),
            labels: Some([(LABEL.to_owned(), inner.run.clone())].into()),
            driver_opts: specification.bounded.map(|size| {
                let options = format!("size={},mode=0777", size.get());
                [("type", "tmpfs"), ("device", "tmpfs"), ("o", &options)]
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .into()
            }),
            ..VolumeCreateRequest::default()
        };
        inner.daemon.docker.create_volume(request).await.map_err(|error| error.to_string())?;
    }
    let Specification { cpu, memory, .. } = specification;
    let (repository, tag) = specification.image;
    let mut request = GenericImage::new(repository, tag)
        .with_container_name(&name)
        .with_network(&inner.network)
        .with_label(LABEL, &inner.run)
        .with_hostname(&start.name)
        .with_startup_timeout(START)
        .with_readonly_rootfs(specification.read_only)
        .with_host_config_modifier(move |host: &mut HostConfig| {
            host.publish_all_ports = Some(false);
            host.memory = memory.map(|memory| memory.get() as i64);
            // A quota, since the daemon refuses a number of CPUs above those of this machine.
            host.cpu_period = cpu.map(|_| PERIOD);
            host.cpu_quota = cpu.map(|cpu| cpu.get() as i64 * PERIOD / 1_000);
        });
    if !specification.command.is_empty() {
        request = request.with_cmd(specification.command);
    }
    if let Some(user) = specification.user {
        request = request.with_user(user);
    }
    if specification.unprivileged {
        request = request.with_cap_drop("ALL").with_security_opt("no-new-privileges");
    }
    for (name, value) in specification.environment {
        request = request.with_env_var(name, value);
    }
    for (host, address) in &inner.shared.hosts {
        request = request.with_host(host, Host::Addr((*address).into()));
    }
    for (file, inside) in specification.files {
        let mount = Mount::bind_mount(file.display().to_string(), inside).with_access_mode(AccessMode::ReadOnly);
        request = request.with_mount(mount);
    }
    for folder in specification.scratch {
        request = request.with_mount(Mount::tmpfs_mount(folder));
    }
    if let Some(inside) = specification.volume {
        request = request.with_mount(Mount::volume_mount(volume, inside));
    }
    let container = request.start().await.map_err(|error| error.to_string())?;
    let id = container.id().to_owned();
    // The ledger removes it, whatever becomes of this process; testcontainers would only while this process lives.
    std::mem::forget(container);
    let inspected = inner.daemon.docker.inspect_container(&id, None).await.map_err(|error| error.to_string())?;
    let networks = inspected.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let address = networks.get(&inner.network).and_then(|endpoint| endpoint.ip_address.as_deref());
    let address = address.and_then(|address| address.parse().ok());
    if let Some(address) = address {
        return Ok((id, address));
    }
    let words = logs(inner, &id).await;
    let words = String::from_utf8_lossy(&words);
    let last: Vec<_> = words.lines().rev().take(3).collect();
    Err(format!("its container ended at once: {}", last.into_iter().rev().collect::<Vec<_>>().join(" / ")))
}

/// Whether a command ends well in a container.
pub(crate) async fn passes(daemon: &Daemon, id: &str, command: &[&str]) -> bool {
    answer(daemon, id, command).await.is_ok()
}

/// What a shell in the database's container is told first: `psql` as its master, with bare answers.
pub(crate) const PSQL: &str =
    "psql() { command psql --host=/tmp --username=postgres --no-align --tuples-only --quiet \"$@\"; }; ";

/// Makes a standby take writes, and counts those that it has: rows beyond the ones that its databases began with.
pub(crate) async fn promote(daemon: &Daemon, id: &str) -> Result<u64, String> {
    answer(daemon, id, &["pg_ctl", "promote", "--wait", "--pgdata=/data/pg"]).await?;
    let count = format!(
        "{PSQL}for name in $(psql --command='SELECT datname FROM pg_database WHERE NOT datistemplate'); do \
         psql --dbname=\"$name\" --command='SELECT count(*) FROM records WHERE id > {RECORDS}'; done"
    );
    let told = answer(daemon, id, &["/bin/sh", "-c", &count]).await?;
    Ok(told.lines().filter_map(|line| line.trim().parse::<u64>().ok()).sum())
}

/// Writes a file beside the database until there is no space, or removes it: how large it was.
pub(crate) async fn fill_disk(daemon: &Daemon, id: &str, full: bool) -> Result<Bytes, String> {
    let fill = "dd if=/dev/zero of=/data/full bs=4096 2>/dev/null; psql --command=\"SELECT size FROM pg_stat_file('/data/full')\"";
    let script = if full { format!("{PSQL}{fill}") } else { "rm -f /data/full; echo 0".to_owned() };
    let said = answer(daemon, id, &["/bin/sh", "-c", &script]).await?;
    said.trim().parse().map(Bytes::new).map_err(|_| format!("it said: {}", said.trim()))
}

/// Waits until a former primary streams from the new one: how it came to have its data.
pub(crate) async fn follows(daemon: &Daemon, id: &str) -> Result<String, String> {
    let asked = format!(
        "{PSQL}[ \"$(psql --command='SELECT status FROM pg_stat_wal_receiver')\" = streaming ] && \
         IFS= read -r how < /data/how && echo \"$how\""
    );
    answer(daemon, id, &["/bin/sh", "-c", &asked]).await.map(|how| format!("by {}", how.trim()))
}

/// What a command says in a container; an error is what it said when it ended otherwise than well.
pub(crate) async fn answer(daemon: &Daemon, id: &str, command: &[&str]) -> Result<String, String> {
    let docker = &daemon.docker;
    let wanted = ExecConfig {
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    };
    let made = docker.create_exec(id, wanted).await.map_err(|error| error.to_string())?;
    let started = docker.start_exec(&made.id, None).await.map_err(|error| error.to_string())?;
    let mut said = String::new();
    if let StartExecResults::Attached { mut output, .. } = started {
        while let Some(Ok(piece)) = output.next().await {
            said.push_str(&String::from_utf8_lossy(piece.as_ref()));
        }
    }
    let ended = docker.inspect_exec(&made.id).await.map_err(|error| error.to_string())?;
    if ended.exit_code == Some(0) { Ok(said) } else { Err(format!("{} said: {}", command.join(" "), said.trim())) }
}

/// SIGKILL; what it wrote is kept, and it is removed.
async fn remove(inner: &Arc<Inner>, running: Option<Running>) {
    let Some(running) = running else { return };
    inner.forget(running.start.id);
    let docker = &inner.daemon.docker;
    docker.kill_container(&running.id, None).await.ok(); // it may have ended by itself
    keep_logs(inner, &running.id, &running.start.name).await;
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    docker.remove_container(&running.id, Some(options)).await.ok(); // the ledger removes what is left
    for done in running.told {
        done.send(()).ok(); // whoever waited may be gone
    }
}

/// Adds what a container wrote to the pod's file in the run's folder.
pub(crate) async fn keep_logs(inner: &Inner, id: &str, name: &str) {
    let Some(folder) = &inner.logs else { return };
    let words = logs(inner, id).await;
    if !words.is_empty() {
        append(&folder.join(format!("{name}.log")), &words);
    }
}

/// Logs are for people: where they cannot be written, the run goes on.
fn append(file: &Path, words: &[u8]) {
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
    opened.and_then(|mut file| file.write_all(words)).ok();
}

async fn logs(inner: &Inner, id: &str) -> Vec<u8> {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("all").build();
    let mut pieces = inner.daemon.docker.logs(id, Some(options));
    let mut words = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        words.extend_from_slice(piece.as_ref());
    }
    words
}
