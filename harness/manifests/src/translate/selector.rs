//! Label selectors and node selector requirements.

use k8s_openapi::api::core::v1::NodeSelectorTerm;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use platform::{Operator, Requirement, Selector};

use crate::ManifestError;
use crate::object::Object;

/// A label selector that stands at `path`.
pub(super) fn selector(object: &Object, path: &str, declared: LabelSelector) -> Result<Selector, ManifestError> {
    let expressions = declared.match_expressions.unwrap_or_default().into_iter().enumerate();
    let expressions = expressions.map(|(index, declared)| {
        let path = format!("{path}.matchExpressions[{index}]");
        requirement(object, &path, declared.key, &declared.operator, declared.values.unwrap_or_default())
    });
    Ok(Selector {
        labels: declared.match_labels.unwrap_or_default(),
        expressions: expressions.collect::<Result<_, _>>()?,
    })
}

/// The requirements of a term of a node selector. An empty term matches no node
/// (`k8s.io/component-helpers/scheduling/corev1/nodeaffinity`): it becomes a requirement that nothing fulfils.
pub(super) fn node_term(
    object: &Object,
    path: &str,
    declared: NodeSelectorTerm,
) -> Result<Vec<Requirement>, ManifestError> {
    let mut all = Vec::new();
    for (list, name) in [(declared.match_expressions, "matchExpressions"), (declared.match_fields, "matchFields")] {
        for (index, declared) in list.unwrap_or_default().into_iter().enumerate() {
            let path = format!("{path}.{name}[{index}]");
            let values = declared.values.unwrap_or_default();
            all.push(requirement(object, &path, declared.key, &declared.operator, values)?);
        }
    }
    if all.is_empty() {
        all.push(Requirement { key: String::new(), operator: Operator::In(Vec::new()) });
    }
    Ok(all)
}

fn requirement(
    object: &Object,
    path: &str,
    key: String,
    operator: &str,
    values: Vec<String>,
) -> Result<Requirement, ManifestError> {
    let number = || {
        let [value] = values.as_slice() else { return None };
        value.parse::<i64>().ok()
    };
    let refuse = |field: &str, problem: &str, fix: &str| Err(object.refuse(&format!("{path}.{field}"), problem, fix));
    let operator = match operator {
        "In" | "NotIn" if values.is_empty() => {
            return refuse("values", &format!("{operator} has no values"), "write at least one value");
        }
        "In" => Operator::In(values),
        "NotIn" => Operator::NotIn(values),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" | "Lt" => match (number(), operator) {
            (Some(bound), "Gt") => Operator::Gt(bound),
            (Some(bound), _) => Operator::Lt(bound),
            (None, _) => return refuse("values", &format!("{operator} needs one whole number"), "write e.g. [\"4\"]"),
        },
        other => {
            let problem = format!("`{other}` is no operator");
            return refuse("operator", &problem, "write In, NotIn, Exists or DoesNotExist (Gt and Lt for nodes)");
        }
    };
    Ok(Requirement { key, operator })
}
