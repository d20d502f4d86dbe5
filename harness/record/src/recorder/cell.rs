//! What is kept of a step in a phase, and of a pod.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::{PodCounts, StepPlan};
use crate::histogram::{histogram, record};
use crate::{Cause, Judged, Observation, Quantiles, StepResult, TimeSplit};

/// A step in a phase.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) n: u64,
    pub(super) failed: BTreeMap<Cause, u64>,
    /// By status, in the order in which they were first seen: nearly all answers have the first one.
    statuses: Vec<(u16, u64)>,
    pub(super) response: Histogram<u32>,
    service: Histogram<u32>,
    lag: Histogram<u32>,
    first_byte: Histogram<u32>,
    gap: Histogram<u32>,
    parts: Vec<Parts>, // by response, in bins of an eighth of a doubling
}

/// A pod behind the gateway, over the whole run.
#[derive(Debug)]
pub(super) struct PodCell {
    n: u64,
    failed: u64,
    response: Histogram<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    n: u64,
    response: u64,
    queue: u64,
    cpu: u64,
    wait: u64,
    limiter: u64,
    downstream: u64,
    downstream_queue: u64,
    retry: u64,
    lag: u64,
}

impl Cell {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            n: 0,
            failed: BTreeMap::new(),
            statuses: Vec::new(),
            response: histogram(),
            service: histogram(),
            lag: histogram(),
            first_byte: histogram(),
            gap: histogram(),
            parts: Vec::new(),
        })
    }

    pub(super) fn observe(&mut self, o: &Observation) {
        self.n += 1;
        match self.statuses.iter_mut().find(|(status, _)| *status == o.status) {
            Some((_, n)) => *n += 1,
            None => self.statuses.push((o.status, 1)),
        }
        if o.cause != Cause::NotSent {
            record(&mut self.lag, o.lag().as_micros());
        }
        if !o.ok() {
            *self.failed.entry(o.cause).or_default() += 1;
            return;
        }
        let response = o.response().as_micros();
        record(&mut self.response, response);
        record(&mut self.service, o.service().as_micros());
        for (times, us) in [(&mut self.first_byte, o.first_byte_us), (&mut self.gap, o.gap_us)] {
            if us > 0 {
                record(times, us.into());
            }
        }
        let bin = usize::from(bin(response));
        if self.parts.len() <= bin {
            self.parts.resize(bin + 1, Parts::default());
        }
        let parts = &mut self.parts[bin];
        parts.n += 1;
        parts.response += response;
        parts.queue += u64::from(o.hops.queue_us);
        parts.cpu += u64::from(o.hops.cpu_us);
        parts.wait += u64::from(o.hops.wait_us);
        parts.limiter += u64::from(o.hops.limiter_us);
        parts.downstream += u64::from(o.hops.downstream_us);
        parts.downstream_queue += u64::from(o.hops.downstream_queue_us);
        parts.retry += u64::from(o.hops.retry_us);
        parts.lag += o.lag().as_micros();
    }

    pub(super) fn result(&self, step: &StepPlan, phase: &str, judged: Vec<Judged>) -> StepResult {
        let seen = |times: &Histogram<u32>| (!times.is_empty()).then(|| Quantiles::of(times));
        StepResult {
            flow: step.flow.clone(),
            step: step.name.clone(),
            request: step.request.clone(),
            journey: String::new(),
            phase: phase.into(),
            n: self.n,
            failed: self.failed.clone(),
            statuses: self.statuses.iter().copied().collect(),
            response: Quantiles::of(&self.response),
            service: Quantiles::of(&self.service),
            lag: Quantiles::of(&self.lag),
            judged,
            first_byte: seen(&self.first_byte),
            gap: seen(&self.gap),
        }
    }

    /// Requests within an eighth of a doubling of p95, and their neighbours.
    pub(super) fn split(&self, step: &str, phase: &str) -> Option<TimeSplit> {
        if self.response.is_empty() {
            return None;
        }
        let middle = bin(self.response.value_at_quantile(0.95));
        let around = self.parts.iter().skip(usize::from(middle.saturating_sub(1))).take(usize::from(middle.min(1)) + 2);
        let sum = around.fold(Parts::default(), |a, b| Parts {
            n: a.n + b.n,
            response: a.response + b.response,
            queue: a.queue + b.queue,
            cpu: a.cpu + b.cpu,
            wait: a.wait + b.wait,
            limiter: a.limiter + b.limiter,
            downstream: a.downstream + b.downstream,
            downstream_queue: a.downstream_queue + b.downstream_queue,
            retry: a.retry + b.retry,
            lag: a.lag + b.lag,
        });
        let mean = |total: u64| total / sum.n.max(1);
        let split = TimeSplit {
            step: step.into(),
            phase: phase.into(),
            response_us: mean(sum.response),
            queue_us: mean(sum.queue),
            cpu_us: mean(sum.cpu),
            wait_us: mean(sum.wait),
            limiter_us: mean(sum.limiter),
            downstream_us: mean(sum.downstream),
            downstream_queue_us: mean(sum.downstream_queue),
            retry_us: mean(sum.retry),
            lag_us: mean(sum.lag),
            other_us: 0,
        };
        let own = split.queue_us + split.cpu_us + split.wait_us;
        let named = own + split.downstream_us + split.retry_us + split.limiter_us + split.lag_us;
        Some(TimeSplit { other_us: split.response_us.saturating_sub(named), ..split })
    }
}

impl PodCell {
    pub(super) fn new() -> Self {
        Self { n: 0, failed: 0, response: histogram() }
    }

    pub(super) fn observe(&mut self, o: &Observation) {
        self.n += 1;
        if o.ok() {
            record(&mut self.response, o.response().as_micros());
        } else {
            self.failed += 1;
        }
    }

    pub(super) fn counts(&self, pod: u16) -> PodCounts {
        PodCounts { pod, n: self.n, failed: self.failed, response: Quantiles::of(&self.response) }
    }
}

/// Eight bins per doubling.
fn bin(us: u64) -> u16 {
    let us = us.max(1);
    let octave = us.ilog2();
    let fraction = if octave >= 3 { us >> (octave - 3) } else { us << (3 - octave) } & 7;
    (octave * 8) as u16 + fraction as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_ascend_with_the_value() {
        let bins: Vec<u16> = (0..24).map(|k| bin(1 << k)).collect();
        assert!(bins.is_sorted() && bin(1_000_000) - bin(500_000) == 8, "{bins:?}");
    }
}
