//! What becomes of findings: denied, allowed, accepted by name.

use crate::{Finding, Severity, rule};

/// Choices about rules and single findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    deny: Vec<String>,
    allow: Vec<String>,
    accepted: Vec<Accepted>,
}

/// A finding that somebody knows of and lives with, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The rule's id.
    pub id: String,
    /// `Kind/name` or what else the finding is about; `*` for all.
    pub subject: String,
    /// Why.
    pub reason: String,
}

/// A rule that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule `{id}`{}", nearest.map_or(String::new(), |near| format!(": did you mean `{near}`?")))]
pub struct UnknownRule {
    /// As written.
    pub id: String,
    /// What may have been meant.
    pub nearest: Option<&'static str>,
}

impl Policy {
    /// `deny` makes findings of these rules errors, `allow` drops them; `all` stands for every rule, and a rule that
    /// is named beats it.
    pub fn new(deny: Vec<String>, allow: Vec<String>, accepted: Vec<Accepted>) -> Result<Self, UnknownRule> {
        for id in deny.iter().chain(&allow).chain(accepted.iter().map(|entry| &entry.id)).filter(|id| *id != "all") {
            rule(id).map_err(|nearest| UnknownRule { id: id.clone(), nearest })?;
        }
        Ok(Self { deny, allow, accepted })
    }

    /// The findings under this policy, the worst first. Accepted ones become notes that say why.
    pub fn apply(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let names = |list: &[String], id: &str| list.iter().any(|entry| entry == id);
        let mut kept: Vec<Finding> = findings
            .into_iter()
            .filter_map(|mut finding| {
                let id = finding.rule.id;
                let denied = names(&self.deny, id) || (names(&self.deny, "all") && !names(&self.allow, id));
                let allowed = names(&self.allow, id) || (names(&self.allow, "all") && !names(&self.deny, id));
                if allowed {
                    return None;
                }
                let accepts =
                    |entry: &&Accepted| entry.id == id && (entry.subject == "*" || entry.subject == finding.subject);
                if let Some(entry) = self.accepted.iter().find(accepts) {
                    finding.severity = Severity::Note;
                    finding.accepted = Some(entry.reason.clone());
                } else if denied {
                    finding.severity = Severity::Error;
                }
                Some(finding)
            })
            .collect();
        kept.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        kept
    }
}
