//! The backend `containers`: pods in Docker containers, on a network of their own, under the rules of `cluster`.
//!
//! Owns everything that is Docker's: the [`images`] that are made of this machine's own programs, the network of
//! a run, its containers, and the [`ledger`] by which nothing is left of it, however it ended. What a pod runs is
//! told by its workload: the manifests' gateway is a real nginx on its own configuration, PostgreSQL and Redis are the
//! real ones, everything else is `mock-service`.
//!
//! Nothing is touched that does not carry the label of a run of ours.

mod backup;
pub mod docker;
pub mod images;
pub mod ledger;
mod network;
mod pods;
mod program;
mod recipes;
mod role;
mod rootfs;
mod runtime;
mod sentinels;
mod specification;
mod strangers;
pub mod usage;

pub use docker::{Daemon, DockerError, program};
pub use images::{Built, Image, ImageError};
pub use ledger::{Ledger, sweep};
pub use network::permitted;
pub use program::{Program, programs};
pub use recipes::postgres_programs;
pub use role::Role;
pub use runtime::{Containers, Ready, Settings};
