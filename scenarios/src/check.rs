//! From the file's load to a [`LoadPlan`], gathering everything that is wrong on the way.

use std::collections::{BTreeMap, BTreeSet};

use record::{PhaseKind, StepId};
use units::{Distribution, Nanos, Purpose, Rate, Seed};

use crate::crowd::{COMEBACKS_MAX, USERS_MAX};
use crate::file::{AbortFile, JourneyFile, LoadFile, ReplayFile, RetryFile, Spec};
use crate::problem::{Place, Problem, nearest};
use crate::shape::{headcounts, segments};
use crate::word::{At, Percent, Shape};
use crate::{
    Abort, ArrivalLaw, Clause, Crowd, JourneyPlan, LoadPlan, Phase, RetryPolicy, Segment, Share, Step, Stream,
};

/// Clients that a plan may have: each needs an address of its own.
pub(crate) const CLIENTS_MAX: u64 = 1 << 20;
/// Instants that a replay may have.
const REPLAY_MAX: usize = 10_000_000;

/// Stands for a duration that could not be read.
const UNKNOWN: Nanos = Nanos::from_secs(366 * 86_400);

/// What is wrong so far, and how other files are read.
pub(crate) struct Checker<'a> {
    pub(crate) problems: Vec<Problem>,
    pub(crate) faults: BTreeSet<String>, // names of all, those included that are wrong
    read: &'a dyn Fn(&str) -> Result<String, String>,
    /// How long the steady phases last together, if not as long as written.
    pub(crate) steady: Option<Nanos>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(read: &'a dyn Fn(&str) -> Result<String, String>) -> Self {
        Self { problems: Vec::new(), faults: BTreeSet::new(), read, steady: None }
    }

    pub(crate) fn wrong(&mut self, place: Place, what: impl Into<String>) {
        self.problems.push(Problem { place, what: what.into() });
    }

    /// The value of a word, or `None` and one problem more.
    pub(crate) fn get<T: Clone>(&mut self, word: &At<T>) -> Option<T> {
        match &word.value {
            Ok(value) => Some(value.clone()),
            Err(what) => {
                self.wrong(word.place, what.clone());
                None
            }
        }
    }

    fn optional<T: Clone>(&mut self, word: Option<&At<T>>) -> Option<T> {
        word.and_then(|word| self.get(word))
    }

    /// What the gateway is held to.
    pub(crate) fn contract(&mut self, spec: &Spec) -> Vec<Clause> {
        let usual = spec.host.value.clone().unwrap_or_default();
        let mut clauses = Vec::new();
        for file in &spec.contract {
            let texts = |checker: &mut Self, map: &BTreeMap<String, At<String>>| {
                let pair =
                    |(name, value): (&String, &At<String>)| Some((name.to_ascii_lowercase(), checker.get(value)?));
                map.iter().filter_map(pair).collect()
            };
            let request = self.get(&file.request);
            clauses.push(Clause {
                name: self.get(&file.name).unwrap_or_default(),
                door: self.optional(file.at.as_ref()).unwrap_or_default(),
                method: request.as_ref().map_or(String::new(), |request| request.method.clone()),
                path: request.map_or(String::new(), |request| request.path),
                host: self.optional(file.host.as_ref()).unwrap_or_else(|| usual.clone()),
                send: texts(self, &file.send),
                payload: self.optional(file.payload.as_ref()),
                token: self.optional(file.token.as_ref()).unwrap_or(false),
                status: self.get(&file.status).map_or(Vec::new(), |statuses| statuses.0),
                server: self.optional(file.server.as_ref()),
                location: self.optional(file.location.as_ref()),
                headers: texts(self, &file.headers),
                lacks: file.lacks.iter().filter_map(|name| Some(self.get(name)?.to_ascii_lowercase())).collect(),
            });
        }
        clauses
    }

    /// The load side, and where each step's request stands.
    pub(crate) fn load(&mut self, spec: &Spec) -> (LoadPlan, Vec<Place>) {
        let mut plan = LoadPlan {
            seed: Seed::default(),
            phases: self.phases(spec),
            streams: Vec::new(),
            crowds: Vec::new(),
            journeys: Vec::new(),
            steps: Vec::new(),
            clients: 0,
            timeout: self.get(&spec.timeout).map_or(Nanos::ZERO, |timeout| timeout.0),
        };
        let host = self.get(&spec.host).unwrap_or_default();
        let mut places = Vec::new();
        for (name, journey) in &spec.journeys {
            self.journey(name, journey, &host, &mut plan, &mut places);
        }
        let journeys: BTreeSet<&str> = spec.journeys.keys().map(String::as_str).collect();
        let before = self.problems.len();
        let mut clients = 0_u64;
        for load in &spec.load {
            clients += u64::from(self.source(load, &journeys, &mut plan));
        }
        let place = spec.host.place;
        if clients > CLIENTS_MAX {
            self.wrong(place, format!("all loads together have {clients} clients: {CLIENTS_MAX} is the most"));
        }
        let silent = plan.streams.iter().map(Stream::sessions).sum::<f64>() < 1.0;
        if silent && plan.crowds.iter().all(|crowd| crowd.peak() == 0) && self.problems.len() == before {
            let first = spec.load.first().and_then(|load| load.journey.as_ref()).map_or(place, |word| word.place);
            self.wrong(first, "nobody ever arrives: give a load a rate above 0, or users");
        }
        (plan, places)
    }

    fn phases(&mut self, spec: &Spec) -> Vec<Phase> {
        let (mut start, mut phases) = (Nanos::ZERO, Vec::<Phase>::new());
        if spec.phases.is_empty() {
            self.wrong(spec.host.place, "there is no phase: a scenario has at least one");
        }
        for phase in &spec.phases {
            let name = self.get(&phase.name).unwrap_or_default();
            if phases.iter().any(|other| other.name == name) {
                self.wrong(phase.name.place, format!("two phases are called `{name}`: rename one"));
            }
            let kind = self.get(&phase.kind).unwrap_or(PhaseKind::Steady);
            // A wrong duration must not put everything else outside the run.
            let end = start + self.get(&phase.duration).map_or(UNKNOWN, |duration| duration.0);
            phases.push(Phase { name, kind, start, end });
            start = end;
        }
        if let Some(steady) = self.steady {
            self.stretch(&mut phases, steady, spec.host.place);
        }
        phases
    }

    /// Makes the steady phases last `steady` together; the others move.
    fn stretch(&mut self, phases: &mut [Phase], steady: Nanos, place: Place) {
        let length = |phase: &Phase| phase.end - phase.start;
        let is_steady = |phase: &&Phase| phase.kind == PhaseKind::Steady;
        let written: Nanos = phases.iter().filter(is_steady).map(length).sum();
        if written == Nanos::ZERO {
            return self.wrong(place, format!("a duration of {steady} is asked for, and there is no steady phase"));
        }
        let factor = steady.as_secs_f64() / written.as_secs_f64();
        let mut start = Nanos::ZERO;
        for phase in phases {
            let mut lasts = phase.end - phase.start;
            if phase.kind == PhaseKind::Steady {
                // Whole milliseconds: what people read should add up.
                lasts = Nanos::from_millis(((lasts.as_secs_f64() * factor * 1e3).round() as u64).max(1));
            }
            (phase.start, phase.end) = (start, start + lasts);
            start = phase.end;
        }
    }

    fn journey(&mut self, name: &str, file: &JourneyFile, host: &str, plan: &mut LoadPlan, places: &mut Vec<Place>) {
        let flow = self.get(&file.flow).unwrap_or_default();
        let host = self.optional(file.host.as_ref()).unwrap_or_else(|| host.to_owned());
        let think = self.optional(file.think.as_ref()).unwrap_or(Distribution::NONE);
        if file.steps.is_empty() {
            self.wrong(file.flow.place, format!("journey `{name}` has no steps"));
        }
        let mut order = Vec::new();
        for step in &file.steps {
            let id = StepId(plan.steps.len() as u16);
            if plan.steps.len() > usize::from(u16::MAX - 1) {
                return self.wrong(step.name.place, "there are more than 65,534 steps");
            }
            let name = self.get(&step.name).unwrap_or_default();
            if plan.steps.iter().any(|other| other.name == name) {
                let what = format!("two steps are called `{name}`: reports could not tell them apart");
                self.wrong(step.name.place, what);
            }
            let request = self.get(&step.request);
            let times = self.optional(step.times.as_ref()).unwrap_or(1);
            if let Some(word) = step.times.as_ref().filter(|_| times > 1_000) {
                self.wrong(word.place, format!("{times} times in a row: 1,000 is the most"));
            }
            plan.steps.push(Step {
                flow: flow.clone(),
                name,
                method: request.as_ref().map_or(String::new(), |request| request.method.clone()),
                host: self.optional(step.host.as_ref()).unwrap_or_else(|| host.clone()),
                path: request.map_or(String::new(), |request| request.path),
                think: self.optional(step.think.as_ref()).unwrap_or(think),
                expect: self.optional(step.expect.as_ref()).map_or(Vec::new(), |statuses| statuses.0),
                limit: self.optional(step.limit.as_ref()).map(|limit| limit.0),
                payload: self.optional(step.payload.as_ref()),
            });
            places.push(step.request.place);
            order.extend(std::iter::repeat_n(id, times.min(1_000) as usize));
        }
        plan.journeys.push(JourneyPlan { name: name.to_owned(), steps: order });
    }

    /// Adds one entry of the load to the plan. Returns how many clients it has.
    fn source(&mut self, file: &LoadFile, journeys: &BTreeSet<&str>, plan: &mut LoadPlan) -> u32 {
        let mix = self.mix(file, journeys);
        let place = place(file);
        let retry = file.retry.as_ref().and_then(|retry| self.retry(retry));
        let law = self.optional(file.arrivals.as_ref());
        let rest = self.optional(file.think.as_ref());
        let stated = self.optional(file.clients.as_ref());
        let (rate, users) = (file.rate.as_ref(), file.users.as_ref());
        let rate = rate.map(|rate| self.curve(rate, &plan.phases));
        let users = users.map(|users| self.curve(users, &plan.phases));
        let times = file.replay.as_ref().map(|replay| self.replay(replay, plan));
        let kinds = [rate.is_some(), users.is_some(), times.is_some()].into_iter().filter(|there| *there).count();
        if kinds != 1 {
            self.wrong(place, "a load has exactly one of `rate`, `users` and `replay`");
            return 0;
        }
        if let (Some(word), None) = (&file.think, &users) {
            self.wrong(word.place, "`think` is how users rest between sessions, and this load has no `users`");
        }
        if let (Some(word), None) = (&file.arrivals, &rate) {
            self.wrong(word.place, "`arrivals` says how a `rate` is spread, and this load has none");
        }
        let first_client = plan.clients;
        if let Some(parts) = users {
            let users = headcounts(&parts);
            let crowd = Crowd { mix, users, rest: rest.unwrap_or(Distribution::NONE), first_client, clients: 1, retry };
            let clients = stated.unwrap_or(crowd.peak().max(1));
            self.crowd(Crowd { clients, ..crowd }, place, plan);
            plan.clients = plan.clients.saturating_add(clients);
            return clients;
        }
        if stated.is_none() && file.clients.is_none() {
            self.wrong(place, "this load does not say how many `clients` it comes from: 1 is one address for all");
        }
        let clients = stated.unwrap_or(1);
        let law = if times.is_some() { ArrivalLaw::Replay } else { law.unwrap_or_default() };
        let parts = rate.map(|parts| segments(&parts)).unwrap_or_default();
        let all: u32 = mix.iter().map(|share| share.weight).sum();
        let mut replayed = times.map(|times| split(&times, &mix)).unwrap_or_default();
        for share in &mix {
            let scaled = |rate: Rate| {
                Rate::from_milli((u128::from(rate.milli()) * u128::from(share.weight) / u128::from(all.max(1))) as u64)
            };
            plan.streams.push(Stream {
                journey: share.journey,
                law,
                first_client,
                clients,
                rate: parts.iter().map(|s| Segment { from: scaled(s.from), to: scaled(s.to), ..*s }).collect(),
                times: replayed.remove(&share.journey).unwrap_or_default(),
                retry: retry.clone(),
            });
        }
        plan.clients = plan.clients.saturating_add(clients);
        clients
    }

    fn crowd(&mut self, crowd: Crowd, place: Place, plan: &mut LoadPlan) {
        if crowd.peak() > USERS_MAX {
            self.wrong(place, format!("{} users at once: {USERS_MAX} is the most in one load", crowd.peak()));
        } else if (0..crowd.peak())
            .step_by(crowd.peak().div_ceil(64).max(1) as usize)
            .any(|slot| crowd.comebacks(slot) >= COMEBACKS_MAX)
        {
            self.wrong(place, format!("the number of users rises and falls more than {COMEBACKS_MAX} times"));
        } else {
            plan.crowds.push(crowd);
        }
    }

    /// Journeys and their weights.
    fn mix(&mut self, file: &LoadFile, journeys: &BTreeSet<&str>) -> Vec<Share> {
        let index = |name: &str| journeys.iter().position(|known| *known == name).map(|index| index as u16);
        match (&file.journey, &file.mix) {
            (Some(word), None) => {
                let Some(name) = self.get(word) else { return Vec::new() };
                if let Some(journey) = index(&name) {
                    return vec![Share { journey, weight: 1 }];
                }
                let hint = nearest(&name, journeys.iter().copied());
                self.wrong(word.place, format!("load uses journey `{name}`, which is not there{hint}"));
            }
            (None, Some(shares)) => {
                let mut mix = Vec::new();
                let mut sum = Some(0);
                for (name, word) in shares {
                    let share = self.get(word);
                    sum = sum.zip(share).map(|(sum, share)| sum + share.0);
                    if let Some(journey) = index(name) {
                        mix.push(Share { journey, weight: share.map_or(0, |share| share.0) });
                    } else {
                        let hint = nearest(name, journeys.iter().copied());
                        self.wrong(word.place, format!("load uses journey `{name}`, which is not there{hint}"));
                    }
                }
                if let Some(sum) = sum.filter(|sum| *sum != Percent::ALL) {
                    let sum = f64::from(sum) / 1e3;
                    self.wrong(place(file), format!("the shares of this mix sum up to {sum} %, and not to 100 %"));
                }
                return mix;
            }
            _ => self.wrong(place(file), "a load has either a `journey` or a `mix` of journeys"),
        }
        Vec::new()
    }

    /// One shape for each phase; `None` where the file names none.
    fn curve<T: Clone>(
        &mut self,
        file: &BTreeMap<String, At<Shape<T>>>,
        phases: &[Phase],
    ) -> Vec<(Nanos, Option<Shape<T>>)> {
        for (name, word) in file {
            if phases.iter().all(|phase| phase.name != *name) {
                let hint = nearest(name, phases.iter().map(|phase| phase.name.as_str()));
                self.wrong(word.place, format!("load has something for phase `{name}`, which is not there{hint}"));
            }
        }
        let mut all = Vec::new();
        for phase in phases {
            let word = file.get(&phase.name);
            let shape = word.and_then(|word| self.get(word));
            let duration = phase.end - phase.start;
            if let (Some(word), Some(Shape::Spike { at, lasts, .. })) = (word, &shape)
                && *at + *lasts > duration
            {
                self.wrong(word.place, format!("this spike ends after its phase, which lasts {duration}"));
            }
            all.push((duration, shape));
        }
        all
    }

    fn replay(&mut self, file: &ReplayFile, plan: &LoadPlan) -> Vec<Nanos> {
        let start = file.at.as_ref().and_then(|at| self.moment(at, plan)).unwrap_or(Nanos::ZERO);
        let end = plan.end();
        let mut times = Vec::new();
        let (place, relative) = match (&file.times, &file.file) {
            (Some(words), None) => {
                times.extend(words.iter().filter_map(|word| self.get(word)));
                (words.first().map(|word| word.place), false)
            }
            (None, Some(word)) => {
                let read = self.get(word).map(|name| (self.read)(&name).and_then(|text| instants(&text)));
                match read {
                    Some(Ok(read)) => times = read,
                    Some(Err(why)) => self.wrong(word.place, why),
                    None => {}
                }
                (Some(word.place), true)
            }
            (times, file) => {
                let first = times.as_ref().and_then(|words| words.first()).map(|word| word.place);
                let place = first.or(file.as_ref().map(|word| word.place)).unwrap_or_default();
                self.wrong(place, "a replay has either `times` or a `file`");
                return Vec::new();
            }
        };
        times.sort_unstable();
        let zero = if relative { times.first().copied().unwrap_or(Nanos::ZERO) } else { Nanos::ZERO };
        for at in &mut times {
            *at = start + (*at - zero);
        }
        let place = place.unwrap_or_default();
        if times.len() > REPLAY_MAX {
            self.wrong(place, format!("{} instants: {REPLAY_MAX} is the most", times.len()));
        }
        if let Some(last) = times.last().filter(|last| **last >= end) {
            self.wrong(place, format!("the last instant of the replay is {last}, and load ends at {end}"));
        }
        times
    }

    fn retry(&mut self, file: &RetryFile) -> Option<RetryPolicy> {
        let attempts = self.get(&file.attempts);
        if attempts.is_some_and(|attempts| !(2..=100).contains(&attempts)) {
            self.wrong(file.attempts.place, "attempts count the first one, too: write 2 to 100");
        }
        let on: Vec<_> = file.on.iter().filter_map(|word| self.get(word)).collect();
        if file.on.is_empty() {
            self.wrong(file.attempts.place, "this retry follows no failure: say which in `on`");
        }
        let backoff = self.get(&file.backoff);
        let growth = self.optional(file.factor.as_ref()).map_or(1_000, |factor| factor.0);
        let most = self.optional(file.max.as_ref()).map_or(Nanos::from_secs(60), |max| max.0);
        if let Some(backoff) = backoff.filter(|backoff| *backoff > most) {
            self.wrong(file.backoff.place, format!("the first wait, {backoff}, is longer than the longest, {most}"));
        }
        Some(RetryPolicy {
            attempts: attempts? as u8,
            on,
            backoff: backoff?,
            growth_milli: growth,
            backoff_max: most,
            jitter: self.optional(file.jitter.as_ref()).unwrap_or(false),
        })
    }

    /// By overlay.
    pub(crate) fn scale(&mut self, file: &BTreeMap<String, At<Percent>>) -> BTreeMap<String, f64> {
        let mut scale = BTreeMap::new();
        for (overlay, share) in file {
            match self.get(share) {
                Some(Percent(0)) => self.wrong(share.place, "none of the load is none at all: leave the overlay out"),
                Some(share) => drop(scale.insert(overlay.clone(), share.share())),
                None => {}
            }
        }
        scale
    }

    pub(crate) fn abort(&mut self, file: &AbortFile) -> Option<Abort> {
        let (when, lasts) = (self.get(&file.when), self.get(&file.r#for));
        let seconds = lasts.map(|lasts| lasts.0.as_secs() as u32);
        if lasts.is_some_and(|lasts| lasts.0.ceil_to_second() != Nanos::from_secs(lasts.0.as_secs())) {
            self.wrong(file.r#for.place, "a run is watched second by second: write whole seconds");
            return None;
        }
        let when = when?;
        Some(Abort { ended: when.ended, above: when.above, seconds: seconds? })
    }
}

/// Where a load stands, as near as its words say.
fn place(file: &LoadFile) -> Place {
    let mix = file.mix.as_ref().and_then(|mix| mix.values().map(|word| word.place).min());
    let rate = file.rate.as_ref().and_then(|rate| rate.values().map(|word| word.place).min());
    let users = file.users.as_ref().and_then(|users| users.values().map(|word| word.place).min());
    let words = [file.journey.as_ref().map(|word| word.place), file.clients.as_ref().map(|word| word.place)];
    words.into_iter().chain([mix, rate, users]).flatten().min().unwrap_or_default()
}

/// Instants of a file, one a line: a duration, or seconds. Empty lines and those that begin with `#` are skipped.
fn instants(text: &str) -> Result<Vec<Nanos>, String> {
    let read = |(index, line): (usize, &str)| {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let seconds = line.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        let instant = line.parse().ok().or(seconds.map(Nanos::from_secs_f64));
        Some(instant.ok_or_else(|| format!("its line {} is no instant: `{line}`", index + 1)))
    };
    let all: Result<Vec<_>, _> = text.lines().enumerate().filter_map(read).collect();
    all.and_then(|all| if all.is_empty() { Err("it has no instants".to_owned()) } else { Ok(all) })
}

/// Replayed instants by journey. Which journey each takes is drawn with a seed of its own: the same for every run.
fn split(times: &[Nanos], mix: &[Share]) -> BTreeMap<u16, Vec<Nanos>> {
    let weights: u32 = mix.iter().map(|share| share.weight).sum();
    let mut all = BTreeMap::<u16, Vec<Nanos>>::new();
    for (index, at) in (0..).zip(times) {
        let drawn = Seed::default().draw_nth(index, Purpose::Journey).below(weights.max(1) as usize) as u32;
        let mut sum = 0;
        let found = mix.iter().find(|share| {
            sum += share.weight;
            drawn < sum
        });
        if let Some(share) = found {
            all.entry(share.journey).or_default().push(*at);
        }
    }
    all
}
