//! Manifests into the platform: defaults filled in as Kubernetes does, and what is only listed.

use platform::{
    Affinity, Behavior, CountOrPercent, Effect, MetricTarget, Platform, Policy, PolicyKind, ProbeAction, Resource,
    SelectPolicy, Strategy,
};
use units::{Bytes, Millicores, Nanos};

/// One Deployment with these lines in its spec, and more documents behind it.
fn platform(spec: &str, pod: &str, more: &str) -> Platform {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n{spec}\n  template:\n    spec:\n{pod}\n\
         ---\n{more}"
    );
    manifests::read(&text, "m.yaml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

const CONTAINER: &str = "      containers: [{name: c, image: i}]";

fn listed(platform: &Platform) -> Vec<String> {
    platform.not_rehearsed.iter().map(|(what, place)| format!("{what} @{}", place.line)).collect()
}

#[test]
fn strategies() {
    use CountOrPercent::{Count, Percent};
    let rolling = |max_unavailable, max_surge| Strategy::Rolling { max_unavailable, max_surge };
    for (case, spec, want) in [
        ("nothing said", "", rolling(Percent(25), Percent(25))),
        ("recreate", "  strategy: {type: Recreate}", Strategy::Recreate),
        ("one bound", "  strategy: {rollingUpdate: {maxSurge: 0}}", rolling(Percent(25), Count(0))),
        (
            "both bounds",
            "  strategy: {rollingUpdate: {maxSurge: 50%, maxUnavailable: 1}}",
            rolling(Count(1), Percent(50)),
        ),
    ] {
        assert_eq!(platform(spec, CONTAINER, "").workloads[0].strategy, want, "{case}");
    }
    assert_eq!(platform("", CONTAINER, "").workloads[0].replicas, None);
    assert_eq!(platform("", CONTAINER, "").workloads[0].grace_period, Nanos::from_secs(30));
}

#[test]
fn a_limit_alone_is_requested_and_sidecars_come_last() {
    let pod = "      initContainers:
        - {name: proxy, image: i, restartPolicy: Always, resources: {requests: {cpu: 1.5, memory: 1G}}}
        - {name: migrate, image: i}
      containers:
        - {name: c, image: i, resources: {requests: {cpu: 1}, limits: {cpu: 2, memory: 64Mi}}}
      volumes: [{name: v, configMap: {name: none, defaultMode: 0644}}]
      tolerations: [{key: k, operator: Exists}, {key: k, value: v, effect: NoSchedule}, {operator: Exists}]";
    let platform = platform("", pod, "");
    let workload = &platform.workloads[0];
    assert_eq!(workload.containers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["c", "proxy"]);
    let (first, sidecar) = (&workload.containers[0], &workload.containers[1]);
    assert_eq!(first.requests.cpu, Some(Millicores::from_cores(1)));
    assert_eq!(first.requests.memory, Some(Bytes::from_mebi(64)));
    assert_eq!(sidecar.requests.cpu, Some(Millicores::new(1_500)));
    assert_eq!(sidecar.limits.cpu, None);
    let tolerations =
        workload.tolerations.iter().map(|t| (t.key.as_deref(), t.value.as_deref(), t.effect)).collect::<Vec<_>>();
    let want = [(Some("k"), None, None), (Some("k"), Some("v"), Some(Effect::NoSchedule)), (None, None, None)];
    assert_eq!(tolerations, want);
    assert_eq!(listed(&platform), ["Deployment/api init container migrate @10"]);
}

#[test]
fn probes_get_their_defaults() {
    let pod = "      containers:
        - name: c
          image: i
          startupProbe: {exec: {command: [true]}, periodSeconds: 0}
          readinessProbe: {httpGet: {port: 80, httpHeaders: [{name: host, value: h}]}, failureThreshold: 5}
          livenessProbe: {grpc: {port: 90}}";
    let platform = platform("", &pod.replace("[true]", "[\"true\"]"), "");
    let container = &platform.workloads[0].containers[0];
    let startup = container.startup.as_ref().unwrap();
    assert_eq!((&startup.action, startup.period), (&ProbeAction::Exec, Nanos::from_secs(10)));
    let readiness = container.readiness.as_ref().unwrap();
    let ProbeAction::Http(http) = &readiness.action else { panic!("{readiness:?}") };
    assert_eq!((http.path.as_str(), http.host.as_deref()), ("/", Some("h")));
    let thresholds = (readiness.success_threshold, readiness.failure_threshold, readiness.timeout);
    assert_eq!(thresholds, (1, 5, Nanos::from_secs(1)));
    assert!(matches!(container.liveness.as_ref().unwrap().action, ProbeAction::Tcp(_)));
    assert_eq!(listed(&platform).len(), 1, "a gRPC probe is listed");
}

fn autoscaler(spec: &str) -> Platform {
    let more = format!(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: h}}\nspec:\n  scaleTargetRef: \
         {{kind: Deployment, name: api}}\n  maxReplicas: 9\n{spec}"
    );
    platform("", CONTAINER, &more)
}

#[test]
fn behavior_is_kept_as_absent_or_filled_in() {
    let policy = |kind, value, seconds| Policy { kind, value, period: Nanos::from_secs(seconds) };
    assert_eq!(autoscaler("").autoscalers[0].behavior, None);
    assert_eq!(autoscaler("  behavior: {}").autoscalers[0].behavior, Some(Behavior::default_rules()));
    let platform = autoscaler(
        "  behavior:
    scaleUp: {stabilizationWindowSeconds: 60, policies: [{type: Percent, value: 100, periodSeconds: 15}]}
    scaleDown: {selectPolicy: Disabled}",
    );
    let behavior = platform.autoscalers[0].behavior.clone().unwrap();
    assert_eq!(behavior.up.stabilization_window, Some(Nanos::from_secs(60)));
    assert_eq!(behavior.up.policies, [policy(PolicyKind::Percent, 100, 15)]);
    assert_eq!(behavior.down.stabilization_window, None, "the controller's own 300 s");
    assert_eq!(behavior.down.select, SelectPolicy::Disabled);
    assert_eq!(behavior.down.policies, Behavior::default_rules().down.policies);
}

#[test]
fn metrics_that_no_metrics_server_has_are_listed() {
    let resource = "{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}}";
    let pods = "{type: Pods, pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: 5}}}";
    let both = autoscaler(&format!("  metrics: [{resource}, {pods}]"));
    let metric = both.autoscalers[0].metrics[0];
    assert_eq!((metric.resource, metric.target), (Resource::Memory, MetricTarget::AverageMemory(Bytes::new(1 << 30))));
    assert_eq!(listed(&both), ["HorizontalPodAutoscaler/h metric of type Pods @16"]);
    let none = autoscaler(&format!("  metrics: [{pods}]"));
    assert!(none.autoscalers.is_empty(), "never CPU at 80 % where the manifest asks for something else");
    assert_eq!(listed(&none).len(), 2);
}

#[test]
fn other_kinds_namespaces_and_headless_services_are_listed() {
    let more = "\
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], sessionAffinity: ClientIP}}
  - {apiVersion: v1, kind: Service, metadata: {name: b}, spec: {ports: [{port: 80}], clusterIP: None}}
  - {apiVersion: v1, kind: Service, metadata: {name: c, namespace: other}, spec: {ports: [{port: 80}]}}
  - {apiVersion: apps/v1, kind: StatefulSet, metadata: {name: d}}
  - {apiVersion: apps/v1, kind: Deployment, metadata: {name: e, namespace: other}}
";
    let platform = platform("", CONTAINER, more);
    let [service] = platform.services.as_slice() else { panic!("one Service") };
    assert_eq!(service.affinity, Affinity::ClientIp(Nanos::from_secs(10_800)));
    assert_eq!(service.place.line, 13);
    let lost = ["Service/b @14", "Service/c @15", "StatefulSet/d @16", "Deployment/e in namespace other @17"];
    assert_eq!(listed(&platform), lost);
}
