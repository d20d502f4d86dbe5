//! While a run goes on: its files are written, and whoever looks at the terminal sees what happens.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};

use record::{Event, EventKind, FolderError, Listener, RunFolder, Second};
use units::Nanos;

/// Writes events and interval histograms into the run folder, and a line for each thing worth knowing to the
/// terminal. The first file that cannot be written is kept as an error; the run goes on.
pub(crate) struct Progress {
    pub(crate) folder: RunFolder,
    intervals: Option<File>,
    voice: Voice,
    load_start: Option<Nanos>,
    /// Wanted and ready replicas by workload, for the time before load.
    standing: BTreeMap<String, (u32, u32)>,
    substituted: bool,
    pub(crate) trouble: Option<FolderError>,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Silent,
    /// A line now and then.
    Plain,
    /// A line that renews itself.
    Terminal,
}

const INTERVALS: &str = "intervals.hlog";
/// Seconds between two plain lines.
const PLAIN_EVERY: u64 = 10;

impl Progress {
    pub(crate) fn new(folder: RunFolder, quiet: bool) -> Result<Self, FolderError> {
        let path = folder.path().join(INTERVALS);
        let intervals = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| FolderError::Write { path, source })?;
        let voice = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Voice::Silent,
            (false, true) => Voice::Terminal,
            (false, false) => Voice::Plain,
        };
        Ok(Self {
            folder,
            intervals: Some(intervals),
            voice,
            load_start: None,
            standing: BTreeMap::new(),
            substituted: false,
            trouble: None,
        })
    }

    /// A line of its own.
    pub(crate) fn say(&self, text: &str) {
        match self.voice {
            Voice::Silent => {}
            Voice::Plain => tell(&format!("{text}\n")),
            Voice::Terminal => tell(&format!("\r\x1b[K{text}\n")),
        }
    }

    fn status(&self, text: &str) {
        if self.voice == Voice::Terminal {
            tell(&format!("\r\x1b[K{text}"));
        }
    }

    /// Minutes and seconds since load began, or before it.
    fn at(&self, now: Nanos) -> String {
        match self.load_start {
            Some(start) if now >= start => {
                let seconds = (now - start).as_secs();
                format!("{:>2}:{:02}", seconds / 60, seconds % 60)
            }
            _ => " ".repeat(5), // the stand-up is told in seconds of its own
        }
    }
}

impl Listener for Progress {
    fn event(&mut self, event: &Event) {
        if let Err(error) = self.folder.event(event) {
            self.trouble.get_or_insert(error);
        }
        let now = Nanos::from_micros(event.at_us);
        if let EventKind::PlatformReady = event.kind {
            self.load_start = Some(now.ceil_to_second() + Nanos::from_secs(1));
            self.say(&format!("ready after {:.1} s; load begins", now.as_secs_f64()));
        }
        let text = match &event.kind {
            EventKind::PhaseStarted { phase } => format!("phase {phase}"),
            EventKind::LoadEnded => "load has ended".into(),
            EventKind::Scaling(d) if d.desired != d.current => {
                let read: Vec<_> = d.metrics.iter().map(crate::told::reading).collect();
                format!("HPA {} {} → {}: {}", d.workload, d.current, d.desired, read.join(", "))
            }
            EventKind::ReplicasChanged { workload, desired, ready }
                if self.load_start.is_some_and(|start| now >= start) =>
            {
                format!("{workload}: {ready} of {desired} ready")
            }
            EventKind::ReplicasChanged { workload, desired, ready } => {
                self.standing.insert(workload.clone(), (*desired, *ready));
                let sum = self.standing.values().fold((0, 0), |sum, pods| (sum.0 + pods.0, sum.1 + pods.1));
                return self.status(&format!("standing up: {} of {} pods ready", sum.1, sum.0));
            }
            EventKind::PodUnschedulable { pod, reason } => format!("pod {pod} is pending: {reason}"),
            EventKind::PodRestarted { pod, reason } => format!("pod {pod} restarted: {reason}"),
            EventKind::RolloutStarted { workload, revision } => {
                format!("{workload}: rollout of revision {revision} begins")
            }
            EventKind::RolloutComplete { workload, revision } => {
                format!("{workload}: rollout of revision {revision} is complete")
            }
            EventKind::DeadlineExceeded { workload, message } => format!("{workload}: {message}"),
            EventKind::CreateFailed { workload, reason } => format!("{workload}: {reason}"),
            EventKind::PodEvicted { pod, reason } => format!("pod {pod} evicted: {reason}"),
            EventKind::EvictionRefused { pod, reason, .. } => format!("pod {pod} not evicted: {reason}"),
            EventKind::NodeChanged { node, state } => format!("node {node} is {state}"),
            EventKind::Substituted { what, by } if !self.substituted => {
                self.substituted = true; // one line tells; events.jsonl has them all
                format!("{what} became {by}, and so for others of its kind")
            }
            _ => return,
        };
        self.say(&format!("{}  {text}", self.at(now)));
    }

    fn second(&mut self, second: &Second<'_>) {
        if let Some(Err(source)) = self.intervals.as_mut().map(|file| file.write_all(second.intervals)) {
            let path = self.folder.path().join(INTERVALS);
            self.intervals = None;
            self.trouble.get_or_insert(FolderError::Write { path, source });
        }
        let line = format!("{}  {} requests, {} failed", self.at(second.now), second.offered, second.failed);
        match self.voice {
            Voice::Terminal => self.status(&line),
            Voice::Plain if second.offered > 0 && second.now.as_secs().is_multiple_of(PLAIN_EVERY) => self.say(&line),
            Voice::Plain | Voice::Silent => {}
        }
    }
}

/// Standard error is for the conversation; if nobody reads it, the run goes on all the same.
fn tell(text: &str) {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).ok();
}
