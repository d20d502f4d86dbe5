//! Edges of a service's latency buckets, and where they are declared.

use std::sync::Arc;

use platform::{Platform, ReferenceKind, Workload};
use units::Nanos;

/// Upper edges of a service's latency buckets, and where they are declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Edges {
    /// In order, without the last, infinite one.
    pub edges: Arc<[Nanos]>,
    /// Such as `METRICS_BUCKETS`.
    pub declared: Option<&'static str>,
}

/// The edges of `prometheus-fastapi-instrumentator` unless it is told otherwise.
const DEFAULT_EDGES_MS: [u64; 3] = [100, 500, 1_000];
const SETTING: &str = "METRICS_BUCKETS";
const ANNOTATION: &str = "rehearse.dev/buckets";

impl Edges {
    /// Of a workload: from its environment or a `ConfigMap` that it reads, from an annotation, or assumed.
    pub fn of(platform: &Platform, workload: &Workload) -> Self {
        let read = |text: &str| -> Option<Arc<[Nanos]>> {
            let edges: Option<Vec<f64>> = text.split(',').map(|edge| edge.trim().parse().ok()).collect();
            let mut edges = edges?;
            edges.sort_by(f64::total_cmp);
            Some(edges.into_iter().filter(|edge| edge.is_finite()).map(Nanos::from_secs_f64).collect())
        };
        let env = workload.containers.iter().flat_map(|c| &c.env).find(|(name, _)| name == SETTING);
        let referenced = || {
            let of = |config: &&platform::Config| {
                config.namespace == workload.namespace
                    && workload.references.iter().any(|r| r.kind == ReferenceKind::ConfigMap && r.name == config.name)
            };
            platform.configs.iter().filter(of).find_map(|config| config.entries.get(SETTING))
        };
        if let Some(edges) = env.map(|(_, value)| value).or_else(referenced).and_then(|text| read(text)) {
            return Self { edges, declared: Some(SETTING) };
        }
        let annotated = workload.annotations.get(ANNOTATION).into_iter().flat_map(|text| text.lines());
        let edges = annotated.filter_map(|line| line.split_once('=')).find_map(|(_, edges)| read(edges));
        match edges {
            Some(edges) => Self { edges, declared: Some(ANNOTATION) },
            None => Self { edges: DEFAULT_EDGES_MS.into_iter().map(Nanos::from_millis).collect(), declared: None },
        }
    }

    /// The bucket that a time falls into.
    pub fn bucket(&self, took: Nanos) -> usize {
        self.edges.partition_point(|edge| *edge < took)
    }
}
