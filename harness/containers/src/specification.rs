//! What a pod's container is made of: pure, from the plan.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use platform::{Config, Platform, Probe, ProbeAction, ReferenceKind, ServiceKind, WorkloadId};
use scenarios::{FaultKind, Plan};
use stage::{AddressLease, Follows, PodStart, members};
use units::{Bytes, Millicores};

use crate::docker::DockerError;
use crate::images::{Image, TAG};
use crate::recipes::NGINX_USER;
use crate::role::Role;
use crate::sentinels::{Watch, watched};

/// The disk of a database that is to be full: room for the databases of the platform and some of their log.
const BOUNDED: Bytes = Bytes::from_mebi(640);

/// A container before it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Specification {
    /// Repository and tag.
    pub(crate) image: (String, String),
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// `user:group`; the image's own if there is none.
    pub(crate) user: Option<String>,
    /// Whether it gives all capabilities up.
    pub(crate) unprivileged: bool,
    pub(crate) read_only: bool,
    /// Files of this machine, each with its path in the container.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// Folders in memory that it may write in.
    pub(crate) scratch: Vec<&'static str>,
    /// Where its volume is, which survives it.
    pub(crate) volume: Option<&'static str>,
    /// It is in memory, has so much space, and is empty when its container starts: where a disk is to be full.
    pub(crate) bounded: Option<Bytes>,
    pub(crate) cpu: Option<Millicores>,
    pub(crate) memory: Option<Bytes>,
}

/// What all containers of a run share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// The folder of the files that containers mount.
    pub(crate) files: PathBuf,
    /// The gateway's image: the manifests' own, where it is here.
    pub(crate) gateway: (String, String),
    /// Every name of every Service, with its address.
    pub(crate) hosts: Vec<(String, Ipv4Addr)>,
}

/// Repository and tag of an image's name.
pub(crate) fn split(image: &str) -> (String, String) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name.to_owned(), tag.to_owned()),
        _ => (image.to_owned(), "latest".to_owned()),
    }
}

/// The names that a pod of the platform's namespace may call each Service by.
pub(crate) fn hosts(platform: &Platform, lease: &AddressLease) -> Vec<(String, Ipv4Addr)> {
    let mut hosts = Vec::new();
    for id in platform.service_ids() {
        let service = platform.service(id);
        let (false, Some(address)) = (matches!(service.kind, ServiceKind::ExternalName(_)), lease.service(id.0)) else {
            continue;
        };
        let full = format!("{}.{}", service.name, service.namespace);
        if service.namespace == platform.namespace {
            hosts.push((service.name.clone(), address));
        }
        hosts.extend(["", ".svc", ".svc.cluster.local"].map(|ending| (format!("{full}{ending}"), address)));
    }
    for (index, member) in members(platform).into_iter().enumerate() {
        let Some(address) = lease.member(index) else { break };
        let host = member.host(platform);
        let namespace = &platform.service(member.service).namespace;
        if *namespace == platform.namespace {
            hosts.push((host.clone(), address));
        }
        let endings = ["", ".svc", ".svc.cluster.local"];
        hosts.extend(endings.map(|ending| (format!("{host}.{namespace}{ending}"), address)));
    }
    hosts
}

impl Specification {
    /// Of a pod's container.
    pub(crate) fn of(plan: &Plan, start: &PodStart, shared: &Shared) -> Self {
        let platform = &plan.platform;
        let workload = platform.workload(start.workload);
        let container = workload.containers.first();
        let limits = container.map(|container| container.limits).unwrap_or_default();
        let common = Self { cpu: limits.cpu, memory: limits.memory, ..Self::default() };
        let stand_in = |image: Image| (image.repository(), TAG.to_owned());
        match Role::of(platform, start.workload) {
            Role::Gateway => {
                let security = container.map(|container| container.security).unwrap_or_default();
                let unprivileged = security.run_as_non_root == Some(true);
                Self {
                    image: shared.gateway.clone(),
                    user: unprivileged.then(|| format!("{NGINX_USER}:{NGINX_USER}")),
                    unprivileged,
                    read_only: security.read_only_root == Some(true),
                    files: gateway_files(platform, start.workload, &shared.files),
                    scratch: vec!["/tmp", "/run", "/var/cache/nginx", "/var/lib/nginx"],
                    ..common
                }
            }
            role @ (Role::Primary | Role::Standby) => {
                let mut command = vec!["/bin/sh".to_owned(), "/start".to_owned(), "-c".to_owned()];
                let files = settings(platform, start.workload, "postgresql.conf", &shared.files, "/etc/rehearse");
                command.push(match files.first() {
                    Some((_, inside)) => format!("config_file={inside}"),
                    None => format!("max_connections={}", platform.max_connections(start.workload)),
                });
                let environment = match role {
                    Role::Primary if start.follows.is_some() => {
                        let heir = start.follows.and_then(|Follows(heir)| at(platform, Some(heir)));
                        let rejoin = ("REJOIN".to_owned(), "yes".to_owned());
                        heir.map(|at| ("PRIMARY".to_owned(), at)).into_iter().chain([rejoin]).collect()
                    }
                    Role::Primary => vec![("DATABASES".to_owned(), databases(plan).join(" "))],
                    _ => at(platform, platform.database()).map(|at| ("PRIMARY".to_owned(), at)).into_iter().collect(),
                };
                let image = stand_in(Image::Postgres);
                let fills = plan.faults.iter().any(|fault| fault.kind == FaultKind::DiskFull);
                let bounded = (fills && role == Role::Primary).then_some(BOUNDED);
                // What is on that disk is accounted as the container's memory.
                let memory = common.memory.map(|limit| Bytes::new(limit.get() + bounded.map_or(0, Bytes::get)));
                Self { image, command, environment, files, volume: Some("/data"), bounded, memory, ..common }
            }
            Role::Redis => {
                let files = settings(platform, start.workload, "redis.conf", &shared.files, "/etc/rehearse");
                let mut command = vec!["/bin/sh".to_owned(), "/start".to_owned()];
                command.extend(files.first().map(|(_, inside)| inside.clone()));
                // Nobody else is on the network of a run.
                command.extend(["--protected-mode", "no", "--port"].map(str::to_owned));
                command.push(start.port.to_string());
                let watch = watched(platform);
                let environment = watch.map(|watch| replication(platform, &watch, start)).unwrap_or_default();
                Self { image: stand_in(Image::Redis), command, environment, files, volume: Some("/data"), ..common }
            }
            Role::Sentinel => {
                let file = watched(platform).map(|watch| watch.file).unwrap_or_default();
                let files = settings(platform, start.workload, &file, &shared.files, "/etc/rehearse");
                let command = vec!["/bin/sh".to_owned(), "/start".to_owned()];
                let own = files.first().map(|(_, inside)| ("SENTINEL_CONF".to_owned(), inside.clone()));
                Self { image: stand_in(Image::Redis), command, environment: own.into_iter().collect(), files, ..common }
            }
            Role::Mock => {
                let profile = "/profile.yaml".to_owned();
                Self {
                    image: stand_in(Image::MockService),
                    command: mock_arguments(plan, start),
                    files: vec![(profile_file(&shared.files, start.workload), profile)],
                    unprivileged: true,
                    read_only: true,
                    ..common
                }
            }
        }
    }
}

/// What a Redis pod is told of whom it may have to follow.
fn replication(platform: &Platform, watch: &Watch, start: &PodStart) -> Vec<(String, String)> {
    let own = members(platform).into_iter().find(|member| member.pod == start.name);
    let (Some(own), Some(sentinels)) = (own, at(platform, Some(watch.by))) else { return Vec::new() };
    let (host, port) = sentinels.split_once(':').unwrap_or((&sentinels, "26379"));
    let all = [
        ("OWN", own.host(platform)),
        ("FIRST", watch.first.clone()),
        ("MASTER", watch.name.clone()),
        ("SENTINEL_HOST", host.to_owned()),
        ("SENTINEL_PORT", port.to_owned()),
        ("PORT", start.port.to_string()),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).into()
}

fn mock_arguments(plan: &Plan, start: &PodStart) -> Vec<String> {
    let platform = &plan.platform;
    let workload = platform.workload(start.workload);
    let container = workload.containers.first();
    let mut words: Vec<String> = Vec::new();
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    option("--profile", "/profile.yaml".to_owned());
    option("--listen", format!("0.0.0.0:{}", start.port));
    option("--number", (start.id.0 as u16 + 1).to_string());
    option("--seed", plan.load.seed.get().to_string());
    let edges: Vec<String> = start.edges.iter().map(|edge| edge.as_secs_f64().to_string()).collect();
    if !edges.is_empty() {
        option("--buckets", edges.join(","));
    }
    option("--grace", (workload.grace_period.get() / 1_000_000_000).max(1).to_string());
    let limits = container.map(|container| container.limits).unwrap_or_default();
    limits.cpu.iter().for_each(|cpu| option("--cpu-limit", cpu.to_string()));
    limits.memory.iter().for_each(|memory| option("--memory-limit", memory.get().to_string()));
    let probes = container.iter().flat_map(|container| [&container.startup, &container.readiness, &container.liveness]);
    let paths: BTreeSet<&str> = probes.filter_map(|probe| probe.as_ref().and_then(path)).collect();
    paths.into_iter().for_each(|path| option("--health", path.to_owned()));
    at(platform, platform.database()).into_iter().for_each(|at| option("--postgres", at));
    match watched(platform).and_then(|watch| Some(format!("{}/{}", at(platform, Some(watch.by))?, watch.name))) {
        Some(sentinels) => option("--redis-sentinel", sentinels),
        None => at(platform, platform.cache()).into_iter().for_each(|at| option("--redis", at)),
    }
    let calls = plan.profile(start.workload).routes.iter().flat_map(|route| &route.calls);
    let called: BTreeSet<&str> = calls.map(|call| call.service.as_str()).collect();
    for name in called {
        let port = platform.service_named(name).and_then(|id| platform.service(id).ports.first()).map(|port| port.port);
        port.into_iter().for_each(|port| option("--at", format!("{name}={name}:{port}")));
    }
    words.push("--behind-gateway".to_owned());
    words
}

/// The path that an HTTP probe asks for.
fn path(probe: &Probe) -> Option<&str> {
    match &probe.action {
        ProbeAction::Http(http) => Some(&http.path),
        _ => None,
    }
}

/// Name and port of the first Service in front of a workload, one with an address before a headless one.
pub(crate) fn at(platform: &Platform, workload: Option<WorkloadId>) -> Option<String> {
    let workload = workload?;
    let mut services: Vec<_> = platform
        .services
        .iter()
        .filter(|service| {
            platform.selected_by(service).any(|selected| selected == workload) && !service.ports.is_empty()
        })
        .collect();
    services.sort_by_key(|service| service.kind == ServiceKind::Headless);
    let service = services.first()?;
    Some(format!("{}:{}", service.name, service.ports.first()?.port))
}

/// The databases that manifests create, and those that services ask.
pub(crate) fn databases(plan: &Plan) -> Vec<String> {
    let platform = &plan.platform;
    let mut names = BTreeSet::new();
    if let Some(database) = platform.database() {
        let texts = mounted(platform, database).flat_map(|config| config.entries.values());
        for line in texts.flat_map(|text| text.lines()) {
            let words: Vec<_> = line.split_whitespace().collect();
            if let [create, what, name, ..] = words.as_slice()
                && create.eq_ignore_ascii_case("create")
                && what.eq_ignore_ascii_case("database")
            {
                names.insert(name.trim_matches(['"', ';']).to_owned());
            }
        }
    }
    let pools = platform.workload_ids().filter_map(|id| plan.profile(id).pool.as_ref());
    names.extend(pools.map(|pool| pool.database.clone()));
    // They go to a shell: a name with anything else in it is nobody's database.
    names.retain(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    names.into_iter().collect()
}

/// The `ConfigMap`s that a workload mounts.
pub(crate) fn mounted(platform: &Platform, workload: WorkloadId) -> impl Iterator<Item = &Config> {
    let workload = platform.workload(workload);
    let maps = workload.references.iter().filter(|reference| reference.kind == ReferenceKind::ConfigMap);
    maps.filter_map(|reference| {
        platform.configs.iter().find(|config| {
            config.kind == ReferenceKind::ConfigMap
                && config.name == reference.name
                && config.namespace == workload.namespace
        })
    })
}

/// A file that a workload mounts, if it has one of this name, at `folder` in its container.
fn settings(
    platform: &Platform,
    workload: WorkloadId,
    name: &str,
    files: &Path,
    folder: &str,
) -> Vec<(PathBuf, String)> {
    let has = mounted(platform, workload).any(|config| config.entries.contains_key(name));
    let file = || (config_file(files, workload, name), format!("{folder}/{name}"));
    has.then(file).into_iter().collect()
}

/// The gateway's configuration where nginx looks for it: the key `nginx.conf`, or one with an `http` block, as the
/// main file; others beside it, and in `conf.d` where the main file speaks of that or there is none.
fn gateway_files(platform: &Platform, workload: WorkloadId, files: &Path) -> Vec<(PathBuf, String)> {
    let Some(config) = gateway_config(platform, workload) else { return Vec::new() };
    let main = main_key(config);
    let from_conf_d = main.is_none_or(|main| config.entries[main].contains("conf.d"));
    let mut mounts = Vec::new();
    for key in config.entries.keys() {
        let file = config_file(files, workload, key);
        if Some(key) == main {
            mounts.push((file, "/etc/nginx/nginx.conf".to_owned()));
        } else if from_conf_d && is_conf(key) {
            mounts.push((file, format!("/etc/nginx/conf.d/{key}")));
        } else {
            mounts.push((file, format!("/etc/nginx/{key}")));
        }
    }
    mounts
}

fn main_key(config: &Config) -> Option<&String> {
    let has_http = |text: &str| {
        text.lines().any(|line| line.trim_start().strip_prefix("http").is_some_and(|rest| rest.trim().starts_with('{')))
    };
    let named = config.entries.keys().find(|key| *key == "nginx.conf");
    named.or_else(|| config.entries.iter().find(|(_, text)| has_http(text)).map(|(key, _)| key))
}

fn is_conf(key: &str) -> bool {
    Path::new(key).extension().is_some_and(|ending| ending == "conf")
}

fn gateway_config(platform: &Platform, workload: WorkloadId) -> Option<&Config> {
    let is = |config: &&Config| main_key(config).is_some() || config.entries.keys().any(|key| is_conf(key));
    mounted(platform, workload).find(is)
}

fn config_file(files: &Path, workload: WorkloadId, key: &str) -> PathBuf {
    files.join(workload.0.to_string()).join(key)
}

fn profile_file(files: &Path, workload: WorkloadId) -> PathBuf {
    files.join(workload.0.to_string()).join("profile.yaml")
}

/// Writes what containers mount. They are read by whoever the container runs as.
pub(crate) fn write_files(plan: &Plan, files: &Path) -> Result<(), DockerError> {
    let write = |path: &Path, text: &str| {
        let folder = path.parent().unwrap_or(files);
        fs::create_dir_all(folder).map_err(DockerError::file(folder))?;
        fs::write(path, text).map_err(DockerError::file(path))
    };
    for id in plan.platform.workload_ids() {
        match Role::of(&plan.platform, id) {
            Role::Mock => {
                // JSON is YAML, and every profile can be written as it.
                let text = serde_json::to_string(&**plan.profile(id)).unwrap_or_default();
                write(&profile_file(files, id), &text)?;
            }
            Role::Gateway => {
                for (key, text) in gateway_config(&plan.platform, id).iter().flat_map(|config| &config.entries) {
                    write(&config_file(files, id, key), text)?;
                }
            }
            Role::Primary | Role::Standby | Role::Redis | Role::Sentinel => {
                for (key, text) in mounted(&plan.platform, id).flat_map(|config| &config.entries) {
                    write(&config_file(files, id, key), text)?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_tag_is_what_follows_its_last_name() {
        for (image, name, tag) in [
            ("nginx", "nginx", "latest"),
            ("nginx:1.27", "nginx", "1.27"),
            ("registry.example.com:5000/nginx", "registry.example.com:5000/nginx", "latest"),
            ("registry.example.com:5000/nginx:1", "registry.example.com:5000/nginx", "1"),
        ] {
            assert_eq!(split(image), (name.to_owned(), tag.to_owned()));
        }
    }
}
