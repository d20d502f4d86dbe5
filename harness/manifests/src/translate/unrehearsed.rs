//! Words for what the platform does not play: what it is, and what it would have done.

use crate::object::Object;

/// API versions that Kubernetes has removed (its "Deprecated API Migration Guide"), with the one that serves the kind
/// now.
const GONE: &[(&str, &[&str], &str)] = &[
    ("extensions/v1beta1", &["Deployment", "DaemonSet", "ReplicaSet"], "apps/v1"),
    ("extensions/v1beta1", &["NetworkPolicy", "Ingress"], "networking.k8s.io/v1"),
    ("extensions/v1beta1", &["PodSecurityPolicy"], "pod-security.kubernetes.io labels on the Namespace"),
    ("apps/v1beta1", &["Deployment", "StatefulSet", "ReplicaSet"], "apps/v1"),
    ("apps/v1beta2", &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"], "apps/v1"),
    ("networking.k8s.io/v1beta1", &["Ingress", "IngressClass"], "networking.k8s.io/v1"),
    ("policy/v1beta1", &["PodDisruptionBudget"], "policy/v1"),
    ("policy/v1beta1", &["PodSecurityPolicy"], "pod-security.kubernetes.io labels on the Namespace"),
    ("batch/v1beta1", &["CronJob"], "batch/v1"),
    ("batch/v2alpha1", &["CronJob"], "batch/v1"),
    ("autoscaling/v2beta1", &["HorizontalPodAutoscaler"], "autoscaling/v2"),
    ("autoscaling/v2beta2", &["HorizontalPodAutoscaler"], "autoscaling/v2"),
    ("scheduling.k8s.io/v1beta1", &["PriorityClass"], "scheduling.k8s.io/v1"),
    (
        "rbac.authorization.k8s.io/v1beta1",
        &["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"],
        "rbac.authorization.k8s.io/v1",
    ),
    ("apiextensions.k8s.io/v1beta1", &["CustomResourceDefinition"], "apiextensions.k8s.io/v1"),
    (
        "admissionregistration.k8s.io/v1beta1",
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
        "admissionregistration.k8s.io/v1",
    ),
    ("storage.k8s.io/v1beta1", &["StorageClass", "CSIDriver"], "storage.k8s.io/v1"),
    ("discovery.k8s.io/v1beta1", &["EndpointSlice"], "discovery.k8s.io/v1"),
];

/// What well-known kinds do in a cluster: group (its end), kind, words. An empty kind stands for the whole group.
const KNOWN: &[(&str, &str, &str)] = &[
    ("autoscaling.k8s.io", "VerticalPodAutoscaler", "would change the requests of pods, and restart them for it"),
    ("keda.sh", "ScaledObject", "would scale its target by an event source, through an autoscaler of its own"),
    ("keda.sh", "ScaledJob", "would start Jobs by an event source"),
    ("keda.sh", "", "would serve KEDA's scalers"),
    ("istio.io", "VirtualService", "would route, retry and time requests out in the mesh"),
    ("istio.io", "DestinationRule", "would balance and eject endpoints in the mesh"),
    ("istio.io", "Gateway", "would take requests in from outside through Istio"),
    ("istio.io", "", "would change traffic or security in the mesh"),
    ("linkerd.io", "", "would change traffic or security in the mesh"),
    ("monitoring.coreos.com", "ServiceMonitor", "would tell Prometheus what to scrape"),
    ("monitoring.coreos.com", "PodMonitor", "would tell Prometheus what to scrape"),
    ("monitoring.coreos.com", "Prometheus", "would make the pods of a Prometheus"),
    ("monitoring.coreos.com", "Alertmanager", "would make the pods of an Alertmanager"),
    ("monitoring.coreos.com", "ThanosRuler", "would make the pods of a Thanos Ruler"),
    ("monitoring.coreos.com", "PrometheusRule", "would load alerts and rules into Prometheus"),
    ("monitoring.coreos.com", "", "would set up monitoring"),
    ("argoproj.io", "Rollout", "would make and replace pods, step by step"),
    ("argoproj.io", "Application", "would apply manifests from a repository"),
    ("argoproj.io", "", "would be acted on by Argo"),
    ("serving.knative.dev", "Service", "would make pods and scale them with the requests, down to none"),
    ("knative.dev", "", "would be acted on by Knative"),
    ("gateway.networking.k8s.io", "HTTPRoute", "would route requests from a Gateway to Services"),
    ("gateway.networking.k8s.io", "Gateway", "would take requests in from outside"),
    ("gateway.networking.k8s.io", "", "would route traffic by the Gateway API"),
    ("traefik.io", "IngressRoute", "would route requests from Traefik to Services"),
    ("traefik.containo.us", "IngressRoute", "would route requests from Traefik to Services"),
    ("projectcontour.io", "HTTPProxy", "would route requests from Contour to Services"),
    ("cert-manager.io", "Certificate", "would write a certificate into a Secret"),
    ("cert-manager.io", "", "would obtain certificates"),
    ("external-secrets.io", "", "would write Secrets from a store outside"),
    ("bitnami.com", "SealedSecret", "would write a Secret"),
    ("cilium.io", "", "would allow or deny traffic"),
    ("projectcalico.org", "", "would allow or deny traffic"),
    ("postgresql.cnpg.io", "Cluster", "would make the pods of a PostgreSQL cluster"),
    ("rbac.authorization.k8s.io", "", "permissions are not played"),
    ("storage.k8s.io", "", "storage is not played"),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "declares a kind that is not played"),
    ("admissionregistration.k8s.io", "", "would admit, change or refuse objects"),
    ("apiregistration.k8s.io", "", "would serve an API of its own"),
    ("networking.k8s.io", "IngressClass", "names the controller that serves Ingresses"),
    ("discovery.k8s.io", "EndpointSlice", "would give a Service addresses by hand"),
    ("node.k8s.io", "RuntimeClass", "would choose how containers run"),
    ("coordination.k8s.io", "Lease", "holds no configuration"),
    ("", "PersistentVolume", "storage is not played"),
    ("", "Endpoints", "would give a Service addresses by hand"),
    ("", "Node", "nodes are given with --nodes"),
];

/// Whether Kubernetes serves this kind in another API version only.
pub(super) fn is_gone(object: &Object) -> bool {
    current(object).is_some()
}

fn current(object: &Object) -> Option<&'static str> {
    let serves = |(version, kinds, _): &&(&str, &[&str], &str)| {
        object.api_version == *version && kinds.contains(&object.kind.as_str())
    };
    GONE.iter().find(serves).map(|(_, _, current)| *current)
}

/// `Kind/name` and, where it is known, what it would have done.
pub(super) fn told(object: &Object) -> String {
    if let Some(current) = current(object) {
        return format!("{object} ({} was removed from Kubernetes; write {current})", object.api_version);
    }
    let group = object.group();
    let known = KNOWN.iter().find(|(of, kind, _)| {
        let in_group =
            if of.is_empty() { group.is_empty() } else { group == *of || group.ends_with(&format!(".{of}")) };
        in_group && (kind.is_empty() || *kind == object.kind)
    });
    match known {
        Some((_, _, words)) => format!("{object} ({words})"),
        None => object.to_string(),
    }
}
