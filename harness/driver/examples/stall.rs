//! The stall proof: a server that answers nothing in the first second of every ten, 200 requests a second, 50 users.
//! One request in ten meets a stall and waits half a second in the mean, so the true p95 is 0.500 s. A tool that sends
//! the next request only after the last answer sees almost none of it.
//!
//! `cargo run --release -p driver --example stall [SECONDS]`; other tools take part if they are on the path.

#![expect(clippy::print_stdout, reason = "a proof speaks to the person who runs it")]

mod support;

use std::process::{Command, Stdio};

use clock::Clock;
use scenarios::{ArrivalLaw, JourneyPlan};
use support::{Server, begin, plan, play, watch};
use units::{Distribution, Nanos};

const RATE: u64 = 200;
const USERS: u32 = 50;

fn main() {
    play(|arguments| async move {
        let secs: u64 = arguments.first().map_or(30, |text| text.parse().expect("seconds"));
        let secs = secs.next_multiple_of(10); // whole periods, or the truth is another
        let server = Server::start_stalling();
        // Sessions of two requests with a thought between them. The second waits for the first one's answer, so what is
        // due whatever the server does, and what is compared, are the first ones.
        let mut plan = plan(ArrivalLaw::Even, RATE, secs, USERS);
        let mut second = plan.steps[0].clone();
        "again".clone_into(&mut second.name);
        second.think = Distribution::Constant(Nanos::from_millis(15));
        plan.steps.push(second);
        plan.journeys =
            vec![JourneyPlan { name: "twice".to_owned(), steps: vec![record::StepId(0), record::StepId(1)] }];
        let clock = Clock::start();
        let (mut driver, _) = begin(&clock, plan, None, &server).await;
        let (mut seen, mut truth, mut uncorrected) = (Vec::new(), Vec::new(), Vec::new());
        watch(&mut driver, |o| {
            if o.step.0 > 0 {
                return true;
            }
            seen.push(o.response().as_secs_f64());
            uncorrected.push(o.service().as_secs_f64());
            truth.push(server.stall_left(clock.epoch() + o.intended.get()));
            true
        })
        .await;
        let (ours, true_p95) = (p95(&mut seen), p95(&mut truth));
        println!("{:<28}{:>10}{:>12}", "", "p95, s", "÷ truth");
        let row = |name: &str, value: f64| println!("{name:<28}{value:>10.3}{:>12.2}", value / true_p95);
        row("truth, by the server", true_p95);
        row("rehearse, with sessions", ours);
        row("  its service time alone", p95(&mut uncorrected));
        let url = format!("http://{}/", server.addr);
        let (length, rate, users) = (format!("{secs}s"), RATE.to_string(), USERS.to_string());
        let tools = [
            (
                "vegeta",
                format!(
                    "echo 'GET {url}' | vegeta attack -rate={rate} -duration={length} | vegeta report -type=json | \
                     tr ',' '\\n' | sed -n 's/.*\"95th\":\\([0-9]*\\).*/\\1e-9/p'"
                ),
            ),
            (
                "oha --latency-correction",
                format!(
                    "oha -q {rate} -c {users} -z {length} --latency-correction --no-tui --output-format json {url} | sed -n '/latencyPercentiles/,/}}/s/.*\"p95\": *\\([0-9.e-]*\\).*/\\1/p' | head -1"
                ),
            ),
            (
                "oha",
                format!(
                    "oha -q {rate} -c {users} -z {length} --no-tui --output-format json {url} | sed -n '/latencyPercentiles/,/}}/s/.*\"p95\": *\\([0-9.e-]*\\).*/\\1/p' | head -1"
                ),
            ),
            (
                "k6", // what finds no user is dropped, and is in no percentile
                format!(
                    "k6 run -q -e URL={url} -e RATE={rate} -e USERS={users} -e LENGTH={length} {}/k6_rate.js | sed -n 's/^p95 //p'",
                    concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks")
                ),
            ),
            (
                "hey", // its rate is per worker
                format!(
                    "hey -q {} -c {users} -z {length} {url} | sed -n 's/.*95% in \\([0-9.]*\\) secs.*/\\1/p'",
                    RATE / u64::from(USERS)
                ),
            ),
            (
                "wrk", // knows no rate
                format!(
                    "wrk -t1 -c {users} -d {length} -s {}/wrk_p95.lua {url} | sed -n 's/^p95 //p'",
                    concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks")
                ),
            ),
        ];
        for (name, line) in tools {
            let program = name.split_whitespace().next().unwrap_or(name);
            let there = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
            if there.is_err() {
                continue;
            }
            let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
            let text = String::from_utf8_lossy(&output.stdout);
            row(name, text.trim().parse().unwrap_or(f64::NAN));
        }
    });
}

fn p95(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get((values.len() * 95).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
