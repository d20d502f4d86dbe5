//! What a run leaves for those who check the simulator itself: facts from within, told apart from what they led to.

use cluster::PodId;
use units::Nanos;

/// Facts of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Names of pods, by their number.
    pub pods: Vec<String>,
    /// Every choice of an endpoint for a new connection: when, and which pod's.
    pub dialled: Vec<(Nanos, PodId)>,
    /// Requests that clients had under way at each whole second, from the first one after load began.
    pub under_way: Vec<(Nanos, u32)>,
}

impl Audit {
    pub(crate) fn bound(&mut self, pod: PodId, name: &str) {
        let index = pod.0 as usize;
        if self.pods.len() <= index {
            self.pods.resize_with(index + 1, String::new);
        }
        name.clone_into(&mut self.pods[index]);
    }
}
