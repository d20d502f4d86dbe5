//! The CPU of one pod: worker threads, first come first served, under a CFS quota.
//!
//! Source of the quota's rules: Linux `Documentation/scheduler/sched-bwc.rst`. In every period of 100 ms the cgroup
//! may use `limit × 100 ms` of CPU time; when that is spent, all its threads stand still until the period ends, and
//! what is left of a period is lost.

use std::collections::VecDeque;

use units::{Millicores, Nanos};

/// `cpu.cfs_period_us`, as the kubelet sets it.
const PERIOD: Nanos = Nanos::from_millis(100);

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
    workers: usize,
    clock: Clock,
    running: Vec<(Burst, Nanos)>, // with what was left of it at the clock's instant
    queue: VecDeque<Burst>,
    end: Option<Nanos>, // of the burst that ends first
}

/// How far everything has been accounted. It moves only where a burst begins or ends: in between, what the quota does
/// is arithmetic, and nobody needs to be woken for it.
#[derive(Clone, Copy, Debug)]
struct Clock {
    now: Nanos,
    used: Nanos,
    quota: Option<Quota>,
}

#[derive(Clone, Copy, Debug)]
struct Quota {
    per_period: Nanos,
    left: Nanos,
    period_end: Nanos,
}

impl Cpu {
    /// `limit` at or above one core per worker can never throttle and is not tracked.
    pub(crate) fn new(workers: u16, limit: Option<Millicores>, start: Nanos) -> Self {
        let binding = limit.filter(|limit| *limit < Millicores::from_cores(u64::from(workers)));
        let quota = binding.map(|limit| {
            let per_period = Nanos::new((PERIOD.get() / 1_000 * limit.get()).max(1_000_000)); // the kernel's minimum: 1 ms
            Quota { per_period, left: per_period, period_end: start + PERIOD }
        });
        Self {
            workers: usize::from(workers),
            clock: Clock { now: start, used: Nanos::ZERO, quota },
            running: Vec::with_capacity(usize::from(workers)),
            queue: VecDeque::new(),
            end: None,
        }
    }

    /// Adds a burst at the instant since which it waits, to which the CPU must have been advanced.
    pub(crate) fn add(&mut self, burst: Burst) {
        if self.running.len() < self.workers {
            self.catch_up(burst.since);
            self.running.push((burst, burst.demand));
            self.foresee();
        } else {
            self.queue.push_back(burst);
        }
    }

    /// CPU time used until `now`, which is not before the last advance.
    pub(crate) fn used(&self, now: Nanos) -> Nanos {
        let mut clock = self.clock;
        clock.run(self.running.len() as u64, self.end.map_or(now, |end| now.min(end)));
        clock.used
    }

    /// When the next burst ends, if none is added until then.
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
            self.catch_up(end);
            let mut index = 0;
            while index < self.running.len() {
                if self.running[index].1 > Nanos::ZERO {
                    index += 1;
                    continue;
                }
                let (burst, _) = match self.queue.pop_front() {
                    Some(waiting) => std::mem::replace(&mut self.running[index], (waiting, waiting.demand)),
                    None => self.running.swap_remove(index),
                };
                ended(burst, end);
            }
            self.foresee();
        }
        self.catch_up(now); // what follows from these ends begins now and not in the past
    }

    /// Accounts until `at`, before which no burst ends.
    fn catch_up(&mut self, at: Nanos) {
        let ran = self.clock.run(self.running.len() as u64, at);
        for (_, left) in &mut self.running {
            *left = *left - ran;
        }
    }

    fn foresee(&mut self) {
        let shortest = self.running.iter().map(|(_, left)| *left).min();
        self.end = shortest.map(|shortest| self.clock.after(self.running.len() as u64, shortest));
    }
}

impl Clock {
    /// Runs `threads` until `at` and tells how long each of them had a CPU.
    fn run(&mut self, threads: u64, at: Nanos) -> Nanos {
        let mut ran = Nanos::ZERO;
        if threads == 0 {
            self.now = self.now.max(at);
            self.refill();
        }
        while self.now < at {
            ran += self.stretch(threads, at);
        }
        ran
    }

    /// The instant at which each of `threads` will have had a CPU for `time`.
    fn after(mut self, threads: u64, mut time: Nanos) -> Nanos {
        while time > Nanos::ZERO {
            let at = if self.throttled() { Nanos::MAX } else { self.now + time };
            time = time - self.stretch(threads, at);
        }
        self.now
    }

    /// Until `at`, or until the quota is spent, or until it comes back: all threads run, or none does. How long.
    fn stretch(&mut self, threads: u64, at: Nanos) -> Nanos {
        let mut until = at;
        let throttled = self.throttled();
        if let Some(quota) = &self.quota {
            until = until.min(quota.period_end);
            if !throttled {
                until = until.min(self.now + Nanos::new(quota.left.get().div_ceil(threads)));
            }
        }
        let ran = if throttled { Nanos::ZERO } else { until - self.now };
        self.now = until;
        self.used += ran * threads;
        if let Some(quota) = &mut self.quota {
            quota.left = quota.left - ran * threads;
        }
        self.refill();
        ran
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
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    fn ends(cpu: &mut Cpu, until: Nanos) -> Vec<(u32, u64)> {
        let mut ends = Vec::new();
        cpu.advance(until, |burst, at| ends.push((burst.job, at.as_millis())));
        ends
    }

    fn burst(job: u32, demand: u64) -> Burst {
        Burst { job, demand: ms(demand), since: Nanos::ZERO }
    }

    #[test]
    fn first_come_first_served_at_exact_instants_however_late_the_caller_is() {
        let mut cpu = Cpu::new(1, None, Nanos::ZERO);
        (0..3).for_each(|job| cpu.add(burst(job, 10)));
        assert_eq!(ends(&mut cpu, ms(500)), [(0, 10), (1, 20), (2, 30)]);
        assert_eq!(cpu.used(ms(500)), ms(30));
    }

    #[test]
    fn two_workers_run_two() {
        let mut cpu = Cpu::new(2, None, Nanos::ZERO);
        (0..3).for_each(|job| cpu.add(burst(job, 10)));
        assert_eq!(ends(&mut cpu, ms(500)), [(0, 10), (1, 10), (2, 20)]);
    }

    #[test]
    fn a_quota_of_half_a_core_stands_still_for_the_rest_of_each_period() {
        let mut cpu = Cpu::new(1, Some(Millicores::new(500)), Nanos::ZERO);
        cpu.add(burst(0, 120));
        assert_eq!(cpu.used(ms(70)), ms(50), "throttled after 50 ms");
        assert_eq!(cpu.used(ms(180)), ms(100), "asked two periods later, without an advance in between");
        // 50 ms in each of the first two periods, the last 20 ms in the third.
        assert_eq!(ends(&mut cpu, ms(500)), [(0, 220)]);
        assert_eq!(cpu.used(ms(500)), ms(120));
    }

    #[test]
    fn what_a_period_leaves_is_lost() {
        let mut cpu = Cpu::new(1, Some(Millicores::new(500)), Nanos::ZERO);
        ends(&mut cpu, ms(1_000));
        cpu.add(Burst { since: ms(1_000), ..burst(0, 60) });
        assert_eq!(ends(&mut cpu, ms(1_500)), [(0, 1_110)]);
    }

    #[test]
    fn two_threads_share_a_quota_and_a_later_one_spends_it_sooner() {
        let mut cpu = Cpu::new(2, Some(Millicores::new(1_000)), Nanos::ZERO);
        cpu.add(burst(0, 90));
        assert_eq!(cpu.next(), Some(ms(90)));
        assert_eq!(ends(&mut cpu, ms(40)), []);
        cpu.add(Burst { since: ms(40), ..burst(1, 50) });
        // 60 ms are left and spent at 70; from 100 on, the first needs 20 ms more and the second as well.
        assert_eq!((cpu.next(), cpu.used(ms(80))), (Some(ms(120)), ms(100)));
        assert_eq!(ends(&mut cpu, ms(500)), [(0, 120), (1, 120)]);
        assert_eq!(cpu.used(ms(500)), ms(140));
    }

    #[test]
    fn a_limit_of_a_core_per_worker_never_throttles() {
        let mut cpu = Cpu::new(2, Some(Millicores::from_cores(2)), Nanos::ZERO);
        (0..2).for_each(|job| cpu.add(burst(job, 350)));
        assert_eq!(ends(&mut cpu, ms(1_000)), [(0, 350), (1, 350)]);
    }
}
