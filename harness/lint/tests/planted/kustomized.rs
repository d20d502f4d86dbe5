//! Defects of kustomizations: what does not build, with its reason in words, and what builds and does nothing.

use std::fs;

use crate::findings;

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web:1, resources: {requests: {cpu: 100m}}}]}
";
const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {key: value}\n";

/// A tree that builds, with the defect added to its kustomization or its files.
struct Plant {
    case: &'static str,
    /// Lines behind those of the sound kustomization.
    kustomization: &'static str,
    /// Files beside `web.yaml`.
    files: &'static [(&'static str, &'static str)],
    /// The rule, and words of the finding.
    want: (&'static str, &'static [&'static str]),
}

const PLANTS: &[Plant] = &[
    Plant {
        case: "one object in two files",
        kustomization: "resources: [web.yaml, also.yaml]\n",
        files: &[("also.yaml", "# again\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n")],
        want: ("does-not-load", &["web.yaml:1", "also.yaml:2", "remove one"]),
    },
    Plant {
        case: "a patch by name that hits nothing",
        kustomization: "resources: [web.yaml]\npatches: [{path: patch.yaml}]\n",
        files: &[("patch.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: wbe}\nspec: {replicas: 3}\n")],
        want: ("does-not-load", &["patch.yaml:1", "Deployment/wbe hits nothing", "web"]),
    },
    Plant {
        case: "a patch by target that hits nothing",
        kustomization: "resources: [web.yaml]\npatches:\n  - target: {kind: Deployment, name: wbe}\n    patch: |-\n      - op: remove\n        path: /spec/replicas\n",
        files: &[],
        want: ("patch-hits-nothing", &["kustomization.yaml:5", "name wbe", "there is Deployment web"]),
    },
    Plant {
        case: "a patch by labels that hits nothing",
        kustomization: "resources: [web.yaml]\npatches:\n  - target: {kind: Deployment, labelSelector: tier=front}\n    patch: |-\n      - op: remove\n        path: /spec/replicas\n",
        files: &[],
        want: ("patch-hits-nothing", &["labels tier=front"]),
    },
    Plant {
        case: "a blanket patch",
        kustomization: "resources: [web.yaml]\npatches:\n  - target: {kind: Deployment}\n    patch: |-\n      - op: replace\n        path: /spec/replicas\n        value: 5\n",
        files: &[],
        want: ("blanket-patch-overwrites", &["kustomization.yaml:5", "spec.replicas", "web.yaml:5", "2 becomes 5"]),
    },
    Plant {
        case: "a generator that replaces nothing",
        kustomization: "resources: [web.yaml]\nconfigMapGenerator: [{name: settings, behavior: replace, literals: [a=b]}]\n",
        files: &[],
        want: ("does-not-load", &["kustomization.yaml:4", "ConfigMap/settings", "behavior: replace"]),
    },
    Plant {
        case: "a replacement that hits nothing",
        kustomization: "resources: [web.yaml, map.yaml]\nreplacements:\n  - source: {kind: ConfigMap, name: web, fieldPath: data.key}\n    targets: [{select: {kind: Deployment, name: wbe}, fieldPaths: [spec.template.metadata.labels.key]}]\n",
        files: &[("map.yaml", MAP)],
        want: (
            "replacement-hits-nothing",
            &["kustomization.yaml:6", "spec.template.metadata.labels.key", "there is Deployment web"],
        ),
    },
    Plant {
        case: "an image that nobody has",
        kustomization: "resources: [web.yaml]\nimages: [{name: wbe, newTag: v2}]\n",
        files: &[],
        want: ("image-hits-nothing", &["kustomization.yaml:4", "there is `web`"]),
    },
    Plant {
        case: "two namespaces made one, with a conflict",
        kustomization: "namespace: all\nresources: [one.yaml, two.yaml]\n",
        files: &[
            ("one.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: one}\n"),
            ("two.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: two}\n"),
        ],
        want: ("does-not-load", &["kustomization.yaml:3", "one.yaml:1", "two.yaml:1", "different namespaces"]),
    },
    Plant {
        case: "two namespaces made one, without a word",
        kustomization: "namespace: all\nresources: [web.yaml, one.yaml, two.yaml]\n",
        files: &[
            ("one.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: one}\n"),
            ("two.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: two}\n"),
        ],
        want: ("namespaces-merged", &["kustomization.yaml:3", "one.yaml:3", "two.yaml:3"]),
    },
];

#[test]
fn each_defect_of_a_kustomization_is_found() {
    if !testing::needs("each_defect_of_a_kustomization_is_found", testing::Need::Kustomize) {
        return;
    }
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    let told = |kustomization: &str, files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let kustomization = format!("{head}{kustomization}");
        let all = [("web.yaml", WEB), ("kustomization.yaml", kustomization.as_str())];
        for (name, text) in all.iter().chain(files) {
            fs::write(folder.path().join(name), text).unwrap();
        }
        findings(folder.path())
    };
    let sound = told("resources: [web.yaml]\n", &[]);
    let notes: Vec<_> = sound.iter().map(|finding| finding.rule.id).collect();
    for Plant { case, kustomization, files, want: (id, words) } in PLANTS {
        assert!(!notes.contains(id), "{case}: the sound tree has it, too");
        let found = told(kustomization, files);
        let finding = found.iter().find(|finding| finding.rule.id == *id);
        let finding = finding.unwrap_or_else(|| panic!("{case}: not found: {found:#?}"));
        let text = format!("{} {} {}", finding.place, finding.consequence, finding.because);
        for word in *words {
            assert!(text.contains(word), "{case}: `{word}` is not in: {text}");
        }
    }
}
