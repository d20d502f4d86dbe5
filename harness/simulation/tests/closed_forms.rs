//! The station that the mock services are, driven by the simulator's queue, against queueing theory: Erlang's C formula
//! for M/M/c and the formula of Pollaczek and Khinchine for M/G/1.
//!
//! Each figure comes from independent replications with fixed seeds, and its 99.9 % t-interval must contain the exact
//! value and be narrow enough to notice an error of a tenth.

use model::{Discipline, Spent, Station, StationConfig, StationEffect, StationInput, Work};
use simulation::EventQueue;
use units::{Bytes, Distribution, Machine, Nanos, Out, Purpose, Seed, Wake};

/// Mean service time; theory counts in these.
const MEAN: Nanos = Nanos::from_millis(10);
const REPLICATIONS: u64 = 20;
/// Customers that find the station still filling up, and are not counted.
const WARM_UP: u64 = 2_000;
/// Student's t for 99.9 %, two-sided, 19 degrees of freedom.
const T: f64 = 3.883;

#[derive(Clone, Copy)]
enum Event {
    Arrival,
    Wake(Wake),
}

#[derive(Default)]
struct World {
    queue: EventQueue<Event>,
    done: Vec<(u64, Spent)>,
}

impl Out<StationEffect> for World {
    fn emit(&mut self, effect: StationEffect) {
        match effect {
            StationEffect::Done { tag, spent, .. } => self.done.push((tag, spent)),
            other => panic!("a queue without calls and without a bound: {other:?}"),
        }
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.queue.schedule(at, Event::Wake(wake));
    }
}

/// What theory speaks of, in units of the mean service time.
struct Sample {
    mean_wait: f64,
    /// Share of customers that waited longer than the case's instant.
    beyond: f64,
    /// Share of customers that waited at all.
    waited: f64,
}

struct Case {
    servers: u16,
    busy: f64,
    law: Distribution,
    customers: u64,
    instant: f64,
}

impl Case {
    /// One replication, from an empty station to an empty station.
    fn play(&self, seed: Seed) -> Sample {
        let config = StationConfig {
            discipline: Discipline::Fcfs,
            workers: self.servers,
            limit: None,
            backlog: u32::MAX,
            memory: Bytes::from_mebi(1),
            memory_per_request: Bytes::new(0),
            memory_limit: None,
        };
        let gaps =
            Distribution::Exponential(Nanos::from_secs_f64(MEAN.as_secs_f64() / (self.busy * f64::from(self.servers))));
        let (mut station, mut world) = (Station::new(config, Nanos::ZERO), World::default());
        let (mut now, mut arrivals, mut waits) = (Nanos::ZERO, Vec::new(), Vec::new());
        let (mut area, mut sojourns, mut demands) = (Nanos::ZERO, Nanos::ZERO, Nanos::ZERO);
        world.queue.schedule(gaps.sample(seed.draw_nth(0, Purpose::Gap)), Event::Arrival);
        while let Some((at, event)) = world.queue.pop() {
            area += (at - now) * u64::from(station.in_flight());
            now = at;
            let input = match event {
                Event::Wake(wake) => StationInput::Wake(wake),
                Event::Arrival => {
                    let tag = arrivals.len() as u64;
                    arrivals.push(now);
                    if tag + 1 < self.customers {
                        let gap = gaps.sample(seed.draw_nth(tag + 1, Purpose::Gap));
                        world.queue.schedule(now + gap, Event::Arrival);
                    }
                    let cpu_before = self.law.sample(seed.draw_nth(tag, Purpose::Cpu));
                    demands += cpu_before;
                    StationInput::Arrive { tag, work: Work { cpu_before, ..Work::default() } }
                }
            };
            station.step(now, input, &mut world);
            for (tag, spent) in world.done.drain(..) {
                let sojourn = now - arrivals[tag as usize];
                assert_eq!(spent.queue + spent.cpu, sojourn, "its parts are its time");
                sojourns += sojourn;
                if tag >= WARM_UP {
                    waits.push(spent.queue.as_secs_f64() / MEAN.as_secs_f64());
                }
            }
        }
        assert_eq!(waits.len() as u64 + WARM_UP, self.customers, "everybody was served");
        // Little's law without an error: the area under the number present is the sum of the times spent.
        assert_eq!(area, sojourns);
        assert_eq!(station.cpu_used(now), demands, "accounted = served");
        let share = |n: usize| n as f64 / waits.len() as f64;
        Sample {
            mean_wait: waits.iter().sum::<f64>() / waits.len() as f64,
            beyond: share(waits.iter().filter(|wait| **wait > self.instant).count()),
            waited: share(waits.iter().filter(|wait| **wait > 0.0).count()),
        }
    }

    fn replicate(&self) -> Vec<Sample> {
        (0..REPLICATIONS).map(|seed| self.play(Seed::new(seed))).collect()
    }
}

fn agrees(what: &str, samples: &[Sample], of: impl Fn(&Sample) -> f64, exact: f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().map(&of).sum::<f64>() / n;
    let variance = samples.iter().map(|sample| (of(sample) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = T * (variance / n).sqrt();
    assert!((mean - exact).abs() <= half, "{what}: {mean} ± {half}, but theory says {exact}");
    assert!(half < 0.1 * exact, "{what}: {mean} ± {half} could hide an error of a tenth");
}

/// Probability of having to wait at `servers` servers, each of which is `busy`.
fn erlang_c(servers: u16, busy: f64) -> f64 {
    let load = busy * f64::from(servers);
    let blocked = (1..=servers).fold(1.0, |b, k| load * b / (f64::from(k) + load * b));
    blocked / (1.0 - busy * (1.0 - blocked))
}

#[test]
fn the_formula_gives_the_published_values() {
    for (servers, busy, want) in [(1, 0.7, 0.7), (4, 0.7, 0.428_654), (4, 0.9, 0.787_753), (16, 0.9, 0.591_343)] {
        assert!((erlang_c(servers, busy) - want).abs() < 1e-6, "M/M/{servers} at {busy}");
    }
}

#[test]
fn exponential_service_waits_as_erlang_says() {
    for (servers, busy, customers) in [(1, 0.7, 20_000), (4, 0.7, 20_000), (4, 0.9, 60_000), (16, 0.9, 60_000)] {
        let name = format!("M/M/{servers} at {busy}");
        let (c, spare) = (erlang_c(servers, busy), f64::from(servers) * (1.0 - busy));
        let instant = 1.0 / spare; // where the conditional wait is beyond its mean
        let case = Case { servers, busy, law: Distribution::Exponential(MEAN), customers, instant };
        let samples = case.replicate();
        agrees(&format!("{name}: mean wait"), &samples, |s| s.mean_wait, c / spare);
        agrees(&format!("{name}: P(wait > 0)"), &samples, |s| s.waited, c);
        agrees(&format!("{name}: P(wait > t)"), &samples, |s| s.beyond, c * (-spare * instant).exp());
    }
}

#[test]
fn one_server_waits_as_pollaczek_and_khinchine_say() {
    let sigma = 0.5_f64;
    let median = Nanos::from_secs_f64(MEAN.as_secs_f64() / (sigma * sigma / 2.0).exp());
    for (name, law, squared_variation) in [
        ("M/D/1", Distribution::Constant(MEAN), 0.0),
        ("M/G/1, log-normal", Distribution::LogNormal { median, sigma }, (sigma * sigma).exp() - 1.0),
    ] {
        let busy = 0.7;
        let samples = Case { servers: 1, busy, law, customers: 16_000, instant: 0.0 }.replicate();
        let exact = busy / (1.0 - busy) * f64::midpoint(1.0, squared_variation);
        agrees(&format!("{name}: mean wait"), &samples, |s| s.mean_wait, exact);
        agrees(&format!("{name}: P(wait > 0)"), &samples, |s| s.waited, busy);
    }
}
