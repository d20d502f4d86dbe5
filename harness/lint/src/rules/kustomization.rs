//! What a kustomization does otherwise than it seems to: patches, replacements and transformers.

use std::collections::BTreeMap;

use manifests::{Document, Image, Kustomization, Loaded, Object, Patch, Target, Tree};
use platform::Place;
use serde_json::Value;

use crate::{Finding, Rule, Severity};

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

pub(crate) static REPLACES_NOTHING: Rule = Rule {
    id: "replacement-hits-nothing",
    severity: Severity::Error,
    title: "a replacement's target matches no object",
    explanation: "kustomize says nothing about a target of `replacements` that selects no object: the value is simply \
        not written anywhere (api/filters/replacement/replacement.go, applyReplacement).",
    fix: "Compare kind and name under `select` with the objects, as they are before prefixes and suffixes.",
};

pub(crate) static IMAGE_UNUSED: Rule = Rule {
    id: "image-hits-nothing",
    severity: Severity::Warning,
    title: "an entry under `images` names an image that no container uses",
    explanation: "kustomize changes the images whose name is exactly this one, registry included, and says nothing if \
        there is none: the tag or digest that the entry pins is not in force.",
    fix: "Write the name as the containers have it, without tag and digest, or remove the entry.",
};

pub(crate) static MERGES_NAMESPACES: Rule = Rule {
    id: "namespaces-merged",
    severity: Severity::Warning,
    title: "`namespace` moves objects of several namespaces into one",
    explanation: "The namespace transformer writes its namespace into every object below, also into those that name \
        another one: what was kept apart (monitoring, system namespaces, their policies and quotas) then lives \
        together, and whoever looks in the old namespace finds nothing.",
    fix: "Give each namespace a kustomization of its own, and list them in one without `namespace`.",
};

pub(crate) fn check(loaded: &Loaded, found: &mut Vec<Finding>) {
    let Some(tree) = &loaded.tree else { return };
    for patch in tree.kustomizations.iter().flat_map(|one| &one.patches) {
        let Some(target) = &patch.target else { continue };
        let hit: Vec<&Object> = loaded.objects.iter().filter(|object| hits(target, object)).collect();
        if hit.is_empty() {
            found.push(PATCH_HITS_NOTHING.at(
                "patch",
                &patch.place,
                "What it says is nowhere in force.",
                format!("No object matches {}{}.", told(target), near(loaded, target)),
            ));
        } else if target.is_blanket() {
            found.extend(overwrites(patch, &hit));
        }
    }
    for replacement in tree.kustomizations.iter().flat_map(|one| &one.replacements) {
        let target = &replacement.target;
        if !loaded.objects.iter().any(|object| hits(target, object)) {
            found.push(REPLACES_NOTHING.at(
                "replacement",
                &replacement.place,
                format!("Nothing is written to {}.", replacement.fields.join(", ")),
                format!("No object matches {}{}.", told(target), near(loaded, target)),
            ));
        }
    }
    images(loaded, tree, found);
    found.extend(tree.kustomizations.iter().filter_map(|one| merges(tree, one)));
}

/// The object of the same kind whose name is nearest to the target's.
fn near(loaded: &Loaded, target: &Target) -> String {
    let names = loaded.objects.iter().filter(|object| object.kind == target.kind).map(|object| object.name.as_str());
    crate::nearest(&target.name, names).map_or(String::new(), |near| format!("; there is {} {near}", target.kind))
}

/// Entries whose image nobody has, neither in the files nor as it is applied.
fn images(loaded: &Loaded, tree: &Tree, found: &mut Vec<Finding>) {
    let mut used: Vec<String> = Vec::new();
    for object in &loaded.objects {
        collect_images(&object.to_json(), &mut used);
        if let Some(origin) = object.origin() {
            collect_images(&origin.to_json(), &mut used);
        }
    }
    let entries: Vec<&Image> = tree.kustomizations.iter().flat_map(|one| &one.images).collect();
    // An inner kustomization may have made this name, or an outer one may have changed what this entry made.
    let made = |name: &String| entries.iter().any(|entry| entry.new_name.as_ref() == Some(name));
    let in_use = |name: &String| used.contains(name) || made(name);
    for entry in &entries {
        if in_use(&entry.name) || entry.new_name.as_ref().is_some_and(|name| used.contains(name)) {
            continue;
        }
        let near = crate::nearest(&entry.name, used.iter().map(String::as_str));
        found.push(IMAGE_UNUSED.at(
            format!("image {}", entry.name),
            &entry.place,
            "The name, tag or digest that it gives is nowhere in force.",
            format!(
                "No container has an image `{}`{}.",
                entry.name,
                near.map_or(String::new(), |near| format!("; there is `{near}`"))
            ),
        ));
    }
}

/// Names, without tag and digest, under every key `image` of a document.
fn collect_images(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(image) if key == "image" => out.push(image_name(image).to_owned()),
                    value => collect_images(value, out),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| collect_images(value, out)),
        _ => {}
    }
}

/// A colon after the last slash is a tag; one before it is the port of a registry.
fn image_name(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rfind(':') {
        Some(colon) if !image[colon..].contains('/') => &image[..colon],
        _ => image,
    }
}

/// A kustomization with `namespace` over objects that say they live in several.
fn merges(tree: &Tree, one: &Kustomization) -> Option<Finding> {
    let (namespace, place) = one.namespace.as_ref()?;
    let homes = homes(tree, one, 0);
    let [(first, at), .., (last, there)] = homes.iter().collect::<Vec<_>>()[..] else { return None };
    Some(MERGES_NAMESPACES.at(
        "kustomization",
        place,
        format!("Objects of {} live in {namespace}.", homes.keys().cloned().collect::<Vec<_>>().join(", ")),
        format!("Below it are objects of namespace {first} ({at}) and of {last} ({there})."),
    ))
}

/// Kustomizations within kustomizations; deeper is a circle.
const DEPTH_MAX: u32 = 32;

/// The namespaces that objects below a kustomization name, each with a place, as if it had no `namespace` itself.
fn homes(tree: &Tree, one: &Kustomization, depth: u32) -> BTreeMap<String, Place> {
    let mut homes = BTreeMap::new();
    for document in one.resources.iter().flat_map(manifests::Resource::documents) {
        if let Some(namespace) = document.text("metadata.namespace") {
            let place = document.place_of("metadata.namespace");
            homes.entry(namespace.to_owned()).or_insert(place);
        }
    }
    for child in one.children.iter().filter(|_| depth < DEPTH_MAX).map(|index| &tree.kustomizations[*index]) {
        match &child.namespace {
            Some((namespace, place)) => {
                homes.entry(namespace.clone()).or_insert_with(|| place.clone());
            }
            None => {
                for (namespace, place) in self::homes(tree, child, depth + 1) {
                    homes.entry(namespace).or_insert(place);
                }
            }
        }
    }
    homes
}

fn told(target: &Target) -> String {
    let parts = [
        ("kind", &target.kind),
        ("name", &target.name),
        ("namespace", &target.namespace),
        ("labels", &target.label_selector),
        ("annotations", &target.annotation_selector),
    ];
    let parts = parts.iter().filter(|(_, value)| !value.is_empty()).map(|(word, value)| format!("{word} {value}"));
    parts.collect::<Vec<_>>().join(", ")
}

/// Kind and name are anchored regular expressions. Names before a prefix, a suffix or a hash was added match, too; where
/// an object's file is not known, anything around the name is taken to be such. Namespaces are left out, since a
/// transformer of another level may have changed them.
fn hits(target: &Target, object: &Object) -> bool {
    let matches = |pattern: &str, text: &str| {
        pattern.is_empty() || fancy_regex::Regex::new(pattern).is_ok_and(|r| r.is_match(text).unwrap_or(false))
    };
    let anchored = |pattern: &str| if pattern.is_empty() { String::new() } else { format!("^(?:{pattern})$") };
    let named = matches(&anchored(&target.name), &object.name)
        || match object.origin().and_then(|origin| origin.text("metadata.name")) {
            Some(original) => matches(&anchored(&target.name), original),
            None => matches(&target.name, &object.name),
        };
    named
        && matches(&anchored(&target.kind), &object.kind)
        && (target.group.is_empty() || target.group == object.group())
        && has_all(object, "metadata.labels", &target.label_selector)
        && has_all(object, "metadata.annotations", &target.annotation_selector)
}

/// Whether an object has what a label selector wants, in its file or as it is applied. Sets (`in`, `notin`) and
/// inequalities are taken to hold.
fn has_all(object: &Object, path: &str, selector: &str) -> bool {
    if selector.contains(['(', '!']) {
        return true;
    }
    let has = |document: &Document, key: &str, value: Option<&str>| {
        let found = document.text(&format!("{path}[\"{key}\"]"));
        found.is_some_and(|found| value.is_none_or(|value| found == value))
    };
    selector.split(',').map(str::trim).filter(|word| !word.is_empty()).all(|word| {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim_start_matches('=').trim())),
            None => (word, None),
        };
        has(object.document(), key, value) || object.origin().is_some_and(|origin| has(origin, key, value))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_without_tag_and_digest() {
        for (image, want) in [
            ("nginx", "nginx"),
            ("nginx:1.27", "nginx"),
            ("registry.example:5000/web", "registry.example:5000/web"),
            ("registry.example:5000/web:1", "registry.example:5000/web"),
            ("web@sha256:0123", "web"),
            ("web:1@sha256:0123", "web"),
        ] {
            assert_eq!(image_name(image), want, "{image}");
        }
    }
}
