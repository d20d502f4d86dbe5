//! Ingresses: backends, hosts, annotations, paths.

use platform::{Ingress, IngressRule, PathType, Platform, PortRef, Service};

use super::Context;
use crate::{Finding, Rule, Severity};

pub(crate) static BACKEND_MISSING: Rule = Rule {
    id: "ingress-backend-missing",
    severity: Severity::Error,
    title: "an Ingress sends to a Service, or a port of it, that is not there",
    explanation: "The controller keeps the rule and answers 503 for it: `Service \"x\" does not have any active \
        Endpoint`. An Ingress reaches Services of its own namespace only.",
    fix: "Correct backend.service, or move the Ingress to the Service's namespace.",
};

pub(crate) static HOST_UNANSWERED: Rule = Rule {
    id: "ingress-host-unanswered",
    severity: Severity::Warning,
    title: "no server of the gateway is called as the Ingress's host",
    explanation: "nginx chooses a server by Host and falls back to the default server of the port, which is the first \
        one that listens there. A host that no server_name matches ends up there, whatever that server is for.",
    fix: "Add the host to server_name of the server that is meant, or make that one default_server.",
};

pub(crate) static UNKNOWN_ANNOTATION: Rule = Rule {
    id: "ingress-annotation-unknown",
    severity: Severity::Warning,
    title: "ingress-nginx knows no such annotation",
    explanation: "An annotation under nginx.ingress.kubernetes.io/ that the controller does not know is ignored \
        without a word: a limit or a timeout that is misspelt does not exist.",
    fix: "Correct its name.",
};

pub(crate) static REWRITE_SWALLOWS: Rule = Rule {
    id: "rewrite-swallows-path",
    severity: Severity::Warning,
    title: "a rewrite target replaces every path by one",
    explanation: "rewrite-target is the whole new path. Without a capture group such as /$1 every request under the \
        rule arrives as that one path: a backend that routes by path answers all of them alike.",
    fix: "Capture the rest of the path (path: /(.*), rewrite-target: /$1), or leave the rewrite out.",
};

pub(crate) static BODY_LIMITS_DIFFER: Rule = Rule {
    id: "body-limit-behind-ingress",
    severity: Severity::Note,
    title: "the gateway refuses bodies that the Ingress lets pass",
    explanation: "Each nginx on the way checks the body by itself: the smaller limit wins, with 413.",
    fix: "Set client_max_body_size where the larger bodies are meant to arrive.",
};

/// What ingress-nginx reads, without the prefix.
#[rustfmt::skip]
const KNOWN: &[&str] = &[
    "affinity", "affinity-canary-behavior", "affinity-mode", "allowlist-source-range", "app-root", "auth-always-set-cookie",
    "auth-cache-duration", "auth-cache-key", "auth-keepalive", "auth-keepalive-requests", "auth-keepalive-share-vars",
    "auth-keepalive-timeout", "auth-method", "auth-proxy-set-headers", "auth-realm", "auth-request-redirect",
    "auth-response-headers", "auth-secret", "auth-secret-type", "auth-signin", "auth-signin-redirect-param",
    "auth-snippet", "auth-tls-error-page", "auth-tls-match-cn", "auth-tls-pass-certificate-to-upstream",
    "auth-tls-secret", "auth-tls-verify-client", "auth-tls-verify-depth", "auth-type", "auth-url", "backend-protocol",
    "canary", "canary-by-cookie", "canary-by-header", "canary-by-header-pattern", "canary-by-header-value",
    "canary-weight", "canary-weight-total", "client-body-buffer-size", "configuration-snippet",
    "connection-proxy-header", "cors-allow-credentials", "cors-allow-headers", "cors-allow-methods",
    "cors-allow-origin", "cors-expose-headers", "cors-max-age", "custom-headers", "custom-http-errors",
    "default-backend", "denylist-source-range", "disable-proxy-intercept-errors", "enable-access-log", "enable-cors",
    "enable-global-auth", "enable-modsecurity", "enable-opentelemetry", "enable-opentracing",
    "enable-owasp-core-rules", "enable-rewrite-log", "force-ssl-redirect", "from-to-www-redirect",
    "global-rate-limit", "global-rate-limit-ignored-cidrs", "global-rate-limit-key", "global-rate-limit-window",
    "http2-push-preload", "limit-allowlist", "limit-burst-multiplier", "limit-connections", "limit-rate",
    "limit-rate-after", "limit-rpm", "limit-rps", "limit-whitelist", "load-balance", "mirror-host",
    "mirror-request-body", "mirror-target", "modsecurity-snippet", "modsecurity-transaction-id",
    "opentelemetry-operation-name", "opentelemetry-trust-incoming-span", "permanent-redirect",
    "permanent-redirect-code", "preserve-trailing-slash", "proxy-body-size", "proxy-buffer-size", "proxy-buffering",
    "proxy-buffers-number", "proxy-busy-buffers-size", "proxy-connect-timeout", "proxy-cookie-domain",
    "proxy-cookie-path", "proxy-http-version", "proxy-max-temp-file-size", "proxy-next-upstream",
    "proxy-next-upstream-timeout", "proxy-next-upstream-tries", "proxy-read-timeout", "proxy-redirect-from",
    "proxy-redirect-to", "proxy-request-buffering", "proxy-send-timeout", "proxy-ssl-ciphers", "proxy-ssl-name",
    "proxy-ssl-protocols", "proxy-ssl-secret", "proxy-ssl-server-name", "proxy-ssl-verify", "proxy-ssl-verify-depth",
    "relative-redirects", "rewrite-target", "satisfy", "server-alias", "server-snippet", "service-upstream",
    "session-cookie-change-on-failure", "session-cookie-conditional-samesite-none", "session-cookie-domain",
    "session-cookie-expires", "session-cookie-max-age", "session-cookie-name", "session-cookie-path",
    "session-cookie-samesite", "session-cookie-secure", "ssl-ciphers", "ssl-passthrough", "ssl-prefer-server-ciphers",
    "ssl-redirect", "stream-snippet", "temporal-redirect", "temporal-redirect-code", "upstream-hash-by",
    "upstream-hash-by-subset", "upstream-hash-by-subset-size", "upstream-vhost", "use-port-in-redirects", "use-regex",
    "whitelist-source-range", "x-forwarded-prefix",
];

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for ingress in &context.platform.ingresses {
        let subject = format!("Ingress/{}", ingress.name);
        for (key, _, place) in &ingress.annotations {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            if !KNOWN.contains(&name) {
                let near = crate::nearest(name, KNOWN.iter().copied());
                found.push(UNKNOWN_ANNOTATION.at(
                    &subject,
                    place,
                    format!("`{key}` has no effect."),
                    near.map_or_else(
                        || "ingress-nginx has no annotation of that name.".to_owned(),
                        |near| format!("ingress-nginx has no annotation of that name; it has {PREFIX}{near}."),
                    ),
                ));
            }
        }
        rules(context.platform, ingress, &subject, found);
    }
}

fn rules(platform: &Platform, ingress: &Ingress, subject: &str, found: &mut Vec<Finding>) {
    for rule in &ingress.rules {
        let named = |s: &&Service| s.name == rule.service && s.namespace == ingress.namespace;
        let Some(service) = platform.services.iter().find(named) else {
            found.push(BACKEND_MISSING.at(
                subject,
                &rule.place,
                format!("{}{} answers 503.", rule.host, rule.path),
                format!("There is no Service `{}` in namespace {}.", rule.service, ingress.namespace),
            ));
            continue;
        };
        if !service.ports.iter().any(|declared| has(declared, &rule.port)) {
            let ports: Vec<_> = service.ports.iter().map(|port| port.port.to_string()).collect();
            found.push(BACKEND_MISSING.at(
                subject,
                &rule.place,
                format!("{}{} answers 503.", rule.host, rule.path),
                format!("Service {} has no such port; it has {}.", service.name, ports.join(", ")),
            ));
        }
        found.extend(rewrite(platform, ingress, rule, subject));
        to_gateway(platform, ingress, rule, subject, found);
    }
}

/// A rule that takes one path only may well rewrite it to one; to the gateway, which routes by path, it never may.
fn rewrite(platform: &Platform, ingress: &Ingress, rule: &IngressRule, subject: &str) -> Option<Finding> {
    let target = ingress.policy.rewrite_target.as_ref().filter(|target| !target.contains('$'))?;
    if rule.path_type == PathType::Exact || rule.path.ends_with('$') || target.is_empty() {
        return None;
    }
    let to_gateway = platform.gateway.as_ref().is_some_and(|gateway| {
        let front = platform.service(gateway.service);
        front.name == rule.service && front.namespace == ingress.namespace
    });
    let mut finding = REWRITE_SWALLOWS.at(
        subject,
        &rule.place,
        format!("Every request to {}{} arrives at {} as {target}.", rule.host, rule.path, rule.service),
        format!("rewrite-target is `{target}` and keeps nothing of the path."),
    );
    if to_gateway {
        finding.severity = Severity::Error;
    }
    Some(finding)
}

fn to_gateway(platform: &Platform, ingress: &Ingress, rule: &IngressRule, subject: &str, found: &mut Vec<Finding>) {
    let Some(gateway) = &platform.gateway else { return };
    if platform.service(gateway.service).name != rule.service {
        return;
    }
    let port = gateway_port(platform, &rule.port);
    // One label stands for any that a wildcard may take.
    let host = rule.host.replace('*', "any");
    if !host.is_empty()
        && let Some(port) = port
        && ::gateway::server_of(&gateway.config, port, &host).is_none()
    {
        let default = ::gateway::resolve(&gateway.config, &::gateway::Request::new(port, &host, "/")).server;
        let names = default.map(|server| gateway.config.servers[usize::from(server)].names.join(" "));
        found.push(HOST_UNANSWERED.at(
            subject,
            &rule.place,
            format!("Requests for {} go to the default server ({}).", rule.host, names.unwrap_or_default()),
            "No server_name of the gateway matches that host.",
        ));
    }
    if let Some(limit) = ingress.policy.body_size {
        let smaller = gateway.config.servers.iter().flat_map(|server| &server.locations).find(|location| {
            location.max_body.get() != 0
                && location.max_body < limit
                && !matches!(location.action, platform::Action::Return { .. })
        });
        if let Some(location) = smaller {
            found.push(BODY_LIMITS_DIFFER.at(
                subject,
                &location.place,
                format!("A body between {} and {limit} passes the Ingress and ends as 413.", location.max_body),
                format!("proxy-body-size is {limit}, client_max_body_size here {}.", location.max_body),
            ));
        }
    }
}

/// Where the gateway's pods listen for what comes to this port of its Service.
fn gateway_port(platform: &Platform, port: &PortRef) -> Option<u16> {
    let gateway = platform.gateway.as_ref()?;
    let declared = platform.service(gateway.service).ports.iter().find(|declared| has(declared, port))?;
    platform.workload(gateway.workload).containers.iter().find_map(|container| container.port(&declared.target))
}

fn has(declared: &platform::ServicePort, port: &PortRef) -> bool {
    match port {
        PortRef::Number(number) => declared.port == *number,
        PortRef::Name(name) => declared.name.as_ref() == Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_annotations_is_sorted_and_has_no_twins() {
        assert!(KNOWN.is_sorted() && KNOWN.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
