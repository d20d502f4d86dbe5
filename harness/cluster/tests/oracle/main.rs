//! Our rules against Kubernetes' own controllers: `docs/fidelity.md` tells what this covers.
//!
//! `recorded` needs no Go: it holds the rules to answers that the oracle gave once. `fresh` draws new cases every day
//! and asks the oracle now. `cargo xtask prove` runs `fresh` over more cases and releases.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

mod dice;
mod hpa;
mod oracle;
mod statefulsets;
mod subject;
mod workloads;

#[test]
fn recorded_hpa_cases_are_answered_as_kubernetes_answered_them() {
    hpa::HPA.remember();
}

#[test]
fn recorded_workload_cases_are_answered_as_kubernetes_answered_them() {
    workloads::WORKLOADS.remember();
}

#[test]
fn recorded_stateful_set_cases_are_answered_as_kubernetes_answered_them() {
    statefulsets::STATEFUL_SETS.remember();
}

#[test]
fn fresh_stateful_set_cases_are_answered_as_kubernetes_answers_them() {
    if testing::needs("fresh_stateful_set_cases_are_answered_as_kubernetes_answers_them", testing::Need::Go) {
        statefulsets::STATEFUL_SETS.ask();
    }
}

#[test]
fn fresh_hpa_cases_are_answered_as_kubernetes_answers_them() {
    if testing::needs("fresh_hpa_cases_are_answered_as_kubernetes_answers_them", testing::Need::Go) {
        hpa::HPA.ask();
    }
}

#[test]
fn fresh_workload_cases_are_answered_as_kubernetes_answers_them() {
    if testing::needs("fresh_workload_cases_are_answered_as_kubernetes_answers_them", testing::Need::Go) {
        workloads::WORKLOADS.ask();
    }
}
