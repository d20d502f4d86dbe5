//! Made-up runs for tests.

use hdrhistogram::Histogram;
use record::{Environment, Side};
use units::{Purpose, Seed};

use crate::Measured;
use crate::figures::StepFigures;

/// A run of one step whose responses are drawn by `seed` and are `factor` times as long.
pub(crate) fn run(backend: &str, seed: u64, factor: f64, failed: u64) -> Measured {
    let mut responses = Histogram::<u32>::new(3).unwrap();
    let draws = Seed::new(seed).child("responses");
    for index in 0..600 {
        let ms = 40.0 * (1.0 + draws.draw_nth(index, Purpose::Cpu).exponential()) * factor;
        responses.record((ms * 1e3) as u64).unwrap();
    }
    let mut step = StepFigures::of(600, failed, responses.clone());
    step.blocks = vec![responses; 12];
    Measured {
        side: Side {
            source: format!("runs/{seed}"),
            scenario: "nightly".into(),
            scenario_digest: "0123456789ab".into(),
            backend: backend.into(),
            seeds: vec![seed],
            machine: "m".into(),
            requests: 600,
            ..Side::default()
        },
        result: serde_json::from_value(serde_json::json!({
            "schema": "rehearse/result/v1",
            "scenario": {"name": "nightly", "question": "?", "digest": "0123456789ab"},
            "platform": {"source": "built-in", "overlay": "production", "namespace": "n", "digest": "d"},
            "backend": backend, "seed": seed, "conclusion": "pass", "load_start_us": 0, "load_end_us": 60_000_000,
            "phases": [], "verdicts": [], "checks": [], "steps": [],
            "timeline": {"width_us": 1_000_000, "windows": [], "heat_edges_us": []},
            "distribution": [], "time_splits": [], "workloads": [], "decisions": [], "findings": [], "stand_ins": [],
        }))
        .unwrap(),
        environment: Environment::default(),
        steps: [("token".to_owned(), step)].into(),
    }
}
