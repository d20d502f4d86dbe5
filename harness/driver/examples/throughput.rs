//! Requests a second of the driver beside those of other tools, against the same server, in turns:
//! `cargo run --release -p driver --example throughput [ROUNDS] [SECONDS] [TOOL…]`. Tools that are not on the path are
//! left out; none named means all.
//!
//! With more load than the server can keep, 50 workers and one client address make an open schedule a closed loop: a
//! request is always due, so each worker takes the next one as soon as it is done, on the connection it just used.
//! Latency means nothing in this mode; the schedule, the frames, the pipe and the recorder are all paid for.

#![expect(clippy::print_stdout, reason = "a benchmark speaks to the person who runs it")]

mod support;

use std::process::{Command, Stdio};

use clock::Clock;
use driver::Sender;
use record::{Recorder, RecorderPlan};
use scenarios::ArrivalLaw;
use support::{Server, begin_by, plan, play, watch};
use units::Nanos;

const CONNECTIONS: usize = 50;
const BEYOND: u64 = 100_000; // requests a second that nothing here reaches on two cores

/// Everybody who can be asked, in the order in which they take turns.
const ALL: [&str; 11] =
    ["driver", "driver-native", "goose", "wrk", "oha", "hey", "ab", "k6", "vegeta", "locust", "fortio"];

fn main() {
    play(|arguments| async move {
        let number =
            |index: usize, default| arguments.get(index).map_or(default, |text| text.parse().expect("a number"));
        let (rounds, secs) = (number(0, 3), number(1, 10));
        let named = arguments.get(2..).unwrap_or_default();
        let wanted = |name: &str| named.is_empty() || named.iter().any(|known| known == name);
        let server = Server::start();
        let tools: Vec<&str> = ALL.into_iter().filter(|name| wanted(name) && there(name)).collect();
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); tools.len()];
        for round in 1..=rounds {
            for (tool, rates) in tools.iter().zip(&mut rates) {
                let rate = match *tool {
                    "driver" => ours(&server, secs, Sender::Hyper).await,
                    "driver-native" => ours(&server, secs, Sender::Goose).await,
                    other => theirs(other, &server, secs),
                };
                println!("round {round}  {tool:<14}{rate:>10.0} requests/s");
                rates.push(rate);
            }
        }
        println!("\n{:<14}{:>12}{:>14}", "median of", "requests/s", "driver ÷ it");
        for (tool, own) in tools.iter().zip(&rates) {
            // Within a round: a neighbour's load meets all of them.
            let ratios = rates.first().into_iter().flatten().zip(own).map(|(ours, own)| ours / own);
            println!("{tool:<14}{:>12.0}{:>14.2}", median(own.clone()), median(ratios.collect()));
        }
    });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Answers per second between the first and the last second of load, counted after the recorder took them.
async fn ours(server: &Server, secs: u64, sender: Sender) -> f64 {
    let clock = Clock::start();
    let plan = plan(ArrivalLaw::Even, BEYOND, secs + 3, 1);
    let (mut driver, load_start) = begin_by(&clock, plan.clone(), Some(CONNECTIONS), server, sender).await;
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

/// Whether a tool is on the path; goose and the driver always are.
fn there(tool: &str) -> bool {
    if ["driver", "driver-native", "goose"].contains(&tool) {
        return true;
    }
    let mut asked = Command::new(tool);
    asked.arg("--help").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok()
}

/// The rate that another tool says it had. NaN if it says nothing.
fn theirs(tool: &str, server: &Server, secs: u64) -> f64 {
    let url = format!("http://{}/", server.addr);
    let (length, c) = (format!("{secs}s"), CONNECTIONS.to_string());
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks");
    let exe = std::env::current_exe().expect("our own path");
    let shell = |line: String| {
        let mut command = Command::new("sh");
        command.args(["-c", &line]);
        command
    };
    let of = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments);
        command
    };
    let (mut command, label): (Command, &str) = match tool {
        "goose" => {
            let mut command = Command::new(exe);
            command.args(["goose", &url, &secs.to_string(), &c]);
            (command, "Requests/sec:")
        }
        "wrk" => (of("wrk", &["-t", "2", "-c", &c, "-d", &length, &url]), "Requests/sec:"),
        "oha" => (of("oha", &["-c", &c, "-z", &length, "--no-tui", &url]), "Requests/sec:"),
        "hey" => (of("hey", &["-c", &c, "-z", &length, &url]), "Requests/sec:"),
        "ab" => (of("ab", &["-k", "-q", "-c", &c, "-t", &secs.to_string(), "-n", "100000000", &url]), "per second:"),
        "k6" => {
            let script = format!("{here}/k6.js");
            let url = format!("URL={url}");
            (of("k6", &["run", "-q", "--vus", &c, "--duration", &length, "-e", &url, &script]), "http_reqs")
        }
        "vegeta" => {
            let attack = format!("vegeta attack -rate=0 -workers={c} -max-workers={c} -duration={length}");
            (shell(format!("echo 'GET {url}' | {attack} | vegeta report -type=json")), "\"throughput\":")
        }
        "locust" => {
            let file = format!("{here}/locustfile.py");
            let host = url.trim_end_matches('/'); // its path begins with one
            let run = ["--headless", "-u", &c, "-r", &c, "-t", &length, "--host", host, "--only-summary"];
            (of("locust", &[&["-f", &file][..], &run[..]].concat()), "Aggregated")
        }
        "fortio" => (of("fortio", &["load", "-qps", "0", "-c", &c, "-t", &length, &url]), "All done"),
        other => panic!("nobody knows {other}"),
    };
    let Ok(output) = command.output() else { return f64::NAN };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let rest = text.split(label).nth(1).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let number = match tool {
        "locust" => line.rsplit('|').next().and_then(|figures| figures.split_whitespace().next()),
        "k6" => line.split_whitespace().find_map(|word| word.strip_suffix("/s")),
        "fortio" => line.split_whitespace().rev().nth(1),
        _ => line.split([' ', '\t', ',', '}']).find(|word| !word.is_empty()),
    };
    number.and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}
