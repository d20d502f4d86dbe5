//! Real servers of the data layer, where pods live in containers: when one is lost, and when there is one again.
//!
//! Owns no server. It watches the pods of the database and of the cache and tells what became of them in the words of
//! the model, which stands for these servers elsewhere: reports and objectives read the same of both.

use cluster::PodRecord;
use model::data::{DataInput, DataNote};
use platform::{Platform, WorkloadId};

/// What is lost of the platform's real servers.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    lost: Vec<(WorkloadId, DataNote)>,
}

impl Servers {
    /// A fault takes a server away; what there is to tell of that.
    pub(crate) fn hear(&mut self, input: &DataInput, platform: &Platform) -> Option<DataNote> {
        let (workload, lost, back) = match input {
            DataInput::PrimaryLost => {
                (platform.database(), DataNote::PrimaryLost { lost_writes: 0 }, DataNote::PrimaryUp)
            }
            DataInput::CacheLost => (platform.cache(), DataNote::CacheLost, DataNote::CacheUp),
            _ => return None, // real ones come back by themselves
        };
        self.lost.push((workload?, back));
        Some(lost)
    }

    /// What is there again, now that the pods are these: a server is when a pod of its workload is ready that does not
    /// end.
    pub(crate) fn back(&mut self, pods: &[PodRecord]) -> Vec<DataNote> {
        let serves = |workload| pods.iter().any(|pod| pod.workload == workload && pod.ready && pod.is_active());
        let back = self.lost.extract_if(.., |(workload, _)| serves(*workload));
        back.map(|(_, note)| note).collect()
    }
}

#[cfg(test)]
mod tests {
    use units::Nanos;

    use super::*;

    #[test]
    fn a_lost_primary_is_back_with_a_ready_pod_in_its_place() {
        let platform = manifests::load(&manifests::Source::BuiltIn, "staging").unwrap().platform;
        let database = platform.database().unwrap();
        let pod =
            |ready, deleted| PodRecord { ready, deleted, ..PodRecord::new("postgres-0".into(), database, Nanos::ZERO) };
        let (mut servers, killed) = (Servers::default(), pod(true, Some(Nanos::from_secs(9))));
        assert_eq!(servers.back(std::slice::from_ref(&killed)), [], "nothing was lost yet");
        let told = servers.hear(&DataInput::PrimaryLost, &platform);
        assert_eq!(told, Some(DataNote::PrimaryLost { lost_writes: 0 }));
        assert_eq!(servers.back(&[killed.clone(), pod(false, None)]), []);
        assert_eq!(servers.back(&[killed.clone(), pod(true, None)]), [DataNote::PrimaryUp]);
        assert_eq!(servers.back(&[killed, pod(true, None)]), [], "it is told once");
    }
}
