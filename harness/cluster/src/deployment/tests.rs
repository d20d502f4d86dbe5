use super::*;

const NOW: Nanos = Nanos::from_secs(100);

fn rolling(surge: CountOrPercent, unavailable: CountOrPercent) -> Strategy {
    Strategy::Rolling { max_surge: surge, max_unavailable: unavailable }
}

/// Syncs until nothing changes, with this many available pods in each ReplicaSet, at most as many as it is to have.
fn settle(deployment: &mut Deployment, available: &[u32]) -> Vec<u32> {
    for _ in 0..50 {
        let counts = |(index, set): (usize, &ReplicaSet)| {
            let available = available.get(index).copied().unwrap_or(0).min(set.replicas);
            Counts { replicas: set.replicas, ready: available, available, terminating: 0 }
        };
        let counts: Vec<Counts> = deployment.sets.iter().enumerate().map(counts).collect();
        if deployment.sync(NOW, &counts, Left { old: false, none: false }, &mut Vec::new()) == Synced::Settled {
            return deployment.sets.iter().map(|set| set.replicas).collect();
        }
    }
    panic!("never settles: {deployment:?}");
}

fn deployment(replicas: u32, strategy: Strategy) -> Deployment {
    let mut deployment = Deployment::new(strategy, None, Nanos::ZERO, replicas);
    assert_eq!(settle(&mut deployment, &[replicas]), [replicas]);
    deployment
}

#[test]
fn bounds_round_as_upstream_rounds_them() {
    use CountOrPercent::{Count, Percent};
    for (case, replicas, strategy, want) in [
        ("quarters", 10, rolling(Percent(25), Percent(25)), (3, 2)),
        ("both round to nothing", 3, rolling(Percent(0), Percent(25)), (0, 1)),
        ("a surge is enough", 1, rolling(Percent(25), Percent(25)), (1, 0)),
        ("more than there are", 2, rolling(Count(0), Count(5)), (0, 2)),
        ("none at all", 0, rolling(Count(1), Count(1)), (1, 0)),
        ("no rolling", 5, Strategy::Recreate, (0, 0)),
    ] {
        let deployment = Deployment::new(strategy, None, Nanos::ZERO, replicas);
        assert_eq!((deployment.surge(), deployment.unavailable()), want, "{case}");
    }
}

/// The example in the comment of `reconcileOldReplicaSets`: 10 replicas, three more, two fewer.
#[test]
fn a_bad_template_is_left_by_going_back_or_by_going_on() {
    use CountOrPercent::Count;
    let stuck = || {
        let mut deployment = deployment(10, rolling(Count(3), Count(2)));
        deployment.roll_out(Flaw::Crash);
        assert_eq!(settle(&mut deployment, &[10, 0]), [8, 5]);
        assert_eq!(settle(&mut deployment, &[7, 0]), [8, 5], "an old pod fails: nothing moves");
        deployment
    };
    let mut back = stuck();
    assert!(back.roll_back(None));
    assert_eq!(settle(&mut back, &[7, 0]), [10, 1], "as many as are missing come first, bad ones leave for them");
    assert_eq!(settle(&mut back, &[10, 0]), [10, 0]);
    assert_eq!(back.current().map(|set| set.revision), Some(3), "the old template has a new revision");

    let mut on = stuck();
    on.roll_out(Flaw::None);
    let sizes = settle(&mut on, &[8, 0, 0]);
    assert_eq!(sizes, [8, 0, 5], "the bad pods make room");
    assert!(!deployment(3, Strategy::default()).roll_back(None), "nothing to go back to");
}

#[test]
fn resizing_gives_every_set_its_share() {
    use CountOrPercent::Count;
    for (case, to, want) in [
        ("up", 20, vec![14, 9]), // 8 × 23 / 13 = 14.2 and 5 × 23 / 13 = 8.8
        ("down", 5, vec![5, 3]),
        ("to nothing", 0, vec![0, 0]),
    ] {
        let mut deployment = deployment(10, rolling(Count(3), Count(2)));
        deployment.roll_out(Flaw::NeverReady);
        assert_eq!(settle(&mut deployment, &[10, 0]), [8, 5]);
        deployment.resize(to);
        deployment.scale(
            &[Counts { available: 8, ready: 8, replicas: 8, terminating: 0 }, Counts::default()],
            &mut Vec::new(),
        );
        let sizes: Vec<u32> = deployment.sets.iter().map(|set| set.replicas).collect();
        assert_eq!(sizes, want, "{case}");
    }
}

/// `requeueStuckDeployment` asks only whether the deadline has passed already, `DeploymentTimedOut` also whether there
/// is a rollout that could miss it.
#[test]
fn a_rollout_that_was_complete_is_looked_at_until_it_is_again() {
    let (second, half) = (Nanos::from_secs(1), Nanos::from_millis(500));
    let deadline = second * 10;
    let mut deployment = Deployment::new(Strategy::Recreate, Some(deadline), Nanos::ZERO, 2);
    settle(&mut deployment, &[2]);
    assert_eq!(deployment.looks_again(NOW + second * 60), Look::Never, "complete");
    settle(&mut deployment, &[1]);
    for (case, at, want) in [
        ("a second after the deadline", NOW, Look::At(NOW + deadline + second)),
        ("as long as a second is left", NOW + deadline - second, Look::At(NOW + deadline + second)),
        ("soon where less is", NOW + deadline - half, Look::Soon),
        ("for ever", NOW + second * 3_600, Look::Soon),
    ] {
        assert_eq!(deployment.looks_again(at), want, "{case}");
    }
    let counts = |available| [Counts { replicas: 2, ready: available, available, terminating: 0 }];
    let left = Left { old: false, none: false };
    let mut told = Vec::new();
    deployment.sync(NOW + second * 60, &counts(1), left, &mut told);
    assert_eq!(told, [], "no deadline is missed");

    deployment.patch(&Patch { paused: Some(true), ..Patch::default() });
    settle(&mut deployment, &[1]);
    assert_eq!(deployment.looks_again(NOW + second * 60), Look::Never, "paused");
}

#[test]
fn as_many_old_templates_are_kept_as_the_limit_says() {
    for (limit, kept) in [(None, 10), (Some(2), 2), (Some(0), 0)] {
        let mut deployment = Deployment::new(Strategy::Recreate, None, Nanos::ZERO, 1).with_history(limit);
        for _ in 0..13 {
            settle(&mut deployment, &[1; 14]);
            deployment.roll_out(Flaw::None);
        }
        settle(&mut deployment, &[1; 14]);
        assert_eq!(deployment.sets().len(), kept + 1, "{limit:?}");
        assert_eq!(deployment.roll_back(None), kept > 0, "{limit:?}");
    }
}

/// `DeploymentComplete` compares generations: the status of the old template looks like one of the new.
#[test]
fn nothing_is_forgotten_by_a_status_of_before() {
    use CountOrPercent::{Count, Percent};
    let mut deployment = deployment(1, rolling(Count(1), Percent(100))).with_history(Some(0));
    deployment.roll_out(Flaw::None);
    assert_eq!(settle(&mut deployment, &[1, 0]), [0, 1]);
    assert_eq!(settle(&mut deployment, &[0, 1]), [1]);
}
