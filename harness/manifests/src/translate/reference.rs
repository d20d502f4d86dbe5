//! What pods need to start: configuration, Secrets, claims, a service account, a PriorityClass.

use k8s_openapi::api::core::v1 as core;
use platform::{Reference, ReferenceKind};

use crate::object::Object;

/// References of a pod, each with its place, in the order of the manifest.
pub(super) struct References<'a> {
    object: &'a Object,
    all: Vec<Reference>,
}

impl<'a> References<'a> {
    /// All of the pod whose spec stands at `base`.
    pub(super) fn of(object: &'a Object, base: &str, pod: &core::PodSpec) -> Vec<Reference> {
        let mut references = Self { object, all: Vec::new() };
        let lists = [("initContainers", pod.init_containers.as_deref()), ("containers", Some(&*pod.containers))];
        for (name, containers) in lists {
            for (index, container) in containers.unwrap_or_default().iter().enumerate() {
                references.container(&format!("{base}.{name}[{index}]"), container);
            }
        }
        for (index, volume) in pod.volumes.iter().flatten().enumerate() {
            references.volume(&format!("{base}.volumes[{index}]"), volume);
        }
        for (index, secret) in pod.image_pull_secrets.iter().flatten().enumerate() {
            // The kubelet warns and pulls without it, which works for public images.
            references.add(
                ReferenceKind::Secret,
                &secret.name,
                None,
                true,
                &format!("{base}.imagePullSecrets[{index}].name"),
            );
        }
        for (account, field) in
            [(&pod.service_account_name, "serviceAccountName"), (&pod.service_account, "serviceAccount")]
        {
            // Every namespace has the account `default`.
            if let Some(name) = account.as_deref().filter(|name| *name != "default") {
                references.add(ReferenceKind::ServiceAccount, name, None, false, &format!("{base}.{field}"));
                break;
            }
        }
        if let Some(class) = pod.priority_class_name.as_deref().filter(|class| system_priority(class).is_none()) {
            references.add(ReferenceKind::PriorityClass, class, None, false, &format!("{base}.priorityClassName"));
        }
        references.all
    }

    fn add(&mut self, kind: ReferenceKind, name: &str, key: Option<&str>, optional: bool, path: &str) {
        if name.is_empty() {
            return;
        }
        let place = self.object.place_of(path);
        self.all.push(Reference { kind, name: name.to_owned(), key: key.map(str::to_owned), optional, place });
    }

    fn container(&mut self, path: &str, container: &core::Container) {
        for (index, source) in container.env_from.iter().flatten().enumerate() {
            let path = format!("{path}.envFrom[{index}]");
            if let Some(map) = &source.config_map_ref {
                let path = format!("{path}.configMapRef.name");
                self.add(ReferenceKind::ConfigMap, &map.name, None, map.optional == Some(true), &path);
            }
            if let Some(secret) = &source.secret_ref {
                let path = format!("{path}.secretRef.name");
                self.add(ReferenceKind::Secret, &secret.name, None, secret.optional == Some(true), &path);
            }
        }
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let Some(source) = &variable.value_from else { continue };
            let path = format!("{path}.env[{index}].valueFrom");
            if let Some(map) = &source.config_map_key_ref {
                let path = format!("{path}.configMapKeyRef.name");
                self.add(ReferenceKind::ConfigMap, &map.name, Some(&map.key), map.optional == Some(true), &path);
            }
            if let Some(secret) = &source.secret_key_ref {
                let path = format!("{path}.secretKeyRef.name");
                self.add(ReferenceKind::Secret, &secret.name, Some(&secret.key), secret.optional == Some(true), &path);
            }
        }
    }

    fn volume(&mut self, path: &str, volume: &core::Volume) {
        if let Some(map) = &volume.config_map {
            let path = format!("{path}.configMap");
            self.items(ReferenceKind::ConfigMap, &map.name, map.items.as_deref(), map.optional, &path, "name");
        }
        if let Some(secret) = &volume.secret {
            let (name, path) = (secret.secret_name.as_deref().unwrap_or_default(), format!("{path}.secret"));
            self.items(ReferenceKind::Secret, name, secret.items.as_deref(), secret.optional, &path, "secretName");
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            let path = format!("{path}.persistentVolumeClaim.claimName");
            self.add(ReferenceKind::Claim, &claim.claim_name, None, false, &path);
        }
        let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for (index, source) in projected.enumerate() {
            let path = format!("{path}.projected.sources[{index}]");
            if let Some(map) = &source.config_map {
                let path = format!("{path}.configMap");
                self.items(ReferenceKind::ConfigMap, &map.name, map.items.as_deref(), map.optional, &path, "name");
            }
            if let Some(secret) = &source.secret {
                let path = format!("{path}.secret");
                self.items(
                    ReferenceKind::Secret,
                    &secret.name,
                    secret.items.as_deref(),
                    secret.optional,
                    &path,
                    "name",
                );
            }
        }
    }

    /// A volume of some keys needs each of them; one without a list takes whatever there is.
    fn items(
        &mut self,
        kind: ReferenceKind,
        name: &str,
        items: Option<&[core::KeyToPath]>,
        optional: Option<bool>,
        path: &str,
        name_field: &str,
    ) {
        let optional = optional == Some(true);
        match items {
            Some(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    self.add(kind, name, Some(&item.key), optional, &format!("{path}.items[{index}].key"));
                }
            }
            _ => self.add(kind, name, None, optional, &format!("{path}.{name_field}")),
        }
    }
}

/// Values of the classes that every cluster has (`pkg/apis/scheduling/types.go`).
pub(super) fn system_priority(class: &str) -> Option<i32> {
    match class {
        "system-cluster-critical" => Some(2_000_000_000),
        "system-node-critical" => Some(2_000_001_000),
        _ => None,
    }
}
