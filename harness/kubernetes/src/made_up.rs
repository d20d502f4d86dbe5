//! What a fresh cluster lacks that a platform takes for granted: namespaces that somebody made before, and the way in
//! that nobody declared.

use std::collections::BTreeSet;

use platform::{Platform, PortRef, ProbeAction, ServiceKind, Workload, WorkloadKind};
use serde_json::{Value, json};

/// Objects to apply besides those that were read.
pub(crate) fn missing(platform: &Platform, objects: &[Value]) -> Vec<Value> {
    let has = |kind: &str, namespace: &str, name: &str| {
        objects.iter().any(|object| {
            object["kind"] == kind
                && object["metadata"]["name"] == name
                && object["metadata"]["namespace"].as_str().unwrap_or("default") == namespace
        })
    };
    let workloads = platform.workloads.iter().filter(|workload| workload.kind == WorkloadKind::Deployment);
    let workloads = workloads.filter(|workload| !has("Deployment", &workload.namespace, &workload.name));
    let services = platform.services.iter().filter(|service| !has("Service", &service.namespace, &service.name));
    let mut all: Vec<Value> = workloads.map(deployment).chain(services.map(service)).collect();
    let declared = objects.iter().filter(|object| object["kind"] == "Namespace");
    let declared: BTreeSet<&str> = declared.filter_map(|object| object["metadata"]["name"].as_str()).collect();
    let named = objects.iter().chain(&all).filter_map(|object| object["metadata"]["namespace"].as_str());
    let brought = ["default", "kube-system", "kube-public", "kube-node-lease"];
    let named: BTreeSet<&str> = named.filter(|name| !declared.contains(name) && !brought.contains(name)).collect();
    let namespaces =
        named.into_iter().map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
    let namespaces: Vec<Value> = namespaces.collect();
    all.extend(namespaces);
    all
}

fn deployment(workload: &Workload) -> Value {
    let containers: Vec<Value> = workload.containers.iter().map(container).collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": workload.name, "namespace": workload.namespace },
        "spec": {
            "replicas": workload.replicas.unwrap_or(1),
            "selector": { "matchLabels": workload.selector.labels },
            "template": {
                "metadata": { "labels": workload.labels },
                "spec": {
                    "terminationGracePeriodSeconds": workload.grace_period.as_secs(),
                    // The strictest namespace takes it.
                    "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
                    "containers": containers,
                },
            },
        },
    })
}

fn container(container: &platform::Container) -> Value {
    let ports = container.ports.iter().map(|port| json!({ "containerPort": port.port })).collect::<Value>();
    let mut requests = json!({});
    if let Some(cpu) = container.requests.cpu {
        requests["cpu"] = format!("{}m", cpu.get()).into();
    }
    if let Some(memory) = container.requests.memory {
        requests["memory"] = memory.get().to_string().into();
    }
    let mut document = json!({
        "name": container.name,
        "image": container.image,
        "ports": ports,
        "resources": { "requests": requests },
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
    });
    // Our kubelet has it from the platform; this is for who reads the object.
    if let Some(probe) = &container.readiness
        && let ProbeAction::Tcp(port) = &probe.action
    {
        document["readinessProbe"] = json!({
            "tcpSocket": { "port": port_of(port) },
            "initialDelaySeconds": probe.initial_delay.as_secs(),
            "periodSeconds": probe.period.as_secs(),
        });
    }
    document
}

fn port_of(port: &PortRef) -> Value {
    match port {
        PortRef::Number(number) => (*number).into(),
        PortRef::Name(name) => name.as_str().into(),
    }
}

fn service(service: &platform::Service) -> Value {
    let ports = service.ports.iter().map(|port| {
        let mut document = json!({ "port": port.port, "targetPort": port_of(&port.target) });
        if let Some(name) = &port.name {
            document["name"] = name.as_str().into();
        }
        document
    });
    let kind = match service.kind {
        ServiceKind::LoadBalancer => "LoadBalancer",
        ServiceKind::NodePort => "NodePort",
        ServiceKind::ClusterIp | ServiceKind::Headless | ServiceKind::ExternalName(_) => "ClusterIP",
    };
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": service.name, "namespace": service.namespace },
        "spec": { "type": kind, "selector": service.selector, "ports": ports.collect::<Value>() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_declared_is_made_up_and_nothing_else() {
        let workload =
            |name: &str| Workload { name: name.to_owned(), namespace: "shop".to_owned(), ..Workload::default() };
        let platform = Platform { workloads: vec![workload("web"), workload("way-in")], ..Platform::default() };
        let web = json!({ "kind": "Deployment", "metadata": { "name": "web", "namespace": "shop" } });
        let told = |objects: &[Value]| -> Vec<String> {
            let name = |object: &Value| format!("{}/{}", object["kind"], object["metadata"]["name"]).replace('"', "");
            missing(&platform, objects).iter().map(name).collect()
        };
        assert_eq!(told(std::slice::from_ref(&web)), ["Deployment/way-in", "Namespace/shop"]);
        let namespace = json!({ "kind": "Namespace", "metadata": { "name": "shop" } });
        assert_eq!(told(&[web, namespace]), ["Deployment/way-in"]);
    }
}
