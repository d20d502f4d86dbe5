//! The file as a tree in which everything knows its place, and its check against the schema: unknown keys, missing
//! ones and wrong shapes, all at once.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::Spanned;

use crate::problem::{Place, Problem, nearest};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// The shape of a value; what a scalar says is read elsewhere.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Null,
    Scalar,
    List(Vec<Tree>),
    Map(Vec<(Place, String, Tree)>),
}

impl Node {
    fn name(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar => "a value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(from)?;
        Ok(Self { place: spanned.referenced.into(), node: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Nodes)
    }
}

struct Nodes;

macro_rules! scalars {
    ($($visit:ident: $from:ty),* $(,)?) => {$(
        fn $visit<E: Error>(self, _: $from) -> Result<Node, E> {
            Ok(Node::Scalar)
        }
    )*};
}

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }
    scalars! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str }
    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(tree) = seq.next_element()? {
            all.push(tree);
        }
        Ok(Node::List(all))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            all.push((key.referenced.into(), key.value, map.next_value()?));
        }
        Ok(Node::Map(all))
    }
}

/// What is wrong with the shape of `tree` under `schema`, a part of `root`.
pub(crate) fn misshapen(tree: &Tree, schema: &Json, root: &Json, problems: &mut Vec<Problem>) {
    let schema = settled(schema, root);
    let wrong = |what: String| Problem { place: tree.place, what };
    let types = types(schema);
    let wanted = |word: &str| types.is_empty() || types.contains(&word);
    match &tree.node {
        Node::Null if wanted("null") => {}
        Node::Map(entries) if wanted("object") => {
            let properties = schema.get("properties").and_then(Json::as_object);
            let known = || properties.into_iter().flat_map(|all| all.keys()).map(String::as_str);
            for (place, key, value) in entries {
                match (properties.and_then(|all| all.get(key)), schema.get("additionalProperties")) {
                    (Some(part), _) | (None, Some(part @ Json::Object(_))) => misshapen(value, part, root, problems),
                    (None, _) => {
                        let what = format!("there is no key `{key}` here{}", nearest(key, known()));
                        problems.push(Problem { place: *place, what });
                    }
                }
            }
            let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
            let missing: Vec<&str> = required
                .filter_map(Json::as_str)
                .filter(|name| entries.iter().all(|(_, key, value)| key != name || matches!(value.node, Node::Null)))
                .collect();
            if !missing.is_empty() {
                problems.push(wrong(format!("`{}` is missing here", missing.join("`, `"))));
            }
        }
        Node::List(all) if wanted("array") => {
            if let Some(items) = schema.get("items") {
                for item in all {
                    misshapen(item, items, root, problems);
                }
            }
        }
        Node::Scalar if types.iter().any(|name| !["object", "array", "null"].contains(name)) => {}
        other => {
            let words = types.iter().filter(|name| **name != "null").map(|name| match *name {
                "object" => "a mapping",
                "array" => "a list",
                _ => "a value",
            });
            let mut words: Vec<_> = words.collect();
            words.dedup();
            problems.push(wrong(format!("here stands {}, and {} is wanted", other.name(), words.join(" or "))));
        }
    }
}

/// The schema that a reference or an optional one leads to.
fn settled<'a>(schema: &'a Json, root: &'a Json) -> &'a Json {
    if let Some(path) = schema.get("$ref").and_then(Json::as_str) {
        let target = root.pointer(path.trim_start_matches('#')).unwrap_or(schema);
        return settled(target, root);
    }
    let choices = schema.get("anyOf").and_then(Json::as_array);
    let some = choices.and_then(|all| all.iter().find(|one| one.get("type") != Some(&Json::from("null"))));
    some.map_or(schema, |some| settled(some, root))
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}
