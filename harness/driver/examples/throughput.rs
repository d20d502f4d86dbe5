//! Requests a second with 50 connections, ours against oha and wrk on the same server, rounds interleaved.
//!
//! `cargo run --release -p driver --example throughput [rounds] [seconds]`; `oha` and `wrk` are used if they are on
//! the PATH. Figures in `docs/benchmarks.md`.
//!
//! A rate that the server cannot keep, 50 workers and one client address make an open schedule a closed loop: a
//! request is always due, so each worker takes the next one as soon as it is done, on the connection it just used.
//! Latency means nothing in this mode; the schedule, the frames, the pipe and the recorder are all paid for.

#![expect(clippy::print_stdout, reason = "a benchmark speaks to the person who runs it")]

mod support;

use std::process::Command;

use clock::Clock;
use record::{Recorder, RecorderPlan};
use scenarios::ArrivalLaw;
use support::{Server, begin, plan, play, watch};
use units::Nanos;

const CONNECTIONS: usize = 50;
const BEYOND: u64 = 100_000; // requests a second that nothing here reaches on two cores

fn main() {
    play(|arguments| async move {
        let number =
            |index: usize, default| arguments.get(index).map_or(default, |text| text.parse().expect("a number"));
        let (rounds, secs) = (number(0, 3), number(1, 10));
        let server = Server::start();
        println!("{:<8}{:>12}{:>12}{:>12}   requests/s", "round", "driver", "oha", "wrk");
        for round in 1..=rounds {
            let ours = ours(&server, secs).await;
            let url = format!("http://{}/", server.addr);
            let oha = ["-c", "50", "-z", &format!("{secs}s"), "--no-tui", &url];
            let oha = figure(Command::new("oha").args(oha), "Requests/sec:");
            let wrk = ["-t", "2", "-c", "50", "-d", &format!("{secs}s"), &url];
            let wrk = figure(Command::new("wrk").args(wrk), "Requests/sec:");
            println!("{round:<8}{ours:>12.0}{oha:>12.0}{wrk:>12.0}   driver/oha {:.2}", ours / oha);
        }
    });
}

/// Answers per second between the first and the last second of load, counted after the recorder took them.
async fn ours(server: &Server, secs: u64) -> f64 {
    let clock = Clock::start();
    let plan = plan(ArrivalLaw::Even, BEYOND, secs + 3, 1);
    let (mut driver, load_start) = begin(&clock, plan.clone(), Some(CONNECTIONS), server).await;
    let steps = plan.step_plans();
    let mut recorder = Recorder::new(RecorderPlan { steps, phases: plan.phase_spans(load_start), watches: vec![] });
    let from = load_start + Nanos::from_secs(1);
    let to = from + Nanos::from_secs(secs);
    let mut answers = 0_u64;
    let see = |observation: &record::Observation| {
        recorder.observe(observation);
        answers += u64::from(observation.ok() && (from..to).contains(&observation.done));
        observation.done < to + Nanos::from_millis(200) // frames of two threads are in order but for microseconds
    };
    watch(&mut driver, see).await; // dropping the driver then ends it
    answers as f64 / secs as f64
}

/// The number behind `label` in what a tool prints; NaN if the tool is not there.
fn figure(command: &mut Command, label: &str) -> f64 {
    let Ok(output) = command.output() else { return f64::NAN };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rest = text.split(label).nth(1).unwrap_or_default();
    rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}
