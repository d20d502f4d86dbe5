//! A scenario that was read: what can be checked without a platform is checked here, all of it at once.

use std::collections::BTreeMap;

use units::{Nanos, Seed};

use crate::check::Checker;
use crate::faults::Planned;
use crate::file::{Document, ExpectFile};
use crate::problem::{Place, Problem, ScenarioError};
use crate::tree::{Tree, misshapen};
use crate::{Abort, Clause, LoadPlan};

/// A scenario whose load is complete, and whose faults and expectations wait for a platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Where it was read from.
    pub file: String,
    /// Its name.
    pub name: String,
    /// The question it answers.
    pub question: String,
    /// First 12 hexadecimal digits of a hash over its text.
    pub digest: String,
    pub(crate) text: String,
    pub(crate) plan: LoadPlan,
    scale: BTreeMap<String, f64>,
    pub(crate) steps: Vec<Place>, // where each step's request stands
    pub(crate) faults: Vec<Planned>,
    pub(crate) expect: Vec<ExpectFile>,
    pub(crate) contract: Vec<Clause>,
    pub(crate) abort: Option<Abort>,
    objectives: Vec<(String, Place)>,
}

impl Scenario {
    /// Reads a scenario that needs no other file, and refuses what cannot be played whatever the platform is.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        Self::parse_with(text, file, &|name| Err(format!("`{name}` cannot be read: this scenario stands alone")))
    }

    /// The same, for a scenario that may name files of recorded instants: `read` gives the text of one, by the name
    /// that the scenario uses, or says why it cannot.
    pub fn parse_with(
        text: &str,
        file: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, ScenarioError> {
        Self::parse_lasting(text, file, read, None)
    }

    /// The same with steady phases that last `steady` together: each is longer or shorter by the same factor, and with
    /// it whatever its load does over the phase. A fault stays as long as it is, and one that would not end within the
    /// run is refused.
    pub fn parse_lasting(
        text: &str,
        file: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
        steady: Option<Nanos>,
    ) -> Result<Self, ScenarioError> {
        let refuse = |problems| ScenarioError::new(file, text, problems);
        let broken = |error: &serde_saphyr::Error| {
            let place = error.location().map_or(Place::default(), Place::from);
            let words = error.without_snippet().to_string();
            vec![Problem { place, what: words.split_whitespace().collect::<Vec<_>>().join(" ") }]
        };
        let tree: Tree = serde_saphyr::from_str(text).map_err(|error| refuse(broken(&error)))?;
        let schema = crate::schema();
        let mut checker = Checker::new(read);
        checker.steady = steady;
        misshapen(&tree, &schema, &schema, &mut checker.problems);
        let document: Document = match serde_saphyr::from_str(text) {
            Ok(document) => document,
            Err(_) if !checker.problems.is_empty() => return Err(refuse(checker.problems)),
            Err(error) => return Err(refuse(broken(&error))),
        };
        checker.get(&document.api_version);
        checker.get(&document.kind);
        let name = checker.get(&document.metadata.name).unwrap_or_default();
        let question = checker.get(&document.metadata.question).unwrap_or_default();
        let (plan, steps) = checker.load(&document.spec);
        let faults = checker.faults(&document.spec.faults, &plan);
        checker.expectations(&document.spec.expect, &plan);
        let contract = checker.contract(&document.spec);
        let scale = checker.scale(&document.spec.scale);
        let abort = document.spec.abort.as_ref().and_then(|abort| checker.abort(abort));
        let lines = document.spec.objectives.iter();
        let objectives = lines.filter_map(|line| Some((checker.get(line)?, line.place))).collect();
        if !checker.problems.is_empty() {
            return Err(refuse(checker.problems));
        }
        Ok(Self {
            file: file.to_owned(),
            name,
            question,
            digest: digest(text),
            text: text.to_owned(),
            plan,
            scale,
            steps,
            faults,
            expect: document.spec.expect,
            contract,
            abort,
            objectives,
        })
    }

    /// The load plan of this scenario under `seed`.
    pub fn load(&self, seed: Seed) -> LoadPlan {
        LoadPlan { seed, ..self.plan.clone() }
    }

    /// How much of its load an overlay takes, where the scenario says so; 0 < share ≤ 1.
    pub fn scale_on(&self, overlay: &str) -> Option<f64> {
        self.scale.get(overlay).copied()
    }

    /// Its file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names of its faults, in order of the file.
    pub fn faults(&self) -> impl Iterator<Item = &str> {
        self.faults.iter().map(|fault| fault.name.as_str())
    }

    /// Its own objectives, each a line and where it stands. What they mean, the crate `objectives` knows.
    pub fn objectives(&self) -> &[(String, Place)] {
        &self.objectives
    }

    /// An error about this scenario.
    pub fn refuse(&self, problems: Vec<Problem>) -> ScenarioError {
        ScenarioError::new(&self.file, &self.text, problems)
    }
}

/// FNV-1a, 48 bits of it: enough to tell two files apart, and the same everywhere.
fn digest(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{:012x}", hash >> 16)
}
