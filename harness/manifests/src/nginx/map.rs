//! `map` and `geo`: variables for keys, made from other variables.

use std::collections::BTreeMap;

use platform::{Map, Template};

use super::template::network;
use super::tree::Directive;
use super::{NginxError, Reader};

/// The name that a `map` or `geo` defines, without its `$`.
pub(super) fn name(directive: &Directive) -> Option<&str> {
    directive.args.last()?.strip_prefix('$').filter(|name| !name.is_empty())
}

/// `map SOURCE $NAME { … }` or `geo [$ADDRESS] $NAME { … }`.
pub(super) fn map(reader: &mut Reader<'_>, directive: &Directive, block: &[Directive]) -> Result<Map, NginxError> {
    let geo = directive.name == "geo";
    let (source, variable) = match (geo, directive.args.as_slice()) {
        (true, [_]) => ("$remote_addr", name(directive)),
        (_, [source, _]) => (source.as_str(), name(directive)),
        _ => ("", None),
    };
    let Some(variable) = variable else {
        let fix = if geo { "write geo $name { … }" } else { "write map $source $name { … }" };
        return Err(reader.refused(directive, "names no variable", fix));
    };
    let mut map = Map {
        variable: variable.to_owned(),
        source: reader.template(directive, source)?,
        default: Template::default(),
        exact: BTreeMap::new(),
        wildcards: Vec::new(),
        patterns: Vec::new(),
        networks: Vec::new(),
    };
    let hostnames = !geo && block.iter().any(|line| line.name == "hostnames" && line.args.is_empty());
    for line in block {
        let value = match line.args.as_slice() {
            [value] => value.as_str(),
            // `hostnames;`, `volatile;`, `ranges;` and the like.
            [] if matches!(line.name.as_str(), "hostnames" | "volatile") => continue,
            [] => {
                reader.leave(line);
                continue;
            }
            _ => return Err(reader.refused(line, "takes a value and what it becomes", "write VALUE RESULT;")),
        };
        match line.name.as_str() {
            "default" => map.default = reader.template(line, value)?,
            "include" | "proxy" | "delete" => reader.leave(line),
            text if geo => match network(text) {
                Some(network) => {
                    let value = reader.template(line, value)?;
                    map.networks.push((network, value));
                }
                None => reader.leave(line),
            },
            text => {
                if let Some(expression) = text.strip_prefix('~') {
                    let (expression, ignore_case) =
                        expression.strip_prefix('*').map_or((expression, false), |rest| (rest, true));
                    let pattern = reader.pattern(line, expression, ignore_case)?;
                    let value = reader.template(line, value)?;
                    map.patterns.push((pattern, value));
                    continue;
                }
                // A backslash keeps a value that looks like a word of the language.
                let plain = text.strip_prefix('\\').unwrap_or(text).to_ascii_lowercase();
                let value = reader.template(line, value)?;
                if hostnames && (plain.starts_with("*.") || plain.starts_with('.') || plain.ends_with(".*")) {
                    map.wildcards.push((plain, value));
                } else if map.exact.insert(plain, value).is_some() {
                    return Err(reader.refused(line, &format!("`{text}` stands there twice"), "keep one"));
                }
            }
        }
    }
    // The narrowest comes first, and of equals the last that was written.
    map.networks.reverse();
    map.networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.bits));
    Ok(map)
}
