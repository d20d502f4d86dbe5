//! `rehearse lint` as people and CI call it: exit codes, what stands on the first screen, and that a platform with
//! errors is not played.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::path::{Path, PathBuf};
use std::process::Command;

use testing::{Need, needs};

/// Lines of a terminal that nobody has made larger.
const SCREEN: usize = 24;

fn platform() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kind-config/platform").canonicalize().unwrap()
}

/// Exit code, and what stands on the first screen: standard output and standard error.
fn rehearse(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse")).args(args).current_dir(folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text.lines().take(SCREEN).map(|line| format!("{line}\n")).collect())
}

/// Each variant with the words that name its planted cause.
const BROKEN: [(&str, [&str; 2]); 8] = [
    ("probe", ["auth-service", "readinessProbe"]),
    ("grace-period", ["grace-period-too-short", "transactions-service"]),
    ("hpa-without-request", ["hpa-without-request", "transactions-service"]),
    ("limiter-key", ["limiter-key-constant", "zone api"]),
    ("pool-size", ["pools-exceed-max-connections", "transactions-service 20 × 10"]),
    ("pdb", ["pdb-blocks-every-drain", "PodDisruptionBudget/auth-service"]),
    ("zone-spread", ["spread-key-unknown", "topology.kubernetes.io/zones"]),
    ("timeout", ["proxy_read_timeout", "declared 2s"]),
];

#[test]
fn each_broken_variant_is_refused_and_its_cause_is_on_the_first_screen() {
    if !needs("each_broken_variant_is_refused_and_its_cause_is_on_the_first_screen", Need::Kustomize) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let check = |(variant, words): &(&str, [&str; 2])| {
        let source = platform().join("broken").join(variant).display().to_string();
        for command in [vec!["lint"], vec!["simulate", "nightly", "--quiet"]] {
            let (code, screen) = rehearse(folder.path(), &[&command[..], &["--platform", &source]].concat());
            assert_eq!(code, 20, "{command:?} {variant}: {screen}");
            assert!(words.iter().all(|word| screen.contains(word)), "{command:?} {variant}: {screen}");
        }
    };
    // Two at a time: most of it is kustomize.
    std::thread::scope(|scope| {
        let (first, second) = BROKEN.split_at(BROKEN.len() / 2);
        scope.spawn(move || first.iter().for_each(check));
        second.iter().for_each(check);
    });
    let source = platform().join("broken/pdb").display().to_string();
    assert_eq!(rehearse(folder.path(), &["run", "nightly", "--quiet", "--platform", &source]).0, 20);
    assert!(!folder.path().join("rehearsals").exists(), "something was played");
}

#[test]
fn our_own_overlays_have_no_error() {
    for overlay in ["production", "staging", "development"] {
        let (code, screen) = rehearse(Path::new("."), &["lint", "--overlay", overlay]);
        assert_eq!(code, 0, "{overlay}: {screen}");
    }
}

const SHOP: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: web:1
          ports: [{name: http, containerPort: 8080}]
          env: [{name: KEY, valueFrom: {secretKeyRef: {name: web, key: key}}}]
          resources: {requests: {cpu: 100m, memory: 64Mi}}
          readinessProbe: {httpGet: {path: /ready, port: http}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
";

#[test]
fn errors_are_refused_or_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.yaml"), SHOP).unwrap();
    let (code, screen) = rehearse(folder.path(), &["init", "--platform", "shop.yaml"]);
    assert_eq!(code, 0, "{screen}");
    // Nobody has looked at the findings of a new project: they are told, and it plays.
    assert_eq!(rehearse(folder.path(), &["simulate", "--quiet"]).0, 0);
    let project = folder.path().join("rehearse.yaml");
    let text = std::fs::read_to_string(&project).unwrap();
    assert!(text.contains("errors: tell"), "{text}");
    std::fs::write(&project, text.replace("errors: tell", "errors: refuse")).unwrap();
    let (code, screen) = rehearse(folder.path(), &["simulate", "--quiet"]);
    assert_eq!(code, 20, "{screen}");
    for word in ["lint finds 1 error", "missing-config", "shop.yaml:14", "--errors tell"] {
        assert!(screen.contains(word), "`{word}` is not in: {screen}");
    }
    assert_eq!(rehearse(folder.path(), &["simulate", "--quiet", "--errors", "tell"]).0, 0);
    // Accepted by name, it is none.
    let accepted = text.replace("accepted: []", "accepted: [{id: missing-config, subject: '*', reason: a store}]");
    std::fs::write(&project, accepted.replace("errors: tell", "errors: refuse")).unwrap();
    assert_eq!(rehearse(folder.path(), &["simulate", "--quiet"]).0, 0);
}
