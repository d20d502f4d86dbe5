//! The layer between a platform's own manifests and what is applied to a cluster: images are swapped for stand-ins, what a
//! stand-in cannot have is left out, and requests shrink where the nodes are too small. Nothing else is changed, and what
//! is changed is told. Pure: objects in, objects out.

use std::collections::{BTreeMap, BTreeSet};

use containers::{Program, Role};
use platform::{Platform, WorkloadId};
use serde_json::{Map, Value, json};
use units::Millicores;

/// What the layer is made by.
#[derive(Debug)]
pub(crate) struct Recipe<'a> {
    pub(crate) platform: &'a Platform,
    /// What stands in for each workload's own program, in their order.
    pub(crate) programs: &'a [Program],
    /// Workloads that keep their own images.
    pub(crate) kept: &'a BTreeSet<String>,
    /// The registry and folder of the stand-ins' images.
    pub(crate) registry: &'a str,
    /// The share of the CPU requests that fits the nodes.
    pub(crate) share: f64,
    /// Mock services use what they account for.
    pub(crate) burn: bool,
    /// The namespaces whose objects are applied; `None`: everything is.
    pub(crate) only: Option<&'a BTreeSet<String>>,
}

/// What is applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layer {
    pub(crate) objects: Vec<Value>,
    /// What is not as the manifests have it, in words.
    pub(crate) told: Vec<String>,
}

/// Where stand-ins' images are by default: a host that nobody can have, loaded into the nodes.
pub(crate) const NO_REGISTRY: &str = "rehearse.invalid";

/// Makes the layer.
pub(crate) fn layer(objects: &[Value], recipe: &Recipe<'_>) -> Layer {
    let mut made = Layer::default();
    let mut told: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for object in objects {
        let (kind, name, namespace) = (text(object, "kind"), name_of(object), namespace_of(object));
        if recipe.only.is_some_and(|only| !only.contains(namespace.unwrap_or_default())) {
            told.entry("left out, being outside of the namespace").or_default().insert(format!("{kind}/{name}"));
            continue;
        }
        if kind == "PersistentVolumeClaim" {
            told.entry("left out, its pods having folders that go with them").or_default().insert(name.to_owned());
            continue;
        }
        let id = recipe.platform.workload_of(kind, namespace.unwrap_or("default"), name);
        let template = match kind {
            "CronJob" => "/spec/jobTemplate/spec/template",
            _ => "/spec/template",
        };
        let Some(id) = id.filter(|_| !recipe.kept.contains(name)) else {
            made.objects.push(object.clone());
            continue;
        };
        let mut object = object.clone();
        let claims = claims(&mut object);
        if let Some(template) = object.pointer_mut(template) {
            let mut pod = Pod { template, program: &recipe.programs[usize::from(id.0)], recipe, told: &mut told, name };
            pod.stand_in(id, &claims);
        }
        made.objects.push(files(&recipe.programs[usize::from(id.0)], name, namespace));
        made.objects.push(object);
    }
    made.objects.extend(secrets(&made.objects, &mut told));
    made.told = told.into_iter().map(|(what, names)| format!("{what}: {}", join(&names))).collect();
    if recipe.share < 1.0 {
        made.told.push(format!(
            "CPU requests are {:.0} % of the manifests', so that all pods fit; autoscalers are shown usage of the same share",
            recipe.share * 100.0
        ));
    }
    made
}

/// Names, the first few of many.
fn join(names: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = names.iter().take(8).map(String::as_str).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn namespace_of(object: &Value) -> Option<&str> {
    object["metadata"]["namespace"].as_str()
}

/// Takes a StatefulSet's claims out of it, and tells their names: volumes that go with their pods take their places.
fn claims(object: &mut Value) -> Vec<String> {
    let Some(spec) = object["spec"].as_object_mut() else { return Vec::new() };
    let claims = spec.remove("volumeClaimTemplates");
    claims.iter().filter_map(Value::as_array).flatten().map(|claim| name_of(claim).to_owned()).collect()
}

/// The name of the `ConfigMap` with a stand-in's files, and of the volume that has it.
fn files_name(workload: &str) -> String {
    format!("rehearse-{workload}")
}
const FILES: &str = "rehearse-files";
const DATA: &str = "rehearse-data";
/// By which a Redis pod is told its own host name.
const OWN: &str = "OWN";
/// Names are found by the cluster's DNS.
const NSSWITCH: (&str, &str) = ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");

/// The files of a program that the manifests do not mount by themselves.
fn own_files(program: &Program) -> impl Iterator<Item = (&str, &str)> {
    // The gateway's are mounted as the manifests have it.
    let made = program.files.iter().filter(|_| program.role != Role::Gateway);
    made.map(|(path, text)| (path.as_str(), text.as_str())).chain([NSSWITCH])
}

fn key(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".")
}

fn files(program: &Program, workload: &str, namespace: Option<&str>) -> Value {
    let data: Map<String, Value> = own_files(program).map(|(path, text)| (key(path), text.into())).collect();
    let namespace = namespace.unwrap_or("default");
    let metadata = json!({ "name": files_name(workload), "namespace": namespace });
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data })
}

/// A pod's template.
struct Pod<'a, 'b> {
    template: &'a mut Value,
    program: &'a Program,
    recipe: &'a Recipe<'b>,
    told: &'a mut BTreeMap<&'static str, BTreeSet<String>>,
    name: &'a str,
}

impl Pod<'_, '_> {
    fn tell(&mut self, what: &'static str, more: &str) {
        let name = if more.is_empty() { self.name.to_owned() } else { format!("{more} of {}", self.name) };
        self.told.entry(what).or_default().insert(name);
    }

    fn stand_in(&mut self, id: WorkloadId, claims: &[String]) {
        let spec = &mut self.template["spec"];
        let dropped = spec.as_object_mut().and_then(|spec| spec.remove("initContainers"));
        let containers = spec["containers"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let mut containers = containers.into_iter();
        let Some(first) = containers.next() else { return };
        let names = |containers: &[Value]| containers.iter().map(name_of_container).collect::<Vec<_>>().join(", ");
        let sidecars: Vec<Value> = containers.collect();
        if let Some(dropped) = dropped.as_ref().and_then(Value::as_array).filter(|all| !all.is_empty()) {
            self.tell("init containers left out", &names(dropped));
        }
        if !sidecars.is_empty() {
            self.tell("sidecars left out", &names(&sidecars));
        }
        let first = self.container(first, id);
        self.template["spec"]["containers"] = json!([first]);
        self.volumes(claims);
    }

    fn container(&mut self, mut container: Value, id: WorkloadId) -> Value {
        let program = self.program;
        let own = container["image"].as_str().unwrap_or_default().to_owned();
        container["image"] =
            format!("{}/{}:{}", self.recipe.registry, program.image.name(), containers::images::TAG).into();
        container["imagePullPolicy"] = "IfNotPresent".into();
        self.tell(
            match program.role {
                Role::Gateway => "nginx of the stand-in image, on the manifests' own configuration",
                Role::Primary | Role::Standby => "PostgreSQL of the stand-in image, everybody trusted",
                Role::Redis => "Redis of the stand-in image",
                Role::Sentinel => "a sentinel of the stand-in image, on the manifests' own settings",
                Role::Mock => "mock-service by its profile",
            },
            "",
        );
        debug_assert!(!own.is_empty(), "a container without an image is refused when manifests are read");
        if let Some(fields) = container.as_object_mut() {
            fields.remove("command");
            // Those of the image are told what they need, and nothing of the original's.
            if program.role != Role::Mock && program.role != Role::Gateway {
                fields.remove("env");
                fields.remove("envFrom");
            }
        }
        container["args"] = arguments(program, self.recipe.burn).into();
        let mut environment = container["env"].as_array().cloned().unwrap_or_default();
        let of_pod =
            |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
        environment.push(of_pod("REHEARSE_POD_IP", "status.podIP"));
        environment.push(of_pod("REHEARSE_POD_NAME", "metadata.name"));
        environment.extend(program.environment.iter().map(|(name, value)| {
            // Each pod has its own name for the first one's.
            let value = match value.strip_prefix(&format!("{}-0", self.name)).filter(|_| name == OWN) {
                Some(rest) => format!("$(REHEARSE_POD_NAME){rest}"),
                None => value.clone(),
            };
            json!({ "name": name, "value": value })
        }));
        container["env"] = environment.into();
        self.mounts(&mut container);
        self.probes(&mut container);
        self.pre_stop(&mut container);
        self.requests(&mut container, id);
        container
    }

    fn mounts(&self, container: &mut Value) {
        let mut mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
        let has = |mounts: &[Value], path: &str| mounts.iter().any(|mount| mount["mountPath"] == path);
        for (path, _) in own_files(self.program) {
            mounts.push(json!({ "name": FILES, "mountPath": path, "subPath": key(path), "readOnly": true }));
        }
        let scratch = self.program.scratch.iter().enumerate();
        for (index, folder) in scratch {
            if !has(&mounts, folder) {
                mounts.push(json!({ "name": scratch_name(index), "mountPath": folder }));
            }
        }
        if let Some(folder) = self.program.data.filter(|folder| !has(&mounts, folder)) {
            mounts.push(json!({ "name": DATA, "mountPath": folder }));
        }
        container["volumeMounts"] = mounts.into();
    }

    fn volumes(&mut self, claims: &[String]) {
        let mut volumes = self.template["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let mut replaced = !claims.is_empty();
        for volume in &mut volumes {
            if volume["persistentVolumeClaim"].is_object() {
                *volume = json!({ "name": volume["name"], "emptyDir": {} });
                replaced = true;
            }
        }
        volumes.extend(claims.iter().map(|name| json!({ "name": name, "emptyDir": {} })));
        volumes.push(json!({ "name": FILES, "configMap": { "name": files_name(self.name) } }));
        let scratch =
            (0..self.program.scratch.len()).map(|index| json!({ "name": scratch_name(index), "emptyDir": {} }));
        volumes.extend(scratch);
        if self.program.data.is_some() {
            volumes.push(json!({ "name": DATA, "emptyDir": {} }));
        }
        self.template["spec"]["volumes"] = volumes.into();
        if replaced {
            self.tell("folders that go with their pods, instead of claims", "");
        }
    }

    /// A stand-in has no shell and no client of the original's to be asked by.
    fn probes(&mut self, container: &mut Value) {
        if self.program.role != Role::Mock {
            return;
        }
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            if container[probe]["exec"].is_object()
                && let Some(fields) = container.as_object_mut()
            {
                fields.remove(probe);
                self.tell("probes by command left out", probe);
            }
        }
    }

    /// `sleep N` is the kubelet's own since Kubernetes 1.29, and needs no program.
    fn pre_stop(&mut self, container: &mut Value) {
        let Some(hook) = container.pointer_mut("/lifecycle/preStop") else { return };
        let words: Vec<String> = match hook["exec"]["command"].as_array() {
            Some(words) => words.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => return,
        };
        let seconds = words.iter().flat_map(|word| word.split_whitespace()).skip_while(|word| !word.ends_with("sleep"));
        let seconds = seconds.skip(1).find_map(|word| word.trim_end_matches('s').parse::<u64>().ok());
        if let Some(seconds) = seconds {
            *hook = json!({ "sleep": { "seconds": seconds } });
            return;
        }
        if let Some(fields) = container["lifecycle"].as_object_mut() {
            fields.remove("preStop");
        }
        self.tell("a hook before the end left out", "preStop");
    }

    fn requests(&self, container: &mut Value, id: WorkloadId) {
        if self.recipe.share >= 1.0 {
            return;
        }
        let declared = self.recipe.platform.workload(id).containers.first().and_then(|first| first.requests.cpu);
        if let Some(cpu) = declared {
            let shrunk = shrunk(cpu.get(), self.recipe.share);
            container["resources"]["requests"]["cpu"] = format!("{shrunk}m").into();
        }
    }
}

/// A request's share, and never nothing: Kubernetes takes a request of 0 for none.
pub(crate) fn shrunk(millicores: u64, share: f64) -> u64 {
    ((millicores as f64 * share) as u64).max(1)
}

fn scratch_name(index: usize) -> String {
    format!("rehearse-scratch-{index}")
}

fn name_of_container(container: &Value) -> &str {
    container["name"].as_str().unwrap_or_default()
}

/// What the entry point is told. Pods of a workload share a template, so each tells its number by its address.
fn arguments(program: &Program, burn: bool) -> Vec<String> {
    let mut words = program.arguments.clone();
    words.extend((burn && program.role == Role::Mock).then(|| "--burn".to_owned()));
    if program.role == Role::Mock
        && let Some(at) = words.iter().position(|word| word == "--number")
    {
        words.splice(at..at + 2, ["--pod-ip".to_owned(), "$(REHEARSE_POD_IP)".to_owned()]);
    }
    words
}

/// Secrets that pods refer to and nobody declares: somebody makes them by hand, as a rule.
fn secrets(objects: &[Value], told: &mut BTreeMap<&'static str, BTreeSet<String>>) -> Vec<Value> {
    let mut wanted: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for object in objects {
        let namespace = namespace_of(object).unwrap_or("default").to_owned();
        let mut want = |name: &str, key: Option<&str>| {
            let keys = wanted.entry((namespace.clone(), name.to_owned())).or_default();
            keys.extend(key.map(str::to_owned));
        };
        if object["kind"] == "Secret" || object["kind"] == "ConfigMap" {
            continue;
        }
        references(object, &mut want);
    }
    for object in objects.iter().filter(|object| object["kind"] == "Secret") {
        wanted.remove(&(namespace_of(object).unwrap_or("default").to_owned(), name_of(object).to_owned()));
    }
    let made = wanted.into_iter().map(|((namespace, name), keys)| {
        told.entry("Secrets that nobody declares, made up").or_default().insert(name.clone());
        let data: Map<String, Value> = keys.into_iter().map(|key| (key, "rehearse".into())).collect();
        let metadata = json!({ "name": name, "namespace": namespace });
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data })
    });
    made.collect()
}

/// Tells every Secret that an object refers to, with the key.
fn references(value: &Value, want: &mut dyn FnMut(&str, Option<&str>)) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| references(value, want)),
        Value::Object(fields) => {
            for (field, value) in fields {
                let optional = value["optional"] == true;
                match (field.as_str(), optional) {
                    ("secretKeyRef", false) => {
                        if let Some(name) = value["name"].as_str() {
                            want(name, value["key"].as_str());
                        }
                    }
                    ("secretRef", false) => {
                        if let Some(name) = value["name"].as_str() {
                            want(name, None);
                        }
                    }
                    ("secret", false) => {
                        if let Some(name) = value["secretName"].as_str() {
                            let items = value["items"].as_array().cloned().unwrap_or_default();
                            want(name, None);
                            items.iter().for_each(|item| want(name, item["key"].as_str()));
                        }
                    }
                    _ => references(value, want),
                }
            }
        }
        _ => {}
    }
}

/// The share of the CPU requests by which all pods fit on nodes of so many millicores, every autoscaler at its maximum:
/// 1 where they fit as they are.
pub(crate) fn share(platform: &Platform, allocatable: u64) -> f64 {
    let wanted: u64 = platform
        .workload_ids()
        .filter(|id| platform.workload(*id).kind.is_service())
        .map(|id| {
            let workload = platform.workload(id);
            let most = platform.autoscalers.iter().find(|scaler| scaler.target == Some(id)).map(|scaler| scaler.max);
            // A rollout has one more at a time.
            let pods = u64::from(most.or(workload.replicas).unwrap_or(1)) + 1;
            let cpu = workload.containers.first().and_then(|first| first.requests.cpu).map_or(0, Millicores::get);
            pods * cpu
        })
        .sum();
    if wanted <= allocatable { 1.0 } else { allocatable as f64 / wanted as f64 }
}

#[cfg(test)]
mod tests {
    use containers::Image;
    use platform::{Workload, WorkloadKind};

    use super::*;

    fn platform() -> Platform {
        let workload = |name: &str, kind| Workload {
            name: name.to_owned(),
            namespace: "shop".to_owned(),
            kind,
            ..Workload::default()
        };
        let set = workload("web", WorkloadKind::Deployment);
        Platform { namespace: "shop".to_owned(), workloads: vec![set], ..Platform::default() }
    }

    fn program(role: Role, image: Image) -> Program {
        Program {
            role,
            image,
            arguments: ["--profile", "/profile.yaml", "--number", "1"].map(str::to_owned).to_vec(),
            environment: Vec::new(),
            files: vec![("/profile.yaml".to_owned(), "workload: web".to_owned())],
            scratch: vec!["/tmp", "/run"],
            data: None,
            port: 8_000,
        }
    }

    fn web() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "replicas": 2, "template": { "spec": {
                "initContainers": [{ "name": "migrate", "image": "shop/web:1" }],
                "containers": [{
                    "name": "web", "image": "shop/web:1", "command": ["serve"],
                    "env": [{ "name": "KEY", "valueFrom": { "secretKeyRef": { "name": "keys", "key": "api" } } }],
                    "lifecycle": { "preStop": { "exec": { "command": ["sh", "-c", "sleep 5"] } } },
                    "livenessProbe": { "exec": { "command": ["ask"] } },
                    "readinessProbe": { "httpGet": { "path": "/health", "port": 8000 } },
                    "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
                }, { "name": "exporter", "image": "exporter:1" }],
                "volumes": [{ "name": "tmp", "persistentVolumeClaim": { "claimName": "web" } }],
            } } },
        })
    }

    fn made(objects: &[Value], kept: &[&str], only: Option<&[&str]>) -> Layer {
        let platform = platform();
        let programs = [program(Role::Mock, Image::MockService)];
        let kept = kept.iter().map(|name| (*name).to_owned()).collect();
        let only: Option<BTreeSet<String>> = only.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let (platform, programs, kept, only) = (&platform, &programs, &kept, only.as_ref());
        layer(objects, &Recipe { platform, programs, kept, registry: NO_REGISTRY, share: 1.0, burn: false, only })
    }

    fn find<'a>(layer: &'a Layer, kind: &str) -> &'a Value {
        layer.objects.iter().find(|object| object["kind"] == kind).unwrap()
    }

    #[test]
    fn a_pod_keeps_all_but_what_a_stand_in_cannot_have() {
        let layer = made(&[web()], &[], None);
        let pod = &find(&layer, "Deployment")["spec"]["template"]["spec"];
        assert_eq!(pod["initContainers"], Value::Null);
        let [container] = pod["containers"].as_array().unwrap().as_slice() else { panic!("{pod}") };
        assert_eq!(container["image"], "rehearse.invalid/mock-service:stand-in");
        assert_eq!(container["args"], json!(["--profile", "/profile.yaml", "--pod-ip", "$(REHEARSE_POD_IP)"]));
        assert_eq!(container["command"], Value::Null);
        assert_eq!(container["lifecycle"]["preStop"], json!({ "sleep": { "seconds": 5 } }));
        assert_eq!(container["livenessProbe"], Value::Null);
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/health");
        let volumes = pod["volumes"].as_array().unwrap();
        assert_eq!(volumes[0], json!({ "name": "tmp", "emptyDir": {} }));
        let mounts: Vec<&str> =
            container["volumeMounts"].as_array().unwrap().iter().filter_map(|m| m["mountPath"].as_str()).collect();
        assert_eq!(mounts, ["/tmp", "/profile.yaml", "/etc/nsswitch.conf", "/run"], "/tmp is mounted once");
        assert_eq!(find(&layer, "ConfigMap")["data"]["profile.yaml"], "workload: web");
        assert_eq!(find(&layer, "Secret")["stringData"], json!({ "api": "rehearse" }));
        for told in ["exporter of web", "migrate of web", "livenessProbe of web", "keys", "instead of claims: web"] {
            assert!(layer.told.iter().any(|line| line.contains(told)), "{told} is not in {:?}", layer.told);
        }
    }

    #[test]
    fn a_mock_service_is_told_to_burn_and_others_use_what_they_use() {
        for (role, burn, want) in [(Role::Mock, true, true), (Role::Mock, false, false), (Role::Redis, true, false)] {
            let words = arguments(&program(role, Image::MockService), burn);
            assert_eq!(words.iter().any(|word| word == "--burn"), want, "{role:?} {burn}");
        }
    }

    #[test]
    fn a_workload_that_keeps_its_image_is_not_touched() {
        let layer = made(&[web()], &["web"], None);
        assert_eq!(*find(&layer, "Deployment"), web());
    }

    #[test]
    fn outside_of_the_namespaces_nothing_is_applied_and_each_object_is_named() {
        let role = json!({ "kind": "ClusterRole", "metadata": { "name": "all" } });
        let other = json!({ "kind": "Service", "metadata": { "name": "db", "namespace": "other" } });
        let layer = made(&[role, other, web()], &[], Some(&["shop"]));
        assert!(layer.objects.iter().all(|object| namespace_of(object) == Some("shop")), "{:?}", layer.objects);
        assert!(layer.told.iter().any(|line| line.contains("ClusterRole/all, Service/db")), "{:?}", layer.told);
    }

    #[test]
    fn requests_shrink_to_what_the_nodes_have() {
        let mut platform = platform();
        assert!((share(&platform, 1_000) - 1.0).abs() < f64::EPSILON, "no request");
        platform.workloads[0].replicas = Some(3);
        let requests = platform::Resources { cpu: Some(Millicores::new(500)), ..Default::default() };
        platform.workloads[0].containers = vec![platform::Container { requests, ..Default::default() }];
        assert!((share(&platform, 1_000) - 0.5).abs() < f64::EPSILON, "four pods with the one of a rollout");
        assert_eq!((shrunk(500, 0.5), shrunk(1, 0.1)), (250, 1));
    }
}
