//! How late each way of sleeping is, with idle cores and beside a busy loop. Figures in `docs/experiments.md`.
//!
//! `cargo run --release -p clock --example precision [busy threads]`

#![expect(clippy::print_stdout, reason = "an experiment speaks to the person who runs it")]
#![expect(clippy::disallowed_methods, reason = "compares the clock with what it replaces")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use clock::Clock;
use units::Nanos;

const SAMPLES: usize = 3_000;

fn main() {
    let busy: usize = std::env::args().nth(1).map_or(0, |text| text.parse().expect("a count of threads"));
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..busy {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
    }
    println!("{SAMPLES} sleeps of 0.2 to 2.2 ms, {busy} busy threads; late by, in µs:");
    println!("{:<34} {:>8} {:>8} {:>8}", "", "p50", "p99", "max");
    let clock = Clock::start();
    report("condvar wait_timeout", &clock, condvar(&clock));
    {
        let clock = clock.clone();
        let slack_free = std::thread::spawn(move || {
            rustix::thread::set_current_timer_slack(1.try_into().ok()).expect("slack is a thread's own");
            (condvar(&clock)(Nanos::ZERO), measure(&clock, condvar(&clock)))
        });
        print("condvar, timer slack 1 ns", slack_free.join().expect("no panic").1);
    }
    report("condvar, then a spin of 80 µs", &clock, {
        let (clock, sleep) = (clock.clone(), condvar(&clock));
        move |at| {
            sleep(at - Nanos::from_micros(80));
            while clock.now() < at {
                std::hint::spin_loop();
            }
        }
    });
    report("thread::sleep", &clock, {
        let clock = clock.clone();
        move |at| std::thread::sleep(Duration::from_nanos((at - clock.now()).get()))
    });
    report("clock.call_at (timerfd)", &clock, {
        let clock = clock.clone();
        let (ready, called) = std::sync::mpsc::channel();
        move |at| {
            let ready = ready.clone();
            clock.call_at(at, move |now| ready.send(now).expect("we listen"));
            called.recv().expect("it is called");
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let late = runtime.block_on(async {
        let mut late = Vec::new();
        for i in 0..SAMPLES {
            let at = next(&clock, i);
            late.push(clock.until(at).await - at);
        }
        late
    });
    print("clock.until in tokio (timerfd)", late);
    let late = runtime.block_on(async {
        let mut late = Vec::new();
        for i in 0..SAMPLES {
            let at = next(&clock, i);
            tokio::time::sleep(Duration::from_nanos((at - clock.now()).get())).await;
            late.push(clock.now() - at);
        }
        late
    });
    print("tokio::time::sleep", late);
    stop.store(true, Ordering::Relaxed);
}

/// The next instant to sleep until: 0.2 to 2.2 ms ahead, off every millisecond.
fn next(clock: &Clock, i: usize) -> Nanos {
    clock.now() + Nanos::from_micros(200 + (i as u64 * 7_919) % 2_000)
}

fn condvar(clock: &Clock) -> impl Fn(Nanos) + use<> {
    let (clock, pair) = (clock.clone(), (Mutex::new(()), Condvar::new()));
    move |at| {
        while clock.now() < at {
            let guard = pair.0.lock().expect("nobody panics");
            drop(pair.1.wait_timeout(guard, Duration::from_nanos((at - clock.now()).get())));
        }
    }
}

fn measure(clock: &Clock, sleep_until: impl Fn(Nanos)) -> Vec<Nanos> {
    let one = |i| {
        let at = next(clock, i);
        sleep_until(at);
        clock.now() - at
    };
    (0..SAMPLES).map(one).collect()
}

fn report(name: &str, clock: &Clock, sleep_until: impl Fn(Nanos)) {
    print(name, measure(clock, sleep_until));
}

fn print(name: &str, mut late: Vec<Nanos>) {
    late.sort_unstable();
    let us = |share: f64| late[((late.len() - 1) as f64 * share) as usize].get() as f64 / 1e3;
    println!("{name:<34} {:>8.1} {:>8.1} {:>8.1}", us(0.5), us(0.99), us(1.0));
}
