//! Stands a platform up live and plays a plan on it.
//!
//! Owns what the rules need to be real: leased addresses ([`AddressLease`]), the fabric that every connection goes through,
//! the pods and gateways that serve on it, and the loop that feeds the control side. What is decided, `cluster`,
//! `gateway` and `model` decide: the same machines that the simulator drives.
//!
//! [`Standing`] is the platform without load, [`play`] a whole run. By itself that is the backend `embedded`: control,
//! place and edge in this process, by the rules; load from a child process. With a [`ContainerRuntime`] pods live in
//! containers, the gateway's among them.

mod budget;
mod contract;
mod data;
mod edge;
mod embedded;
mod ending;
mod error;
mod fabric;
mod front;
mod heart;
mod host;
mod lease;
mod members;
mod news;
mod place;
mod probe;
mod relay;
mod runtime;
mod servers;
mod standing;
mod tls;

pub use budget::open_files_needed;
pub use driver::Line;
pub use embedded::{EmbeddedSettings, check, play, play_scraped, play_under};
pub use ending::CONTROL_LOST;
pub use error::StageError;
pub use front::FrontDoor;
pub use lease::{AddressLease, ONE_ADDRESS};
pub use members::{Member, members};
pub use probe::carries;
pub use runtime::{
    BackedUp, ContainerNews, ContainerRuntime, ContainerUsage, FailedOver, FarDrivers, Followed, Follows, Hear, Later,
    Network, PodStart, Promoted,
};
pub use server::Writes;
pub use standing::{ControlMaker, Standing, StandingPod, Teller, rules};
