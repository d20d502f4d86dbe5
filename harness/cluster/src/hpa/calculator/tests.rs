//! Tables of one metric's proposal; each row is a rule of the replica calculator.

use platform::Resources;

use super::*;

const NOW: Nanos = Nanos::from_secs(10_000);

fn containers(cpu: Option<u64>) -> Vec<Container> {
    let requests = Resources { cpu: cpu.map(Millicores::new), memory: Some(Bytes::from_mebi(100)) };
    vec![Container { name: "app".into(), requests, ..Container::default() }]
}
/// A pod that has run and been ready for long.
fn pod(containers: &[Container], milli: u64) -> PodView<'_> {
    let sample = Sample {
        cpu: Millicores::new(milli),
        memory: Bytes::from_mebi(milli),
        timestamp: NOW,
        window: Nanos::from_secs(15),
    };
    PodView {
        name: "p",
        containers,
        deleting: false,
        pending: false,
        ready: true,
        started: Some(Nanos::from_secs(100)),
        ready_changed: Nanos::from_secs(110),
        sample: Some(sample),
    }
}
fn calculator() -> ReplicaCalculator {
    ReplicaCalculator::new(&ClusterConfig::default())
}
const CPU_50: ResourceMetric = ResourceMetric { resource: Resource::Cpu, target: MetricTarget::Utilization(50) };

#[test]
fn without_gaps_the_ratio_multiplies_the_ready_pods() {
    let spec = containers(Some(100));
    for (case, current, usage, want) in [
        ("on target stays", 2, vec![50, 50], 2),
        ("the upper end of the tolerance is inside", 2, vec![55, 55], 2),
        ("54.99 % counts as 54 %", 2, vec![56, 55], 2),
        ("one percent beyond scales", 2, vec![56, 56], 3),
        ("the lower end is inside", 10, vec![45; 10], 10),
        ("just below it scales", 10, vec![44; 10], 9),
        ("twice the load doubles", 3, vec![100; 3], 6),
        ("ready pods count, not the replicas wanted", 8, vec![100, 100], 4),
        ("no load asks for none", 4, vec![0; 4], 0),
    ] {
        let pods: Vec<_> = usage.iter().map(|milli| pod(&spec, *milli)).collect();
        let proposal = calculator().replicas(NOW, current, &CPU_50, &pods).unwrap();
        assert_eq!(proposal.replicas, want, "{case}");
    }
}

#[test]
fn pods_without_a_sample_damp_both_directions() {
    let spec = containers(Some(100));
    let missing = PodView { sample: None, ..pod(&spec, 0) };
    for (case, current, pods, want) in [
        ("down: the missing pod is taken to use its request", 3, vec![pod(&spec, 10), pod(&spec, 10), missing], 3),
        ("down: three idle pods outweigh it", 4, vec![pod(&spec, 0); 3].into_iter().chain([missing]).collect(), 2),
        ("up: it is taken to use nothing", 3, vec![pod(&spec, 100), pod(&spec, 100), missing], 4),
        ("up: too little is left of the ratio", 2, vec![pod(&spec, 100), missing], 2),
    ] {
        let proposal = calculator().replicas(NOW, current, &CPU_50, &pods).unwrap();
        assert_eq!((proposal.replicas, proposal.groups.missing), (want, 1), "{case}");
    }
}

#[test]
fn unready_pods_are_put_aside_and_damp_only_upwards() {
    let spec = containers(Some(100));
    let pending = PodView { pending: true, sample: None, ..pod(&spec, 0) };
    let run = |current, pods: Vec<PodView<'_>>| calculator().replicas(NOW, current, &CPU_50, &pods).unwrap();
    let up = run(4, vec![pod(&spec, 100), pod(&spec, 100), pending, pending]);
    assert_eq!((up.replicas, up.usage, up.groups.unready), (4, 100, 2), "200 m over four pods is on target");
    let more = run(3, vec![pod(&spec, 150), pod(&spec, 150), pending]);
    assert_eq!(more.replicas, 6, "300 m over three pods is 100 %");
    let down = run(4, vec![pod(&spec, 10), pod(&spec, 10), pending, pending]);
    assert_eq!(down.replicas, 1, "going down only the two ready pods count");
}

#[test]
fn a_replaced_pod_does_not_turn_a_scale_up_into_a_scale_down() {
    let spec = containers(Some(100));
    let ignored = PodView { deleting: true, ..pod(&spec, 1_000) };
    let got = calculator().replicas(NOW, 5, &CPU_50, &[pod(&spec, 60), pod(&spec, 60), ignored]).unwrap();
    assert_eq!((got.replicas, got.groups.counted), (3, 2), "no gap: 120 % of two pods, as upstream has it");
    let missing = PodView { sample: None, ..pod(&spec, 0) };
    let got = calculator().replicas(NOW, 5, &CPU_50, &[pod(&spec, 100), pod(&spec, 90), missing]).unwrap();
    assert_eq!(got.replicas, 5, "ceil(1.26 × 3) = 4 would turn the direction");
}

#[test]
fn cpu_samples_of_starting_pods_are_put_aside() {
    let spec = containers(Some(100));
    let young = NOW - Nanos::from_secs(299);
    let old = NOW - Nanos::from_secs(300);
    let after = |start: Nanos, secs| start + Nanos::from_secs(secs);
    for (case, started, ready, ready_changed, unready) in [
        ("young, unready", Some(young), false, young, true),
        ("young, one window since it became ready", Some(young), true, NOW - Nanos::from_secs(15), false),
        ("young, less than one window", Some(young), true, NOW - Nanos::from_secs(14), true),
        ("old, never ready", Some(old), false, after(old, 29), true),
        ("old, was ready once", Some(old), false, after(old, 30), false),
        ("old, ready just now", Some(old), true, NOW, false),
        ("not yet taken by a kubelet", None, true, NOW, true),
    ] {
        let view = PodView { ready, started, ready_changed, ..pod(&spec, 50) };
        let pods = [view, pod(&spec, 50)];
        let cpu = calculator().replicas(NOW, 2, &CPU_50, &pods).unwrap();
        assert_eq!(cpu.groups.unready == 1, unready, "{case}");
        let memory = ResourceMetric { resource: Resource::Memory, target: MetricTarget::Utilization(50) };
        assert_eq!(calculator().replicas(NOW, 2, &memory, &pods).unwrap().groups.unready, 0, "{case}");
    }
}

#[test]
fn average_values_need_no_request() {
    let spec = containers(None);
    let pods = [pod(&spec, 300), pod(&spec, 301)];
    for (case, resource, target, want) in [
        ("cpu", Resource::Cpu, MetricTarget::AverageCpu(Millicores::new(100)), (6, 300)),
        (
            "memory",
            Resource::Memory,
            MetricTarget::AverageMemory(Bytes::from_mebi(100)),
            (7, (Bytes::from_mebi(601).get()) * 500),
        ),
    ] {
        let got = calculator().replicas(NOW, 2, &ResourceMetric { resource, target }, &pods).unwrap();
        assert_eq!((got.replicas, got.usage), want, "{case}");
    }
    let missing = PodView { sample: None, ..pods[0] };
    let metric = ResourceMetric { resource: Resource::Cpu, target: MetricTarget::AverageCpu(Millicores::new(100)) };
    let idle = PodView { sample: pod(&spec, 0).sample, ..pods[0] };
    let got = calculator().replicas(NOW, 3, &metric, &[idle, idle, missing]).unwrap();
    assert_eq!(got.replicas, 1, "the missing pod is taken to be on target");
}

#[test]
fn errors_read_as_in_kubernetes() {
    let (spec, silent) = (containers(Some(100)), containers(None));
    let missing = PodView { sample: None, ..pod(&spec, 0) };
    let unready = PodView { ready: false, started: Some(NOW), ..pod(&spec, 50) };
    for (pods, text) in [
        (
            vec![missing],
            "failed to get cpu utilization: unable to get metrics for resource cpu: \
             no metrics returned from resource metrics API",
        ),
        (
            vec![missing, unready],
            "failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready)",
        ),
        (
            vec![pod(&spec, 50), PodView { name: "web-1", ..pod(&silent, 50) }],
            "failed to get cpu utilization: missing request for cpu in container app of Pod web-1",
        ),
    ] {
        assert_eq!(calculator().replicas(NOW, 1, &CPU_50, &pods).unwrap_err(), text);
    }
}
