//! Real CPU time and memory for what a station accounts: for machines on which somebody else counts, such as a cluster's own
//! metrics server.
//!
//! The whole process is led to what the station accounts, not a surplus beside it: what serving takes by itself is burnt
//! already. Threads spin what is missing, spread over some tenths of a second, so that a limit of the container that the
//! station keeps is kept by the process, too. They are nicer than those that serve.

use std::hint;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::time::ClockId;
use units::Nanos;

use crate::LiveStation;

/// Between two looks of a thread.
const TICK: Duration = Duration::from_millis(20);
/// Of what is missing, this part is burnt at a look: nine tenths of it within half a second.
const PART: u64 = 10;
/// Less is not worth a look's while.
const LEAST: Nanos = Nanos::from_micros(500);
/// What the machine does not give within so much of each thread's time is forgotten, and counted.
const PATIENCE: Nanos = Nanos::from_secs(2);
/// Serving may be ahead of the accounts by that: what more it took is not taken off later.
const AHEAD: Nanos = Nanos::from_millis(100);
/// How much less a burning thread weighs than one that serves.
const NICER: i32 = 10;
/// What memory is held in.
const PIECE: usize = 1 << 20;
/// Between two looks at the memory.
const SETTLE: Duration = Duration::from_millis(200);

/// Burns and holds what a station accounts, until the process ends.
#[derive(Clone, Debug, Default)]
pub struct Burn {
    debt: Arc<Mutex<Debt>>,
}

impl Burn {
    /// Starts a thread for each of the station's workers, as far as there are CPUs, and one for its memory.
    pub fn start(&self, station: &LiveStation, workers: u16) -> std::io::Result<()> {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let threads = usize::from(workers).clamp(1, cpus) as u64;
        let (accounted, _) = station.usage();
        *self.lock() = Debt { seen: (accounted, process_cpu()), most: PATIENCE * threads, ..Debt::default() };
        for index in 0..threads {
            let (debt, station) = (Arc::clone(&self.debt), station.clone());
            let spin = move || {
                rustix::process::nice(NICER).ok(); // without it the threads only weigh the same
                loop {
                    pause(TICK);
                    let (accounted, _) = station.usage();
                    let missing = locked(&debt).settle(accounted, process_cpu());
                    burn(Nanos::new(missing.get() / PART / threads));
                }
            };
            thread::Builder::new().name(format!("burn-{index}")).spawn(spin)?;
        }
        let station = station.clone();
        thread::Builder::new().name("ballast".to_owned()).spawn(move || hold(&station))?;
        Ok(())
    }

    /// What was accounted and could not be burnt, since the machine had no more.
    pub fn unburnt(&self) -> Nanos {
        self.lock().forgotten
    }

    fn lock(&self) -> MutexGuard<'_, Debt> {
        locked(&self.debt)
    }
}

fn locked(debt: &Mutex<Debt>) -> MutexGuard<'_, Debt> {
    debt.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far the process is behind the accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Debt {
    /// Of the accounts and of the process, at the last look.
    seen: (Nanos, Nanos),
    missing: Nanos,
    ahead: Nanos,
    forgotten: Nanos,
    most: Nanos,
}

impl Debt {
    /// Both have come this far. Returns what is missing.
    fn settle(&mut self, accounted: Nanos, used: Nanos) -> Nanos {
        let more = accounted - self.seen.0; // never below zero
        let less = used - self.seen.1;
        self.seen = (accounted.max(self.seen.0), used.max(self.seen.1));
        let (owed, paid) = (self.missing + more, self.ahead + less);
        self.missing = owed - paid;
        self.ahead = (paid - owed).min(AHEAD);
        let forgotten = self.missing - self.most;
        self.forgotten += forgotten;
        self.missing = self.missing - forgotten;
        self.missing
    }
}

/// Spins until this thread has used so much more CPU time: time in which it does not run is none.
fn burn(time: Nanos) {
    if time < LEAST {
        return;
    }
    let end = cpu(ClockId::ThreadCPUTime) + time;
    while cpu(ClockId::ThreadCPUTime) < end {
        (0..2_000).for_each(|_| hint::spin_loop());
    }
}

/// Keeps the process as large as the station says it is.
fn hold(station: &LiveStation) {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    loop {
        let (_, accounted) = station.usage();
        if let Some(resident) = resident() {
            pieces.resize_with(held(pieces.len(), resident, accounted.get()), || vec![1; PIECE]);
        }
        pause(SETTLE);
    }
}

/// How many pieces to hold, where so many make the process that large.
fn held(pieces: usize, resident: u64, accounted: u64) -> usize {
    let more = accounted.saturating_sub(resident) / PIECE as u64;
    let less = resident.saturating_sub(accounted).div_ceil(PIECE as u64);
    (pieces + more as usize).saturating_sub(less as usize)
}

/// What of this process is in memory, bytes.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1_024)
}

fn process_cpu() -> Nanos {
    cpu(ClockId::ProcessCPUTime)
}

fn cpu(clock: ClockId) -> Nanos {
    let time = rustix::time::clock_gettime(clock);
    Nanos::new(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[expect(clippy::disallowed_methods, reason = "a pause between two looks; nothing is measured by it")]
fn pause(time: Duration) {
    thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_owes_what_is_accounted_and_not_used() {
        let ms = Nanos::from_millis;
        let mut debt = Debt { most: ms(400), ..Debt::default() };
        for (case, accounted, used, missing, forgotten) in [
            ("nothing yet", 0, 0, 0, 0),
            ("a request was served by the model", 20, 1, 19, 0),
            ("some of it was burnt", 20, 9, 11, 0),
            ("all, and a little more", 20, 22, 0, 0),
            ("what it was ahead is taken off", 30, 22, 8, 0),
            ("serving takes more than is accounted", 30, 530, 0, 0),
            ("and that is taken off as far as a tenth of a second goes", 200, 530, 70, 0),
            ("more than there is time for is forgotten", 730, 530, 400, 200),
            ("and stays forgotten", 730, 930, 0, 200),
        ] {
            let found = debt.settle(ms(accounted), ms(used));
            assert_eq!((found, debt.forgotten), (ms(missing), ms(forgotten)), "{case}");
        }
    }

    #[test]
    fn memory_is_held_up_to_what_is_accounted() {
        let mebi = 1 << 20;
        for (case, pieces, resident, accounted, want) in [
            ("from nothing", 0, 8 * mebi, 100 * mebi, 92),
            ("as it is", 92, 100 * mebi, 100 * mebi, 92),
            ("part of a piece is none", 92, 100 * mebi, 101 * mebi - 1, 92),
            ("a request has gone", 92, 100 * mebi, 98 * mebi + 1, 90),
            ("the process alone is larger", 0, 30 * mebi, 16 * mebi, 0),
        ] {
            assert_eq!(held(pieces, resident, accounted), want, "{case}");
        }
    }
}
