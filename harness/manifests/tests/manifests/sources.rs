//! Where manifests come from.

use std::fs;
use std::path::{Path, PathBuf};

use manifests::{ManifestError, Source, load, load_node_groups, load_nodes};
use testing::{Need, needs};

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kind-config").join(path)
}

fn problem(source: PathBuf, overlay: &str) -> String {
    load(&Source::Path(source), overlay).expect_err("it is broken").to_string()
}

const POD: &str = "  template:\n    spec:\n      containers: [{name: c, image: i}]\n";

fn deployment(name: &str) -> String {
    format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n{POD}")
}

#[test]
fn the_rendered_file_is_what_kustomize_makes_of_the_overlay() {
    if !needs("the_rendered_file_is_what_kustomize_makes_of_the_overlay", Need::Kustomize) {
        return;
    }
    let built = load(&Source::Path(shipped("platform")), "production").unwrap();
    let committed = load(&Source::BuiltIn, "production").unwrap();
    assert_eq!(
        built.digest, committed.digest,
        "write it anew: kubectl kustomize kind-config/platform/overlays/production \
         > kind-config/platform/rendered/production.yaml"
    );
    assert_eq!((built.overlay.as_str(), committed.rendered_by.as_str()), ("production", "built-in"));
    assert!(built.rendered_by.contains("kustomize"), "{}", built.rendered_by);
    // An overlay itself is a kustomization, too.
    let direct = load(&Source::Path(shipped("platform/overlays/production")), "production").unwrap();
    assert_eq!((direct.digest, direct.overlay), (built.digest, String::new()));
}

#[test]
fn a_failing_kustomization_tells_what_kustomize_said() {
    if !needs("a_failing_kustomization_tells_what_kustomize_said", Need::Kustomize) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kustomization.yaml"), "resources: [missing.yaml]\n").unwrap();
    let problem = problem(folder.path().to_owned(), "production");
    assert!(problem.contains("missing.yaml") && problem.contains("run that command"), "{problem}");
}

#[test]
fn a_rendered_file_and_a_folder_of_files_are_read_as_they_are() {
    let file = load(&Source::Path(shipped("platform/rendered/production.yaml")), "any").unwrap();
    let built_in = load(&Source::BuiltIn, "production").unwrap();
    assert_eq!((file.digest.as_str(), file.rendered_by.as_str()), (built_in.digest.as_str(), "read as is"));
    assert!(file.digest.len() == 12 && file.digest.bytes().all(|b| b.is_ascii_hexdigit()), "{}", file.digest);

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b.yaml"), deployment("b")).unwrap();
    fs::write(folder.path().join("a.yml"), deployment("a")).unwrap();
    fs::write(folder.path().join("notes.txt"), "not: [yaml").unwrap();
    let loaded = load(&Source::Path(folder.path().to_owned()), "production").unwrap();
    let names = loaded.platform.workloads.iter().map(|w| w.name.as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["a", "b"]);
    assert!(loaded.platform.workloads[1].place.file.ends_with("b.yaml"));
    fs::write(folder.path().join("c.yaml"), deployment("a")).unwrap();
    let problem = problem(folder.path().to_owned(), "production");
    assert!(problem.contains("c.yaml:1: Deployment/a was declared at") && problem.contains("a.yml:1"), "{problem}");
}

#[test]
fn a_wrong_path_or_overlay_says_what_there_is() {
    let error = load(&Source::BuiltIn, "qa").unwrap_err().to_string();
    assert_eq!(error, "the built-in platform has no overlay `qa`: choose one of development, production, staging");
    let error = problem(shipped("platform"), "qa");
    assert!(error.ends_with("has no overlay `qa`: choose one of development, production, staging"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let error = problem(folder.path().to_owned(), "production");
    assert!(error.contains("holds neither a kustomization.yaml"), "{error}");
    let error = load(&Source::Path(folder.path().join("none")), "production").unwrap_err();
    assert!(matches!(error, ManifestError::Read { .. }), "{error}");
}

#[test]
fn nodes_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.yaml");
    fs::write(
        &file,
        "apiVersion: v1\nkind: Node\nmetadata: {name: one}\nstatus: {allocatable: {cpu: 2, memory: 4Gi}}\n",
    )
    .unwrap();
    let nodes = load_nodes(Some(&file)).unwrap();
    assert_eq!((nodes[0].name.as_str(), nodes[0].cpu.get(), nodes[0].pods), ("one", 2_000, 110));
    for (case, text, want) in [
        ("nothing", "", "has no Node"),
        ("no memory", "apiVersion: v1\nkind: Node\nmetadata: {name: one}\nstatus: {allocatable: {cpu: 2}}\n", "memory"),
        ("another kind", "apiVersion: v1\nkind: Pod\nmetadata: {name: one}\n", "holds nodes only"),
    ] {
        fs::write(&file, text).unwrap();
        let problem = load_nodes(Some(&file)).unwrap_err().to_string();
        assert!(problem.contains(want), "{case}: {problem}");
    }
}

#[test]
fn node_groups_stand_beside_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.yaml");
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: one}\nstatus: {allocatable: {cpu: 2, memory: 4Gi}}\n---\n";
    let group =
        |spec: &str| format!("{node}apiVersion: rehearse/v1\nkind: NodeGroup\nmetadata: {{name: app}}\nspec: {spec}\n");
    let template = "template: {metadata: {labels: {pool: app}}, status: {allocatable: {cpu: 4, memory: 8Gi}}}";
    fs::write(&file, group(&format!("{{max: 5, provisionSeconds: 90, idleSeconds: 600, {template}}}"))).unwrap();
    assert_eq!(load_nodes(Some(&file)).unwrap().len(), 1);
    let groups = load_node_groups(Some(&file)).unwrap();
    let app = &groups[0];
    assert_eq!((app.name.as_str(), app.min, app.max, app.template.cpu.get()), ("app", 0, 5, 4_000));
    assert_eq!((app.provision.as_secs(), app.idle.map(units::Nanos::as_secs)), (90, Some(600)));
    assert_eq!(app.template.labels["pool"], "app");
    for (case, spec, want) in [
        ("more at least than at most", format!("{{min: 3, max: 2, provisionSeconds: 1, {template}}}"), "no group"),
        ("never any node", format!("{{max: 0, provisionSeconds: 1, {template}}}"), "no group"),
        ("no delay told", format!("{{max: 2, {template}}}"), "provisionSeconds"),
        ("a slip of the pen", format!("{{max: 2, maximum: 3, provisionSeconds: 1, {template}}}"), "maximum"),
        ("no room told", "{max: 2, provisionSeconds: 1, template: {}}".to_owned(), "says nothing about cpu"),
    ] {
        fs::write(&file, group(&spec)).unwrap();
        let problem = load_node_groups(Some(&file)).unwrap_err().to_string();
        assert!(problem.contains(want), "{case}: {problem}");
    }
}
