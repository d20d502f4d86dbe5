//! `spec.metrics`: sources and targets.

use k8s_openapi::api::autoscaling::v2 as hpa;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use platform::{Metric, MetricId, MetricSource, MetricTarget, Operator, Requirement, Selector};
use units::Milli;

use super::{named, reference};
use crate::ManifestError;
use crate::object::Object;

/// The sources by the word of `type` and the field that carries each.
const SOURCES: [(&str, &str); 5] = [
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
    ("Pods", "pods"),
    ("Object", "object"),
    ("External", "external"),
];

/// All metrics. Without any metric it is CPU at 80 %.
pub(super) fn metrics(object: &Object, declared: Vec<hpa::MetricSpec>, min: u32) -> Result<Vec<Metric>, ManifestError> {
    let metrics = if declared.is_empty() {
        let source = MetricSource::Resource { resource: "cpu".to_owned() };
        vec![Metric { source, target: MetricTarget::Utilization(80) }]
    } else {
        let one = |(index, declared)| metric(object, &format!("spec.metrics[{index}]"), declared);
        declared.into_iter().enumerate().map(one).collect::<Result<_, _>>()?
    };
    let from_outside =
        |metric: &Metric| matches!(metric.source, MetricSource::Object { .. } | MetricSource::External(_));
    if min == 0 && !metrics.iter().any(from_outside) {
        let problem = "0 needs a metric that exists without pods";
        let fix = "write 1 or more, or add a metric of type Object or External";
        return Err(object.refuse("spec.minReplicas", problem, fix));
    }
    Ok(metrics)
}

fn metric(object: &Object, path: &str, declared: hpa::MetricSpec) -> Result<Metric, ManifestError> {
    let Some(&(_, field)) = SOURCES.iter().find(|(kind, _)| *kind == declared.type_) else {
        let problem = format!("`{}` is no type of metric", declared.type_);
        let fix = "write Resource, ContainerResource, Pods, Object or External";
        return Err(object.refuse(&format!("{path}.type"), &problem, fix));
    };
    let given = [
        declared.resource.is_some(),
        declared.container_resource.is_some(),
        declared.pods.is_some(),
        declared.object.is_some(),
        declared.external.is_some(),
    ];
    let other = SOURCES.iter().zip(given).find(|((_, other), given)| *given && *other != field);
    if let Some(((_, other), _)) = other {
        let problem = format!("is given beside type {}", declared.type_);
        return Err(object.refuse(&format!("{path}.{other}"), &problem, &format!("write {field} only")));
    }
    let at = format!("{path}.{field}");
    let missing = || object.refuse(&at, "is missing", &format!("write it: type {} needs it", declared.type_));
    match field {
        "resource" => {
            let source = declared.resource.ok_or_else(missing)?;
            named(object, &format!("{at}.name"), &source.name)?;
            let target = of_resource(object, &at, &source.target)?;
            Ok(Metric { source: MetricSource::Resource { resource: source.name }, target })
        }
        "containerResource" => {
            let source = declared.container_resource.ok_or_else(missing)?;
            named(object, &format!("{at}.name"), &source.name)?;
            named(object, &format!("{at}.container"), &source.container)?;
            let target = of_resource(object, &at, &source.target)?;
            let source = MetricSource::ContainerResource { resource: source.name, container: source.container };
            Ok(Metric { source, target })
        }
        "pods" => {
            let source = declared.pods.ok_or_else(missing)?;
            let metric = identity(object, &at, source.metric)?;
            let target = target(object, &at, &source.target)?;
            let average = target.average.ok_or_else(|| {
                let fix = "write averageValue: a Pods metric is averaged over the pods";
                object.refuse(&format!("{at}.target"), "has no averageValue", fix)
            })?;
            Ok(Metric { source: MetricSource::Pods(metric), target: MetricTarget::AverageValue(average) })
        }
        "object" => {
            let source = declared.object.ok_or_else(missing)?;
            let described = source.described_object;
            let place = format!("{at}.describedObject");
            let described = reference(object, &place, described.api_version, described.kind, described.name)?;
            let metric = identity(object, &at, source.metric)?;
            let target = of_object(object, &at, &source.target)?;
            Ok(Metric { source: MetricSource::Object { object: described, metric }, target })
        }
        _ => {
            let source = declared.external.ok_or_else(missing)?;
            let metric = identity(object, &at, source.metric)?;
            let target = of_external(object, &at, &source.target)?;
            Ok(Metric { source: MetricSource::External(metric), target })
        }
    }
}

/// The three values a target may give, each above zero.
struct Target {
    utilization: Option<u32>,
    average: Option<Milli>,
    value: Option<Milli>,
}

fn target(object: &Object, source: &str, declared: &hpa::MetricTarget) -> Result<Target, ManifestError> {
    let at = |field: &str| format!("{source}.target.{field}");
    if !["Utilization", "Value", "AverageValue"].contains(&declared.type_.as_str()) {
        let problem = format!("`{}` is no type of target", declared.type_);
        return Err(object.refuse(&at("type"), &problem, "write Utilization, AverageValue or Value"));
    }
    let amount = |field: &str, quantity: Option<&Quantity>| {
        let Some(Quantity(text)) = quantity else { return Ok(None) };
        let parsed = text.parse::<Milli>().map_err(|_| {
            object.refuse(&at(field), &format!("`{text}` is no quantity"), "write e.g. 250m, 10 or 1Gi")
        })?;
        if parsed.get() <= 0 {
            let problem = format!("`{text}` is not above 0");
            return Err(object.refuse(&at(field), &problem, "write a quantity above 0"));
        }
        Ok(Some(parsed))
    };
    let utilization =
        declared.average_utilization.map(|percent| object.at_least(&at("averageUtilization"), percent, 1));
    Ok(Target {
        utilization: utilization.transpose()?,
        average: amount("averageValue", declared.average_value.as_ref())?,
        value: amount("value", declared.value.as_ref())?,
    })
}

/// Which of the values counts is told by which is given; `type` is not looked at.
fn of_resource(object: &Object, source: &str, declared: &hpa::MetricTarget) -> Result<MetricTarget, ManifestError> {
    let target = target(object, source, declared)?;
    match (target.utilization, target.average) {
        (Some(percent), None) => Ok(MetricTarget::Utilization(percent)),
        (None, Some(average)) => Ok(MetricTarget::AverageValue(average)),
        (None, None) => {
            let fix = "write averageUtilization (percent of the request) or averageValue";
            Err(object.refuse(&format!("{source}.target"), "the metric has no target", fix))
        }
        (Some(_), Some(_)) => {
            let problem = "is given beside averageUtilization";
            Err(object.refuse(&format!("{source}.target.averageValue"), problem, "write one of them"))
        }
    }
}

/// Here `type` decides, and it may name what is not given.
fn of_object(object: &Object, source: &str, declared: &hpa::MetricTarget) -> Result<MetricTarget, ManifestError> {
    let target = target(object, source, declared)?;
    if target.value.is_none() && target.average.is_none() {
        let fix = "write value, or averageValue for a share per pod";
        return Err(object.refuse(&format!("{source}.target"), "the metric has no target", fix));
    }
    Ok(match declared.type_.as_str() {
        "Value" => target.value.map(MetricTarget::Value),
        "AverageValue" => target.average.map(MetricTarget::AverageValue),
        _ => None,
    }
    .unwrap_or(MetricTarget::Missing))
}

fn of_external(object: &Object, source: &str, declared: &hpa::MetricTarget) -> Result<MetricTarget, ManifestError> {
    let target = target(object, source, declared)?;
    match (target.value, target.average) {
        (Some(value), None) => Ok(MetricTarget::Value(value)),
        (None, Some(average)) => Ok(MetricTarget::AverageValue(average)),
        (None, None) => {
            let fix = "write value, or averageValue for a share per pod";
            Err(object.refuse(&format!("{source}.target"), "the metric has no target", fix))
        }
        (Some(_), Some(_)) => {
            let problem = "is given beside averageValue";
            Err(object.refuse(&format!("{source}.target.value"), problem, "write one of them"))
        }
    }
}

fn identity(object: &Object, source: &str, declared: hpa::MetricIdentifier) -> Result<MetricId, ManifestError> {
    named(object, &format!("{source}.metric.name"), &declared.name)?;
    let path = format!("{source}.metric.selector");
    let selector = declared.selector.map(|declared| selector(object, &path, declared)).transpose()?;
    Ok(MetricId { name: declared.name, selector })
}

fn selector(object: &Object, path: &str, declared: LabelSelector) -> Result<Selector, ManifestError> {
    let one = |(index, declared): (usize, _)| {
        let k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement { key, operator, values } =
            declared;
        let at = format!("{path}.matchExpressions[{index}]");
        let values = values.unwrap_or_default();
        let listed = matches!(operator.as_str(), "In" | "NotIn");
        if listed == values.is_empty() {
            let problem = if listed { "is empty" } else { "is given beside an operator that takes none" };
            let fix = "write values for In and NotIn, and none for Exists and DoesNotExist";
            return Err(object.refuse(&format!("{at}.values"), problem, fix));
        }
        let operator = match operator.as_str() {
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => {
                let problem = format!("`{other}` is no operator");
                let fix = "write In, NotIn, Exists or DoesNotExist";
                return Err(object.refuse(&format!("{at}.operator"), &problem, fix));
            }
        };
        Ok(Requirement { key, operator })
    };
    let expressions = declared.match_expressions.unwrap_or_default().into_iter().enumerate().map(one);
    let expressions = expressions.collect::<Result<_, _>>()?;
    Ok(Selector { labels: declared.match_labels.unwrap_or_default(), expressions })
}
