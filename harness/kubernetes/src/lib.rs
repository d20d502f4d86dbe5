//! A real Kubernetes as the control side of a rehearsal: its own control plane with nodes that are only played, or a whole
//! cluster.
//!
//! Owns what stands between a rehearsal and a real API server: the control plane's processes ([`LocalControlPlane`]),
//! the nodes and the kubelets that it believes in, or the [`Cluster`] that has its own; the metrics that it asks for, and
//! the watches by which its decisions come back. [`Remote`] is a [`cluster::ControlSide`]: the stage drives it as it drives the rules, and the same pods
//! serve.

mod answers;
mod apply;
mod child;
mod deeds;
mod elsewhere;
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
pub use elsewhere::{
    Cleaned, Closing, Cluster, ClusterOrder, Deployed, KIND_CLUSTER, Layered, Maker, Stood, Whose, clean_clusters,
    find_kind,
};
pub use error::KubeError;
pub use ledger::{Left, clean, left};
pub use plane::{LocalControlPlane, PlaneSettings};
pub use prepare::{Order, Prepared};
pub use programs::{Program, Programs, build};
pub use remote::Remote;
