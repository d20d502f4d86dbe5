//! What Kubernetes itself says of the overlays that we ship: its own API server, strict validation, dry run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kubernetes::LocalControlPlane;
use manifests::{Object, Source};
use testing::{Need, needs};

use crate::{settings, start};

const OVERLAYS: [&str; 3] = ["production", "staging", "development"];

fn platform() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kind-config/platform")
}

fn rendered(overlay: &str) -> String {
    std::fs::read_to_string(platform().join(format!("rendered/{overlay}.yaml"))).unwrap()
}

fn objects(overlay: &str) -> Vec<Object> {
    manifests::load(&Source::BuiltIn, overlay).unwrap().objects
}

/// Standard output, where all is well and nobody warns.
fn content(output: &Output, case: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{case}: {}\n{err}", output.status);
    out
}

/// `fieldValidation=Strict`, by server-side apply.
const APPLY: [&str; 5] = ["apply", "--server-side", "--validate=strict", "-f", "-"];
const POD_SECURITY: &str = "pod-security.kubernetes.io/";
/// `dryRun=All`: admission and validation run, and nothing is kept.
const DRY: &str = "--dry-run=server";

/// kubectl of the same release, with `input` on its standard input.
fn kubectl(plane: &LocalControlPlane, args: &[&str], input: &str) -> Output {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, input.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    Command::new(testing::control_plane().unwrap().join("kubectl"))
        .args(args)
        .env("KUBECONFIG", plane.kubeconfig())
        .env("HOME", plane.folder())
        .stdin(Stdio::from(file))
        .output()
        .unwrap()
}

#[tokio::test]
async fn the_api_server_takes_every_overlay_without_a_word() {
    if !needs("the_api_server_takes_every_overlay_without_a_word", Need::ControlPlane) {
        return;
    }
    let _alone = crate::ALONE.lock().await;
    let plane = start(&settings()).await;
    let apply = |text: &str, more: &[&str]| kubectl(&plane, &[&APPLY[..], more].concat(), text);

    // An object is refused whose namespace does not exist, even in a dry run. What Pod Security would refuse of the pods
    // (`enforce`) it says of their workloads only where it is asked to warn.
    for overlay in OVERLAYS {
        let namespaces = objects(overlay).into_iter().filter(|object| object.kind == "Namespace");
        let warning = |object: Object| {
            let mut json = object.to_json();
            let labels = &mut json["metadata"]["labels"];
            labels[format!("{POD_SECURITY}warn")] = labels[format!("{POD_SECURITY}enforce")].clone();
            json.to_string()
        };
        let text = namespaces.map(warning).collect::<Vec<_>>().join("\n---\n");
        content(&apply(&text, &[]), overlay);
    }
    for overlay in OVERLAYS {
        let out = content(&apply(&rendered(overlay), &[DRY]), overlay);
        let taken = out.lines().filter(|line| line.ends_with("serverside-applied (server dry run)")).count();
        assert_eq!(taken, objects(overlay).len(), "{overlay}: {out}");
    }

    // It would have said so.
    let production = rendered("production");
    for (case, from, to, want) in [
        ("an unknown field", "minReplicas: 3", "minReplica: 3", "minReplica"),
        ("a value that is none", "maxUnavailable: 1\n", "maxUnavailable: some\n", "maxUnavailable"),
        ("a pod that Pod Security refuses", "runAsNonRoot: true", "runAsNonRoot: false", "PodSecurity"),
        ("a namespace that is not there", "namespace: selfmonitor\n", "namespace: selfmonitro\n", "selfmonitro"),
    ] {
        assert!(production.contains(from), "{case}: the test is out of date");
        let told = apply(&production.replace(from, to), &[DRY]).stderr;
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains(want), "{case}: {told}");
    }
    plane.stop().await;
}

#[test]
fn kubectl_and_kustomize_build_the_same_without_a_warning() {
    let name = "kubectl_and_kustomize_build_the_same_without_a_warning";
    if !needs(name, Need::ControlPlane) || !needs(name, Need::Kustomize) {
        return;
    }
    let kubectl = testing::control_plane().unwrap().join("kubectl");
    for overlay in OVERLAYS {
        let folder = platform().join("overlays").join(overlay);
        let built = Command::new(&kubectl).arg("kustomize").arg(folder).output().unwrap();
        assert!(content(&built, overlay) == rendered(overlay), "{overlay}: kubectl kustomize makes something else");
    }
}
