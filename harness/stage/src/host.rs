//! What the control side needs done, done in this process.

use std::sync::Arc;

use clock::Clock;
use cluster::{ControlInput, ControlWake, Endpoints, Host, PodId, Question, Usage};
use platform::{Probe, WorkloadId};
use record::{Chronicle, EventKind, Listener};
use scenarios::Plan;
use units::Nanos;

use crate::StageError;
use crate::fabric::Fabric;
use crate::news::{Feed, News};
use crate::place::Place;

/// The places where pods live, and what is told of them.
pub(crate) struct LiveHost<'a> {
    pub(crate) plan: Arc<Plan>,
    pub(crate) clock: Clock,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) place: Place,
    pub(crate) feed: Feed,
    pub(crate) chronicle: Chronicle,
    pub(crate) listener: &'a mut dyn Listener,
    /// A pod that could not be started.
    pub(crate) failure: Option<StageError>,
    pub(crate) doors_changed: bool,
}

impl LiveHost<'_> {
    /// Says `input` later, unless the run is over by then.
    fn say(&self, input: ControlInput) -> impl FnOnce() + Send + use<> {
        let feed = self.feed.clone();
        move || feed.tell(News::Control(input))
    }
}

impl Host for LiveHost<'_> {
    fn bound(&mut self, pod: PodId, workload: WorkloadId, name: &str) {
        self.place.bound(pod, workload, name);
    }

    fn start(&mut self, pod: PodId) {
        match self.place.start(pod) {
            Ok(None) => {}
            Ok(Some(substituted)) => self.note(substituted),
            Err(error) => self.failure = Some(error),
        }
    }

    fn terminate(&mut self, pod: PodId) {
        let (ended, say) = (self.place.terminate(pod), self.say(ControlInput::Drained(pod)));
        tokio::spawn(async move {
            ended.await;
            say();
        });
    }

    fn kill(&mut self, pod: PodId) {
        self.place.kill(pod);
    }

    fn reachable(&mut self, pod: PodId, reachable: bool) {
        self.place.reach(pod, reachable);
    }

    fn probe(&mut self, pod: PodId, question: Question, probe: &Probe) {
        let (answer, feed) = (self.place.probe(pod, question, probe), self.feed.clone());
        tokio::spawn(async move {
            let ok = answer.await;
            feed.tell(News::Control(ControlInput::Probed { pod, question, ok }));
        });
    }

    fn usage(&mut self) -> Vec<(PodId, Usage)> {
        self.place.usage()
    }

    fn publish(&mut self, endpoints: Arc<Endpoints>) {
        self.fabric.publish(endpoints);
        self.doors_changed = true;
    }

    fn note(&mut self, kind: EventKind) {
        let event = self.chronicle.note(self.clock.now(), kind);
        self.listener.event(event);
    }

    fn wake(&mut self, at: Nanos, wake: ControlWake) {
        let say = self.say(ControlInput::Wake(wake));
        self.clock.call_at(at, move |_| say());
    }
}
