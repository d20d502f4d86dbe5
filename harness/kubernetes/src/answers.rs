//! `metrics.k8s.io`, `custom.metrics.k8s.io` and `external.metrics.k8s.io`, served to the API server from what the pods
//! account for.
//!
//! The answers are those of `cluster`'s metrics-server and Prometheus, by which the rules decide, too. Nobody but the
//! API server is answered: it shows a certificate by its own authority.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::Clock;
use cluster::hpa::CustomValues;
use cluster::{ClusterConfig, Meters, PodId};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use platform::{Labels, Operator, Platform, Requirement, Selector};
use serde_json::{Value, json};
use server::tls::{Acceptor, RootCertStore, ServerConfig, WebPkiClientVerifier, aws_lc_rs, pki_types};
use server::{Handler, Listening};
use tokio::net::TcpListener;

use crate::KubeError;
use crate::apply::{MANAGER, RUN_LABEL};
use crate::pki::Identity;
use crate::plane::{METRICS_NAMESPACE, METRICS_SERVICE};
use crate::rest::{Patch, Rest};
use crate::wall::Wall;

/// A pod as the metrics APIs know it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) pod: PodId,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) node: usize,
    /// Its containers; the first one does all the work.
    pub(crate) containers: Vec<String>,
}

/// What is answered now.
pub(crate) struct Answers {
    platform: Arc<Platform>,
    nodes: Vec<String>,
    clock: Clock,
    wall: Wall,
    state: Mutex<State>,
}

struct State {
    meters: Meters,
    /// In the order in which they were made.
    pods: BTreeMap<PodId, Listed>,
}

impl Answers {
    pub(crate) fn new(
        platform: Arc<Platform>,
        nodes: Vec<String>,
        config: &ClusterConfig,
        clock: Clock,
        wall: Wall,
    ) -> Self {
        let state = Mutex::new(State { meters: Meters::new(config, &platform), pods: BTreeMap::new() });
        Self { platform, nodes, clock, wall, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn meters<T>(&self, of: impl FnOnce(&mut Meters) -> T) -> T {
        of(&mut self.state().meters)
    }

    /// This pod is on a node.
    pub(crate) fn list(&self, pod: Listed) {
        self.state().pods.insert(pod.pod, pod);
    }

    /// It has gone.
    pub(crate) fn unlist(&self, pod: PodId) {
        self.state().pods.remove(&pod);
    }

    /// Whether any autoscaler asks for what an adapter would tell.
    fn feeds(&self) -> bool {
        let feeds = |autoscaler| cluster::monitoring::feeds(&self.platform, autoscaler);
        self.platform.autoscalers.iter().flat_map(feeds).any(|feed| feed.quantity.is_some())
    }

    /// The groups that are served, each with its version.
    pub(crate) fn groups(&self) -> Vec<(&'static str, &'static str)> {
        let mut groups = vec![RESOURCE];
        if self.feeds() {
            groups.extend([CUSTOM, EXTERNAL]);
        }
        groups
    }

    /// What is at `path`; `None`: nothing.
    fn answer(&self, path: &str, query: &str) -> Option<Result<Value, String>> {
        let path: Vec<&str> = path.trim_matches('/').split('/').collect();
        let parameter = |name: &str| parameter(query, name);
        let selected = || selector(&parameter("labelSelector"));
        Some(match path.as_slice() {
            ["apis", group, version] if self.groups().contains(&(*group, *version)) => Ok(resources(group, version)),
            ["apis", "metrics.k8s.io", "v1beta1", "pods"] => Ok(self.pods(None, &selected()?)),
            ["apis", "metrics.k8s.io", "v1beta1", "namespaces", namespace, "pods"] => {
                Ok(self.pods(Some(namespace), &selected()?))
            }
            ["apis", "metrics.k8s.io", "v1beta1", "nodes"] => Ok(self.nodes()),
            ["apis", "custom.metrics.k8s.io", "v1beta2", "namespaces", namespace, resource, name, metric] => {
                let selector = parameter("metricLabelSelector");
                self.custom(namespace, (resource, name), metric, &selector, &selected()?)
            }
            ["apis", "external.metrics.k8s.io", "v1beta1", "namespaces", namespace, metric] => {
                self.external(namespace, metric, &parameter("labelSelector"))
            }
            _ => return None,
        })
    }

    fn pods(&self, namespace: Option<&str>, selector: &Selector) -> Value {
        let state = self.state();
        let here = |pod: &&Listed| namespace.is_none_or(|one| pod.namespace == one) && selector.selects(&pod.labels);
        let item = |pod: &Listed| {
            let sample = state.meters.sample(pod.pod)?;
            let usage = |index: usize| {
                let (cpu, memory) = if index == 0 { (sample.cpu.get(), sample.memory.get()) } else { (0, 0) };
                json!({ "cpu": format!("{cpu}m"), "memory": memory.to_string() })
            };
            let containers = pod.containers.iter().enumerate();
            let containers: Value =
                containers.map(|(index, name)| json!({ "name": name, "usage": usage(index) })).collect();
            Some(json!({
                "metadata": { "name": pod.name, "namespace": pod.namespace, "labels": pod.labels },
                "timestamp": self.wall.time(sample.timestamp),
                "window": format!("{}ms", sample.window.as_millis()),
                "containers": containers,
            }))
        };
        let items: Value = state.pods.values().filter(here).filter_map(item).collect();
        json!({ "kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items })
    }

    fn nodes(&self) -> Value {
        let state = self.state();
        let now = self.wall.time(self.clock.now());
        let item = |(index, name): (usize, &String)| {
            let samples =
                state.pods.values().filter(|pod| pod.node == index).filter_map(|pod| state.meters.sample(pod.pod));
            let (cpu, memory) =
                samples.fold((0, 0), |(cpu, memory), sample| (cpu + sample.cpu.get(), memory + sample.memory.get()));
            json!({
                "metadata": { "name": name },
                "timestamp": now,
                "window": "15s",
                "usage": { "cpu": format!("{cpu}m"), "memory": memory.to_string() },
            })
        };
        let items: Value = self.nodes.iter().enumerate().map(item).collect();
        json!({ "kind": "NodeMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items })
    }

    fn autoscalers(&self, namespace: &str) -> impl Iterator<Item = usize> {
        let here = move |(_, declared): &(usize, &platform::Autoscaler)| declared.namespace == namespace;
        self.platform.autoscalers.iter().enumerate().filter(here).map(|(index, _)| index)
    }

    fn custom(
        &self,
        namespace: &str,
        (resource, name): (&str, &str),
        metric: &str,
        selector: &str,
        pods: &Selector,
    ) -> Result<Value, String> {
        let state = self.state();
        let now = self.clock.now();
        let here = |pod: &&Listed| pod.namespace == namespace && pods.selects(&pod.labels);
        let listed: Vec<(PodId, &str)> =
            state.pods.values().filter(here).map(|pod| (pod.pod, pod.name.as_str())).collect();
        let item = |kind: &str, name: &str, value: i64| {
            json!({
                "describedObject": { "kind": kind, "namespace": namespace, "name": name },
                "metric": { "name": metric, "selector": Value::Null },
                "timestamp": self.wall.time(now),
                "value": format!("{value}m"),
            })
        };
        for index in self.autoscalers(namespace) {
            let fed = state.meters.fed(now, index, &listed).custom;
            for custom in fed.into_iter().filter(|custom| custom.name == metric && custom.selector == selector) {
                let items: Vec<Value> = match custom.values {
                    CustomValues::Pods(values) if resource == "pods" => {
                        values.iter().map(|(name, value)| item("Pod", name, *value)).collect()
                    }
                    CustomValues::Object { kind, name: object, value }
                        if object == name && resource.split('.').next() == Some(&plural(&kind)) =>
                    {
                        vec![item(&kind, name, value)]
                    }
                    CustomValues::Error(why) => return Err(why),
                    CustomValues::Pods(_) | CustomValues::Object { .. } => continue,
                };
                return Ok(json!({
                    "kind": "MetricValueList", "apiVersion": "custom.metrics.k8s.io/v1beta2", "metadata": {},
                    "items": items,
                }));
            }
        }
        Err(format!("the server could not find the metric {metric} for {resource} {name}"))
    }

    fn external(&self, namespace: &str, metric: &str, selector: &str) -> Result<Value, String> {
        let state = self.state();
        let now = self.clock.now();
        for index in self.autoscalers(namespace) {
            let fed = state.meters.fed(now, index, &[]).external;
            if let Some(external) =
                fed.into_iter().find(|external| external.name == metric && external.selector == selector)
            {
                let item = |value: i64| {
                    json!({
                        "metricName": metric, "metricLabels": {}, "timestamp": self.wall.time(now),
                        "value": format!("{value}m"),
                    })
                };
                let items: Value = external.values?.into_iter().map(item).collect();
                return Ok(json!({
                    "kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1",
                    "metadata": {}, "items": items,
                }));
            }
        }
        Err(format!("the server could not find the metric {metric}"))
    }
}

const RESOURCE: (&str, &str) = ("metrics.k8s.io", "v1beta1");
const CUSTOM: (&str, &str) = ("custom.metrics.k8s.io", "v1beta2");
const EXTERNAL: (&str, &str) = ("external.metrics.k8s.io", "v1beta1");

fn resources(group: &str, version: &str) -> Value {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({ "name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"] });
    let resources = match group {
        "metrics.k8s.io" => vec![resource("pods", "PodMetrics", true), resource("nodes", "NodeMetrics", false)],
        _ => Vec::new(), // the autoscaler asks without looking
    };
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/{version}"),
        "resources": resources,
    })
}

/// As the REST mapper makes it of a kind that an autoscaler may name.
fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match kind.strip_suffix('s') {
        Some(_) => format!("{kind}es"),
        None => format!("{kind}s"),
    }
}

/// A parameter of a query, decoded; empty where there is none.
fn parameter(query: &str, name: &str) -> String {
    let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
    found.map(|(_, value)| decoded(&value.replace('+', " "))).unwrap_or_default()
}

/// Without percent signs. What is no encoding stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A label selector as a query has it: `a=b,c in (d,e),!f`. `None` for what is none.
fn selector(text: &str) -> Option<Selector> {
    let mut selector = Selector::default();
    let (mut depth, mut begin) = (0_u32, 0);
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        let set = |list: &str| {
            let list = list.trim().strip_prefix('(')?.strip_suffix(')')?;
            Some(list.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>())
        };
        let (key, operator) = if let Some((key, list)) = part.split_once(" notin ") {
            (key, Operator::NotIn(set(list)?))
        } else if let Some((key, list)) = part.split_once(" in ") {
            (key, Operator::In(set(list)?))
        } else if let Some((key, value)) = part.split_once("!=") {
            (key, Operator::NotIn(vec![value.trim().to_owned()]))
        } else if let Some((key, value)) = part.split_once('=') {
            (key, Operator::In(vec![value.trim_start_matches('=').trim().to_owned()]))
        } else if let Some(key) = part.strip_prefix('!') {
            (key, Operator::DoesNotExist)
        } else {
            (part, Operator::Exists)
        };
        selector.expressions.push(Requirement { key: key.trim().to_owned(), operator });
    }
    Some(selector)
}

impl Handler for Answers {
    type Body = Full<Bytes>;

    async fn answer(&self, _: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = decoded(request.uri().path());
        let refused = |code: u16, message: &str| {
            let reason = if code == 404 { "NotFound" } else { "InternalError" };
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
                "code": code, "message": message,
            });
            (StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), status)
        };
        let (status, body) = match Self::answer(self, &path, request.uri().query().unwrap_or_default()) {
            Some(Ok(body)) => (StatusCode::OK, body),
            Some(Err(why)) => refused(404, &why),
            None => refused(404, "there is nothing here"),
        };
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = status;
        response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
        response
    }
}

/// Where the answers are served, and who vouches for whom.
pub(crate) struct Registrar<'a> {
    /// An address of this machine that the API server reaches.
    pub(crate) address: Ipv4Addr,
    /// What is served shows this certificate, vouched for by this authority.
    pub(crate) serving: &'a Identity,
    pub(crate) authority: &'a str,
    /// The authorities of which one vouches for the API server, when it passes requests on.
    pub(crate) front_proxy: Vec<Vec<u8>>,
    /// The run's id, a label of what is registered.
    pub(crate) run: &'a str,
}

/// Serves the answers and registers them with the API server.
pub(crate) async fn serve(
    registrar: &Registrar<'_>,
    rest: &Rest,
    answers: &Arc<Answers>,
) -> Result<Listening, KubeError> {
    let io = |source| KubeError::Folder { path: registrar.serving.certificate.clone(), source };
    let listener = TcpListener::bind(SocketAddr::from((registrar.address, 0))).await.map_err(io)?;
    let port = listener.local_addr().map_err(io)?.port();
    let listening =
        Listening::serve_tls(listener, Arc::clone(answers), None, acceptor(registrar.serving, &registrar.front_proxy)?);
    for (path, object) in registrations(registrar, &answers.groups(), port) {
        let path = format!("{path}?fieldManager={MANAGER}&force=true");
        rest.patch(&path, Patch::Apply, &object).await.map_err(KubeError::api("register our metrics"))?;
    }
    Ok(listening)
}

/// The objects by which an API server finds the answers at `port`, with their paths.
pub(crate) fn registrations(registrar: &Registrar<'_>, groups: &[(&str, &str)], port: u16) -> Vec<(String, Value)> {
    let metadata = |name: &str, namespaced: bool| {
        let mut metadata = json!({ "name": name, "labels": { RUN_LABEL: registrar.run } });
        if namespaced {
            metadata["namespace"] = METRICS_NAMESPACE.into();
        }
        metadata
    };
    let mut all = Vec::new();
    let spec = if registrar.address.is_loopback() {
        // An EndpointSlice may not name a loopback address.
        json!({ "type": "ExternalName", "externalName": "localhost" })
    } else {
        let mut metadata = metadata(METRICS_SERVICE, true);
        metadata["labels"]["kubernetes.io/service-name"] = METRICS_SERVICE.into();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "metadata": metadata,
            "endpoints": [{ "addresses": [registrar.address.to_string()], "conditions": { "ready": true } }],
            "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
        });
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{METRICS_NAMESPACE}/endpointslices/{METRICS_SERVICE}");
        all.push((path, slice));
        json!({ "ports": [{ "name": "https", "port": port, "targetPort": port }] })
    };
    let service =
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata(METRICS_SERVICE, true), "spec": spec });
    all.push((format!("/api/v1/namespaces/{METRICS_NAMESPACE}/services/{METRICS_SERVICE}"), service));
    let bundle = base64(registrar.authority.as_bytes());
    all.extend(groups.iter().map(|(group, version)| {
        let name = format!("{version}.{group}");
        let api = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata(&name, false),
            "spec": {
                "group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
                "caBundle": bundle,
                "service": { "name": METRICS_SERVICE, "namespace": METRICS_NAMESPACE, "port": port },
            },
        });
        (format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}"), api)
    }));
    all
}

/// Serves as somebody, for those alone who show a certificate by one of the authorities.
pub(crate) fn acceptor(serving: &Identity, authorities: &[Vec<u8>]) -> Result<Acceptor, KubeError> {
    use pki_types::pem::PemObject;
    let wrong = |error: &dyn std::fmt::Display| KubeError::Certificate(error.to_string());
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone().into()).map_err(|error| wrong(&error))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| wrong(&error))?;
    let certificate = pki_types::CertificateDer::from_pem_file(&serving.certificate).map_err(|error| wrong(&error))?;
    let key = pki_types::PrivateKeyDer::from_pem_file(&serving.key).map_err(|error| wrong(&error))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)
        .map_err(|error| wrong(&error))?;
    Ok(Acceptor::from(Arc::new(config)))
}

/// The certificates of a PEM text.
pub(crate) fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, KubeError> {
    use pki_types::pem::PemObject;
    let all = pki_types::CertificateDer::pem_slice_iter(pem.as_bytes());
    let all: Result<Vec<_>, _> = all.map(|one| one.map(|one| one.to_vec())).collect();
    all.map_err(|error| KubeError::Certificate(error.to_string()))
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_as_a_query_has_them() {
        let labels = |text: &str| -> Labels {
            text.split(',').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        for (text, of, want) in [
            ("app=web", "app=web,tier=a", true),
            ("app==web", "app=web", true),
            ("app=web", "app=db", false),
            ("app in (db,web),tier!=b", "app=web,tier=a", true),
            ("app in (db,web),tier!=b", "app=web,tier=b", false),
            ("app notin (db)", "app=web", true),
            ("tier", "app=web", false),
            ("!tier", "app=web", true),
            ("", "app=web", true),
        ] {
            assert_eq!(selector(text).unwrap().selects(&labels(of)), want, "{text} of {of}");
        }
        assert!(selector("app in web").is_none());
    }

    #[test]
    fn paths_and_queries_are_decoded() {
        assert_eq!(decoded("/pods/%2A/requests%"), "/pods/*/requests%");
        assert_eq!(parameter("a=1&labelSelector=app%3Dweb%2Ctier+in+%28a%29", "labelSelector"), "app=web,tier in (a)");
        assert_eq!(parameter("", "labelSelector"), "");
    }
}
