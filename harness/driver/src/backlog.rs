//! Requests that are due, and workers that are idle. Each journey has a lane of its own, with workers of its own: a slow
//! journey takes none from the others. First due, first served; among the idle workers of a lane the one that went idle
//! last takes the next request, because what it needs is still in the processor's cache.
//!
//! Also counts what is left to do, since *due*, *under way* and *thinking* change hands here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use record::StepId;
use scenarios::{Journey, Next};
use tokio::sync::watch;
use units::{Nanos, RequestId};

/// More requests than this never wait for a worker: whatever becomes due beyond it is given up at once, and told as
/// not sent. 20 MB; at 25,000 requests a second, ten seconds of an unreachable platform.
const MOST: usize = 250_000;

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Who plays it: the index of a lane.
    pub(crate) lane: u16,
    /// The session it belongs to, past this step.
    pub(crate) journey: Journey,
    pub(crate) step: StepId,
    pub(crate) id: RequestId,
    /// On the run's clock.
    pub(crate) intended: Nanos,
}

impl Due {
    /// What `journey` says it does next.
    pub(crate) fn of(lane: u16, journey: Journey, next: Next) -> Option<Self> {
        match next {
            Next::Request { step, id, intended } => Some(Self { lane, journey, step, id, intended }),
            Next::End => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Backlog {
    state: Mutex<State>,
    /// Becomes true at a stop.
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    lanes: Vec<Lane>,
    /// Sum over the lanes.
    waiting: usize,
    most: usize,
    /// Workers of open load.
    busy: u32,
    /// Users of closed load with a session.
    users: u32,
    busy_max: u32,
    due_max: u32,
    starved: u32,
    thinking: u64,
    /// Whether the schedule may still add arrivals.
    arriving: bool,
    stopped: bool,
    finished: bool,
    /// Whoever waits for the end.
    end: Option<Waker>,
}

/// The requests and workers of one journey, or of all closed load.
#[derive(Debug)]
struct Lane {
    closed: bool,
    due: VecDeque<Due>,
    /// By worker; present while it waits.
    wakers: Vec<Option<Waker>>,
    /// Workers in the order they went idle. May name one that found work without being woken; its waker is gone then.
    idle: Vec<u32>,
}

/// A lane as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LanePlan {
    /// The journey's name, or what the lane is for.
    pub(crate) name: String,
    pub(crate) workers: usize,
    /// Whether a worker is a user of closed load, who keeps it while thinking.
    pub(crate) closed: bool,
}

/// How it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Now {
    /// Workers of open load with a request under way.
    pub(crate) busy: u32,
    pub(crate) waiting: u32,
}

/// High-water marks, for the summary. All of open load, but for `due_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) due_max: u32,
    pub(crate) busy_max: u32,
    /// Requests that found no worker idle.
    pub(crate) starved: u32,
}

impl Backlog {
    pub(crate) fn new(lanes: &[LanePlan]) -> Self {
        Self::holding(lanes, MOST)
    }

    fn holding(lanes: &[LanePlan], most: usize) -> Self {
        let lane = |plan: &LanePlan| Lane {
            closed: plan.closed,
            due: VecDeque::new(),
            wakers: vec![None; plan.workers],
            idle: Vec::with_capacity(plan.workers),
        };
        let state = State {
            lanes: lanes.iter().map(lane).collect(),
            waiting: 0,
            most,
            busy: 0,
            users: 0,
            busy_max: 0,
            due_max: 0,
            starved: 0,
            thinking: 0,
            arriving: true,
            stopped: false,
            finished: false,
            end: None,
        };
        Self { state: Mutex::new(state), stop: watch::Sender::new(false) }
    }

    /// These requests have become due; the vector is left with those that there is no room for. Returns how many now
    /// wait for a worker.
    pub(crate) fn push(&self, requests: &mut Vec<Due>) -> usize {
        let mut wake = Vec::new();
        let waiting = {
            let mut state = self.lock();
            requests.retain(|request| match state.enter(*request) {
                Ok(worker) => {
                    wake.extend(worker);
                    false
                }
                Err(Full) => true,
            });
            state.waiting
        };
        wake.into_iter().for_each(Waker::wake);
        waiting
    }

    /// The user who thought before this request is done thinking. After a stop there is no further step. `false`: there
    /// is no room for it, and its user still counts as thinking.
    #[must_use]
    pub(crate) fn push_thought(&self, request: Due) -> bool {
        let mut state = self.lock();
        let worker = if state.stopped {
            None
        } else {
            match state.enter(request) {
                Ok(worker) => worker,
                Err(Full) => return false,
            }
        };
        state.thinking -= 1;
        Self::settle(state);
        worker.into_iter().for_each(Waker::wake);
        true
    }

    /// A user comes back later, by [`push_thought`](Self::push_thought).
    pub(crate) fn await_thought(&self) {
        self.lock().thinking += 1;
    }

    /// A user who counted as thinking goes away.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.thinking -= 1;
        Self::settle(state);
    }

    /// The next request for `worker` of `lane`; `None` when there is nothing left to do. The worker is busy until it
    /// says [`release`](Self::release).
    pub(crate) async fn next(&self, lane: usize, worker: usize) -> Option<Due> {
        std::future::poll_fn(|context| self.poll_next(lane, worker, context)).await
    }

    fn poll_next(&self, lane: usize, worker: usize, context: &mut Context<'_>) -> Poll<Option<Due>> {
        let mut state = self.lock();
        let State { lanes, waiting, busy, users, busy_max, finished, .. } = &mut *state;
        let lane = &mut lanes[lane];
        if let Some(request) = lane.due.pop_front() {
            lane.wakers[worker] = None;
            *waiting -= 1;
            if lane.closed {
                *users += 1;
            } else {
                *busy += 1;
                *busy_max = (*busy_max).max(*busy);
            }
            return Poll::Ready(Some(request));
        }
        if *finished {
            return Poll::Ready(None);
        }
        match &mut lane.wakers[worker] {
            Some(waker) => waker.clone_from(context.waker()), // woken by something else; already in `idle`
            waker @ None => {
                *waker = Some(context.waker().clone());
                lane.idle.push(worker as u32);
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

    /// A user of closed load is done.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.users -= 1;
        Self::settle(state);
    }

    /// Takes out requests that were due before `limit` and are still not sent, and hands each to `record` before the
    /// end can be noticed. What `record` returns goes on later, by [`push_thought`](Self::push_thought): it is
    /// returned for that.
    pub(crate) fn expire(&self, limit: Nanos, mut record: impl FnMut(Due) -> Option<Due>) -> Vec<Due> {
        let mut state = self.lock();
        let mut coming = Vec::new();
        let mut count = 0;
        for lane in &mut state.lanes {
            // In order of becoming due, which is the order of `intended` but for the microseconds a timer is late.
            let old = lane.due.iter().take_while(|request| request.intended < limit).count();
            coming.extend(lane.due.drain(..old).filter_map(&mut record));
            count += old;
        }
        state.waiting -= count;
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
        self.stop.send_replace(true);
        let mut state = self.lock();
        state.stopped = true;
        Self::settle(state);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits for a stop.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives as long as this does.
        stop.wait_for(|stopped| *stopped).await.map(drop).unwrap_or_default();
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

    pub(crate) fn state(&self) -> Now {
        let state = self.lock();
        Now { busy: state.busy, waiting: state.waiting as u32 }
    }

    pub(crate) fn marks(&self) -> Marks {
        let state = self.lock();
        Marks { due_max: state.due_max, busy_max: state.busy_max, starved: state.starved }
    }

    /// Notices the end, and sends everybody home.
    fn settle(mut state: MutexGuard<'_, State>) {
        let coming = !state.stopped && (state.arriving || state.thinking > 0);
        if coming || state.busy > 0 || state.users > 0 || state.waiting > 0 || state.finished {
            return;
        }
        state.finished = true;
        let waiting = state.lanes.iter_mut().flat_map(|lane| lane.wakers.iter_mut().filter_map(Option::take));
        let mut wake: Vec<_> = waiting.collect();
        wake.extend(state.end.take());
        drop(state);
        wake.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // no code of others runs under it
    }
}

/// As many requests wait as there may.
struct Full;

impl State {
    /// Lets a request wait, and answers the worker to be woken for it.
    fn enter(&mut self, request: Due) -> Result<Option<Waker>, Full> {
        if self.waiting >= self.most {
            return Err(Full);
        }
        let lane = &mut self.lanes[usize::from(request.lane)];
        lane.due.push_back(request);
        let worker = lane.idle_worker();
        self.waiting += 1;
        self.due_max = self.due_max.max(self.waiting as u32);
        self.starved += u32::from(worker.is_none() && !lane.closed);
        Ok(worker)
    }
}

impl Lane {
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
        Due { lane: 0, journey: Journey::new(arrival), step: StepId(0), id, intended: Nanos::from_millis(number) }
    }

    fn backlog(workers: usize) -> Backlog {
        Backlog::new(&[LanePlan { name: "one".to_owned(), workers, closed: false }])
    }

    #[derive(Default)]
    struct Woken(AtomicU32);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll(backlog: &Backlog, worker: usize, woken: &Arc<Woken>) -> Poll<Option<Due>> {
        backlog.poll_next(0, worker, &mut Context::from_waker(&Waker::from(Arc::clone(woken))))
    }

    #[test]
    fn the_worker_that_went_idle_last_is_woken_first_and_only_once() {
        let backlog = backlog(2);
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
        let backlog = backlog(2);
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
        let backlog = backlog(1);
        let woken = Arc::default();
        backlog.push(&mut vec![due(1)]);
        backlog.no_more_arrivals();
        assert!(poll(&backlog, 0, &woken).is_ready());
        backlog.release(true);
        assert!(poll(&backlog, 0, &woken).is_pending(), "a user is thinking");
        assert!(backlog.push_thought(due(2)));
        assert_eq!(poll(&backlog, 0, &woken), Poll::Ready(Some(due(2))));
        assert!(!backlog.lock().finished, "under way");
        backlog.release(false);
        assert_eq!(poll(&backlog, 0, &woken), Poll::Ready(None));
    }

    #[test]
    fn a_stop_keeps_what_is_due_and_forgets_what_is_thought_about() {
        let backlog = backlog(1);
        let woken = Arc::default();
        backlog.push(&mut vec![due(1), due(2)]);
        assert!(poll(&backlog, 0, &woken).is_ready());
        backlog.release(true);
        backlog.stop();
        assert!(backlog.push_thought(due(3)));
        assert_eq!(poll(&backlog, 0, &woken), Poll::Ready(Some(due(2))));
        backlog.release(false);
        assert_eq!(poll(&backlog, 0, &woken), Poll::Ready(None));
    }

    #[test]
    fn what_waited_too_long_is_given_up_in_order() {
        let backlog = backlog(1);
        backlog.push(&mut (0..10).map(due).collect());
        let mut expired = Vec::new();
        let coming = backlog.expire(Nanos::from_millis(4), |request| {
            expired.push(request);
            (request == due(3)).then(|| due(30))
        });
        assert_eq!((coming, backlog.lock().thinking), (vec![due(30)], 1), "a user of closed load comes back");
        assert_eq!(expired, (0..4).map(due).collect::<Vec<_>>());
        assert_eq!(backlog.marks(), Marks { due_max: 10, busy_max: 0, starved: 10 });
        assert_eq!(poll(&backlog, 0, &Arc::default()), Poll::Ready(Some(due(4))));
    }

    #[test]
    fn a_lane_takes_no_worker_from_another() {
        let lane = |name: &str, closed| LanePlan { name: name.to_owned(), workers: 1, closed };
        let backlog = Backlog::new(&[lane("slow", false), lane("quick", false), lane("users", true)]);
        let woken: Arc<Woken> = Arc::default();
        let waker = Waker::from(Arc::clone(&woken));
        let ask = |lane| backlog.poll_next(lane, 0, &mut Context::from_waker(&waker));
        let of = |lane, number| Due { lane, ..due(number) };
        assert!(ask(1).is_pending());
        backlog.push(&mut vec![of(0, 1), of(0, 2), of(1, 3), of(2, 4)]);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "only the quick lane had somebody idle");
        assert_eq!(
            (ask(0), ask(1), ask(2)),
            (Poll::Ready(Some(of(0, 1))), Poll::Ready(Some(of(1, 3))), Poll::Ready(Some(of(2, 4))))
        );
        assert_eq!(backlog.state(), Now { busy: 2, waiting: 1 }, "a user of closed load is no worker of open load");
        assert_eq!(backlog.marks().starved, 2, "nobody was idle in the slow lane");
        backlog.no_more_arrivals();
        (0..2).for_each(|_| backlog.release(false));
        assert_eq!(ask(0), Poll::Ready(Some(of(0, 2))));
        backlog.release(false);
        assert!(ask(0).is_pending(), "the user is still there");
        backlog.leave();
        assert_eq!((ask(0), ask(1), ask(2)), (Poll::Ready(None), Poll::Ready(None), Poll::Ready(None)));
    }

    #[test]
    fn what_there_is_no_room_for_is_handed_back() {
        let backlog = Backlog::holding(&[LanePlan { name: "one".to_owned(), workers: 1, closed: false }], 3);
        let mut requests: Vec<Due> = (0..5).map(due).collect();
        assert_eq!(backlog.push(&mut requests), 3);
        assert_eq!(requests, [due(3), due(4)]);
        backlog.lock().thinking = 1;
        assert!(!backlog.push_thought(due(6)));
        assert_eq!(backlog.lock().thinking, 1);
    }
}
