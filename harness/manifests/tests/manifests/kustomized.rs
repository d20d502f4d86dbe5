//! Kustomizations: source files in places, and failures in words.

use std::fs;
use std::path::Path;

use manifests::{Loaded, ManifestError, Source, load};
use testing::{Need, needs};

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  replicas: 2
  template:
    spec:
      containers:
        - name: c
          image: i
";

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn build(folder: &Path) -> Result<Loaded, ManifestError> {
    load(&Source::Path(folder.to_owned()), "production")
}

#[test]
fn objects_are_told_in_their_source_files() {
    if !needs("objects_are_told_in_their_source_files", Need::Kustomize) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let conf = "events {}\nhttp {\n  server {\n    listen 80;\n    location / { return 200 ok; }\n  }\n}\n";
    let gateway = DEPLOYMENT
        .replace("name: api", "name: gateway")
        .replace("image: i", "image: nginx")
        .replace("      containers:", "      volumes: [{name: conf, configMap: {name: gateway}}]\n      containers:")
        + "---\napiVersion: v1\nkind: Service\nmetadata: {name: gateway}\nspec: {selector: {app: shop}, ports: [{port: 80}]}\n";
    write(
        &folder,
        &[
            ("base/api.yaml", DEPLOYMENT),
            ("base/gateway.yaml", &gateway),
            ("base/conf/nginx.conf", conf),
            (
                "base/kustomization.yaml",
                "resources: [api.yaml, gateway.yaml]\nlabels: [{pairs: {app: shop}, includeTemplates: true}]\n\
                 configMapGenerator:\n  - name: gateway\n    files: [conf/nginx.conf]\n",
            ),
            (
                "overlays/production/kustomization.yaml",
                "namespace: live\nnamePrefix: p-\nresources: [../../base]\nreplicas: [{name: api, count: 5}]\n\
                 patches:\n  - target: {kind: Deployment}\n    patch: |\n      - op: add\n        path: /metadata/labels/x\n        value: y\n",
            ),
        ],
    );
    let loaded = build(&folder).unwrap();
    let shown = |path: &str| folder.join(path).display().to_string();
    let object = |name: &str| loaded.objects.iter().find(|o| o.kind == "Deployment" && o.name == name).unwrap();
    let api = object("p-api");
    assert_eq!(
        (api.place.file.as_str(), api.place.line, api.namespace.as_str()),
        (&*shown("base/api.yaml"), 1, "live")
    );
    let image = api.place_of("spec.template.spec.containers[0].image");
    assert_eq!((image.file, image.line), (shown("base/api.yaml"), 11));
    assert_eq!(api.to_json()["spec"]["replicas"], 5);
    let replicas = api.place_of("spec.replicas");
    assert!(replicas.file.contains("kustomize"), "changed by the overlay, so told in what it made: {replicas}");
    assert!(loaded.excerpt(&replicas).unwrap().contains("replicas: 5"));
    assert!(api.to_json()["metadata"].get("annotations").is_none());

    let location = &loaded.platform.gateway.as_ref().unwrap().config.servers[0].locations[0].place;
    assert_eq!((location.file.as_str(), location.line), (&*shown("base/conf/nginx.conf"), 5));
    let map = loaded.objects.iter().find(|object| object.kind == "ConfigMap").unwrap();
    assert_eq!((map.place.file.as_str(), map.place.line), (&*shown("base/kustomization.yaml"), 4));

    let tree = loaded.tree.as_ref().unwrap();
    assert_eq!(tree.kustomizations.len(), 2);
    let patch = &tree.kustomizations[0].patches[0];
    assert!(patch.target.as_ref().unwrap().is_blanket());
    assert_eq!((patch.documents[0].text("[0].path"), patch.documents[0].place().line), (Some("/metadata/labels/x"), 8));
    assert_eq!(fs::read_dir(folder.join("overlays/production")).unwrap().count(), 1, "nothing was written there");
}

#[test]
fn failures_are_told_in_words_with_files_and_lines() {
    if !needs("failures_are_told_in_words_with_files_and_lines", Need::Kustomize) {
        return;
    }
    let other = DEPLOYMENT.replace("name: api", "name: other");
    for (case, kustomization, wanted) in [
        (
            "a duplicate names both",
            "resources: [a.yaml, b.yaml]\n",
            &["Deployment/api is declared at", "a.yaml:1", "b.yaml:2"][..],
        ),
        (
            "a patch that hits nothing",
            "resources: [a.yaml]\npatches:\n  - path: other.yaml\n",
            &["other.yaml:1: the patch of Deployment/other hits nothing", "that is there (api)"],
        ),
        (
            "a generator that replaces nothing",
            "resources: [a.yaml]\nconfigMapGenerator:\n  - name: c\n    behavior: replace\n    literals: [a=b]\n",
            &["kustomization.yaml:3: the generator of ConfigMap/c has `behavior: replace`", "write `behavior: create`"],
        ),
        (
            "a missing file",
            "resources:\n  - gone.yaml\n",
            &["kustomization.yaml:2 names gone.yaml, which does not exist"],
        ),
        (
            "an unknown field",
            "resources: [a.yaml]\nresource: []\n",
            &["kustomization.yaml:2: a kustomization has no field `resource`"],
        ),
        (
            "namespaces that merge",
            "namespace: one\nresources: [two.yaml]\n",
            &["ConfigMap/m", "two.yaml:1 and at", "two.yaml:5"],
        ),
        ("a file outside", "resources: [../outside.yaml]\n", &["--load-restrictor", "--platform -"]),
        ("a Helm chart", "helmCharts: [{name: x, repo: \"https://x.invalid\"}]\n", &["--enable-helm DIR"]),
        ("broken YAML", "resources: [broken.yaml]\n", &["broken.yaml is no YAML"]),
        (
            "an empty directory",
            "resources: [empty]\n",
            &["kustomization.yaml:1 names the directory", "write one there"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &[
                ("outside.yaml", DEPLOYMENT),
                ("tree/kustomization.yaml", kustomization),
                ("tree/a.yaml", DEPLOYMENT),
                ("tree/b.yaml", &format!("---\n{DEPLOYMENT}")),
                ("tree/other.yaml", &other),
                ("tree/broken.yaml", "a: [\n"),
                ("tree/empty/readme.txt", ""),
                (
                    "tree/two.yaml",
                    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, namespace: a}\n---\napiVersion: v1\nkind: \
                     ConfigMap\nmetadata: {name: m, namespace: b}\n",
                ),
            ],
        );
        let problem = build(&folder.path().join("tree")).unwrap_err().to_string();
        for part in wanted {
            assert!(problem.contains(part), "{case}: `{part}` is not in: {problem}");
        }
        assert!(!problem.contains("run.go"), "{case}: {problem}");
    }
}
