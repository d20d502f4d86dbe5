//! Requests to the API server, by their paths: what is sent here is the raw document, and what comes back is read no
//! further than it is needed.

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

/// How long an answer is waited for: an API server that stands still keeps connections open. A change may have to wait for
/// webhooks, which have up to 30 s (`admissionregistration/v1`, `timeoutSeconds`).
const READ: Duration = Duration::from_secs(10);
const WRITE: Duration = Duration::from_secs(35);

/// A client that speaks JSON.
#[derive(Clone)]
pub(crate) struct Rest(Client);

/// How a patch is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patch {
    /// Server-side apply.
    Apply,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, in which conditions and containers are merged by their keys.
    Strategic,
    /// RFC 6902.
    Json,
}

impl Patch {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Apply => "application/apply-patch+yaml", // JSON is YAML
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Json => "application/json-patch+json",
        }
    }
}

/// The answer: the object, or a refusal.
pub(crate) type Answer = Result<Value, kube::Error>;

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest")
    }
}

impl Rest {
    pub(crate) const fn new(client: Client) -> Self {
        Self(client)
    }

    pub(crate) fn client(&self) -> Client {
        self.0.clone()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, "application/json").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body), "application/json").await
    }

    pub(crate) async fn patch(&self, path: &str, patch: Patch, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body), patch.content_type()).await
    }

    /// Deletes the object with this `uid`, and no other that took its name: within its own grace period, or `at_once`.
    pub(crate) async fn delete(&self, path: &str, uid: &str, at_once: bool) -> Answer {
        let mut options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": { "uid": uid } });
        if at_once {
            options["gracePeriodSeconds"] = 0.into();
        }
        self.send(Method::DELETE, path, Some(&options), "application/json").await
    }

    /// Deletes with these options.
    pub(crate) async fn delete_with(&self, path: &str, options: &Value) -> Answer {
        self.send(Method::DELETE, path, Some(options), "application/json").await
    }

    /// What is at a path, as it is.
    pub(crate) async fn text(&self, path: &str) -> Result<String, kube::Error> {
        let mut request = Request::new(Vec::new());
        *request.uri_mut() = path.parse().unwrap_or_default();
        within(READ, self.0.request_text(request)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>, content_type: &'static str) -> Answer {
        let mut request = Request::new(body.map(|body| body.to_string().into_bytes()).unwrap_or_default());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        within(if body.is_some() { WRITE } else { READ }, self.0.request(request)).await
    }
}

async fn within<T>(limit: Duration, asked: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let silence = |_| {
        let told = format!("no answer within {} s", limit.as_secs());
        Err(kube::Error::Service(std::io::Error::new(std::io::ErrorKind::TimedOut, told).into()))
    };
    tokio::time::timeout(limit, asked).await.unwrap_or_else(silence)
}

/// HTTP status of a refusal, with its words; `None` if nobody answered.
pub(crate) fn refusal(error: &kube::Error) -> Option<(u16, &str)> {
    match error {
        kube::Error::Api(status) => Some((status.code, &status.message)),
        _ => None,
    }
}

/// In the words of the API server, or of whatever is between.
pub(crate) fn told(error: &kube::Error) -> String {
    if let Some((_, message)) = refusal(error) {
        return message.to_owned();
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    // Some say what their cause does.
    causes
        .map(ToString::to_string)
        .fold(error.to_string(), |told, cause| if told.ends_with(&cause) { told } else { format!("{told}: {cause}") })
}

/// The path of a pod, and of what is below it.
pub(crate) fn pod(namespace: &str, name: &str, below: &str) -> String {
    let slash = if below.is_empty() { "" } else { "/" };
    format!("/api/v1/namespaces/{namespace}/pods/{name}{slash}{below}")
}
