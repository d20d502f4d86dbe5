//! Time lines of one pod, second by second, against the rules of the kubelet.

use std::collections::BTreeMap;

use platform::{Container, HttpProbe, Labels, PortRef, ProbeAction, Strategy};

use super::*;

/// Runs one kubelet in virtual time; answers every probe at once by `ok`, drains after `drain`.
struct Node {
    kubelet: Kubelet,
    timers: BTreeMap<(Nanos, u64), KubeletInput>,
    planned: u64,
    log: Vec<(u64, String)>,
    ok: fn(ProbeKind, u64) -> bool,
    drain: Option<u64>,
}

#[derive(Default)]
struct Collected {
    effects: Vec<KubeletEffect>,
    wakes: Vec<(Nanos, Wake)>,
}
impl Out<KubeletEffect> for Collected {
    fn emit(&mut self, effect: KubeletEffect) {
        self.effects.push(effect);
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.wakes.push((at, wake));
    }
}

impl Node {
    fn new(workload: &Workload, ok: fn(ProbeKind, u64) -> bool) -> Self {
        Self::with(workload, ClusterConfig::default(), ok)
    }
    /// All containers start within a second, init containers take three.
    #[expect(clippy::needless_pass_by_value, reason = "each test writes its own in place")]
    fn with(workload: &Workload, config: ClusterConfig, ok: fn(ProbeKind, u64) -> bool) -> Self {
        let sec = Nanos::from_secs;
        let config =
            ClusterConfig { container_start: sec(1), next_container: sec(1), init_container: sec(3), ..config };
        let kubelet = Kubelet::new(PodId(0), workload, &config, Flaw::None);
        let mut node = Self { kubelet, timers: BTreeMap::new(), planned: 0, log: Vec::new(), ok, drain: Some(1) };
        node.plan(Nanos::ZERO, KubeletInput::Start);
        node
    }
    fn plan(&mut self, at: Nanos, input: KubeletInput) {
        self.timers.insert((at, self.planned), input);
        self.planned += 1;
    }
    fn at(mut self, secs: u64, input: KubeletInput) -> Self {
        self.plan(Nanos::from_secs(secs), input);
        self
    }
    fn until(mut self, secs: u64) -> Vec<(u64, String)> {
        while let Some(((now, _), input)) = self.timers.pop_first().filter(|((at, _), _)| at.as_secs() <= secs) {
            let mut out = Collected::default();
            self.kubelet.step(now, input, &mut out);
            for (at, wake) in out.wakes {
                self.plan(at, KubeletInput::Wake(wake));
            }
            for effect in out.effects {
                let text = match effect {
                    KubeletEffect::Probe { probe, number } => {
                        let ok = (self.ok)(probe, now.as_secs());
                        self.plan(now, KubeletInput::Probed { probe, number, ok });
                        format!("{probe:?} {ok}")
                    }
                    KubeletEffect::Terminate => {
                        if let Some(drain) = self.drain {
                            self.plan(now + Nanos::from_secs(drain), KubeletInput::Drained);
                        }
                        "SIGTERM".to_owned()
                    }
                    KubeletEffect::Pull { container, image } => {
                        // Images of names with more letters are farther away.
                        let ready = now + Nanos::from_secs(image.len() as u64);
                        self.plan(now, KubeletInput::Pulled { container, ready });
                        format!("pull {image}")
                    }
                    KubeletEffect::Kill => "SIGKILL".to_owned(),
                    KubeletEffect::StartContainer => "start".to_owned(),
                    KubeletEffect::Status(PodStatus::Restarted { reason }) => format!("Restarted: {reason}"),
                    KubeletEffect::Status(status) => format!("{status:?}"),
                };
                self.log.push((now.as_secs(), text));
            }
        }
        self.log
    }
}

fn http(delay: u64, period: u64, failures: u32) -> Probe {
    let action = HttpProbe { path: "/health".into(), port: PortRef::Number(80), host: None, tls: false };
    Probe {
        action: ProbeAction::Http(action),
        initial_delay: Nanos::from_secs(delay),
        period: Nanos::from_secs(period),
        timeout: Nanos::from_secs(1),
        success_threshold: 1,
        failure_threshold: failures,
        grace_period: None,
    }
}
fn workload(container: Container) -> Workload {
    Workload {
        name: "web".into(),
        replicas: None,
        labels: Labels::new(),
        containers: vec![container],
        strategy: Strategy::default(),
        min_ready: Nanos::ZERO,
        grace_period: Nanos::from_secs(30),
        node_selector: Labels::new(),
        tolerations: vec![],
        ..Workload::default()
    }
}
fn told(log: &[(u64, String)]) -> Vec<(u64, &str)> {
    log.iter().map(|(at, text)| (*at, text.as_str())).collect()
}

#[test]
fn without_probes_a_pod_is_ready_as_it_starts() {
    let log = Node::new(&workload(Container::default()), |_, _| true).until(60);
    assert_eq!(told(&log), [(1, "start"), (1, "Started"), (1, "Ready(true)")]);
}

#[test]
fn readiness_is_asked_at_once_and_then_every_period() {
    let immediate = Container { readiness: Some(http(0, 10, 3)), ..Container::default() };
    let log = Node::new(&workload(immediate), |_, _| true).until(12);
    let want = [(1, "start"), (1, "Started"), (1, "Readiness true"), (1, "Ready(true)"), (11, "Readiness true")];
    assert_eq!(told(&log), want);

    // The question at the start falls into the initial delay of 5 s, so the first one that counts is a period later.
    let delayed = Container { readiness: Some(http(5, 10, 3)), ..Container::default() };
    let log = Node::new(&workload(delayed), |_, _| true).until(20);
    assert_eq!(told(&log)[2..], [(11, "Readiness true"), (11, "Ready(true)")]);
}

#[test]
fn startup_gates_the_others_and_then_triggers_readiness() {
    let container = Container {
        startup: Some(http(0, 5, 30)),
        readiness: Some(http(0, 10, 3)),
        liveness: Some(http(0, 10, 3)),
        ..Container::default()
    };
    let log = Node::new(&workload(container), |_, secs| secs >= 15).until(25);
    let want = [
        (1, "start"),
        (1, "Started"),
        (5, "Startup false"),
        (10, "Startup false"),
        (15, "Startup true"),
        (15, "Readiness true"),
        (15, "Ready(true)"),
        (20, "Liveness true"),
        (25, "Readiness true"),
    ];
    assert_eq!(told(&log), want);
}

#[test]
fn a_command_is_asked_for_only_where_somebody_can_run_it() {
    let command = Probe { action: ProbeAction::Exec, ..http(0, 10, 3) };
    let workload = workload(Container { readiness: Some(command), ..Container::default() });
    let log = Node::new(&workload, |_, _| false).until(5);
    assert_eq!(told(&log), [(1, "start"), (1, "Started"), (1, "Ready(true)")]);
    let asks = ClusterConfig { asks_commands: true, ..ClusterConfig::default() };
    let log = Node::with(&workload, asks, |_, now| now > 5).until(12);
    let want = [(1, "start"), (1, "Started"), (1, "Readiness false"), (11, "Readiness true"), (11, "Ready(true)")];
    assert_eq!(told(&log), want);
}

#[test]
fn readiness_falls_after_its_threshold_and_comes_back() {
    let container = Container { readiness: Some(http(0, 10, 3)), ..Container::default() };
    let log = Node::new(&workload(container), |_, secs| !(20..60).contains(&secs)).until(70);
    let ready: Vec<_> = log.iter().filter(|(_, text)| text.starts_with("Ready(")).collect();
    assert_eq!(ready, [&(1, "Ready(true)".into()), &(41, "Ready(false)".into()), &(61, "Ready(true)".into())]);
}

#[test]
fn a_failed_liveness_restarts_with_growing_back_off() {
    let container = Container { liveness: Some(http(0, 10, 3)), ..Container::default() };
    let log = Node::new(&workload(container), |kind, _| kind != ProbeKind::Liveness).until(400);
    let starts: Vec<_> = log.iter().filter(|(_, text)| text == "start").map(|(at, _)| *at).collect();
    let ends: Vec<_> = log.iter().filter(|(_, text)| text == "SIGTERM").map(|(at, _)| at + 1).collect();
    // A container ends 1 s after SIGTERM and starts 1 s after its back-off: 0, 10, 20, 40 s.
    let waits: Vec<_> = starts[1..].iter().zip(&ends).map(|(start, end)| start - end - 1).collect();
    assert_eq!(waits[..4], [0, 10, 20, 40]);
    assert!(log.contains(&(starts[1], "Restarted: liveness probe failed".into())));
    assert!(log.contains(&(ends[0], "Ready(false)".into())), "unready when it has ended");
}

#[test]
fn the_end_is_hook_then_sigterm_then_sigkill() {
    for (case, hook, grace, drain, want) in [
        ("drains", None, 30, Some(3), vec![(50, "SIGTERM"), (53, "Gone")]),
        ("is killed", None, 30, None, vec![(50, "SIGTERM"), (80, "SIGKILL"), (80, "Gone")]),
        ("hook first", Some(5), 30, Some(3), vec![(55, "SIGTERM"), (58, "Gone")]),
        (
            "the hook is part of the grace period",
            Some(5),
            30,
            None,
            vec![(55, "SIGTERM"), (80, "SIGKILL"), (80, "Gone")],
        ),
        (
            "a hook as long as the grace leaves 2 s",
            Some(60),
            30,
            None,
            vec![(80, "SIGTERM"), (82, "SIGKILL"), (82, "Gone")],
        ),
        ("no grace still leaves 2 s", None, 0, None, vec![(50, "SIGTERM"), (52, "SIGKILL"), (52, "Gone")]),
    ] {
        let container = Container { pre_stop: hook.map(Nanos::from_secs), ..Container::default() };
        let workload = Workload { grace_period: Nanos::from_secs(grace), ..workload(container) };
        let mut node = Node::new(&workload, |_, _| true).at(50, KubeletInput::Stop);
        node.drain = drain;
        assert_eq!(told(&node.until(200))[3..], want, "{case}");
    }
}

#[test]
fn a_pod_that_never_ran_goes_at_once_and_stays_gone() {
    let node = Node::new(&workload(Container::default()), |_, _| true);
    assert_eq!(told(&node.at(0, KubeletInput::Stop).until(60)), [(0, "Gone")]);
}

#[test]
fn a_crash_restarts_and_tells_why() {
    let reason = || "OOMKilled".to_owned();
    let node = Node::new(&workload(Container::default()), |_, _| true);
    let log = node.at(50, KubeletInput::Crashed { reason: reason() }).until(100);
    let want = [(50, "Ready(false)"), (51, "start"), (51, "Restarted: OOMKilled"), (51, "Ready(true)")];
    assert_eq!(told(&log)[3..], want);
}

#[test]
fn deletion_during_a_restart_ends_the_pod() {
    let container = Container { liveness: Some(http(0, 10, 1)), ..Container::default() };
    let mut node = Node::new(&workload(container), |kind, _| kind != ProbeKind::Liveness).at(12, KubeletInput::Stop);
    node.drain = Some(5);
    let log = node.until(100);
    assert_eq!(told(&log)[3..], [(10, "Liveness false"), (10, "SIGTERM"), (15, "Gone")]);
}

fn pod(init: Vec<Container>, main: Vec<Container>) -> Workload {
    Workload { init_containers: init, containers: main, ..workload(Container::default()) }
}
fn plain() -> Container {
    Container::default()
}
fn sidecar() -> Container {
    Container { sidecar: true, ..Container::default() }
}
fn with_hook(container: Container, secs: u64) -> Container {
    Container { pre_stop: Some(Nanos::from_secs(secs)), ..container }
}

#[test]
fn containers_start_one_after_the_other() {
    let slow = || Container { startup: Some(http(0, 5, 30)), ..sidecar() };
    let late = || Container { readiness: Some(http(9, 10, 3)), ..plain() };
    // Seconds: the serving container starts, all main ones have, the pod is ready.
    for (case, init, main, want) in [
        ("one", vec![], vec![plain()], (1, 1, 1)),
        ("two: the pod is ready when both are", vec![], vec![plain(), plain()], (1, 2, 2)),
        ("after an init container of 3 s", vec![plain()], vec![plain()], (5, 5, 5)),
        ("after two of them", vec![plain(), plain()], vec![plain()], (9, 9, 9)),
        ("a sidecar only has to start", vec![sidecar()], vec![plain()], (2, 2, 2)),
        ("a sidecar, then an init container", vec![sidecar(), plain()], vec![plain()], (6, 6, 6)),
        ("a sidecar's startup probe holds the next one", vec![slow()], vec![plain()], (6, 6, 6)),
        ("a second container's readiness counts", vec![], vec![plain(), late()], (1, 2, 12)),
        ("a sidecar's readiness counts, too", vec![Container { sidecar: true, ..late() }], vec![plain()], (2, 2, 11)),
    ] {
        let log = Node::new(&pod(init, main), |_, _| true).until(60);
        let at = |what: &str| log.iter().find(|(_, text)| text == what).map(|(at, _)| *at).unwrap();
        assert_eq!((at("start"), at("Started"), at("Ready(true)")), want, "{case}: {log:?}");
    }
}

#[test]
fn images_are_waited_for_in_front_of_each_container() {
    let image = |name: &str| Container { image: name.into(), ..Container::default() };
    let config = ClusterConfig { image_pull: Nanos::from_secs(1), ..ClusterConfig::default() };
    let log = Node::with(&pod(vec![image("12345")], vec![image("123"), image("1")]), config, |_, _| true).until(60);
    let want = [
        (0, "pull 12345"),
        (9, "pull 123"), // 5 s of pulling, 1 s to start, 3 s to run
        (13, "start"),
        (13, "pull 1"),
        (15, "Started"),
        (15, "Ready(true)"),
    ];
    assert_eq!(told(&log), want);
}

#[test]
fn sidecars_end_last() {
    for (case, init, main, drain, want) in [
        (
            "a sidecar ends after the main one",
            vec![sidecar()],
            vec![plain()],
            Some(3),
            vec![(50, "SIGTERM"), (53, "Gone")],
        ),
        (
            "hooks of all run at once",
            vec![with_hook(sidecar(), 5)],
            vec![plain()],
            Some(3),
            vec![(50, "SIGTERM"), (55, "Gone")],
        ),
        (
            "the sidecar's hook is over before the main one ends",
            vec![with_hook(sidecar(), 2)],
            vec![plain()],
            Some(3),
            vec![(50, "SIGTERM"), (53, "Gone")],
        ),
        (
            "another main container's hook holds the pod",
            vec![],
            vec![plain(), with_hook(plain(), 10)],
            Some(3),
            vec![(50, "SIGTERM"), (60, "Gone")],
        ),
        (
            "a main one that does not end takes the whole grace period",
            vec![sidecar(), sidecar()],
            vec![plain()],
            None,
            vec![(50, "SIGTERM"), (80, "SIGKILL"), (80, "Gone")],
        ),
    ] {
        let mut node = Node::new(&pod(init, main), |_, _| true).at(50, KubeletInput::Stop);
        node.drain = drain;
        let log = node.until(200);
        let end: Vec<_> = told(&log).into_iter().filter(|(at, _)| *at >= 50).collect();
        assert_eq!(end, want, "{case}");
    }
}

#[test]
fn a_probe_s_own_grace_period_holds_for_its_verdict_only() {
    let quick = |own: Option<u64>| Probe { grace_period: own.map(Nanos::from_secs), ..http(0, 10, 1) };
    for (case, own, stop, want) in [
        ("the pod's, without one", None, None, (10, 40)),
        ("the probe's", Some(4), None, (10, 14)),
        ("2 s at least", Some(1), None, (10, 12)),
        ("deletion takes the pod's", Some(4), Some(5), (5, 35)),
    ] {
        let container = Container { liveness: Some(quick(own)), ..Container::default() };
        let mut node = Node::new(&workload(container), |kind, _| kind != ProbeKind::Liveness);
        node.drain = None;
        if let Some(at) = stop {
            node = node.at(at, KubeletInput::Stop);
        }
        let log = node.until(60);
        let at = |what: &str| log.iter().find(|(_, text)| text == what).map(|(at, _)| *at).unwrap();
        assert_eq!((at("SIGTERM"), at("SIGKILL")), want, "{case}");
    }
}

#[test]
fn a_failed_startup_restarts_and_asks_anew() {
    let container = Container { startup: Some(http(0, 5, 2)), readiness: Some(http(0, 10, 1)), ..Container::default() };
    let log = Node::new(&workload(container), |_, secs| secs >= 14).until(16);
    let want = [
        (1, "start"),
        (1, "Started"),
        (5, "Startup false"),
        (10, "Startup false"),
        (10, "SIGTERM"),
        (12, "start"),
        (12, "Restarted: startup probe failed"),
        (15, "Startup true"),
        (15, "Readiness true"),
        (15, "Ready(true)"),
    ];
    assert_eq!(told(&log), want);
}

#[test]
fn success_thresholds_count_before_readiness_comes_back() {
    let probe = Probe { success_threshold: 3, ..http(0, 10, 1) };
    let container = Container { readiness: Some(probe), ..Container::default() };
    let log = Node::new(&workload(container), |_, secs| !(40..50).contains(&secs)).until(100);
    let ready: Vec<_> = log.iter().filter(|(_, text)| text.starts_with("Ready(")).collect();
    assert_eq!(ready, [&(21, "Ready(true)".into()), &(41, "Ready(false)".into()), &(71, "Ready(true)".into())]);
}

#[test]
fn only_the_serving_container_s_probes_reach_the_outside() {
    let probed = || Container { readiness: Some(http(0, 10, 3)), liveness: Some(http(0, 10, 3)), ..plain() };
    let sidecar = Container { sidecar: true, ..probed() };
    let log = Node::new(&pod(vec![sidecar], vec![plain(), probed()]), |_, _| false).until(60);
    assert_eq!(told(&log), [(2, "start"), (3, "Started"), (3, "Ready(true)")], "the others pass while they run");
}

#[test]
fn flaws_of_a_template_show() {
    let flawed = |flaw, secs| {
        let mut node = Node::new(&pod(vec![], vec![plain(), plain()]), |_, _| true);
        node.kubelet.flaw = flaw;
        node.at(secs, KubeletInput::Stop).until(secs)
    };
    assert_eq!(told(&flawed(Flaw::ImagePull, 60)), [(60, "Gone")], "nothing ever starts");
    assert_eq!(told(&flawed(Flaw::NeverReady, 5)), [(1, "start"), (2, "Started"), (5, "SIGTERM")]);
    let log = flawed(Flaw::Crash, 100);
    let starts: Vec<_> = log.iter().filter(|(_, text)| text == "start").map(|(at, _)| *at).collect();
    assert_eq!(starts, [1, 2, 13, 34, 75], "at once, then after 10, 20, 40 s, and a second to start");
    assert!(!log.iter().any(|(_, text)| text.starts_with("Ready")));
}
