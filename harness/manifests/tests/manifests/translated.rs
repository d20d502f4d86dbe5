//! Manifests into the platform: defaults filled in as Kubernetes does, and what is only listed.

use platform::{
    Affinity, Behavior, CountOrPercent, Effect, Platform, Policy, PolicyKind, ProbeAction, Protocol, SelectPolicy,
    ServiceKind, Strategy,
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
    assert_eq!(platform("", CONTAINER, "").workloads[0].revision_history, None);
    assert_eq!(platform("  revisionHistoryLimit: 0", CONTAINER, "").workloads[0].revision_history, Some(0));
    assert_eq!(platform("", CONTAINER, "").workloads[0].grace_period, Nanos::from_secs(30));
}

#[test]
fn a_limit_alone_is_requested_and_sidecars_are_init_containers() {
    let pod = "      initContainers:
        - {name: proxy, image: i, restartPolicy: Always, resources: {requests: {cpu: 1.5, memory: 1G}}}
        - {name: migrate, image: i}
      containers:
        - {name: c, image: i, resources: {requests: {cpu: 1}, limits: {cpu: 2, memory: 64Mi}}}
      volumes: [{name: v, configMap: {name: none, defaultMode: 0644}}]
      tolerations: [{key: k, operator: Exists}, {key: k, value: v, effect: NoSchedule}, {operator: Exists}]";
    let platform = platform("", pod, "");
    let workload = &platform.workloads[0];
    assert_eq!(workload.running().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["proxy", "c"]);
    let init = workload.init_containers.iter().map(|c| (c.name.as_str(), c.sidecar)).collect::<Vec<_>>();
    assert_eq!(init, [("proxy", true), ("migrate", false)]);
    let (first, sidecar) = (&workload.containers[0], &workload.init_containers[0]);
    assert_eq!(first.requests.cpu, Some(Millicores::from_cores(1)));
    assert_eq!(first.requests.memory, Some(Bytes::from_mebi(64)));
    assert_eq!(sidecar.requests.cpu, Some(Millicores::new(1_500)));
    assert_eq!(sidecar.limits.cpu, None);
    let tolerations =
        workload.tolerations.iter().map(|t| (t.key.as_deref(), t.value.as_deref(), t.effect)).collect::<Vec<_>>();
    let want = [(Some("k"), None, None), (Some("k"), Some("v"), Some(Effect::NoSchedule)), (None, None, None)];
    assert_eq!(tolerations, want);
    assert!(listed(&platform).is_empty(), "{:?}", listed(&platform));
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
    assert_eq!(container.liveness.as_ref().unwrap().action, ProbeAction::Grpc(90));
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
fn services_of_every_kind_and_namespace_are_read() {
    let more = "\
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], sessionAffinity: ClientIP}}
  - {apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: None, publishNotReadyAddresses: true}}
  - {apiVersion: v1, kind: Service, metadata: {name: a, namespace: other}, spec: {ports: [{port: 53, protocol: UDP}]}}
  - {apiVersion: v1, kind: Service, metadata: {name: d}, spec: {type: ExternalName, externalName: db.example.com}}
  - {apiVersion: apps/v1, kind: StatefulSet, metadata: {name: d, namespace: other}, spec: {serviceName: b, template: \
                {spec: {containers: [{name: c, image: i}]}}}}
";
    let platform = platform("", CONTAINER, more);
    let [a, b, other, d] = platform.services.as_slice() else { panic!("four Services") };
    assert_eq!(a.affinity, Affinity::ClientIp(Nanos::from_secs(10_800)));
    assert_eq!(a.place.line, 13);
    assert_eq!((&b.kind, b.publish_not_ready), (&ServiceKind::Headless, true));
    assert_eq!((other.namespace.as_str(), other.ports[0].protocol), ("other", Protocol::Udp));
    assert_eq!(d.kind, ServiceKind::ExternalName("db.example.com".into()));
    assert_eq!(platform.workloads.len(), 2);
    assert!(listed(&platform).is_empty(), "{:?}", listed(&platform));
    for (case, host, want) in [
        ("a short name is of the rehearsed namespace", "a", Some(0)),
        ("with a namespace", "a.other", Some(2)),
        ("with svc", "a.default.svc", Some(0)),
        ("in full", "a.other.svc.cluster.local", Some(2)),
        ("in full with a dot", "a.other.svc.cluster.local.", Some(2)),
        ("a host outside that begins like one", "a.other.com", None),
        ("no Service", "c", None),
        ("no such namespace", "a.none", None),
    ] {
        assert_eq!(platform.service_named(host), want.map(platform::ServiceId), "{case}");
    }
    assert_eq!(platform.service_from("other", "a"), Some(platform::ServiceId(2)));
}

#[test]
fn what_is_not_modelled_is_listed_with_what_it_would_have_done() {
    let more = "\
{apiVersion: autoscaling.k8s.io/v1, kind: VerticalPodAutoscaler, metadata: {name: v}}
---
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: k}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: i}}
---
{apiVersion: policy/v1beta1, kind: PodDisruptionBudget, metadata: {name: p}}
---
{apiVersion: networking.k8s.io/v1beta1, kind: Ingress, metadata: {name: old}}
---
{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}}
";
    assert_eq!(
        listed(&platform("", CONTAINER, more)),
        [
            "VerticalPodAutoscaler/v (would change the requests of pods, and restart them for it) @10",
            "ScaledObject/k (would scale its target by an event source, through an autoscaler of its own) @12",
            "VirtualService/i (would route, retry and time requests out in the mesh) @14",
            "PodDisruptionBudget/p (policy/v1beta1 was removed from Kubernetes; write policy/v1) @16",
            "Ingress/old (networking.k8s.io/v1beta1 was removed from Kubernetes; write networking.k8s.io/v1) @18",
            "Widget/w @20",
        ]
    );
}
