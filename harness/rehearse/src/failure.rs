//! A command that could not be done, and the exit code that says of what kind.

use record::ExitCode;
use stage::StageError;

/// What is told at the end, once.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ExitCode,
    /// What, to what, and now what; then each cause.
    pub(crate) chain: Vec<String>,
    /// The source lines in question.
    pub(crate) excerpt: String,
    /// What else is wrong.
    pub(crate) more: Vec<Failure>,
}

/// Errors that are told at once; the others are counted.
const TOLD_MAX: usize = 10;

impl Failure {
    pub(crate) fn new(code: ExitCode, error: &dyn std::error::Error) -> Self {
        let mut chain = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        Self { code, chain, excerpt: String::new(), more: Vec::new() }
    }

    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(ExitCode::Internal, error)
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::of_text(ExitCode::Usage, text.into())
    }

    /// Something that this machine cannot do.
    pub(crate) fn of_backend(text: String) -> Self {
        Self::of_text(ExitCode::Backend, text)
    }

    /// A run that would say nothing about the platform.
    pub(crate) fn of_invalid(text: String) -> Self {
        Self::of_text(ExitCode::Invalid, text)
    }

    /// All errors of a load, each with its source lines.
    pub(crate) fn of_manifests(loaded: &manifests::Loaded, errors: &[manifests::ManifestError]) -> Self {
        let one = |error: &manifests::ManifestError| {
            let excerpt = error.place().and_then(|place| crate::lint::excerpt(loaded, place));
            Self { excerpt: excerpt.unwrap_or_default(), ..Self::new(ExitCode::Manifests, error) }
        };
        let mut all = errors.iter().take(TOLD_MAX).map(one);
        let Some(mut first) = all.next() else {
            return Self::of_text(ExitCode::Internal, "the manifests were refused without a reason".to_owned());
        };
        first.more = all.collect();
        if let Some(left) = errors.len().checked_sub(TOLD_MAX).filter(|left| *left > 0) {
            let text = format!("the manifests have {left} more errors; correct these first");
            first.more.push(Self::of_text(ExitCode::Manifests, text));
        }
        first
    }

    pub(crate) fn of_text(code: ExitCode, text: String) -> Self {
        Self { code, chain: vec![text], excerpt: String::new(), more: Vec::new() }
    }
}

macro_rules! failures {
    ($($error:ty => $code:expr),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new($code, &error)
            }
        }
    )*};
}

failures! {
    manifests::ManifestError => ExitCode::Manifests,
    scenarios::ScenarioError => ExitCode::Usage,
    scenarios::ResolveError => ExitCode::Usage,
    scenarios::VariationError => ExitCode::Usage,
    objectives::ObjectiveError => ExitCode::Usage,
    model::ProfileError => ExitCode::Internal,
    // The platform as declared cannot come up.
    simulation::SimulationError => ExitCode::Manifests,
    // A full disk or a folder that is not ours: nothing can run here.
    record::FolderError => ExitCode::Backend,
    reports::ReportError => ExitCode::Backend,
    // A folder that is no run, or a history that is not ours.
    comparison::ComparisonError => ExitCode::Usage,
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        let code = match &error {
            StageError::NeverReady { .. } => ExitCode::Manifests,
            StageError::Interrupted => ExitCode::Interrupted,
            StageError::TooManyClients { .. } => ExitCode::Usage,
            _ => ExitCode::Backend,
        };
        Self::new(code, &error)
    }
}
