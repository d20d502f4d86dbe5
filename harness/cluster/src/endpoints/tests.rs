use platform::WorkloadId;

use super::*;

const WEB: ServiceId = ServiceId(0);
const MS: fn(u64) -> Nanos = Nanos::from_millis;

/// `1r` is pod 1, ready; `s` still serves while it ends, `u` is unready, `t` ends without serving. The node is the
/// pod's tens.
fn endpoints(text: &str) -> Vec<Endpoint> {
    let one = |word: &str| {
        let (number, state) = word.split_at(word.len() - 1);
        let pod: u32 = number.parse().unwrap();
        Endpoint {
            pod: PodId(pod),
            node: (pod / 10) as usize,
            ready: state == "r",
            serving: "rs".contains(state),
            terminating: "st".contains(state),
        }
    };
    text.split_whitespace().map(one).collect()
}
fn pods(numbers: &[u32]) -> Vec<PodId> {
    numbers.iter().map(|number| PodId(*number)).collect()
}
fn published(service: &Service, text: &str) -> Arc<Endpoints> {
    let mut controller = EndpointController::new(1, Nanos::ZERO);
    controller.observe(WEB, service, endpoints(text), MS(0));
    controller.publish(MS(0)).map_or_else(|| Arc::new(controller.published().clone()), |(published, _)| published)
}

#[test]
fn a_pod_s_state_makes_its_endpoint() {
    let at = |ms| Some(Nanos::from_millis(ms));
    let running = PodRecord { node: Some(3), started: at(1), ..PodRecord::new("web".into(), WorkloadId(0), MS(0)) };
    let ready = PodRecord { ready: true, ..running.clone() };
    let ending = |record: &PodRecord| PodRecord { deleted: at(2), ..record.clone() };
    // Ready, serving, terminating; without and with publishNotReadyAddresses.
    let (yes, not_yet) = ((true, true, false), (false, false, false));
    for (case, record, want, published) in [
        ("ready", ready.clone(), Some(yes), Some(yes)),
        ("unready", running.clone(), Some(not_yet), Some(yes)),
        ("ending, still ready", ending(&ready), Some((false, true, true)), Some((true, true, true))),
        ("ending, unready", ending(&running), Some((false, false, true)), Some((true, true, true))),
        ("not started", PodRecord { started: None, ..running.clone() }, None, None),
        ("without a node", PodRecord { node: None, ..running.clone() }, None, None),
        ("gone", PodRecord { gone: at(3), ..ready.clone() }, None, None),
        ("done with its work", PodRecord { succeeded: at(3), ..ready.clone() }, None, None),
    ] {
        for (publish_not_ready, want) in [(false, want), (true, published)] {
            let service = Service { publish_not_ready, ..Service::default() };
            let endpoint = Endpoint::of(PodId(1), &record, &service);
            let got = endpoint.map(|e| (e.ready, e.serving, e.terminating));
            assert_eq!(got, want, "{case}, publishNotReadyAddresses: {publish_not_ready}");
            assert!(endpoint.is_none_or(|endpoint| endpoint.node == 3), "{case}");
        }
    }
}

#[test]
fn dialers_use_ready_endpoints_and_only_without_any_those_that_still_serve() {
    for (case, all, cluster, headless) in [
        ("nobody", "", vec![], vec![]),
        ("all ready, sorted", "12r 1r 2r", vec![1, 2, 12], vec![1, 2, 12]),
        ("some ready", "1r 2u 3r", vec![1, 3], vec![1, 3]),
        ("ready ones before ending ones", "1r 2s", vec![1], vec![1]),
        ("only ending ones that serve", "1s 2s 3u", vec![1, 2], vec![]),
        ("only ending ones, one of which serves", "1t 2s", vec![2], vec![]),
        ("only ending ones that do not serve", "1t", vec![], vec![]),
        ("only unready ones", "1u 2u", vec![], vec![]),
    ] {
        assert_eq!(published(&Service::default(), all).ready(WEB), pods(&cluster), "{case}");
        let name = Service { kind: ServiceKind::Headless, ..Service::default() };
        assert_eq!(published(&name, all).ready(WEB), pods(&headless), "{case}, by name");
    }
}

#[test]
fn a_local_policy_asks_the_caller_s_node_alone() {
    let service = Service { internal_local: true, ..Service::default() };
    for (case, all, caller, want) in [
        ("ready on its node", "11r 12r 21r", Some(11), vec![11, 12]),
        ("ready elsewhere only", "11u 21r", Some(11), vec![]),
        ("ending on its node", "11s 12u 21r", Some(12), vec![11]),
        ("ready before ending", "11s 12r 21r", Some(11), vec![12]),
        ("from outside", "11r 21r", None, vec![11, 21]),
        ("from a pod that is behind no Service", "11r 21r", Some(99), vec![11, 21]),
    ] {
        let endpoints = published(&service, all);
        assert_eq!(endpoints.reachable(WEB, caller.map(PodId)), pods(&want), "{case}");
    }
    let anywhere = published(&Service::default(), "11r 21r");
    assert_eq!(anywhere.reachable(WEB, Some(PodId(11))), pods(&[11, 21]));
    assert_eq!(anywhere.reachable(ServiceId(9), None), []);
    assert_eq!(anywhere.all(WEB).len(), 2);
}

#[test]
fn dialers_see_each_change_after_its_own_delay() {
    let service = Service::default();
    let mut controller = EndpointController::new(2, Nanos::ZERO);
    assert_eq!(controller.observe(WEB, &service, endpoints("1r"), MS(500)), Some(MS(500)));
    assert_eq!(controller.observe(WEB, &service, endpoints("1r"), MS(600)), None, "no change");
    assert_eq!(controller.observe(WEB, &service, endpoints("1r 2r"), MS(700)), Some(MS(700)));
    assert!(!controller.is_settled());
    assert!(controller.publish(MS(499)).is_none());
    let (first, changed) = controller.publish(MS(500)).unwrap();
    assert_eq!((first.ready(WEB), changed.as_slice(), first.generation()), (&[PodId(1)][..], &[WEB][..], 1));
    let (second, _) = controller.publish(MS(700)).unwrap();
    assert_eq!((second.ready(WEB), second.generation()), (&[PodId(1), PodId(2)][..], 2));
    assert_eq!(first.ready(WEB), &[PodId(1)], "a snapshot never changes");
    assert!(controller.is_settled());
    assert_eq!(second.ready(ServiceId(9)), &[]);
}

#[test]
fn what_dialers_do_not_see_is_no_news() {
    let service = Service::default();
    let mut controller = EndpointController::new(1, Nanos::ZERO);
    controller.observe(WEB, &service, endpoints("1r"), MS(5));
    controller.observe(WEB, &service, endpoints(""), MS(5));
    assert_eq!(controller.publish(MS(5)), None, "there and back within one publication");
    assert_eq!(controller.published().generation(), 0);
    assert_eq!(controller.observe(WEB, &service, endpoints("1u"), MS(6)), Some(MS(6)));
    assert_eq!(controller.publish(MS(6)), None, "an unready pod is listed, and not used");
    assert_eq!(controller.published().all(WEB).len(), 1);
}

#[test]
fn kube_proxy_syncs_a_second_apart() {
    let service = Service::default();
    let mut controller = EndpointController::new(1, MS(1_000));
    let mut at = |ms, text| controller.observe(WEB, &service, endpoints(text), MS(ms)).map(Nanos::as_millis);
    assert_eq!(at(500, "1r"), Some(500), "the first at once");
    assert_eq!(at(501, "1r 2r"), Some(1_500), "the next a second later");
    assert_eq!(at(900, "1r 2r 3r"), Some(1_500), "together with what comes meanwhile");
    assert_eq!(at(1_501, "1r 2r"), Some(2_500));
    assert_eq!(at(9_000, "1r"), Some(9_000), "after a rest at once");
}
