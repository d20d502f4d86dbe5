//! The control plane and the kubelets together, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod autoscaling;
mod disruption;
mod invariants;
mod rollouts;
mod workloads;
mod world;
