//! Observation frames on their way out. Workers append to one buffer under a mutex held for a copy of one frame; a
//! thread of its own writes, so that a parent who is slow to read delays no request.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use record::Observation;

use crate::protocol::Frame;

/// The parent sees an observation at most this long after it was made, unless it is slow to read.
const FLUSH: Duration = Duration::from_millis(50);
/// Written at once when this much is waiting: half of what a pipe holds.
const FULL: usize = 32 * 1024;

/// Takes frames from any thread.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    waiting: Mutex<Waiting>,
    full: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    closed: bool,
    /// Somebody measures how long this takes.
    urgent: bool,
}

impl Sink {
    pub(crate) fn push(&self, frame: Frame) {
        let frame = frame.encode();
        let mut waiting = self.lock();
        if waiting.closed {
            return; // the parent has been told that nothing follows
        }
        let before = waiting.bytes.len();
        waiting.bytes.extend_from_slice(&frame);
        if before < FULL && before + Observation::FRAME >= FULL {
            self.full.notify_one();
        }
    }

    /// The same, and out at once.
    pub(crate) fn urgent(&self, frame: Frame) {
        self.push(frame);
        self.lock().urgent = true;
        self.full.notify_one();
    }

    /// The last frame: [`write`](Self::write) returns when it is out.
    pub(crate) fn close(&self, last: Frame) {
        let mut waiting = self.lock();
        waiting.bytes.extend_from_slice(&last.encode());
        waiting.closed = true;
        self.full.notify_one();
    }

    /// Writes frames until the sink is closed and empty.
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut batch = Vec::with_capacity(2 * FULL);
        loop {
            let closed = {
                let waiting = self.lock();
                let idle = |waiting: &mut Waiting| waiting.bytes.len() < FULL && !waiting.closed && !waiting.urgent;
                let (mut waiting, _) =
                    self.full.wait_timeout_while(waiting, FLUSH, idle).unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut waiting.bytes, &mut batch);
                waiting.urgent = false;
                waiting.closed
            };
            to.write_all(&batch)?;
            batch.clear();
            if closed && self.lock().bytes.is_empty() {
                return to.flush();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner) // bytes are appended whole or not at all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_comes_out_once_and_in_order() {
        let sink = Sink::default();
        let mut out = Vec::new();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| sink.write(&mut out));
            let frame = |arrival| Frame::Observation(Observation { arrival, ..Observation::default() });
            (0..4_999).for_each(|arrival| sink.push(frame(arrival)));
            sink.close(frame(4_999));
            sink.push(frame(5_000)); // too late
            writer.join().unwrap().unwrap();
        });
        let arrivals: Vec<u64> = out
            .chunks_exact(Observation::FRAME)
            .map(|frame| Observation::decode(frame.try_into().unwrap()).unwrap().arrival)
            .collect();
        assert_eq!(arrivals, (0..5_000).collect::<Vec<_>>());
    }
}
