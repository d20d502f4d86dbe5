//! Watches: whatever changes in the API server becomes word for the control side, in the order in which it happens.
//!
//! Owns that nothing is missed. A watch that breaks is taken up again, and after a new list what is not in it has gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::ControlInput;
use futures_util::TryStreamExt;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::mpsc::UnboundedSender;
use units::Nanos;

use crate::view::{Claim, Event, Key, Node, Owner, Pod, Scaler, Seen, Slice};

/// What the control side is told.
#[derive(Debug)]
pub(crate) enum Word {
    Pod(Box<Seen<Pod>>),
    /// With its `uid`.
    PodGone(String),
    /// Every pod that there is, by `uid`.
    PodsListed(BTreeSet<String>),
    Slice(Box<Seen<Slice>>),
    SliceGone(Key),
    /// Of this kind.
    Owner(&'static str, Box<Seen<Owner>>),
    Scaler(Box<Seen<Scaler>>),
    Node(Box<Seen<Node>>),
    Event(Box<Seen<Event>>),
    Claim(Box<Seen<Claim>>),
    /// Something that was done on our behalf ended so.
    Deed(crate::deeds::Outcome),
    /// The API server answers again, after so long.
    Silent(Nanos),
    /// The control plane is lost, and why.
    Lost(String),
}

/// Tells the control side, and has it listen.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) words: UnboundedSender<Word>,
    pub(crate) teller: Arc<dyn Fn(ControlInput) + Send + Sync>,
}

impl Post {
    pub(crate) fn tell(&self, word: Word) {
        if self.words.send(word).is_ok() {
            (self.teller)(ControlInput::Heard);
        }
    }
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource { group: group.into(), version: version.into(), api_version, kind: kind.into(), plural: plural.into() }
}

/// Everything that is watched, until the returned tasks are ended: in all namespaces, or in the `only` one.
pub(crate) fn start(client: &Client, post: &Post, only: Option<&str>) -> Vec<tokio::task::JoinHandle<()>> {
    let api = |resource: &ApiResource| match only {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let watch = |resource: ApiResource, read: fn(DynamicObject, bool) -> Option<Word>| {
        tokio::spawn(watch(api(&resource), post.clone(), read, None))
    };
    let pods = resource("", "v1", "Pod", "pods");
    let nodes = resource("", "v1", "Node", "nodes");
    let node = |object, gone: bool| (!gone).then_some(Word::Node(Box::new(Seen::of(object)?)));
    vec![
        tokio::spawn(self::watch(api(&pods), post.clone(), pod, Some(Word::PodsListed))),
        tokio::spawn(self::watch(Api::all_with(client.clone(), &nodes), post.clone(), node, None)),
        watch(resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"), |object, gone| {
            let slice = Seen::of(object)?;
            Some(if gone { Word::SliceGone(slice.key()) } else { Word::Slice(Box::new(slice)) })
        }),
        watch(resource("apps", "v1", "Deployment", "deployments"), |o, gone| owner("Deployment", o, gone)),
        watch(resource("apps", "v1", "StatefulSet", "statefulsets"), |o, gone| owner("StatefulSet", o, gone)),
        watch(resource("apps", "v1", "DaemonSet", "daemonsets"), |o, gone| owner("DaemonSet", o, gone)),
        watch(resource("apps", "v1", "ReplicaSet", "replicasets"), |o, gone| owner("ReplicaSet", o, gone)),
        watch(resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"), |object, gone| {
            (!gone).then_some(Word::Scaler(Box::new(Seen::of(object)?)))
        }),
        watch(resource("", "v1", "Event", "events"), |object, gone| {
            (!gone).then_some(Word::Event(Box::new(Seen::of(object)?)))
        }),
        watch(resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"), |object, gone| {
            (!gone).then_some(Word::Claim(Box::new(Seen::of(object)?)))
        }),
    ]
}

fn pod(object: DynamicObject, gone: bool) -> Option<Word> {
    if gone { Some(Word::PodGone(object.metadata.uid?)) } else { Some(Word::Pod(Box::new(Seen::of(object)?))) }
}

fn owner(kind: &'static str, object: DynamicObject, gone: bool) -> Option<Word> {
    (!gone).then_some(Word::Owner(kind, Box::new(Seen::of(object)?)))
}

async fn watch(
    api: Api<DynamicObject>,
    post: Post,
    read: fn(DynamicObject, bool) -> Option<Word>,
    listed: Option<fn(BTreeSet<String>) -> Word>,
) {
    let mut there = BTreeSet::new();
    let mut changes = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    loop {
        let word = match changes.try_next().await {
            Ok(Some(watcher::Event::Apply(object))) => read(object, false),
            Ok(Some(watcher::Event::InitApply(object))) => {
                there.extend(object.metadata.uid.clone());
                read(object, false)
            }
            Ok(Some(watcher::Event::Delete(object))) => read(object, true),
            Ok(Some(watcher::Event::Init)) => {
                there.clear();
                None
            }
            Ok(Some(watcher::Event::InitDone)) => listed.map(|listed| listed(std::mem::take(&mut there))),
            Ok(None) => return,
            Err(_) => None, // it backs off and lists anew; that the API server has gone is told by whoever watches it
        };
        if let Some(word) = word {
            post.tell(word);
        }
    }
}
