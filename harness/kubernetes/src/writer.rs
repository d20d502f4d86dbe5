//! Statuses on their way to the API server: those of one pod one after the other, and of several that wait only the
//! last.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::rest::{Patch, Rest, pod, refusal, told};
use crate::watching::{Post, Word};

/// Requests under way at once: with more of them each waits longer, and the pods are not ready sooner.
const WORKERS: usize = 4;
/// How often a request is tried that nobody answered.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(200);

/// Which pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodRef {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

#[derive(Debug)]
enum Write {
    Status(Value),
    /// Nothing of the pod is left on its node.
    Remove,
}

/// Writes what kubelets say.
#[derive(Debug)]
pub(crate) struct Writer(Vec<UnboundedSender<(PodRef, Write)>>);

impl Writer {
    pub(crate) fn new(rest: &Rest, post: &Post) -> Self {
        let worker = |_| {
            let (queue, waiting) = unbounded_channel();
            tokio::spawn(work(rest.clone(), post.clone(), waiting));
            queue
        };
        Self((0..WORKERS).map(worker).collect())
    }

    pub(crate) fn status(&self, number: u32, pod: PodRef, patch: Value) {
        self.send(number, pod, Write::Status(patch));
    }

    pub(crate) fn remove(&self, number: u32, pod: PodRef) {
        self.send(number, pod, Write::Remove);
    }

    fn send(&self, number: u32, pod: PodRef, write: Write) {
        // A pod has its worker, so that its statuses keep their order.
        drop(self.0[number as usize % self.0.len()].send((pod, write)));
    }
}

async fn work(rest: Rest, post: Post, mut waiting: UnboundedReceiver<(PodRef, Write)>) {
    while let Some((pod, write)) = waiting.recv().await {
        let mut latest = BTreeMap::from([(pod.uid.clone(), (pod, write))]);
        while let Ok((pod, write)) = waiting.try_recv() {
            latest.insert(pod.uid.clone(), (pod, write));
        }
        for (pod, write) in latest.into_values() {
            if let Err(error) = perform(&rest, &pod, &write).await {
                post.tell(Word::Lost(format!("the status of pod {} cannot be written: {}", pod.name, told(&error))));
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a pause before a request is repeated; nothing is measured by it")]
async fn perform(rest: &Rest, target: &PodRef, write: &Write) -> Result<(), kube::Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let answer = match write {
            Write::Status(patch) => {
                rest.patch(&pod(&target.namespace, &target.name, "status"), Patch::Strategic, patch).await
            }
            Write::Remove => rest.delete(&pod(&target.namespace, &target.name, ""), &target.uid, true).await,
        };
        match answer {
            Ok(_) => return Ok(()),
            Err(error) => match refusal(&error).map(|(code, _)| code) {
                // It has gone, or another one has its name.
                Some(404 | 409) => return Ok(()),
                Some(code) if code < 500 && code != 429 => return Err(error),
                _ if tries == TRIES => return Err(error),
                _ => tokio::time::sleep(PAUSE).await,
            },
        }
    }
}
