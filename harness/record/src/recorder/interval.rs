//! The interval log: a line for each second and step, as the second ends.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use units::Nanos;

use super::StepPlan;
use crate::deflate::Deflater;
use crate::histogram::{record, with_room};
use crate::{Observation, StepId};

/// What the interval log calls a step: its name without what the format forbids in a tag.
pub fn interval_tag(step: &str) -> String {
    step.replace([' ', ',', '\r', '\n'], "-")
}

/// The second that is being written.
#[derive(Debug, Default)]
pub(super) struct Interval {
    second: u64,
    steps: BTreeMap<StepId, Histogram<u32>>,
    closed: Vec<(u64, StepId, Histogram<u32>)>,
    longest_us: u64,
    deflater: Deflater,
}

impl Interval {
    pub(super) fn observe(&mut self, observation: &Observation) {
        let second = observation.done.as_secs();
        if second > self.second {
            self.close(second);
        }
        if observation.ok() {
            let us = observation.response().as_micros();
            self.longest_us = self.longest_us.max(us);
            let longest = self.longest_us;
            record(self.steps.entry(observation.step).or_insert_with(|| with_room(longest, 3)), us);
        }
    }

    fn close(&mut self, next: u64) {
        let second = std::mem::replace(&mut self.second, next);
        self.closed
            .extend(std::mem::take(&mut self.steps).into_iter().map(|(step, histogram)| (second, step, histogram)));
    }

    pub(super) fn drain(&mut self, now: Nanos, steps: &[StepPlan], into: &mut Vec<u8>) {
        if now.as_secs() > self.second {
            self.close(now.as_secs());
        }
        let Ok(mut log) = IntervalLogWriterBuilder::new().begin_log_with(into, &mut self.deflater) else { return };
        for (second, step, histogram) in self.closed.drain(..) {
            let tag = interval_tag(&steps[usize::from(step.0)].name);
            let tag = Tag::new(&tag);
            log.write_histogram(&histogram, Duration::from_secs(second), Duration::from_secs(1), tag)
                .expect("writing to memory does not fail");
        }
    }
}
