//! The Docker daemon: whether it is there, and why not.

use std::io;
use std::path::{Path, PathBuf};

use bollard::Docker;

/// Where the daemon listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// Why containers cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// There is no daemon, and no program of it.
    #[error(
        "Docker is not installed: there is no dockerd on PATH, and nothing listens on {SOCKET}; install it (Debian: \
         `apt-get install docker.io`), or use another backend"
    )]
    Absent,
    /// It is installed and does not run.
    #[error(
        "the Docker daemon does not run: nothing answers on {socket}; start it (`systemctl start docker`, or `dockerd`)"
    )]
    NotRunning {
        /// Where it was looked for.
        socket: String,
    },
    /// This user may not talk to it.
    #[error("this user may not talk to the Docker daemon on {socket}: run as root, or join the group `docker`")]
    Forbidden {
        /// Where it is.
        socket: String,
    },
    /// It is on another machine.
    #[error("DOCKER_HOST is {host}, and the containers must be on this machine: unset it, or name a unix:// socket")]
    Remote {
        /// What it says.
        host: String,
    },
    /// This process may not change the network.
    #[error(
        "giving Services and clients addresses on the containers' network needs CAP_NET_ADMIN, which this process does \
         not have: run as root (`sudo`), or use another backend"
    )]
    NoNetAdmin,
    /// The program that changes the network is not there.
    #[error("the program `ip` is missing, which gives Services and clients their addresses: install iproute2")]
    NoIp,
    /// An image is missing.
    #[error("there is no image {tag} here: build it with `rehearse images build`")]
    NoImage {
        /// Its tag.
        tag: String,
    },
    /// Every candidate for the network of a run is in use.
    #[error("every network from 10.64.0.0/16 to 10.191.0.0/16 is in use: remove Docker networks that nobody needs")]
    NoNetwork,
    /// A command that changes the network failed.
    #[error("`{command}` failed: {why}")]
    Command {
        /// Which.
        command: String,
        /// What it said.
        why: String,
    },
    /// A file or folder of the run cannot be used.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The daemon refused something.
    #[error("Docker: {doing}")]
    Daemon {
        /// What was asked of it.
        doing: String,
        /// What it says.
        source: Box<bollard::errors::Error>,
    },
}

impl DockerError {
    /// For `map_err`: what was asked of the daemon.
    pub(crate) fn doing(doing: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Daemon { doing, source: Box::new(source) }
    }

    /// For `map_err`: which file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// A daemon of this machine that answers.
#[derive(Clone, Debug)]
pub struct Daemon {
    pub(crate) docker: Docker,
    /// Its version, such as `20.10.24`.
    pub version: String,
}

impl Daemon {
    /// Finds the daemon and asks it for its version.
    pub async fn find() -> Result<Self, DockerError> {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let socket = match host.as_deref().map(|host| (host, host.strip_prefix("unix://"))) {
            None => SOCKET,
            Some((_, Some(path))) => path,
            Some((host, None)) => return Err(DockerError::Remote { host: host.to_owned() }),
        };
        // What the client says of a socket that is not there says little.
        match tokio::net::UnixStream::connect(socket).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(DockerError::Forbidden { socket: socket.to_owned() });
            }
            Err(_) if program("dockerd").is_none() && !Path::new(socket).exists() => return Err(DockerError::Absent),
            Err(_) => return Err(DockerError::NotRunning { socket: socket.to_owned() }),
        }
        let docker = Docker::connect_with_unix(socket, 120, bollard::API_DEFAULT_VERSION);
        let docker = docker.map_err(DockerError::doing("connect"))?;
        // An old daemon speaks an older version of its API than the client does by itself.
        let docker = docker.negotiate_version().await.map_err(DockerError::doing("agree on an API version"))?;
        let version = docker.version().await.map_err(DockerError::doing("tell its version"))?;
        Ok(Self { docker, version: version.version.unwrap_or_else(|| "of an unknown version".to_owned()) })
    }
}

/// Where a program is: on PATH, or where daemons live.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];
    let folders = std::env::split_paths(&path).chain(system.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_says_what_to_do() {
        let socket = || SOCKET.to_owned();
        for (error, advice) in [
            (DockerError::Absent, "apt-get install docker.io"),
            (DockerError::NotRunning { socket: socket() }, "systemctl start docker"),
            (DockerError::Forbidden { socket: socket() }, "join the group `docker`"),
            (DockerError::Remote { host: "tcp://10.0.0.1:2375".into() }, "unset it"),
            (DockerError::NoNetAdmin, "run as root"),
            (DockerError::NoIp, "install iproute2"),
            (DockerError::NoImage { tag: "rehearse.invalid/nginx:stand-in".into() }, "rehearse images build"),
        ] {
            assert!(error.to_string().contains(advice), "{error}");
        }
    }

    #[test]
    fn programs_are_found_on_path_and_where_daemons_live() {
        assert!(program("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(program("there-is-no-such-program"), None);
    }
}
