//! How late the driver sends, and what it costs: `cargo run --release -p driver --example lag RATE [CLIENTS]
//! [SECONDS] [BUSY]`. `BUSY` threads of this process spin meanwhile. Figures in `docs/experiments.md`.

#![expect(clippy::print_stdout, reason = "an experiment speaks to the person who runs it")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use clock::Clock;
use scenarios::ArrivalLaw;
use support::{Server, begin, plan, play, watch};
use units::Nanos;

static STOP: AtomicBool = AtomicBool::new(false);

fn main() {
    play(|arguments| async move {
        let number =
            |index: usize, default| arguments.get(index).map_or(default, |text| text.parse().expect("a number"));
        let (rate, clients, secs, busy) = (number(0, 1_000), number(1, 50), number(2, 10), number(3, 0));
        for _ in 0..busy {
            std::thread::spawn(|| {
                while !STOP.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let server = Server::start();
        let clock = Clock::start();
        let asked = clock.now();
        let (mut driver, load_start) =
            begin(&clock, plan(ArrivalLaw::Poisson, rate, secs, clients as u32), None, &server).await;
        let ready = load_start - Nanos::from_millis(50) - asked;
        let pid = driver.id().expect("it runs");
        let (mut lags, mut services, mut failed, mut memory) = (Vec::new(), Vec::new(), 0, String::new());
        let middle = load_start + Nanos::from_millis(secs * 900);
        let summary = watch(&mut driver, |observation| {
            lags.push(observation.lag());
            services.push(observation.service());
            failed += u64::from(!observation.ok());
            if memory.is_empty() && observation.done > middle {
                memory = state(pid);
            }
            true
        })
        .await
        .expect("it plays to the end");
        STOP.store(true, Ordering::Relaxed);
        println!("{rate}/s, {clients} clients, {secs} s, {busy} busy threads; ready after {ready}");
        println!("  {summary:?}; {failed} failed");
        println!("  lag     {}", quantiles(lags));
        println!("  service {}", quantiles(services));
        println!("  {memory}; {:.1} µs CPU a request", summary.cpu_us as f64 / summary.requests as f64);
    });
}

fn quantiles(mut all: Vec<Nanos>) -> String {
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_millis_f64();
    let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), at(1.0));
    let beyond = all.iter().filter(|lag| **lag > Nanos::from_millis(2)).count() as f64 / all.len() as f64;
    format!("p50 {p50:.3} p99 {p99:.3} p99.9 {p999:.3} max {max:.3} ms; above 2 ms: {:.3} %", beyond * 100.0)
}

/// Memory and descriptors of a process, as Linux tells them.
fn state(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().replace('\t', " ");
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    format!("{} {} {descriptors} descriptors", of("VmRSS"), of("Threads"))
}
