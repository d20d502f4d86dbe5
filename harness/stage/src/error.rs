//! Why a stage cannot stand, or falls.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use units::Nanos;

/// Why a live rehearsal has no result. None of them says anything about the platform, except [`Self::NeverReady`].
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// No certificate could be made.
    #[error("cannot make a certificate for the hosts of the Ingress objects: {0}")]
    Certificate(String),
    /// Every block of loopback addresses is taken by other rehearsals.
    #[error("every block of loopback addresses is in use by another rehearsal: wait for one to end")]
    NoAddresses,
    /// The folder that keeps address leases cannot be used.
    #[error("cannot keep address leases in {path}: set TMPDIR to a folder that can be written")]
    Leases {
        /// Which folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The plan needs more addresses than a block has.
    #[error("the scenario uses {clients} client addresses, and a block has {most}: use fewer clients")]
    TooManyClients {
        /// Asked for.
        clients: u32,
        /// There are.
        most: u32,
    },
    /// The plan needs more open files than the process may have.
    #[error(
        "this rehearsal needs about {needed} open files and may have {limit}: raise the limit (`ulimit -n {needed}`), or use fewer clients or a lower rate"
    )]
    OpenFiles {
        /// Needed.
        needed: u64,
        /// Allowed.
        limit: u64,
    },
    /// A pod cannot listen.
    #[error("pod {pod} cannot listen on {addr}")]
    Listen {
        /// Which pod.
        pod: String,
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The platform was never ready for load.
    #[error("the platform was not ready within {within} of its start: {why}")]
    NeverReady {
        /// How long it was given.
        within: Nanos,
        /// What is known of the reason.
        why: String,
    },
    /// Load drivers that stand elsewhere cannot be had.
    #[error("the load drivers cannot be had: {0}")]
    NoDrivers(String),
    /// The control plane, which runs elsewhere, is gone.
    #[error("the control plane is lost: {0}")]
    ControlLost(String),
    /// The network of the containers has no address for each Service.
    #[error("the platform has {services} Services, and a network of containers has addresses for {most}")]
    TooManyServices {
        /// There are.
        services: usize,
        /// It has.
        most: usize,
    },
    /// A container cannot be started.
    #[error("pod {pod} cannot be started: {why}")]
    Container {
        /// Which pod.
        pod: String,
        /// What the container runtime says.
        why: String,
    },
    /// The load driver does not start.
    #[error(transparent)]
    Driver(#[from] driver::DriverError),
    /// It was interrupted before load began, so there is nothing to report.
    #[error("interrupted before load began: nothing was measured")]
    Interrupted,
}
