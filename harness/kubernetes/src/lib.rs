//! Kubernetes' own control plane as the control side of a rehearsal, with nodes that are only played.
//!
//! Owns what stands between a rehearsal and a real API server: the control plane's processes ([`LocalControlPlane`]),
//! the nodes and the kubelets that it believes in, the metrics that it asks for, and the watches by which its decisions
//! come back. [`Remote`] is a [`cluster::ControlSide`]: the stage drives it as it drives the rules, and the same pods
//! serve.

mod answers;
mod apply;
mod child;
mod deeds;
mod error;
mod ground;
mod ledger;
mod made_up;
mod pki;
mod plane;
mod prepare;
mod programs;
mod remote;
mod report;
mod rest;
mod view;
mod wall;
mod watching;
mod writer;

pub use apply::Applied;
pub use child::{Launcher, become_child};
pub use error::KubeError;
pub use ledger::{Left, clean, left};
pub use plane::{LocalControlPlane, PlaneSettings};
pub use prepare::{Order, Prepared};
pub use programs::{Program, Programs, build};
pub use remote::Remote;
