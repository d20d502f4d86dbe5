//! The data layer on the real clock: pools, PostgreSQL and Redis as the machines that virtual time drives, too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use clock::Clock;
use cluster::PodId;
use model::data::{Asker, DataEffect, DataInput, DataLayer, DataOp, PoolConfig};
use model::{Job, StationInput};
use record::EventKind;
use scenarios::Plan;
use server::{LiveStation, Surroundings};
use units::{Machine, Nanos, Out, Wake};

use crate::news::{Feed, News};

/// The servers of a platform, and the stations that ask them.
#[derive(Debug)]
pub(crate) struct LiveData {
    clock: Clock,
    feed: Feed,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    layer: DataLayer,
    /// Of the containers that run, by pod.
    stations: BTreeMap<u32, LiveStation>,
    effects: Vec<DataEffect>,
}

impl LiveData {
    pub(crate) fn new(plan: &Plan, clock: Clock, feed: Feed) -> Arc<Self> {
        let layer = DataLayer::new(plan.data_config(), plan.load.seed.child("data"), clock.now());
        let state = Mutex::new(State { layer, stations: BTreeMap::new(), effects: Vec::new() });
        Arc::new(Self { clock, feed, state })
    }

    /// A container has started, with an empty pool; its `station` hears the answers.
    pub(crate) fn started(self: &Arc<Self>, pod: PodId, pool: Option<PoolConfig>, station: Option<LiveStation>) {
        self.step(DataInput::Started { pod: pod.0, pool }, |stations| match station {
            Some(station) => drop(stations.insert(pod.0, station)),
            None => drop(stations.remove(&pod.0)),
        });
    }

    /// A container has ended, however.
    pub(crate) fn ended(self: &Arc<Self>, pod: PodId) {
        self.step(DataInput::Ended { pod: pod.0 }, |stations| drop(stations.remove(&pod.0)));
    }

    /// Something else happens to the servers.
    pub(crate) fn tell(self: &Arc<Self>, input: DataInput) {
        self.step(input, |_| {});
    }

    /// Steps the servers at the instant that is read under their lock, and brings their answers to those who asked:
    /// to the stations that ran then, whoever has their place by now.
    fn step(self: &Arc<Self>, input: DataInput, then: impl FnOnce(&mut BTreeMap<u32, LiveStation>)) {
        let mut answers = Vec::new();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let State { layer, stations, effects } = &mut *state;
            layer.step(self.clock.now(), input, &mut Sink { data: self, effects });
            for effect in effects.drain(..) {
                let mut answer = |pod: u32, input| answers.extend(stations.get(&pod).map(|to| (to.clone(), input)));
                match effect {
                    DataEffect::Called(Asker { pod, job, .. }) => answer(pod, StationInput::Called(job)),
                    DataEffect::Failed(Asker { pod, job, .. }, _) => answer(pod, StationInput::Failed(job)),
                    DataEffect::Note(note) => {
                        self.feed.tell(News::Note(EventKind::DataChanged { what: note.to_string() }));
                    }
                }
            }
            then(stations);
        }
        for (station, input) in answers {
            station.tell(input);
        }
    }
}

struct Sink<'a> {
    data: &'a Arc<LiveData>,
    effects: &'a mut Vec<DataEffect>,
}

impl Out<DataEffect> for Sink<'_> {
    fn emit(&mut self, effect: DataEffect) {
        self.effects.push(effect);
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        // Weak: a timer must not keep servers alive whose run is over.
        let data = Arc::downgrade(self.data);
        self.data.clock.call_at(at, move |_| {
            if let Some(data) = data.upgrade() {
                data.tell(DataInput::Wake(wake));
            }
        });
    }
}

/// A pod of the run, as its station sees it.
#[derive(Debug)]
pub(crate) struct Around {
    pub(crate) pod: PodId,
    /// When its container started.
    pub(crate) started: Nanos,
    pub(crate) data: Arc<LiveData>,
    pub(crate) feed: Feed,
}

impl Surroundings for Around {
    fn ask(&self, _: &LiveStation, tag: u64, job: Job, op: DataOp) {
        self.data.tell(DataInput::Ask { asker: Asker { pod: self.pod.0, tag, job }, op });
    }

    fn out_of_memory(&self) {
        self.feed.tell(News::OutOfMemory(self.pod, self.started));
    }
}
