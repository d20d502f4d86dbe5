//! Why an objective was refused. Every message says what, where, and what to do.

/// Why documents are no objectives, or an objective cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    /// The text is no YAML, or a value has the wrong type or is missing.
    #[error("{place}: {message}")]
    Malformed {
        /// `file:line`.
        place: String,
        /// What the parser says.
        message: String,
    },
    /// A key that nobody reads would be a promise that nobody keeps.
    #[error("{place}: unknown key `{key}`{}", hint(.nearest.as_deref(), .known))]
    UnknownKey {
        /// `file:line`.
        place: String,
        /// As written.
        key: String,
        /// The known key that is spelled most like it.
        nearest: Option<String>,
        /// Every key that may stand there.
        known: Vec<String>,
    },
    /// A value that cannot be meant.
    #[error("{place}: {what} is `{found}`: {rule}")]
    Impossible {
        /// `file:line`.
        place: String,
        /// Which value, by its key.
        what: &'static str,
        /// As written.
        found: String,
        /// What it must be.
        rule: &'static str,
    },
    /// Two documents claim the same.
    #[error("{place}: `{name}` is {claim} twice: keep one")]
    Twice {
        /// `file:line` of the second.
        place: String,
        /// Name of the SLO.
        name: String,
        /// `defined` or `gated`.
        claim: &'static str,
    },
    /// A gate names an SLO that is not there.
    #[error("{place}: no SLO is named `{name}`{}", hint(.nearest.as_deref(), .known))]
    NoSuchSlo {
        /// `file:line`.
        place: String,
        /// As written.
        name: String,
        /// The SLO that is spelled most like it.
        nearest: Option<String>,
        /// Every SLO of the file.
        known: Vec<String>,
    },
    /// The scenario has no step that the objective could judge.
    #[error("objective `{objective}` judges flow `{flow}`, of which the scenario has no step; it has: {}", .known.join(", "))]
    NoSuchFlow {
        /// Name of the objective.
        objective: String,
        /// Flow it judges.
        flow: String,
        /// Flows of the scenario.
        known: Vec<String>,
    },
}

fn hint(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; known: {}", known.join(", ")),
    }
}

/// Of `known`, what is spelled most like `name`, if anything is.
pub(crate) fn nearest(name: &str, known: &[String]) -> Option<String> {
    let likeness = |candidate: &String| strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase());
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.75).then(|| best.clone())
}
