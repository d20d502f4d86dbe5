//! What stands in front, in virtual time: the ingress controller, read timeouts, body limits.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use manifests::Source;
use record::{Cause, Deaf, Observation};
use scenarios::{Entry, Plan, ResolveError, Scenario};
use simulation::{Settings, simulate};
use units::{Nanos, Seed};

fn resolve(spec: &str, entry: Entry) -> Result<Plan, ResolveError> {
    let text = format!(
        "apiVersion: rehearse/v1\nkind: Scenario\nmetadata: {{name: t, question: q}}\nspec:\n  host: \
         api.selfmonitor.app\n{spec}"
    );
    let scenario = Scenario::parse(&text, "t.yaml").unwrap_or_else(|error| panic!("{error}"));
    let platform = manifests::load(&Source::BuiltIn, "production").unwrap().platform;
    let (nodes, profiles) = (manifests::load_nodes(None).unwrap(), model::shipped().unwrap());
    Plan::resolve_entering(&scenario, Arc::new(platform), nodes, &profiles, Seed::new(1), entry)
}

fn play(spec: &str, entry: Entry) -> (Plan, Vec<Observation>) {
    let plan = resolve(spec, entry).unwrap_or_else(|error| panic!("{error}"));
    let settings = Settings { keep_observations: true, ..Settings::default() };
    let played = simulate(&plan, vec![], &settings, &mut Deaf).unwrap();
    (plan, played.observed.observations.to_vec())
}

fn of<'a>(plan: &'a Plan, all: &'a [Observation], step: &'a str) -> impl Iterator<Item = &'a Observation> {
    all.iter().filter(move |o| plan.load.step(o.step).name == step)
}

const PROFILES: &str = "  timeout: 10s\n  phases: [{name: all, kind: steady, duration: 20s}]\n  journeys:\n    look: {flow: \
                        core, steps: [{name: look, request: GET /users/me}]}\n  load:\n    - {journey: look, clients: \
                        200, rate: {all: 100/s}}\n";

#[test]
fn behind_the_ingress_the_gateway_takes_everybody_for_one_client() {
    let refused = |entry| play(PROFILES, entry).1.iter().filter(|o| o.cause == Cause::Limited).count();
    assert_eq!(refused(Entry::Gateway), 0);
    // 10 r/s and a burst of 20 for each of five gateway pods, of 2,000 requests.
    let refused = refused(Entry::Ingress);
    assert!((800..1_000).contains(&refused), "{refused}");
}

#[test]
fn the_hop_costs_a_way_there_and_a_way_back() {
    let few = PROFILES.replace("100/s", "1/s");
    let median = |entry| {
        let mut all: Vec<Nanos> = play(&few, entry).1.iter().map(Observation::response).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let more = median(Entry::Ingress) - median(Entry::Gateway);
    assert_eq!(more, Settings::default().hop * 2);
}

#[test]
fn hosts_that_only_an_ingress_has_lead_straight_to_their_services() {
    let spec = "  timeout: 60s\n  phases: [{name: all, kind: steady, duration: 30s}]\n  journeys:\n    chat: {flow: ai, \
                host: ai.selfmonitor.app, steps: [{name: chat, request: POST /ai/chat, payload: chat}]}\n    page: {flow: \
                web, host: app.selfmonitor.app, steps: [{name: page, request: GET /}]}\n    graph: {flow: web, host: \
                grafana.selfmonitor.app, steps: [{name: graph, request: GET /}]}\n  load:\n    - {journey: chat, clients: \
                40, rate: {all: 4/s}}\n    - {journey: page, clients: 40, rate: {all: 4/s}}\n    - {journey: graph, \
                clients: 40, rate: {all: 1/s}}\n";
    let (plan, all) = play(spec, Entry::Gateway);
    assert!(all.iter().all(|o| o.gateway_pod == 0), "no gateway pod sees them");
    for step in ["page", "graph"] {
        assert!(of(&plan, &all, step).count() > 10 && of(&plan, &all, step).all(Observation::ok), "{step}");
    }
    // `upstream-hash-by: $binary_remote_addr`: each client has one pod, and not all have the same.
    let pairs: BTreeSet<_> = of(&plan, &all, "chat").filter(|o| o.ok()).map(|o| (o.client, o.pod)).collect();
    let clients: BTreeSet<_> = pairs.iter().map(|(client, _)| client).collect();
    let pods: BTreeSet<_> = pairs.iter().map(|(_, pod)| pod).collect();
    assert_eq!((pairs.len(), pods.len() > 1), (clients.len(), true), "{pairs:?}");
}

#[test]
fn a_silent_peer_is_given_up_after_its_read_timeout() {
    let spec = "  timeout: 10m\n  phases: [{name: all, kind: steady, duration: 7m}]\n  journeys:\n    list: {flow: core, \
                steps: [{name: list, request: GET /transactions/}]}\n    chat: {flow: ai, steps: [{name: chat, request: \
                POST /ai/chat, payload: chat}]}\n  load:\n    - {journey: list, clients: 50, rate: {all: 1/s}}\n    - \
                {journey: chat, clients: 50, rate: {all: 1/s}}\n  faults:\n    - {name: a, at: 0s, lasts: 30s, latency: \
                {from: gateway, to: transactions-service, add: 90s}}\n    - {name: b, at: 0s, lasts: 30s, latency: {from: \
                gateway, to: ai-agent-service, add: 90s}}\n";
    let (plan, all) = play(spec, Entry::Gateway);
    let late = |step| {
        let slow = of(&plan, &all, step).filter(|o| o.response() > Nanos::from_secs(30));
        slow.map(|o| (o.status, o.response().as_secs())).collect::<Vec<_>>()
    };
    // proxy_read_timeout is 60 s, and 300 s at /ai/.
    let (list, chat) = (late("list"), late("chat"));
    assert!(list.len() > 10 && list.iter().all(|seen| *seen == (504, 60)), "{list:?}");
    assert!(chat.len() > 10 && chat.iter().all(|(status, secs)| *status == 200 && *secs >= 90), "{chat:?}");
}

#[test]
fn a_body_beyond_the_limit_is_refused_unless_it_is_wanted() {
    let spec = |size: &str, expect: &str| {
        format!(
            "  timeout: 10s\n  phases: [{{name: all, kind: steady, duration: 20s}}]\n  journeys:\n    up: {{flow: \
             documents, steps: [{{name: up, request: POST /documents/, payload: document {size}{expect}}}]}}\n  load:\n    \
             - {{journey: up, clients: 50, rate: {{all: 1/s}}}}\n"
        )
    };
    let error = resolve(&spec("60Mi", ""), Entry::Gateway).unwrap_err().to_string();
    assert!(error.starts_with("t.yaml:") && error.contains("413"), "{error}");
    assert!(resolve(&spec("40Mi", ""), Entry::Gateway).is_ok());
    let (_, all) = play(&spec("60Mi", ", expect: 413"), Entry::Gateway);
    assert!(!all.is_empty() && all.iter().all(|o| o.status == 413 && o.cause == Cause::None), "{:?}", all.first());
}

/// One address for everybody, and a limit that counts by something else.
fn limited_by(key: &str) -> (usize, usize) {
    let text = include_str!("../../../kind-config/platform/rendered/production.yaml");
    let old = "limit_req_zone $binary_remote_addr zone=api:";
    assert!(text.contains(old), "the shipped configuration has another zone");
    let platform = manifests::read(&text.replace(old, &format!("limit_req_zone {key} zone=api:")), "p.yaml");
    let scenario = format!(
        "apiVersion: rehearse/v1\nkind: Scenario\nmetadata: {{name: t, question: q}}\nspec:\n  host: \
         api.selfmonitor.app\n{PROFILES}"
    );
    let scenario = Scenario::parse(&scenario, "t.yaml").unwrap_or_else(|error| panic!("{error}"));
    let platform = platform.unwrap_or_else(|error| panic!("{error}"));
    let (nodes, profiles) = (manifests::load_nodes(None).unwrap(), model::shipped().unwrap());
    let plan = Plan::resolve_entering(&scenario, Arc::new(platform), nodes, &profiles, Seed::new(1), Entry::Ingress);
    let settings = Settings { keep_observations: true, ..Settings::default() };
    let all = simulate(&plan.unwrap(), vec![], &settings, &mut Deaf).unwrap().observed.observations;
    (all.len(), all.iter().filter(|o| o.cause == Cause::Limited).count())
}

#[test]
fn limits_count_by_what_the_configuration_says() {
    // 100 requests a second come through the ingress controller, at five gateway pods.
    let refused = |key| limited_by(key).1;
    let address = refused("$binary_remote_addr");
    assert!(address > 800, "one address for everybody: {address}");
    assert_eq!(refused("$http_authorization"), 0, "each of 200 clients shows a token of its own");
    assert_eq!(refused("$http_x_api_key"), 0, "a header that nobody sends limits nobody");
    assert_eq!(refused("$http_x_forwarded_for"), 0, "the controller's header names each client");
    let host = refused("$host");
    assert_eq!(host, address, "one host for everybody is one bucket, too");
    assert_eq!(refused("$request_uri"), address, "and so is one path");
}

/// The pods behind that each gateway pod asks, one request at a time.
fn asked_by_gateways(kept: bool) -> BTreeMap<u16, BTreeSet<u16>> {
    let mut text = include_str!("../../../kind-config/platform/rendered/production.yaml").to_owned();
    let (server, pass) =
        ("server user-profile-service:80 max_fails=3 fail_timeout=30s;", "proxy_pass http://user_profile_service;");
    assert!(text.contains(server) && text.contains(pass), "the shipped configuration has changed");
    if kept {
        let space = "\n                ";
        text = text.replace(server, &format!("{server}{space}keepalive 8;"));
        let cleared = "proxy_http_version 1.1;\n                proxy_set_header Connection \"\";";
        text = text.replace(pass, &format!("{cleared}{space}{pass}"));
    }
    let platform = manifests::read(&text, "p.yaml").unwrap_or_else(|error| panic!("{error}"));
    let spec = PROFILES.replace("rate: {all: 100/s}", "arrivals: even, rate: {all: 5/s}").replace("20s", "60s");
    let scenario = format!(
        "apiVersion: rehearse/v1\nkind: Scenario\nmetadata: {{name: t, question: q}}\nspec:\n  host: \
         api.selfmonitor.app\n{spec}"
    );
    let scenario = Scenario::parse(&scenario, "t.yaml").unwrap_or_else(|error| panic!("{error}"));
    let (nodes, profiles) = (manifests::load_nodes(None).unwrap(), model::shipped().unwrap());
    let plan = Plan::resolve(&scenario, Arc::new(platform), nodes, &profiles, Seed::new(1)).unwrap();
    let settings = Settings { keep_observations: true, ..Settings::default() };
    let mut asked: BTreeMap<u16, BTreeSet<u16>> = BTreeMap::new();
    for o in simulate(&plan, vec![], &settings, &mut Deaf).unwrap().observed.observations.iter() {
        assert!(o.ok(), "{o:?}");
        asked.entry(o.gateway_pod).or_default().insert(o.pod);
    }
    asked
}

#[test]
fn a_kept_connection_stays_with_its_pod() {
    let (anew, kept) = (asked_by_gateways(false), asked_by_gateways(true));
    assert!(anew.len() == 5 && anew.values().all(|pods| pods.len() == 3), "{anew:?}");
    assert!(kept.len() == 5 && kept.values().all(|pods| pods.len() == 1), "{kept:?}");
}
