//! Every defect that lint promises to find, planted into a sound shop: it is found, and nothing else is.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod kustomized;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lint::{Finding, Severity};
use manifests::Source;

const SHOP: &str = include_str!("shop.yaml");

/// Everything that lint says of a directory, over the nodes that ship with the program.
fn findings(folder: &Path) -> Vec<Finding> {
    let (loaded, errors) = manifests::load_all(&Source::Path(folder.to_owned()), "production");
    let mut found = lint::build_findings(&errors);
    found.extend(lint::lint_loaded(&loaded, &manifests::load_nodes(None).unwrap(), &[]));
    found
}

/// Ids of what is more than worth knowing, and of notes.
fn ids(found: &[Finding]) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let (notes, others): (Vec<_>, Vec<_>) = found.iter().partition(|finding| finding.severity == Severity::Note);
    let ids = |list: Vec<&Finding>| list.into_iter().map(|finding| finding.rule.id).collect();
    (ids(others), ids(notes))
}

fn shop(text: &str) -> Vec<Finding> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("shop.yaml"), text).unwrap();
    findings(folder.path())
}

#[test]
fn the_shop_is_sound() {
    let found = shop(SHOP);
    assert_eq!(ids(&found).0, BTreeSet::new(), "{found:#?}");
}

/// The defect in words, what to replace by what, and what is to be found besides which notes.
type Plant = (&'static str, &'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const PLANTS: &[Plant] = &[
    // What the API server would refuse.
    ("a misspelt field", "  minReplicas: 2", "  minReplica: 2", &["unknown-field"]),
    ("a value of another type", "maxReplicas: 6", "maxReplicas: six", &["does-not-load"]),
    // Pods that never start.
    ("a Secret that is not there", "configMapKeyRef: {name: web, key: greeting}", "secretKeyRef: {name: web, key: greeting}", &["missing-config"]),
    ("a ConfigMap that is not there", "volumes: [{name: conf, configMap: {name: edge}}]", "volumes: [{name: conf, configMap: {name: egde}}]", &["missing-config"]),
    ("a key that is not there", "key: greeting", "key: greetings", &["missing-key"]),
    ("a claim that is not there", "claimName: metrics", "claimName: metric", &["missing-claim"]),
    ("a volume that is not there", "{name: data, mountPath: /prometheus}", "{name: date, mountPath: /prometheus}", &["missing-volume"]),
    ("a StorageClass that is not there", "storageClassName: fast", "storageClassName: fats", &["storage-class-missing"]),
    ("a volume that is too small", "capacity: {storage: 20Gi}", "capacity: {storage: 10Gi}", &["volume-too-small"]),
    ("a volume smaller than what is kept", "retention.size=15GB", "retention.size=25GB", &["volume-too-small"]),
    ("a claim without a size", "resources: {requests: {storage: 10Gi}}", "resources: {}", &["claim-without-size"]),
    ("a service account that is not there", "serviceAccountName: web", "serviceAccountName: wbe", &["missing-service-account"]),
    ("a priority class that is not there", "serviceAccountName: web", "serviceAccountName: web\n      priorityClassName: high", &["missing-priority-class"]),
    ("a variable before its definition", "- {name: DB_HOST, value: db}\n            - {name: DATABASE_URL, value: \"postgresql://app@$(DB_HOST):5432/app\"}", "- {name: DATABASE_URL, value: \"postgresql://app@$(DB_HOST):5432/app\"}\n            - {name: DB_HOST, value: db}", &["variable-before-definition"]),
    ("requests that no node holds", "requests: {cpu: 500m, memory: 1Gi}", "requests: {cpu: 500m, memory: 900Gi}", &["no-node-fits"]),
    ("a label that no node has", "kubernetes.io/os: linux", "kubernetes.io/os: plan9", &["affinity-unsatisfiable"]),
    ("a zone key that no node has", "topologyKey: topology.kubernetes.io/zone", "topologyKey: topology.kubernetes.io/zones", &["spread-key-unknown"]),
    ("a spread over other pods", "whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}", "whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: wbe}}", &["spread-selects-nothing"]),
    // Pods that are never reached.
    ("a named port that no container has", "name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]", "name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: htpp}]", &["target-port-unknown"]),
    ("a port that no container declares", "name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]", "name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]", &["target-port-undeclared", "network-policy-blocks"]),
    ("a probe of another port", "readinessProbe: {tcpSocket: {port: sql}}", "readinessProbe: {tcpSocket: {port: 5433}}", &["probe-port-unknown"]),
    ("an Ingress to a port that is not there", "name: edge, port: {number: 80}", "name: edge, port: {number: 8080}", &["ingress-backend-missing"]),
    ("an Ingress to a Service that is not there", "name: edge, port: {number: 80}", "name: egde, port: {number: 80}", &["ingress-backend-missing"]),
    ("the Service's port in a policy", "ports: [{port: 8000}]", "ports: [{port: 80}]", &["network-policy-service-port"]),
    ("a policy that lets nobody in", "matchLabels: {app: web}}}], ports: [{port: 5432}]", "matchLabels: {app: wbe}}}], ports: [{port: 5432}]", &["network-policy-blocks"]),
    ("a policy of nobody", "podSelector: {matchLabels: {app: db}}", "podSelector: {matchLabels: {app: dbs}}", &["network-policy-selects-nothing"]),
    ("egress without DNS", "  podSelector: {matchLabels: {app: web}}\n  policyTypes: [Ingress]", "  podSelector: {matchLabels: {app: web}}\n  policyTypes: [Ingress, Egress]\n  egress: [{to: [{podSelector: {}}]}]", &["network-policy-blocks-dns"]),
    // Autoscalers.
    ("a target that is not there", "kind: Deployment, name: web}\n  minReplicas", "kind: Deployment, name: wbe}\n  minReplicas", &["hpa-target-missing", "single-replica"]),
    ("replicas beside an autoscaler", "spec:\n  selector: {matchLabels: {app: web}}", "spec:\n  replicas: 3\n  selector: {matchLabels: {app: web}}", &["hpa-fights-replicas"]),
    ("a container without a request", "requests: {cpu: 100m, memory: 128Mi}", "requests: {memory: 128Mi}", &["hpa-without-request"]),
    ("a minimum that is the maximum", "maxReplicas: 6", "maxReplicas: 2", &["hpa-never-moves"]),
    // Coming and going.
    ("no readiness probe", "          readinessProbe: {httpGet: {path: /health, port: http}}\n          livenessProbe: {httpGet", "          livenessProbe: {httpGet", &["no-readiness-probe"]),
    ("a grace period within preStop", "      serviceAccountName: web\n      terminationGracePeriodSeconds: 90", "      serviceAccountName: web\n      terminationGracePeriodSeconds: 5", &["grace-period-too-short"]),
    ("no preStop", "initialDelaySeconds: 30}\n          lifecycle: {preStop: {sleep: {seconds: 5}}}\n---", "initialDelaySeconds: 30}\n---", &["no-pre-stop"]),
    ("a budget that blocks", "spec: {maxUnavailable: 1,", "spec: {maxUnavailable: 0,", &["pdb-blocks-every-drain"]),
    ("a budget for nobody", "spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}", "spec: {maxUnavailable: 1, selector: {matchLabels: {app: wbe}}}", &["pdb-selects-nothing", "replicas-without-pdb"]),
    // Selectors.
    ("a Service of nobody", "spec: {selector: {app: web}", "spec: {selector: {app: wbe}", &["service-selects-nothing"]),
    ("a selector of others' pods", "selector: {matchLabels: {app: prometheus}}\n  template:\n    metadata: {labels: {app: prometheus}}", "selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}", &["selectors-overlap", "service-selects-two", "no-readiness-probe", "no-pre-stop", "network-policy-blocks"]),
    // Ingresses.
    ("an annotation of nobody", "limit-rps", "limit-rsp", &["ingress-annotation-unknown"]),
    ("a host that no server has", "server_name shop.example.com", "server_name shop.example.org", &["ingress-host-unanswered"]),
    ("a rewrite that swallows the path", "annotations: {nginx", "annotations: {nginx.ingress.kubernetes.io/rewrite-target: /, nginx", &["rewrite-swallows-path"]),
    // The gateway.
    ("one bucket behind the ingress", "$http_authorization", "$binary_remote_addr", &["limiter-one-bucket"]),
    ("a key that is the same for all", "$http_authorization", "$server_name", &["limiter-key-constant"]),
    ("503 where 429 is counted", "      limit_req_status 429;\n", "", &["limiter-answers-503", "alert-counts-429"]),
    ("max_fails of a lone server", "server web:80;", "server web:80 max_fails=3;", &["lone-server-never-fails"]),
    ("a limit on a return", "location = /health { return 200; }", "location = /health { limit_req zone=api; return 200; }", &["limit-on-return"]),
    ("several gateway pods", "spec:\n  replicas: 1\n  selector: {matchLabels: {app: edge}}", "spec:\n  replicas: 4\n  selector: {matchLabels: {app: edge}}", &["limit-multiplies-with-replicas", "replicas-without-pdb"]),
    ("an upstream that is not there", "server web:80;", "server wbe:80;", &["upstream-host-unknown"]),
    ("an upstream's port that is not there", "server web:80;", "server web:8000;", &["upstream-port-unknown"]),
    // The database.
    ("pools that exceed the database", "name: DB_POOL_SIZE, value: \"5\"", "name: DB_POOL_SIZE, value: \"9\"", &["pools-exceed-max-connections"]),
    ("a committed secret", "---\napiVersion: v1\nkind: ServiceAccount", "---\napiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: shop}\nstringData: {key: 1234-abcd}\n---\napiVersion: v1\nkind: ServiceAccount", &["secret-literal"]),
    // Alerts.
    ("a limit between two edges", "> 0.3", "> 0.5", &["alert-between-buckets"]),
    ("edges that nobody declares", "      annotations: {rehearse.dev/buckets: \"http_request_duration_seconds=0.1,0.3,1\"}\n", "", &["alert-between-buckets"]),
    ("a job that nobody scrapes", "bucket{job=\"services\"}", "bucket{job=\"service\"}", &["alert-job-unscraped"]),
    ("jobs that nobody scrapes", "bucket{job=\"services\"}", "bucket{job=~\"web|db\"}", &["alert-job-unscraped"]),
    ("for longer than anything", "for: 5m\n          - alert: Refused", "for: 1h\n          - alert: Refused", &["alert-for-too-long"]),
];

#[test]
fn each_defect_is_found_and_nothing_else() {
    let sound = shop(SHOP);
    let (_, notes) = ids(&sound);
    for (case, from, to, want) in PLANTS {
        assert_eq!(SHOP.matches(from).count(), 1, "{case}: the test is out of date");
        let found = shop(&SHOP.replace(from, to));
        let told: BTreeSet<_> = found.iter().map(|finding| finding.rule.id).filter(|id| !notes.contains(id)).collect();
        let want: BTreeSet<_> = want.iter().copied().filter(|id| !notes.contains(id)).collect();
        assert_eq!(told, want, "{case}: {found:#?}");
    }
}
