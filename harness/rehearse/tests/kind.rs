//! `rehearse run --kind` and `--context`: a real cluster of three nodes, from nothing to nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use testing::{Need, as_root, needs};

const REHEARSE: &str = env!("CARGO_BIN_EXE_rehearse");

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A folder of its own, with a kubeconfig of its own, and the ledgers of its runs.
struct Place {
    folder: TempDir,
    /// Of kind and kubectl.
    programs: PathBuf,
    image: String,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("shop.yaml"), include_str!("kind/shop.yaml")).unwrap();
        for (name, text) in [
            ("week.yaml", include_str!("kind/week.yaml")),
            ("lost.yaml", include_str!("kind/lost.yaml")),
            ("crowd.yaml", include_str!("kind/crowd.yaml")),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (programs, image) = testing::kind().unwrap();
        Self { folder, programs, image }
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Command {
        let mut command = as_root(program);
        command
            .args(words)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.folder.path())
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Plays the week in the shop, somewhere.
    fn run(&self, somewhere: &[&str]) -> Command {
        self.play("week.yaml", somewhere)
    }

    fn play(&self, scenario: &str, somewhere: &[&str]) -> Command {
        let words = ["run", scenario, "--platform", "shop.yaml", "--errors", "tell", "--no-tui"];
        self.command(REHEARSE, &[&words, somewhere].concat())
    }

    /// Has Docker do something to a node of the cluster.
    fn docker(&self, words: &[&str]) -> String {
        let output = self.command("docker", words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn kubectl(&self, words: &[&str]) -> Output {
        self.command(self.programs.join("kubectl"), words).output().unwrap()
    }

    fn done(&self, words: &[&str]) {
        let output = self.kubectl(words);
        assert!(output.status.success(), "kubectl {words:?}: {}", told(&output));
    }

    /// The name of the only cluster in the kubeconfig.
    fn context(&self) -> String {
        let output = self.kubectl(&["config", "current-context"]);
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn ledgers(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let bases =
            entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("rehearse-clusters-"));
        bases.flat_map(|base| fs::read_dir(base).unwrap()).map(|entry| entry.unwrap().path()).collect()
    }

    fn routes() -> String {
        let output = Command::new("ip").args(["route", "show", "table", "local"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.contains("198.18.")).collect()
    }
}

/// The cluster goes with the test, however that ends.
struct Ends<'a>(&'a Place);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let kind = self.0.programs.join("kind");
        let output = self.0.kubectl(&["config", "view", "-o", "jsonpath={.clusters[*].name}"]);
        for name in String::from_utf8_lossy(&output.stdout).split_whitespace() {
            let name = name.trim_start_matches("kind-");
            self.0.command(&kind, &["delete", "cluster", "--name", name]).output().ok();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "somebody else's time; nothing is measured by it")]
fn pause(seconds: u64) {
    std::thread::sleep(std::time::Duration::from_secs(seconds));
}

/// The newest run of a scenario.
fn newest(folder: &Path, scenario: &str) -> PathBuf {
    let runs = fs::read_dir(folder.join("rehearsals")).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(scenario);
    let mut runs: Vec<_> = runs.filter(|path| of(path) && path.join("result.json").exists()).collect();
    runs.sort();
    runs.pop().unwrap()
}

#[test]
fn a_cluster_decides_and_serves_is_used_by_permission_alone_and_keeps_nothing() {
    if !needs("a_cluster_decides_and_serves_is_used_by_permission_alone_and_keeps_nothing", Need::Kind) {
        return;
    }
    let built = as_root(REHEARSE).args(["images", "build", "nginx", "mock-service", "driver"]).output().unwrap();
    assert!(built.status.success(), "{}", told(&built));
    let place = Place::new();
    let output = place.run(&["--kind", "--keep-cluster", "--node-image", &place.image]).output().unwrap();
    let ends = Ends(&place);
    let said = told(&output);
    // Passed, broken, or too late to judge: that is the machine's hour, and the shop's.
    assert!(matches!(output.status.code(), Some(0 | 91 | 92 | 99)), "{said}");
    played(&newest(place.folder.path(), "week"), &said);
    let context = place.context();
    let there = place.kubectl(&["get", "namespaces", "-o", "name"]);
    assert!(told(&there).contains("namespace/default"), "{}", told(&there));
    for (what, left) in [("objects", told(&there).contains("shop")), ("routes", !Place::routes().is_empty())] {
        assert!(!left, "{what} are left: {}\n{}\n{said}", told(&there), Place::routes());
    }
    assert_eq!(place.ledgers(), Vec::<PathBuf>::new(), "{said}");
    crowded(&place, &context);
    killed(&place, &context);
    lost(&place, &context);
    unheeded(&place, &context);
    refused(&place, &context);
    drop(ends);
    let clusters = place.command(place.programs.join("kind"), &["get", "clusters"]).output().unwrap();
    assert!(!told(&clusters).contains(context.trim_start_matches("kind-")), "{}", told(&clusters));
}

/// What a run in a cluster leaves behind for its reader.
fn played(folder: &Path, said: &str) {
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_else(|_| panic!("no {name}: {said}"));
    let result: Value = serde_json::from_str(&text("result.json")).unwrap();
    assert_eq!(result["backend"], "kubernetes");
    let stand_ins = result["stand_ins"].to_string();
    for word in ["Kubernetes v1.", "3 nodes", "mock-service by its profile", "nginx of the stand-in image", "payments"]
    {
        assert!(stand_ins.contains(word), "{word}: {stand_ins}");
    }
    let applied = text("applied.yaml");
    assert!(applied.contains("rehearse.invalid/mock-service") && !applied.contains("\"kind\":\"Secret\""), "{applied}");
    let events: Vec<Value> = text("events.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| events.iter().filter(|one| one["event"] == event).collect::<Vec<_>>();
    // kube-controller-manager scaled by what pods account for, of which a kubelet sees next to nothing.
    let scaled = of("scaling").iter().filter_map(|one| one["desired"].as_u64()).max();
    assert!(scaled.is_some_and(|desired| desired > 2), "never above the minimum: {:?}", of("scaling"));
    let rollouts = of("rollout-complete");
    assert!(rollouts.iter().any(|one| one["workload"] == "catalog"), "{events:?}");
    assert!(!of("pod-scheduled").is_empty(), "{events:?}");
    // nginx saw each client, and limited the one that asks too often.
    let logs = fs::read_dir(folder.join("logs")).unwrap().map(|entry| entry.unwrap().path());
    let gateways = logs.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("gateway-"));
    let access: String = gateways.map(|path| fs::read_to_string(path).unwrap()).collect();
    let clients: BTreeSet<&str> = access.split_whitespace().filter(|word| word.starts_with("198.18.")).collect();
    assert!(clients.len() > 30, "{clients:?}");
    assert!(access.contains(" 429 "), "nobody was limited:\n{access}");
}

/// Load from pods is that of one driver, in parts.
fn crowded(place: &Place, context: &str) {
    let output = place.play("crowd.yaml", &["--context", context, "--workers-in-cluster", "2"]).output().unwrap();
    let said = told(&output);
    assert!(matches!(output.status.code(), Some(0 | 91 | 99)), "{said}");
    let folder = newest(place.folder.path(), "crowd");
    let result: Value = serde_json::from_str(&fs::read_to_string(folder.join("result.json")).unwrap()).unwrap();
    assert_eq!(result["steps"][0]["n"], 600, "all that is due of both parts: {said}");
    let checks = result["checks"].as_array().unwrap();
    let clocks = checks.iter().find(|check| check["name"] == "clocks of the load drivers").unwrap();
    assert_eq!(clocks["ok"], true, "{clocks}");
    assert!(result["stand_ins"].to_string().contains("2 pods of Job rehearse-drivers"), "{}", result["stand_ins"]);
    // nginx saw the addresses of pods, and not one of ours.
    let logs = fs::read_dir(folder.join("logs")).unwrap().map(|entry| entry.unwrap().path());
    let gateways = logs.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("gateway-"));
    let access: String = gateways.map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(!access.contains("198.18.") && access.contains("/catalog/all"), "{access}");
    // For three of fifteen seconds nobody answered, and afterwards everybody did.
    let failed: u64 = result["steps"][0]["failed"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert!((40..300).contains(&failed), "{failed} of 600 fell into a black hole of 3 s: {said}");
    assert!(!told(&place.kubectl(&["get", "namespaces"])).contains("shop"), "{said}");
}

/// A cluster that does not answer for a while is told so; one that does not answer any more ends the run, and what the run
/// did to its nodes is undone when it answers again.
fn lost(place: &Place, context: &str) {
    let cluster = context.trim_start_matches("kind-");
    let node = |role: &str| format!("{cluster}-{role}");
    let mut child = place.play("lost.yaml", &["--context", context]).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut until = |want: &str| {
        while !said.contains(want) {
            assert!(lines.read_line(&mut said).unwrap() > 0, "`{want}` was never said: {said}");
        }
    };
    until(&format!("node {} is cordoned", node("worker")));
    until(&format!("node {} is cut off", node("worker2")));
    place.docker(&["pause", &node("control-plane")]);
    pause(8);
    place.docker(&["unpause", &node("control-plane")]);
    until("the API server did not answer for");
    place.docker(&["pause", &node("control-plane")]);
    until("stays noted in");
    let ended = child.wait().unwrap();
    place.docker(&["unpause", &node("control-plane")]);
    assert_eq!(ended.code(), Some(92), "nothing is known of such a run, and it is not repeated: {said}");
    assert!(!said.contains("it is repeated once"), "{said}");
    // For this no API server is needed.
    let rules = place.docker(&["exec", &node("worker2"), "iptables", "-t", "raw", "-S"]);
    assert!(!rules.contains("rehearse"), "{rules}");
    let dry = place.command(REHEARSE, &["clean", "--dry-run"]).output().unwrap();
    for word in [format!("would remove the cordon of node {}", node("worker")), "deployments/orders".to_owned()] {
        assert!(told(&dry).contains(&word), "`{word}` is not in {}", told(&dry));
    }
    let clean = place.command(REHEARSE, &["clean"]).output().unwrap();
    assert!(clean.status.success(), "{}", told(&clean));
    let nodes = told(&place.kubectl(&["get", "nodes"]));
    assert!(!nodes.contains("SchedulingDisabled"), "{nodes}");
    assert!(!told(&place.kubectl(&["get", "namespaces"])).contains("shop"), "{}", told(&clean));
    assert!(place.ledgers().is_empty() && Place::routes().is_empty(), "{}", told(&clean));
}

/// A network that does not hear of policies heeds none, and a black hole there would be none.
fn unheeded(place: &Place, context: &str) {
    let deaf = r#"[{"op": "remove", "path": "/rules/1"}]"#; // its agents may not read policies any more
    place.done(&["patch", "clusterrole", "kindnet", "--type=json", "-p", deaf]);
    place.done(&["delete", "pods", "-n", "kube-system", "-l", "k8s-app=kindnet", "--wait"]);
    let output = place.play("crowd.yaml", &["--context", context]).output().unwrap();
    assert_eq!(output.status.code(), Some(30), "{}", told(&output));
    let want = "fault hole cannot be played in this cluster: the cluster's network does not heed a NetworkPolicy";
    assert!(told(&output).contains(want), "`{want}` is not in {}", told(&output));
    assert!(!told(&place.kubectl(&["get", "namespaces"])).contains("shop") && place.ledgers().is_empty());
}

/// A run that is killed leaves what its ledger names, and `clean` removes exactly that.
fn killed(place: &Place, context: &str) {
    let cluster = context.trim_start_matches("kind-");
    let mut child = place.play("lost.yaml", &["--context", context]).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while !(said.contains("is cordoned") && said.contains("worker2 is cut off\n")) {
        assert!(lines.read_line(&mut said).unwrap() > 0, "no node was ever cut off: {said}");
    }
    pause(2); // until that is done
    // Under sudo the run is a child of the child.
    let pid = pid_of(place, child.id());
    kill_process(pid, Signal::KILL).unwrap();
    child.wait().unwrap();
    let dry = place.command(REHEARSE, &["clean", "--dry-run"]).output().unwrap();
    for word in [
        &format!("would remove the cordon of node {cluster}-worker\n"),
        &format!("would remove the rules that cut off node {cluster}-worker2"),
        "/apis/apps/v1/namespaces/shop/deployments/orders",
        "apiservices/v1beta1.metrics.k8s.io",
    ] {
        assert!(told(&dry).contains(word), "{word} is not in {}", told(&dry));
    }
    assert!(told(&place.kubectl(&["get", "namespaces"])).contains("shop"), "a dry run removes nothing");
    // Somebody is quicker with the one node, and only with that.
    place.done(&["uncordon", &format!("{cluster}-worker")]);
    let clean = place.command(REHEARSE, &["clean"]).output().unwrap();
    assert!(clean.status.success(), "{}", told(&clean));
    for word in [
        format!("the cordon of node {cluster}-worker is let be: it takes pods again"),
        format!("removed the rules that cut off node {cluster}-worker2"),
    ] {
        assert!(told(&clean).contains(&word), "{word} is not in {}", told(&clean));
    }
    assert!(!told(&place.kubectl(&["get", "namespaces"])).contains("shop"), "{}", told(&clean));
    assert!(Place::routes().is_empty() && place.ledgers().is_empty(), "{}", told(&clean));
}

/// The process that holds the ledger: its folder begins with its id.
fn pid_of(place: &Place, child: u32) -> Pid {
    let ledger = place.ledgers().pop();
    let name = ledger.and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
    let pid = name.and_then(|name| name.split('-').next()?.parse().ok());
    Pid::from_raw(pid.unwrap_or(child.cast_signed())).unwrap()
}

/// A cluster that is nobody's but its owner's is used by permission alone.
fn refused(place: &Place, context: &str) {
    place.done(&["label", "nodes", "--all", "rehearse.dev/cluster-"]);
    let shop = ["--context", context, "--namespace", "shop"];
    let refuse = |case: &str, words: &[&str], code: i32, want: &str| {
        let output = place.run(words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{case}: {}", told(&output));
        assert!(told(&output).contains(want), "{case}: `{want}` is not in {}", told(&output));
        assert!(place.ledgers().is_empty(), "{case}");
    };
    refuse("no such context", &["--context", "nowhere"], 30, "there is no context `nowhere`");
    refuse("no namespace named", &["--context", context], 30, "--context needs --namespace");
    refuse("no such namespace", &shop, 30, "kubectl create namespace shop");
    place.done(&["create", "namespace", "shop"]);
    refuse("nobody allowed it", &shop, 30, "kubectl label namespace shop rehearse.dev/allow=true");
    place.done(&["label", "namespace", "shop", "rehearse.dev/allow=true"]);
    place.done(&["create", "service", "clusterip", "catalog", "--tcp=80", "-n", "shop"]);
    refuse("something is there", &shop, 30, "services/catalog is there already and is not ours");
    let found = place.kubectl(&["get", "services", "-n", "shop", "-o", "name"]);
    assert_eq!(told(&found).trim(), "service/catalog", "nothing was made, and nothing taken away");
    // Somebody who may only look.
    place.done(&["create", "serviceaccount", "looker", "-n", "shop"]);
    let token = place.kubectl(&["create", "token", "looker", "-n", "shop"]);
    let token = String::from_utf8(token.stdout).unwrap();
    place.done(&["config", "set-credentials", "looker", "--token", token.trim()]);
    place.done(&["config", "set-context", "looking", "--cluster", context, "--user", "looker"]);
    refuse("no permission", &["--context", "looking", "--namespace", "shop"], 30, "forbidden");
    place.done(&["create", "clusterrolebinding", "looker", "--clusterrole=view", "--serviceaccount=shop:looker"]);
    place.done(&["create", "clusterrole", "nodes", "--verb=get,list,watch", "--resource=nodes,namespaces"]);
    place.done(&["create", "clusterrolebinding", "nodes", "--clusterrole=nodes", "--serviceaccount=shop:looker"]);
    let missing = "create pods/eviction in shop";
    refuse("permission to look alone", &["--context", "looking", "--namespace", "shop"], 30, missing);
    place.done(&["config", "rename-context", context, "eu-production"]);
    let production = ["--context", "eu-production", "--namespace", "shop"];
    refuse("it looks like production", &production, 30, "--allow-production eu-production");
    place.done(&["config", "rename-context", "eu-production", context]);
}
