//! Drivers that somebody else has started, behind a line, with a clock of their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::process::Stdio;

use clock::Clock;
use driver::{Door, DriverError, Drivers, Line, Orders, Report, Update};
use record::Cause;
use scenarios::Arrivals;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use units::Nanos;

use crate::common::{Server, drive, orders, plan, step};

/// Bytes of a frame, and where its kind and a pong's clock are.
const FRAME: usize = record::Observation::FRAME;
const KIND: usize = 44;
const PONG: u8 = 0xfc;

/// A driver whose clock seems to be ahead of ours: what it says of it, and what it is told, is shifted on the way.
fn far(name: &str, ahead: u64) -> (Line, Child) {
    let spawned = Command::new(drive()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = spawned.unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (from_us, mut to_us) = tokio::io::split(theirs);
    tokio::spawn(async move {
        let mut lines = BufReader::new(from_us).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let line = match serde_json::from_str::<Orders>(&line) {
                Ok(orders) => {
                    let epoch_ns = orders.epoch_ns - ahead;
                    serde_json::to_string(&Orders { epoch_ns, ..orders }).unwrap()
                }
                Err(_) => line,
            };
            if input.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let mut frame = [0; FRAME];
        while output.read_exact(&mut frame).await.is_ok() {
            if frame[KIND] == PONG {
                let theirs = u64::from_le_bytes(*frame[8..].first_chunk().unwrap()) + ahead;
                frame[8..16].copy_from_slice(&theirs.to_le_bytes());
            }
            if to_us.write_all(&frame).await.is_err() {
                return;
            }
        }
        to_us.shutdown().await.ok();
    });
    let (frames, orders) = tokio::io::split(ours);
    let ended = Box::pin(async { "it was switched off".to_owned() });
    (Line { name: name.to_owned(), orders: Box::new(orders), frames: Box::new(frames), ended }, child)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers_with_clocks_of_their_own_send_what_one_would_when_it_is_due() {
    let clock = Clock::start();
    let server = Server::start(&clock, [127, 77, 206, 1]).await;
    let plan = plan(vec![step("GET", "/ok")], 40, 300, 1_000);
    let orders = orders(&clock, plan.clone(), 5);
    let hour = Nanos::from_secs(3_600).get();
    let (lines, _children): (Vec<_>, Vec<_>) = [far("ahead", hour), far("ours", 0)].into_iter().unzip();
    let mut drivers = Drivers::over(lines, &orders, &clock).await.unwrap();
    drivers.update(&Update::Doors(vec![Door { pod: 1, addr: server.addr }])).await.unwrap();
    let load_start = clock.now() + Nanos::from_millis(50);
    drivers.update(&Update::Start { load_start }).await.unwrap();
    drivers.ask_clocks().await.unwrap();
    let mut told = Vec::new();
    loop {
        match drivers.next().await.unwrap().expect("a summary comes last") {
            Report::Observation(o) => {
                assert_eq!(o.cause, Cause::None);
                assert!(o.done <= clock.now(), "by our clock it has not happened yet");
                told.push((o.arrival, o.intended - load_start));
            }
            Report::Pulse(_) => {}
            Report::Summary(_) => break,
        }
    }
    told.sort_unstable();
    let mut wanted: Vec<_> = Arrivals::new(&plan).map(|arrival| (arrival.number, arrival.due)).collect();
    wanted.sort_unstable();
    assert_eq!(told, wanted, "each request of the plan, once, and when it was due");
    let clocks = drivers.clocks().unwrap();
    assert!(clocks.within + clocks.drift < Nanos::from_millis(50), "{clocks:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_breaks_is_told_with_its_name() {
    let clock = Clock::start();
    let orders = orders(&clock, plan(vec![step("GET", "/ok")], 5, 10, 60_000), 6);
    let (line, mut child) = far("drivers-0", 0);
    let mut drivers = Drivers::over(vec![line], &orders, &clock).await.unwrap();
    child.kill().await.unwrap();
    let error = drivers.next().await.unwrap_err();
    assert!(matches!(error, DriverError::Gone { .. }), "{error}");
    assert_eq!(error.to_string(), "load driver drivers-0 ended early: it was switched off");
}
