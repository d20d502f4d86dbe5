//! Several drivers as one: each plays its part of the plan, and what they tell is one stream.
//!
//! Nothing is summed up on the way: every observation of every driver comes out, so that a recorder holds what it would hold
//! of a single one.

use std::path::Path;
use std::task::Poll;

use clock::Clock;
use futures_util::future::try_join_all;
use scenarios::Part;

use crate::apart::Clocks;
use crate::parent::{Driver, DriverError, Line};
use crate::protocol::{Orders, Pulse, Report, Summary, Update};

/// Drivers that stand ready or play. Dropping them ends them.
#[derive(Debug)]
pub struct Drivers {
    all: Vec<Member>,
    /// Who is asked first the next time.
    turn: usize,
    over: bool,
}

#[derive(Debug)]
struct Member {
    driver: Driver,
    pulse: Pulse,
    summary: Option<Summary>,
}

impl Drivers {
    /// Starts `count` drivers, at least one, each with a part of what is ordered, and waits until all of them stand.
    pub async fn spawn(exe: &Path, orders: &Orders, count: u32) -> Result<Self, DriverError> {
        let spawn = |part| async move { Driver::spawn(exe, &Orders { part, ..orders.clone() }).await };
        Ok(Self::of(try_join_all(Part::all(count).map(spawn)).await?))
    }

    /// Has drivers that somebody else has started play, at the other end of these lines: each a part of what is ordered.
    pub async fn over(lines: Vec<Line>, orders: &Orders, clock: &Clock) -> Result<Self, DriverError> {
        let parts = Part::all(lines.len() as u32);
        let over =
            |(line, part)| async move { Driver::over(line, &Orders { part, ..orders.clone() }, clock.clone()).await };
        Ok(Self::of(try_join_all(lines.into_iter().zip(parts).map(over)).await?))
    }

    /// Asks those on other machines what their clocks say. Not cancel-safe.
    pub async fn ask_clocks(&mut self) -> Result<(), DriverError> {
        for member in self.all.iter_mut().filter(|member| member.summary.is_none()) {
            member.driver.ask_clock().await?;
        }
        Ok(())
    }

    /// How well their clocks are known, at the worst; `None` if all of them read ours.
    pub fn clocks(&self) -> Option<Clocks> {
        self.all.iter().filter_map(|member| member.driver.clocks()).reduce(Clocks::worst)
    }

    fn of(drivers: Vec<Driver>) -> Self {
        let member = |driver| Member { driver, pulse: Pulse::default(), summary: None };
        Self { all: drivers.into_iter().map(member).collect(), turn: 0, over: false }
    }

    /// Tells all of them what changed. Not cancel-safe.
    pub async fn update(&mut self, update: &Update) -> Result<(), DriverError> {
        for member in self.all.iter_mut().filter(|member| member.summary.is_none()) {
            member.driver.update(update).await?;
        }
        Ok(())
    }

    /// The next report; `None` after the summary, which is that of all. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Report>, DriverError> {
        while !self.over {
            let (index, report) = self.any().await?;
            let member = &mut self.all[index];
            match report {
                Report::Observation(_) => return Ok(Some(report)),
                Report::Pulse(pulse) => {
                    member.pulse = pulse;
                    let all = self.all.iter().map(|member| member.pulse);
                    return Ok(Some(Report::Pulse(Pulse { late_us: pulse.late_us, ..together(all) })));
                }
                Report::Summary(summary) => {
                    member.summary = Some(summary);
                    let all: Option<Vec<Summary>> = self.all.iter().map(|member| member.summary).collect();
                    if let Some(all) = all {
                        self.over = true;
                        return Ok(Some(Report::Summary(sum(&all))));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The next report of anybody who is not done. All have their turn, so that nobody's reports grow old.
    async fn any(&mut self) -> Result<(usize, Report), DriverError> {
        let Self { all, turn, .. } = self;
        std::future::poll_fn(|context| {
            let count = all.len();
            for index in (0..count).map(|more| (*turn + more) % count) {
                let member = &mut all[index];
                if member.summary.is_some() {
                    continue;
                }
                // Made anew at each poll, and lost without a loss: `next` is cancel-safe.
                let next = std::pin::pin!(member.driver.next());
                if let Poll::Ready(report) = next.poll(context) {
                    *turn = (index + 1) % count;
                    return Poll::Ready(
                        report.map(|report| (index, report.unwrap_or(Report::Summary(Summary::default())))),
                    );
                }
            }
            Poll::Pending
        })
        .await
    }
}

fn together(all: impl Iterator<Item = Pulse>) -> Pulse {
    all.fold(Pulse::default(), |sum, one| Pulse {
        due: sum.due + one.due,
        ended: sum.ended + one.ended,
        cpu_us: sum.cpu_us + one.cpu_us,
        busy: sum.busy + one.busy,
        waiting: sum.waiting + one.waiting,
        late_us: sum.late_us.max(one.late_us),
    })
}

/// High-water marks of several add up to more than there ever was at once, if anything.
fn sum(all: &[Summary]) -> Summary {
    all.iter().fold(Summary::default(), |sum, one| Summary {
        arrivals: sum.arrivals + one.arrivals,
        requests: sum.requests + one.requests,
        not_sent: sum.not_sent + one.not_sent,
        connections: sum.connections + one.connections,
        cpu_us: sum.cpu_us + one.cpu_us,
        backlog_max: sum.backlog_max + one.backlog_max,
        workers: sum.workers + one.workers,
        busy_max: sum.busy_max + one.busy_max,
        starved: sum.starved + one.starved,
        late_p99_us: sum.late_p99_us.max(one.late_p99_us),
    })
}

#[cfg(test)]
mod tests {
    use record::{Cause, Observation, PhaseKind, PhaseSpan, Recorder, RecorderPlan, Recording, StepPlan};
    use scenarios::{ArrivalLaw, Arrivals, LoadPlan, Segment, Stream};
    use units::{Distribution, Nanos, Purpose, Rate, RequestId, Seed};

    use super::*;

    fn plan() -> LoadPlan {
        let stream = |first_client| Stream {
            journey: 0,
            law: ArrivalLaw::Poisson,
            first_client,
            clients: 40,
            rate: vec![Segment::constant(Nanos::from_secs(20), Rate::per_second(100))],
            times: vec![],
            retry: None,
        };
        LoadPlan {
            seed: Seed::new(3),
            phases: vec![],
            streams: vec![stream(0), stream(40)],
            crowds: vec![],
            journeys: vec![],
            steps: vec![],
            clients: 80,
            timeout: Nanos::from_secs(10),
        }
    }

    /// What a driver would have seen of its part, whoever plays the others.
    fn seen(plan: &LoadPlan, part: Part) -> Vec<Observation> {
        let observe = |arrival: scenarios::Arrival| {
            let draw = plan.seed.draw(RequestId::of_step(arrival.number, 0), Purpose::Payload);
            let took = Distribution::Constant(Nanos::from_millis(1 + draw.below(900) as u64)).mean();
            let failed = draw.bits().is_multiple_of(9);
            Observation {
                arrival: arrival.number,
                client: arrival.client.address,
                intended: arrival.due,
                sent: arrival.due + Nanos::from_micros(draw.below(300) as u64),
                done: arrival.due + took,
                status: if failed { 500 } else { 200 },
                cause: if failed { Cause::ServerError } else { Cause::None },
                pod: 1 + (arrival.number % 3) as u16,
                gateway_pod: 1,
                ..Observation::default()
            }
        };
        let mut all: Vec<_> = Arrivals::new(plan).filter(|arrival| part.takes(arrival)).map(observe).collect();
        all.sort_by_key(|observation| observation.done); // as a driver tells them
        all
    }

    fn recorded(observations: impl IntoIterator<Item = Observation>) -> Recording {
        let steps = vec![StepPlan { flow: "f".into(), name: "s".into(), request: "GET /".into() }];
        let phase =
            |name: &str, start_us, end_us| PhaseSpan { name: name.into(), kind: PhaseKind::Steady, start_us, end_us };
        let phases = vec![phase("a", 0, 8_000_000), phase("b", 8_000_000, 20_000_000)];
        let mut recorder = Recorder::new(RecorderPlan { steps, phases, watches: vec![] });
        observations.into_iter().for_each(|observation| recorder.observe(&observation));
        recorder.finish()
    }

    /// All of it but the order in which failures were seen.
    fn told(recording: Recording) -> String {
        let mut recording = recording;
        recording.lost.sort_by_key(|lost| format!("{lost:?}"));
        format!("{recording:?}")
    }

    #[test]
    fn what_several_record_is_what_one_would_have() {
        let plan = plan();
        let one = told(recorded(seen(&plan, Part::default())));
        for of in [2, 3, 5] {
            let mut parts: Vec<_> = Part::all(of).map(|part| seen(&plan, part).into_iter()).collect();
            // Reports come in turns, however far each driver is.
            let mut merged = Vec::new();
            while merged.len() < parts.iter().map(ExactSizeIterator::len).sum::<usize>() + merged.len() {
                parts.iter_mut().for_each(|part| merged.extend(part.next()));
            }
            assert_eq!(told(recorded(merged)), one, "{of} drivers");
        }
    }

    #[test]
    fn several_are_told_as_one() {
        let pulse = |due, late_us| Pulse { due, ended: 1, cpu_us: 10, busy: 2, waiting: 3, late_us };
        let want = Pulse { due: 12, ended: 2, cpu_us: 20, busy: 4, waiting: 6, late_us: 9 };
        assert_eq!(together([pulse(5, 9), pulse(7, 4)].into_iter()), want);
        let summary = |arrivals, late_p99_us| Summary { arrivals, workers: 8, late_p99_us, ..Summary::default() };
        let want = Summary { arrivals: 12, workers: 16, late_p99_us: 9, ..Summary::default() };
        assert_eq!(sum(&[summary(5, 9), summary(7, 4)]), want);
    }
}
