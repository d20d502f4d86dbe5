//! What a run says for and against an objective, before anybody asks how sure that must be.

use objectives::{Goal, Objective, Window};
use record::{Bad, Cause, EventKind, WatchCounts, Worst};
use units::Nanos;

use super::windows::{Axis, Counted};
use super::{Played, outages, round};
use crate::statistics::bursts::{Effect, LEVEL};
use crate::statistics::{binomial, poisson};

/// What a run says about an objective.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Chance of seeing so little, or less, if the objective were broken: small is good.
    pub(crate) keeps: f64,
    /// Chance of seeing so much, or more, if it were kept: small is bad.
    pub(crate) breaks: f64,
    /// Nothing was estimated: all of it was seen.
    pub(crate) exact: bool,
    pub(crate) n: u64,
    pub(crate) beyond: u64,
    /// The counts that decide: of the worst window, or of all.
    pub(crate) deciding: (u64, u64),
    pub(crate) allowed: f64,
    pub(crate) effect: Effect,
    pub(crate) judged_us: u64,
    pub(crate) worst: Option<Worst>,
    /// What was seen of a figure that is no share, in its own unit.
    pub(crate) seen: Option<f64>,
    /// How the windows and the run go together.
    pub(crate) label: Option<String>,
    /// Why it cannot be decided, where samples are not what is missing.
    pub(crate) reason: Option<String>,
    /// Share of bad requests over the whole run, faults included.
    pub(crate) whole: Option<f64>,
}

impl Evidence {
    pub(crate) fn of(played: &Played, objective: &Objective) -> Self {
        let watches = &played.recording.watches;
        let none = WatchCounts::default();
        let watch = watches.iter().find(|watch| watch.objective == objective.name).unwrap_or(&none);
        let axis = Axis::of(watch, played.load_end_us);
        let all = axis.count(0, axis.length);
        let (n, beyond) =
            watch.blocks.iter().fold((0, 0), |(n, bad), block| (n + u64::from(block.n), bad + u64::from(block.beyond)));
        let base = Self {
            n,
            beyond,
            deciding: (n, beyond),
            keeps: 1.0,
            breaks: 1.0,
            judged_us: axis.length,
            ..Self::default()
        };
        match &objective.goal {
            Goal::Share { bad, allowed, .. } => {
                let effect = effect(played, watch, &objective.windows, axis.length);
                let whole = base.whole(played, *bad);
                let base = Self { allowed: *allowed, effect, whole, ..base };
                base.share(&axis, watch, &objective.windows, all)
            }
            Goal::Rate { per_second, .. } => base.rate(played, &axis, watch, *per_second, objective.windows.first()),
            Goal::Count { most, .. } => base.exactly(Some(beyond as f64).filter(|_| n > 0), beyond <= *most),
            Goal::Recovery { within } => {
                let last = watch.blocks.iter().rev().find(|block| block.beyond > 0);
                let from = watch.spans_us.first().map_or(0, |span| span.0 / 1_000_000);
                let seconds = last.map_or(0, |block| (u64::from(block.at_s) + 1).saturating_sub(from));
                let held = Nanos::from_secs(seconds) <= *within;
                base.exactly(Some(seconds as f64).filter(|_| n > 0), held)
            }
            Goal::Down { what, within } => {
                let (longest, watched) = outages::longest(played, *what);
                let held = longest < within.as_micros();
                let base = Self { judged_us: watched, ..base };
                base.exactly(Some(longest as f64 / 1e6).filter(|_| watched > 0), held)
            }
            // Nobody selects them for a run: they are never judged by one.
            Goal::Usage { .. } | Goal::Regression { .. } => {
                Self { reason: Some("one run alone does not show it".into()), ..base }
            }
        }
    }

    /// Decided by what was seen, if anything was.
    fn exactly(self, seen: Option<f64>, held: bool) -> Self {
        let (keeps, breaks) = match (seen, held) {
            (None, _) => (1.0, 1.0),
            (Some(_), true) => (0.0, 1.0),
            (Some(_), false) => (1.0, 0.0),
        };
        Self { exact: true, keeps, breaks, seen, ..self }
    }

    fn share(mut self, axis: &Axis, watch: &WatchCounts, windows: &[Window], all: Counted) -> Self {
        if self.n == 0 {
            return self;
        }
        let chances = |counted: Counted, effect: Effect| {
            let (k, n) = (counted.beyond as f64, counted.n as f64);
            let ((many, of_all), (few, of)) = (effect.keeps(k, n), effect.breaks(k, n));
            (binomial::at_most(many, of_all, self.allowed), binomial::at_least(few, of, self.allowed))
        };
        let us = |window: &Window| window.length.as_micros();
        let (long, short) = match windows {
            [] => (u64::MAX, u64::MAX),
            [one] => (us(one), us(one)),
            [long, short, ..] => (us(long), us(short)),
        };
        self.label = label(windows, axis.length);
        if short >= axis.length {
            let whole = Counted { n: self.n, beyond: self.beyond, ..all };
            (self.keeps, self.breaks) = chances(whole, self.effect);
            return self;
        }
        if short < u64::from(watch.width_s.max(1)) * 4_000_000 {
            self.reason = Some(format!(
                "the recorder kept blocks of {} s in a run this long: too coarse for windows of {}",
                watch.width_s,
                crate::words::span(short)
            ));
            return self;
        }
        let positions = axis.windows(short);
        let (mut keeps, mut breaks) = (0.0_f64, 1.0_f64);
        let mut worst = None;
        for (from, to) in &positions {
            let near = axis.count(*from, *to);
            if near.n == 0 {
                continue;
            }
            // Both windows must be bad for the objective to be broken, and one good one keeps it.
            let (kept, broken) = if long == short {
                chances(near, self.effect)
            } else {
                let far = axis.count(to.saturating_sub(long), *to);
                let (near, far) = (chances(near, self.effect), chances(far, self.effect));
                ((2.0 * near.0.min(far.0)).min(1.0), near.1.max(far.1))
            };
            if kept > keeps || worst.is_none() {
                worst = Some(near);
            }
            keeps = keeps.max(kept);
            breaks = breaks.min(broken);
        }
        let Some(worst) = worst else { return self };
        self.deciding = (worst.n, worst.beyond);
        self.worst = Some(Worst {
            of: positions.len() as u32,
            start_us: axis.instant(worst.from),
            end_us: axis.instant(worst.to),
            n: worst.n,
            beyond: worst.beyond,
        });
        // All windows must be kept: the worst decides as it stands. One broken one is enough: each had its chance.
        self.keeps = keeps;
        self.breaks = (breaks * positions.len() as f64).min(1.0);
        self
    }

    fn rate(
        mut self,
        played: &Played,
        axis: &Axis,
        watch: &WatchCounts,
        per_second: f64,
        window: Option<&Window>,
    ) -> Self {
        if self.n == 0 || axis.length == 0 {
            return self;
        }
        // Seconds in which nothing was bad are seconds, too.
        let effect = effect(played, watch, window.map(std::slice::from_ref).unwrap_or_default(), axis.length);
        let width = window.map_or(u64::MAX, |window| window.length.as_micros());
        self.label = label(window.map(std::slice::from_ref).unwrap_or_default(), axis.length);
        let positions = axis.windows(width.min(axis.length));
        let (mut keeps, mut breaks) = (0.0_f64, 1.0_f64);
        let mut most: Option<Counted> = None;
        for (from, to) in &positions {
            let counted = axis.count(*from, *to);
            let (k, mean) = (counted.beyond as f64, per_second * (to - from) as f64 / 1e6);
            let ((many, _), (few, of)) = (effect.keeps(k, f64::INFINITY), effect.breaks(k, mean));
            keeps = keeps.max(poisson::at_most(many, mean / effect.feared));
            breaks = breaks.min(poisson::at_least(few, of));
            most = most.filter(|most| most.beyond >= counted.beyond).or(Some(counted));
        }
        let Some(most) = most else { return self };
        let seconds = (most.to - most.from) as f64 / 1e6;
        self.worst = (positions.len() > 1).then(|| Worst {
            of: positions.len() as u32,
            start_us: axis.instant(most.from),
            end_us: axis.instant(most.to),
            n: most.n,
            beyond: most.beyond,
        });
        self.deciding = (most.n, most.beyond);
        self.seen = Some(most.beyond as f64 / seconds);
        Self { effect, keeps, breaks: (breaks * positions.len() as f64).min(1.0), ..self }
    }

    /// Share of bad requests of the run, from its very beginning to its end; `None` for what is no budget's business.
    fn whole(&self, played: &Played, bad: Bad) -> Option<f64> {
        let counts = |cause: Cause| match bad {
            Bad::Failed => cause != Cause::None,
            Bad::Status(500, 599) => {
                matches!(cause, Cause::ServerError | Cause::Gateway | Cause::Refused | Cause::Reset | Cause::Timeout)
            }
            _ => false,
        };
        let provoked = |cause: Cause| cause == Cause::Limited;
        let (mut n, mut beyond) = (0, 0);
        for step in &played.recording.steps {
            let rejected: u64 = step.failed.iter().filter(|(cause, _)| provoked(**cause)).map(|(_, n)| *n).sum();
            n += step.n - rejected;
            beyond += step
                .failed
                .iter()
                .filter(|(cause, _)| counts(**cause) && !provoked(**cause))
                .map(|(_, n)| *n)
                .sum::<u64>();
        }
        let looked_at = matches!(bad, Bad::Failed | Bad::Status(500, 599));
        (n > 0 && looked_at).then(|| round(beyond.max(self.beyond) as f64 / n as f64))
    }
}

/// `10 min judged over 2 min 10 s`, `in each of 3 windows of 10 min`.
fn label(windows: &[Window], judged_us: u64) -> Option<String> {
    let long = windows.first()?;
    let told = crate::words::window(&long.text);
    if long.length.as_micros() > judged_us {
        return Some(format!("{told} judged over {}", crate::words::span(judged_us)));
    }
    Some(match windows {
        [_, short] => format!("in windows of {told} and {} at once", crate::words::window(&short.text)),
        _ => format!("in every window of {told}"),
    })
}

/// What bursts make of what is judged: over the whole run, or within its windows.
fn effect(played: &Played, watch: &WatchCounts, windows: &[Window], judged_us: u64) -> Effect {
    let short = windows.last().map_or(u64::MAX, |window| window.length.as_micros());
    let blocks = (short / 1_000_000 / u64::from(watch.width_s.max(1))) as usize;
    let level = if short < judged_us { blocks.min(LEVEL) } else { LEVEL };
    Effect::of(&watch.blocks, &planned(played), level)
}

/// Seconds at which a fault began or ended.
fn planned(played: &Played) -> Vec<u32> {
    let meant = |kind: &EventKind| matches!(kind, EventKind::FaultBegan { .. } | EventKind::FaultEnded { .. });
    let events = played.chronicle.events().iter().filter(|event| meant(&event.kind));
    events.map(|event| (event.at_us / 1_000_000) as u32).collect()
}
