//! A pod as a queueing station.
//!
//! A request gets a worker thread for the first part of its CPU time, makes its calls, waits for what is not CPU (a
//! database, a third party), and gets a thread again for the rest. While it waits it holds no thread: an async
//! service such as FastAPI on uvicorn. Accounting is exact: the CPU used is the sum of the demands served.

use units::{Bytes, Machine, Millicores, Nanos, Out, Wake};

use crate::cpu::{Burst, Cpu};

/// What a pod can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StationConfig {
    /// Worker threads that can be on a CPU at once, at least 1.
    pub workers: u16,
    /// CPU limit of the container; `None`: no quota.
    pub limit: Option<Millicores>,
    /// Requests in the pod beyond which a new one is refused.
    pub backlog: u32,
    /// Memory of the idle process.
    pub memory: Bytes,
    /// Memory of each request in flight.
    pub memory_per_request: Bytes,
}

/// What one request costs here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// CPU time before its calls and waits.
    pub cpu_before: Nanos,
    /// Whether it makes calls.
    pub calls: bool,
    /// Time it waits without CPU, after its calls.
    pub wait: Nanos,
    /// CPU time after that.
    pub cpu_after: Nanos,
}

/// A request at this station, as long as it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The calls of a job are done, well or badly.
    Called(Job),
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
    /// The request is served.
    Done {
        /// The caller's name for it.
        tag: u64,
        /// Where its time went here; its calls are not in it.
        spent: Spent,
    },
    /// The backlog is full.
    Refused {
        /// The caller's name for it.
        tag: u64,
    },
}

/// Where a request's time went at one station.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Waiting for a thread or for quota.
    pub queue: Nanos,
    /// On a CPU.
    pub cpu: Nanos,
    /// Waiting for something else.
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
    planned: Nanos,  // the CPU wake that was asked for; MAX: none
    generation: u32, // of that wake
    ended: Vec<(Burst, Nanos)>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u64,
    work: Work,
    spent: Spent,
    after: bool,     // in the second part of its CPU time
    generation: u32, // guards its wait timer against an earlier job of the same slot
}

/// Slot of the CPU's wake; job `n` waits on slot `n + 1`.
const CPU: u32 = 0;

impl Station {
    /// An idle pod whose container started at `start`.
    pub fn new(config: StationConfig, start: Nanos) -> Self {
        Self {
            cpu: Cpu::new(config.workers, config.limit, start),
            config,
            jobs: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            planned: Nanos::MAX,
            generation: 0,
            ended: Vec::new(),
        }
    }

    /// Requests in the pod.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Cumulative CPU time until `now`.
    pub fn cpu_used(&self, now: Nanos) -> Nanos {
        self.cpu.used(now)
    }

    /// Working set.
    pub fn memory(&self) -> Bytes {
        Bytes::new(self.config.memory.get() + u64::from(self.in_flight) * self.config.memory_per_request.get())
    }

    fn arrive(&mut self, now: Nanos, tag: u64, work: Work, out: &mut impl Out<StationEffect>) {
        if self.in_flight >= self.config.backlog {
            out.emit(StationEffect::Refused { tag });
            return;
        }
        self.in_flight += 1;
        let slot = Slot { tag, work, spent: Spent::default(), after: false, generation: 0 };
        let job = if let Some(job) = self.free.pop() {
            let generation = self.jobs[job as usize].generation + 1;
            self.jobs[job as usize] = Slot { generation, ..slot };
            job
        } else {
            self.jobs.push(slot);
            (self.jobs.len() - 1) as u32
        };
        self.compute(now, job, work.cpu_before, out);
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
        let slot = &mut self.jobs[job as usize];
        if slot.after {
            out.emit(StationEffect::Done { tag: slot.tag, spent: slot.spent });
            self.in_flight -= 1;
            self.free.push(job);
        } else if slot.work.calls {
            out.emit(StationEffect::Call { tag: slot.tag, job: Job(job) });
        } else {
            self.wait(now, job, out);
        }
    }

    fn wait(&mut self, now: Nanos, job: u32, out: &mut impl Out<StationEffect>) {
        let slot = &mut self.jobs[job as usize];
        slot.after = true;
        slot.spent.wait = slot.work.wait;
        if slot.work.wait == Nanos::ZERO {
            let demand = slot.work.cpu_after;
            self.compute(now, job, demand, out);
        } else {
            out.wake(now + slot.work.wait, Wake { slot: job + 1, generation: slot.generation });
        }
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
            StationInput::Called(Job(job)) => self.wait(now, job, out),
            StationInput::Wake(Wake { slot: CPU, .. }) => {} // to advance was all it is for
            StationInput::Wake(Wake { slot, generation }) => {
                let job = slot - 1;
                let waiting = self.jobs[job as usize];
                if waiting.generation == generation {
                    self.compute(now, job, waiting.work.cpu_after, out);
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
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    #[derive(Default)]
    struct World {
        effects: Vec<StationEffect>,
        wakes: BTreeMap<(Nanos, u32), Wake>,
        asked: u32,
    }

    impl Out<StationEffect> for World {
        fn emit(&mut self, effect: StationEffect) {
            self.effects.push(effect);
        }
        fn wake(&mut self, at: Nanos, wake: Wake) {
            self.asked += 1;
            self.wakes.insert((at, self.asked), wake);
        }
    }

    fn config() -> StationConfig {
        StationConfig {
            workers: 1,
            limit: None,
            backlog: 2,
            memory: Bytes::from_mebi(100),
            memory_per_request: Bytes::from_mebi(1),
        }
    }

    /// Plays arrivals `(ms, work)` to the end; calls take `call`. Gives `(tag, done at ms, spent)`.
    fn play(config: StationConfig, arrivals: &[(u64, Work)], call: Nanos) -> Vec<(u64, u64, Spent)> {
        let mut station = Station::new(config, Nanos::ZERO);
        let mut world = World::default();
        let mut inputs: BTreeMap<(Nanos, usize), StationInput> = BTreeMap::new();
        for (tag, (at, work)) in arrivals.iter().enumerate() {
            inputs.insert((ms(*at), tag), StationInput::Arrive { tag: tag as u64, work: *work });
        }
        let mut done = Vec::new();
        let mut count = arrivals.len();
        loop {
            let input = inputs.first_key_value().map(|(k, v)| (k.0, *v));
            let wake = world.wakes.first_key_value().map(|(k, v)| (k.0, StationInput::Wake(*v)));
            let (now, input) = match (input, wake) {
                (Some(a), Some(b)) if a.0 <= b.0 => a,
                (_, Some(b)) => b,
                (Some(a), None) => a,
                (None, None) => break,
            };
            match input {
                StationInput::Wake(_) => drop(world.wakes.pop_first()),
                _ => drop(inputs.pop_first()),
            }
            station.step(now, input, &mut world);
            for effect in world.effects.drain(..) {
                match effect {
                    StationEffect::Call { job, .. } => {
                        count += 1;
                        inputs.insert((now + call, count), StationInput::Called(job));
                    }
                    StationEffect::Done { tag, spent } => done.push((tag, now.as_millis(), spent)),
                    StationEffect::Refused { tag } => done.push((tag, u64::MAX, Spent::default())),
                }
            }
        }
        let demand: Nanos = done.iter().map(|(_, _, spent)| spent.cpu).sum();
        assert_eq!(station.cpu_used(ms(1_000_000)), demand, "accounted = served");
        assert_eq!(station.in_flight(), 0);
        done
    }

    #[test]
    fn a_request_computes_calls_waits_and_computes() {
        let work = Work { cpu_before: ms(10), calls: true, wait: ms(7), cpu_after: ms(5) };
        let spent = Spent { queue: Nanos::ZERO, cpu: ms(15), wait: ms(7) };
        assert_eq!(play(config(), &[(0, work)], ms(20)), [(0, 42, spent)]);
    }

    #[test]
    fn a_waiting_request_holds_no_thread() {
        let work = Work { cpu_before: ms(10), calls: false, wait: ms(30), cpu_after: ms(10) };
        let done = play(config(), &[(0, work), (0, work)], Nanos::ZERO);
        // 0: 0–10 cpu, 10–40 wait, 40–50 cpu. 1: 10–20 cpu, 20–50 wait, 50–60 cpu.
        assert_eq!(done.iter().map(|d| (d.0, d.1)).collect::<Vec<_>>(), [(0, 50), (1, 60)]);
        assert_eq!(done[1].2.queue, ms(10));
    }

    #[test]
    fn a_full_backlog_refuses() {
        let work = Work { cpu_before: ms(10), ..Work::default() };
        let done = play(config(), &[(0, work), (0, work), (0, work)], Nanos::ZERO);
        assert_eq!(done.iter().filter(|d| d.1 == u64::MAX).count(), 1);
    }

    #[test]
    fn memory_follows_what_is_in_flight() {
        let mut station = Station::new(config(), Nanos::ZERO);
        let work = Work { cpu_before: ms(10), ..Work::default() };
        station.step(ms(1), StationInput::Arrive { tag: 0, work }, &mut World::default());
        assert_eq!(station.memory(), Bytes::from_mebi(101));
    }
}
