//! Where pods live that do not live in this process: in containers of this machine, or in a cluster.
//!
//! Owns the seam to a container runtime. Who decides stays the same, and so does what the pods are told: this only
//! says how a container is started, ended and asked for its usage.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use alerts::Tell;
use cluster::{PodId, Traffic};
use model::data::Failover;
use platform::WorkloadId;
use server::Writes;
use units::{Bytes, Nanos};

/// What comes later.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How the containers of a runtime are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// They are on a network of this machine, with these first two octets, whose addresses are laid out as
    /// [`AddressLease::of_network`](crate::AddressLease::of_network) has it. Services are balanced by this process.
    Here([u8; 2]),
    /// They are on a network of their own, which balances Services by itself. Clients reach a gateway pod by the door that
    /// it is told to have.
    There {
        /// The first two octets of the clients' addresses, where each client has its own.
        clients: Option<[u8; 2]>,
    },
}

/// Something that runs pods in containers.
///
/// No method waits: what takes time is done in the background, in the order in which it was asked for each pod.
pub trait ContainerRuntime: fmt::Debug + Send + Sync {
    /// How they are reached.
    fn network(&self) -> Network;

    /// How long they may take to become ready, beyond what pods of this process may.
    fn patience(&self) -> Nanos {
        Nanos::ZERO
    }

    /// Which pod it is that tells this number of itself in its answers, counted from 1.
    fn number(&self, told: u16) -> u16 {
        told
    }

    /// Who hears of containers from now on.
    fn attach(&self, hear: Hear);

    /// Starts a pod's container. What was in its place has ended.
    fn start(&self, pod: PodStart);

    /// Tells it to end, by its image's stop signal. The future ends when its process has.
    fn terminate(&self, pod: PodId) -> Later<()>;

    /// SIGKILL, and the container is removed.
    fn kill(&self, pod: PodId);

    /// Whether the server in it says that it is ready: what an exec probe asks. The future may take long.
    fn is_ready(&self, pod: PodId) -> Later<bool>;

    /// What it has used, as of a moment ago; `None` while nothing is known of it.
    fn usage(&self, pod: PodId) -> Option<ContainerUsage>;

    /// Tells the requests that its process has counted, as of a moment ago.
    fn requests(&self, pod: PodId, tell: &mut Tell<'_>);

    /// Makes the PostgreSQL in it, which follows another, take writes itself. The future ends when it does, or says why
    /// it does not.
    fn promote(&self, pod: PodId) -> Later<Result<Promoted, String>>;

    /// Listens to the sentinels of the cache: which pod is its master, and then what becomes of the failover that its
    /// loss brings. `None`: no real sentinels watch it, or there is no replica.
    fn follow_failover(&self) -> Option<Later<Result<Followed, String>>>;

    /// Waits until the server in a pod, which was a primary or a master, follows the new one: how it came to have its
    /// data.
    fn rejoined(&self, pod: PodId) -> Later<Result<String, String>>;

    /// Dumps every database of the PostgreSQL in it, and restores the dumps beside them.
    fn back_up(&self, pod: PodId) -> Later<Result<BackedUp, String>>;

    /// Fills the disk of the PostgreSQL in it: with how much. `Ok(0)` frees what it was filled with.
    fn fill_disk(&self, pod: PodId, full: bool) -> Later<Result<Bytes, String>>;

    /// Opens so many connections to the PostgreSQL in it, or as many as it lets in, and keeps them. The future says how
    /// many those are.
    fn take_connections(&self, pod: PodId, wanted: u32) -> Later<Result<u32, String>>;

    /// Closes them.
    fn give_connections_back(&self);

    /// The load drivers that stand beside the pods, if load is to come from there instead of from this machine.
    fn drivers(&self) -> Option<Arc<dyn FarDrivers>> {
        None
    }
}

/// Load drivers that somebody else starts and that send from their own addresses.
pub trait FarDrivers: fmt::Debug + Send + Sync {
    /// How many there are.
    fn count(&self) -> u32;

    /// Where all of them find the gateway.
    fn door(&self) -> SocketAddr;

    /// A line to each of them, once all are there.
    fn open(&self) -> Later<Result<Vec<driver::Line>, String>>;
}

/// A standby that was promoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promoted {
    /// What became of writes, by the word of the services.
    pub writes: Writes,
    /// Writes that it has.
    pub present: u64,
}

/// The master whose loss is followed, and what its loss brings.
pub type Followed = (PodId, Later<Result<FailedOver, String>>);

/// A failover by sentinels, by their own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedOver {
    /// When they told of each stage, from the loss of the master on.
    pub stages: Failover,
    /// The sentinel that led.
    pub leader: String,
    /// The master now.
    pub heir: String,
}

impl fmt::Display for FailedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stages: Failover { suspected, agreed, elected, promoted }, leader, heir } = self;
        let s = |time: &Nanos| time.as_secs_f64();
        write!(
            f,
            "{heir} was promoted by sentinel {leader}, {:.1} s after the loss: a sentinel held the master for down after \
             {:.1} s, the quorum agreed after {:.1} s, a leader was elected after {:.1} s",
            s(promoted),
            s(suspected),
            s(agreed),
            s(elected)
        )
    }
}

/// A backup that was made and tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Of how many databases.
    pub databases: u32,
    /// How long the dump took.
    pub dump: Nanos,
    /// How large it is.
    pub size: Bytes,
    /// How long it took to restore it.
    pub restore: Nanos,
    /// Rows that were restored.
    pub rows: u64,
    /// Rows that were there then and not in the backup: what a loss at that instant would have cost.
    pub since: u64,
}

impl fmt::Display for BackedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { databases, dump, size, restore, rows, since } = self;
        write!(
            f,
            "a backup of {databases} databases took {dump} and has {size}; restored in {restore}, it has {rows} rows, and \
             {since} that were written since are not in it"
        )
    }
}

impl Promoted {
    /// Acknowledged writes that it does not have: at least so many. One in doubt that it has may stand for one that was
    /// acknowledged and is lost.
    pub const fn lost(&self) -> u64 {
        self.writes.acknowledged.saturating_sub(self.present)
    }
}

/// How a container runtime tells what happens: from any thread, at any time.
pub type Hear = Arc<dyn Fn(PodId, Nanos, ContainerNews) + Send + Sync>;

/// A container that is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodStart {
    /// Which pod.
    pub id: PodId,
    /// Its name.
    pub name: String,
    /// Of which workload.
    pub workload: WorkloadId,
    /// The port that it is to serve on.
    pub port: u16,
    /// When it was asked for: its container is known by that.
    pub started: Nanos,
    /// Upper edges of its latency buckets, in order.
    pub edges: Arc<[Nanos]>,
    /// It was the primary, and follows now.
    pub follows: Option<Follows>,
}

/// Whom a former primary follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follows(pub WorkloadId);

/// What happens to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerNews {
    /// It runs, and has this address.
    Runs(Ipv4Addr),
    /// It runs, and this is where it is reached.
    ReachedAt(SocketAddr),
    /// It ended, and nobody had told it to.
    Ended {
        /// As Kubernetes calls it: `OOMKilled` or `Error`.
        reason: String,
    },
    /// It could not be started.
    Failed(String),
}

/// What a container has used since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Cumulative CPU time.
    pub cpu: Nanos,
    /// Working set.
    pub memory: Bytes,
    /// Requests, where it counts them.
    pub traffic: Traffic,
}
