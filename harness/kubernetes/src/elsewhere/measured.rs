//! Whether what a scenario expects of autoscalers can come true by what a cluster measures.

use platform::{Metric, MetricSource, Platform};
use scenarios::{Expectation, ExpectationKind};

/// Who tells autoscalers what pods use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measurer {
    /// We do, from what pods account for.
    Us,
    /// The cluster's own metrics server, which sees what pods really use.
    Theirs,
    /// Nobody.
    Nobody,
}

/// Why an expectation cannot come true, if one cannot. `burn`: pods really use what they account for.
pub(crate) fn unmeasured(
    platform: &Platform,
    expectations: &[Expectation],
    measurer: Measurer,
    burn: bool,
) -> Option<String> {
    let why = match measurer {
        Measurer::Us => return None,
        Measurer::Theirs if burn => return None,
        Measurer::Theirs => {
            "the cluster's own metrics server sees only what pods really use, and mock services only account for it: --burn \
             has them use it"
        }
        Measurer::Nobody => {
            "the cluster serves no metrics.k8s.io, and in a cluster that is not ours rehearse does not: install \
             metrics-server there and give --burn"
        }
    };
    let told = expectations.iter().find(|one| by_resource(platform, &one.kind)).map(|one| &one.told)?;
    Some(format!("`{told}` needs an autoscaler that sees load: {why}"))
}

/// An autoscaler would have to raise a workload by what its pods use.
fn by_resource(platform: &Platform, kind: &ExpectationKind) -> bool {
    let ExpectationKind::Replicas { workload, reaches, .. } = kind else { return false };
    let resource = |metric: &Metric| {
        matches!(metric.source, MetricSource::Resource { .. } | MetricSource::ContainerResource { .. })
    };
    platform
        .autoscalers
        .iter()
        .any(|scaler| scaler.target == Some(*workload) && *reaches > scaler.min && scaler.metrics.iter().any(resource))
}

#[cfg(test)]
mod tests {
    use platform::{Autoscaler, MetricId, MetricTarget, ObjectRef, Place, WorkloadId};
    use units::{Milli, Nanos};

    use super::Measurer::{Nobody, Theirs, Us};
    use super::*;

    #[test]
    fn only_what_somebody_measures_can_be_expected() {
        let metric = |source| Metric { source, target: MetricTarget::Utilization(70) };
        let cpu = metric(MetricSource::Resource { resource: "cpu".to_owned() });
        let rate = Metric {
            source: MetricSource::Pods(MetricId { name: "http_requests_per_second".to_owned(), selector: None }),
            target: MetricTarget::AverageValue(Milli::new(1_000)),
        };
        let scaler = |target, metric| Autoscaler {
            name: "web".to_owned(),
            namespace: "shop".to_owned(),
            reference: ObjectRef::default(),
            target: Some(WorkloadId(target)),
            min: 2,
            max: 10,
            metrics: vec![metric],
            behavior: None,
            place: Place::default(),
        };
        let platform = Platform { autoscalers: vec![scaler(0, cpu), scaler(1, rate)], ..Platform::default() };
        let reaches = |workload, reaches| Expectation {
            told: format!("{reaches} replicas"),
            kind: ExpectationKind::Replicas {
                workload: WorkloadId(workload),
                reaches,
                from: Nanos::ZERO,
                within: Nanos::from_secs(60),
            },
        };
        for (case, expected, measurer, burn, want) in [
            ("we tell what is accounted", reaches(0, 4), Us, false, None),
            ("they see next to nothing", reaches(0, 4), Theirs, false, Some("--burn has them use it")),
            ("they see what is burnt", reaches(0, 4), Theirs, true, None),
            ("nobody is there to see it", reaches(0, 4), Nobody, true, Some("install metrics-server")),
            ("the minimum needs no load", reaches(0, 2), Theirs, false, None),
            ("a rate is an adapter's", reaches(1, 4), Theirs, false, None),
            ("nobody scales it", reaches(2, 4), Theirs, false, None),
        ] {
            let found = unmeasured(&platform, &[expected], measurer, burn);
            assert_eq!(found.is_some(), want.is_some(), "{case}: {found:?}");
            assert!(
                want.is_none_or(|want| found.as_deref().is_some_and(|found| found.contains(want))),
                "{case}: {found:?}"
            );
        }
    }
}
