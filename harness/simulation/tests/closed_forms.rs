//! The station that the mock services are, driven by the simulator's queue, against queueing theory: Erlang's formulas
//! for M/M/c and for loss, the formula of Pollaczek and Khinchine for M/G/1, the insensitivity of processor sharing,
//! M/M/1/K, a tandem, and what is joined after a fan-out.
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
    refused: u64,
}

impl Out<StationEffect> for World {
    fn emit(&mut self, effect: StationEffect) {
        match effect {
            StationEffect::Done { tag, spent, .. } => self.done.push((tag, spent)),
            StationEffect::Refused { .. } => self.refused += 1,
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
    /// Time from arrival to the end.
    mean_sojourn: f64,
    /// Shares of customers that stayed longer than the case's two instants.
    stayed: [f64; 2],
    /// Share of arrivals that found the station full.
    refused: f64,
}

struct Case {
    servers: u16,
    busy: f64,
    law: Distribution,
    customers: u64,
    instant: f64,
    stays: [f64; 2],
    discipline: Discipline,
    /// Room for customers, those in service included.
    room: u32,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            servers: 1,
            busy: 0.7,
            law: Distribution::Exponential(MEAN),
            customers: 20_000,
            instant: 0.0,
            stays: [f64::INFINITY; 2],
            discipline: Discipline::Fcfs,
            room: u32::MAX,
        }
    }
}

impl Case {
    /// One replication, from an empty station to an empty station.
    fn play(&self, seed: Seed) -> Sample {
        let config = StationConfig {
            discipline: self.discipline,
            workers: self.servers,
            limit: None,
            backlog: self.room,
            memory: Bytes::from_mebi(1),
            memory_per_request: Bytes::new(0),
            memory_limit: None,
        };
        let gaps =
            Distribution::Exponential(Nanos::from_secs_f64(MEAN.as_secs_f64() / (self.busy * f64::from(self.servers))));
        let (mut station, mut world) = (Station::new(config, Nanos::ZERO), World::default());
        let (mut now, mut arrivals, mut waits, mut stays) = (Nanos::ZERO, Vec::new(), Vec::new(), Vec::new());
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
                    if station.in_flight() < self.room {
                        demands += cpu_before;
                    }
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
                    stays.push(sojourn.as_secs_f64() / MEAN.as_secs_f64());
                }
            }
        }
        if self.room == u32::MAX {
            assert_eq!(waits.len() as u64 + WARM_UP, self.customers, "everybody was served");
        }
        // Little's law without an error: the area under the number present is the sum of the times spent.
        assert_eq!(area, sojourns);
        assert_eq!(station.cpu_used(now), demands, "accounted = served");
        let share = |n: usize| n as f64 / waits.len() as f64;
        Sample {
            mean_wait: waits.iter().sum::<f64>() / waits.len() as f64,
            beyond: share(waits.iter().filter(|wait| **wait > self.instant).count()),
            waited: share(waits.iter().filter(|wait| **wait > 0.0).count()),
            mean_sojourn: stays.iter().sum::<f64>() / stays.len() as f64,
            stayed: self.stays.map(|instant| share(stays.iter().filter(|stay| **stay > instant).count())),
            refused: world.refused as f64 / self.customers as f64,
        }
    }

    fn replicate(&self) -> Vec<Sample> {
        (0..REPLICATIONS).map(|seed| self.play(Seed::new(seed))).collect()
    }
}

/// Mean of independent values, and the half of its 99.9 % interval.
fn interval(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, T * (variance / n).sqrt())
}

fn holds(samples: &[Sample], of: impl Fn(&Sample) -> f64, exact: f64) -> bool {
    let (mean, half) = interval(&samples.iter().map(of).collect::<Vec<_>>());
    (mean - exact).abs() <= half
}

fn agrees(what: &str, samples: &[Sample], of: impl Fn(&Sample) -> f64, exact: f64) {
    let (mean, half) = interval(&samples.iter().map(of).collect::<Vec<_>>());
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
        let case = Case { servers, busy, customers, instant, ..Case::default() };
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
        let samples = Case { busy, law, customers: 16_000, ..Case::default() }.replicate();
        let exact = busy / (1.0 - busy) * f64::midpoint(1.0, squared_variation);
        agrees(&format!("{name}: mean wait"), &samples, |s| s.mean_wait, exact);
        agrees(&format!("{name}: P(wait > 0)"), &samples, |s| s.waited, busy);
    }
}

#[test]
fn one_server_keeps_each_customer_exponentially_long() {
    // −ln(1 − p) ÷ (1 − ρ), in mean service times.
    let stays = [9.985_774, 15.350_567];
    let samples = Case { stays, customers: 80_000, ..Case::default() }.replicate();
    agrees("M/M/1: mean sojourn", &samples, |s| s.mean_sojourn, 1.0 / 0.3);
    agrees("M/M/1: P(sojourn > p95)", &samples, |s| s.stayed[0], 0.05);
    assert!(holds(&samples, |s| s.stayed[1], 0.01), "M/M/1: P(sojourn > p99)");
}

#[test]
fn shared_processors_do_not_care_for_the_law() {
    let sigma = 1.0_f64;
    let median = Nanos::from_secs_f64(MEAN.as_secs_f64() / (sigma * sigma / 2.0).exp());
    for (name, law) in [
        ("M/M/1-PS", Distribution::Exponential(MEAN)),
        ("M/D/1-PS", Distribution::Constant(MEAN)),
        ("M/G/1-PS, log-normal", Distribution::LogNormal { median, sigma }),
    ] {
        let samples = Case { law, discipline: Discipline::Ps, ..Case::default() }.replicate();
        agrees(&format!("{name}: mean sojourn"), &samples, |s| s.mean_sojourn, 1.0 / 0.3);
    }
}

#[test]
fn a_full_station_refuses_as_often_as_it_should() {
    let (busy, room) = (0.9_f64, 10_i32);
    let exact = (1.0 - busy) * busy.powi(room) / (1.0 - busy.powi(room + 1));
    assert!((exact - 0.050_813_7).abs() < 1e-7);
    let samples = Case { busy, room: room as u32, customers: 60_000, ..Case::default() }.replicate();
    agrees("M/M/1/10: refused", &samples, |s| s.refused, exact);
    // Erlang's B: eight servers, no room to wait, 6.4 of load.
    let exact = (1..=8).fold(1.0, |blocked, k| 6.4 * blocked / (f64::from(k) + 6.4 * blocked));
    assert!((exact - 0.144_394_f64).abs() < 1e-6);
    let samples = Case { servers: 8, busy: 0.8, room: 8, ..Case::default() }.replicate();
    agrees("M/M/8/8: refused", &samples, |s| s.refused, exact);
}

/// A network of stations: customers arrive as `busy` says, each brings `at_once` jobs to every station on its way, and
/// goes on when all of them are done.
struct Way {
    stations: usize,
    servers: u16,
    at_once: u32,
    busy: f64,
    customers: u64,
}

#[derive(Clone, Copy)]
enum OnTheWay {
    Arrival,
    Wake(usize, Wake),
}

/// Effects of one station, and the network's queue.
struct At<'a> {
    station: usize,
    queue: &'a mut EventQueue<OnTheWay>,
    done: Vec<u64>,
}

impl Out<StationEffect> for At<'_> {
    fn emit(&mut self, effect: StationEffect) {
        match effect {
            StationEffect::Done { tag, .. } => self.done.push(tag),
            other => panic!("a queue without calls and without a bound: {other:?}"),
        }
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.queue.schedule(at, OnTheWay::Wake(self.station, wake));
    }
}

impl Way {
    /// The mean time from arrival to the end of the way, in mean service times.
    fn play(&self, seed: Seed) -> f64 {
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
        let mut stations: Vec<Station> = (0..self.stations).map(|_| Station::new(config, Nanos::ZERO)).collect();
        let mut queue = EventQueue::new();
        let (mut arrived, mut left, mut stays) = (Vec::new(), Vec::new(), Vec::new());
        queue.schedule(gaps.sample(seed.draw_nth(0, Purpose::Gap)), OnTheWay::Arrival);
        while let Some((now, event)) = queue.pop() {
            let mut todo = Vec::new();
            match event {
                OnTheWay::Wake(station, wake) => todo.push((station, StationInput::Wake(wake))),
                OnTheWay::Arrival => {
                    let customer = arrived.len() as u64;
                    arrived.push(now);
                    left.push(0);
                    todo.extend(self.jobs(seed, customer, 0));
                    if customer + 1 < self.customers {
                        let gap = gaps.sample(seed.draw_nth(customer + 1, Purpose::Gap));
                        queue.schedule(now + gap, OnTheWay::Arrival);
                    }
                }
            }
            while let Some((station, input)) = todo.pop() {
                if let StationInput::Arrive { tag, .. } = input {
                    left[tag as usize] += 1;
                }
                let mut at = At { station, queue: &mut queue, done: Vec::new() };
                stations[station].step(now, input, &mut at);
                for customer in at.done {
                    left[customer as usize] -= 1;
                    if left[customer as usize] > 0 {
                        continue; // the others are waited for
                    }
                    if station + 1 < self.stations {
                        todo.extend(self.jobs(seed, customer, station + 1));
                    } else if customer >= WARM_UP {
                        stays.push((now - arrived[customer as usize]).as_secs_f64() / MEAN.as_secs_f64());
                    }
                }
            }
        }
        assert_eq!(stays.len() as u64 + WARM_UP, self.customers, "everybody was served");
        stays.iter().sum::<f64>() / stays.len() as f64
    }

    fn jobs(&self, seed: Seed, customer: u64, station: usize) -> Vec<(usize, StationInput)> {
        let law = Distribution::Exponential(MEAN);
        let own = seed.child_nth(station as u64);
        let job = |nth| {
            let draw = own.draw_nth(customer * u64::from(self.at_once) + u64::from(nth), Purpose::Cpu);
            let work = Work { cpu_before: law.sample(draw), ..Work::default() };
            (station, StationInput::Arrive { tag: customer, work })
        };
        (0..self.at_once).map(job).collect()
    }

    fn agrees(&self, name: &str, exact: f64) {
        let played: Vec<f64> = (0..REPLICATIONS).map(|seed| self.play(Seed::new(seed))).collect();
        let (mean, half) = interval(&played);
        assert!((mean - exact).abs() <= half, "{name}: {mean} ± {half}, but theory says {exact}");
        assert!(half < 0.1 * exact, "{name}: {mean} ± {half} could hide an error of a tenth");
    }
}

#[test]
fn a_tandem_is_the_sum_of_its_stations() {
    // Burke: what leaves an M/M/1 is Poisson again.
    let way = Way { stations: 3, servers: 1, at_once: 1, busy: 0.7, customers: 20_000 };
    way.agrees("three M/M/1 in a row: mean sojourn", 3.0 / 0.3);
}

#[test]
fn a_fan_out_waits_for_the_last_of_its_branches() {
    // So many servers that nobody waits: the greatest of five exponential times is 1 + 1/2 + … + 1/5 in the mean.
    let way = Way { stations: 1, servers: 1_000, at_once: 5, busy: 0.01, customers: 8_000 };
    way.agrees("five at once: mean sojourn", 137.0 / 60.0);
}

#[test]
fn twice_as_slow_a_world_is_the_same_world() {
    // Gaps and service times of twice the length: every customer waits twice as long, to the nanosecond.
    let waits = |slow: u64| {
        let config = StationConfig {
            discipline: Discipline::Fcfs,
            workers: 3,
            limit: None,
            backlog: u32::MAX,
            memory: Bytes::from_mebi(1),
            memory_per_request: Bytes::new(0),
            memory_limit: None,
        };
        let (mut station, mut world) = (Station::new(config, Nanos::ZERO), World::default());
        let (mut at, mut waits) = (Nanos::ZERO, Vec::new());
        let sample = |nth, purpose, mean| Distribution::Exponential(mean).sample(Seed::new(5).draw_nth(nth, purpose));
        for tag in 0..2_000 {
            let cpu_before = sample(tag, Purpose::Cpu, MEAN) * slow;
            at += sample(tag, Purpose::Gap, MEAN / 2) * slow;
            while let Some(due) = world.queue.pop() {
                if due.0 > at {
                    world.queue.schedule(due.0, due.1);
                    break;
                }
                if let Event::Wake(wake) = due.1 {
                    station.step(due.0, StationInput::Wake(wake), &mut world);
                }
            }
            station.step(at, StationInput::Arrive { tag, work: Work { cpu_before, ..Work::default() } }, &mut world);
            waits.extend(world.done.drain(..).map(|(tag, spent)| (tag, spent.queue.get())));
        }
        waits
    };
    let (normal, slow) = (waits(1), waits(2));
    assert!(normal.len() > 1_900 && normal.iter().any(|(_, wait)| *wait > 0));
    let twice: Vec<_> = normal.into_iter().map(|(tag, wait)| (tag, 2 * wait)).collect();
    assert_eq!(twice, slow);
}
