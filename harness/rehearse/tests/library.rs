//! Every shipped scenario can be played on the platform that is shipped.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::sync::Arc;

use scenarios::{FaultKind, LIBRARY, Plan, Scenario};
use units::Seed;

fn resolve(text: &str, file: &str) -> Result<Plan, scenarios::ResolveError> {
    let loaded = manifests::load(&manifests::Source::BuiltIn, "production").unwrap();
    let nodes = manifests::load_nodes(None).unwrap();
    let scenario = Scenario::parse(text, file).unwrap_or_else(|error| panic!("{error}"));
    Plan::resolve(&scenario, Arc::new(loaded.platform), nodes, &model::shipped().unwrap(), Seed::new(1))
}

#[test]
fn every_shipped_scenario_finds_everything_on_the_built_in_platform() {
    let refused: Vec<String> = LIBRARY
        .iter()
        .filter_map(|shipped| resolve(shipped.text, shipped.file).err().map(|error| error.to_string()))
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn a_zone_is_all_of_its_nodes() {
    let shipped = scenarios::find("zone-outage").unwrap();
    let plan = resolve(shipped.text, shipped.file).unwrap();
    let FaultKind::ZoneLoss { nodes, .. } = &plan.faults[0].kind else { panic!("{:?}", plan.faults) };
    assert_eq!(nodes.len(), 4);
}

#[test]
fn what_the_platform_does_not_have_is_refused_with_its_place() {
    let head = scenarios::find("rolling-update").unwrap().text.split("  faults:").next().unwrap().to_owned();
    for (case, fault, want) in [
        (
            "a workload",
            "podKill: {workload: auth-servce}",
            "there is no workload `auth-servce`: did you mean `auth-service`?",
        ),
        ("a node", "nodeDrain: {node: general-a-9}", "there is no node `general-a-9`: did you mean `general-a-1`?"),
        ("a zone", "zoneLoss: {zone: zone-x}", "no node is in a zone `zone-x`"),
        ("a Service", "dnsFailure: {service: auth}", "there is no Service `auth`"),
        (
            "clients behind the gateway",
            "blackhole: {from: clients, to: auth-service}",
            "clients only connect to the gateway",
        ),
        ("to clients", "blackhole: {from: gateway, to: clients}", "nobody connects to clients"),
        ("to itself", "latency: {from: auth-service, to: auth-service, add: 1s}", "both ends are the same"),
        ("too many gateways", "gatewayLoss: {pods: 50}", "50 gateway pods cannot be lost"),
        ("too much noise", "noisyNeighbour: {node: general-a-1, cpu: 999}", "999 CPU cannot be taken"),
        ("no autoscaler", "autoscalerEdit: {workload: postgres, max: 3}", "postgres has no autoscaler"),
        (
            "bounds that cross",
            "autoscalerEdit: {workload: transactions-service, max: 1}",
            "which the API server refuses",
        ),
        ("another namespace", "quota: {namespace: shop, pods: 3}", "no workload is in a namespace `shop`"),
    ] {
        let error =
            resolve(&format!("{head}  faults:\n    - {{at: 30s, {fault}}}\n"), "s.yaml").unwrap_err().to_string();
        assert!(error.contains(want), "{case}: {error}");
        assert!(error.starts_with("s.yaml:") && error.contains(" | "), "{case}: {error}");
    }
    for (case, expect, want) in [
        ("a workload", "{that: replicas, of: auth, reaches: 3, within: 1s}", "there is no workload `auth`"),
        ("beyond the maximum", "{that: replicas, of: auth-service, reaches: 99, within: 1s}", "never has 99 replicas"),
    ] {
        let error = resolve(&format!("{head}  expect:\n    - {expect}\n"), "s.yaml").unwrap_err().to_string();
        assert!(error.contains(want), "{case}: {error}");
    }
}

#[test]
fn what_is_edited_is_taken_back_at_its_end() {
    use cluster::{Action, AutoscalerEdit};
    use scenarios::Deed;
    let head = scenarios::find("rolling-update").unwrap().text.split("  faults:").next().unwrap().to_owned();
    let faults = "  faults:\n    - {at: 30s, lasts: 20s, autoscalerEdit: {workload: transactions-service, max: 20, cpu: 90}}\n\
                  \x20   - {name: Tight room, at: 40s, lasts: 20s, quota: {pods: 8, cpu: 1500m}}\n\
                  \x20 expect:\n    - {that: replicas, of: transactions-service, reaches: 20, within: 1s}\n";
    let plan = resolve(&format!("{head}{faults}"), "s.yaml").unwrap_or_else(|error| panic!("{error}"));
    let scaled = plan.platform.workload_named("transactions-service").unwrap();
    let declared = plan.platform.autoscalers.iter().find(|one| one.target == Some(scaled)).unwrap();
    let cpu = declared.metrics.iter().find_map(platform::Metric::cpu_share);
    for (over, edit) in [
        (false, AutoscalerEdit { min: None, max: Some(20), cpu: Some(90) }),
        (true, AutoscalerEdit { min: None, max: Some(declared.max), cpu }),
    ] {
        assert_eq!(plan.deeds(0, over, &[]), [Deed::Act(Action::EditAutoscaler { workload: scaled, edit })]);
    }
    let [Deed::Act(Action::SetQuota(quota))] = &plan.deeds(1, false, &[])[..] else { panic!("no quota") };
    assert_eq!((quota.name.as_str(), quota.pods), ("rehearse-tight-room", Some(8)));
    let (namespace, name) = (quota.namespace.clone(), quota.name.clone());
    assert_eq!(plan.deeds(1, true, &[]), [Deed::Act(Action::DropQuota { namespace, name })]);
    let told: Vec<String> = plan.faults.iter().map(|fault| plan.fault_in_words(fault)).collect();
    let want = "the autoscaler of transactions-service is edited: maxReplicas 20, averageUtilization of CPU 90";
    assert_eq!(told[0], want);
    assert!(told[1].starts_with("a quota allows 8 pods and 1500m CPU in namespace "), "{told:?}");
}

#[test]
fn a_node_of_a_lost_zone_cannot_be_drained() {
    let head = scenarios::find("rolling-update").unwrap().text.split("  faults:").next().unwrap().to_owned();
    let faults =
        "  faults:\n    - {at: 30s, zoneLoss: {zone: zone-b}}\n    - {at: 40s, nodeDrain: {node: general-b-1}}\n";
    let error = resolve(&format!("{head}{faults}"), "s.yaml").unwrap_err().to_string();
    assert!(error.contains("node general-b-1 is lost with zone zone-b"), "{error}");
}

#[test]
fn steps_that_cannot_be_routed_are_told_all_at_once() {
    let text = scenarios::find("smoke")
        .unwrap()
        .text
        .replace("POST /auth/token", "POST /nowhere")
        .replace("GET /users/me", "GET /usrs");
    let error = resolve(&text, "s.yaml").unwrap_err().to_string();
    assert!(error.matches("no location").count() >= 2, "{error}");
}

#[test]
fn a_lost_cache_comes_back_as_the_manifests_have_it() {
    use model::data::{Recovery, SentinelConfig};
    let recovery = |overlay: &str| {
        let loaded = manifests::load(&manifests::Source::BuiltIn, overlay).unwrap();
        let shipped = scenarios::find("redis-outage").unwrap();
        let scenario = Scenario::parse(shipped.text, shipped.file).unwrap();
        let (nodes, profiles) = (manifests::load_nodes(None).unwrap(), model::shipped().unwrap());
        let plan = Plan::resolve(&scenario, Arc::new(loaded.platform), nodes, &profiles, Seed::new(1)).unwrap();
        plan.data_config().cache.recovery
    };
    // Two pods and three sentinels, of which two must agree.
    assert_eq!(recovery("production"), Recovery::Sentinel(SentinelConfig::DOCUMENTED));
    // One pod: there is nothing to promote, and 50 MiB at most to read again.
    let Recovery::Restart { start, size, .. } = recovery("development") else { panic!("nothing can be promoted") };
    assert_eq!((start >= units::Nanos::from_secs(1), size), (true, units::Bytes::from_mebi(50)));
}

/// Counted from the overlay: auth-service has at most 12 pods, the gateway 3; a node takes what its CPU or memory holds.
#[test]
fn pods_that_faults_may_hit_at_one_time_are_counted_at_the_worst_instant() {
    let head = scenarios::find("rolling-update").unwrap().text.split("  faults:").next().unwrap().to_owned();
    let affected = |faults: &str| {
        let plan =
            resolve(&format!("{head}  faults:\n{faults}"), "faults.yaml").unwrap_or_else(|error| panic!("{error}"));
        let all: u32 = plan.most_affected(1.0).pods;
        (all, plan.most_affected(1.0).by)
    };
    let kill = "    - {name: one, at: 10s, podKill: {workload: auth-service, pods: 2}}\n";
    assert_eq!(affected(kill), (2, vec![("one".to_owned(), 2)]));
    // Whoever is not there cannot be hit.
    let (most, _) = affected("    - {at: 10s, podKill: {workload: auth-service, pods: 500}}\n");
    assert!(most < 100, "{most}");
    assert_eq!(affected("    - {at: 10s, rollingUpdate: {workload: auth-service}}\n").0, most);
    let apart = "    - {name: two, at: 80s, podKill: {workload: auth-service, pods: 3}}\n";
    assert_eq!(affected(&format!("{kill}{apart}")), (3, vec![("two".to_owned(), 3)]), "another minute");
    let near = "    - {name: two, at: 60s, podKill: {workload: auth-service, pods: 3, forced: true}}\n";
    assert_eq!(affected(&format!("{kill}{near}")).0, 5);
    let node = affected("    - {at: 10s, lasts: 20s, nodeLoss: {node: general-a-1}}\n").0;
    let zone = affected("    - {at: 10s, lasts: 20s, zoneLoss: {zone: zone-a}}\n").0;
    assert!(1 < node && node < zone, "{node} of one node, {zone} of its zone");
}
