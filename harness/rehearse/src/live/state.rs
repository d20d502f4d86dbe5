//! A run as far as it is: what every view shows.

use std::collections::{BTreeMap, VecDeque};

use objectives::{Goal, Objective};
use record::{Cause, DriverState, Event, EventKind, PhaseSpan, Second, Window};
use serde::Serialize;
use units::Nanos;

use super::words;

/// Lines of the log that are kept.
const LOG: usize = 200;
/// Windows over which the present figures are taken.
const LATEST: usize = 10;
/// Windows that may still change, because their requests are under way.
const OPEN: usize = 40;

/// What does not change while it runs.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Head {
    pub(crate) scenario: String,
    pub(crate) question: String,
    /// Which platform, in a few words.
    pub(crate) platform: String,
    pub(crate) backend: String,
    pub(crate) seed: u64,
    /// From the start of load on.
    pub(crate) phases: Vec<PhaseSpan>,
    /// Bounds of each autoscaler, by workload.
    pub(crate) bounds: BTreeMap<String, (u32, u32)>,
    #[serde(skip)]
    pub(crate) objectives: Vec<Objective>,
}

/// How far a run is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Live {
    pub(crate) head: Head,
    pub(crate) stage: Stage,
    /// The run's clock, microseconds.
    pub(crate) now_us: u64,
    pub(crate) load_start_us: Option<u64>,
    /// Wanted and ready, by workload.
    pub(crate) replicas: BTreeMap<String, (u32, u32)>,
    /// Width of a point, microseconds.
    pub(crate) width_us: u64,
    pub(crate) points: Vec<Point>,
    pub(crate) latest: Latest,
    pub(crate) offered: u64,
    /// Failures since load began.
    pub(crate) failed: BTreeMap<Cause, u64>,
    pub(crate) lights: Vec<Light>,
    pub(crate) driver: Option<DriverState>,
    pub(crate) log: VecDeque<Entry>,
    #[serde(skip)]
    substituted: bool,
}

/// Which part of its life a run is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    StandingUp,
    Load,
    Ending,
    Over,
}

/// A window of the timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Point {
    pub(crate) offered: u64,
    pub(crate) ok: u64,
    pub(crate) p50_us: u64,
    pub(crate) p95_us: u64,
    pub(crate) p99_us: u64,
}

impl From<&Window> for Point {
    fn from(w: &Window) -> Self {
        Self { offered: w.offered, ok: w.succeeded, p50_us: w.p50_us, p95_us: w.p95_us, p99_us: w.p99_us }
    }
}

/// The present figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Latest {
    pub(crate) offered_per_s: f64,
    pub(crate) ok_per_s: f64,
    pub(crate) p50_us: u64,
    pub(crate) p95_us: u64,
    pub(crate) p99_us: u64,
}

/// How an objective stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Light {
    pub(crate) title: String,
    pub(crate) gating: bool,
    /// Such as `800 ms`; nothing if it only asks for success.
    pub(crate) limit_us: Option<u64>,
    pub(crate) n: u64,
    pub(crate) beyond: u64,
    /// The share that may be beyond.
    pub(crate) allowed: f64,
    pub(crate) lamp: Lamp,
}

/// What an objective looks like by now. The verdict is for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lamp {
    /// Nothing was judged yet.
    Off,
    Good,
    /// Too close, or too few.
    Unsure,
    Bad,
}

impl Lamp {
    /// Two standard errors either way: for the eye, where the report has exact bounds.
    fn of(n: u64, beyond: u64, allowed: f64) -> Self {
        if n == 0 {
            return Self::Off;
        }
        let share = beyond as f64 / n as f64;
        let error = 2.0 * (allowed * (1.0 - allowed) / n as f64).sqrt();
        if share + error <= allowed {
            Self::Good
        } else if share - error > allowed {
            Self::Bad
        } else {
            Self::Unsure
        }
    }
}

/// How an entry is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tone {
    Plain,
    Good,
    Change,
    Bad,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    /// Since load began, such as `1:23`; empty before it.
    pub(crate) at: String,
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

impl Live {
    pub(crate) fn new(head: Head) -> Self {
        Self {
            lights: lit(&head.objectives).map(|objective| light(objective, 0, 0)).collect(),
            head,
            stage: Stage::StandingUp,
            now_us: 0,
            load_start_us: None,
            replicas: BTreeMap::new(),
            width_us: 1_000_000,
            points: Vec::new(),
            latest: Latest::default(),
            offered: 0,
            failed: BTreeMap::new(),
            driver: None,
            log: VecDeque::new(),
            substituted: false,
        }
    }

    /// Follows an event; answers the line that tells it, if it is worth one.
    pub(crate) fn event(&mut self, event: &Event) -> Option<Entry> {
        self.now_us = self.now_us.max(event.at_us);
        let standing_up = self.stage == Stage::StandingUp;
        match &event.kind {
            EventKind::PlatformReady => {
                self.stage = Stage::Load;
                let start = Nanos::from_micros(event.at_us).ceil_to_second() + Nanos::from_secs(1);
                self.load_start_us = Some(start.as_micros());
            }
            EventKind::LoadEnded | EventKind::LoadAborted { .. } => self.stage = Stage::Ending,
            EventKind::ReplicasChanged { workload, desired, ready } => {
                let known = self.replicas.insert(workload.clone(), (*desired, *ready));
                if standing_up || known == Some((*desired, *ready)) {
                    return None; // told as a sum
                }
            }
            EventKind::Substituted { .. } if std::mem::replace(&mut self.substituted, true) => return None,
            _ => {}
        }
        let (tone, text) = words::words(event)?;
        Some(self.note(tone, text))
    }

    /// Nothing more happens.
    pub(crate) fn over(&mut self) {
        self.stage = Stage::Over;
    }

    /// Adds a line to the log.
    pub(crate) fn note(&mut self, tone: Tone, text: String) -> Entry {
        let entry = Entry { at: self.at(), tone, text };
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(entry.clone());
        entry
    }

    /// A second has passed.
    pub(crate) fn second(&mut self, second: &Second<'_>) {
        self.now_us = second.now.as_micros();
        (self.offered, self.driver) = (second.offered, second.driver.or(self.driver));
        // A timeline of wider windows begins anew.
        let (_, width, _) = second.recorder.tail(0);
        let most = if width.as_micros() == self.width_us { OPEN } else { usize::MAX };
        let (first, _, windows) = second.recorder.tail(most);
        self.width_us = width.as_micros();
        if first > self.points.len() {
            return; // cannot be: windows come one a second
        }
        self.points.truncate(first);
        self.points.extend(windows.iter().map(Point::from));
        let latest = second.recorder.latest(LATEST);
        let settled = self.points.len().saturating_sub(1); // the last one has just begun
        let rates = &self.points[settled.saturating_sub(5)..settled];
        let seconds = (rates.len() as f64 * width.as_secs_f64()).max(f64::MIN_POSITIVE);
        self.latest = Latest {
            offered_per_s: rates.iter().map(|point| point.offered as f64).sum::<f64>() / seconds,
            ok_per_s: rates.iter().map(|point| point.ok as f64).sum::<f64>() / seconds,
            p50_us: latest.p50_us,
            p95_us: latest.p95_us,
            p99_us: latest.p99_us,
        };
        self.failed = second.recorder.failures();
        let counts: BTreeMap<&str, (u64, u64)> = second.recorder.watched().collect();
        let counted = |objective: &Objective| {
            let (n, beyond) = counts.get(objective.name.as_str()).copied().unwrap_or_default();
            light(objective, n, beyond)
        };
        self.lights = lit(&self.head.objectives).map(counted).collect();
    }

    /// Wanted and ready over all workloads.
    pub(crate) fn pods(&self) -> (u32, u32) {
        self.replicas.values().fold((0, 0), |sum, pods| (sum.0 + pods.0, sum.1 + pods.1))
    }

    /// How long load is meant to be on, microseconds.
    pub(crate) fn length_us(&self) -> u64 {
        self.head.phases.last().map_or(0, |phase| phase.end_us)
    }

    /// How long it has been on.
    pub(crate) fn elapsed_us(&self) -> Option<u64> {
        self.load_start_us.and_then(|start| self.now_us.checked_sub(start))
    }

    /// Minutes and seconds since load began; nothing before it.
    pub(crate) fn at(&self) -> String {
        self.elapsed_us().map(clock).unwrap_or_default()
    }
}

/// `1:23`.
pub(crate) fn clock(us: u64) -> String {
    let seconds = us / 1_000_000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Those that have a lamp: shares of requests. The others are for the end.
fn lit(objectives: &[Objective]) -> impl Iterator<Item = &Objective> {
    objectives.iter().filter(|objective| matches!(objective.goal, Goal::Share { .. }))
}

fn light(objective: &Objective, n: u64, beyond: u64) -> Light {
    let allowed = if let Goal::Share { allowed, .. } = objective.goal { allowed } else { 0.0 };
    Light {
        title: objective.title.clone(),
        gating: objective.gating,
        limit_us: objective.limit().map(Nanos::as_micros),
        n,
        beyond,
        allowed,
        lamp: Lamp::of(n, beyond, allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lamp_is_lit_when_the_sample_says_something() {
        for (case, n, beyond, want) in [
            ("nothing yet", 0, 0, Lamp::Off),
            ("too few", 20, 0, Lamp::Unsure),
            ("well within", 2_000, 20, Lamp::Good),
            ("at the limit", 2_000, 100, Lamp::Unsure),
            ("well beyond", 2_000, 200, Lamp::Bad),
        ] {
            assert_eq!(Lamp::of(n, beyond, 0.05), want, "{case}");
        }
    }

    #[test]
    fn standing_up_is_told_as_a_sum_and_later_changes_one_by_one() {
        let mut live = Live::new(Head::default());
        let replicas = |at_us, desired, ready| {
            let workload = "auth-service".to_owned();
            Event { at_us, kind: EventKind::ReplicasChanged { workload, desired, ready } }
        };
        assert_eq!(live.event(&replicas(1, 3, 2)), None);
        assert_eq!((live.pods(), live.at()), ((3, 2), String::new()));
        let ready = live.event(&Event { at_us: 5_500_000, kind: EventKind::PlatformReady });
        assert_eq!(ready.unwrap().text, "ready after 5.5 s; load begins");
        let told = live.event(&replicas(90_000_000, 3, 3)).unwrap();
        assert_eq!((told.at.as_str(), told.text.as_str()), ("1:23", "auth-service: 3 of 3 ready"));
        assert_eq!(live.event(&replicas(91_000_000, 3, 3)), None, "nothing changed");
    }
}
