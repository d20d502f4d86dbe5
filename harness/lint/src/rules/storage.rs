//! Volumes that are not there, or hold too little.

use std::collections::BTreeSet;

use manifests::{Loaded, Object};
use platform::{Claim, Platform, ReferenceKind, Workload};
use serde_json::Value;
use units::Bytes;

use super::name_of;
use crate::drift::Provided;
use crate::{Finding, Rule, Severity};

pub(crate) static MISSING_VOLUME: Rule = Rule {
    id: "missing-volume",
    severity: Severity::Error,
    title: "a container mounts a volume that its pod does not have",
    explanation: "Every volumeMount names one of the pod's volumes or, in a StatefulSet, a volumeClaimTemplate. The API \
        server refuses a pod template with another name: `volumeMounts[0].name: Not found`.",
    fix: "Correct the name, or add the volume.",
};

pub(crate) static CLASS_MISSING: Rule = Rule {
    id: "storage-class-missing",
    severity: Severity::Warning,
    title: "a claim asks for a StorageClass that is not declared",
    explanation: "A claim whose storageClassName no StorageClass has, and no PersistentVolume either, stays Pending, \
        and so does every pod that mounts it. Classes often come with the cluster: those that well-known platforms \
        bring are taken to be there; another one can be listed under `provided`.",
    fix: "Correct storageClassName, declare the class, or list it under `provided` with kind StorageClass.",
};

pub(crate) static TOO_SMALL: Rule = Rule {
    id: "volume-too-small",
    severity: Severity::Error,
    title: "a volume holds less than what is to be kept in it",
    explanation: "A claim binds to a PersistentVolume of at least its size (pkg/controller/volume/persistentvolume/\
        index.go, findBestMatch): with smaller ones only it stays Pending. A Prometheus that may keep more than its \
        volume holds fills it, and stops writing.",
    fix: "Make the volume larger, or ask for less.",
};

pub(crate) static NO_SIZE: Rule = Rule {
    id: "claim-without-size",
    severity: Severity::Error,
    title: "a claim does not say how much it needs",
    explanation: "The API server refuses a PersistentVolumeClaim without spec.resources.requests.storage.",
    fix: "Add resources.requests.storage.",
};

/// Classes that clusters have from the start: kind and minikube, k3s, GKE, EKS, AKS, `DigitalOcean`, Hetzner, Docker
/// Desktop, `OpenStack`, Longhorn and Rook's examples.
const WELL_KNOWN: &[&str] = &[
    "azurefile",
    "azurefile-csi",
    "cinder",
    "default",
    "do-block-storage",
    "ebs-sc",
    "gp2",
    "gp3",
    "hcloud-volumes",
    "hostpath",
    "local-path",
    "longhorn",
    "managed",
    "managed-csi",
    "managed-csi-premium",
    "managed-premium",
    "premium-rwo",
    "rook-ceph-block",
    "rook-cephfs",
    "standard",
    "standard-rwo",
];

/// A `PersistentVolume`, as far as binding needs it.
struct Volume {
    name: String,
    class: String,
    capacity: Bytes,
    /// Namespace and name of the claim that it is kept for.
    kept_for: Option<(String, String)>,
}

pub(crate) fn check(loaded: &Loaded, provided: &[Provided], found: &mut Vec<Finding>) {
    for object in &loaded.objects {
        missing_volumes(object, found);
    }
    let classes: Vec<&str> = names(loaded, "StorageClass").collect();
    let volumes: Vec<Volume> = loaded.objects.iter().filter_map(volume).collect();
    for claim in &loaded.platform.claims {
        let subject = match &claim.template_of {
            Some(set) => format!("StatefulSet/{set} claim {}", claim.name),
            None => format!("PersistentVolumeClaim/{}", claim.name),
        };
        let Some(size) = claim.size else {
            found.push(NO_SIZE.at(
                subject,
                &claim.place,
                "The API server refuses it, and its pods stay Pending.",
                "It has no resources.requests.storage.",
            ));
            continue;
        };
        let class = claim.class.as_deref().unwrap_or_default();
        let static_ones: Vec<&Volume> = volumes.iter().filter(|volume| is_for(volume, claim, class)).collect();
        let largest = static_ones.iter().max_by_key(|volume| volume.capacity);
        match largest {
            // A class that is declared may make another volume.
            Some(volume) if volume.capacity < size && !classes.contains(&class) => found.push(TOO_SMALL.at(
                &subject,
                &claim.place,
                "It stays Pending, and so do its pods.",
                format!("It asks for {size}; PersistentVolume {} has {}.", volume.name, volume.capacity),
            )),
            Some(_) => {}
            None => found.extend(class_missing(&subject, claim, class, &classes, provided)),
        }
    }
    for workload in &loaded.platform.workloads {
        found.extend(keeps_more_than_it_has(&loaded.platform, workload));
    }
}

fn names<'a>(loaded: &'a Loaded, kind: &'a str) -> impl Iterator<Item = &'a str> {
    loaded.objects.iter().filter(move |object| object.kind == kind).map(|object| object.name.as_str())
}

fn volume(object: &Object) -> Option<Volume> {
    let spec = (object.kind == "PersistentVolume").then(|| object.document().get("spec"))??;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Volume {
        name: object.name.clone(),
        class: text(&spec["storageClassName"]).unwrap_or_default(),
        capacity: spec["capacity"]["storage"].as_str()?.parse().ok()?,
        kept_for: text(&spec["claimRef"]["namespace"]).zip(text(&spec["claimRef"]["name"])),
    })
}

/// A volume that a claim could bind to but for its size.
fn is_for(volume: &Volume, claim: &Claim, class: &str) -> bool {
    match &volume.kept_for {
        // A template's claims are called TEMPLATE-SET-ORDINAL.
        Some((namespace, name)) => {
            let own = claim.template_of.as_ref().map_or_else(
                || *name == claim.name,
                |set| {
                    let ordinal = name.strip_prefix(&format!("{}-{set}-", claim.name));
                    ordinal.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
                },
            );
            *namespace == claim.namespace && own
        }
        None => !class.is_empty() && volume.class == class,
    }
}

fn class_missing(
    subject: &str,
    claim: &Claim,
    class: &str,
    classes: &[&str],
    provided: &[Provided],
) -> Option<Finding> {
    let outside = provided.iter().any(|entry| entry.kind == "StorageClass" && entry.name == class);
    if class.is_empty() || classes.contains(&class) || outside || WELL_KNOWN.contains(&class) {
        return None;
    }
    let near = crate::nearest(class, classes.iter().copied().chain(WELL_KNOWN.iter().copied()));
    Some(CLASS_MISSING.at(
        subject,
        &claim.place,
        "Unless the cluster brings that class, it stays Pending, and so do its pods.",
        format!(
            "No StorageClass or PersistentVolume is called `{class}` here{}.",
            near.map_or(String::new(), |near| format!("; did you mean `{near}`?"))
        ),
    ))
}

/// `--storage.tsdb.retention.size` against the largest of the workload's claims.
fn keeps_more_than_it_has(platform: &Platform, workload: &Workload) -> Option<Finding> {
    let words = workload.containers.iter().flat_map(|container| &container.command);
    let kept = words.filter_map(|word| word.split_once("storage.tsdb.retention.size=")).next_back()?.1;
    // Prometheus writes 512MB and means what Kubernetes writes as 512Mi (model.Base2Bytes).
    let kept: Bytes = kept.trim().replace('B', "i").parse().ok()?;
    let mounted = |claim: &&Claim| {
        claim.namespace == workload.namespace
            && if let Some(set) = &claim.template_of {
                *set == workload.name
            } else {
                let refers = |r: &platform::Reference| r.kind == ReferenceKind::Claim && r.name == claim.name;
                workload.references.iter().any(refers)
            }
    };
    let claim = platform.claims.iter().filter(mounted).max_by_key(|claim| claim.size)?;
    let size = claim.size.filter(|size| *size < kept)?;
    Some(TOO_SMALL.at(
        name_of(workload),
        &workload.place,
        format!("Its volume fills up, and {} stops writing.", workload.name),
        format!("It may keep {kept}; claim {} holds {size}.", claim.name),
    ))
}

fn missing_volumes(object: &Object, found: &mut Vec<Finding>) {
    const TEMPLATES: [&str; 3] = ["spec.jobTemplate.spec.template.spec", "spec.template.spec", "spec"];
    if !matches!(
        object.kind.as_str(),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "CronJob" | "Pod"
    ) {
        return;
    }
    let document = object.document();
    let Some(base) = TEMPLATES.into_iter().find(|path| document.has(&format!("{path}.containers"))) else { return };
    let name_at = |path: String| document.text(&path).map(str::to_owned);
    let mut volumes = BTreeSet::new();
    for index in 0..document.len_of(&format!("{base}.volumes")) {
        volumes.extend(name_at(format!("{base}.volumes[{index}].name")));
    }
    for index in 0..document.len_of("spec.volumeClaimTemplates") {
        volumes.extend(name_at(format!("spec.volumeClaimTemplates[{index}].metadata.name")));
    }
    for list in ["initContainers", "containers"] {
        for container in 0..document.len_of(&format!("{base}.{list}")) {
            let mounts = format!("{base}.{list}[{container}].volumeMounts");
            for index in 0..document.len_of(&mounts) {
                let path = format!("{mounts}[{index}].name");
                let Some(name) = name_at(path.clone()).filter(|name| !volumes.contains(name)) else { continue };
                let near = crate::nearest(&name, volumes.iter().map(String::as_str));
                found.push(MISSING_VOLUME.at(
                    object,
                    &object.place_of(&path),
                    "The API server refuses it: no pod ever exists.",
                    format!(
                        "It mounts volume `{name}`, which its pods do not have{}.",
                        near.map_or(String::new(), |near| format!("; there is `{near}`"))
                    ),
                ));
            }
        }
    }
}
