//! Broken manifests: each error says where, what and what to do.

/// A Deployment, a Service and an autoscaler, 26 lines; the tests break one line each.
const SOUND: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
        - name: api
          image: api:1
          resources:
            requests:
              cpu: 100m
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: api
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: api}
  minReplicas: 2
  maxReplicas: 4
  metrics: []
";

#[test]
fn the_sound_one_is_read() {
    let platform = manifests::read(SOUND, "m.yaml").unwrap();
    assert_eq!((platform.workloads.len(), platform.autoscalers.len()), (1, 1));
    assert_eq!(platform.namespace, "default");
    assert_eq!(platform.autoscalers[0].metrics.len(), 1, "CPU at 80 % by default");
}

#[test]
fn errors_say_where_what_and_what_to_do() {
    for (case, from, to, want) in [
        (
            "a mapping for a quantity",
            "cpu: 100m",
            "cpu: {a: b}",
            "m.yaml:16: Deployment/api: spec.template.spec.containers[0].resources.requests.cpu: invalid type: map, \
             expected Quantity; write the type that Kubernetes documents there",
        ),
        (
            "a word for a number",
            "replicas: 2",
            "replicas: three",
            "m.yaml:6: Deployment/api: spec.replicas: invalid type: string \"three\", expected i32; write the type \
             that Kubernetes documents there",
        ),
        (
            "a negative number",
            "replicas: 2",
            "replicas: -1",
            "m.yaml:6: Deployment/api: spec.replicas: -1 is below 0; write a whole number from 0 up",
        ),
        (
            "no quantity",
            "cpu: 100m",
            "cpu: 100mi",
            "m.yaml:16: Deployment/api: spec.template.spec.containers[0].resources.requests.cpu: `100mi` is no \
             quantity; write e.g. 250m or 2 for CPU, 256Mi or 1G for memory",
        ),
        (
            "a selector that misses its pods",
            "labels: {app: api}",
            "labels: {app: web}",
            "m.yaml:7: Deployment/api: spec.selector.matchLabels: selects app=api, which the pod template does not \
             carry; give spec.template.metadata.labels the same labels",
        ),
        (
            "an autoscaler without a maximum",
            "  maxReplicas: 4\n",
            "",
            "m.yaml:23: HorizontalPodAutoscaler/api: spec.maxReplicas: is missing; write spec.maxReplicas: Kubernetes \
             knows no default for it",
        ),
        (
            "a maximum below the minimum",
            "maxReplicas: 4",
            "maxReplicas: 1",
            "m.yaml:25: HorizontalPodAutoscaler/api: spec.maxReplicas: 1 is below minReplicas, which is 2; raise it, \
             or lower minReplicas",
        ),
        (
            "an object without a name",
            "  name: api\nspec:\n  scale",
            "  labels: {}\nspec:\n  scale",
            "m.yaml:18: this document has no metadata.name; a Kubernetes object needs apiVersion, kind and \
             metadata.name",
        ),
        (
            "an API version that is gone",
            "apps/v1\nkind",
            "extensions/v1beta1\nkind",
            "m.yaml:1: Deployment/api: apiVersion: `extensions/v1beta1` serves no Deployment; write apps/v1",
        ),
        (
            "no workload",
            "kind: Deployment\n",
            "kind: Widget\n",
            "m.yaml has no workload (Deployment, StatefulSet, DaemonSet, Pod, Job or CronJob), so there is nothing to \
             rehearse; check that it is the right path and overlay",
        ),
        (
            "a request above the limit",
            "requests:\n              cpu: 100m",
            "requests:\n              cpu: 2\n            limits: {cpu: 1}",
            "m.yaml:16: Deployment/api: spec.template.spec.containers[0].resources.requests.cpu: is above the limit; \
             lower the request or raise the limit",
        ),
    ] {
        let text = SOUND.replacen(from, to, 1);
        assert_ne!(text, SOUND, "{case}");
        assert_eq!(manifests::read(&text, "m.yaml").unwrap_err().to_string(), want, "{case}");
    }
}

#[test]
fn syntax_errors_name_their_line() {
    for (case, text, line) in [
        ("an open bracket", "a: 1\nb: [1, 2\nc: 3\n", 2..=4),
        ("a key twice", "a: 1\nb: 2\na: 3\n", 3..=3),
        ("an unknown alias", "a: 1\nb: *none\n", 2..=2),
        ("a tab for indentation", "a:\n\tb: 1\n", 2..=2),
    ] {
        let problem = manifests::read(text, "m.yaml").unwrap_err().to_string();
        let named = line.into_iter().any(|line| problem.starts_with(&format!("m.yaml:{line}: ")));
        assert!(named && problem.ends_with("; correct the YAML at that line"), "{case}: {problem}");
    }
}

#[test]
fn an_object_may_be_declared_once() {
    let text = format!("{SOUND}---\n{}", SOUND.split("---\n").next().unwrap());
    let problem = manifests::read(&text, "m.yaml").unwrap_err().to_string();
    assert_eq!(problem, "m.yaml:28: Deployment/api was declared at m.yaml:1 already; remove one of the two");
}

#[test]
fn the_gateways_errors_name_the_config_map_and_the_line_in_it() {
    let good = include_str!("../../../../kind-config/platform/rendered/production.yaml");
    let map = good.lines().find_map(|line| line.trim().strip_prefix("name: nginx-gateway-")).unwrap();
    let own = include_str!("../../../../kind-config/platform/base/nginx-gateway/nginx.conf");
    let line = |text: &str| own.lines().position(|line| line.contains(text)).unwrap() + 1;
    for (from, to, problem) in [
        ("rate=5r/s", "rate=5.5r/s", "limit_req_zone: `5.5r/s` is no rate; write a whole number as in 10r/s or 90r/m"),
        ("zone=auth burst", "zone=oauth burst", "limit_req: there is no zone `oauth`; write one of api, auth, ai"),
        (
            "keepalive_timeout 65",
            "keepalive_timeout 1.5",
            "keepalive_timeout: `1.5` is no time; write e.g. 10s, 1m30s, \
                                                           500ms or 65 (seconds)",
        ),
    ] {
        let broken = good.replacen(from, to, 1);
        let want = format!("ConfigMap/nginx-gateway-{map}/nginx.conf:{}: {problem}", line(from));
        assert_eq!(manifests::read(&broken, "m.yaml").unwrap_err().to_string(), want);
    }
    let headless = good.replace("\n  selector:\n    app.kubernetes.io/name: nginx-gateway", "\n  selector: {}");
    // With an Ingress, an nginx that nobody can reach would not be the way in.
    let headless = headless.replace("kind: Ingress\n", "kind: Widget\n");
    let problem = manifests::read(&headless, "m.yaml").unwrap_err().to_string();
    assert!(problem.contains("no Service selects the gateway's pods; add a Service"), "{problem}");
}
