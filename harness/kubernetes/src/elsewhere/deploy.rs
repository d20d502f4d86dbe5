//! The user's own way to deploy: a script that reaches the cluster through us alone.
//!
//! Owns the door that the script's private kubeconfig leads to, and what is let through it: whatever only reads, and what
//! makes or changes objects of this run in the namespaces that are rehearsed. What it makes is noted in the ledger before it
//! is made, carries the run's id, and has stand-ins for its images. In a dry run the API server is told to keep nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use containers::Program;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Uri};
use kube::client::Body;
use platform::Platform;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use server::{Handler, Listening};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

use super::layer;
use super::ledger::Ledger;
use crate::apply::RUN_LABEL;
use crate::pki::{self, Authority, Identity};
use crate::rest::{Rest, refusal};
use crate::{KubeError, answers, child, plane};

/// What tells a script that nothing is kept.
const DRY_RUN: &str = "REHEARSE_DRY_RUN";
const HINT: &str =
    "\nnothing of it was kept: a script that waits for what it has made can leave where REHEARSE_DRY_RUN is set";

/// How stand-ins get into what a script makes: the parts of a [`layer::Recipe`].
#[derive(Clone, Debug)]
pub(crate) struct Swap {
    pub(crate) platform: Arc<Platform>,
    pub(crate) programs: Vec<Program>,
    pub(crate) kept: BTreeSet<String>,
    pub(crate) registry: String,
    pub(crate) share: f64,
    pub(crate) burn: bool,
}

/// What a script is held to.
pub(crate) struct Terms<'a> {
    /// As a shell has it.
    pub(crate) command: &'a str,
    pub(crate) context: &'a str,
    pub(crate) rest: &'a Rest,
    pub(crate) swap: &'a Swap,
    /// The namespaces that are rehearsed.
    pub(crate) namespaces: &'a BTreeSet<String>,
    /// Whether others may be changed, too: in a cluster that is there for rehearsals alone.
    pub(crate) everywhere: bool,
    /// Nothing is kept.
    pub(crate) dry: bool,
}

/// What a script has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployed {
    /// Objects that it made, or changed, in the namespaces that are rehearsed.
    pub made: BTreeSet<String>,
    /// The same elsewhere, or of the whole cluster.
    pub outside: BTreeSet<String>,
    /// What it was not allowed, and why.
    pub refused: BTreeSet<String>,
    /// What it said.
    pub said: String,
}

/// Has the script deploy.
pub(crate) async fn deploy(terms: &Terms<'_>, ledger: &mut Ledger) -> Result<Deployed, KubeError> {
    let folder = ledger.folder.join("deploy");
    let fresh = || {
        fs::remove_dir_all(&folder).ok();
        fs::create_dir(&folder)
    };
    fresh().map_err(|source| KubeError::Folder { path: folder.clone(), source })?;
    let (notes, mut noted) = mpsc::unbounded_channel();
    let door = Arc::new(Door {
        rest: terms.rest.clone(),
        run: ledger.note.run.clone(),
        swap: terms.swap.clone(),
        namespaces: terms.namespaces.clone(),
        everywhere: terms.everywhere,
        dry: terms.dry,
        notes,
        done: Mutex::default(),
    });
    let (listening, kubeconfig) = open(&folder, terms, &door).await?;
    let log = folder.join("log");
    let mut script = Script::start(terms, &kubeconfig, &log)?;
    let status = loop {
        tokio::select! {
            status = script.child.wait() => break status,
            Some(Note { path, done }) = noted.recv() => {
                ledger.write(|note| note.objects.push(path))?;
                done.send(()).ok(); // who asked may have gone
            }
        }
    };
    drop(listening);
    let said = child::tail(&log);
    let mut deployed = door.lock().clone();
    deployed.said = fs::read_to_string(&log).unwrap_or_default();
    let how = match status {
        Ok(status) if status.success() => return Ok(deployed),
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let refused = deployed.refused.iter().fold(String::new(), |told, line| told + "\nnot allowed: " + line);
    let (when, hint) = if terms.dry { (" in its dry run", HINT) } else { ("", "") };
    let (command, said) = (terms.command.to_owned(), format!("{said}{refused}{hint}"));
    Err(KubeError::Script { command, when, how, said })
}

/// Opens the door, for whoever has this kubeconfig.
async fn open(folder: &Path, terms: &Terms<'_>, door: &Arc<Door>) -> Result<(Listening, PathBuf), KubeError> {
    let authority = Authority::new(folder, "ca")?;
    let serving = authority.server("door", &["127.0.0.1"])?;
    let client = authority.client("script", "rehearse", None)?;
    let io = |source| KubeError::Folder { path: folder.to_owned(), source };
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.map_err(io)?;
    let url = format!("https://{}", listener.local_addr().map_err(io)?);
    let acceptor = answers::acceptor(&serving, &[authority.der()])?;
    let kubeconfig = folder.join("kubeconfig");
    let namespace = terms.namespaces.first().map_or("default", String::as_str);
    pki::write(&kubeconfig, &config(terms.context, namespace, &url, &folder.join("ca.crt"), &client))?;
    Ok((Listening::serve_tls(listener, Arc::clone(door), None, acceptor), kubeconfig))
}

/// JSON is YAML. The one context is called as the real one, for scripts that name it.
fn config(context: &str, namespace: &str, url: &str, authority: &Path, client: &Identity) -> String {
    let mut config: Value =
        serde_json::from_str(&plane::kubeconfig(url, &authority.display().to_string(), client)).unwrap_or_default();
    config["contexts"][0]["name"] = context.into();
    config["contexts"][0]["context"]["namespace"] = namespace.into();
    config["current-context"] = context.into();
    config.to_string()
}

/// A script that runs, with all that it started.
struct Script {
    child: tokio::process::Child,
    group: Option<Pid>,
}

impl Script {
    fn start(terms: &Terms<'_>, kubeconfig: &Path, log: &Path) -> Result<Self, KubeError> {
        let start = || {
            let output = File::create(log)?;
            let mut command = Command::new("sh");
            command.args(["-c", terms.command]).env("KUBECONFIG", kubeconfig).process_group(0).kill_on_drop(true);
            if terms.dry {
                command.env(DRY_RUN, "1");
            }
            command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()
        };
        let child = start().map_err(|source| KubeError::Start { program: PathBuf::from("sh"), source })?;
        let group = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        Ok(Self { child, group })
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            kill_process_group(group, Signal::KILL).ok(); // nothing of it is left, as a rule
        }
    }
}

/// An object that is about to be made.
struct Note {
    path: String,
    done: oneshot::Sender<()>,
}

/// What lets requests through, or does not.
struct Door {
    rest: Rest,
    run: String,
    swap: Swap,
    namespaces: BTreeSet<String>,
    everywhere: bool,
    dry: bool,
    notes: mpsc::UnboundedSender<Note>,
    done: Mutex<Deployed>,
}

/// Why something is not let through: status, and words.
struct No(u16, String);

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Target {
    /// The path of its collection.
    collection: String,
    namespace: Option<String>,
    resource: String,
    name: Option<String>,
    /// Such as `scale`.
    below: Option<String>,
}

impl Target {
    /// `/apis/apps/v1/namespaces/shop/deployments/web/scale`; `None`: no object's path.
    fn of(path: &str) -> Option<Self> {
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        let base = match words.first() {
            Some(&"api") => 2,
            Some(&"apis") => 3,
            _ => return None,
        };
        // A namespace's own subresources are no objects in it.
        let inside = words.get(base) == Some(&"namespaces")
            && words.get(base + 2).is_some_and(|word| !matches!(*word, "status" | "finalize"));
        let at = if inside { base + 2 } else { base };
        let word = |index: usize| words.get(index).filter(|word| !word.is_empty()).map(|word| (*word).to_owned());
        Some(Self {
            collection: format!("/{}", words.get(..=at)?.join("/")),
            namespace: inside.then(|| words[base + 1].to_owned()),
            resource: word(at)?,
            name: word(at + 1),
            below: word(at + 2),
        })
    }

    fn told(&self) -> String {
        let object = format!("{}/{}", self.resource, self.name.as_deref().unwrap_or("?"));
        self.namespace.iter().fold(object, |told, namespace| format!("{told} in {namespace}"))
    }
}

impl Door {
    fn lock(&self) -> MutexGuard<'_, Deployed> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, target: &Target, code: u16, why: &str) -> No {
        let told = format!("{} {why}", target.told());
        self.lock().refused.insert(told.clone());
        No(code, format!("rehearse: {told}"))
    }

    async fn pass(&self, request: Request<Incoming>) -> Result<Response<Body>, No> {
        let (mut parts, body) = request.into_parts();
        for hop in ["host", "authorization", "connection", "transfer-encoding", "content-length"] {
            parts.headers.remove(hop);
        }
        parts.version = hyper::Version::HTTP_11;
        if parts.headers.contains_key("upgrade") {
            return Err(No(501, "rehearse: exec, attach and port-forward are not let through".to_owned()));
        }
        let unread = |error: hyper::Error| No(400, format!("rehearse: the request ends early: {error}"));
        let body = body.collect().await.map_err(unread)?.to_bytes();
        let path = parts.uri.path().to_owned();
        let asks = ["/apis/authorization.k8s.io/", "/apis/authentication.k8s.io/"];
        let reads = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let target = Target::of(&path).filter(|_| !reads && !asks.iter().any(|group| path.starts_with(group)));
        let Some(mut target) = target else {
            return self.forward(Request::from_parts(parts, Body::from(body))).await;
        };
        let text = |name: &hyper::header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let kind = text(&CONTENT_TYPE).unwrap_or_default().to_owned();
        let whole = parts.method == Method::POST || parts.method == Method::PUT || kind.contains("apply-patch");
        let whole = whole && target.below.is_none();
        let mut object: Value = serde_json::from_slice(&body).unwrap_or_default();
        if whole && kind.contains("protobuf") {
            match self.read(&parts, &body).await? {
                Ok(read) => object = read,
                Err(refused) => return Ok(refused),
            }
            parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if whole && !object.is_object() {
            return Err(No(415, "rehearse: objects are let through as JSON, as kubectl and helm send them".to_owned()));
        }
        if target.name.is_none() && parts.method == Method::POST {
            target.name = object["metadata"]["name"].as_str().map(str::to_owned);
        }
        let Some(name) = target.name.clone() else {
            return Err(self.refuse(&target, 403, "has no name, and is made and deleted by its name alone"));
        };
        // Where namespaces may be made at all, those that are rehearsed belong to it.
        let own = (self.everywhere && target.resource == "namespaces").then_some(&name);
        let inside = target.namespace.as_ref().or(own).is_some_and(|namespace| self.namespaces.contains(namespace));
        if !inside && !self.everywhere {
            return Err(self.refuse(&target, 403, "is outside of the namespace that is rehearsed"));
        }
        let own = format!("{}/{name}", target.collection);
        let there = match self.rest.get(&own).await {
            Ok(found) if found["metadata"]["labels"][RUN_LABEL] == self.run.as_str() => true,
            // Nor are pods: their controllers made them, and they go with those.
            Ok(_) => return Err(self.refuse(&target, 403, "is there already and is not of this run")),
            Err(error) if refusal(&error).is_some_and(|(code, _)| code == 404) => false,
            Err(error) => return Err(No(502, format!("rehearse: {}", crate::rest::told(&error)))),
        };
        let body = if whole {
            if object["metadata"]["namespace"].is_null()
                && let Some(namespace) = &target.namespace
            {
                object["metadata"]["namespace"] = namespace.as_str().into();
            }
            let mut object = self.swap.stand_in(object);
            if object["metadata"]["labels"].is_null() {
                object["metadata"]["labels"] = json!({});
            }
            object["metadata"]["labels"][RUN_LABEL] = self.run.as_str().into();
            if !there && !self.dry {
                self.note(own).await;
            }
            object.to_string().into_bytes().into()
        } else {
            body
        };
        if self.dry {
            parts.uri = kept_nowhere(&parts.uri);
        }
        let response = self.forward(Request::from_parts(parts, Body::from(body))).await?;
        if response.status().is_success() {
            let mut done = self.lock();
            if inside { &mut done.made } else { &mut done.outside }.insert(target.told());
        }
        Ok(response)
    }

    /// Reads an object as JSON that comes in Kubernetes' own encoding: who can read it is the API server, which keeps
    /// nothing of it.
    async fn read(&self, parts: &Parts, body: &Bytes) -> Result<Result<Value, Response<Body>>, No> {
        let mut parts = parts.clone();
        parts.uri = kept_nowhere(&parts.uri);
        parts.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        parts.headers.remove(ACCEPT_ENCODING);
        let response = self.forward(Request::from_parts(parts, Body::from(body.clone()))).await?;
        if !response.status().is_success() {
            return Ok(Err(response));
        }
        let unread = |error: kube::Error| No(502, format!("rehearse: the API server's answer ends early: {error}"));
        let read = response.into_body().collect().await.map_err(unread)?.to_bytes();
        Ok(Ok(undecided(serde_json::from_slice(&read).unwrap_or_default())))
    }

    /// Returns once it is in the ledger.
    async fn note(&self, path: String) {
        let (done, noted) = oneshot::channel();
        if self.notes.send(Note { path, done }).is_ok() {
            noted.await.ok(); // whoever keeps it has gone, and the script with it
        }
    }

    async fn forward(&self, request: Request<Body>) -> Result<Response<Body>, No> {
        let sent = self.rest.client().send(request).await;
        sent.map_err(|error| No(502, format!("rehearse: the API server does not answer: {error}")))
    }
}

/// The same request, of which nothing is kept.
fn kept_nowhere(uri: &Uri) -> Uri {
    let more = if uri.query().is_some() { "&" } else { "?" };
    format!("{uri}{more}dryRun=All").parse().unwrap_or_else(|_| uri.clone())
}

/// An object without what the API server has decided about it.
fn undecided(mut object: Value) -> Value {
    for (path, fields) in [
        ("", &["status"][..]),
        ("/metadata", &["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"]),
        ("/spec", &["clusterIP", "clusterIPs"]),
    ] {
        if let Some(found) = object.pointer_mut(path).and_then(Value::as_object_mut) {
            found.retain(|field, _| !fields.contains(&field.as_str()));
        }
    }
    object
}

impl Handler for Door {
    type Body = Body;

    async fn answer(&self, _: IpAddr, request: Request<Incoming>) -> Response<Body> {
        self.pass(request).await.unwrap_or_else(|No(code, message)| {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
                "code": code, "message": message,
            });
            let mut response = Response::new(Body::from(status.to_string().into_bytes()));
            *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        })
    }
}

impl Swap {
    /// An object with stand-ins for its images; any other is as it was.
    fn stand_in(&self, object: Value) -> Value {
        let recipe = layer::Recipe {
            platform: &self.platform,
            programs: &self.programs,
            kept: &self.kept,
            registry: &self.registry,
            share: self.share,
            burn: self.burn,
            only: None,
        };
        let same = |one: &Value| one["kind"] == object["kind"] && one["metadata"]["name"] == object["metadata"]["name"];
        let made = layer::layer(std::slice::from_ref(&object), &recipe).objects.into_iter().find(same);
        made.unwrap_or(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_which_object_is_meant() {
        let target = |path: &str| {
            let Target { collection, namespace, resource, name, below } = Target::of(path)?;
            Some([Some(collection), namespace, Some(resource), name, below].map(Option::unwrap_or_default).join(" "))
        };
        for (path, want) in [
            ("/api/v1/namespaces/shop/services/web", Some("/api/v1/namespaces/shop/services shop services web ")),
            ("/api/v1/namespaces/shop/services", Some("/api/v1/namespaces/shop/services shop services  ")),
            ("/api/v1/namespaces/shop", Some("/api/v1/namespaces  namespaces shop ")),
            ("/api/v1/namespaces/shop/finalize", Some("/api/v1/namespaces  namespaces shop finalize")),
            (
                "/apis/apps/v1/namespaces/shop/deployments/web/scale",
                Some("/apis/apps/v1/namespaces/shop/deployments shop deployments web scale"),
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/x",
                Some("/apis/rbac.authorization.k8s.io/v1/clusterroles  clusterroles x "),
            ),
            ("/version", None),
            ("/apis/apps/v1", None),
        ] {
            assert_eq!(target(path).as_deref(), want, "{path}");
        }
    }
}
