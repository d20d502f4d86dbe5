//! Label selectors as `kubectl -l` takes them (`k8s.io/apimachinery/pkg/labels`, `Parse`).

use platform::{Labels, Operator, Requirement, Selector};

/// Reads `a=b,c!=d,e in (x,y),f notin (z),g,!h`.
pub(super) fn parse(text: &str) -> Result<Selector, String> {
    let mut selector = Selector::default();
    for part in split(text) {
        let part = part.trim();
        let expression = |key: &str, operator| Requirement { key: key.trim().to_owned(), operator };
        let requirement = if let Some((key, values)) = part.split_once(" notin ") {
            expression(key, Operator::NotIn(list(values)?))
        } else if let Some((key, values)) = part.split_once(" in ") {
            expression(key, Operator::In(list(values)?))
        } else if let Some((key, value)) = part.split_once("!=") {
            expression(key, Operator::NotIn(vec![value.trim().to_owned()]))
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            expression(key, Operator::In(vec![value.trim().to_owned()]))
        } else if let Some(key) = part.strip_prefix('!') {
            expression(key, Operator::DoesNotExist)
        } else {
            expression(part, Operator::Exists)
        };
        let key = &requirement.key;
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) {
            return Err(format!("couldn't parse the selector string \"{text}\": `{part}` is no requirement"));
        }
        selector.expressions.push(requirement);
    }
    Ok(selector)
}

/// At commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0_i32, 0);
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[begin..index]);
                begin = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

fn list(text: &str) -> Result<Vec<String>, String> {
    let inner = text.trim().strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let inner =
        inner.ok_or_else(|| format!("couldn't parse the selector string: `{text}` is no list in parentheses"))?;
    Ok(inner.split(',').map(|value| value.trim().to_owned()).collect())
}

/// What pods of a series bear unless it says otherwise.
pub(super) fn of_target() -> Labels {
    Labels::from([("app".to_owned(), "target".to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kubectl_takes() {
        let labels = Labels::from([("app".into(), "web".into()), ("tier".into(), "front".into())]);
        for (text, want) in [
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app!=web", false),
            ("app in (api, web),tier", true),
            ("app notin (web)", false),
            ("!zone", true),
            ("zone", false),
        ] {
            assert_eq!(parse(text).unwrap().selects(&labels), want, "{text}");
        }
        for text in ["=web", "app in web", "a b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
