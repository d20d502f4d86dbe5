//! `proxy_read_timeout`: how long an nginx waits between two reads from its peer.
//!
//! Owns the rows of timeouts, one for each length. Only lengths below the patience of every client are in force: behind
//! longer ones the client is gone first, and a request costs nothing for them.

use gateway::{Answer, Broken, ReplyFrom, Routed};
use platform::{GatewayConfig, Location};
use scenarios::Plan;
use units::Nanos;

use crate::client::{Nginx, Session};
use crate::timeouts::Timeouts;
use crate::world::{Event, World};

/// A try of a session's request at a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try {
    session: u32,
    generation: u32,
    at: Nginx,
    nth: u32,
}

/// One row for each length.
#[derive(Debug)]
pub(crate) struct Reads(Vec<Timeouts<Try>>);

impl Reads {
    pub(crate) fn new(plan: &Plan) -> Self {
        let configs = [plan.platform.gateway.as_ref().map(|gateway| &gateway.config), plan.ingress.as_deref()];
        let locations = configs.into_iter().flatten().flat_map(|config| &config.servers).flat_map(|s| &s.locations);
        let mut lengths: Vec<Nanos> =
            locations.map(|location| location.read_timeout).filter(|length| *length < plan.load.timeout).collect();
        lengths.sort_unstable();
        lengths.dedup();
        Self(lengths.into_iter().map(Timeouts::new).collect())
    }

    /// Whether any is in force.
    pub(crate) fn any(&self) -> bool {
        !self.0.is_empty()
    }
}

impl World<'_> {
    /// The configuration of the nginx that has a session's request.
    pub(crate) fn config(&self, at: Nginx) -> Option<&GatewayConfig> {
        match at {
            Nginx::Gateway => self.plan.platform.gateway.as_ref().map(|gateway| &gateway.config),
            Nginx::Ingress => self.plan.ingress.as_deref(),
        }
    }

    /// The location of that nginx that has it.
    pub(crate) fn location(&self, s: &Session) -> Option<&Location> {
        let target = self.plan.target(s.step);
        match if s.at == Nginx::Gateway { target.gateway } else { target.ingress } {
            Some(Routed::To(id)) => self.config(s.at).map(|config| config.location(id)),
            _ => None,
        }
    }

    /// A peer has a session's request since `since`, and the nginx at `at` waits for its answer.
    pub(crate) fn await_read(&mut self, session: u32, since: Nanos) {
        if !self.reads.any() {
            return;
        }
        let s = self.sessions[session];
        let Some(length) = self.location(&s).map(|location| location.read_timeout) else { return };
        let this = Try { session, generation: s.generation, at: s.at, nth: s.exchange.tried().count_ones() };
        if let Some(row) = self.reads.0.iter().position(|row| row.length() == length)
            && let Some(expires) = self.reads.0[row].begin(since, this)
        {
            self.queue.schedule(expires, Event::ReadTimeouts { row: row as u16 });
        }
    }

    /// Whether nobody waits for that try any more.
    fn settled(&self, this: Try) -> bool {
        let s = &self.sessions[this.session];
        if s.generation != this.generation || s.streaming {
            return true;
        }
        // Where the gateway has the request, the ingress controller waits for it.
        let exchange = match (this.at, s.at, &self.ingress) {
            (Nginx::Ingress, Nginx::Gateway, Some(ingress)) => ingress.peek(this.session),
            (at, now, _) if at == now => Some(s.exchange),
            _ => None,
        };
        exchange.is_none_or(|e| e.at_peer().is_none() || e.tried().count_ones() != this.nth)
    }

    /// Peers have been silent for too long.
    pub(crate) fn read_timeouts(&mut self, row: u16) {
        let row_index = usize::from(row);
        while let Some(this) = self.reads.0[row_index].expired(self.now) {
            if self.settled(this) {
                continue;
            }
            let at = self.now + self.settings.hop;
            let answer = Answer::Broken(Broken::Timeout);
            if this.at == self.sessions[this.session].at {
                self.exchange(this.session, Some(answer), at);
            } else {
                self.back_at_ingress(this.session, at, answer, ReplyFrom::BadGateway);
            }
        }
        let mut waiting = std::mem::replace(&mut self.reads.0[row_index], Timeouts::new(Nanos::ZERO));
        let next = waiting.next(|this| self.settled(this));
        self.reads.0[row_index] = waiting;
        if let Some(next) = next {
            self.queue.schedule(next, Event::ReadTimeouts { row });
        }
    }

    /// The first piece of a session's stream goes out: from now on each piece is waited for alone. `gaps` are the times
    /// between them; a gap that is too long ends the answer in its middle.
    pub(crate) fn streams(&mut self, session: u32, generation: u32, gaps: impl Iterator<Item = Nanos>) {
        let s = &mut self.sessions[session];
        if s.generation != generation {
            return;
        }
        s.streaming = true;
        let s = *s;
        let Some(patience) = self.location(&s).map(|location| location.read_timeout) else { return };
        let mut passed = Nanos::ZERO;
        for gap in gaps {
            if gap > patience {
                let broken = Event::GivenUp { session, generation, connecting: false };
                return self.queue.schedule(self.now + passed + patience, broken);
            }
            passed += gap;
        }
    }
}
