//! Ingresses with what ingress-nginx reads from their annotations.

use k8s_openapi::api::networking::v1::{IngressBackend, IngressSpec};
use platform::{Ingress, IngressPolicy, IngressRule, PathType, PortRef};
use units::{Bytes, Nanos, Rate};

use super::NotRehearsed;
use super::container::port_number;
use crate::ManifestError;
use crate::object::Object;

/// What ingress-nginx's annotations begin with.
const PREFIX: &str = "nginx.ingress.kubernetes.io/";
/// The class's annotation, older than `ingressClassName`.
const CLASS: &str = "kubernetes.io/ingress.class";
/// The annotations that are read.
const MODELLED: [&str; 16] = [
    "rewrite-target",
    "use-regex",
    "ssl-redirect",
    "force-ssl-redirect",
    "enable-cors",
    "cors-allow-origin",
    "limit-rps",
    "limit-rpm",
    "limit-burst-multiplier",
    "limit-connections",
    "upstream-hash-by",
    "proxy-body-size",
    "proxy-connect-timeout",
    "proxy-read-timeout",
    "proxy-send-timeout",
    "proxy-buffering",
];

pub(super) fn ingress(object: &Object, notes: &mut NotRehearsed) -> Result<Ingress, ManifestError> {
    let spec: IngressSpec = object.typed_at("spec")?;
    let mut annotations = Vec::new();
    if let Some(node) = object.document().at(&["metadata", "annotations"]) {
        for (key, node) in node.entries() {
            let path = format!("metadata.annotations[\"{key}\"]");
            let Some(text) = node.text() else {
                return Err(object.refuse(&path, "the value is no text", "put it in quotes"));
            };
            annotations.push((key.to_string(), text.to_owned(), object.place_of(&path)));
        }
    }
    let old_class = annotations.iter().find(|(key, _, _)| key == CLASS).map(|(_, text, _)| text.clone());
    let tls = spec.tls.unwrap_or_default().into_iter().flat_map(|tls| {
        let secret = tls.secret_name;
        tls.hosts.unwrap_or_default().into_iter().map(move |host| (host, secret.clone()))
    });
    let mut ingress = Ingress {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        class: spec.ingress_class_name.or(old_class),
        rules: Vec::new(),
        tls: tls.collect(),
        policy: policy(object, &annotations, notes),
        annotations,
        place: object.place.clone(),
    };
    for (index, rule) in spec.rules.unwrap_or_default().into_iter().enumerate() {
        let host = rule.host.unwrap_or_default();
        let paths = rule.http.map(|http| http.paths).unwrap_or_default();
        for (at, declared) in paths.into_iter().enumerate() {
            let path = format!("spec.rules[{index}].http.paths[{at}]");
            let path_type = match declared.path_type.as_str() {
                "Exact" => PathType::Exact,
                "Prefix" => PathType::Prefix,
                "ImplementationSpecific" => PathType::ImplementationSpecific,
                other => {
                    let problem =
                        if other.is_empty() { "is missing".into() } else { format!("`{other}` is no path type") };
                    let fix = "write Prefix, Exact or ImplementationSpecific";
                    return Err(object.refuse(&format!("{path}.pathType"), &problem, fix));
                }
            };
            let wanted = declared.path.filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
            let backend = format!("{path}.backend");
            ingress.rules.extend(backend_rule(object, &backend, &declared.backend, &host, wanted, path_type, notes)?);
        }
    }
    if let Some(declared) = &spec.default_backend {
        let path = "spec.defaultBackend";
        ingress.rules.extend(backend_rule(object, path, declared, "", "/".to_owned(), PathType::Prefix, notes)?);
    }
    Ok(ingress)
}

/// `None` for a backend that is no Service.
fn backend_rule(
    object: &Object,
    path: &str,
    backend: &IngressBackend,
    host: &str,
    wanted: String,
    path_type: PathType,
    notes: &mut NotRehearsed,
) -> Result<Option<IngressRule>, ManifestError> {
    let Some(service) = &backend.service else {
        let Some(resource) = &backend.resource else {
            let fix = "write service.name and service.port (serviceName and servicePort are gone)";
            return Err(object.refuse(path, "the backend names no Service", fix));
        };
        let what = format!("{object} backend {}/{}", resource.kind, resource.name);
        notes.push((what, object.place_of(path)));
        return Ok(None);
    };
    let port = service.port.clone().unwrap_or_default();
    let port = match (port.number, port.name.filter(|name| !name.is_empty())) {
        (Some(number), _) => PortRef::Number(port_number(object, &format!("{path}.service.port.number"), number)?),
        (None, Some(name)) => PortRef::Name(name),
        (None, None) => {
            let fix = "write port.number or port.name";
            return Err(object.refuse(&format!("{path}.service.port"), "is missing", fix));
        }
    };
    Ok(Some(IngressRule {
        host: host.to_owned(),
        path: wanted,
        path_type,
        service: service.name.clone(),
        port,
        place: object.place_of(path),
    }))
}

/// The annotations in typed form. What ingress-nginx could not read it leaves out with a line in its log; so do we, and
/// list it.
fn policy(object: &Object, all: &[(String, String, platform::Place)], notes: &mut NotRehearsed) -> IngressPolicy {
    let mut policy = IngressPolicy { burst_multiplier: 5, ..IngressPolicy::default() };
    let mut origins = None;
    let (mut cors, mut redirect, mut force) = (false, None, false);
    for (key, text, place) in all {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let text = text.trim();
        let mut set = || -> Option<()> {
            match name {
                "rewrite-target" => policy.rewrite_target = Some(text.to_owned()),
                "use-regex" => policy.use_regex = flag(text)?,
                "ssl-redirect" => redirect = Some(flag(text)?),
                "force-ssl-redirect" => force = flag(text)?,
                "enable-cors" => cors = flag(text)?,
                "cors-allow-origin" => {
                    origins = Some(text.split(',').map(|origin| origin.trim().to_owned()).collect());
                }
                "limit-rps" => policy.limit_rps = rate(u64::from(number(text)?) * 1_000),
                "limit-rpm" => policy.limit_rpm = rate(u64::from(number(text)?) * 1_000 / 60),
                "limit-burst-multiplier" => {
                    policy.burst_multiplier = Some(number(text)?).filter(|n| *n > 0).unwrap_or(5);
                }
                "limit-connections" => policy.limit_connections = Some(number(text)?).filter(|n| *n > 0),
                "upstream-hash-by" => policy.hash_by = Some(text.to_owned()),
                "proxy-body-size" => policy.body_size = Some(size(text)?),
                "proxy-connect-timeout" => policy.connect_timeout = Some(seconds(text)?),
                "proxy-read-timeout" => policy.read_timeout = Some(seconds(text)?),
                "proxy-send-timeout" => policy.send_timeout = Some(seconds(text)?),
                "proxy-buffering" if matches!(text, "on" | "off") => {
                    policy.buffering = Some(text == "on");
                }
                _ => return None,
            }
            Some(())
        };
        if set().is_none() {
            let why = if MODELLED.contains(&name) {
                format!(" (`{text}` cannot be read, so it has no effect)")
            } else {
                String::new()
            };
            notes.push((format!("{object} annotation {key}{why}"), place.clone()));
        }
    }
    policy.ssl_redirect = if force { Some(true) } else { redirect };
    if cors {
        policy.cors_origins = Some(origins.unwrap_or_else(|| vec!["*".to_owned()]));
    }
    policy
}

/// As Go's `strconv.ParseBool` reads it.
fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// Zero limits nothing. nginx, too, divides by 60 in thousandths of a request and drops the rest.
fn rate(milli: u64) -> Option<Rate> {
    (milli > 0).then(|| Rate::from_milli(milli))
}

/// Whole seconds, with or without nginx's `s`.
fn seconds(text: &str) -> Option<Nanos> {
    text.trim_end_matches('s').parse().ok().map(Nanos::from_secs)
}

/// nginx's sizes: bytes, or with k, m or g in either case.
fn size(text: &str) -> Option<Bytes> {
    let unit = text.chars().last()?.to_ascii_lowercase();
    let (digits, shift) = match unit {
        'k' => (&text[..text.len() - 1], 10),
        'm' => (&text[..text.len() - 1], 20),
        'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(1 << shift).map(Bytes::new)
}
