//! A thousand decisions of one autoscaler over ten pods. The budget is 1 ms for the thousand.

use std::hint::black_box;

use cluster::ClusterConfig;
use cluster::hpa::{
    Amounts, ContainerAmounts, Hpa, Observed, Phase, PodRequests, PodView, Ready, Sample, Scale, Truth,
};
use criterion::{Criterion, criterion_group, criterion_main};
use platform::{Autoscaler, Behavior, Metric, MetricSource, MetricTarget, ObjectRef, Place};
use units::Nanos;

fn app(cpu: i64, mebi: i64) -> Vec<ContainerAmounts> {
    let amounts = Amounts { cpu: Some(cpu), memory: Some((mebi << 20) * 1_000), other: Vec::new() };
    vec![ContainerAmounts { name: "app".into(), amounts }]
}

fn decisions(criterion: &mut Criterion) {
    let requests = PodRequests::new(app(500, 1_024), Vec::new(), None, &Amounts::default());
    let metric = |resource: &str, percent| Metric {
        source: MetricSource::Resource { resource: resource.into() },
        target: MetricTarget::Utilization(percent),
    };
    for (name, behavior) in [("without behavior", None), ("with behavior", Some(Behavior::default_rules()))] {
        let declared = Autoscaler {
            name: "transactions".into(),
            namespace: "default".into(),
            reference: ObjectRef::default(),
            target: None,
            min: 3,
            max: 10,
            metrics: vec![metric("cpu", 70), metric("memory", 80)],
            behavior,
            place: Place::default(),
        };
        criterion.bench_function(&format!("1000 decisions, 10 pods, 2 metrics, {name}"), |bencher| {
            let mut hpa = Hpa::new(&declared, "transactions", &ClusterConfig::default());
            let mut secs = 1_000;
            let used: Vec<_> = (0..200).map(|more| app(250 + more, 600)).collect();
            bencher.iter(|| {
                for _ in 0..1_000 {
                    secs += 15;
                    let now = Nanos::from_secs(secs);
                    let containers = &used[secs as usize % 200];
                    let pod = PodView {
                        name: "transactions-0",
                        requests: &requests,
                        deleting: false,
                        phase: Phase::Running,
                        ready: Some(Ready { status: Truth::True, changed: Nanos::ZERO }),
                        started: Some(Nanos::ZERO),
                        sample: Some(Sample { timestamp: now, window: Nanos::from_secs(15), containers }),
                    };
                    let scale = Ok(Scale { spec: 10, status: 10 });
                    let pods = black_box([pod; 10]);
                    black_box(hpa.sync(now, &Observed { scale, pods: &pods, ..Observed::without_target("") }));
                }
            });
        });
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
