//! The data layer in virtual time: what stations ask of databases and caches, and the answers.

use model::StationInput;
use model::data::{Asker, DataEffect, DataInput};
use platform::WorkloadId;
use record::EventKind;
use units::Machine;

use crate::world::{Event, Sink, World};

impl World<'_> {
    /// A container has started: it has a pool, and a database without a standby is back with its pod.
    pub(crate) fn data_started(&mut self, pod: u32, workload: WorkloadId) {
        let plan = self.plan;
        let pool = plan.profile(workload).pool.clone();
        self.data(DataInput::Started { pod, pool });
        if plan.brings_database_back(workload) {
            self.data(DataInput::PrimaryBack);
        }
    }

    /// Feeds the data layer and brings its answers to those who asked.
    pub(crate) fn data(&mut self, input: DataInput) {
        let Some(data) = &mut self.data else { return };
        let mut effects = std::mem::take(&mut self.data_effects);
        let mut sink = Sink { queue: &mut self.queue, effects: &mut effects, event: |wake| Event::Data { wake } };
        data.step(self.now, input, &mut sink);
        for effect in effects.drain(..) {
            match effect {
                DataEffect::Called(Asker { pod, job, .. }) => self.station(pod, StationInput::Called(job)),
                DataEffect::Failed(Asker { pod, job, .. }, _) => self.station(pod, StationInput::Failed(job)),
                DataEffect::Note(note) => self.tell_event(EventKind::DataChanged { what: note.to_string() }),
            }
        }
        self.data_effects = effects;
    }
}
