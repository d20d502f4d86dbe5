//! The rewrite phase (`ngx_http_rewrite_module`, `ngx_http_script.c`): `if`, `set`, `rewrite`, `return`, `break`.

use platform::{Captures, Condition, RewriteFlag, RewriteStep};

use crate::path::Target;
use crate::request::Scope;
use crate::route::Base;

/// The path of a request while it is rewritten.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of nginx's own request")]
pub(crate) struct Uri {
    /// Decoded.
    pub(crate) path: Vec<u8>,
    pub(crate) args: Vec<u8>,
    /// The client had escaped something.
    pub(crate) quoted: bool,
    /// Still what the client sent.
    pub(crate) unparsed: bool,
    /// Rewritten, so that `internal` locations take it.
    pub(crate) internal: bool,
    /// By `break`: the location's own path is no part of it any more.
    pub(crate) broke: bool,
    /// A location is to be looked for again.
    pub(crate) changed: bool,
}

impl Uri {
    pub(crate) fn new(target: Target<'_>) -> Self {
        let Target { path, quoted, query } = target;
        Self { path, args: query.as_bytes().to_vec(), quoted, unparsed: true, ..Self::default() }
    }
}

/// Why the steps ended before their end.
pub(crate) enum Ended {
    /// With an answer.
    Answer(u16, String),
    /// By `break` or `last`.
    Stop,
}

pub(crate) fn run(
    steps: &[RewriteStep],
    base: &Base<'_>,
    uri: &mut Uri,
    captures: &mut Captures,
    named: &mut Vec<(String, Vec<u8>)>,
) -> Option<Ended> {
    for step in steps {
        let Uri { path, args, .. } = &*uri;
        let Base { config, request, server, client } = *base;
        let scope = Scope { config, request, server, client, uri: path, args, captures, named };
        match step {
            RewriteStep::Set { variable, value } => {
                let value = scope.value(value);
                named.retain(|(name, _)| name != variable);
                named.push((variable.clone(), value));
            }
            RewriteStep::Return { status, text } => {
                return Some(Ended::Answer(*status, String::from_utf8_lossy(&scope.value(text)).into_owned()));
            }
            RewriteStep::Break => return Some(Ended::Stop),
            RewriteStep::If { condition, then } => {
                let (holds, groups) = holds(condition, &scope);
                if let Some(groups) = groups {
                    *captures = groups;
                }
                if holds && let Some(ended) = run(then, base, uri, captures, named) {
                    return Some(ended);
                }
            }
            RewriteStep::Rewrite { pattern, replacement, then } => {
                let Some(groups) = pattern.captures(path) else { continue };
                let scope = Scope { captures: &groups, ..scope };
                let new = scope.value(replacement);
                let (path, args) = with_args(&new, args);
                *captures = groups;
                if let RewriteFlag::Redirect | RewriteFlag::Permanent = then {
                    let mark = if args.is_empty() { "" } else { "?" };
                    let (path, args) = (String::from_utf8_lossy(&path), String::from_utf8_lossy(&args));
                    let status = if *then == RewriteFlag::Permanent { 301 } else { 302 };
                    return Some(Ended::Answer(status, format!("{path}{mark}{args}")));
                }
                (uri.path, uri.args, uri.unparsed, uri.internal) = (path, args, false, true);
                match then {
                    RewriteFlag::Break => {
                        (uri.broke, uri.changed) = (true, false);
                        return Some(Ended::Stop);
                    }
                    RewriteFlag::Last => {
                        uri.changed = true;
                        return Some(Ended::Stop);
                    }
                    _ => uri.changed = true,
                }
            }
        }
    }
    None
}

/// A replacement's path and query: the client's query is kept behind, unless the replacement ends with `?`.
fn with_args(replacement: &[u8], before: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let Some(at) = replacement.iter().position(|byte| *byte == b'?') else {
        return (replacement.to_vec(), before.to_vec());
    };
    let (path, own) = (replacement[..at].to_vec(), &replacement[at + 1..]);
    let args = match (own.strip_suffix(b"?"), before.is_empty()) {
        (Some(own), _) => own.to_vec(),
        (None, _) if own.is_empty() => Vec::new(),
        (None, true) => own.to_vec(),
        (None, false) => [own, b"&", before].concat(),
    };
    (path, args)
}

fn holds(condition: &Condition, scope: &Scope<'_>) -> (bool, Option<Captures>) {
    match condition {
        Condition::True(subject) => {
            let value = scope.value(subject);
            (!value.is_empty() && value != b"0", None)
        }
        Condition::Equals { left, right, not } => ((scope.value(left) == scope.value(right)) != *not, None),
        Condition::Matches { subject, pattern, not } => {
            let groups = pattern.captures(&scope.value(subject));
            (groups.is_some() != *not, groups)
        }
        Condition::File { not } => (*not, None),
    }
}

/// A text with variables that was kept as text: those of the request line that `proxy_pass` is written with.
pub(crate) fn simple(text: &str, scope: &Scope<'_>) -> Vec<u8> {
    let known: [(&str, &[u8]); 5] = [
        ("$request_uri", scope.request.target.as_bytes()),
        ("$is_args", if scope.args.is_empty() { b"" } else { b"?" }),
        ("$args", scope.args),
        ("$query_string", scope.args),
        ("$uri", scope.uri),
    ];
    let mut value = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        value.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        if let Some((name, meaning)) = known.iter().find(|(name, _)| rest.starts_with(name)) {
            value.extend_from_slice(meaning);
            rest = &rest[name.len()..];
        } else if let Some(group) = rest[1..].chars().next().and_then(|c| c.to_digit(10)) {
            let group = scope.captures.groups.get(group as usize).cloned().flatten();
            value.extend(group.unwrap_or_default());
            rest = &rest[2..];
        } else {
            let end =
                rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(rest.len(), |end| end + 1);
            value.extend(scope.captures.names.get(&rest[1..end]).cloned().unwrap_or_default());
            rest = &rest[end..];
        }
    }
    value.extend_from_slice(rest.as_bytes());
    value
}
