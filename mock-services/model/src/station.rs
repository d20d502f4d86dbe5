//! A pod as a queueing station.
//!
//! A request gets a worker thread for the first part of its CPU time, makes its calls, asks its cache and its
//! database, waits for what is neither (a third party), streams if it does, and gets a thread again for the rest.
//! While it waits it holds no thread: an async service such as FastAPI on uvicorn. Accounting is exact: the CPU used
//! is the sum of the demands served.

use units::{Bytes, Machine, Millicores, Nanos, Out, Wake};

use crate::cpu::{Burst, Cpu, Discipline};
use crate::data::{CacheUse, DataOp, QueryUse};

/// What a pod can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StationConfig {
    /// Who gets a thread when there is more work than threads.
    pub discipline: Discipline,
    /// CPUs that it can use at once, at least 1: worker threads, or cores to share.
    pub workers: u16,
    /// CPU limit of the container; `None`: no quota.
    pub limit: Option<Millicores>,
    /// Requests in the pod beyond which a new one is refused.
    pub backlog: u32,
    /// Memory of the idle process.
    pub memory: Bytes,
    /// Memory of each request in flight, beside what its [`Work`] says.
    pub memory_per_request: Bytes,
    /// Memory limit of the container, beyond which the kernel kills it; `None`: no limit.
    pub memory_limit: Option<Bytes>,
}

/// What one request costs here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// CPU time before its calls and waits.
    pub cpu_before: Nanos,
    /// Whether it makes calls.
    pub calls: bool,
    /// What it asks its cache, after its calls.
    pub cache: Option<CacheUse>,
    /// What it asks its database, unless the cache had it.
    pub query: Option<QueryUse>,
    /// Time it waits for something else without CPU, after all that. Of a stream: until its first piece.
    pub wait: Nanos,
    /// Of a stream: from its first piece to its last.
    pub stream: Option<Nanos>,
    /// CPU time after that.
    pub cpu_after: Nanos,
    /// Memory that it holds, beside [`StationConfig::memory_per_request`].
    pub memory: Bytes,
    /// The HTTP status with which it fails of itself, having cost what it costs; `None`: it does not.
    pub fails: Option<u16>,
}

impl Work {
    /// For a host without a data layer: the operations take their own time, and nothing ever queues for them.
    #[must_use]
    pub fn folded(mut self) -> Self {
        let cache = self.cache.take();
        let hit = cache.is_some_and(|cache| cache.hit);
        let query = self.query.take().filter(|_| !hit);
        self.wait += cache.map_or(Nanos::ZERO, |cache| cache.time) + query.map_or(Nanos::ZERO, |query| query.time);
        self
    }
}

/// A request at this station, as long as it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job(u32);

/// What may happen to a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StationInput {
    /// A request comes in. `tag` is the caller's name for it.
    Arrive {
        /// The caller's name for it.
        tag: u64,
        /// What it costs.
        work: Work,
    },
    /// What was asked for a job is done: its calls (well or badly), or its data operation (well).
    Called(Job),
    /// What was asked for a job has failed. Without its cache it asks its database; without its database, or without
    /// a call that the host says it needs, it fails with 500 and skips its waits.
    Failed(Job),
    /// What the node leaves to this pod from now on, however many workers it has; `None`: enough.
    Share(Option<Millicores>),
    /// A timer of the station fired.
    Wake(Wake),
}

/// What a station wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StationEffect {
    /// Make this job's calls, then say [`StationInput::Called`].
    Call {
        /// The caller's name for it.
        tag: u64,
        /// The station's.
        job: Job,
    },
    /// Ask the data layer, then say [`StationInput::Called`] or [`StationInput::Failed`]. See [`crate::data`].
    Data {
        /// The caller's name for it.
        tag: u64,
        /// The station's.
        job: Job,
        /// What to ask.
        op: DataOp,
    },
    /// The first piece of this job's stream goes out now, and the rest follows until it is done.
    Streaming {
        /// The caller's name for it.
        tag: u64,
        /// Where its time went so far.
        spent: Spent,
    },
    /// The request is served.
    Done {
        /// The caller's name for it.
        tag: u64,
        /// Where its time went here; its calls are not in it.
        spent: Spent,
        /// The HTTP status with which it failed here; `None`: it did not.
        failed: Option<u16>,
    },
    /// The backlog is full, or the process is dead.
    Refused {
        /// The caller's name for it.
        tag: u64,
    },
    /// The container is over its memory limit and has been killed (`OOMKilled`, exit code 137). All its requests are
    /// lost without a word, and the station takes none any more: a restarted container has a new one.
    OutOfMemory,
}

/// Where a request's time went at one station.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Waiting for a thread or for quota.
    pub queue: Nanos,
    /// On a CPU.
    pub cpu: Nanos,
    /// Waiting for something else: its data operations, third parties, the pieces of a stream.
    pub wait: Nanos,
}

/// One pod.
#[derive(Debug)]
pub struct Station {
    config: StationConfig,
    cpu: Cpu,
    jobs: Vec<Slot>,
    free: Vec<u32>,
    in_flight: u32,
    held: Bytes, // by requests in flight
    dead: bool,
    planned: Nanos,  // the CPU wake that was asked for; MAX: none
    generation: u32, // of that wake
    ended: Vec<(Burst, Nanos)>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u64,
    work: Work,
    spent: Spent,
    part: Part,
    since: Nanos,    // when it began to wait for data
    generation: u32, // guards its timers against an earlier job of the same slot
}

/// What a job is at, in the order in which it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Before,
    Calls,
    Cache,
    Query,
    Wait,
    Stream,
    After,
}

/// Slot of the CPU's wake; job `n` waits on slot `n + 1`.
const CPU: u32 = 0;
/// What a service answers that cannot do its work, such as FastAPI with an exception nobody caught.
const BROKEN: u16 = 500;

impl Station {
    /// An idle pod whose container started at `start`.
    pub fn new(config: StationConfig, start: Nanos) -> Self {
        Self {
            cpu: Cpu::new(config.discipline, config.workers, config.limit, start),
            config,
            jobs: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            held: Bytes::ZERO,
            dead: false,
            planned: Nanos::MAX,
            generation: 0,
            ended: Vec::new(),
        }
    }

    /// Requests in the pod.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Requests that are ready to run and have no thread.
    pub fn waiting(&self) -> u32 {
        self.cpu.waiting()
    }

    /// Cumulative CPU time until `now`.
    pub fn cpu_used(&self, now: Nanos) -> Nanos {
        self.cpu.used(now)
    }

    /// Working set.
    pub fn memory(&self) -> Bytes {
        Bytes::new(self.config.memory.get() + self.held.get())
    }

    fn holds(&self, work: &Work) -> u64 {
        self.config.memory_per_request.get() + work.memory.get()
    }

    fn arrive(&mut self, now: Nanos, tag: u64, work: Work, out: &mut impl Out<StationEffect>) {
        if self.dead || self.in_flight >= self.config.backlog {
            out.emit(StationEffect::Refused { tag });
            return;
        }
        self.held = Bytes::new(self.held.get() + self.holds(&work));
        if self.config.memory_limit.is_some_and(|limit| self.memory() > limit) {
            return self.die(now, out);
        }
        self.in_flight += 1;
        let slot = Slot { tag, work, spent: Spent::default(), part: Part::Before, since: now, generation: 0 };
        let job = if let Some(job) = self.free.pop() {
            let generation = self.jobs[job as usize].generation.wrapping_add(1);
            self.jobs[job as usize] = Slot { generation, ..slot };
            job
        } else {
            self.jobs.push(slot);
            (self.jobs.len() - 1) as u32
        };
        self.compute(now, job, work.cpu_before, out);
    }

    fn die(&mut self, now: Nanos, out: &mut impl Out<StationEffect>) {
        self.dead = true;
        self.cpu.clear(now);
        self.jobs.clear();
        self.free.clear();
        self.in_flight = 0;
        self.held = Bytes::ZERO;
        out.emit(StationEffect::OutOfMemory);
    }

    /// The next part of a job's CPU time, which may be none.
    fn compute(&mut self, now: Nanos, job: u32, demand: Nanos, out: &mut impl Out<StationEffect>) {
        if demand == Nanos::ZERO {
            self.computed(now, job, out);
        } else {
            self.cpu.add(Burst { job, demand, since: now });
        }
    }

    fn computed(&mut self, now: Nanos, job: u32, out: &mut impl Out<StationEffect>) {
        let Slot { tag, work, spent, part, .. } = self.jobs[job as usize];
        if part == Part::Before {
            return self.proceed(now, job, out);
        }
        out.emit(StationEffect::Done { tag, spent, failed: work.fails });
        self.in_flight -= 1;
        self.held = Bytes::new(self.held.get() - self.holds(&work));
        self.free.push(job);
    }

    /// A part of a job is over: on to the next one that takes time.
    fn proceed(&mut self, now: Nanos, job: u32, out: &mut impl Out<StationEffect>) {
        loop {
            let slot = &mut self.jobs[job as usize];
            let (tag, work) = (slot.tag, slot.work);
            slot.since = now;
            let ask = |op| StationEffect::Data { tag, job: Job(job), op };
            let (next, effect) = match slot.part {
                Part::Before => (Part::Calls, work.calls.then_some(StationEffect::Call { tag, job: Job(job) })),
                Part::Calls => (Part::Cache, work.cache.map(|cache| ask(DataOp::Cache(cache)))),
                Part::Cache => (Part::Query, work.query.map(|query| ask(DataOp::Query(query)))),
                Part::Query => {
                    slot.part = Part::Wait;
                    if work.wait > Nanos::ZERO {
                        return self.pause(now, job, work.wait, out);
                    }
                    continue;
                }
                Part::Wait => {
                    slot.part = Part::Stream;
                    if let Some(stream) = work.stream {
                        out.emit(StationEffect::Streaming { tag, spent: slot.spent });
                        return self.pause(now, job, stream, out);
                    }
                    continue;
                }
                Part::Stream | Part::After => {
                    slot.part = Part::After;
                    return self.compute(now, job, work.cpu_after, out);
                }
            };
            slot.part = next;
            if let Some(effect) = effect {
                return out.emit(effect);
            }
        }
    }

    fn pause(&mut self, now: Nanos, job: u32, time: Nanos, out: &mut impl Out<StationEffect>) {
        let slot = &mut self.jobs[job as usize];
        slot.spent.wait += time;
        out.wake(now + time, Wake { slot: job + 1, generation: slot.generation });
    }

    /// The host has an answer for a job, which waited for it.
    fn answered(&mut self, now: Nanos, job: u32, well: bool, out: &mut impl Out<StationEffect>) {
        let Some(slot) = self.jobs.get_mut(job as usize) else { return };
        let Slot { work, part, since, .. } = *slot;
        if matches!(part, Part::Cache | Part::Query) {
            slot.spent.wait += now - since;
        }
        match (part, well) {
            (Part::Cache, true) if work.cache.is_some_and(|cache| cache.hit) => slot.part = Part::Query,
            (Part::Calls | Part::Cache | Part::Query, true) => {}
            (Part::Cache, false) if work.query.is_some() => {}
            (Part::Calls | Part::Cache | Part::Query, false) => {
                slot.work.fails = Some(BROKEN);
                slot.part = Part::Stream; // nothing to wait for any more
            }
            _ => return, // it asked for nothing
        }
        self.proceed(now, job, out);
    }
}

impl Machine for Station {
    type Input = StationInput;
    type Effect = StationEffect;

    fn step(&mut self, now: Nanos, input: StationInput, out: &mut impl Out<StationEffect>) {
        let mut ended = std::mem::take(&mut self.ended);
        self.cpu.advance(now, |burst, at| ended.push((burst, at)));
        for (burst, at) in ended.drain(..) {
            let spent = &mut self.jobs[burst.job as usize].spent;
            spent.cpu += burst.demand;
            spent.queue += (at - burst.since) - burst.demand;
            self.computed(at, burst.job, out);
        }
        self.ended = ended;
        match input {
            StationInput::Arrive { tag, work } => self.arrive(now, tag, work, out),
            StationInput::Called(Job(job)) => self.answered(now, job, true, out),
            StationInput::Failed(Job(job)) => self.answered(now, job, false, out),
            StationInput::Share(share) => self.cpu.set_share(now, share),
            StationInput::Wake(Wake { slot: CPU, .. }) => {} // to advance was all it is for
            StationInput::Wake(Wake { slot, generation }) => {
                let job = slot - 1;
                if self.jobs.get(job as usize).is_some_and(|waiting| waiting.generation == generation) {
                    self.proceed(now, job, out);
                }
            }
        }
        // A burst that ended may have gone straight on to its second part, which can have ended by `now` as well; its
        // wake is then due at once.
        if let Some(next) = self.cpu.next()
            && next != self.planned
        {
            self.planned = next;
            self.generation = self.generation.wrapping_add(1);
            out.wake(next, Wake { slot: CPU, generation: self.generation });
        }
    }
}

#[cfg(test)]
mod tests;
