//! One objective: whom it looks at, what it limits, when, and whether it decides.

use record::{Bad, Claim, PhaseKind};
use units::Nanos;

/// A promise that a run can keep or break.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Objective {
    /// Such as `core-latency`.
    pub name: String,
    /// For people, such as `Core flow, p95`.
    pub title: String,
    /// Whose requests it looks at.
    pub requests: Requests,
    /// What it limits.
    pub goal: Goal,
    /// The windows it is documented for: none, one, or a long and a short one that must both be bad.
    pub windows: Vec<Window>,
    /// Where the figure is documented.
    pub source: String,
    /// What documents say about it, the ruling figure first.
    pub claims: Vec<Claim>,
    /// Whether it decides the exit code.
    pub gating: bool,
    /// How sure a pass or a fail must be, such as 0.95.
    pub confidence: f64,
    /// Kinds of phase it judges.
    pub phases: Vec<PhaseKind>,
    /// Names of phases it judges instead.
    pub named_phases: Vec<String>,
    /// How it stands to faults.
    pub faults: Faults,
    /// In which scenarios alone it is judged; none: in all.
    pub scenarios: Vec<String>,
    /// What a reader must know about it.
    pub note: Option<String>,
    /// What exactly is judged, in words; known once it was [`select`](crate::select)ed for a scenario.
    pub scope: String,
}

/// Whose requests are looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Requests {
    /// Everybody's.
    All,
    /// Those of a flow.
    Flow(String),
    /// Those of a step.
    Step(String),
    /// Those of a flow of that name or, where there is none, of a step.
    Named(String),
}

/// What is limited.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Goal {
    /// The share of bad requests.
    Share {
        /// What is bad.
        bad: Bad,
        /// The limit of [`Bad::Late`].
        limit: Option<Nanos>,
        /// The share that may be bad, above 0 and below 1.
        allowed: f64,
    },
    /// Bad requests a second.
    Rate {
        /// What is bad.
        bad: Bad,
        /// How many there may be.
        per_second: f64,
    },
    /// The number of bad requests, all of which are seen.
    Count {
        /// What is bad.
        bad: Bad,
        /// How many there may be.
        most: u64,
    },
    /// The longest time that something is down.
    Down {
        /// What.
        what: Subject,
        /// How long it may be, without its end.
        within: Nanos,
    },
    /// How soon after the beginning of a fault requests are answered again.
    Recovery {
        /// How soon.
        within: Nanos,
    },
    /// The share of a node's capacity that is in use all the time for a window.
    Usage {
        /// Of what.
        of: Resource,
        /// How much may be.
        share: f64,
    },
    /// By how much a percentile may grow against a baseline.
    Regression {
        /// Which percentile, in percent.
        percent: f64,
        /// By which share.
        growth: f64,
    },
}

/// What can be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Subject {
    /// Any pod that runs and does not get ready, or is ready no more.
    Target,
    /// The database.
    Database,
    /// The cache.
    Cache,
}

/// What a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Resource {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
}

/// How an objective stands to the faults of a scenario. Rollouts and drains are no faults: what is done on purpose and
/// with care must not be noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Faults {
    /// Judged before them and once they are healed.
    #[default]
    Outside,
    /// Judged as if there were none.
    Include,
    /// Judged during those of a kind, such as `rollingUpdate`, or of a name.
    During(String),
    /// Judged from the beginning of one on, by its name; of every one if it has none.
    After(Option<String>),
}

/// A length of time as documents write it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// Such as `10m`.
    pub text: String,
    /// The same.
    pub length: Nanos,
}

impl Window {
    /// Reads OpenSLO's shorthand: a count above 0 and one of `s m h d w M Q Y`. A month is 30 days.
    pub fn parse(text: &str) -> Option<Self> {
        const DAY: u64 = 86_400;
        let number = text.trim_end_matches(['s', 'm', 'h', 'd', 'w', 'M', 'Q', 'Y']);
        let count: u64 = number.parse().ok().filter(|count| *count > 0 && *count < 100_000)?;
        let unit = match &text[number.len()..] {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => DAY,
            "w" => 7 * DAY,
            "M" => 30 * DAY,
            "Q" => 90 * DAY,
            "Y" => 365 * DAY,
            _ => return None,
        };
        Some(Self { text: text.to_owned(), length: Nanos::from_secs(count * unit) })
    }
}

impl Objective {
    /// Within which time an answer is good, where it limits that.
    pub fn limit(&self) -> Option<Nanos> {
        match self.goal {
            Goal::Share { bad: Bad::Late, limit, .. } => limit,
            _ => None,
        }
    }

    /// The period of its error budget: a share that is promised for a day or longer.
    pub fn budget_days(&self) -> Option<f64> {
        let day = Nanos::from_secs(86_400);
        let window = self.windows.first().filter(|window| window.length >= day)?;
        matches!(self.goal, Goal::Share { .. }).then(|| window.length.as_secs_f64() / day.as_secs_f64())
    }

    /// The figure as one would say it: `p95 < 800 ms`, `5xx ≤ 1 %`.
    pub fn figure(&self) -> String {
        let percent = |share: f64| format!("{} %", plain(share * 100.0));
        match &self.goal {
            Goal::Share { bad: Bad::Late, limit: Some(limit), allowed } => {
                format!("p{} ≤ {}", plain((1.0 - allowed) * 100.0), time(*limit))
            }
            Goal::Share { bad, allowed, .. } => format!("{} ≤ {}", named(*bad), percent(*allowed)),
            Goal::Rate { bad, per_second } => format!("{} ≤ {}/s", named(*bad), plain(*per_second)),
            Goal::Count { bad, most } => format!("{} ≤ {most} requests", named(*bad)),
            Goal::Down { what, within } => format!("{} < {}", what.named(), time(*within)),
            Goal::Recovery { within } => format!("recovered within {}", time(*within)),
            Goal::Usage { of, share } => format!("{} ≤ {}", of.named(), percent(*share)),
            Goal::Regression { percent: p, growth } => {
                format!("p{} less than {} above the baseline", plain(*p), percent(*growth))
            }
        }
    }
}

impl Subject {
    /// `target down`.
    pub const fn named(self) -> &'static str {
        match self {
            Self::Target => "target down",
            Self::Database => "database down",
            Self::Cache => "redis down",
        }
    }
}

impl Resource {
    /// `node cpu`.
    pub const fn named(self) -> &'static str {
        match self {
            Self::Cpu => "node cpu",
            Self::Memory => "node memory",
        }
    }
}

/// `failed`, `5xx`, `403`, `rejected`, `late`.
pub(crate) fn named(bad: Bad) -> String {
    match bad {
        Bad::Late => "late or failed".into(),
        Bad::Failed => "failed".into(),
        Bad::Rejected => "rejected".into(),
        Bad::Status(first, last) if last == first + 99 => format!("{}xx", first / 100),
        Bad::Status(first, _) => first.to_string(),
    }
}

/// `800 ms`, `3 s`, `2 min`.
pub(crate) fn time(time: Nanos) -> String {
    match time.as_millis() {
        ms if ms < 1_000 || !ms.is_multiple_of(100) => format!("{ms} ms"),
        ms if ms < 60_000 || !ms.is_multiple_of(60_000) => format!("{} s", plain(ms as f64 / 1e3)),
        ms => format!("{} min", ms / 60_000),
    }
}

/// Without the dust of binary fractions.
pub(crate) fn plain(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
