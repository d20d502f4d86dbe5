//! The station under processor sharing against queueing theory: M/M/1-PS and the insensitivity of M/G/1-PS, whose mean
//! time in the system is S / (1 − ρ) whatever the law of service, and whose mean for a job of size x is x / (1 − ρ).
//!
//! Each figure comes from independent replications with fixed seeds, and its 99.9 % t-interval must contain the exact
//! value and be narrow enough to notice an error of a tenth.

use std::collections::BTreeMap;

use model::{Discipline, Station, StationConfig, StationEffect, StationInput, Work};
use units::{Bytes, Distribution, Machine, Nanos, Out, Purpose, Seed, Wake};

/// Mean service time; theory counts in these.
const MEAN: Nanos = Nanos::from_millis(10);
const REPLICATIONS: u64 = 20;
const CUSTOMERS: u64 = 22_000;
/// Customers that find the station still filling up, and are not counted.
const WARM_UP: u64 = 2_000;
/// Student's t for 99.9 %, two-sided, 19 degrees of freedom.
const T: f64 = 3.883;

#[derive(Default)]
struct World {
    due: BTreeMap<(Nanos, u64), Option<Wake>>,
    scheduled: u64,
    done: Vec<u64>,
}

impl World {
    fn schedule(&mut self, at: Nanos, wake: Option<Wake>) {
        self.scheduled += 1;
        self.due.insert((at, self.scheduled), wake);
    }
}

impl Out<StationEffect> for World {
    fn emit(&mut self, effect: StationEffect) {
        match effect {
            StationEffect::Done { tag, .. } => self.done.push(tag),
            other => panic!("a queue without calls and without a bound: {other:?}"),
        }
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.schedule(at, Some(wake));
    }
}

/// Means of one replication, in units of the mean service time.
struct Sample {
    sojourn: f64,
    /// Time in the system over demand, of the customers with more than twice the mean demand.
    slowdown_of_the_big: Option<f64>,
}

fn play(law: Distribution, cores: u16, busy: f64, seed: Seed) -> Sample {
    let config = StationConfig {
        discipline: Discipline::Ps,
        workers: cores,
        limit: None,
        backlog: u32::MAX,
        memory: Bytes::from_mebi(1),
        memory_per_request: Bytes::ZERO,
        memory_limit: None,
    };
    let gaps = Distribution::Exponential(Nanos::from_secs_f64(MEAN.as_secs_f64() / (busy * f64::from(cores))));
    let (mut station, mut world) = (Station::new(config, Nanos::ZERO), World::default());
    let (mut arrivals, mut demands, mut total) = (Vec::new(), Vec::new(), Nanos::ZERO);
    let (mut sojourns, mut slowdowns) = (Vec::new(), Vec::new());
    let mut now = Nanos::ZERO;
    world.schedule(gaps.sample(seed.draw_nth(0, Purpose::Gap)), None);
    while let Some(((at, _), due)) = world.due.pop_first() {
        now = at;
        let input = due.map_or_else(
            || {
                let tag = arrivals.len() as u64;
                let demand = law.sample(seed.draw_nth(tag, Purpose::Cpu));
                arrivals.push(now);
                demands.push(demand);
                total += demand;
                if tag + 1 < CUSTOMERS {
                    world.schedule(now + gaps.sample(seed.draw_nth(tag + 1, Purpose::Gap)), None);
                }
                StationInput::Arrive { tag, work: Work { cpu_before: demand, ..Work::default() } }
            },
            StationInput::Wake,
        );
        station.step(now, input, &mut world);
        for tag in std::mem::take(&mut world.done) {
            let (sojourn, demand) = (now - arrivals[tag as usize], demands[tag as usize]);
            assert!(sojourn >= demand, "nobody is faster than alone");
            if tag >= WARM_UP {
                sojourns.push(sojourn.as_secs_f64() / MEAN.as_secs_f64());
                if demand > MEAN * 2 {
                    slowdowns.push(sojourn.as_secs_f64() / demand.as_secs_f64());
                }
            }
        }
    }
    assert_eq!(sojourns.len() as u64 + WARM_UP, CUSTOMERS, "everybody was served");
    assert_eq!(station.cpu_used(now), total, "accounted = served");
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let slowdown_of_the_big = (!slowdowns.is_empty()).then(|| mean(&slowdowns));
    Sample { sojourn: mean(&sojourns), slowdown_of_the_big }
}

fn agrees(what: &str, samples: &[f64], exact: f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = T * (variance / n).sqrt();
    assert!((mean - exact).abs() <= half, "{what}: {mean} ± {half}, but theory says {exact}");
    assert!(half < 0.1 * exact, "{what}: {mean} ± {half} could hide an error of a tenth");
}

#[test]
fn one_shared_core_takes_as_long_whatever_the_law_and_is_fair() {
    let sigma = 0.8_f64;
    let median = Nanos::from_secs_f64(MEAN.as_secs_f64() / (sigma * sigma / 2.0).exp());
    for (name, law, busy) in [
        ("M/M/1-PS", Distribution::Exponential(MEAN), 0.7),
        ("M/M/1-PS, half idle", Distribution::Exponential(MEAN), 0.5),
        ("M/D/1-PS", Distribution::Constant(MEAN), 0.7),
        ("M/G/1-PS, log-normal", Distribution::LogNormal { median, sigma }, 0.7),
    ] {
        let samples: Vec<_> = (0..REPLICATIONS).map(|seed| play(law, 1, busy, Seed::new(seed))).collect();
        let exact = 1.0 / (1.0 - busy);
        agrees(&format!("{name}: mean"), &samples.iter().map(|s| s.sojourn).collect::<Vec<_>>(), exact);
        let big: Vec<f64> = samples.iter().filter_map(|s| s.slowdown_of_the_big).collect();
        if !big.is_empty() {
            agrees(&format!("{name}: slowdown of the big"), &big, exact);
        }
    }
}

/// With exponential service the number present is that of M/M/c, however it is shared: mean time 1 + C / (c − a).
#[test]
fn shared_cores_hold_as_many_as_served_in_order() {
    let (cores, busy) = (4_u16, 0.8);
    let load = busy * f64::from(cores);
    let blocked = (1..=cores).fold(1.0, |b, k| load * b / (f64::from(k) + load * b));
    let c = blocked / (1.0 - busy * (1.0 - blocked));
    let law = Distribution::Exponential(MEAN);
    let samples: Vec<f64> = (0..REPLICATIONS).map(|seed| play(law, cores, busy, Seed::new(seed)).sojourn).collect();
    agrees("M/M/4-PS", &samples, 1.0 + c / (f64::from(cores) - load));
}
