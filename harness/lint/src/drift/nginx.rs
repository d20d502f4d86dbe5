//! Facts about nginx.conf, looked up in the directives as they are written.

use manifests::nginx::Directive as Written;
use serde_json::Value;

use super::facts::Subject;

/// One directive with the blocks it stands in, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    blocks: Vec<String>,
    words: Vec<String>,
    pub(super) line: u32,
}

/// Every directive of a configuration but the headers of blocks. One that nginx would refuse to read has none.
pub(super) fn directives(text: &str) -> Vec<Directive> {
    fn walk(all: &[Written], blocks: &mut Vec<String>, out: &mut Vec<Directive>) {
        for directive in all {
            let words: Vec<String> = std::iter::once(&directive.name).chain(&directive.args).cloned().collect();
            match &directive.block {
                None => out.push(Directive { blocks: blocks.clone(), words, line: directive.line }),
                Some(inside) => {
                    blocks.push(words.join(" "));
                    walk(inside, blocks, out);
                    blocks.pop();
                }
            }
        }
    }
    let mut out = Vec::new();
    walk(&manifests::nginx::directives(text, "nginx.conf").unwrap_or_default(), &mut Vec::new(), &mut out);
    out
}

/// What the configuration says of a subject's field, and on which line. `None`: nothing.
pub(super) fn look(all: &[Directive], subject: &Subject, field: &str) -> Option<(Value, u32)> {
    let (name, parameter) = field.split_once('.').unwrap_or((field, ""));
    if let Some(zone) = &subject.zone {
        let named = format!("zone={zone}:");
        let found = all.iter().find(|d| d.words[0] == name && d.words.iter().any(|word| word.starts_with(&named)))?;
        let value = match parameter {
            "key" => found.words.get(1)?.clone(),
            "size" => found.words.iter().find_map(|word| word.strip_prefix(&named))?.to_owned(),
            other => argument(found, other)?,
        };
        return Some((Value::from(value), found.line));
    }
    if let Some(upstream) = &subject.upstream {
        let block = format!("upstream {upstream}");
        let within: Vec<_> = all.iter().filter(|d| d.blocks.last() == Some(&block)).collect();
        let line = within.first()?.line;
        return match field {
            "balance" => {
                let method = within.iter().find(|d| !["server", "keepalive", "zone"].contains(&d.words[0].as_str()));
                Some((Value::from(method.map_or("round_robin", |d| d.words[0].as_str())), line))
            }
            "servers" => {
                let servers = within.iter().filter(|d| d.words[0] == "server").map(|d| d.words[1..].join(" "));
                Some((Value::from(servers.collect::<Vec<_>>()), line))
            }
            _ => None,
        };
    }
    let found = match (&subject.location, &subject.block) {
        // Its own block first, then those around it: what nginx inherits.
        (Some(location), _) => {
            let block = format!("location {location}");
            let own = all.iter().find(|d| d.blocks.last() == Some(&block))?;
            (1..=own.blocks.len())
                .rev()
                .find_map(|depth| all.iter().find(|d| d.blocks == own.blocks[..depth] && d.words[0] == name))?
        }
        (None, Some(block)) => {
            all.iter().find(|d| d.blocks.last().map(String::as_str) == Some(block.as_str()) && d.words[0] == name)?
        }
        (None, None) => return None,
    };
    let value = match parameter {
        "" | "status" => found.words.get(1)?.clone(),
        flag if found.words.iter().any(|word| word == flag) => return Some((Value::Bool(true), found.line)),
        other => argument(found, other)?,
    };
    Some((Value::from(value), found.line))
}

fn argument(directive: &Directive, name: &str) -> Option<String> {
    directive.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CONF: &str = r#"
events { worker_connections 1024; }
http {
    limit_req_zone $binary_remote_addr zone=api:10m rate=10r/s; # by client
    proxy_read_timeout 60s;
    upstream web { least_conn; server web:80 max_fails=3; }
    server {
        location /ai/ { limit_req zone=api burst=5 nodelay; proxy_read_timeout 300s; }
        location = / { return 200 "ok # not a comment"; }
        location /web/ { proxy_pass http://web; }
    }
}
"#;

    #[test]
    fn directives_are_found_where_nginx_would_find_them() {
        let all = directives(CONF);
        let subject = |part: &str, name: &str| {
            let mut subject = Subject { kind: "nginx".into(), ..Subject::default() };
            *match part {
                "zone" => &mut subject.zone,
                "location" => &mut subject.location,
                "upstream" => &mut subject.upstream,
                _ => &mut subject.block,
            } = Some(name.into());
            subject
        };
        for (part, name, field, want) in [
            ("block", "events", "worker_connections", Some(json!("1024"))),
            ("block", "http", "limit_req_status", None),
            ("zone", "api", "limit_req_zone.rate", Some(json!("10r/s"))),
            ("zone", "api", "limit_req_zone.size", Some(json!("10m"))),
            ("zone", "api", "limit_req_zone.key", Some(json!("$binary_remote_addr"))),
            ("location", "/ai/", "limit_req.burst", Some(json!("5"))),
            ("location", "/ai/", "limit_req.nodelay", Some(json!(true))),
            ("location", "/ai/", "proxy_read_timeout", Some(json!("300s"))),
            ("location", "/web/", "proxy_read_timeout", Some(json!("60s"))),
            ("location", "= /", "return.status", Some(json!("200"))),
            ("upstream", "web", "balance", Some(json!("least_conn"))),
            ("upstream", "web", "servers", Some(json!(["web:80 max_fails=3"]))),
        ] {
            let got = look(&all, &subject(part, name), field).map(|(value, _)| value);
            assert_eq!(got, want, "{part} {name} {field}");
        }
    }
}
