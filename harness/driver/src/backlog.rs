//! Requests that are due, and workers that are idle. First due, first served; among idle workers the one that went
//! idle last takes the next request, because what it needs is still in the processor's cache.
//!
//! Also counts what is left to do, since *due*, *under way* and *thinking* change hands here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use record::StepId;
use scenarios::{Journey, Next};
use units::{Nanos, RequestId};

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The session it belongs to, past this step.
    pub(crate) journey: Journey,
    pub(crate) step: StepId,
    pub(crate) id: RequestId,
    /// On the run's clock.
    pub(crate) intended: Nanos,
}

impl Due {
    /// What `journey` says it does next.
    pub(crate) fn of(journey: Journey, next: Next) -> Option<Self> {
        match next {
            Next::Request { step, id, intended } => Some(Self { journey, step, id, intended }),
            Next::End => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Backlog {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    due: VecDeque<Due>,
    /// By worker; present while it waits.
    wakers: Vec<Option<Waker>>,
    /// Workers in the order they went idle. May name one that found work without being woken; its waker is gone then.
    idle: Vec<u32>,
    busy: u32,
    busy_max: u32,
    due_max: u32,
    thinking: u64,
    /// Whether the schedule may still add arrivals.
    arriving: bool,
    stopped: bool,
    finished: bool,
    /// Whoever waits for the end.
    end: Option<Waker>,
}

/// High-water marks, for the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) due_max: u32,
    pub(crate) busy_max: u32,
}

impl Backlog {
    pub(crate) fn new(workers: usize) -> Self {
        let state = State {
            due: VecDeque::new(),
            wakers: vec![None; workers],
            idle: Vec::with_capacity(workers),
            busy: 0,
            busy_max: 0,
            due_max: 0,
            thinking: 0,
            arriving: true,
            stopped: false,
            finished: false,
            end: None,
        };
        Self { state: Mutex::new(state) }
    }

    /// These requests have become due; the vector is left empty. Returns how many now wait for a worker.
    pub(crate) fn push(&self, requests: &mut Vec<Due>) -> usize {
        let mut wake = Vec::new();
        let waiting = {
            let mut state = self.lock();
            for request in requests.drain(..) {
                state.due.push_back(request);
                wake.extend(state.idle_worker());
            }
            state.due_max = state.due_max.max(state.due.len() as u32);
            state.due.len()
        };
        wake.into_iter().for_each(Waker::wake);
        waiting
    }

    /// The user who thought before this request is done thinking. After a stop there is no further step.
    pub(crate) fn push_thought(&self, request: Due) {
        let mut state = self.lock();
        state.thinking -= 1;
        let worker = if state.stopped {
            None
        } else {
            state.due.push_back(request);
            state.due_max = state.due_max.max(state.due.len() as u32);
            state.idle_worker()
        };
        Self::settle(state);
        worker.into_iter().for_each(Waker::wake);
    }

    /// The next request for `worker`; `None` when there is nothing left to do. The worker is busy until it says
    /// [`release`](Self::release).
    pub(crate) async fn next(&self, worker: usize) -> Option<Due> {
        std::future::poll_fn(|context| self.poll_next(worker, context)).await
    }

    fn poll_next(&self, worker: usize, context: &mut Context<'_>) -> Poll<Option<Due>> {
        let mut state = self.lock();
        if let Some(request) = state.due.pop_front() {
            state.wakers[worker] = None;
            state.busy += 1;
            state.busy_max = state.busy_max.max(state.busy);
            return Poll::Ready(Some(request));
        }
        if state.finished {
            return Poll::Ready(None);
        }
        match &mut state.wakers[worker] {
            Some(waker) => waker.clone_from(context.waker()), // woken by something else; already in `idle`
            waker @ None => {
                *waker = Some(context.waker().clone());
                state.idle.push(worker as u32);
            }
        }
        Poll::Pending
    }

    /// A worker's request ended. `thinks`: its session goes on later, by [`push_thought`](Self::push_thought).
    pub(crate) fn release(&self, thinks: bool) {
        let mut state = self.lock();
        state.busy -= 1;
        state.thinking += u64::from(thinks);
        Self::settle(state);
    }

    /// Takes out requests that were due before `limit` and are still not sent, and hands each to `record` before the
    /// end can be noticed. What `record` returns goes on later, by [`push_thought`](Self::push_thought): it is
    /// returned for that.
    pub(crate) fn expire(&self, limit: Nanos, record: impl FnMut(Due) -> Option<Due>) -> Vec<Due> {
        let mut state = self.lock();
        // In order of becoming due, which is the order of `intended` but for the microseconds a timer is late.
        let count = state.due.iter().take_while(|request| request.intended < limit).count();
        let coming: Vec<Due> = state.due.drain(..count).filter_map(record).collect();
        state.thinking += coming.len() as u64;
        Self::settle(state);
        coming
    }

    /// No arrival follows.
    pub(crate) fn no_more_arrivals(&self) {
        let mut state = self.lock();
        state.arriving = false;
        Self::settle(state);
    }

    /// No arrival and no further step follows.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        Self::settle(state);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits until nothing is left to do. For one waiter.
    pub(crate) async fn finished(&self) {
        let poll = |context: &mut Context<'_>| {
            let mut state = self.lock();
            if state.finished {
                return Poll::Ready(());
            }
            state.end = Some(context.waker().clone());
            Poll::Pending
        };
        std::future::poll_fn(poll).await;
    }

    pub(crate) fn marks(&self) -> Marks {
        let state = self.lock();
        Marks { due_max: state.due_max, busy_max: state.busy_max }
    }

    /// Notices the end, and sends everybody home.
    fn settle(mut state: MutexGuard<'_, State>) {
        let coming = !state.stopped && (state.arriving || state.thinking > 0);
        if coming || state.busy > 0 || !state.due.is_empty() || state.finished {
            return;
        }
        state.finished = true;
        let mut wake: Vec<_> = state.wakers.iter_mut().filter_map(Option::take).collect();
        wake.extend(state.end.take());
        drop(state);
        wake.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // no code of others runs under it
    }
}

impl State {
    fn idle_worker(&mut self) -> Option<Waker> {
        while let Some(worker) = self.idle.pop() {
            if let Some(waker) = self.wakers[worker as usize].take() {
                return Some(waker);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::Arrival;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use units::ClientId;

    fn due(number: u64) -> Due {
        let arrival = Arrival { number, due: Nanos::ZERO, journey: 0, client: ClientId::default() };
        let id = RequestId::of_step(number, 0);
        Due { journey: Journey::new(arrival), step: StepId(0), id, intended: Nanos::from_millis(number) }
    }

    #[derive(Default)]
    struct Woken(AtomicU32);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll(backlog: &Backlog, worker: usize, woken: &Arc<Woken>) -> Poll<Option<Due>> {
        backlog.poll_next(worker, &mut Context::from_waker(&Waker::from(Arc::clone(woken))))
    }

    #[test]
    fn the_worker_that_went_idle_last_is_woken_first_and_only_once() {
        let backlog = Backlog::new(2);
        let (first, last) = (Arc::default(), Arc::default());
        assert!(poll(&backlog, 0, &first).is_pending());
        for _ in 0..3 {
            assert!(poll(&backlog, 1, &last).is_pending()); // polled for other reasons in between
        }
        backlog.push(&mut vec![due(1)]);
        assert_eq!((first.0.load(Ordering::SeqCst), last.0.load(Ordering::SeqCst)), (0, 1));
        backlog.push(&mut vec![due(2)]);
        assert_eq!((first.0.load(Ordering::SeqCst), last.0.load(Ordering::SeqCst)), (1, 1));
        assert_eq!(poll(&backlog, 0, &first), Poll::Ready(Some(due(1))), "first due, first served");
    }

    #[test]
    fn a_worker_that_finds_work_by_itself_loses_no_wake_up_for_others() {
        let backlog = Backlog::new(2);
        let (one, two) = (Arc::default(), Arc::default());
        assert!(poll(&backlog, 0, &one).is_pending());
        assert!(poll(&backlog, 1, &two).is_pending());
        backlog.push(&mut vec![due(1)]); // wakes worker 1,
        assert!(poll(&backlog, 0, &one).is_ready()); // but worker 0 comes first
        backlog.push(&mut vec![due(2)]); // worker 1 is on its way and takes it
        assert_eq!(poll(&backlog, 1, &two), Poll::Ready(Some(due(2))));
    }

    #[test]
    fn it_ends_when_nothing_is_due_under_way_or_thought_about() {
        let backlog = Backlog::new(1);
        let woken = Arc::default();
        backlog.push(&mut vec![due(1)]);
        backlog.no_more_arrivals();
        assert!(poll(&backlog, 0, &woken).is_ready());
        backlog.release(true);
        assert!(poll(&backlog, 0, &woken).is_pending(), "a user is thinking");
        backlog.push_thought(due(2));
        assert_eq!(poll(&backlog, 0, &woken), Poll::Ready(Some(due(2))));
        assert!(!backlog.lock().finished, "under way");
        backlog.release(false);
        assert_eq!(poll(&backlog, 0, &woken), Poll::Ready(None));
    }

    #[test]
    fn a_stop_keeps_what_is_due_and_forgets_what_is_thought_about() {
        let backlog = Backlog::new(1);
        let woken = Arc::default();
        backlog.push(&mut vec![due(1), due(2)]);
        assert!(poll(&backlog, 0, &woken).is_ready());
        backlog.release(true);
        backlog.stop();
        backlog.push_thought(due(3));
        assert_eq!(poll(&backlog, 0, &woken), Poll::Ready(Some(due(2))));
        backlog.release(false);
        assert_eq!(poll(&backlog, 0, &woken), Poll::Ready(None));
    }

    #[test]
    fn what_waited_too_long_is_given_up_in_order() {
        let backlog = Backlog::new(1);
        backlog.push(&mut (0..10).map(due).collect());
        let mut expired = Vec::new();
        let coming = backlog.expire(Nanos::from_millis(4), |request| {
            expired.push(request);
            (request == due(3)).then(|| due(30))
        });
        assert_eq!((coming, backlog.lock().thinking), (vec![due(30)], 1), "a user of closed load comes back");
        assert_eq!(expired, (0..4).map(due).collect::<Vec<_>>());
        assert_eq!(backlog.marks(), Marks { due_max: 10, busy_max: 0 });
        assert_eq!(poll(&backlog, 0, &Arc::default()), Poll::Ready(Some(due(4))));
    }
}
