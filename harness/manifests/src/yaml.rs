//! YAML in which every value knows its line.
//!
//! Owns the raw document: typed views are made from it and errors are looked up in it. A stream is cut at its document
//! markers first, so that one broken document does not hide the others. Nested values are read through serde-saphyr's
//! `Spanned`, and its budgets (depth, size, aliases) hold for us too.

use std::fmt;

use platform::Place;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{Options, Spanned};

use crate::ManifestError;

/// Levels of nesting that a document may have. Kubernetes' own objects stay below 20; schemas in
/// CustomResourceDefinitions reach 40.
const DEPTH_MAX: usize = 60;
/// Events that aliases may repeat, per document and per file. Honest manifests repeat a few labels; a bomb wants
/// millions.
const REPLAYED_MAX: usize = 20_000;
/// Documents of one file.
const DOCUMENTS_MAX: usize = 100_000;

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
    Mapping(Vec<(Box<str>, Node)>),
}

/// One step from a value to a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// A stream as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Its documents; empty ones are left out.
    pub(crate) documents: Vec<Node>,
    /// One for each document that could not be read.
    pub(crate) errors: Vec<ManifestError>,
}

/// All documents of a text.
pub(crate) fn stream(text: &str, file: &str) -> Stream {
    let mut stream = Stream::default();
    let mut allowance = Allowance { left: text.len() + REPLAYED_MAX };
    for chunk in chunks(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        if stream.documents.len() == DOCUMENTS_MAX {
            let problem = format!("this is document {}, and a file may have {DOCUMENTS_MAX}", DOCUMENTS_MAX + 1);
            stream.errors.push(yaml_error(file, chunk.line, &problem));
            return stream;
        }
        match document(&chunk, file) {
            Ok(Some(node)) => {
                if !allowance.covers(&node) {
                    let problem = "aliases repeat far more than was written (a YAML bomb)";
                    stream.errors.push(yaml_error(file, chunk.line, problem));
                    return stream;
                }
                stream.documents.push(node);
            }
            Ok(None) => {}
            Err(error) => stream.errors.push(error),
        }
    }
    stream
}

/// A document of a stream and the number of the line it begins at.
struct Chunk<'a> {
    text: &'a str,
    line: u32,
}

/// Cuts a stream where a line begins with `---` or `...`: within a document no line may, not even in a block of text
/// (YAML 1.2, rule `c-forbidden`). What holds directives and comments only is no document.
fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let marker = ["---", "..."].iter().any(|marker| {
            line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        });
        if marker && at > start {
            chunks.push(Chunk { text: &text[start..at], line: start_line });
            (start, start_line) = (at, index as u32 + 1);
        }
        at += line.len();
        if marker && line.starts_with("...") {
            (start, start_line) = (at, index as u32 + 2);
        }
    }
    chunks.push(Chunk { text: &text[start..], line: start_line });
    let says_something = |chunk: &Chunk<'_>| {
        chunk.text.lines().any(|line| {
            let line = line.trim();
            !(line.is_empty() || line.starts_with(['#', '%']) || line == "---")
        })
    };
    chunks.retain(says_something);
    chunks
}

fn document(chunk: &Chunk<'_>, file: &str) -> Result<Option<Node>, ManifestError> {
    let options = options(chunk.text.len());
    let read = |text: &str| serde_saphyr::from_str_with_options::<Node>(text, options.clone());
    let parsed = read(chunk.text).or_else(|error| match untabbed(chunk.text) {
        Some(json) => read(&json).map_err(|_| error),
        None => Err(error),
    });
    let mut node = parsed.map_err(|error| {
        let line = error.location().map_or(0, |location| location.line() as u32);
        let problem = one_line(&error.without_snippet().to_string());
        // An option of the parser is nobody's here.
        let problem = problem.replace(", set DuplicateKeyPolicy in Options if acceptable", "");
        // The parser's own hint at a line counts from the document's start.
        yaml_error(file, if line == 0 { chunk.line } else { chunk.line + line - 1 }, &problem)
    })?;
    if matches!(node.value, Value::Scalar(serde_json::Value::Null)) {
        return Ok(None);
    }
    if chunk.line > 1 {
        node.shift(chunk.line - 1);
    }
    Ok(Some(node))
}

/// Budgets grow with the text: what an honest text of this length can need, and no more.
fn options(bytes: usize) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_events: 2 * bytes + 2 * REPLAYED_MAX,
            max_nodes: bytes + REPLAYED_MAX,
            max_total_scalar_bytes: bytes + (1 << 20),
            max_recorded_anchor_bytes: bytes + (1 << 20),
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPLAYED_MAX },
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // As kubectl reads it: 0644 is octal.
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

/// JSON may be indented with tabs, where YAML forbids them. A JSON text has no raw line break, so a tab that begins a
/// line is never part of one.
fn untabbed(text: &str) -> Option<String> {
    let json = text.trim_start().starts_with(['{', '[']) && text.contains('\t');
    json.then(|| {
        let line = |line: &str| {
            let rest = line.trim_start_matches(['\t', ' ']);
            " ".repeat(line.len() - rest.len()) + rest
        };
        text.split_inclusive('\n').map(line).collect()
    })
}

fn yaml_error(file: &str, line: u32, problem: &str) -> ManifestError {
    ManifestError::Yaml { place: Place { file: file.to_owned(), line }, problem: problem.to_owned() }
}

/// The parser's words without line breaks; our own place already names the line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many nodes a file may still yield. Without aliases there are never more nodes than bytes.
struct Allowance {
    left: usize,
}

impl Allowance {
    fn covers(&mut self, node: &Node) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        match &node.value {
            Value::Scalar(_) => true,
            Value::Sequence(elements) => elements.iter().all(|element| self.covers(element)),
            Value::Mapping(entries) => entries.iter().all(|(_, node)| self.covers(node)),
        }
    }
}

/// The steps of a path as messages write it: `spec.ports[0].port`, and `metadata.annotations["a.b/c"]` for a key with
/// dots. A part that is no index and has no closing bracket is taken as a key.
pub(crate) fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some((key, after)) = rest.strip_prefix("[\"").and_then(|quoted| quoted.split_once("\"]")) {
            steps.push(Step::Key(key));
            rest = after;
        } else if let Some((index, after)) = rest
            .strip_prefix('[')
            .and_then(|inner| inner.split_once(']'))
            .and_then(|(index, after)| Some((index.parse().ok()?, after)))
        {
            steps.push(Step::Index(index));
            rest = after;
        } else {
            let end =
                rest.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '[')).map_or(rest.len(), |(at, _)| at);
            steps.push(Step::Key(&rest[..end]));
            rest = &rest[end..];
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    steps
}

impl Node {
    /// The value under a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| **name == *key).map(|(_, node)| node)
    }

    /// The value at the end of a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The value one step further.
    pub(crate) fn step(&self, step: Step<'_>) -> Option<&Self> {
        match step {
            Step::Key(key) => self.get(key),
            Step::Index(index) => self.elements().get(index),
        }
    }

    /// A text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => scalar.as_str(),
            Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// The text under a key.
    pub(crate) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).and_then(Self::text)
    }

    /// The elements of a sequence; none for anything else.
    pub(crate) fn elements(&self) -> &[Self] {
        match &self.value {
            Value::Sequence(elements) => elements,
            Value::Scalar(_) | Value::Mapping(_) => &[],
        }
    }

    /// The entries of a mapping; none for anything else.
    pub(crate) fn entries(&self) -> &[(Box<str>, Self)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            Value::Scalar(_) | Value::Sequence(_) => &[],
        }
    }

    /// The line of the deepest value on the way that exists.
    pub(crate) fn line_of<'a>(&self, path: impl IntoIterator<Item = Step<'a>>) -> u32 {
        let mut node = self;
        for step in path {
            match node.step(step) {
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
            Value::Mapping(entries) => entries.iter().map(|(key, node)| (key.to_string(), node.to_json())).collect(),
        }
    }

    fn shift(&mut self, lines: u32) {
        self.line += lines;
        match &mut self.value {
            Value::Scalar(_) => {}
            Value::Sequence(elements) => elements.iter_mut().for_each(|element| element.shift(lines)),
            Value::Mapping(entries) => entries.iter_mut().for_each(|(_, node)| node.shift(lines)),
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
    /// Beyond 64 bits a number is read as JSON reads it: rounded.
    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Scalar((value as f64).into()))
    }
    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Scalar((value as f64).into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
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

    fn documents(text: &str) -> Vec<Node> {
        let stream = stream(text, "t.yaml");
        assert!(stream.errors.is_empty(), "{:?}", stream.errors);
        stream.documents
    }

    #[test]
    fn every_value_knows_its_line() {
        let text = "a:\n  b: 1\n  c:\n    - x\n    - d: |\n        one\n        two\n---\ne: {f: [g, h]}\n";
        let documents = documents(text);
        let line = |path: &str| documents[0].line_of(steps(path));
        assert_eq!(line("a.b"), 2);
        assert_eq!(line("a.c[1].d"), 6, "a block of text begins at its first line");
        assert_eq!(line("a.c[9]"), 4, "the deepest that exists");
        assert_eq!(documents[1].line, 9);
        assert_eq!(documents[1].to_json(), serde_json::json!({"e": {"f": ["g", "h"]}}));
    }

    #[test]
    fn paths_are_read_as_messages_write_them() {
        use Step::{Index, Key};
        for (path, want) in [
            ("spec.ports[0].port", &[Key("spec"), Key("ports"), Index(0), Key("port")][..]),
            ("metadata.annotations[\"a.b/c\"]", &[Key("metadata"), Key("annotations"), Key("a.b/c")]),
            ("a[1][2]", &[Key("a"), Index(1), Index(2)]),
            ("", &[]),
            ("a[", &[Key("a"), Key("[")]),
        ] {
            assert_eq!(steps(path), want, "{path}");
        }
    }

    #[test]
    fn streams_are_cut_where_yaml_says() {
        for (case, text, lines) in [
            ("no text", "", &[][..]),
            ("only a comment", "# nothing\n", &[]),
            ("separators only", "---\n---\n", &[]),
            ("a separator at the end", "a: 1\n---\nb: 2\n---\n", &[1, 3]),
            ("a comment at the separator", "a: 1\n--- # next\nb: 2\n", &[1, 3]),
            ("content at the separator", "--- {a: 1}\n--- {b: 2}\n", &[1, 2]),
            ("a directive", "%YAML 1.2\n---\na: 1\n", &[3]),
            ("an end marker", "a: 1\n...\n---\nb: 2\n", &[1, 4]),
            ("three dashes inside a text", "a: |\n  ---\n  b\nc: ---d\n", &[1]),
            ("carriage returns", "a: 1\r\n---\r\nb: 2\r\n", &[1, 3]),
            ("a byte order mark", "\u{feff}a: 1\n---\nb: 2\n", &[1, 3]),
        ] {
            assert_eq!(documents(text).iter().map(|node| node.line).collect::<Vec<_>>(), lines, "{case}");
        }
    }

    #[test]
    fn what_people_write_is_read() {
        for (case, text, want) in [
            ("an alias", "a: &a {x: t}\nb: *a\n", serde_json::json!({"a": {"x": "t"}, "b": {"x": "t"}})),
            (
                "a merge key",
                "a: &a {x: t}\nb: {<<: *a, z: 1}\n",
                serde_json::json!({"a": {"x": "t"}, "b": {"x": "t", "z": 1}}),
            ),
            ("JSON indented with tabs", "{\n\t\"a\": [\n\t\t1\n\t]\n}\n", serde_json::json!({"a": [1]})),
            (
                "a huge number",
                "a: 340282366920938463463374607431768211455\n",
                serde_json::json!({"a": 340_282_366_920_938_463_463_374_607_431_768_211_455_f64}),
            ),
            ("an octal mode", "a: 0644\n", serde_json::json!({"a": 420})),
        ] {
            assert_eq!(documents(text)[0].to_json(), want, "{case}");
        }
    }

    #[test]
    fn a_broken_document_does_not_hide_the_others() {
        let stream = stream("a: 1\n---\nb: [\n---\nc: 3\n---\nd: 1\nd: 2\n", "t.yaml");
        assert_eq!(stream.documents.iter().map(|node| node.line).collect::<Vec<_>>(), [1, 5]);
        let places = stream.errors.iter().map(|error| error.place().expect("it has one").line).collect::<Vec<_>>();
        assert!(places[0] >= 3 && places[0] <= 4 && places[1] == 8, "{places:?}");
    }

    #[test]
    fn bombs_are_refused_before_they_go_off() {
        let bomb = ('b'..='i').zip('a'..='h').fold("a: &a [x,x,x,x,x,x,x,x]\n".to_owned(), |text, (this, last)| {
            let eight = vec![format!("*{last}"); 8].join(",");
            text + &format!("{this}: &{this} [{eight}]\n")
        });
        let flow = format!("a: {}{}", "[".repeat(5_000), "]".repeat(5_000));
        let blocks = (0..300).map(|level| " ".repeat(level) + "k:\n").collect::<String>();
        // Each document stays below the limit of one, all of them together do not.
        let many = vec![bomb.lines().take(4).collect::<Vec<_>>().join("\n"); 200].join("\n---\n");
        for (case, text) in [("aliases", bomb), ("flow depth", flow), ("block depth", blocks), ("many", many)] {
            assert!(!stream(&text, "t.yaml").errors.is_empty(), "{case}");
        }
    }
}
