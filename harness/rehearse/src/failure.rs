//! A command that could not be done, and the exit code that says of what kind.

use record::ExitCode;
use stage::StageError;

/// What is told at the end, once.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ExitCode,
    /// What, to what, and now what; then each cause.
    pub(crate) chain: Vec<String>,
}

impl Failure {
    pub(crate) fn new(code: ExitCode, error: &dyn std::error::Error) -> Self {
        let mut chain = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        Self { code, chain }
    }

    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(ExitCode::Internal, error)
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: ExitCode::Usage, chain: vec![text.into()] }
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
    objectives::ObjectiveError => ExitCode::Usage,
    model::ProfileError => ExitCode::Internal,
    // The platform as declared cannot come up.
    simulation::SimulationError => ExitCode::Manifests,
    // A full disk or a folder that is not ours: nothing can run here.
    record::FolderError => ExitCode::Backend,
    reports::ReportError => ExitCode::Backend,
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
