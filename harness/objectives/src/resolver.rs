//! Which of several documented figures rules, and why.
//!
//! Documents contradict each other. The kind of a document decides: what was promised to users outranks what wakes
//! somebody up, and both outrank a test, a plan or a default. Of two of one kind the stricter rules: whoever keeps it
//! keeps the other, too. A figure that is meant under other conditions contradicts nobody.

use record::Claim;
use serde::Deserialize;
use units::Nanos;

use crate::ObjectiveError;
use crate::document::{Claims, Stated};
use crate::objective::{Goal, Objective, plain, time};

/// Kinds of document, the one that rules first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    SloDocument,
    Alert,
    LoadTest,
    Policy,
    Runbook,
    Plan,
    Strategy,
    Default,
}

impl Kind {
    fn one(self) -> String {
        let article = if matches!(self, Self::SloDocument | Self::Alert) { "an" } else { "a" };
        format!("{article} {}", self.named())
    }

    const fn named(self) -> &'static str {
        match self {
            Self::SloDocument => "SLO document",
            Self::Alert => "alert",
            Self::LoadTest => "load test",
            Self::Policy => "policy",
            Self::Runbook => "runbook",
            Self::Plan => "plan",
            Self::Strategy => "strategy",
            Self::Default => "default of a program",
        }
    }
}

/// A figure that can be compared with others of its sort.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Time(Nanos),
    /// A share that may be bad.
    Share(f64),
    Rate(f64),
}

impl Figure {
    fn parse(text: &str) -> Option<Self> {
        if let Some(number) = text.strip_suffix("/s") {
            return number.trim().parse().ok().map(Self::Rate);
        }
        if let Some(number) = text.strip_suffix('%') {
            // Availability is the share of good requests.
            let share: f64 = number.trim().trim_start_matches('+').parse().ok().filter(|share| *share >= 0.0)?;
            return Some(Self::Share(if share > 90.0 { 1.0 - share / 100.0 } else { share / 100.0 }));
        }
        text.replace(' ', "").parse().ok().map(Self::Time)
    }

    fn of(objective: &Objective) -> Option<Self> {
        Some(match objective.goal {
            Goal::Share { limit: Some(limit), .. } => Self::Time(limit),
            Goal::Share { allowed, .. } => Self::Share(allowed),
            Goal::Rate { per_second, .. } => Self::Rate(per_second),
            Goal::Down { within, .. } | Goal::Recovery { within } => Self::Time(within),
            Goal::Usage { share, .. } => Self::Share(share),
            Goal::Regression { growth, .. } => Self::Share(growth),
            Goal::Count { .. } => return None,
        })
    }

    fn number(self) -> f64 {
        match self {
            Self::Time(time) => time.as_secs_f64(),
            Self::Share(share) => share,
            Self::Rate(rate) => rate,
        }
    }

    fn same(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other) && (self.number() - other.number()).abs() < 1e-9
    }

    fn told(self) -> String {
        match self {
            Self::Time(limit) => time(limit),
            Self::Share(share) => format!("{} %", plain(share * 100.0)),
            Self::Rate(rate) => format!("{}/s", plain(rate)),
        }
    }
}

/// What documents say about an objective, in the order of their weight. The objective must be of the figure that
/// rules, or it is refused: `place` tells where a claim stands.
pub(crate) fn resolve(
    document: &Claims,
    objective: &Objective,
    place: impl Fn(serde_saphyr::Location) -> String,
) -> Result<Vec<Claim>, ObjectiveError> {
    let mut stated: Vec<(Figure, &Stated)> = Vec::new();
    for claim in &document.spec.claims {
        let Some(figure) = Figure::parse(&claim.figure.value) else {
            return Err(ObjectiveError::Impossible {
                place: place(claim.figure.referenced),
                what: "figure",
                found: claim.figure.value.clone(),
                rule: "write a time (800ms), a share (1 %) or a rate (5/s)",
            });
        };
        stated.push((figure, claim));
    }
    let weight = |(figure, claim): &(Figure, &Stated)| (claim.when.is_some(), claim.kind.value, figure.number());
    stated.sort_by(|one, other| weight(one).partial_cmp(&weight(other)).unwrap_or(std::cmp::Ordering::Equal));
    let Some((ruling, ruler)) = stated.first().copied() else { return Ok(Vec::new()) };
    if !Figure::of(objective).is_some_and(|figure| figure.same(ruling)) {
        return Err(ObjectiveError::Overruled {
            place: place(ruler.figure.referenced),
            objective: objective.name.clone(),
            figure: objective.figure(),
            ruling: ruler.figure.value.clone(),
            kind: ruler.kind.value.named(),
        });
    }
    let others = stated.len() > 1;
    let why = |index: usize, figure: Figure, claim: &Stated| match (&claim.when, index) {
        (Some(when), _) => format!("meant under other conditions: {when}"),
        (None, 0) if !others => "the only figure".to_owned(),
        (None, 0) => format!("rules: of these documents the {} weighs most", ruler.kind.value.named()),
        (None, _) if figure.same(ruling) => "says the same".to_owned(),
        (None, _) if claim.kind.value == ruler.kind.value => {
            format!("overruled: of two of the same kind the stricter rules, {}", ruling.told())
        }
        (None, _) => format!("overruled: {} outranks {}", ruler.kind.value.one(), claim.kind.value.one()),
    };
    let claim = |(index, (figure, claim)): (usize, &(Figure, &Stated))| Claim {
        figure: claim.figure.value.clone(),
        source: claim.source.clone(),
        kind: claim.kind.value.named().into(),
        rules: index == 0,
        why: why(index, *figure, claim),
    };
    Ok(stated.iter().enumerate().map(claim).collect())
}
