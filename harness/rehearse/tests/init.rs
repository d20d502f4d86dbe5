//! Trees that nobody prepared: `init` writes what a rehearsal needs, and `smoke` gives a verdict.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

fn workload(name: &str, port: u16) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec:\n      containers:\n        - name: {name}\n          image: {name}:1\n          \
         ports: [{{name: http, containerPort: {port}}}]\n          \
         resources: {{requests: {{cpu: 100m, memory: 64Mi}}, limits: {{cpu: 500m, memory: 256Mi}}}}\n          \
         readinessProbe: {{httpGet: {{path: /ready, port: http}}}}\n---\napiVersion: v1\nkind: Service\n\
         metadata: {{name: {name}, namespace: shop}}\nspec: {{selector: {{app: {name}}}, \
         ports: [{{port: 80, targetPort: http}}]}}\n---\n"
    )
}

const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: shop
  annotations: {nginx.ingress.kubernetes.io/limit-rps: '50'}
spec:
  rules:
    - host: shop.example
      http:
        paths:
          - {path: /cart, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}
          - {path: /, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}
";

const NGINX: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: edge, namespace: shop}
data:
  default.conf: |
    server {
      listen 8000;
      server_name www.shop.example;
      location = /status { return 204; }
      location /cart/ { proxy_pass http://cart/; }
      location ~ ^/v[0-9]+/x { proxy_pass http://front; }
      location / { proxy_pass http://front; }
      location /gone/ { proxy_pass http://gone.example.com; }
    }
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: edge, namespace: shop}
spec:
  selector: {matchLabels: {app: edge}}
  template:
    metadata: {labels: {app: edge}}
    spec:
      containers:
        - name: nginx
          image: nginx:1.27
          ports: [{containerPort: 8000}]
          readinessProbe: {httpGet: {path: /status, port: 8000, httpHeaders: [{name: Host, value: www.shop.example}]}}
          volumeMounts: [{name: conf, mountPath: /etc/nginx/conf.d}]
      volumes: [{name: conf, configMap: {name: edge}}]
---
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: shop}
spec: {type: LoadBalancer, selector: {app: edge}, ports: [{port: 80, targetPort: 8000}]}
";

/// Exit code, standard output, standard error.
fn rehearse(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse")).args(args).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A folder with manifests in `tree/`.
fn folder(last: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    let text = workload("cart", 8080) + &workload("front", 3000) + last;
    fs::write(folder.path().join("tree/all.yaml"), text).unwrap();
    folder
}

const INIT: [&str; 3] = ["init", "--platform", "tree"];

#[test]
fn a_tree_that_nobody_prepared_is_ready_to_rehearse() {
    let grpc = workload("ledger", 9000)
        .replace("{name: http, containerPort", "{name: grpc, containerPort")
        .replace("httpGet: {path: /ready, port: http}", "tcpSocket: {port: grpc}")
        .replace("{port: 80, targetPort: http}", "{name: grpc, port: 50051, targetPort: grpc}");
    for (case, last, wants, steps, stand_in) in [
        (
            "Ingresses without a controller",
            INGRESS,
            vec!["the ingress controller: a stand-in: 2 pods of nginx, configured from 1 Ingress"],
            vec!["GET /cart", "GET /"],
            "the ingress controller",
        ),
        (
            "an nginx of its own",
            NGINX,
            vec!["location = /status (the gateway answers it by itself)", "no path is known", "gone.example.com"],
            vec!["GET /cart/", "GET /"],
            "the gateway",
        ),
        (
            "Services alone",
            "",
            vec!["the way in: a stand-in: 2 pods of nginx, configured from the Services that speak HTTP"],
            vec!["GET /cart/", "GET /front/"],
            "the way in",
        ),
        (
            "one that speaks gRPC",
            &grpc,
            vec!["stood up and not asked, since they do not speak HTTP: 1\n  Service/ledger on port 50051 (grpc)\n"],
            vec!["GET /cart/", "GET /front/"],
            "the way in",
        ),
    ] {
        let folder = folder(last);
        let (code, out, err) = rehearse(folder.path(), &INIT);
        assert_eq!((code, err.as_str()), (0, ""), "{case}: {out}");
        for want in wants.iter().chain(&["wrote rehearse.yaml", "cart, front", "next: rehearse run smoke"]) {
            assert!(out.contains(want), "{case}: {out}\nlacks {want}");
        }
        let smoke = fs::read_to_string(folder.path().join("scenarios/smoke.yaml")).unwrap();
        assert_eq!(smoke.matches("request: ").count(), steps.len(), "{case}: {smoke}");
        for step in steps {
            assert!(smoke.contains(&format!("request: \"{step}\"")), "{case}: {smoke}");
        }
        let (code, out, err) = rehearse(folder.path(), &["simulate", "smoke", "--quiet", "--format", "json"]);
        assert_eq!((code, err.as_str()), (0, ""), "{case}: {out}");
        let result: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(result["conclusion"], "pass", "{case}");
        let told = result["stand_ins"].as_array().unwrap();
        assert!(told.iter().any(|entry| entry["what"] == stand_in), "{case}: {told:?}");
    }
}

#[test]
fn files_that_are_there_stay_as_they_are() {
    let folder = folder(INGRESS);
    let own = folder.path().join("rehearse.yaml");
    fs::write(&own, "mine\n").unwrap();
    let (code, _, err) = rehearse(folder.path(), &INIT);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("nothing was written: rehearse.yaml is there already"), "{err}");
    assert!(!folder.path().join("profiles").exists());
    let (code, _, err) = rehearse(folder.path(), &["init", "--platform", "tree", "--force"]);
    assert_eq!(code, 0, "{err}");
    assert!(fs::read_to_string(own).unwrap().contains("platform: \"tree\""));
}

#[test]
fn a_project_elsewhere_finds_its_platform() {
    let folder = folder(INGRESS);
    let (code, out, err) = rehearse(folder.path(), &["init", "--platform", "tree", "--dir", "there"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("next: cd there && rehearse run smoke"), "{out}");
    let (code, _, err) = rehearse(&folder.path().join("there"), &["simulate", "--quiet"]);
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn flags_beat_the_project_and_its_mistakes_have_a_place() {
    let folder = folder(INGRESS);
    rehearse(folder.path(), &INIT);
    let (_, out, _) = rehearse(folder.path(), &["lint"]);
    assert!(out.contains("tree"), "{out}");
    fs::write(folder.path().join("scenarios/smoke.yaml"), "apiVersion: rehearse/v0\n").unwrap();
    let (code, _, err) = rehearse(folder.path(), &["simulate", "smoke", "--quiet"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("scenarios/smoke.yaml:"), "{err}");
    let own = folder.path().join("rehearse.yaml");
    let text = fs::read_to_string(&own).unwrap().replace("overlay:", "ovrelay:").replace("profiles:", "profils:");
    fs::write(&own, text).unwrap();
    for command in ["simulate", "run", "lint"] {
        let (code, _, err) = rehearse(folder.path(), &[command]);
        assert_eq!(code, 2, "{command}: {err}");
        assert!(err.contains("there is no key `profils` here: did you mean `profiles`?"), "{command}: {err}");
    }
}

#[test]
fn what_cannot_be_rehearsed_is_refused() {
    let silent = workload("cart", 8080).replace("name: http", "name: grpc").replace("port: http", "port: 1");
    for (case, text, want) in [
        ("nothing that speaks HTTP", silent.replace("targetPort: http", "targetPort: grpc"), "no gateway"),
        ("a broken manifest", "kind: Deployment\n".to_owned(), "no apiVersion"),
    ] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("all.yaml"), text).unwrap();
        let (code, _, err) = rehearse(folder.path(), &["init", "--platform", "all.yaml"]);
        assert!(code != 0 && err.contains(want), "{case}: {code} {err}");
        assert!(!folder.path().join("rehearse.yaml").exists(), "{case}");
    }
    let (code, _, err) = rehearse(Path::new("."), &["init", "--platform", "-"]);
    assert!(code == 2 && err.contains("standard input cannot be read again"), "{err}");
}
