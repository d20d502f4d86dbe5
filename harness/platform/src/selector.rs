//! Label selectors and requirements on labels.

use crate::Labels;

/// `matchLabels` and `matchExpressions`; all of them hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// `matchLabels`.
    pub labels: Labels,
    /// `matchExpressions`.
    pub expressions: Vec<Requirement>,
}

/// One of `matchExpressions`, also on a node's labels or fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key; `metadata.name` stands for the name of a node.
    pub key: String,
    /// What must hold of its value.
    pub operator: Operator,
}

/// What must hold of a label's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It is one of these.
    In(Vec<String>),
    /// It is none of these, or the label is absent.
    NotIn(Vec<String>),
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// It is a whole number above this one; for nodes only.
    Gt(i64),
    /// It is a whole number below this one; for nodes only.
    Lt(i64),
}

impl Selector {
    /// Whether it selects what bears these labels. An empty selector selects everything
    /// (`k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go`, `LabelSelectorAsSelector`).
    pub fn selects(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(|requirement| requirement.holds(labels))
    }
    /// Whether it names nothing, hence selects everything.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.expressions.is_empty()
    }
}

impl Requirement {
    /// `k8s.io/apimachinery/pkg/labels/selector.go`, `Requirement.Matches`.
    pub fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt(bound) => number().is_some_and(|number| number > *bound),
            Operator::Lt(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_hold_as_kubernetes_has_them() {
        let labels = Labels::from([("zone".into(), "a".into()), ("generation".into(), "7".into())]);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (key, operator, want) in [
            ("zone", Operator::In(words(&["a", "b"])), true),
            ("zone", Operator::In(words(&["b"])), false),
            ("zone", Operator::NotIn(words(&["a"])), false),
            ("rack", Operator::NotIn(words(&["a"])), true),
            ("zone", Operator::Exists, true),
            ("rack", Operator::DoesNotExist, true),
            ("generation", Operator::Gt(6), true),
            ("generation", Operator::Lt(7), false),
            ("zone", Operator::Gt(0), false),
        ] {
            let requirement = Requirement { key: key.into(), operator };
            assert_eq!(requirement.holds(&labels), want, "{requirement:?}");
        }
        assert!(Selector::default().selects(&labels), "an empty selector selects everything");
    }
}
