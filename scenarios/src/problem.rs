//! What is wrong with a scenario: where, what, and what would do. All of it at once.

use std::fmt;

/// A place in a file, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl From<serde_saphyr::Location> for Place {
    fn from(at: serde_saphyr::Location) -> Self {
        Self { line: at.line() as u32, column: at.column() as u32 }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, and what would do.
    pub what: String,
}

/// Why a scenario cannot be played: everything that is wrong with it, in the order of its lines. Its text shows each
/// line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// Which file.
    pub file: String,
    /// At least one.
    pub problems: Vec<Problem>,
    lines: Vec<String>, // of the file, one for each problem
}

impl ScenarioError {
    pub(crate) fn new(file: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        let line = |problem: &Problem| text.lines().nth((problem.place.line as usize).wrapping_sub(1)).unwrap_or("");
        Self { file: file.to_owned(), lines: problems.iter().map(|p| line(p).to_owned()).collect(), problems }
    }
}

impl std::error::Error for ScenarioError {}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (problem, line)) in self.problems.iter().zip(&self.lines).enumerate() {
            let Place { line: number, column } = problem.place;
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}{}:{number}:{column}: {}", self.file, problem.what)?;
            if !line.trim().is_empty() {
                let number = number.to_string();
                let (margin, before) = (" ".repeat(number.len()), " ".repeat((column as usize).saturating_sub(1)));
                write!(f, "\n  {number} | {}\n  {margin} | {before}^", line.trim_end())?;
            }
        }
        Ok(())
    }
}

/// `: did you mean …?` with the candidate that is fewest edits away if it is near, or else the candidates if they are
/// few.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = candidates.into_iter().collect();
    all.sort_unstable();
    all.dedup();
    let lower = word.to_lowercase();
    let best = all.iter().map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), *c)).min();
    match best {
        Some((distance, name)) if distance <= 1 + word.chars().count() / 3 => format!(": did you mean `{name}`?"),
        Some(_) if all.len() <= 12 => format!(": it has {}", all.join(", ")),
        _ => String::new(),
    }
}
