//! Real servers of the data layer, where pods live in containers: when one is lost, and when there is one again.
//!
//! Owns no server. It watches the pods of the database and of the cache and tells what became of them in the words of
//! the model, which stands for these servers elsewhere: reports and objectives read the same of both. And it knows who
//! is to be promoted: an operator or a person does that in a cluster, `rehearse` does it here, as long after the loss as
//! the model assumes.

use cluster::{PodId, PodRecord};
use model::data::{DataInput, DataNote};
use platform::{Platform, WorkloadId};

/// What is lost of the platform's real servers.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    lost: Vec<(WorkloadId, DataNote)>,
    /// The cache's master is lost, and its sentinels see to it.
    failing_over: bool,
}

impl Servers {
    /// A fault takes a server away: whose pods are lost, and what there is to tell of that.
    pub(crate) fn hear(&mut self, input: &DataInput, platform: &Platform) -> Option<(WorkloadId, DataNote)> {
        let (workload, lost, back) = match input {
            DataInput::PrimaryLost => {
                (platform.database()?, DataNote::PrimaryLost { lost_writes: 0 }, DataNote::PrimaryUp)
            }
            DataInput::CacheLost => (platform.cache()?, DataNote::CacheLost, DataNote::CacheUp),
            _ => return None, // real ones come back by themselves
        };
        self.lost.push((workload, back));
        Some((workload, lost))
    }

    /// The cache's master is lost, whose sentinels promote a replica: pods that are ready say nothing of it.
    pub(crate) const fn fail_over(&mut self) -> DataNote {
        self.failing_over = true;
        DataNote::CacheLost
    }

    /// The sentinels are done: what there is to tell. Where they promoted nobody, the cache is back with its master.
    pub(crate) fn failed_over(&mut self, platform: &Platform, promoted: bool) -> Option<DataNote> {
        if !std::mem::take(&mut self.failing_over) {
            return None;
        }
        if !promoted {
            self.lost.extend(platform.cache().map(|cache| (cache, DataNote::CacheUp)));
        }
        promoted.then_some(DataNote::CacheUp)
    }

    /// What is there again, now that the pods are these: a server is when a pod of its workload is ready that does not
    /// end.
    pub(crate) fn back(&mut self, pods: &[PodRecord]) -> Vec<DataNote> {
        let back = self.lost.extract_if(.., |(workload, _)| serving(*workload, pods).is_some());
        back.map(|(_, note)| note).collect()
    }

    /// The standby's pod that is to be promoted: there is one, and no primary.
    pub(crate) fn heir(&self, platform: &Platform, pods: &[PodRecord]) -> Option<PodId> {
        let lost = self.lost.iter().any(|(workload, _)| platform.database() == Some(*workload));
        if lost { serving(platform.standby()?, pods) } else { None }
    }

    /// A standby has taken over.
    pub(crate) fn promoted(&mut self, platform: &Platform) -> Option<DataNote> {
        let place = self.lost.iter().position(|(workload, _)| platform.database() == Some(*workload))?;
        Some(self.lost.remove(place).1)
    }
}

/// A pod of a workload that is ready and does not end.
pub(crate) fn serving(workload: WorkloadId, pods: &[PodRecord]) -> Option<PodId> {
    let index = pods.iter().position(|pod| pod.workload == workload && pod.ready && pod.is_active())?;
    Some(PodId(index as u32))
}

#[cfg(test)]
mod tests {
    use units::Nanos;

    use super::*;

    fn staging() -> Platform {
        manifests::load(&manifests::Source::BuiltIn, "staging").unwrap().platform
    }

    fn pod(workload: WorkloadId, ready: bool, deleted: Option<Nanos>) -> PodRecord {
        PodRecord { ready, deleted, ..PodRecord::new("postgres-0".into(), workload, Nanos::ZERO) }
    }

    #[test]
    fn a_lost_primary_is_back_with_a_ready_pod_in_its_place() {
        let platform = staging();
        let database = platform.database().unwrap();
        let (mut servers, killed) = (Servers::default(), pod(database, true, Some(Nanos::from_secs(9))));
        assert_eq!(servers.back(std::slice::from_ref(&killed)), [], "nothing was lost yet");
        let told = servers.hear(&DataInput::PrimaryLost, &platform);
        assert_eq!(told, Some((database, DataNote::PrimaryLost { lost_writes: 0 })));
        assert_eq!(servers.back(&[killed.clone(), pod(database, false, None)]), []);
        assert_eq!(servers.back(&[killed.clone(), pod(database, true, None)]), [DataNote::PrimaryUp]);
        assert_eq!(servers.back(&[killed, pod(database, true, None)]), [], "it is told once");
    }

    #[test]
    fn a_master_that_sentinels_replace_is_back_by_their_word_alone() {
        let platform = staging();
        let cache = platform.cache().unwrap();
        let (mut servers, replica) = (Servers::default(), pod(cache, true, None));
        assert_eq!(servers.fail_over(), DataNote::CacheLost);
        assert_eq!(servers.back(std::slice::from_ref(&replica)), [], "a replica is ready all the time");
        assert_eq!(servers.failed_over(&platform, true), Some(DataNote::CacheUp));
        assert_eq!(servers.failed_over(&platform, true), None, "it is told once");
        servers.fail_over();
        assert_eq!(servers.failed_over(&platform, false), None);
        assert_eq!(servers.back(&[replica]), [DataNote::CacheUp]);
    }

    #[test]
    fn a_ready_standby_is_promoted_only_while_there_is_no_primary() {
        let platform = staging();
        let (database, standby) = (platform.database().unwrap(), platform.standby().unwrap());
        let (mut servers, ready) = (Servers::default(), pod(standby, true, None));
        assert_eq!(servers.heir(&platform, std::slice::from_ref(&ready)), None, "the primary is there");
        servers.hear(&DataInput::PrimaryLost, &platform);
        assert_eq!(servers.heir(&platform, &[pod(standby, false, None)]), None, "it follows nobody yet");
        assert_eq!(servers.heir(&platform, &[pod(database, false, None), ready]), Some(PodId(1)));
        assert_eq!(servers.promoted(&platform), Some(DataNote::PrimaryUp));
        assert_eq!(servers.promoted(&platform), None);
    }
}
