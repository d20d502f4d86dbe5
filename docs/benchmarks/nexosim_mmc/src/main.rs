//! The event kernel's benchmark in NeXosim: 30 independent M/M/c stations, c = 1 to 16, 70 % busy.
//!
//! Counted as in harness/simulation/benches/kernel.rs: an event is an arrival or a departure. Exponential times come
//! from a table that is drawn beforehand, as there. Each station is a model that schedules its own inputs; one thread,
//! as the kernel has. Run with `cargo run --release` in this folder.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nexosim::model::{Context, Model, schedulable};
use nexosim::simulation::{Mailbox, SimInit, SimulationError};
use nexosim::time::MonotonicTime;
use serde::{Deserialize, Serialize};

const STATIONS: u32 = 30;
const BUSY: f64 = 0.7;
const EVENTS: u64 = 1_000_000;
const TABLE: usize = 4_096;

static COUNTED: AtomicU64 = AtomicU64::new(0);

#[derive(Serialize, Deserialize)]
struct Station {
    servers: u32,
    between_arrivals: f64,
    present: u32,
    table: Vec<f64>,
    at: usize,
}

impl Station {
    fn new(index: u32) -> Self {
        let servers = index % 16 + 1;
        // A linear congruential generator is enough for a table of exponential times with mean 1 ms.
        let mut state = u64::from(index) + 1;
        let mut unit = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        };
        let table = (0..TABLE).map(|_| -unit().ln() * 1e6).collect();
        Self { servers, between_arrivals: 1.0 / (BUSY * f64::from(servers)), present: 0, table, at: 0 }
    }

    fn next(&mut self, per: f64) -> Duration {
        self.at = (self.at + 2_897) % TABLE;
        Duration::from_nanos((self.table[self.at] * per) as u64 + 1) // zero is not in the future
    }
}

#[Model]
impl Station {
    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>) {
        let wait = self.next(self.between_arrivals);
        cx.schedule_event(wait, schedulable!(Self::arrive), ()).expect("it is in the future");
    }

    #[nexosim(schedulable)]
    fn arrive(&mut self, (): (), cx: &Context<Self>) {
        COUNTED.fetch_add(1, Ordering::Relaxed);
        let wait = self.next(self.between_arrivals);
        cx.schedule_event(wait, schedulable!(Self::arrive), ()).expect("it is in the future");
        self.present += 1;
        if self.present <= self.servers {
            let serve = self.next(1.0);
            cx.schedule_event(serve, schedulable!(Self::depart), ()).expect("it is in the future");
        }
    }

    #[nexosim(schedulable)]
    fn depart(&mut self, (): (), cx: &Context<Self>) {
        COUNTED.fetch_add(1, Ordering::Relaxed);
        self.present -= 1;
        if self.present >= self.servers {
            let serve = self.next(1.0);
            cx.schedule_event(serve, schedulable!(Self::depart), ()).expect("it is in the future");
        }
    }
}

fn main() -> Result<(), SimulationError> {
    let mut bench = SimInit::with_num_threads(1);
    for index in 0..STATIONS {
        bench = bench.add_model(Station::new(index), Mailbox::new(), &format!("station {index}"));
    }
    let mut simulation = bench.init(MonotonicTime::EPOCH)?;
    let before = Instant::now();
    while COUNTED.load(Ordering::Relaxed) < EVENTS {
        simulation.step()?;
    }
    let counted = COUNTED.load(Ordering::Relaxed) as f64;
    println!("nexosim: {:.2} M events/s", counted / before.elapsed().as_secs_f64() / 1e6);
    Ok(())
}
