//! What makes the rehearsal, or production, behave otherwise than the author believes.
//!
//! Owns the rules ([`catalogue`]), what they find in a platform ([`lint`]), what of it is denied, allowed or accepted
//! ([`Policy`]), and how it is written down ([`present`]). General hygiene is left to tools such as kube-linter and
//! kubeconform. Pure: files are read by `manifests`.

mod catalogue;
pub mod drift;
mod finding;
mod policy;
pub mod present;
mod rules;

pub use catalogue::{catalogue, rule};
pub use finding::{Finding, Rule, Severity};
pub use policy::{Accepted, Policy, UnknownRule};

use drift::Provided;
use manifests::{Loaded, ManifestError};
use platform::{Node, Platform};

use rules::{Check, Context};

const CHECKS: &[Check] = &[
    rules::start::check,
    rules::placement::check,
    rules::reach::check,
    rules::autoscaling::check,
    rules::lifecycle::check,
    rules::disruption::check,
    rules::traffic::check,
    rules::ingress::check,
    rules::gateway::check,
    rules::data::check,
    rules::observability::check,
];

/// Everything the rules find, the worst first; findings of one severity stay in the order of the rules. Without nodes
/// nothing is said about placement.
pub fn lint(platform: &Platform, nodes: &[Node]) -> Vec<Finding> {
    checked(&Context::new(platform, nodes, &[]))
}

/// The same of manifests with their files: also what their kustomizations do. `provided` comes from outside of them.
pub fn lint_loaded(loaded: &Loaded, nodes: &[Node], provided: &[Provided]) -> Vec<Finding> {
    let mut found = checked(&Context::new(&loaded.platform, nodes, provided));
    rules::build::check(loaded, &mut found);
    rules::kustomization::check(loaded, &mut found);
    rules::storage::check(loaded, provided, &mut found);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

/// What kept manifests from loading, as findings.
pub fn build_findings(errors: &[ManifestError]) -> Vec<Finding> {
    rules::build::errors(errors)
}

fn checked(context: &Context<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for check in CHECKS {
        check(context, &mut found);
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

/// What a report tells beside its verdict: warnings and errors about the platform that was rehearsed, but for what is
/// accepted.
pub fn told(findings: &[Finding]) -> Vec<record::Finding> {
    let told = |finding: &Finding| record::Finding {
        id: finding.rule.id.into(),
        consequence: finding.consequence.clone(),
        because: finding.because.clone(),
        place: finding.place.to_string(),
    };
    findings.iter().filter(|finding| finding.severity > Severity::Note).map(told).collect()
}

/// The candidate nearest to `word`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 1 + word.len() / 4)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests;
