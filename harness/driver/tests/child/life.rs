//! The driver's life and death.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::common::{Server, begin, collect, drive, orders, plan, step};
use clock::Clock;
use driver::{Driver, DriverError, Update};
use record::Cause;
use units::Nanos;

/// Bytes of a frame.
const FRAME: usize = record::Observation::FRAME;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_drains() {
    let clock = Clock::start();
    let server = Server::start(&clock, [127, 77, 210, 1]).await;
    let mut thoughtful = step("GET", "/ok");
    thoughtful.think = units::Distribution::Constant(Nanos::from_secs(60));
    let plan = plan(vec![step("GET", "/ok"), thoughtful], 10, 200, 3_600_000);
    let (mut driver, load_start) = begin(&clock, &orders(&clock, plan, 30), &[server.addr]).await;
    server.stall(load_start + Nanos::from_millis(300), load_start + Nanos::from_millis(900));
    clock.until(load_start + Nanos::from_millis(600)).await;
    let asked = clock.now();
    driver.update(&Update::Stop).await.unwrap();
    let (observations, summary) = collect(&mut driver).await;
    assert_eq!(summary.arrivals, observations.len() as u64, "a thinking user does not hold up the end");
    assert!(observations.iter().all(|o| o.cause == Cause::None), "what was under way ended well");
    assert!(observations.iter().any(|o| o.done > load_start + Nanos::from_millis(900)));
    let last = observations.iter().map(|o| o.intended).max().unwrap();
    assert!(last < asked + Nanos::from_millis(200), "arrivals went on after the stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_before_the_start_is_an_empty_run() {
    let clock = Clock::start();
    let mut driver =
        Driver::spawn(drive(), &orders(&clock, plan(vec![step("GET", "/ok")], 1, 10, 1_000), 31)).await.unwrap();
    driver.update(&Update::Stop).await.unwrap();
    let (observations, summary) = collect(&mut driver).await;
    assert_eq!((observations.len(), summary.arrivals), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_input_ends_it_at_once() {
    let clock = Clock::start();
    let orders = orders(&clock, plan(vec![step("GET", "/ok")], 1, 100, 3_600_000), 32);
    for (case, start) in [("before the start", false), ("under load", true)] {
        let mut child = Command::new(drive()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{}", serde_json::to_string(&orders).unwrap()).unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0; 64]).unwrap(); // it stands ready
        if start {
            let update = Update::Start { load_start: clock.now() };
            writeln!(input, "{}", serde_json::to_string(&update).unwrap()).unwrap();
            output.read_exact(&mut [0; 640]).unwrap();
        }
        let asked = clock.now();
        drop(input);
        assert!(child.wait().unwrap().success(), "{case}");
        assert!(clock.now() - asked < Nanos::from_secs(2), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_frames_reaches_the_parent() {
    let clock = Clock::start();
    let orders = orders(&clock, plan(vec![step("GET", "/ok")], 1, 200, 500), 33);
    let mut child =
        Command::new(drive()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", serde_json::to_string(&orders).unwrap()).unwrap();
    let mut ready = [0; FRAME];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(ready[44], 0xfe, "ready comes first");
    let start = Update::Start { load_start: clock.now() };
    writeln!(input, "{}", serde_json::to_string(&start).unwrap()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    assert_eq!(out.stdout.len() % FRAME, 0);
    assert_eq!(out.stdout[out.stdout.len() - FRAME + 44], 0xff, "the summary comes last");
    let refused = out.stdout.chunks_exact(FRAME).filter(|frame| frame[44] == Cause::Refused as u8).count();
    let pulses = out.stdout.chunks_exact(FRAME).filter(|frame| frame[44] == 0xfd).count();
    assert_eq!(refused + pulses + 1, out.stdout.len() / FRAME);
    assert!(pulses > 1, "it tells how it is");
    assert!(refused > 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_death_is_told_with_its_last_words() {
    let clock = Clock::start();
    let mut bad = orders(&clock, plan(vec![step("GET", "/ok")], 5, 10, 1_000), 34);
    bad.clients.pop();
    let error = Driver::spawn(drive(), &bad).await.unwrap_err();
    let DriverError::Died { status, stderr } = &error else { panic!("{error}") };
    assert!(!status.success());
    assert_eq!(stderr, "the plan uses 5 clients but was given 4 addresses");

    let orders = orders(&clock, plan(vec![step("GET", "/ok")], 5, 10, 60_000), 35);
    let mut driver = Driver::spawn(drive(), &orders).await.unwrap();
    let pid = driver.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let error = driver.next().await.unwrap_err();
    assert!(matches!(&error, DriverError::Died { .. }), "{error}");
    assert!(error.to_string().contains("signal: 9"), "{error}");

    let error = Driver::spawn("/nowhere/rehearse".as_ref(), &orders).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot start the load driver /nowhere/rehearse");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_not_hear_what_the_terminal_sends() {
    let clock = Clock::start();
    let orders = orders(&clock, plan(vec![step("GET", "/ok")], 1, 100, 600), 36);
    let (mut driver, _) = begin(&clock, &orders, &[]).await;
    let pid = driver.id().unwrap().to_string();
    let groups = Command::new("ps").args(["-o", "pgid=", "-p", &pid]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&groups.stdout).trim(), pid, "a process group of its own");
    for _ in 0..3 {
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }
    let (observations, _) = collect(&mut driver).await;
    assert!(observations.len() > 30);
}
