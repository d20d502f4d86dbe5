//! `cargo xtask prove`: our controllers against Kubernetes' own, over many cases. The comparison itself is a test of
//! `cluster`; this runs it in release, with more to do.

use anyhow::{Context, Result};

use crate::shell::Workspace;

/// How much is proven, as typed; the test reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) cases: String,
    pub(crate) releases: String,
    /// Empty: that of the day.
    pub(crate) seed: String,
}

impl Default for Proof {
    fn default() -> Self {
        Self { cases: "100000".to_owned(), releases: "1.34,1.35,1.36".to_owned(), seed: String::new() }
    }
}

pub(crate) fn run(workspace: &Workspace, proof: &Proof) -> Result<bool> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--release", "-p", "cluster", "--test", "oracle", "--", "--nocapture", "fresh"]);
    cargo.env(testing::REQUIRE, "go");
    cargo.env("PROVE_CASES", &proof.cases).env("PROVE_RELEASES", &proof.releases).env("PROVE_SEED", &proof.seed);
    Ok(cargo.status().context("cannot start cargo")?.success())
}
