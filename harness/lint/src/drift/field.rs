//! Paths into documents: `spec.metrics[resource.name=cpu].resource.target`, `args[--flag]`, `a / b`.

use serde_json::Value;

use super::amount::{Dialect, amount};

/// The value at a field, and the path of it with plain indices, for its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) value: Value,
    pub(super) path: String,
}

/// Looks a field up. A division gives the quotient of two amounts.
pub(super) fn look(document: &Value, field: &str) -> Option<Found> {
    if let Some((above, below)) = field.split_once(" / ") {
        let (above, below) = (look(document, above)?, look(document, below)?);
        let amount = |found: &Found| amount(&found.value, Dialect::Kubernetes);
        let quotient = amount(&above)? / amount(&below)?;
        return Some(Found { value: Value::from((quotient * 1e4).round() / 1e4), path: above.path });
    }
    let mut found = Found { value: document.clone(), path: String::new() };
    for step in steps(field) {
        found = match step {
            Step::Key(key) => {
                let value = match (&found.value, key) {
                    (Value::Object(map), "keys") if !map.contains_key("keys") => {
                        Value::from(map.keys().cloned().collect::<Vec<_>>())
                    }
                    (value, key) => value.get(key)?.clone(),
                };
                let dot = if found.path.is_empty() { "" } else { "." };
                let path = if key.contains('.') {
                    format!("{}[\"{key}\"]", found.path)
                } else {
                    format!("{}{dot}{key}", found.path)
                };
                Found { value, path }
            }
            Step::Bracket(inside) => bracket(&found, inside)?,
        };
    }
    (!found.value.is_null()).then_some(found)
}

enum Step<'a> {
    Key(&'a str),
    Bracket(&'a str),
}

/// `a.b[c.d=e].f`: dots within brackets do not separate.
fn steps(field: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (inside, after) = inside.split_once(']').unwrap_or((inside, ""));
            steps.push(Step::Bracket(inside));
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end > 0 {
                steps.push(Step::Key(&rest[..end]));
            }
            rest = &rest[end..];
        }
    }
    steps
}

fn bracket(found: &Found, inside: &str) -> Option<Found> {
    match &found.value {
        Value::Object(map) => {
            let value = map.get(inside)?.clone();
            Some(Found { value, path: format!("{}[\"{inside}\"]", found.path) })
        }
        Value::Array(all) => {
            if let Ok(index) = inside.parse::<usize>() {
                return Some(Found { value: all.get(index)?.clone(), path: format!("{}[{index}]", found.path) });
            }
            if inside.starts_with('-') {
                return argument(all, inside).map(|(index, value)| Found {
                    value: Value::from(value),
                    path: format!("{}[{index}]", found.path),
                });
            }
            let (path, want) = inside.split_once('=')?;
            let index = all.iter().position(|element| {
                look(element, path).is_some_and(|found| super::amount::told(&found.value) == want)
            })?;
            Some(Found { value: all[index].clone(), path: format!("{}[{index}]", found.path) })
        }
        _ => None,
    }
}

/// `--flag=value`, or `--flag` with its value behind it.
fn argument(all: &[Value], flag: &str) -> Option<(usize, String)> {
    let words: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
    words.iter().enumerate().find_map(|(index, word)| {
        if *word == flag {
            return words.get(index + 1).map(|value| (index + 1, (*value).to_owned()));
        }
        word.strip_prefix(flag)?.strip_prefix('=').map(|value| (index, value.to_owned()))
    })
}

/// What follows `words` in a text, to the end of its line; several lines make a list.
pub(super) fn in_text(text: &str, words: &str) -> Option<Value> {
    let wanted: Vec<&str> = words.split_whitespace().collect();
    let found: Vec<Value> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(line))
        .flat_map(|line| line.split(';'))
        .filter_map(|line| {
            let have: Vec<&str> = line.split_whitespace().collect();
            let at = (0..have.len()).find(|at| {
                have[*at..].len() > wanted.len()
                    && have[*at..]
                        .iter()
                        .zip(&wanted)
                        .all(|(have, want)| have.trim_end_matches([':', '=']).eq_ignore_ascii_case(want))
            })?;
            let value: Vec<&str> =
                have[at + wanted.len()..].iter().copied().filter(|word| *word != "=" && *word != "\\").collect();
            value.first().map(|value| Value::from(value.trim_matches(['\'', '"', ','])))
        })
        .collect();
    match found.len() {
        0 => None,
        1 => found.into_iter().next(),
        _ => Some(Value::Array(found)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_found_by_key_element_and_argument() {
        let document = json!({
            "spec": {"ports": [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}]},
            "metadata": {"annotations": {"a.b/c": "x"}},
            "args": ["--a=1", "--b", "2"],
            "metrics": [{"resource": {"name": "memory", "at": 80}}, {"resource": {"name": "cpu", "at": 70}}],
            "limits": {"cpu": "1"}, "requests": {"cpu": "500m"},
        });
        for (field, value, path) in [
            ("spec.ports[name=metrics].port", json!(9090), "spec.ports[1].port"),
            ("spec.ports[0].port", json!(80), "spec.ports[0].port"),
            ("metadata.annotations[a.b/c]", json!("x"), "metadata.annotations[\"a.b/c\"]"),
            ("args[--a]", json!("1"), "args[0]"),
            ("args[--b]", json!("2"), "args[2]"),
            ("metrics[resource.name=cpu].resource.at", json!(70), "metrics[1].resource.at"),
            ("limits.cpu / requests.cpu", json!(2.0), "limits.cpu"),
            ("requests.keys", json!(["cpu"]), "requests.keys"),
        ] {
            assert_eq!(look(&document, field), Some(Found { value, path: path.into() }), "{field}");
        }
        assert_eq!(look(&document, "spec.absent"), None);
    }

    #[test]
    fn texts_give_what_follows_the_words() {
        for (text, words, want) in [
            ("max_connections = 200  # all", "max_connections", json!("200")),
            ("appendonly yes\n", "appendonly", json!("yes")),
            ("scrape_interval: 15s", "scrape_interval", json!("15s")),
            ("CREATE DATABASE db_a;\nCREATE DATABASE db_b;", "CREATE DATABASE", json!(["db_a", "db_b"])),
            ("sentinel monitor m redis 6379 2", "sentinel monitor m redis 6379", json!("2")),
        ] {
            assert_eq!(in_text(text, words), Some(want), "{text}");
        }
        assert_eq!(in_text("# max_connections = 100", "max_connections"), None);
    }
}
