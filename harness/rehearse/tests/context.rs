//! `rehearse run --context` in somebody else's cluster: what it refuses, and that nothing is left of what it began. The
//! cluster is a control plane of ours with one node that nobody serves, which is all that refusals need.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use hyper::Request;
use kubernetes::{Launcher, LocalControlPlane, PlaneSettings, Programs};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use testing::{Need, needs};

const REHEARSE: &str = env!("CARGO_BIN_EXE_rehearse");
const HERE: [&str; 4] = ["--context", "rehearse", "--namespace", "shop"];

struct Place {
    folder: TempDir,
    plane: LocalControlPlane,
    /// With kubectl.
    path: OsString,
}

impl Place {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("shop.yaml"), include_str!("kind/shop.yaml")).unwrap();
        fs::write(folder.path().join("week.yaml"), include_str!("kind/week.yaml")).unwrap();
        let launcher = Launcher { program: REHEARSE.into(), words: vec!["child".into()] };
        let settings = PlaneSettings::new(Programs::find(None).unwrap(), launcher);
        let plane = LocalControlPlane::start(&settings).await.unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let path = testing::control_plane().into_iter().chain(std::env::split_paths(&path));
        let place = Self { folder, plane, path: std::env::join_paths(path).unwrap() };
        // Nobody would ever end a pod that is bound to it.
        let node = json!({ "metadata": { "name": "one" }, "spec": { "unschedulable": true } });
        place.ask("POST", "/api/v1/nodes", node).await.unwrap();
        let shop = json!({ "metadata": { "name": "shop", "labels": { "rehearse.dev/allow": "true" } } });
        place.ask("POST", "/api/v1/namespaces", shop).await.unwrap();
        place
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Result<Value, kube::Error> {
        let kind = if method == "PATCH" { "application/strategic-merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        self.plane.client().request(request.body(body.to_string().into_bytes()).unwrap()).await
    }

    /// What a kubelet would say, just now.
    async fn node_is_ready(&self) {
        let has = json!({ "cpu": "8", "memory": "16Gi", "pods": "110" });
        let ready = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "" });
        let at = json!([{ "type": "InternalIP", "address": "127.0.0.1" }]);
        let status =
            json!({ "status": { "capacity": has, "allocatable": has, "addresses": at, "conditions": [ready] } });
        self.ask("PATCH", "/api/v1/nodes/one/status", status).await.unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(REHEARSE);
        command
            .args(words)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.folder.path())
            .env("KUBECONFIG", self.plane.kubeconfig())
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A run of the week in the shop, there.
    fn run(&self, more: &[&str]) -> Command {
        let words = ["run", "week.yaml", "--platform", "shop.yaml", "--errors", "tell", "--no-tui"];
        self.command(&[&words[..], &["--registry", "registry.example.com"], more].concat())
    }

    /// Paths of what is there and carries a run's id.
    async fn objects(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for (base, kinds) in [
            ("/api/v1", &["services", "configmaps", "secrets"][..]),
            ("/apis/apps/v1", &["deployments"]),
            ("/apis/autoscaling/v2", &["horizontalpodautoscalers"]),
            ("/apis/policy/v1", &["poddisruptionbudgets"]),
        ] {
            for kind in kinds {
                let path = format!("{base}/namespaces/shop/{kind}");
                let found =
                    self.ask("GET", &format!("{path}?labelSelector=rehearse.dev/run"), Value::Null).await.unwrap();
                let names = found["items"].as_array().unwrap().iter();
                all.extend(names.map(|one| format!("{path}/{}", one["metadata"]["name"].as_str().unwrap())));
            }
        }
        all
    }

    fn ledgers(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let bases = entries.filter(|path| path.display().to_string().contains("rehearse-clusters-"));
        bases.flat_map(|base| fs::read_dir(base).unwrap()).map(|entry| entry.unwrap().path()).collect()
    }

    /// A run that ends with `code` before load begins, says all of `words`, and leaves nothing.
    async fn refused(&self, case: &str, more: &[&str], code: i32, words: &[&str]) {
        self.node_is_ready().await;
        let output = self.run(&[&HERE[..], more].concat()).output().unwrap();
        let said = told(&output);
        assert_eq!(output.status.code(), Some(code), "{case}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{case}: `{word}` is not in {said}"));
        assert_eq!(self.objects().await, BTreeSet::new(), "{case}: {said}");
        assert_eq!(self.ledgers(), Vec::<PathBuf>::new(), "{case}: {said}");
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The lines that begin with `word`, without it.
fn lines(output: &Output, word: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.strip_prefix(word).unwrap_or_else(|| panic!("{text}")).trim().to_owned()).collect()
}

#[tokio::test]
async fn a_cluster_that_refuses_is_told_as_what_it_is_and_keeps_nothing() {
    if !needs("a_cluster_that_refuses_is_told_as_what_it_is_and_keeps_nothing", Need::ControlPlane) {
        return;
    }
    let place = Place::new().await;
    let hits = ["faults may hit 3 pods at one time (`kill` 1 and `rollout` 2)", "--max-affected-pods is 2"];
    place.refused("too many pods", &["--max-affected-pods", "2"], 2, &hits).await;
    policies(&place).await;
    quotas(&place).await;
    strangers(&place);
    scripts(&place).await;
    killed(place).await;
}

/// A webhook that nobody answers for, and a policy that says no.
async fn policies(place: &Place) {
    let deployments = json!([{ "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"] }]);
    let webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let closed = json!({ "metadata": { "name": "guard" }, "webhooks": [{
        "name": "guard.example.com", "rules": deployments, "failurePolicy": "Fail", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
        "clientConfig": { "service": { "name": "guard", "namespace": "shop", "path": "/" } },
    }]});
    place.ask("POST", webhooks, closed).await.unwrap();
    // Its place is the line where the first of the objects begins that it is asked about.
    let words =
        ["shop.yaml:", "the API server refuses Deployment/", "failed calling webhook \"guard.example.com\"", "closed"];
    place.refused("a webhook that fails closed", &[], 20, &words).await;
    place.ask("DELETE", &format!("{webhooks}/guard"), json!({})).await.unwrap();
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    let rule = json!({ "metadata": { "name": "no-shops" }, "spec": {
        "matchConstraints": { "resourceRules": deployments },
        "validations": [{ "expression": "false", "message": "not in this cluster" }],
    }});
    place.ask("POST", policies, rule).await.unwrap();
    let binding = json!({ "metadata": { "name": "no-shops" }, "spec": { "policyName": "no-shops", "validationActions": ["Deny"] } });
    place.ask("POST", bindings, binding).await.unwrap();
    let body = json!({ "metadata": { "name": "probe" }, "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": {
        "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } } });
    let deployments = "/apis/apps/v1/namespaces/shop/deployments?dryRun=All";
    // It is in force a moment after it is there.
    while place.ask("POST", deployments, body.clone()).await.is_ok() {
        pause().await;
    }
    let words = ["shop.yaml:", "'no-shops'", "not in this cluster", "a policy of the cluster"];
    place.refused("a policy that denies", &[], 20, &words).await;
    place.ask("DELETE", &format!("{bindings}/no-shops"), json!({})).await.unwrap();
    while place.ask("POST", deployments, body.clone()).await.is_err() {
        pause().await;
    }
}

/// No room for an object, and none for a pod.
async fn quotas(place: &Place) {
    let quotas = "/api/v1/namespaces/shop/resourcequotas";
    for (hard, words) in [
        ("count/deployments.apps", &["shop.yaml:", "exceeded quota: small", "kubectl describe resourcequota"][..]),
        ("pods", &["pods of ", " are refused: ", "exceeded quota: small", "give ResourceQuota small more room"]),
    ] {
        let quota = json!({ "metadata": { "name": "small" }, "spec": { "hard": { hard: "1" } } });
        place.ask("POST", quotas, quota).await.unwrap();
        place.refused(hard, &[], 20, words).await;
        place.ask("DELETE", &format!("{quotas}/small"), json!({})).await.unwrap();
    }
}

/// Somebody whom the API server does not know, and an authority that it is not of.
fn strangers(place: &Place) {
    let text = fs::read_to_string(place.plane.kubeconfig()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    let file = place.folder.path().join("stranger");
    let refused = |case: &str, config: &Value, words: &[&str]| {
        fs::write(&file, config.to_string()).unwrap();
        let output = place.run(&HERE).env("KUBECONFIG", &file).output().unwrap();
        assert_eq!(output.status.code(), Some(30), "{case}: {}", told(&output));
        words.iter().for_each(|word| assert!(told(&output).contains(word), "{case}: {word}: {}", told(&output)));
        assert_eq!(place.ledgers(), Vec::<PathBuf>::new(), "{case}");
    };
    config["users"][0]["user"] = json!({ "token": "of-yesterday" });
    refused("an old token", &config, &["does not know the user of context rehearse", "log in again"]);
    let authority = place.plane.folder().join("front-proxy-ca.crt");
    config["clusters"][0]["cluster"]["certificate-authority"] = authority.display().to_string().into();
    refused("another authority", &config, &["no API server that the kubeconfig trusts answers", "certificate"]);
}

/// Somebody's own script: refused in its dry run, or held to the namespace, and what it has made goes, too.
async fn scripts(place: &Place) {
    let shop = include_str!("kind/shop.yaml").split("\n---\n").filter(|text| !text.contains("kind: Namespace"));
    let shop = shop.collect::<Vec<_>>().join("\n---\n");
    fs::write(place.folder.path().join("parts.yaml"), &shop).unwrap();
    let words = ["`echo I give up; exit 3` failed in its dry run (exit status: 3)", "\nI give up", "REHEARSE_DRY_RUN"];
    place.refused("a script that fails", &["--deploy", "echo I give up; exit 3"], 20, &words).await;
    let strays = "kubectl create clusterrole peep --verb=get --resource=pods || kubectl label namespace shop a=b";
    let words = [
        "not allowed: clusterroles/peep is outside of the namespace that is rehearsed",
        "not allowed: namespaces/shop is outside",
        "(Forbidden): rehearse: clusterroles/peep is outside",
    ];
    place.refused("a script that strays", &["--deploy", strays], 20, &words).await;
    let words = ["has not made what the manifests have: ", "Deployment/orders", "Service/gateway"];
    place.refused("a script that does nothing", &["--deploy", "kubectl get pods"], 20, &words).await;
    let secret = "kubectl create secret generic payments --from-literal=token=x";
    let script =
        format!("set -e; kubectl apply -f parts.yaml; {secret}; kubectl scale deployment catalog --replicas=3");
    fs::write(place.folder.path().join("deploy.sh"), script).unwrap();
    place.node_is_ready().await;
    let dry = "[ -n \"$REHEARSE_DRY_RUN\" ] && exec kubectl apply --server-side -f parts.yaml; sh deploy.sh";
    let mut child = place.run(&[&HERE[..], &["--deploy", dry]].concat()).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("objects applied") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "it never deployed anything: {said}");
    }
    let catalog = place.ask("GET", "/apis/apps/v1/namespaces/shop/deployments/catalog", Value::Null).await.unwrap();
    let image = &catalog["spec"]["template"]["spec"]["containers"][0]["image"];
    assert!(image.as_str().unwrap().starts_with("registry.example.com/mock-service:"), "{catalog}");
    assert_eq!(catalog["spec"]["replicas"], 3);
    assert!(catalog["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].is_string());
    let there = place.objects().await;
    for made in [
        "/api/v1/namespaces/shop/secrets/payments",
        "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/orders",
    ] {
        assert!(there.contains(made), "{there:?}");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert_eq!((place.objects().await, place.ledgers()), (BTreeSet::new(), Vec::new()));
}

/// A run that is killed leaves what a dry run lists, all of it and nothing else; and where the cluster has gone, the ledger
/// stays.
async fn killed(place: Place) {
    let begin = async || {
        place.node_is_ready().await;
        let mut child = place.run(&HERE).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        while !said.contains("objects applied") {
            assert!(lines.read_line(&mut said).unwrap() > 0, "it never applied anything: {said}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    };
    begin().await;
    let ledger = place.ledgers().pop().unwrap();
    let (there, namespace) = (place.objects().await, "/api/v1/namespaces/shop");
    assert!(there.contains("/apis/apps/v1/namespaces/shop/deployments/orders"), "{there:?}");
    // Somebody took one over, and one went.
    let label = json!({ "metadata": { "labels": { "rehearse.dev/run": null } } });
    place.ask("PATCH", &format!("{namespace}/services/catalog"), label).await.unwrap();
    place.ask("DELETE", &format!("{namespace}/services/orders"), json!({})).await.unwrap();
    let there = place.objects().await;
    let would = lines(&place.command(&["clean", "--dry-run"]).output().unwrap(), "would remove");
    assert_eq!(place.objects().await, there, "a dry run removes nothing");
    let folder = format!("folder {}", ledger.display());
    let want = there.iter().map(|path| format!("object {path} in context rehearse")).chain([folder]);
    assert_eq!(would.iter().cloned().collect::<BTreeSet<_>>(), want.collect::<BTreeSet<_>>());
    let did = lines(&place.command(&["clean"]).output().unwrap(), "removed");
    assert_eq!(did, would);
    assert_eq!((place.objects().await, place.ledgers()), (BTreeSet::new(), Vec::new()));
    place.ask("GET", &format!("{namespace}/services/catalog"), Value::Null).await.unwrap();
    place.ask("DELETE", &format!("{namespace}/services/catalog"), json!({})).await.unwrap();

    begin().await;
    let mut clean = place.command(&["clean"]);
    let Place { folder, plane, .. } = place;
    plane.stop().await;
    let config = json!({
        "contexts": [{ "name": "rehearse", "context": { "cluster": "gone", "user": "me" } }],
        "clusters": [{ "name": "gone", "cluster": { "server": "https://127.0.0.1:9" } }], "users": [{ "name": "me", "user": {} }],
    });
    fs::write(folder.path().join("gone"), config.to_string()).unwrap();
    let output = clean.env("KUBECONFIG", folder.path().join("gone")).output().unwrap();
    assert_eq!(output.status.code(), Some(30), "{}", told(&output));
    for word in ["is not removed, and stays noted in", "rehearse-clusters-", "if its cluster is gone for good"] {
        assert!(told(&output).contains(word), "{word}: {}", told(&output));
    }
}

#[expect(clippy::disallowed_methods, reason = "a pause between two looks at another process")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}
