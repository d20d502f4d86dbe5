//! One station, one closed form: auth-service with one pod and exponential CPU time of 5 ms at a load of 0.7, live
//! through driver, gateway, fabric and clock, against M/M/1 and against the simulation of the same seed.
//!
//! `cargo run --release -p stage --example one_station [SECONDS]`

#![expect(clippy::print_stdout, reason = "an example prints its figures")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use record::{Deaf, Observation};
use simulation::Settings;
use stage::{EmbeddedSettings, play};
use support::{at_once, plan, quantile, scenario};

const SERVICE_MS: f64 = 5.0;
const RATE: u32 = 140;

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("drive") {
        return Ok(driver::drive()?);
    }
    let seconds = std::env::args().nth(1).map_or(Ok(143), |text| text.parse())?;
    let plan = Arc::new(plan(&scenario(RATE, seconds), "{exponential: 5ms}", 3, Some(1))?);
    let settings = EmbeddedSettings {
        driver: std::env::current_exe()?,
        drivers: 1,
        cluster: at_once(),
        keep_observations: true,
        open_files: 20_000,
        sender: driver::Sender::Hyper,
        lag_allowed: units::Nanos::from_millis(20),
        runtime: None,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let (_nobody, interrupt) = tokio::sync::watch::channel(0);
    let mut deaf = Deaf;
    let live = runtime.block_on(play(Arc::clone(&plan), vec![], settings, &mut deaf, interrupt))?.observations;
    let settings = Settings { cluster: at_once(), keep_observations: true, ..Settings::default() };
    let simulated = simulation::simulate(&plan, vec![], &settings, &mut deaf)?.observed.observations;

    let freedom = 1.0 / SERVICE_MS - f64::from(RATE) / 1e3; // µ − λ, per ms
    let (mean, p95) = (1.0 / freedom, -libm::log(0.05) / freedom);
    println!("M/M/1:       mean {mean:.2} ms, p95 {p95:.2} ms in the station");
    tell("live", &live);
    tell("simulated", &simulated);
    let twins: BTreeMap<_, _> = simulated.iter().map(|o| ((o.arrival, o.step), o)).collect();
    let same = live.iter().filter(|o| twins.get(&(o.arrival, o.step)).is_some_and(|t| t.hops.cpu_us == o.hops.cpu_us));
    println!("{} live requests, {} of them with the CPU time that their twin has", live.len(), same.count());
    Ok(())
}

fn tell(name: &str, run: &[Observation]) {
    let ms = |of: &dyn Fn(&Observation) -> u64| run.iter().map(|o| of(o) as f64 / 1e3).collect::<Vec<_>>();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let inside = |o: &Observation| u64::from(o.hops.queue_us) + u64::from(o.hops.cpu_us);
    let mut station = ms(&inside);
    let mut response = ms(&|o| o.response().as_micros());
    let mut rest = ms(&|o| (o.done - o.sent).as_micros().saturating_sub(inside(o)));
    let mut lag = ms(&|o| (o.sent - o.intended).as_micros());
    println!(
        "{name:<12} mean {:.2} ms, p95 {:.2} ms in the station; response mean {:.2}, p95 {:.2}; four hops p50 {:.3}, p95 {:.3}, mean {:.3}; lag p50 {:.3}, p99 {:.3}",
        mean(&station),
        quantile(&mut station, 0.95),
        mean(&response),
        quantile(&mut response, 0.95),
        quantile(&mut rest, 0.5),
        quantile(&mut rest, 0.95),
        mean(&rest),
        quantile(&mut lag, 0.5),
        quantile(&mut lag, 0.99),
    );
}
