//! Label sets and what selects them.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

/// The label that holds a metric's name.
pub const NAME: &str = "__name__";

/// A label set, sorted by name. A label with an empty value is a label that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Vec<(Arc<str>, Arc<str>)>);

impl Labels {
    /// The value of a label, empty if it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).map_or("", |at| &self.0[at].1)
    }

    /// The metric's name.
    pub fn name(&self) -> &str {
        self.get(NAME)
    }

    /// With this label set to this value; an empty one removes it.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) {
        let (name, value) = (name.into(), value.into());
        match (self.0.binary_search_by(|(known, _)| known.as_ref().cmp(&name)), value.is_empty()) {
            (Ok(at), false) => self.0[at].1 = value,
            (Err(at), false) => self.0.insert(at, (name, value)),
            (Ok(at), true) => drop(self.0.remove(at)),
            (Err(_), true) => {}
        }
    }

    /// Without a label.
    pub fn remove(&mut self, name: &str) {
        if let Some(at) = self.find(name) {
            self.0.remove(at);
        }
    }

    /// Without the metric's name.
    #[must_use]
    pub fn unnamed(mut self) -> Self {
        self.remove(NAME);
        self
    }

    /// Only the labels that `keep` wants.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// Name and value of each, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok()
    }
}

impl<N: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut labels = Self::default();
        pairs.into_iter().for_each(|(name, value)| labels.set(name, value));
        labels
    }
}

/// As Prometheus writes a series: `up{job="node"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut others = self.iter().filter(|(name, _)| *name != NAME).peekable();
        if others.peek().is_none() {
            return if self.name().is_empty() { f.write_str("{}") } else { Ok(()) };
        }
        f.write_str("{")?;
        let mut comma = "";
        for (name, value) in others {
            write!(f, "{comma}{name}=\"{}\"", escaped(value))?;
            comma = ",";
        }
        f.write_str("}")
    }
}

/// A label's value between quotes.
pub(crate) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// How a matcher compares.
#[derive(Clone, Debug)]
pub enum Compare {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends.
    Matches(Regex),
    /// `!~`
    NotMatches(Regex),
}

/// One condition of a selector.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// Which label.
    pub label: String,
    /// How it is compared.
    pub compare: Compare,
    /// With what, as written.
    pub value: String,
}

impl Matcher {
    /// `label = value`.
    pub fn equal(label: &str, value: &str) -> Self {
        Self { label: label.into(), compare: Compare::Equal, value: value.into() }
    }

    /// Whether a value of its label satisfies it. A label that is not there has the empty value.
    pub fn accepts(&self, value: &str) -> bool {
        match &self.compare {
            Compare::Equal => value == self.value,
            Compare::NotEqual => value != self.value,
            Compare::Matches(expression) => expression.is_match(value),
            Compare::NotMatches(expression) => !expression.is_match(value),
        }
    }

    /// Whether a label set satisfies it.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.accepts(labels.get(&self.label))
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.compare {
            Compare::Equal => "=",
            Compare::NotEqual => "!=",
            Compare::Matches(_) => "=~",
            Compare::NotMatches(_) => "!~",
        };
        write!(f, "{}{operator}\"{}\"", self.label, escaped(&self.value))
    }
}

/// An expression that has to match the whole value, as Prometheus compiles it.
pub(crate) fn anchored(expression: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?s:{expression})$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_an_empty_one_is_none() {
        let mut labels: Labels = [("job", "node"), (NAME, "up"), ("empty", "")].into_iter().collect();
        assert_eq!(labels.to_string(), "up{job=\"node\"}");
        labels.set("job", "");
        assert_eq!(labels.to_string(), "up");
        assert_eq!(labels.unnamed().to_string(), "{}");
    }

    #[test]
    fn expressions_match_the_whole_value() {
        for (expression, value, want) in
            [("5..", "500", true), ("5..", "1500", false), ("a|b", "ab", false), ("", "", true)]
        {
            assert_eq!(anchored(expression).unwrap().is_match(value), want, "{expression} {value}");
        }
    }
}
