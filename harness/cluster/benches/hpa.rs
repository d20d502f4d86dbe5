//! A thousand decisions of one autoscaler over ten pods. The budget is 1 ms for the thousand.

use std::hint::black_box;

use cluster::ClusterConfig;
use cluster::hpa::{Hpa, PodView, Sample};
use criterion::{Criterion, criterion_group, criterion_main};
use platform::{Autoscaler, Behavior, Container, MetricTarget, Place, Resource, ResourceMetric, Resources, WorkloadId};
use units::{Bytes, Millicores, Nanos};

fn decisions(criterion: &mut Criterion) {
    let requests = Resources { cpu: Some(Millicores::new(500)), memory: Some(Bytes::from_mebi(1_024)) };
    let containers = [Container { name: "app".into(), requests, ..Container::default() }];
    let metric = |resource, percent| ResourceMetric { resource, target: MetricTarget::Utilization(percent) };
    for (name, behavior) in [("without behavior", None), ("with behavior", Some(Behavior::default_rules()))] {
        let declared = Autoscaler {
            name: "transactions".into(),
            target: WorkloadId(0),
            min: 3,
            max: 10,
            metrics: vec![metric(Resource::Cpu, 70), metric(Resource::Memory, 80)],
            behavior,
            place: Place::default(),
        };
        criterion.bench_function(&format!("1000 decisions, 10 pods, 2 metrics, {name}"), |bencher| {
            let mut hpa = Hpa::new(&declared, "transactions", &ClusterConfig::default());
            let mut secs = 1_000;
            bencher.iter(|| {
                for _ in 0..1_000 {
                    secs += 15;
                    let now = Nanos::from_secs(secs);
                    let sample = Sample {
                        cpu: Millicores::new(250 + secs % 200),
                        memory: Bytes::from_mebi(600),
                        timestamp: now,
                        window: Nanos::from_secs(15),
                    };
                    let pod = PodView {
                        name: "transactions-0",
                        containers: &containers,
                        deleting: false,
                        pending: false,
                        ready: true,
                        started: Some(Nanos::ZERO),
                        ready_changed: Nanos::ZERO,
                        sample: Some(sample),
                    };
                    black_box(hpa.sync(now, 10, black_box(&[pod; 10])));
                }
            });
        });
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
