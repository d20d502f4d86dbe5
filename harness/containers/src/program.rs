//! What a workload's container runs, for whoever starts it elsewhere than in Docker.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cluster::PodId;
use platform::WorkloadId;
use scenarios::Plan;
use stage::PodStart;
use units::Nanos;

use crate::docker::DockerError;
use crate::images::{Image, TAG};
use crate::role::Role;
use crate::specification::{self, Shared, Specification};

/// A stand-in's program, as a pod of a cluster would have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What it serves as.
    pub role: Role,
    /// The image that has it.
    pub image: Image,
    /// What its image's entry point is told.
    pub arguments: Vec<String>,
    /// What it finds in its environment.
    pub environment: Vec<(String, String)>,
    /// Files that it reads: path and content.
    pub files: Vec<(String, String)>,
    /// Folders that it writes in, and nobody needs afterwards.
    pub scratch: Vec<&'static str>,
    /// The folder of its data.
    pub data: Option<&'static str>,
    /// The port that it serves on.
    pub port: u16,
}

/// The programs of all workloads of a plan, in their order. `folder`: where their files are made. `edges`: the upper edges
/// of a workload's latency buckets.
pub fn programs(
    plan: &Plan,
    folder: &Path,
    edges: impl Fn(WorkloadId) -> Arc<[Nanos]>,
) -> Result<Vec<Program>, DockerError> {
    specification::write_files(plan, folder)?;
    let gateway = (Image::Nginx.repository(), TAG.to_owned());
    let shared = Shared { files: folder.to_owned(), gateway, hosts: Vec::new() };
    plan.platform.workload_ids().map(|id| program(plan, id, &shared, edges(id))).collect()
}

fn program(plan: &Plan, id: WorkloadId, shared: &Shared, edges: Arc<[Nanos]>) -> Result<Program, DockerError> {
    let role = Role::of(&plan.platform, id);
    let workload = plan.platform.workload(id);
    let declared = workload.containers.first().and_then(|container| container.ports.first()).map(|port| port.port);
    let port = if role == Role::Gateway { plan.gateway_port } else { declared.unwrap_or(8_000) };
    // The first of its pods stands for all of them, where each has a name of its own.
    let name = format!("{}-0", workload.name);
    let start = PodStart { id: PodId(0), name, workload: id, port, started: Nanos::ZERO, edges, follows: None };
    let made = Specification::of(plan, &start, shared);
    let content = |(file, path): (std::path::PathBuf, String)| {
        fs::read_to_string(&file).map(|text| (path, text)).map_err(DockerError::file(&file))
    };
    let image = match role {
        Role::Gateway => Image::Nginx,
        Role::Primary | Role::Standby => Image::Postgres,
        Role::Redis | Role::Sentinel => Image::Redis,
        Role::Mock => Image::MockService,
    };
    Ok(Program {
        role,
        image,
        arguments: made.command,
        environment: made.environment,
        files: made.files.into_iter().map(content).collect::<Result<_, _>>()?,
        scratch: made.scratch,
        // A sentinel writes down what it learns.
        data: made.volume.or((role == Role::Sentinel).then_some("/data")),
        port,
    })
}
