//! How the manifests are built: what does not load, and patches that do not do what they seem to.

use std::collections::BTreeMap;

use manifests::{Document, Loaded, ManifestError, Object, Patch};
use platform::Place;
use serde_json::Value;

use crate::{Finding, Rule, Severity};

pub(crate) static DOES_NOT_LOAD: Rule = Rule {
    id: "does-not-load",
    severity: Severity::Error,
    title: "the manifests do not build, or the API server would refuse them",
    explanation: "kustomize fails, a document is no Kubernetes object, a field has a value that the API server refuses, \
        or two documents declare the same object. Nothing of it can be applied, hence nothing rehearsed.",
    fix: "Correct the line that is named.",
};

pub(crate) static PATCH_HITS_NOTHING: Rule = Rule {
    id: "patch-hits-nothing",
    severity: Severity::Error,
    title: "a patch's target matches no object",
    explanation: "kustomize fails for a patch by name that hits nothing, and says nothing for one with a `target`: the \
        patch is simply not applied.",
    fix: "Compare kind, name and labels of the target with the objects; they are anchored regular expressions.",
};

pub(crate) static BLANKET_PATCH: Rule = Rule {
    id: "blanket-patch-overwrites",
    severity: Severity::Warning,
    title: "a patch without a name overwrites what files declare",
    explanation: "A patch whose target names a kind only is applied to every object of that kind, and wins over what \
        their own files say: whoever reads those files believes figures that are nowhere in force.",
    fix: "Name the targets, or remove the figures from the files so that the patch is the one place that says them.",
};

pub(crate) static SECRET_LITERAL: Rule = Rule {
    id: "secret-literal",
    severity: Severity::Warning,
    title: "a secret's value is committed",
    explanation: "base64 is no encryption: whoever can read the repository, or any clone of it, has the secret, and \
        its history keeps it.",
    fix: "Let it come from outside (External Secrets, Sealed Secrets, a file that is not committed), and rotate it.",
};

pub(crate) static UNKNOWN_FIELD: Rule = Rule {
    id: "unknown-field",
    severity: Severity::Error,
    title: "a field that Kubernetes does not know",
    explanation: "`kubectl apply --validate=strict`, the default since 1.27, refuses an object with an unknown field; a         client that does not validate drops the field without a word. Either way what it says is not in force.",
    fix: "Correct the field's name, or move it to where it belongs.",
};

/// Each error of loading as a finding.
pub(crate) fn errors(errors: &[ManifestError]) -> Vec<Finding> {
    errors.iter().map(error).collect()
}

fn error(error: &ManifestError) -> Finding {
    let text = error.to_string();
    let (place, subject) = match error {
        ManifestError::Field { place, object, .. } => (place.clone(), object.to_string()),
        ManifestError::Duplicate { second, object, .. } => (second.clone(), object.clone()),
        ManifestError::Yaml { place, .. } | ManifestError::NotAnObject { place, .. } => {
            (place.clone(), "document".to_owned())
        }
        ManifestError::Kustomize { command, .. } => {
            (Place { file: command.clone(), line: 0 }, "kustomization".to_owned())
        }
        _ => (Place::default(), "source".to_owned()),
    };
    let told = text.strip_prefix(&format!("{place}: ")).unwrap_or(&text).to_owned();
    DOES_NOT_LOAD.at(subject, &place, "Nothing can be applied before this is mended.", told)
}

pub(crate) fn check(loaded: &Loaded, found: &mut Vec<Finding>) {
    for object in &loaded.objects {
        found.extend(secret(object));
        for field in object.unknown_fields().unwrap_or_default() {
            found.push(UNKNOWN_FIELD.at(
                object,
                &object.place_of(&field),
                "The API server refuses the object, or drops the field.",
                format!("{} of {} has no field `{field}`.", object.kind, object.api_version),
            ));
        }
    }
    let patches = loaded.tree.iter().flat_map(|tree| &tree.kustomizations).flat_map(|k| &k.patches);
    for patch in patches {
        let Some(target) = &patch.target else { continue };
        let hit: Vec<&Object> = loaded.objects.iter().filter(|object| hits(target, object)).collect();
        if hit.is_empty() && target.label_selector.is_empty() && target.annotation_selector.is_empty() {
            found.push(PATCH_HITS_NOTHING.at(
                "patch",
                &patch.place,
                "What it says is nowhere in force.",
                format!("No object matches {}.", told(target)),
            ));
        } else if target.is_blanket() {
            found.extend(overwrites(patch, &hit));
        }
    }
}

fn told(target: &manifests::Target) -> String {
    let parts = [("kind", &target.kind), ("name", &target.name), ("namespace", &target.namespace)];
    let parts = parts.iter().filter(|(_, value)| !value.is_empty()).map(|(word, value)| format!("{word} {value}"));
    parts.collect::<Vec<_>>().join(", ")
}

/// Kind and name are anchored regular expressions; names before a prefix or suffix was added match, too.
fn hits(target: &manifests::Target, object: &Object) -> bool {
    let matches = |pattern: &str, text: &str| {
        pattern.is_empty()
            || fancy_regex::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|r| r.is_match(text).unwrap_or(false))
    };
    let original = object.origin().and_then(|origin| origin.text("metadata.name"));
    matches(&target.kind, &object.kind)
        && (target.group.is_empty() || target.group == object.group())
        && (matches(&target.name, &object.name) || original.is_some_and(|name| matches(&target.name, name)))
}

/// What the files of the objects that it hits declare otherwise.
fn overwrites(patch: &Patch, hit: &[&Object]) -> Option<Finding> {
    let mut lost: Vec<(String, String, Place)> = Vec::new();
    for object in hit {
        let Some(origin) = object.origin() else { continue };
        let own = origin.to_json();
        for document in &patch.documents {
            for (path, value) in leaves(document) {
                let Some(declared) = at(&own, &path) else { continue };
                if *declared != value && !declared.is_null() {
                    let field = path.join(".");
                    let place = origin.place_of(&field);
                    lost.push((format!("{} {field}: {declared} becomes {value}", object.name), field, place));
                }
            }
        }
    }
    let (first, _, place) = lost.first()?;
    let mut by_field: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, field, _) in &lost {
        *by_field.entry(field).or_default() += 1;
    }
    let fields: Vec<_> = by_field.iter().map(|(field, count)| format!("{field} ({count} objects)")).collect();
    Some(BLANKET_PATCH.at(
        "patch",
        &patch.place,
        format!("{} declared figures are not in force: {}.", lost.len(), fields.join(", ")),
        format!("It has no name in its target. First of them: {first}, declared at {place}."),
    ))
}

/// The scalar values that a patch sets, with their path; lists are left out, since how they merge is their schema's.
fn leaves(document: &Document) -> Vec<(Vec<String>, Value)> {
    fn walk(value: &Value, path: &mut Vec<String>, out: &mut Vec<(Vec<String>, Value)>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    path.push(key.clone());
                    walk(value, path, out);
                    path.pop();
                }
            }
            Value::Array(_) | Value::Null => {}
            scalar => out.push((path.clone(), scalar.clone())),
        }
    }
    let json = document.to_json();
    let mut out = Vec::new();
    if let Value::Array(operations) = &json {
        for operation in operations {
            let path = operation["path"].as_str().unwrap_or_default();
            let keys: Vec<String> =
                path.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
            let plain = keys.iter().all(|key| key.parse::<usize>().is_err() && key != "-");
            if matches!(operation["op"].as_str(), Some("add" | "replace")) && plain {
                let mut path = keys;
                walk(&operation["value"], &mut path, &mut out);
            }
        }
    } else {
        walk(&json, &mut Vec::new(), &mut out);
        out.retain(|(path, _)| {
            !matches!(path[0].as_str(), "apiVersion" | "kind") && path.get(1).map(String::as_str) != Some("name")
        });
    }
    out
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

fn secret(object: &Object) -> Option<Finding> {
    if object.kind != "Secret" {
        return None;
    }
    let document = object.to_json();
    let keys: Vec<&String> = ["data", "stringData"]
        .iter()
        .filter_map(|part| document[part].as_object())
        .flatten()
        .filter(|(_, value)| value.as_str().is_some_and(|text| !text.trim().is_empty()))
        .map(|(key, _)| key)
        .collect();
    if keys.is_empty() {
        return None;
    }
    let keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
    Some(SECRET_LITERAL.at(
        object,
        &object.place,
        "Whoever can read these files has the secret.",
        format!("It holds values for {}.", keys.join(", ")),
    ))
}
