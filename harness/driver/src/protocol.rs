//! What crosses the pipes between the parent and the driver.
//!
//! Down, on the child's stdin: one JSON document a line, first [`Orders`], then [`Update`]s; [`Update::Ping`] may come
//! before everything else; the end of input means *stop at once*. Up, on its stdout: frames of 88 bytes, most of them observations. A frame whose cause byte is no
//! [`Cause`](record::Cause) is a message of the driver about itself.

use std::net::{IpAddr, SocketAddr};

use record::{Observation, ObservationError};
use scenarios::{LoadPlan, Part};
use serde::{Deserialize, Serialize};
use units::Nanos;

/// All that a driver needs before it can stand ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// What to play.
    pub plan: LoadPlan,
    /// How much of it.
    #[serde(default)]
    pub part: Part,
    /// The run's epoch as a reading of `CLOCK_MONOTONIC`: [`clock::Clock::epoch`].
    pub epoch_ns: u64,
    /// The address each client sends from, at least [`LoadPlan::clients`] of them.
    pub clients: Vec<IpAddr>,
    /// Requests under way at once, at most. `None`: [`workers_for`](crate::workers_for) the plan. Never more than the
    /// process has file descriptors.
    pub workers: Option<usize>,
    /// There is one address for everybody: clients do not send from theirs, but say it, with this proof.
    #[serde(default)]
    pub proof: Option<String>,
    /// Who puts a request on the wire.
    #[serde(default)]
    pub sender: Sender,
}

/// Who puts a request on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sender {
    /// Our own connections over hyper, inside goose's transactions: the faster way, polled without a task switch.
    #[default]
    Hyper,
    /// Goose's own `GooseUser::request`, over a reqwest client per virtual client.
    Goose,
}

/// What changes while a driver runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// The gateway pods that are ready, in order of their address. Holds for connections made from now on: a Service
    /// does not break those that stand.
    Doors(Vec<Door>),
    /// Load begins.
    Start {
        /// At this instant of the run's clock.
        load_start: Nanos,
    },
    /// No new arrivals and no further steps; what is due or under way ends by its own timeout.
    Stop,
    /// What does its clock say? The only one that may come before the orders.
    Ping(u64),
}

/// A gateway pod that takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Counted from 1 in the order of pod creation: [`Observation::gateway_pod`].
    pub pod: u16,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// What the driver tells its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A request ended.
    Observation(Observation),
    /// How the driver is, several times a second while load is on.
    Pulse(Pulse),
    /// The driver is done; nothing follows.
    Summary(Summary),
}

/// The driver about itself while load is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Requests that became due so far.
    pub due: u64,
    /// Requests observed so far, in whatever way they ended.
    pub ended: u64,
    /// CPU time of the whole process so far, microseconds.
    pub cpu_us: u64,
    /// Workers of open load with a request under way.
    pub busy: u32,
    /// Requests that wait for a worker.
    pub waiting: u32,
    /// How late this pulse is, microseconds: a process that was stopped, or had no CPU, is late by that long.
    pub late_us: u32,
}

/// The driver about itself, at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sessions that began.
    pub arrivals: u64,
    /// Requests observed, in whatever way they ended.
    pub requests: u64,
    /// Requests that could not be sent in time, or not at all.
    pub not_sent: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// CPU time of the whole process, microseconds.
    pub cpu_us: u64,
    /// Most requests that ever waited for a worker at once.
    pub backlog_max: u32,
    /// Size of the worker pool.
    pub workers: u32,
    /// Most workers of open load ever busy at once.
    pub busy_max: u32,
    /// Requests of open load that found no worker idle when they became due.
    pub starved: u32,
    /// How late the schedule itself ran, 99th percentile over arrivals, microseconds. Lag beyond it is the time
    /// between handing a request over and sending it.
    pub late_p99_us: u32,
}

/// What one frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Observation(Observation),
    /// The workers stand; load may start.
    Ready,
    Pulse(Pulse),
    Summary(Summary),
    /// The clock, in answer to a question.
    Pong {
        question: u64,
        monotonic_ns: u64,
    },
}

const CAUSE: usize = 44; // offset of the cause byte in an observation frame
const PONG: u8 = 0xfc;
const PULSE: u8 = 0xfd;
const READY: u8 = 0xfe;
const SUMMARY: u8 = 0xff;

impl Frame {
    pub(crate) fn encode(self) -> [u8; Observation::FRAME] {
        let mut frame = [0; Observation::FRAME];
        match self {
            Self::Observation(observation) => return observation.encode(),
            Self::Ready => frame[CAUSE] = READY,
            Self::Pong { question, monotonic_ns } => {
                fill(&mut frame[..16], [question, monotonic_ns].map(u64::to_le_bytes));
                frame[CAUSE] = PONG;
            }
            Self::Pulse(pulse) => {
                fill(&mut frame[..24], [pulse.due, pulse.ended, pulse.cpu_us].map(u64::to_le_bytes));
                fill(&mut frame[48..60], [pulse.busy, pulse.waiting, pulse.late_us].map(u32::to_le_bytes));
                frame[CAUSE] = PULSE;
            }
            Self::Summary(summary) => {
                let wide = [summary.arrivals, summary.requests, summary.not_sent, summary.connections, summary.cpu_us];
                fill(&mut frame[..40], wide.map(u64::to_le_bytes));
                fill(&mut frame[40..44], [summary.starved.to_le_bytes()]);
                let narrow = [summary.backlog_max, summary.workers, summary.busy_max, summary.late_p99_us];
                fill(&mut frame[48..], narrow.map(u32::to_le_bytes));
                frame[CAUSE] = SUMMARY;
            }
        }
        frame
    }

    pub(crate) fn decode(frame: &[u8; Observation::FRAME]) -> Result<Self, ObservationError> {
        let wide = |index: usize| u64::from_le_bytes(*frame[index * 8..].first_chunk().expect("within the frame"));
        let u32_at = |at: usize| u32::from_le_bytes(*frame[at..].first_chunk().expect("within the frame"));
        let narrow = |index: usize| u32_at(48 + index * 4);
        match frame[CAUSE] {
            READY => Ok(Self::Ready),
            PONG => Ok(Self::Pong { question: wide(0), monotonic_ns: wide(1) }),
            PULSE => Ok(Self::Pulse(Pulse {
                due: wide(0),
                ended: wide(1),
                cpu_us: wide(2),
                busy: narrow(0),
                waiting: narrow(1),
                late_us: narrow(2),
            })),
            SUMMARY => Ok(Self::Summary(Summary {
                arrivals: wide(0),
                requests: wide(1),
                not_sent: wide(2),
                connections: wide(3),
                cpu_us: wide(4),
                backlog_max: narrow(0),
                workers: narrow(1),
                busy_max: narrow(2),
                starved: u32_at(40),
                late_p99_us: narrow(3),
            })),
            _ => Observation::decode(frame).map(Self::Observation),
        }
    }
}

/// Puts values side by side.
fn fill<const N: usize>(place: &mut [u8], values: impl IntoIterator<Item = [u8; N]>) {
    place.chunks_exact_mut(N).zip(values).for_each(|(slot, value)| slot.copy_from_slice(&value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_frame_survives_the_pipe() {
        let summary = Summary {
            arrivals: u64::MAX,
            requests: 2,
            not_sent: 3,
            connections: 4,
            cpu_us: 5,
            backlog_max: u32::MAX,
            workers: 7,
            busy_max: 8,
            starved: u32::MAX - 1,
            late_p99_us: u32::MAX - 2,
        };
        let pulse = Pulse { due: 1, ended: u64::MAX, cpu_us: 3, busy: 4, waiting: 5, late_us: u32::MAX };
        let observation = Observation { arrival: 9, status: 200, ..Observation::default() };
        let pong = Frame::Pong { question: 3, monotonic_ns: u64::MAX - 1 };
        let told = [Frame::Pulse(pulse), Frame::Summary(summary), Frame::Observation(observation)];
        for frame in [Frame::Ready, pong].into_iter().chain(told) {
            assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }
    }

    #[test]
    fn a_frame_of_another_version_is_refused() {
        let mut frame = Frame::Ready.encode();
        frame[CAUSE] = 0xfb;
        assert_eq!(Frame::decode(&frame), Err(ObservationError::UnknownCause(0xfb)));
    }
}
