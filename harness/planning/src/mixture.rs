//! Sessions in fixed shares, at any rate and in any shape over time.
//!
//! Owns the load of a capacity question: the journeys of a scenario in the shares that it has while it is judged, or
//! in shares that the user names. The number of client addresses grows with the rate, so that a client's own rate,
//! and with it what a limiter makes of it, stays what the scenario says.

use record::PhaseKind;
use scenarios::{ArrivalLaw, JourneyPlan, LoadPlan, Phase, Segment, Stream};
use units::{Nanos, Rate};

/// Journeys and the share of sessions that each has.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// Index into the plan's journeys, and its share; shares sum up to 1.
    pub shares: Vec<(u16, f64)>,
    /// Sessions a second in the scenario while it is judged, at their mean; what the shares were taken from.
    pub nominal: f64,
    /// Client addresses for each session a second.
    clients: f64,
}

/// Why there is no such mixture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixtureError {
    /// The scenario judges no load.
    #[error("scenario {scenario} has no load while it is judged: take one with a phase of kind `steady`")]
    NoLoad {
        /// Its name.
        scenario: String,
    },
    /// A journey is not there.
    #[error("there is no journey `{name}` in this scenario; it has: {known}")]
    UnknownJourney {
        /// As asked.
        name: String,
        /// What there is.
        known: String,
    },
    /// A share is none.
    #[error("`{text}` is no mixture: write e.g. core-flow=60%,ai=40%, with shares above 0 that sum up to 100 %")]
    Shares {
        /// As asked.
        text: String,
    },
}

/// How the rate goes over time. Every phase that is not named steady is shown and not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The rate climbs from a tenth of its value to all of it.
    pub climb: Nanos,
    /// It stays, so that autoscalers and queues settle.
    pub settle: Nanos,
    /// It stays, and is judged.
    pub steady: Nanos,
    /// Whether the climb is judged, too.
    pub judge_climb: bool,
}

/// A rate is never made of fewer addresses than this: a handful of them would meet their own limits by chance.
const FEWEST_CLIENTS: f64 = 50.0;

impl Mixture {
    /// The shares that `plan` has over its steady phases. Closed load counts with its users' shares.
    pub fn of(plan: &LoadPlan, scenario: &str) -> Result<Self, MixtureError> {
        let judged: Vec<&Phase> = plan.phases.iter().filter(|phase| phase.kind == PhaseKind::Steady).collect();
        let seconds: f64 = judged.iter().map(|phase| (phase.end - phase.start).as_secs_f64()).sum();
        let mut sessions = vec![0.0; plan.journeys.len()];
        for stream in &plan.streams {
            sessions[usize::from(stream.journey)] += judged.iter().map(|phase| within(stream, phase)).sum::<f64>();
        }
        for crowd in &plan.crowds {
            let weights: f64 = crowd.mix.iter().map(|share| f64::from(share.weight)).sum();
            for share in &crowd.mix {
                // A user takes about a session every ten seconds; only the shares of it count.
                sessions[usize::from(share.journey)] +=
                    crowd.user_seconds() / 10.0 * f64::from(share.weight) / weights.max(1.0);
            }
        }
        let total: f64 = sessions.iter().sum();
        if seconds <= 0.0 || total <= 0.0 {
            return Err(MixtureError::NoLoad { scenario: scenario.to_owned() });
        }
        let shares = sessions.iter().enumerate().filter(|(_, count)| **count > 0.0);
        let nominal = total / seconds;
        Ok(Self {
            shares: shares.map(|(journey, count)| (journey as u16, count / total)).collect(),
            nominal,
            clients: (f64::from(plan.clients) / nominal).max(1.0),
        })
    }

    /// The mixture that the user writes, such as `core-flow=60%,ai=40%`.
    pub fn with_shares(&self, text: &str, journeys: &[JourneyPlan]) -> Result<Self, MixtureError> {
        let wrong = || MixtureError::Shares { text: text.to_owned() };
        let mut shares = Vec::new();
        for part in text.split(',') {
            let (name, share) = part.split_once('=').unwrap_or((part, "100%"));
            let name = name.trim();
            let journey = journeys.iter().position(|journey| journey.name == name).ok_or_else(|| {
                let known: Vec<_> = journeys.iter().map(|journey| journey.name.as_str()).collect();
                MixtureError::UnknownJourney { name: name.to_owned(), known: known.join(", ") }
            })?;
            let percent: f64 = share.trim().trim_end_matches('%').trim().parse().map_err(|_| wrong())?;
            if !(percent > 0.0 && percent <= 100.0) {
                return Err(wrong());
            }
            shares.push((journey as u16, percent / 100.0));
        }
        let total: f64 = shares.iter().map(|(_, share)| share).sum();
        if (total - 1.0).abs() > 1e-6 {
            return Err(wrong());
        }
        Ok(Self { shares, ..self.clone() })
    }

    /// Requests that a session makes, in the mean, if all goes well.
    pub fn requests(&self, plan: &LoadPlan) -> f64 {
        let of = |journey: u16| plan.journeys[usize::from(journey)].steps.len() as f64;
        self.shares.iter().map(|(journey, share)| share * of(*journey)).sum()
    }

    /// How long a session lasts from its first request to its last answer, if every answer takes `response`: what
    /// Little's law wants to know.
    pub fn session(&self, plan: &LoadPlan, response: Nanos) -> Nanos {
        let of = |journey: u16| -> f64 {
            let steps = &plan.journeys[usize::from(journey)].steps;
            let thinking: f64 = steps.iter().skip(1).map(|step| plan.step(*step).think.mean().as_secs_f64()).sum();
            thinking + response.as_secs_f64() * steps.len() as f64
        };
        Nanos::from_secs_f64(self.shares.iter().map(|(journey, share)| share * of(*journey)).sum())
    }

    /// Client addresses that `rate` sessions a second come from.
    pub fn clients(&self, rate: f64) -> u32 {
        libm::ceil((self.clients * rate).max(FEWEST_CLIENTS)) as u32
    }

    /// The load of `rate` sessions a second in this `shape`, with the journeys and steps of `plan`.
    pub fn load(&self, plan: &LoadPlan, rate: f64, shape: Shape) -> LoadPlan {
        let clients = self.clients(rate);
        let mut first = 0;
        let mut streams = Vec::new();
        for (journey, share) in &self.shares {
            let own = (libm::ceil(f64::from(clients) * share) as u32).max(1);
            let full = Rate::from_milli(libm::round(rate * share * 1e3) as u64);
            let tenth = Rate::from_milli(full.milli() / 10);
            let climb = Segment { duration: shape.climb, from: tenth, to: full };
            let level = Segment::constant(shape.settle + shape.steady, full);
            let segments = [climb, level].into_iter().filter(|segment| segment.duration > Nanos::ZERO);
            streams.push(Stream {
                journey: *journey,
                law: ArrivalLaw::Poisson,
                first_client: first,
                clients: own,
                rate: segments.collect(),
                times: Vec::new(),
                retry: None,
            });
            first += own;
        }
        let of_climb = if shape.judge_climb { PhaseKind::Steady } else { PhaseKind::WarmUp };
        let parts = [
            ("climb", of_climb, shape.climb),
            ("settle", of_climb, shape.settle),
            ("steady", PhaseKind::Steady, shape.steady),
        ];
        let mut phases = Vec::new();
        let mut start = Nanos::ZERO;
        for (name, kind, duration) in parts.into_iter().filter(|(.., duration)| *duration > Nanos::ZERO) {
            phases.push(Phase { name: name.into(), kind, start, end: start + duration });
            start += duration;
        }
        LoadPlan { phases, streams, crowds: Vec::new(), clients: first, ..plan.clone() }
    }
}

/// Sessions that a stream begins within a phase, in the mean.
fn within(stream: &Stream, phase: &Phase) -> f64 {
    let replayed = stream.times.iter().filter(|at| (phase.start..phase.end).contains(at)).count();
    let mut start = Nanos::ZERO;
    let mut area = replayed as f64;
    for segment in &stream.rate {
        let end = start + segment.duration;
        let (from, to) = (start.max(phase.start), end.min(phase.end));
        if from < to {
            let rate = |at: Nanos| {
                let share = (at - start).as_secs_f64() / segment.duration.as_secs_f64();
                segment.from.as_f64() + (segment.to.as_f64() - segment.from.as_f64()) * share
            };
            area += f64::midpoint(rate(from), rate(to)) * (to - from).as_secs_f64();
        }
        start = end;
    }
    area
}

#[cfg(test)]
mod tests {
    use scenarios::Scenario;
    use units::Seed;

    use super::*;

    fn nightly() -> LoadPlan {
        let shipped = scenarios::find("nightly").unwrap();
        Scenario::parse(shipped.text, shipped.file).unwrap().load(Seed::new(1))
    }

    const SHAPE: Shape = Shape {
        climb: Nanos::from_secs(10),
        settle: Nanos::from_secs(20),
        steady: Nanos::from_secs(60),
        judge_climb: false,
    };

    #[test]
    fn a_mixture_has_the_shares_of_what_is_judged() {
        let plan = nightly();
        let mixture = Mixture::of(&plan, "nightly").unwrap();
        assert!((mixture.shares.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
        let of = |name: &str| {
            let journey = plan.journeys.iter().position(|journey| journey.name == name).unwrap() as u16;
            mixture.shares.iter().find(|(own, _)| *own == journey).unwrap().1
        };
        assert!(of("core-flow") > of("documents") && of("dashboard") > of("documents"));
    }

    #[test]
    fn a_load_has_its_rate_and_its_phases() {
        let plan = nightly();
        let mixture = Mixture::of(&plan, "nightly").unwrap();
        let load = mixture.load(&plan, 40.0, SHAPE);
        assert_eq!(load.end(), Nanos::from_secs(90));
        let sessions: f64 = load.streams.iter().map(Stream::sessions).sum();
        let want = 40.0 * (0.55 * 10.0 + 80.0);
        assert!((sessions - want).abs() < 0.5, "{sessions} sessions instead of {want}");
        assert_eq!(load.clients, load.streams.iter().map(|stream| stream.clients).sum::<u32>());
    }

    #[test]
    fn shares_may_be_named() {
        let plan = nightly();
        let mixture = Mixture::of(&plan, "nightly").unwrap();
        let named = mixture.with_shares("core-flow=60%, ai=40%", &plan.journeys).unwrap();
        assert_eq!(named.shares.len(), 2);
        for (text, part) in [
            ("core-flow=60%", "sum up"),
            ("core-flow=0%,ai=100%", "above 0"),
            ("core=100%", "core-flow, dashboard"),
            ("core-flow=NaN%", "mixture"),
        ] {
            let error = mixture.with_shares(text, &plan.journeys).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
