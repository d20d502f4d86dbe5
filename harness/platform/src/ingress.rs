//! Ingress with what ingress-nginx reads from its annotations.

use units::{Bytes, Nanos, Rate};

use crate::{Place, PortRef};

/// An Ingress `networking.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ingress {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `ingressClassName`, or the old annotation.
    pub class: Option<String>,
    /// One per host and path, in order.
    pub rules: Vec<IngressRule>,
    /// Hosts under `tls`, with the name of their Secret.
    pub tls: Vec<(String, Option<String>)>,
    /// What the annotations ask for.
    pub policy: IngressPolicy,
    /// Every annotation as written, for what is not modelled.
    pub annotations: Vec<(String, String, Place)>,
    /// Where it was declared.
    pub place: Place,
}

/// One path of one host.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressRule {
    /// Host; empty: any.
    pub host: String,
    /// Path.
    pub path: String,
    /// How it is compared.
    pub path_type: PathType,
    /// The Service behind it.
    pub service: String,
    /// Its port.
    pub port: PortRef,
    /// Where it was declared.
    pub place: Place,
}

/// `pathType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathType {
    /// The whole path.
    Exact,
    /// By elements between slashes.
    #[default]
    Prefix,
    /// ingress-nginx: a prefix, or a regular expression with `use-regex`.
    ImplementationSpecific,
}

/// Annotations `nginx.ingress.kubernetes.io/*` in typed form. `None`: not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressPolicy {
    /// `rewrite-target`.
    pub rewrite_target: Option<String>,
    /// `use-regex`; a rewrite target with a group turns it on for the whole host.
    pub use_regex: bool,
    /// `ssl-redirect` and `force-ssl-redirect`; on by default where the host has TLS.
    pub ssl_redirect: Option<bool>,
    /// `enable-cors` with `cors-allow-origin`.
    pub cors_origins: Option<Vec<String>>,
    /// `limit-rps`: requests a second of one client address; burst is this times `limit-burst-multiplier`.
    pub limit_rps: Option<Rate>,
    /// `limit-rpm`.
    pub limit_rpm: Option<Rate>,
    /// `limit-burst-multiplier`, default 5.
    pub burst_multiplier: u32,
    /// `limit-connections` of one client address.
    pub limit_connections: Option<u32>,
    /// `upstream-hash-by`, such as `$binary_remote_addr`.
    pub hash_by: Option<String>,
    /// `proxy-body-size`; zero: no limit.
    pub body_size: Option<Bytes>,
    /// `proxy-connect-timeout`.
    pub connect_timeout: Option<Nanos>,
    /// `proxy-read-timeout`.
    pub read_timeout: Option<Nanos>,
    /// `proxy-send-timeout`.
    pub send_timeout: Option<Nanos>,
    /// `proxy-buffering: on`; ingress-nginx has it off by default.
    pub buffering: Option<bool>,
}
