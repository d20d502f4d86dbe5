//! Whose cluster it is, and whether a rehearsal may go there.
//!
//! Owns the refusals: a cluster is used only if its context was named and it is one that we made, or its namespace carries
//! the label that allows it; one that looks like production only if that, too, was said in so many words; and never
//! without the permissions that a run will need, which are all asked for before anything is made.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use base64::Engine as _;
use futures_util::{StreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use scenarios::{Fault, FaultKind};
use serde_json::{Value, json};

use super::objects;
use crate::rest::{Rest, refusal};
use crate::{KubeError, answers, pki};

/// What a namespace carries whose owner allows rehearsals in it.
pub(crate) const ALLOW_LABEL: &str = "rehearse.dev/allow";
/// What every node of a cluster carries that we made: `kind-config/cluster.yaml` has it.
pub(crate) const OURS_LABEL: &str = "rehearse.dev/cluster";
/// Permissions that are asked for at once.
const AT_ONCE: usize = 8;
/// How often it is looked whether nodes are ready.
const LOOKS: u32 = 240;

/// A context of a kubeconfig file, connected.
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) server: String,
    pub(crate) rest: Rest,
}

impl Context {
    /// Why its API server cannot be spoken to.
    pub(crate) fn unanswered(&self, error: kube::Error) -> KubeError {
        let context = self.name.clone();
        match refusal(&error) {
            Some((401, _)) => KubeError::Unauthorized { context },
            Some(_) => KubeError::api("tell its version")(error),
            None => KubeError::Unreached { context, server: self.server.clone(), source: Box::new(error) },
        }
    }
}

/// Since when the client certificate of a context is of no use, if it has expired.
#[expect(clippy::disallowed_methods, reason = "a certificate is held against the wall clock, as the API server does")]
fn expired(config: &Kubeconfig, context: &str) -> Option<String> {
    let named = config.contexts.iter().find(|one| one.name == context)?.context.as_ref()?;
    let user = config.auth_infos.iter().find(|one| Some(&one.name) == named.user.as_ref())?.auth_info.as_ref()?;
    let pem = match (&user.client_certificate_data, &user.client_certificate) {
        (Some(data), _) => base64::engine::general_purpose::STANDARD.decode(data).ok()?,
        (None, Some(file)) => std::fs::read(file).ok()?,
        (None, None) => return None,
    };
    let first = answers::certificates(&String::from_utf8(pem).ok()?).ok()?.into_iter().next()?;
    let until = pki::not_after(&first)?;
    (until <= Timestamp::try_from(SystemTime::now()).ok()?).then(|| until.to_string())
}

/// Reads a kubeconfig: the one at `file`, or where kubectl looks for it.
pub(crate) async fn connect(file: Option<&Path>, name: &str) -> Result<Context, KubeError> {
    let read = match file {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let config = read.map_err(|error| KubeError::Kubeconfig(error.to_string()))?;
    let known: Vec<&str> = config.contexts.iter().map(|context| context.name.as_str()).collect();
    if !known.contains(&name) {
        return Err(KubeError::NoContext { name: name.to_owned(), known: known.join(", ") });
    }
    if let Some(since) = expired(&config, name) {
        return Err(KubeError::Expired { context: name.to_owned(), since });
    }
    let options = KubeConfigOptions { context: Some(name.to_owned()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(config, &options).await;
    let config = config.map_err(|error| KubeError::Kubeconfig(error.to_string()))?;
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| KubeError::Kubeconfig(error.to_string()))?;
    Ok(Context { name: name.to_owned(), server, rest: Rest::new(client) })
}

/// Its nodes, once all of them are ready: those of a cluster that was just made are not.
pub(crate) async fn nodes(rest: &Rest) -> Result<Vec<Value>, KubeError> {
    for _ in 0..LOOKS {
        let found = rest.get("/api/v1/nodes").await.map_err(KubeError::api("list its nodes"))?;
        let found = found["items"].as_array().cloned().unwrap_or_default();
        if !found.is_empty() && found.iter().all(is_ready) {
            return Ok(found);
        }
        objects::pause().await;
    }
    Err(KubeError::NodesNotReady { seconds: (objects::LOOK * LOOKS).as_secs() })
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True");
    let taints = node["spec"]["taints"].as_array();
    ready && !taints.into_iter().flatten().any(|taint| taint["key"] == "node.kubernetes.io/not-ready")
}

/// Whether every node says that the cluster is one of ours.
pub(crate) fn is_ours(nodes: &[Value]) -> bool {
    !nodes.is_empty() && nodes.iter().all(|node| node["metadata"]["labels"][OURS_LABEL].is_string())
}

/// The part of a name that says production, if one does.
pub(crate) fn production(names: &[&str]) -> Option<String> {
    let says = |word: &&str| matches!(*word, "prod" | "production" | "prd" | "live") || word.starts_with("prod");
    let looks = |name: &&&str| {
        let lower = name.to_ascii_lowercase();
        lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| says(&word))
    };
    names.iter().find(looks).map(|name| (*name).to_owned())
}

/// Refuses a namespace whose owner has not allowed it.
pub(crate) async fn allowed(rest: &Rest, namespace: &str) -> Result<(), KubeError> {
    match rest.get(&format!("/api/v1/namespaces/{namespace}")).await {
        Ok(found) if found["metadata"]["labels"][ALLOW_LABEL] == "true" => Ok(()),
        Ok(_) => Err(KubeError::NotAllowed { namespace: namespace.to_owned() }),
        Err(error) if refusal(&error).is_some_and(|(code, _)| code == 404) => {
            Err(KubeError::NoNamespace { namespace: namespace.to_owned() })
        }
        Err(error) => Err(KubeError::api(format!("tell about namespace {namespace}"))(error)),
    }
}

/// Something that a run will do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Permission {
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) resource: String,
    /// `None`: of the whole cluster.
    pub(crate) namespace: Option<String>,
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { verb, group, resource, namespace } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "{verb} {resource}{dot}{group}")?;
        namespace.iter().try_for_each(|namespace| write!(f, " in {namespace}"))
    }
}

/// Permission for each of these verbs on each of these resources.
fn each<'a>(
    verbs: &'a [&'static str],
    group: &'a str,
    resources: &'a [&'a str],
    namespace: Option<&'a str>,
) -> impl Iterator<Item = Permission> + 'a {
    verbs.iter().flat_map(move |verb| {
        resources.iter().map(move |resource| Permission {
            verb,
            group: group.to_owned(),
            resource: (*resource).to_owned(),
            namespace: namespace.map(str::to_owned),
        })
    })
}

/// What the faults of a plan do, beyond that.
pub(crate) fn needed_by(namespace: &str, faults: &[Fault]) -> BTreeSet<Permission> {
    let here = Some(namespace);
    let by = |fault: &Fault| -> Vec<Permission> {
        match fault.kind {
            FaultKind::AutoscalerEdit { .. } => {
                each(&["get", "patch"], "autoscaling", &["horizontalpodautoscalers"], here).collect()
            }
            FaultKind::Blackhole { .. } => {
                let verbs = &["get", "list", "create", "patch", "delete"];
                let policies = each(verbs, "networking.k8s.io", &["networkpolicies"], here);
                policies.chain(each(&["create", "patch"], "", &["pods"], here)).collect() // one that tells whether it is heeded
            }
            FaultKind::NodeDrain { .. } => each(&["get", "patch"], "", &["nodes"], None).collect(),
            FaultKind::Quota(_) => each(&["get", "create", "patch", "delete"], "", &["resourcequotas"], here).collect(),
            _ => Vec::new(),
        }
    };
    faults.iter().flat_map(by).collect()
}

/// What load from pods needs, beyond that.
pub(crate) fn needed_by_drivers(namespace: &str) -> BTreeSet<Permission> {
    let jobs = each(&["get", "create", "patch", "delete"], "batch", &["jobs"], Some(namespace));
    // Attaching by a WebSocket is a GET, which asks for `get` before 1.35 and for `create` since.
    jobs.chain(each(&["get", "create"], "", &["pods/attach"], Some(namespace))).collect()
}

/// What every run does in a namespace, whatever it applies.
pub(crate) fn needed(namespace: &str) -> BTreeSet<Permission> {
    let mut all = BTreeSet::new();
    let mut need = |verbs: &[&'static str], group: &str, resources: &[&str], namespace: Option<&str>| {
        all.extend(each(verbs, group, resources, namespace));
    };
    let here = Some(namespace);
    need(&["list", "watch"], "", &["nodes"], None);
    need(&["get", "list", "watch", "delete"], "", &["pods"], here);
    need(&["list", "watch"], "", &["events"], here);
    need(&["get"], "", &["pods/log", "pods/proxy"], here);
    need(&["create"], "", &["pods/eviction"], here);
    need(&["list", "watch"], "discovery.k8s.io", &["endpointslices"], here);
    need(&["list", "watch"], "autoscaling", &["horizontalpodautoscalers"], here);
    need(&["list", "watch"], "apps", &["deployments", "statefulsets", "daemonsets", "replicasets"], here);
    need(&["create", "patch", "delete"], "", &["services", "configmaps"], here);
    all
}

/// Refuses to go on if the API server would not grant all of them to us.
pub(crate) async fn granted(rest: &Rest, needed: BTreeSet<Permission>) -> Result<(), KubeError> {
    let missing: Vec<String> = missing(rest, needed).await?.iter().map(ToString::to_string).collect();
    if missing.is_empty() { Ok(()) } else { Err(KubeError::Forbidden { missing: missing.join(", ") }) }
}

/// Those that the API server would not grant to us.
async fn missing(rest: &Rest, needed: BTreeSet<Permission>) -> Result<Vec<Permission>, KubeError> {
    let asked = stream::iter(needed).map(|permission| async move {
        let Permission { verb, group, resource, namespace } = &permission;
        let (resource, below) = resource.split_once('/').unwrap_or((resource, ""));
        let mut attributes = json!({ "verb": verb, "group": group, "resource": resource, "subresource": below });
        if let Some(namespace) = namespace {
            attributes["namespace"] = namespace.as_str().into();
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": attributes },
        });
        let told = rest.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await;
        let told = told.map_err(KubeError::api("tell what we may do"))?;
        Ok((told["status"]["allowed"] != true).then_some(permission))
    });
    let told: Vec<Result<Option<Permission>, KubeError>> = asked.buffered(AT_ONCE).collect().await;
    Ok(told.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_production_is_told_by_its_name() {
        for (names, want) in [
            (&["kind-rehearse", "https://127.0.0.1:6443"][..], None),
            (&["eu-prod-1"], Some("eu-prod-1")),
            (&["staging", "https://k8s.production.example.com"], Some("https://k8s.production.example.com")),
            (&["products-dev"], Some("products-dev")), // rather once too often
            (&["olive"], None),
            (&["gke_shop_LIVE"], Some("gke_shop_LIVE")),
        ] {
            assert_eq!(production(names).as_deref(), want, "{names:?}");
        }
    }

    #[test]
    fn a_client_certificate_that_has_expired_is_told_before_anybody_is_asked() {
        let config = |until: (i32, u8, u8)| {
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2001, 2, 3), rcgen::date_time_ymd(until.0, until.1, until.2));
            let key = rcgen::KeyPair::generate().unwrap();
            let pem = params.self_signed(&key).unwrap().pem();
            let data = base64::engine::general_purpose::STANDARD.encode(pem);
            let text = json!({
                "contexts": [{ "name": "dev", "context": { "cluster": "dev", "user": "me" } }],
                "users": [{ "name": "me", "user": { "client-certificate-data": data } }],
            });
            Kubeconfig::from_yaml(&text.to_string()).unwrap()
        };
        // Up to 2049 the year has two digits in a certificate.
        assert_eq!(expired(&config((2020, 7, 9)), "dev").as_deref(), Some("2020-07-09T00:00:00Z"));
        assert_eq!(expired(&config((2049, 1, 2)), "dev"), None);
        assert_eq!(expired(&config((3020, 1, 2)), "dev"), None);
        assert_eq!(expired(&config((2020, 7, 9)), "another"), None);
    }

    #[test]
    fn a_cluster_is_ours_if_every_node_says_so() {
        let node = |labels: Value| json!({ "metadata": { "labels": labels } });
        let ours = node(json!({ OURS_LABEL: "kind" }));
        assert!(is_ours(std::slice::from_ref(&ours)));
        assert!(!is_ours(&[ours, node(json!({}))]));
        assert!(!is_ours(&[]));
    }

    #[test]
    fn permissions_are_told_as_kubectl_auth_can_i_has_them() {
        let all = needed("shop");
        let told: Vec<String> = all.iter().map(ToString::to_string).collect();
        for want in ["create pods/eviction in shop", "watch nodes", "list endpointslices.discovery.k8s.io in shop"] {
            assert!(told.iter().any(|line| line == want), "{want} is not in {told:?}");
        }
    }
}
