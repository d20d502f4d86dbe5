//! A station on the real clock.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Add;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::Clock;
use model::data::DataOp;
use model::{Job, Spent, Station, StationEffect, StationInput, Work};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use units::{Bytes, Machine, Nanos, Out, Wake};

/// The pod has more requests than it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pod's backlog is full")]
pub struct Refused;

/// What a station needs of the run around it. Called without any lock held.
pub trait Surroundings: fmt::Debug + Send + Sync {
    /// A request wants something of the data layer. The answer, at once or later, is [`StationInput::Called`] or
    /// [`StationInput::Failed`] for its job.
    fn ask(&self, station: &LiveStation, tag: u64, job: Job, op: DataOp);
    /// The container took more memory than it may have. The station answers nobody any more: whoever waits waits for
    /// the connection to break.
    fn out_of_memory(&self);
    /// What became of its writes, where a real database is asked.
    fn writes(&self) -> Option<Writes> {
        None
    }
    /// CPU time that was accounted and could not be burnt, where it is burnt at all.
    fn unburnt(&self) -> Option<Nanos> {
        None
    }
}

/// What became of a pod's writes to a real database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Committed, by the database's word.
    pub acknowledged: u64,
    /// Sent, and the connection broke before there was a word.
    pub in_doubt: u64,
}

impl Add for Writes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { acknowledged: self.acknowledged + other.acknowledged, in_doubt: self.in_doubt + other.in_doubt }
    }
}

/// Nothing around: each data operation takes its own time, and nothing queues for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Surroundings for Alone {
    fn ask(&self, station: &LiveStation, _: u64, job: Job, op: DataOp) {
        let time = match op {
            DataOp::Cache(cache) => cache.time,
            DataOp::Query(query) => query.time,
        };
        let (clock, station) = (station.clock().clone(), station.clone());
        clock.call_at(clock.now() + time, move |_| station.tell(StationInput::Called(job)));
    }

    fn out_of_memory(&self) {}
}

/// A [`Station`] that several tasks use at once, woken by the clock.
#[derive(Clone, Debug)]
pub struct LiveStation {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    around: Arc<dyn Surroundings>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    station: Station,
    waiting: BTreeMap<u64, UnboundedSender<Progress>>,
    next_tag: u64,
    effects: Vec<StationEffect>,
    /// Its process has ended: nothing goes on, and nobody is answered any more.
    dead: bool,
}

/// What a request is told while it is served.
#[derive(Debug)]
enum Progress {
    Call(Job),
    Streaming(Spent),
    Done(Served),
    Refused,
}

/// A request that was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Where its time went here.
    pub spent: Spent,
    /// The HTTP status with which it failed here; `None`: it did not.
    pub failed: Option<u16>,
}

/// How far a request has come whose answer may be streamed.
#[derive(Debug)]
pub enum Begun {
    /// Its first piece goes out now; so far it has spent this.
    Streaming(Spent),
    /// It is served.
    Done(Served),
}

impl LiveStation {
    /// A station on `clock`.
    pub fn new(station: Station, clock: Clock, around: Arc<dyn Surroundings>) -> Self {
        let state = State { station, waiting: BTreeMap::new(), next_tag: 0, effects: Vec::new(), dead: false };
        Self { shared: Arc::new(Shared { clock, around, state: Mutex::new(state) }) }
    }

    /// What became of its writes, where a real database is asked.
    pub fn writes(&self) -> Option<Writes> {
        self.shared.around.writes()
    }

    /// CPU time that was accounted and could not be burnt, where it is burnt at all.
    pub fn unburnt(&self) -> Option<Nanos> {
        self.shared.around.unburnt()
    }

    /// Something happens to it: an answer of the data layer, or its node's CPU becomes scarce.
    pub fn tell(&self, input: StationInput) {
        self.shared.step(input);
    }

    /// Serves one request: returns when it is done, with what it spent here, or when its stream begins. `calls` runs
    /// when its calls are due. If the caller goes away the work is still done, as in a server that does not notice.
    pub async fn serve(&self, work: Work, calls: impl Future<Output = ()>) -> Result<Begun, Refused> {
        let mut progress = self.arrive(work);
        let mut calls = Some(calls);
        while let Some(next) = progress.recv().await {
            match next {
                Progress::Call(job) => {
                    let _called = Called { shared: &self.shared, job };
                    if let Some(calls) = calls.take() {
                        calls.await;
                    }
                }
                Progress::Streaming(spent) => return Ok(Begun::Streaming(spent)),
                Progress::Done(served) => return Ok(Begun::Done(served)),
                Progress::Refused => return Err(Refused),
            }
        }
        Err(Refused) // the station went away with its pod
    }

    /// Its process is killed: what was under way ends here, and whoever waits waits for the connection to break.
    pub fn kill(&self) {
        self.shared.lock().dead = true;
    }

    /// The clock that it is on.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    fn arrive(&self, work: Work) -> UnboundedReceiver<Progress> {
        let (sender, receiver) = unbounded_channel();
        let tag = {
            let mut state = self.shared.lock();
            let tag = state.next_tag;
            state.next_tag += 1;
            state.waiting.insert(tag, sender);
            tag
        };
        self.shared.step(StationInput::Arrive { tag, work });
        receiver
    }

    /// Requests in the pod.
    pub fn in_flight(&self) -> u32 {
        self.shared.lock().station.in_flight()
    }

    /// Requests that are ready to run and have no thread.
    pub fn waiting(&self) -> u32 {
        self.shared.lock().station.waiting()
    }

    /// Cumulative CPU time and working set now.
    pub fn usage(&self) -> (Nanos, Bytes) {
        let state = self.shared.lock();
        (state.station.cpu_used(self.shared.clock.now()), state.station.memory())
    }
}

/// A job that makes its calls. It goes on when they are done, and also when its client went away meanwhile: else it
/// would hold its place in the pod for ever.
struct Called<'a> {
    shared: &'a Arc<Shared>,
    job: Job,
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        self.shared.step(StationInput::Called(self.job));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steps the station at the instant that is read under its lock.
    fn step(self: &Arc<Self>, input: StationInput) {
        let mut outside = Vec::new(); // allocates only if it is needed
        {
            let mut state = self.lock();
            if state.dead {
                return;
            }
            let now = self.clock.now();
            let State { station, waiting, effects, dead, .. } = &mut *state;
            station.step(now, input, &mut Sink { shared: self, effects });
            for effect in effects.drain(..) {
                // A request whose connection is gone has nobody waiting: its work is done all the same.
                let tell = |tag: &u64, progress| waiting.get(tag).is_some_and(|w| w.send(progress).is_ok());
                match effect {
                    StationEffect::Call { tag, job } => {
                        if !tell(&tag, Progress::Call(job)) {
                            self.clone().call_nobody(job, now);
                        }
                    }
                    StationEffect::Streaming { tag, spent } => drop(tell(&tag, Progress::Streaming(spent))),
                    StationEffect::Done { tag, spent, failed } => {
                        tell(&tag, Progress::Done(Served { spent, failed }));
                        waiting.remove(&tag);
                    }
                    StationEffect::Refused { tag } => {
                        tell(&tag, Progress::Refused);
                        waiting.remove(&tag);
                    }
                    StationEffect::OutOfMemory => {
                        *dead = true;
                        outside.push(effect);
                    }
                    StationEffect::Data { .. } => outside.push(effect),
                }
            }
        }
        for effect in outside {
            match effect {
                StationEffect::Data { tag, job, op } => {
                    self.around.ask(&LiveStation { shared: Arc::clone(self) }, tag, job, op);
                }
                _ => self.around.out_of_memory(),
            }
        }
    }

    /// The client has gone: its request makes no calls and goes on.
    fn call_nobody(self: Arc<Self>, job: Job, now: Nanos) {
        let clock = self.clock.clone();
        clock.call_at(now, move |_| self.step(StationInput::Called(job)));
    }
}

struct Sink<'a> {
    shared: &'a Arc<Shared>,
    effects: &'a mut Vec<StationEffect>,
}

impl Out<StationEffect> for Sink<'_> {
    fn emit(&mut self, effect: StationEffect) {
        self.effects.push(effect);
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        // Weak: a timer must not keep a pod alive that has gone.
        let shared = Arc::downgrade(self.shared);
        self.shared.clock.call_at(at, move |_| {
            if let Some(shared) = shared.upgrade() {
                shared.step(StationInput::Wake(wake));
            }
        });
    }
}
