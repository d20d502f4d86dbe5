//! The event kernel alone: 30 independent M/M/c stations, c = 1 to 16, 70 % busy. Floor 5 M events/s, aim 15 M.
//!
//! An event is an arrival or a departure; about 210 are pending. Exponential times come from a table that is drawn
//! beforehand and walked in an order of its own, so that what is measured is the queue and not the logarithm.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simulation::EventQueue;
use units::{Nanos, Purpose, Seed};

const STATIONS: u16 = 30;
const BUSY: f64 = 0.7;
const EVENTS: u64 = 1_000_000;

#[derive(Clone, Copy)]
enum Event {
    Arrival(u16),
    Departure(u16),
}

/// Exponential times with mean 1 ms.
struct Times {
    table: Vec<f64>,
    at: usize,
}

impl Times {
    const LENGTH: usize = 4_096;

    fn new() -> Self {
        let draw = |index| Seed::new(1).draw_nth(index, Purpose::Cpu).exponential() * 1e6;
        Self { table: (0..Self::LENGTH as u64).map(draw).collect(), at: 0 }
    }

    fn next(&mut self, per: f64) -> Nanos {
        self.at = (self.at + 2_897) % Self::LENGTH;
        Nanos::new((self.table[self.at] * per) as u64)
    }
}

#[derive(Clone, Copy)]
struct Station {
    servers: u32,
    between_arrivals: f64,
    present: u32,
}

struct Network {
    queue: EventQueue<Event>,
    stations: Vec<Station>,
    times: Times,
}

impl Network {
    fn new() -> Self {
        let station = |index: u16| {
            let servers = u32::from(index) % 16 + 1;
            Station { servers, between_arrivals: 1.0 / (BUSY * f64::from(servers)), present: 0 }
        };
        let mut network =
            Self { queue: EventQueue::new(), stations: (0..STATIONS).map(station).collect(), times: Times::new() };
        for index in 0..STATIONS {
            let at = network.times.next(network.stations[usize::from(index)].between_arrivals);
            network.queue.schedule(at, Event::Arrival(index));
        }
        network
    }

    fn step(&mut self) {
        let (now, event) = self.queue.pop().expect("arrivals never end");
        match event {
            Event::Arrival(index) => {
                let station = &mut self.stations[usize::from(index)];
                self.queue.schedule(now + self.times.next(station.between_arrivals), event);
                station.present += 1;
                if station.present <= station.servers {
                    self.queue.schedule(now + self.times.next(1.0), Event::Departure(index));
                }
            }
            Event::Departure(index) => {
                let station = &mut self.stations[usize::from(index)];
                station.present -= 1;
                if station.present >= station.servers {
                    self.queue.schedule(now + self.times.next(1.0), event);
                }
            }
        }
    }
}

fn kernel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kernel");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(20);
    group.bench_function("30 M/M/c stations", |bencher| {
        let mut network = Network::new();
        bencher.iter(|| (0..EVENTS).for_each(|_| black_box(&mut network).step()));
    });
    group.finish();
}

criterion_group!(benches, kernel);
criterion_main!(benches);
