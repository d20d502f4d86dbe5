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
        /// `defined`, `gated` or `claimed`.
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
    /// A one-liner that cannot be meant.
    #[error("{place}: {message}")]
    Line {
        /// `file:line`, or where else it stands.
        place: String,
        /// What is wrong and what would do.
        message: String,
    },
    /// The figure of an SLO is not the one that rules among those that are documented.
    #[error("{place}: `{objective}` promises {figure}, but {ruling} of the {kind} rules: correct one of them")]
    Overruled {
        /// `file:line` of the ruling claim.
        place: String,
        /// Name of the SLO.
        objective: String,
        /// What it promises.
        figure: String,
        /// The ruling figure.
        ruling: String,
        /// What kind of document states that.
        kind: &'static str,
    },
    /// What was asked for looks at something that the scenario does not have.
    #[error("objective `{objective}`: the scenario has no {what} `{name}`{}", hint(.nearest.as_deref(), .known))]
    NoSuch {
        /// As asked for.
        objective: String,
        /// `flow`, `step`, `phase` or `fault`.
        what: &'static str,
        /// As written.
        name: String,
        /// What is spelled most like it.
        nearest: Option<String>,
        /// Everything there is.
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
