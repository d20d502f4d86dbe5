//! The CPU of one pod: threads under a discipline, a CFS quota and what the node has left for them.
//!
//! Source of the quota's rules: Linux `Documentation/scheduler/sched-bwc.rst`. In every period of 100 ms the cgroup
//! may use `limit × 100 ms` of CPU time; when that is spent, all its threads stand still until the period ends, and
//! what is left of a period is lost.
//!
//! Whatever the discipline, the threads that run at one time all run equally fast. So one clock of *attained* time per
//! thread serves them all: a burst that starts when the clock shows `a` ends when it shows `a + demand`, and a change
//! of speed touches no burst.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use serde::{Deserialize, Serialize};
use units::{Millicores, Nanos};

/// `cpu.cfs_period_us`, as the kubelet sets it.
const PERIOD: Nanos = Nanos::from_millis(100);

/// Who gets the CPU when there is more work than threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Discipline {
    /// First come, first served: a request keeps its thread for a part of its work, and others wait. An event loop
    /// (`FastAPI` on uvicorn) with one worker.
    #[default]
    Fcfs,
    /// Processor sharing: everything runnable runs, and shares `workers` CPUs evenly. Threads or processes without a
    /// bound of their own, such as Go's goroutines or PostgreSQL's backends.
    Ps,
}

/// A piece of work that needs a thread until it has had its CPU time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    /// Whose it is.
    pub(crate) job: u32,
    /// CPU time it needs.
    pub(crate) demand: Nanos,
    /// When it began to wait for a thread: when it is added.
    pub(crate) since: Nanos,
}

#[derive(Debug)]
pub(crate) struct Cpu {
    discipline: Discipline,
    workers: usize,
    share: Option<Millicores>,
    clock: Clock,
    speed: Speed,
    running: BinaryHeap<Reverse<Running>>,
    queue: VecDeque<Burst>,
    end: Option<Nanos>, // of the burst that ends first
    started: u64,       // bursts that ran so far: who started first comes first among equals
}

#[derive(Clone, Copy, Debug)]
struct Running {
    /// What the clock will have attained when it ends.
    finish: Nanos,
    order: u64,
    burst: Burst,
}

impl Ord for Running {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.finish, self.order).cmp(&(other.finish, other.order))
    }
}
impl PartialOrd for Running {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Running {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Running {}

/// How far everything has been accounted. It moves only where something begins, ends or changes speed: in between,
/// what the quota does is arithmetic, and nobody needs to be woken for it.
#[derive(Clone, Copy, Debug)]
struct Clock {
    now: Nanos,
    used: Nanos,
    attained: Nanos, // by a thread that ran all along
    quota: Option<Quota>,
}

#[derive(Clone, Copy, Debug)]
struct Quota {
    per_period: Nanos,
    left: Nanos,
    period_end: Nanos,
}

/// How many threads run, and how fast all of them are together.
#[derive(Clone, Copy, Debug, Default)]
struct Speed {
    threads: u64,
    milli: u64,
}

impl Cpu {
    /// `limit` at or above one core per worker can never throttle and is not tracked.
    pub(crate) fn new(discipline: Discipline, workers: u16, limit: Option<Millicores>, start: Nanos) -> Self {
        let binding = limit.filter(|limit| *limit < Millicores::from_cores(u64::from(workers)));
        let quota = binding.map(|limit| {
            let per_period = Nanos::new((PERIOD.get() / 1_000 * limit.get()).max(1_000_000)); // the kernel's minimum: 1 ms
            Quota { per_period, left: per_period, period_end: start + PERIOD }
        });
        Self {
            discipline,
            workers: usize::from(workers),
            share: None,
            clock: Clock { now: start, used: Nanos::ZERO, attained: Nanos::ZERO, quota },
            speed: Speed::default(),
            running: BinaryHeap::with_capacity(usize::from(workers)),
            queue: VecDeque::new(),
            end: None,
            started: 0,
        }
    }

    /// Adds a burst at the instant since which it waits, to which the CPU must have been advanced.
    pub(crate) fn add(&mut self, burst: Burst) {
        if self.discipline == Discipline::Fcfs && self.running.len() >= self.workers {
            self.queue.push_back(burst);
            return;
        }
        self.clock.run(self.speed, burst.since);
        self.start(burst);
        self.foresee();
    }

    /// What the node leaves to this pod from `now` on, to which the CPU must have been advanced; `None`: as many cores as
    /// it has workers.
    pub(crate) fn set_share(&mut self, now: Nanos, share: Option<Millicores>) {
        self.clock.run(self.speed, now);
        self.share = share;
        self.foresee();
    }

    /// Drops everything at `now`, to which the CPU must have been advanced: the process has died. What it used stays
    /// used.
    pub(crate) fn clear(&mut self, now: Nanos) {
        self.clock.run(self.speed, now);
        self.running.clear();
        self.queue.clear();
        self.foresee();
    }

    /// Bursts beyond the number of workers: queued, or with a share of a CPU instead of one.
    pub(crate) fn waiting(&self) -> u32 {
        (self.queue.len() + self.running.len().saturating_sub(self.workers)) as u32
    }

    /// CPU time used until `now`, which is not before the last advance.
    pub(crate) fn used(&self, now: Nanos) -> Nanos {
        let mut clock = self.clock;
        clock.run(self.speed, self.end.map_or(now, |end| now.min(end)));
        clock.used
    }

    /// When the next burst ends, if nothing is added until then. `None` also while the node leaves it nothing.
    pub(crate) fn next(&self) -> Option<Nanos> {
        self.end
    }

    /// Runs until `now` and hands over each burst that ended, with the instant at which it did: a late caller does
    /// not make the next burst start late.
    pub(crate) fn advance(&mut self, now: Nanos, mut ended: impl FnMut(Burst, Nanos)) {
        if self.end.is_none_or(|end| now < end) {
            return;
        }
        while let Some(end) = self.end.filter(|end| *end <= now) {
            self.clock.run(self.speed, end);
            while let Some(first) = self.running.peek()
                && first.0.finish <= self.clock.attained
            {
                let burst = first.0.burst;
                self.running.pop();
                if let Some(waiting) = self.queue.pop_front() {
                    self.start(waiting);
                }
                ended(burst, end);
            }
            self.foresee();
        }
        self.clock.run(self.speed, now); // what follows from these ends begins now and not in the past
    }

    fn start(&mut self, burst: Burst) {
        self.started += 1;
        let finish = self.clock.attained + burst.demand;
        self.running.push(Reverse(Running { finish, order: self.started, burst }));
    }

    fn foresee(&mut self) {
        let threads = self.running.len() as u64;
        let cores = 1_000 * threads.min(self.workers as u64);
        self.speed = Speed { threads, milli: self.share.map_or(cores, |share| cores.min(share.get())) };
        self.end = self.running.peek().and_then(|first| self.clock.after(self.speed, first.0.finish));
    }
}

impl Speed {
    /// What each thread gets out of `time`.
    fn gets(self, time: Nanos) -> Nanos {
        let all = 1_000 * self.threads;
        if self.milli == all { time } else { Nanos::new(scaled(time, self.milli, all, 0)) }
    }

    /// How long it takes until each thread has got `time`, to the nanosecond in which it has. As no thread is faster
    /// than a core, [`Self::gets`] of it is exactly `time` again.
    fn takes(self, time: Nanos) -> Nanos {
        let all = 1_000 * self.threads;
        if self.milli == all { time } else { Nanos::new(scaled(time, all, self.milli, self.milli - 1)) }
    }

    /// How long all threads together take to use `quota`, rounded up.
    fn spends(self, quota: Nanos) -> Nanos {
        Nanos::new(scaled(quota, 1_000, self.milli, self.milli - 1))
    }
}

/// `(time × by + plus) ÷ of`.
fn scaled(time: Nanos, by: u64, of: u64, plus: u64) -> u64 {
    u64::try_from((u128::from(time.get()) * u128::from(by) + u128::from(plus)) / u128::from(of)).unwrap_or(u64::MAX)
}

impl Clock {
    /// Runs on until `at`.
    fn run(&mut self, speed: Speed, at: Nanos) {
        if speed.milli == 0 {
            self.now = self.now.max(at);
            self.refill();
        }
        while self.now < at {
            self.whole_periods(speed, at, Nanos::MAX);
            if self.now < at {
                self.stretch(speed, at);
            }
        }
    }

    /// The instant at which the clock will show `finish`; `None`: never, at this speed.
    fn after(mut self, speed: Speed, finish: Nanos) -> Option<Nanos> {
        if speed.milli == 0 {
            return None;
        }
        while self.attained < finish {
            self.whole_periods(speed, Nanos::MAX, finish - self.attained);
            let left = finish - self.attained;
            let at = if self.throttled() { Nanos::MAX } else { self.now + speed.takes(left) };
            self.stretch(speed, at);
        }
        Some(self.now)
    }

    /// Until `at`, or until the quota is spent, or until it comes back: all threads run, or none does.
    fn stretch(&mut self, speed: Speed, at: Nanos) {
        let mut until = at;
        let mut spent = false;
        let throttled = self.throttled();
        if let Some(quota) = &self.quota {
            until = until.min(quota.period_end);
            if !throttled {
                let empty = self.now + speed.spends(quota.left);
                spent = empty <= until;
                until = until.min(empty);
            }
        }
        let ran = if throttled { Nanos::ZERO } else { speed.gets(until - self.now) };
        self.now = until;
        self.account(speed, ran);
        if let Some(quota) = &mut self.quota {
            // What is left of it by rounding is less than a nanosecond for each thread.
            quota.left = if spent { Nanos::ZERO } else { quota.left - ran * speed.threads };
        }
        self.refill();
    }

    /// Skips the whole periods before `at` in which nobody reaches `left`: each is like the other.
    fn whole_periods(&mut self, speed: Speed, at: Nanos, left: Nanos) {
        let Some(quota) = &mut self.quota else { return };
        if quota.left != quota.per_period || self.now + PERIOD != quota.period_end {
            return;
        }
        let ran = speed.gets(speed.spends(quota.per_period).min(PERIOD));
        let unreached = if ran == Nanos::ZERO { u64::MAX } else { (left.get() - 1) / ran.get() };
        let periods = ((at - self.now).get() / PERIOD.get()).min(unreached);
        self.now += PERIOD * periods;
        quota.period_end += PERIOD * periods;
        self.account(speed, ran * periods);
    }

    fn account(&mut self, speed: Speed, ran: Nanos) {
        self.attained += ran;
        self.used += ran * speed.threads;
    }

    fn refill(&mut self) {
        if let Some(quota) = &mut self.quota
            && self.now >= quota.period_end
        {
            let periods = (self.now - quota.period_end).get() / PERIOD.get() + 1;
            quota.period_end += PERIOD * periods;
            quota.left = quota.per_period;
        }
    }

    fn throttled(&self) -> bool {
        self.quota.as_ref().is_some_and(|quota| quota.left == Nanos::ZERO)
    }
}

#[cfg(test)]
mod tests;
