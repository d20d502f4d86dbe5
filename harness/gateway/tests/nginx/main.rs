//! Our rules against the real nginx, decision by decision: `docs/fidelity.md` tells what this covers.
//!
//! nginx runs as a child with the very text that `manifests::nginx::parse` reads for us. What it decided and when comes
//! from its own debug log, so nothing here depends on how busy the machine is.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

mod child;
mod decisions;
mod ingress;
mod known;
mod lasting;
mod limits;
mod routes;
mod shipped;
mod traffic;
mod upstreams;
