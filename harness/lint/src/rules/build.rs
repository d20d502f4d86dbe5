//! What does not load, what the API server would refuse, and what should not be in files.

use manifests::{Loaded, ManifestError, Object};
use platform::Place;

use crate::{Finding, Rule, Severity};

pub(crate) static DOES_NOT_LOAD: Rule = Rule {
    id: "does-not-load",
    severity: Severity::Error,
    title: "the manifests do not build, or the API server would refuse them",
    explanation: "kustomize fails, a document is no Kubernetes object, a field has a value that the API server refuses, \
        or two documents declare the same object. Nothing of it can be applied, hence nothing rehearsed.",
    fix: "Correct the line that is named.",
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
    explanation: "`kubectl apply --validate=strict`, the default since 1.27, refuses an object with an unknown field; a \
        client that does not validate drops the field without a word. Either way what it says is not in force.",
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
        ManifestError::Kustomize { command, place, .. } => {
            let command = || Place { file: command.clone(), line: 0 };
            (place.clone().unwrap_or_else(command), "kustomization".to_owned())
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
