//! What Kubernetes decides: autoscaler, deployments, scheduler, kubelet, endpoints.
//!
//! Owns the rules of the control plane ([`Cluster`]), of the node agent ([`Kubelet`]) and of the service proxy
//! ([`service_proxy`]) as machines: inputs and instants come in, effects go out. Knows no clock, no socket and no
//! task, so a live run and a run in virtual time drive the very same rules. Every rule names the upstream file it
//! follows, as of Kubernetes 1.34.4.
//!
//! One run, seen from outside: [`Input::Start`] creates the pods of every Deployment. [`Effect::RunPod`] asks for a
//! [`Kubelet`]; what it reports comes back as [`Input::Pod`]. [`Effect::Scrape`] asks for the pods' usage, answered at
//! the same instant by [`Input::Usage`]. [`Effect::Endpoints`] is what dialers use from then on, and
//! [`Effect::Note`] tells everything worth keeping in the words of [`record::EventKind`].

mod agenda;
mod boundary;
mod cluster;
mod config;
mod control;
mod cron;
mod daemon_set;
mod deployment;
mod disruption;
mod endpoints;
pub mod hpa;
mod kubelet;
mod kubelets;
mod meters;
mod metrics_server;
pub mod monitoring;
mod names;
mod node_lifecycle;
mod pod;
mod quota;
mod reach;
mod replica_set;
mod retries;
mod scheduler;
pub mod service_proxy;
pub mod stateful_set;

pub use boundary::{Action, AutoscalerEdit, Effect, Flaw, Input, Scraper};
pub use cluster::Cluster;
pub use config::{ClusterConfig, Forecast, Gates, Release, UnknownRelease};
pub use control::{ControlInput, ControlPlane, ControlSide, ControlWake, Host, Question};
pub use deployment::{Condition, DeploymentStatus, Patch, ReplicaSetStatus};
pub use disruption::BudgetStatus;
pub use endpoints::{Endpoint, Endpoints};
pub use kubelet::{Kubelet, KubeletEffect, KubeletInput, ProbeKind};
pub use kubelets::{Bound, Kubelets, Said};
pub use meters::{Meters, PodSample};
pub use monitoring::Monitoring;
pub use pod::{PodId, PodRecord, PodStatus, Traffic, Usage};
pub use reach::Reach;
