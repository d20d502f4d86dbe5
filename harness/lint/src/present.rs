//! Findings as text for people, JSON for scripts and SARIF for code hosts.

use platform::Place;
use serde_json::{Value, json};

use crate::rules::build::{DOES_NOT_LOAD, UNKNOWN_FIELD};
use crate::{Finding, Rule, Severity, catalogue};

/// Rules that are about what is written, more than about what it means.
const SHOWN: [&str; 2] = [DOES_NOT_LOAD.id, UNKNOWN_FIELD.id];

/// Each finding with its place, consequence, reason and fix, and how many there are. What does not load, or would be
/// refused for a field, is shown with its source lines, which `excerpt` gives.
pub fn text(findings: &[Finding], source: &str, excerpt: &dyn Fn(&Place) -> Option<String>) -> String {
    let mut out = String::new();
    for finding in findings.iter().filter(|finding| finding.accepted.is_none()) {
        out += &format!("{}[{}] {}\n", finding.severity, finding.rule.id, finding.subject);
        out += &format!("  --> {}\n", finding.place);
        if SHOWN.contains(&finding.rule.id) {
            out += &excerpt(&finding.place).unwrap_or_default();
        }
        out += &format!("  {}\n", finding.consequence);
        out += &format!("  {}\n", finding.because);
        out += &format!("  fix: {}\n\n", finding.rule.fix);
    }
    for finding in findings {
        if let Some(reason) = &finding.accepted {
            out += &format!("accepted[{}] {}: {reason}\n", finding.rule.id, finding.subject);
        }
    }
    if findings.iter().any(|finding| finding.accepted.is_some()) {
        out.push('\n');
    }
    out += &format!("{source}: {}\n", counts(findings));
    out
}

/// `2 errors, 1 warning, 4 notes, 1 accepted`.
pub fn counts(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|f| f.accepted.is_none() && f.severity == severity).count();
    let accepted = findings.iter().filter(|finding| finding.accepted.is_some()).count();
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let mut parts = vec![
        plural(count(Severity::Error), "error"),
        plural(count(Severity::Warning), "warning"),
        plural(count(Severity::Note), "note"),
    ];
    if accepted > 0 {
        parts.push(format!("{accepted} accepted"));
    }
    parts.join(", ")
}

/// A rule as `rehearse explain` prints it.
pub fn explain(rule: &Rule) -> String {
    format!("{} ({})\n{}\n\n{}\n\nFix: {}\n", rule.id, rule.severity, rule.title, rule.explanation, rule.fix)
}

/// One object with a list of findings.
pub fn json(findings: &[Finding], source: &str) -> Value {
    let one = |finding: &Finding| {
        json!({
            "id": finding.rule.id,
            "severity": finding.severity.name(),
            "subject": finding.subject,
            "file": finding.place.file,
            "line": finding.place.line,
            "consequence": finding.consequence,
            "because": finding.because,
            "fix": finding.rule.fix,
            "accepted": finding.accepted,
        })
    };
    json!({ "schema": "rehearse-lint/1", "source": source, "findings": findings.iter().map(one).collect::<Vec<_>>() })
}

/// SARIF 2.1.0, as OASIS defines it.
pub fn sarif(findings: &[Finding], version: &str) -> Value {
    let level = |severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let rule = |rule: &Rule| {
        json!({
            "id": rule.id,
            "shortDescription": { "text": rule.title },
            "fullDescription": { "text": rule.explanation },
            "help": { "text": rule.fix },
            "defaultConfiguration": { "level": level(rule.severity) },
        })
    };
    let result = |finding: &Finding| {
        let mut result = json!({
            "ruleId": finding.rule.id,
            "level": level(finding.severity),
            "message": { "text": format!("{}: {} {}", finding.subject, finding.consequence, finding.because) },
            "locations": [{
                "physicalLocation": {
                    "artifactLocation": { "uri": finding.place.file },
                    "region": { "startLine": finding.place.line.max(1) },
                },
            }],
        });
        if let Some(reason) = &finding.accepted {
            result["suppressions"] = json!([{ "kind": "external", "justification": reason }]);
        }
        result
    };
    json!({
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [{
            "tool": { "driver": {
                "name": "rehearse",
                "version": version,
                "rules": catalogue().map(rule).collect::<Vec<_>>(),
            }},
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}
