//! The faults of a scenario, done to the simulated platform at their instants.

use cluster::ControlInput;
use model::StationInput;
use record::EventKind;
use scenarios::Deed;

use crate::world::{Event, World};

impl World<'_> {
    /// Puts the beginning and the end of every fault into the queue.
    pub(crate) fn plan_faults(&mut self) {
        for edge in self.plan.fault_edges() {
            self.queue.schedule(self.load_start + edge.at, Event::Fault { index: edge.fault as u16, over: edge.over });
        }
    }

    /// A fault begins, or is over.
    pub(crate) fn fault(&mut self, index: u16, over: bool) {
        let plan = self.plan;
        let fault = &plan.faults[usize::from(index)];
        self.tell_event(if over {
            EventKind::FaultEnded { fault: fault.name.clone() }
        } else {
            EventKind::FaultBegan { fault: fault.name.clone(), what: plan.fault_in_words(fault) }
        });
        self.noise.extend(plan.noise(usize::from(index), over));
        let Some(control) = &self.control else { return };
        for deed in plan.deeds(usize::from(index), over, control.state().records()) {
            match deed {
                Deed::Act(action) => self.control(ControlInput::Act(action)),
                Deed::Data(input) => self.data(input),
                Deed::Share(pod, share) => self.station(pod.0, StationInput::Share(share)),
            }
        }
    }
}
