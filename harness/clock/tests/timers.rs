//! The clock against the real one: nothing early, nothing lost, nothing left behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use clock::Clock;
use units::Nanos;

const LONG: Duration = Duration::from_secs(10);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("two threads")
}

#[test]
fn nobody_wakes_early_and_everybody_wakes() {
    let clock = Clock::start();
    runtime().block_on(async {
        // Inserted in falling order, so that each one re-arms the timer.
        let tasks: Vec<_> = (0..200_u64)
            .rev()
            .map(|i| {
                let (clock, at) = (clock.clone(), Nanos::from_micros(20_000 + i * 500));
                tokio::spawn(async move { (at, clock.until(at).await) })
            })
            .collect();
        for task in tasks {
            let (at, woke) = task.await.unwrap();
            assert!(woke >= at, "{at} woke at {woke}");
            assert!(woke <= clock.now());
        }
    });
}

#[test]
fn an_instant_that_has_passed_is_ready_at_once() {
    let clock = Clock::start();
    runtime().block_on(async {
        let now = clock.now();
        assert!(clock.until(Nanos::ZERO).await >= now);
    });
}

#[test]
fn calls_run_in_order_of_their_instant_then_of_their_arrival() {
    let clock = Clock::start();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (done, wait) = mpsc::channel();
    let base = clock.now() + Nanos::from_millis(30);
    for (name, offset) in [("third", 2), ("first", 1), ("second", 1), ("fourth", 3)] {
        let (seen, done, at) = (Arc::clone(&seen), done.clone(), base + Nanos::from_millis(offset));
        clock.call_at(at, move |now| {
            assert!(now >= at);
            seen.lock().unwrap().push(name);
            done.send(()).unwrap();
        });
    }
    for _ in 0..4 {
        wait.recv_timeout(LONG).unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), ["first", "second", "third", "fourth"]);
}

#[test]
fn a_call_may_schedule_the_next_one() {
    fn tick(clock: &Clock, left: u32, done: mpsc::Sender<Nanos>) {
        let again = clock.clone();
        clock.call_at(clock.now() + Nanos::from_micros(200), move |now| match left {
            0 => done.send(now).unwrap(),
            _ => tick(&again, left - 1, done),
        });
    }
    let (done, wait) = mpsc::channel();
    tick(&Clock::start(), 50, done); // our own clone is gone: the pending call alone keeps the clock running
    assert!(wait.recv_timeout(LONG).unwrap() >= Nanos::from_micros(51 * 200));
}

#[test]
fn what_is_dropped_leaves_the_queue() {
    struct Counts(Arc<AtomicUsize>);
    impl std::task::Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let clock = Clock::start();
    let woken = Arc::new(AtomicUsize::new(0));
    let waker_data = Arc::new(Counts(Arc::clone(&woken)));
    let waker = Arc::clone(&waker_data).into();
    let mut context = std::task::Context::from_waker(&waker);
    let at = clock.now() + Nanos::from_secs(3_600);
    let mut timers: Vec<_> = (0..100).map(|_| Box::pin(clock.until(at))).collect();
    for timer in &mut timers {
        for _ in 0..3 {
            assert!(timer.as_mut().poll(&mut context).is_pending());
        }
    }
    assert_eq!(Arc::strong_count(&waker_data), 102, "one waker a timer, however often it was polled");
    drop(timers);
    assert_eq!(Arc::strong_count(&waker_data), 2, "the queue kept a dropped timer");
    assert_eq!(woken.load(Ordering::SeqCst), 0);
}

#[test]
fn the_thread_ends_with_the_last_clock() {
    let clock = Clock::start();
    let kept = Arc::new(());
    let held = Arc::clone(&kept);
    clock.call_at(Nanos::from_secs(3_600), move |_| drop(held));
    let waiting = clock.until(Nanos::from_secs(3_600));
    drop(clock);
    assert_eq!(Arc::strong_count(&kept), 2, "a waiting future keeps its clock");
    drop(waiting);
    // The queue dies with the thread, and the call in it unrun.
    let patience = Clock::start();
    while Arc::strong_count(&kept) > 1 {
        assert!(patience.now() < Nanos::from_secs(10), "the clock's thread is still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_child_counts_as_its_parent_does() {
    let parent = Clock::start();
    let before = parent.now();
    let child = Clock::with_epoch(parent.epoch());
    let between = child.now();
    assert!(before <= between && between <= parent.now());
    assert_eq!(child.epoch(), parent.epoch());
    assert_eq!(Clock::with_epoch(u64::MAX).now(), Nanos::ZERO, "before its epoch");
}
