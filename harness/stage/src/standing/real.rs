//! Real servers among the pods of a platform that stands: their loss, who takes over, and their return.
//!
//! Owns what happens between a deed of the data layer and the runtime that plays it on a server; what is lost meanwhile
//! [`Servers`](crate::servers::Servers) knows.

use std::sync::Arc;

use cluster::{Action, ControlInput, PodId};
use model::data::{DataInput, DataNote};
use platform::WorkloadId;
use server::Writes;
use units::{Bytes, Nanos};

use super::Standing;
use crate::news::News;
use crate::{FailedOver, Promoted, StageError, servers};

impl Standing<'_> {
    /// A fault begins or ends for a real server. Its pod goes by another deed; a primary's stays away until the end of
    /// the fault, and the standby is promoted when its manager would.
    pub(super) fn tell_real(&mut self, input: &DataInput) {
        let plan = Arc::clone(&self.host.plan);
        match input {
            DataInput::PrimaryBack => self.release(plan.platform.database()),
            DataInput::CacheBack => self.release(plan.platform.cache()),
            DataInput::ConnectionsTaken(wanted) => return self.take_connections(*wanted),
            DataInput::DiskFills => return self.fill_disk(true),
            DataInput::DiskFreed => return self.fill_disk(false),
            DataInput::BackupBegins(_) => return self.back_up(),
            DataInput::ConnectionsGivenBack => {
                self.host.place.give_connections_back();
                return self.note_of_data(&DataNote::ConnectionsGivenBack);
            }
            _ => {}
        }
        let Some((workload, lost)) = self.servers.hear(input, &plan.platform) else { return };
        self.note_of_data(&lost);
        if plan.platform.database() == Some(workload) {
            self.host.place.hold(workload, None);
            if let (Some(standby), Some(_)) = (plan.data_config().database.standby, plan.platform.standby()) {
                let feed = self.host.feed.clone();
                self.clock.call_at(self.clock.now() + standby.promotion, move |_| feed.tell(News::Promote));
            }
        }
    }

    /// Lets the containers of a workload start that a fault kept away. Who was a primary or a master comes back to
    /// another one, which is told when it follows.
    fn release(&mut self, workload: Option<WorkloadId>) {
        let Some(workload) = workload else { return };
        let database = self.host.plan.platform.database() == Some(workload);
        for pod in self.host.place.release(workload) {
            if database && !self.host.place.is_deposed(workload) {
                continue; // nobody took over: it is the primary again
            }
            let Some(rejoined) = self.host.place.rejoined(pod) else { continue };
            let (feed, clock, began) = (self.host.feed.clone(), self.clock.clone(), self.clock.now());
            tokio::spawn(async move {
                let how = rejoined.await;
                feed.tell(News::Rejoined(pod, clock.now() - began, how));
            });
        }
    }

    pub(super) fn rejoined(&mut self, pod: PodId, after: Nanos, how: Result<String, String>) {
        let name = self.host.place.name(pod).to_owned();
        self.tell_data(match how {
            Ok(how) => format!("{name} is back and follows, {:.1} s after it might start: {how}", after.as_secs_f64()),
            Err(why) => format!("{name} does not follow: {why}"),
        });
    }

    /// Has the sentinels say which pod is the master, so that it can be lost. `false`: there are no real ones.
    pub(super) fn fail_over(&self) -> bool {
        let Some(found) = self.host.place.follow_failover() else { return false };
        let feed = self.host.feed.clone();
        tokio::spawn(async move {
            match found.await {
                Ok((master, done)) => {
                    feed.tell(News::LoseMaster(Ok(master)));
                    feed.tell(News::FailedOver(done.await));
                }
                Err(why) => feed.tell(News::LoseMaster(Err(why))),
            }
        });
        true
    }

    /// The cache's master crashes, and its pod stays away until the end of the fault.
    pub(super) fn lose_master(&mut self, found: Result<PodId, String>) -> Result<(), StageError> {
        let lost =
            found.and_then(|pod| self.host.place.workload(pod).map(|of| (pod, of)).ok_or("it has no pod".to_owned()));
        match lost {
            Ok((pod, workload)) => {
                let note = self.servers.fail_over();
                self.note_of_data(&note);
                let name = self.host.place.name(pod).to_owned();
                self.host.place.hold(workload, Some(name));
                self.host.place.kill(pod);
                self.feed(ControlInput::Act(Action::DeletePod { pod, forced: true }))
            }
            Err(why) => {
                self.tell_data(format!("no master can be lost: {why}"));
                Ok(())
            }
        }
    }

    pub(super) fn failed_over(&mut self, done: Result<FailedOver, String>) {
        let note = self.servers.failed_over(&self.host.plan.platform, done.is_ok());
        note.into_iter().for_each(|note| self.note_of_data(&note));
        self.tell_data(match done {
            Ok(failed_over) => failed_over.to_string(),
            Err(why) => format!("no replica was promoted: {why}"),
        });
    }

    /// Others take connections of the real database, if it serves.
    fn take_connections(&self, wanted: u32) {
        let taken = self.primary().and_then(|pod| self.host.place.take_connections(pod, wanted));
        let feed = self.host.feed.clone();
        tokio::spawn(async move {
            let got = match taken {
                Some(taken) => taken.await,
                None => Err("no database serves".to_owned()),
            };
            feed.tell(News::ConnectionsTaken(wanted, got));
        });
    }

    /// Fills the disk of the real database, if it serves, or frees it.
    fn fill_disk(&self, full: bool) {
        let done = self.primary().and_then(|pod| self.host.place.fill_disk(pod, full));
        let feed = self.host.feed.clone();
        tokio::spawn(async move {
            let done = match done {
                Some(done) => done.await,
                None => Err("no database serves".to_owned()),
            };
            feed.tell(News::Filled(full, done));
        });
    }

    pub(super) fn filled(&mut self, full: bool, done: Result<Bytes, String>) {
        match (full, done) {
            (true, Ok(with)) => {
                self.note_of_data(&DataNote::DiskFull);
                self.tell_data(format!("it was filled with {:.0} MB", with.get() as f64 / 1e6));
            }
            (false, Ok(_)) => self.note_of_data(&DataNote::DiskFreed),
            (true, Err(why)) => self.tell_data(format!("the database's disk cannot be filled: {why}")),
            (false, Err(why)) => self.tell_data(format!("the database's disk cannot be freed: {why}")),
        }
    }

    /// Backs up the real database, if it serves.
    fn back_up(&self) {
        let made = self.primary().and_then(|pod| self.host.place.back_up(pod));
        let feed = self.host.feed.clone();
        tokio::spawn(async move {
            feed.tell(News::BackedUp(match made {
                Some(made) => made.await,
                None => Err("no database serves".to_owned()),
            }));
        });
    }

    /// The pod of the database that takes writes now.
    fn primary(&self) -> Option<PodId> {
        let database = self.host.plan.platform.database()?;
        servers::serving(database, self.control.records())
    }

    /// Promotes the standby, unless there is a primary again.
    pub(super) fn promote(&self) {
        let Some(heir) = self.servers.heir(&self.host.plan.platform, self.control.records()) else { return };
        if let Some(promotion) = self.host.place.promote(heir) {
            let feed = self.host.feed.clone();
            tokio::spawn(async move { feed.tell(News::Promoted(heir, promotion.await)) });
        }
    }

    pub(super) fn promoted(&mut self, heir: PodId, promoted: Result<Promoted, String>) {
        let plan = Arc::clone(&self.host.plan);
        let platform = &plan.platform;
        let name = self.host.place.name(heir).to_owned();
        let taken = promoted.and_then(|promoted| match (platform.database(), platform.standby()) {
            (Some(lost), Some(heir)) if self.host.fabric.take_over(lost, heir) => {
                self.host.place.depose(lost, heir);
                Ok(promoted)
            }
            _ => Err("no Service leads to it".to_owned()),
        });
        match taken {
            Ok(promoted) => {
                let back = self.servers.promoted(platform);
                back.into_iter().for_each(|note| self.note_of_data(&note));
                let Promoted { writes: Writes { acknowledged, in_doubt }, present } = promoted;
                let lost = promoted.lost();
                self.tell_data(format!(
                    "{name} was promoted by rehearse: it has {present} writes, {acknowledged} were acknowledged and \
                     {in_doubt} had no answer; {lost} acknowledged ones are lost"
                ));
            }
            Err(why) => self.tell_data(format!("{name} cannot be promoted: {why}")),
        }
    }
}
