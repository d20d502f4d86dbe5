//! What becomes due when: arrivals from the seeded schedule, steps after a think time, and requests that waited too
//! long. All of it runs on the clock's thread, which no request can delay.

use std::sync::atomic::Ordering;

use scenarios::{Arrival, Arrivals, Journey};
use units::Nanos;

use crate::backlog::Due;
use crate::exchange::{Player, count};
use crate::pulse;

/// Arrivals closer than this to each other are handed over together. Waking costs about 5 µs of CPU, a third of the
/// driver's time if every arrival of 100,000 a second had one; and the clock itself is 40 µs late.
const PAUSE: Nanos = Nanos::from_micros(50);
/// With this many requests waiting for a worker, nobody is served later for a coarser schedule.
const CROWD: usize = 1_000;
const PAUSE_IN_A_CROWD: Nanos = Nanos::from_millis(1);

/// The arrivals still to come.
struct Schedule {
    player: &'static Player,
    arrivals: std::iter::Peekable<Box<dyn Iterator<Item = Arrival> + Send>>,
    load_start: Nanos,
    batch: Vec<Due>,
}

/// Begins load at `load_start`.
pub(crate) fn start(player: &'static Player, load_start: Nanos) {
    let part = player.part;
    let arrivals = Arrivals::new(&player.plan).filter(move |arrival| part.takes(arrival));
    let arrivals: Box<dyn Iterator<Item = Arrival> + Send> = Box::new(arrivals);
    let schedule = Schedule { player, arrivals: arrivals.peekable(), load_start, batch: Vec::new() };
    player.clock.call_at(load_start, move |now| schedule.tick(now));
    pulse::beat(player, load_start);
    expire(player);
}

impl Schedule {
    /// Hands over every arrival that is due, and comes back for the next one.
    fn tick(mut self, now: Nanos) {
        let Self { player, load_start, .. } = self;
        if player.backlog.is_stopped() {
            return player.backlog.no_more_arrivals();
        }
        while let Some(arrival) = self.arrivals.next_if(|arrival| load_start + arrival.due <= now) {
            count(&player.counts.arrivals);
            player.lateness.record(now - (load_start + arrival.due));
            let mut journey = Journey::new(arrival);
            let next = journey.begin(&player.plan, load_start);
            self.batch.extend(Due::of(player.lane(&arrival), journey, next));
        }
        player.counts.due.fetch_add(self.batch.len() as u64, Ordering::Relaxed);
        let waiting = player.backlog.push(&mut self.batch);
        for request in self.batch.drain(..) {
            // Nothing is dropped in silence. Whoever finds no room now comes back as after any failure, if at all.
            if let Some(again) = player.give_up(&request, now) {
                player.backlog.await_thought();
                player.clock.call_at(again.intended, move |_| thought(player, again));
            }
        }
        match self.arrivals.peek() {
            Some(arrival) => {
                let pause = if waiting < CROWD { PAUSE } else { PAUSE_IN_A_CROWD };
                let at = (load_start + arrival.due).max(now + pause);
                player.clock.call_at(at, move |now| self.tick(now));
            }
            None => player.backlog.no_more_arrivals(),
        }
    }
}

/// A worker of open load is done with a request, and its session goes on with `next`: at once, after some thought, or
/// not at all.
pub(crate) fn proceed(player: &'static Player, next: Option<Due>) {
    player.backlog.release(next.is_some());
    next.into_iter().for_each(|request| think(player, request));
}

/// The user of this request thinks until it is due.
fn think(player: &'static Player, request: Due) {
    if request.intended <= player.clock.now() {
        thought(player, request);
    } else {
        player.clock.call_at(request.intended, move |_| thought(player, request));
    }
}

/// The user of this request is done thinking.
fn thought(player: &'static Player, request: Due) {
    count(&player.counts.due);
    if player.backlog.push_thought(request) {
        return;
    }
    match player.give_up(&request, player.clock.now()) {
        Some(again) => player.clock.call_at(again.intended, move |_| thought(player, again)),
        None => player.backlog.forget(),
    }
}

/// Gives up, again and again, what waited longer than a client would.
fn expire(player: &'static Player) {
    let timeout = player.plan.timeout;
    let period = (timeout / 20).clamp(Nanos::from_millis(1), Nanos::from_millis(50));
    player.clock.call_at(player.clock.now() + period, move |now| {
        let coming = player.backlog.expire(now - timeout, |request| player.give_up(&request, now));
        coming.into_iter().for_each(|request| think(player, request));
        expire(player);
    });
}
