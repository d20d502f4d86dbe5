//! YAML in which every value knows its line.
//!
//! Owns the raw document: typed views are made from it and errors are looked up in it. Nested values are read through
//! serde-saphyr's `Spanned`, so its budgets (depth, size, aliases) hold for us too.

use std::fmt;

use platform::Place;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::NonFiniteFloatPolicy;

use crate::ManifestError;

/// Levels of nesting that a document may have. Kubernetes' own objects stay below 20.
const DEPTH_MAX: usize = 48;
/// Events that aliases may repeat in all. Honest manifests repeat a few labels; a bomb wants millions.
const REPLAYED_MAX: usize = 20_000;
/// Bytes of all scalars together; a ConfigMap holds at most 1 MiB.
const SCALAR_BYTES_MAX: usize = 32 << 20;

/// A value and the line it starts at, counted from 1.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(serde_json::Value),
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

/// One step from a value to a part of it.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// All documents of a stream; empty ones are left out.
pub(crate) fn documents(text: &str, file: &str) -> Result<Vec<Node>, ManifestError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_total_scalar_bytes: SCALAR_BYTES_MAX },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPLAYED_MAX },
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // As kubectl reads it: 0644 is octal.
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    let documents = serde_saphyr::from_multiple_with_options::<Node>(text, options).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line() as u32);
        let problem = error.without_snippet().to_string();
        ManifestError::Yaml { place: Place { file: file.to_owned(), line }, problem: one_line(&problem) }
    })?;
    Ok(documents.into_iter().filter(|node| !matches!(node.value, Value::Scalar(serde_json::Value::Null))).collect())
}

/// The parser's words without line breaks; our own place already names the line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Node {
    /// The value under a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            Value::Scalar(_) | Value::Sequence(_) => None,
        }
    }

    /// The value at the end of a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// A text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => scalar.as_str(),
            Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// The elements of a sequence; none for anything else.
    pub(crate) fn elements(&self) -> &[Self] {
        match &self.value {
            Value::Sequence(elements) => elements,
            Value::Scalar(_) | Value::Mapping(_) => &[],
        }
    }

    /// The line of the deepest value on the way that exists.
    pub(crate) fn line_of<'a>(&self, path: impl IntoIterator<Item = Step<'a>>) -> u32 {
        let mut node = self;
        for step in path {
            let next = match step {
                Step::Key(key) => node.get(key),
                Step::Index(index) => node.elements().get(index),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.line
    }

    /// The same value without its lines.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar(scalar) => scalar.clone(),
            Value::Sequence(elements) => elements.iter().map(Self::to_json).collect(),
            Value::Mapping(entries) => entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(from)?;
        Ok(Self { line: spanned.referenced.line() as u32, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Scalar(serde_json::Value::Null))
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Scalar(serde_json::Value::Null))
    }
    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        Value::deserialize(from)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = from.next_element()? {
            elements.push(element);
        }
        Ok(Value::Sequence(elements))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = from.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let text = "a:\n  b: 1\n  c:\n    - x\n    - d: |\n        one\n        two\n---\ne: {f: [g, h]}\n";
        let documents = documents(text, "t.yaml").unwrap();
        let path = |steps: &[&'static str]| {
            let steps: Vec<_> = steps.iter().map(|s| s.parse().map_or(Step::Key(s), Step::Index)).collect();
            documents[0].line_of(steps)
        };
        assert_eq!(path(&["a", "b"]), 2);
        assert_eq!(path(&["a", "c", "1", "d"]), 6, "a block of text begins at its first line");
        assert_eq!(path(&["a", "c", "9"]), 4, "the deepest that exists");
        assert_eq!(documents[1].line, 9);
        assert_eq!(documents[1].to_json(), serde_json::json!({"e": {"f": ["g", "h"]}}));
    }

    #[test]
    fn empty_documents_are_left_out() {
        for (case, text, count) in [
            ("no text", "", 0),
            ("only a comment", "# nothing\n", 0),
            ("separators only", "---\n---\n", 0),
            ("two and a separator at the end", "a: 1\n---\nb: 2\n---\n", 2),
        ] {
            assert_eq!(documents(text, "t.yaml").unwrap().len(), count, "{case}");
        }
    }

    #[test]
    fn bombs_are_refused_before_they_go_off() {
        let bomb = ('b'..='i').zip('a'..='h').fold("a: &a [x,x,x,x,x,x,x,x]\n".to_owned(), |text, (this, last)| {
            let eight = vec![format!("*{last}"); 8].join(",");
            text + &format!("{this}: &{this} [{eight}]\n")
        });
        let flow = format!("a: {}{}", "[".repeat(5_000), "]".repeat(5_000));
        let blocks = (0..300).map(|level| " ".repeat(level) + "k:\n").collect::<String>();
        for (case, text) in [("aliases", bomb), ("flow depth", flow), ("block depth", blocks)] {
            assert!(matches!(documents(&text, "t.yaml"), Err(ManifestError::Yaml { .. })), "{case}");
        }
        let honest = documents("a: &a {app: x}\nb: *a\nc: {<<: *a, d: 1}\n", "t.yaml").unwrap();
        let want = serde_json::json!({"a": {"app": "x"}, "b": {"app": "x"}, "c": {"app": "x", "d": 1}});
        assert_eq!(honest[0].to_json(), want);
    }
}
