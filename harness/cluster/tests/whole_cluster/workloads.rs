//! Workloads other than Deployments, and what keeps pods from being created.

use cluster::{Action, Flaw, PodId};
use platform::{Place, Platform, Quota, Resources, Workload, WorkloadKind};
use record::EventKind;
use units::{Millicores, Nanos};

use crate::world::{WEB, World, nodes, plain, workload};

fn stateful(parallel: bool) -> Workload {
    let kind = WorkloadKind::StatefulSet { service: "db".into(), parallel, partition: 0, on_delete: false };
    Workload { kind, ..workload("db") }
}

fn alone(workload: Workload) -> Platform {
    Platform { workloads: vec![workload], services: vec![], autoscalers: vec![], ..Platform::default() }
}

/// Second and name of all pods that became ready.
fn ready(world: &World) -> Vec<(u64, String)> {
    let told = world.told(|kind| match kind {
        EventKind::PodReady { pod, ready: true } => Some(pod.clone()),
        _ => None,
    });
    told.into_iter().map(|(at, pod)| (at / 1_000, pod)).collect()
}

fn named(pods: &[(u64, &str)]) -> Vec<(u64, String)> {
    pods.iter().map(|(at, pod)| (*at, (*pod).to_owned())).collect()
}

#[test]
fn a_stateful_set_comes_up_and_is_updated_one_by_one() {
    let mut world = World::new(plain(stateful(false), 3), nodes(3, 8), 1);
    world.run_until(30);
    assert_eq!(ready(&world), named(&[(2, "db-0"), (5, "db-1"), (8, "db-2")]));
    assert!(world.cluster().settled());
    world.act(100, Action::Rollout { workload: WEB, flaw: Flaw::None });
    world.run_until(150);
    // One second to end, 2.81 s to be ready.
    assert_eq!(ready(&world)[3..], named(&[(103, "db-2"), (107, "db-1"), (111, "db-0")]));
    assert!(world.cluster().settled());
    let mut parallel = World::new(plain(stateful(true), 3), nodes(3, 8), 1);
    parallel.run_until(30);
    assert_eq!(ready(&parallel), named(&[(2, "db-0"), (2, "db-1"), (2, "db-2")]));
}

#[test]
fn a_broken_template_blocks_the_way_back_until_somebody_deletes_the_pod() {
    let mut world = World::new(plain(stateful(false), 2), nodes(3, 8), 1);
    world.act(100, Action::Rollout { workload: WEB, flaw: Flaw::NeverReady });
    world.act(150, Action::Rollback(WEB));
    world.run_until(300);
    let stuck: Vec<_> = world.living().filter(|(_, record)| record.template == 1).map(|(pod, _)| pod).collect();
    assert_eq!(stuck.len(), 1, "the highest one was replaced, and stands in the way");
    assert!(!world.cluster().settled());
    world.act(300, Action::DeletePod { pod: stuck[0], forced: false });
    world.run_until(320);
    assert!(world.cluster().settled());
}

#[test]
fn a_stateful_pod_of_a_lost_node_is_not_replaced_before_it_is_gone() {
    let mut world = World::new(plain(stateful(false), 2), nodes(3, 8), 1);
    world.run_until(60);
    let node = world.cluster().pod(PodId(0)).unwrap().node.unwrap();
    world.act(100, Action::LoseNode(node));
    world.run_until(1_000);
    let records: Vec<_> = world.living().filter(|(_, record)| record.name == "db-0").collect();
    assert_eq!(records.len(), 1);
    assert!(records[0].1.deleted.is_some_and(|at| at > Nanos::from_secs(440)), "evicted, and waits for its node");
    world.act(1_000, Action::ReturnNode(node));
    world.run_until(1_030);
    assert!(world.cluster().settled());
    let back = world.living().find(|(_, record)| record.name == "db-0").unwrap();
    assert_ne!(back.0, PodId(0), "a new pod by the old name");
}

#[test]
fn a_daemon_set_has_a_pod_on_every_node_and_stays_through_a_drain() {
    let mut world =
        World::new(plain(Workload { kind: WorkloadKind::DaemonSet, ..workload("agent") }, 1), nodes(4, 8), 1);
    world.run_until(30);
    let mut on: Vec<_> = world.living().map(|(_, record)| record.node.unwrap()).collect();
    on.sort_unstable();
    assert_eq!(on, [0, 1, 2, 3]);
    world.act(40, Action::Drain(2));
    world.act(100, Action::Rollout { workload: WEB, flaw: Flaw::None });
    world.run_until(200);
    assert!(world.cluster().settled());
    assert!(world.living().all(|(_, record)| record.template == 1));
    let replaced: Vec<_> = ready(&world)[4..].iter().map(|(at, _)| *at).collect();
    assert_eq!(replaced, [103, 107, 111, 115], "one after the other");
}

#[test]
fn jobs_end_and_cron_jobs_start_when_they_are_due() {
    let job = WorkloadKind::Job { completions: 3, parallelism: 2 };
    let mut world = World::new(alone(Workload { kind: job, ..workload("migrate") }), nodes(2, 8), 1);
    world.run_until(20);
    assert!(world.cluster().settled(), "nobody waits for a Job");
    world.run_until(300);
    let done = |world: &World| world.told(|kind| matches!(kind, EventKind::PodSucceeded { .. }).then_some(()));
    let times: Vec<_> = done(&world).into_iter().map(|(at, ())| at / 1_000).collect();
    assert_eq!(times, [30, 30, 61], "two at a time, 30 s each");
    assert_eq!(world.living().count(), 0);

    let cron = WorkloadKind::CronJob { schedule: "*/2 * * * *".into() };
    let mut world = World::new(alone(Workload { kind: cron, ..workload("sync") }), nodes(2, 8), 1);
    world.run_until(520);
    assert_eq!(done(&world).len(), 4, "at 2, 4, 6 and 8 minutes");
}

#[test]
fn a_bare_pod_is_never_replaced() {
    let mut world = World::new(alone(Workload { kind: WorkloadKind::Pod, ..workload("shell") }), nodes(2, 8), 1);
    world.run_until(20);
    assert_eq!(ready(&world), named(&[(2, "shell")]));
    world.act(30, Action::DeletePod { pod: PodId(0), forced: false });
    world.run_until(60);
    assert_eq!(world.living().count(), 0);
}

#[test]
fn a_quota_refuses_pods_and_says_so_once() {
    let mut platform = plain(workload("web"), 3);
    platform.quotas.push(quota(Resources { cpu: Some(Millicores::new(1_000)), memory: None }, None));
    let mut world = World::new(platform, nodes(3, 8), 1);
    world.run_until(60);
    let told = world.told(|kind| match kind {
        EventKind::CreateFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!((told.len(), world.living().count()), (1, 2));
    let want = "exceeded quota: team, requested: requests.cpu=500m, used: requests.cpu=1, limited: requests.cpu=1";
    assert!(told[0].1.ends_with(want), "{told:?}");
    world.act(60, Action::Scale(WEB, 2));
    world.run_until(70);
    assert!(world.cluster().settled());
}

fn quota(requests: Resources, pods: Option<u32>) -> Quota {
    let (limits, place) = (Resources::default(), Place::default());
    Quota { name: "team".into(), namespace: String::new(), requests, limits, pods, place }
}

#[test]
fn a_quota_that_comes_later_takes_no_pod_away_and_keeps_lost_ones_away_until_it_goes() {
    let mut world = World::new(plain(workload("web"), 4), nodes(3, 8), 1);
    world.run_until(60);
    world.act(60, Action::SetQuota(quota(Resources::default(), Some(9))));
    world.act(61, Action::SetQuota(quota(Resources::default(), Some(2))));
    world.run_until(90);
    assert_eq!(world.living().count(), 4, "more than it allows, and there before");
    world.act(90, Action::DeletePod { pod: PodId(0), forced: true });
    world.run_until(150);
    assert_eq!(world.living().count(), 3);
    let told = world.told(|kind| match kind {
        EventKind::CreateFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let want = "exceeded quota: team, requested: pods=1, used: pods=3, limited: pods=2";
    assert!(told.len() == 1 && told[0].1.ends_with(want), "{told:?}");
    world.act(150, Action::DropQuota { namespace: String::new(), name: "team".into() });
    world.run_until(400);
    assert!(world.cluster().settled());
}
