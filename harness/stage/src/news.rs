//! What reaches the loop that feeds the control side, from wherever it happens.

use cluster::{ControlInput, PodId};
use record::EventKind;
use tokio::sync::mpsc::UnboundedSender;
use units::{Bytes, Nanos};

use crate::runtime::{BackedUp, ContainerNews, FailedOver, Promoted};

/// Something that the loop is to know.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// For the control side.
    Control(ControlInput),
    /// Worth keeping.
    Note(EventKind),
    /// The container that was started then took more memory than it may have.
    OutOfMemory(PodId, Nanos),
    /// Of a container.
    Container(PodId, Nanos, ContainerNews),
    /// The time has come to promote the standby, if there is no primary yet.
    Promote,
    /// What became of that.
    Promoted(PodId, Result<Promoted, String>),
    /// Which pod is the cache's master, whose loss the sentinels now hear of.
    LoseMaster(Result<PodId, String>),
    /// What became of that.
    FailedOver(Result<FailedOver, String>),
    /// A former primary or master is back, this long after its container was let start: how.
    Rejoined(PodId, Nanos, Result<String, String>),
    /// The database's disk was to be filled, or to have space again.
    Filled(bool, Result<Bytes, String>),
    /// What became of a backup.
    BackedUp(Result<BackedUp, String>),
    /// Others wanted so many connections of the database, and what became of that.
    ConnectionsTaken(u32, Result<u32, String>),
}

/// Tells the loop, unless the run is over by then.
#[derive(Clone, Debug)]
pub(crate) struct Feed(pub(crate) UnboundedSender<News>);

impl Feed {
    pub(crate) fn tell(&self, news: News) {
        drop(self.0.send(news));
    }
}
