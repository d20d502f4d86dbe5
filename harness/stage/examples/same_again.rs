//! A/A: the same short run again and again, idle and beside busy threads. How many would the lag check call invalid?
//!
//! `cargo run --release -p stage --example same_again RUNS BUSY_THREADS [SECONDS]`

#![expect(clippy::print_stdout, reason = "an example prints its figures")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use record::Deaf;
use stage::{EmbeddedSettings, play};
use support::{at_once, plan, quantile, scenario};

/// The smoke scenario's tightest limit is 800 ms; lag may have 2 % of it at p99.
const ALLOWED_MS: f64 = 16.0;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("drive") {
        return Ok(driver::drive()?);
    }
    let runs: u64 = first.map_or(Ok(30), |text| text.parse())?;
    let busy: u32 = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let seconds: u32 = arguments.next().map_or(Ok(6), |text| text.parse())?;
    let over = Arc::new(AtomicBool::new(false));
    for _ in 0..busy {
        let over = Arc::clone(&over);
        std::thread::spawn(move || while !over.load(Ordering::Relaxed) {});
    }
    let (mut invalid, mut lags, mut medians) = (0, Vec::new(), Vec::new());
    for seed in 1..=runs {
        let plan = Arc::new(plan(&scenario(100, seconds), "{exponential: 4ms}", seed, Some(1))?);
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
        let run = runtime.block_on(play(plan, vec![], settings, &mut Deaf, interrupt))?;
        let ms =
            |of: &dyn Fn(&record::Observation) -> u64| run.observations.iter().map(|o| of(o) as f64 / 1e3).collect();
        let mut lag: Vec<f64> = ms(&|o| (o.sent - o.intended).as_micros());
        let inside = |o: &record::Observation| u64::from(o.hops.queue_us) + u64::from(o.hops.cpu_us);
        let mut rest: Vec<f64> = ms(&|o| (o.done - o.sent).as_micros().saturating_sub(inside(o)));
        let p99 = quantile(&mut lag, 0.99);
        invalid += u32::from(p99 > ALLOWED_MS || run.checks.iter().any(|check| !check.ok));
        lags.push(p99);
        medians.push(quantile(&mut rest, 0.5));
    }
    over.store(true, Ordering::Relaxed);
    println!(
        "{invalid} of {runs} runs invalid beside {busy} busy threads; lag p99 of a run, ms: median {:.2}, worst {:.2}; four hops, median of a run: {:.2} to {:.2} ms",
        quantile(&mut lags, 0.5),
        quantile(&mut lags, 1.0),
        quantile(&mut medians, 0.0),
        quantile(&mut medians, 1.0),
    );
    Ok(())
}
