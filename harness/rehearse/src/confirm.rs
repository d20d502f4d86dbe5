//! Points of a plan, or drills of a release, played live: virtual time has answered, and a backend is to agree.
//!
//! A point is an ordinary run of that backend. What the backend does not play, or this machine does not carry, is told
//! with its reason and is no failure: virtual time has answered.

use record::{Conclusion, Confirmed, ExitCode, NotConfirmed, RunFolder};
use scenarios::{FaultKind, Plan};

use crate::args::{LiveArgs, Means, PlayArgs};
use crate::backend::{Backend, refusal};
use crate::failure::Failure;
use crate::play::{self, Stage};
use crate::resolve::Rehearsal;
use crate::told;

/// One thing that is to come out as virtual time says.
pub(crate) struct Point {
    /// A name for its folder.
    pub(crate) name: String,
    /// What is played, in words.
    pub(crate) what: String,
    pub(crate) plan: Plan,
    /// How it comes out in virtual time.
    pub(crate) expected: Conclusion,
    /// The command that plays it again.
    pub(crate) command: String,
}

/// What a backend said, and what it could not be asked.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) confirmed: Vec<Confirmed>,
    pub(crate) not: Vec<NotConfirmed>,
}

/// A live backend that is to agree.
pub(crate) struct Confirming {
    backend: Backend,
    stage: Stage,
    not: Vec<NotConfirmed>,
}

impl Confirming {
    /// Sees to it that the backend can be had, before virtual time is asked anything. `plans` are those that may be
    /// played, each with its name; which of them are not played there is told now.
    pub(crate) fn begin<'a>(
        backend: Backend,
        means: &Means,
        rehearsal: &Rehearsal,
        args: &PlayArgs,
        plans: impl Iterator<Item = (&'a str, &'a Plan)>,
    ) -> Result<Self, Failure> {
        let mut not = Vec::new();
        let mut first = None;
        for (what, plan) in plans {
            match not_confirmed(backend, what, plan)? {
                Some(refused) => not.push(refused),
                None => first = first.or(Some(plan)),
            }
        }
        if !args.quiet {
            not.iter().for_each(tell);
        }
        let live = LiveArgs { backend, means: means.clone(), ..LiveArgs::default() };
        let stage = Stage::of(backend, &live)?;
        if let Some(plan) = first {
            stage.prepare(&mut rehearsal.playing(plan.clone(), args, backend, String::new())?)?;
        }
        Ok(Self { backend, stage, not })
    }

    /// Whether the backend plays a plan of this name.
    pub(crate) fn plays(&self, what: &str) -> bool {
        !self.not.iter().any(|refused| refused.what == what)
    }

    /// What this machine carries now: requests a second that a point may ask for.
    pub(crate) fn measure(&mut self) -> Result<f64, Failure> {
        Ok(self.stage.measure()?.unwrap_or(f64::INFINITY))
    }

    /// Plays each point once into a folder of its own below `folder`, after this machine was measured.
    pub(crate) fn ask(
        mut self,
        rehearsal: &Rehearsal,
        args: &PlayArgs,
        points: Vec<Point>,
        folder: &RunFolder,
    ) -> Result<Answers, Failure> {
        let args = PlayArgs { out: folder.path().to_owned(), history: None, extend: None, ..args.clone() };
        let mut playable = Vec::new();
        for point in points {
            match self.stage.beyond(&point.plan) {
                None => playable.push(point),
                Some(why) => self.not.push(self.refused(point.what, why, &args)),
            }
        }
        if !args.quiet && !playable.is_empty() {
            let load: f64 = playable.iter().map(|point| point.plan.load.end().as_secs_f64()).sum();
            let (count, name) = (playable.len(), self.backend.named());
            told::aside(&format!("confirming {count} points on {name}: {:.0} minutes of load\n", load / 60.0));
        }
        let mut confirmed = Vec::new();
        for point in playable {
            confirmed.push(self.play(rehearsal, &args, point, folder)?);
        }
        Ok(Answers { confirmed, not: self.not })
    }

    fn refused(&self, what: String, why: String, args: &PlayArgs) -> NotConfirmed {
        let refused = NotConfirmed { backend: self.backend.named().into(), what, why };
        if !args.quiet {
            tell(&refused);
        }
        refused
    }

    fn play(
        &self,
        rehearsal: &Rehearsal,
        args: &PlayArgs,
        point: Point,
        folder: &RunFolder,
    ) -> Result<Confirmed, Failure> {
        let mut own = rehearsal.playing(point.plan, args, self.backend, point.command)?;
        self.stage.prepare(&mut own)?;
        let played = play::point(args, &own, &self.stage, &format!("confirm-{}", point.name))?;
        let conclusion = played.result.conclusion;
        if conclusion == Conclusion::Interrupted {
            return Err(Failure::of_text(ExitCode::Interrupted, "interrupted while it was confirmed".to_owned()));
        }
        let confirmed = Confirmed {
            backend: self.backend.named().into(),
            what: point.what,
            expected: point.expected,
            conclusion,
            agrees: point.expected == conclusion,
            p95_us: played.result.percentile(95.0),
            report: played.report.strip_prefix(folder.path()).unwrap_or(&played.report).display().to_string(),
        };
        if !args.quiet {
            told::aside(&format!("  {}: {}\n", confirmed.what, confirmed.outcome()));
        }
        Ok(confirmed)
    }
}

/// Why `backend` cannot confirm a plan, if it cannot.
pub(crate) fn not_confirmed(backend: Backend, what: &str, plan: &Plan) -> Result<Option<NotConfirmed>, Failure> {
    if backend == Backend::Simulated {
        let live = Backend::live();
        return Err(Failure::usage(format!("--confirm simulated: virtual time is what answers; name one of {live}")));
    }
    let refused = |why| NotConfirmed { backend: backend.named().into(), what: what.to_owned(), why };
    let of_nodes = |kind: &FaultKind| {
        matches!(
            kind,
            FaultKind::NodeDrain { .. }
                | FaultKind::NodeLoss { .. }
                | FaultKind::ZoneLoss { .. }
                | FaultKind::Partition { .. }
        )
    };
    let elsewhere = backend == Backend::Kubernetes && plan.faults.iter().any(|fault| of_nodes(&fault.kind));
    let elsewhere = elsewhere.then(|| "the plan is about other nodes than that cluster's".to_owned());
    Ok(refusal(plan, backend).map(|refusal| refusal.why).or(elsewhere).map(refused))
}

/// Says that a backend cannot be asked.
pub(crate) fn tell(refused: &NotConfirmed) {
    told::aside(&format!("  {refused}\n"));
}
