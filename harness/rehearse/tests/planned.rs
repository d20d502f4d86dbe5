//! Systems whose answer is known, put to `capacity` and `release` as their users do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::fs;
use std::path::Path;
use std::process::Command;

use record::{CapacityPlan, ReleasePlan};
use tempfile::TempDir;

/// A Deployment of one container with its Service.
fn workload(name: &str, replicas: u32, cpu: &str, label: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop, labels: {{tier: {label}}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
        - name: {name}
          image: registry.example/{name}:1
          ports: [{{name: http, containerPort: 8000}}]
          resources: {{requests: {{cpu: 100m, memory: 64Mi}}, limits: {{cpu: {cpu}, memory: 512Mi}}}}
          lifecycle: {{preStop: {{sleep: {{seconds: 5}}}}}}
          readinessProbe: {{httpGet: {{path: /health, port: http}}, initialDelaySeconds: 5, periodSeconds: 2}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: http}}]}}
---
"
    )
}

const INGRESS: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shop}
spec:
  ingressClassName: nginx
  rules:
    - host: shop.example
      http:
        paths:
          - {path: /cart, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}
          - {path: /, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}
";

fn profile(name: &str, route: &str, cpu: &str, workers: u32) -> String {
    format!(
        "workload: {name}\nsource: 'assumed: a planted cost'\nworkers: {workers}\nbacklog: 10000\nmemory: 50Mi\n\
         memoryPerRequest: 1Ki\nroutes: [{{route: GET {route}, cpu: {cpu}, response: '200'}}]\n"
    )
}

/// A folder with a project in it; `steps` are the requests of a session.
fn project(platform: &str, profiles: &[(&str, String)], steps: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let write = |name: &str, text: &str| {
        let file = at.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("shop.yaml", platform);
    write(
        "rehearse.yaml",
        "apiVersion: rehearse/v1\nkind: Project\nplatform: shop.yaml\nscenario: buy\nprofiles: profiles\n\
         scenarios: scenarios\nlint: {errors: tell}\n",
    );
    for (name, text) in profiles {
        write(&format!("profiles/{name}.yaml"), text);
    }
    let scenario = format!(
        "apiVersion: rehearse/v1
kind: Scenario
metadata: {{name: buy, question: How many can buy?}}
spec:
  host: shop.example
  timeout: 10s
  phases:
    - {{name: warm-up, kind: warm-up, duration: 10s}}
    - {{name: steady, kind: steady, duration: 60s}}
  journeys:
    buy:
      flow: buy
      steps:
{steps}  load:
    - {{journey: buy, clients: 400, rate: {{warm-up: 8/s, steady: 8/s}}}}
"
    );
    write("scenarios/buy.yaml", &scenario);
    folder
}

/// What the command says on standard output, and how it ended.
fn rehearse(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse")).args(args).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn capacity(folder: &Path, objective: &str) -> CapacityPlan {
    let args = ["capacity", "--quiet", "--format", "json", "--objective", objective, "--confirmations", "1"];
    let (code, out, err) = rehearse(folder, &args);
    assert!(matches!(code, 0 | 99), "{code}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
}

#[test]
fn the_capacity_of_one_queue_is_that_of_theory() {
    // M/M/1: a request is in the system for an exponential time of rate μ − λ, so that its p95 is 3.0 / (μ − λ).
    let platform = workload("front", 1, "1", "web") + INGRESS;
    let costs = [("front", profile("front", "/buy", "{exponential: 20ms}", 1))];
    let folder = project(&platform, &costs, "        - {name: buy, request: GET /buy}\n");
    let plan = capacity(folder.path(), "p95 < 400ms for buy");
    let theory = 1.0 / 0.020 - 20_f64.ln() / 0.400;
    // The upper bound has to keep the limit, so that the answer is below the truth, and not far.
    let (keeps, breaks) = (plan.declared.keeps, plan.declared.breaks.unwrap());
    assert!((0.85..1.01).contains(&(keeps / theory)), "{keeps} of {theory}");
    assert!((0.9..1.1).contains(&(breaks / theory)), "{breaks} of {theory}");
    // And nothing can go beyond the server itself.
    assert!((plan.bounds[0].rate * 0.020 - 1.0).abs() < 0.01, "{:?}", plan.bounds[0]);
}

#[test]
fn a_planted_bottleneck_is_named_first_with_the_change_that_moves_it() {
    let platform = workload("front", 4, "1", "web") + &workload("cart", 2, "500m", "shop") + INGRESS;
    let costs = [
        ("front", profile("front", "/buy", "{exponential: 2ms}", 4)),
        ("cart", profile("cart", "/cart/add", "{exponential: 20ms}", 4)),
    ];
    let steps = "        - {name: buy, request: GET /buy}\n        - {name: add, request: GET /cart/add}\n";
    let folder = project(&platform, &costs, steps);
    let plan = capacity(folder.path(), "p95 < 500ms for buy");
    // Two pods of half a core, 20 ms a session.
    assert!((plan.bounds[0].rate - 50.0).abs() < 1.0 && plan.bounds[0].why.contains("cart"), "{:?}", plan.bounds);
    let first = &plan.ladder[0];
    assert!(first.binds.contains("cart"), "{first:?}");
    assert!(first.patch.as_ref().unwrap().contains("cart"), "{first:?}");
    assert!(first.after.unwrap() > first.before * 1.1, "the change moves it: {first:?}");
}

#[test]
fn a_planted_defect_is_blamed_and_a_harmless_change_is_not() {
    let shop =
        |carts: u32, label: &str| workload("front", 2, "1", label) + &workload("cart", carts, "1", "shop") + INGRESS;
    let costs = [
        ("front", profile("front", "/buy", "{exponential: 4ms}", 4)),
        ("cart", profile("cart", "/cart/add", "{exponential: 4ms}", 4)),
    ];
    let steps = "        - {name: buy, request: GET /buy}\n        - {name: add, request: GET /cart/add}\n";
    // The candidate has a single cart, which no failure leaves standing; its front has another label.
    let folder = project(&shop(3, "web"), &costs, steps);
    fs::write(folder.path().join("candidate.yaml"), shop(1, "www")).unwrap();
    let args = [
        "release",
        "--candidate",
        "candidate.yaml",
        "--against",
        "shop.yaml",
        "--drill-seeds",
        "2",
        "--quiet",
        "--format",
        "json",
        "--only",
        "cart",
    ];
    let (code, out, err) = rehearse(folder.path(), &args);
    assert_eq!(code, 99, "{out}{err}");
    let plan: ReleasePlan = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    let moved = |object: &str| plan.changes.iter().find(|change| change.object == object).map(|change| &change.moved);
    assert!(moved("Deployment/cart").is_some_and(|moved| !moved.is_empty()), "{:?}", plan.changes);
    assert!(moved("Deployment/front").is_none_or(Vec::is_empty), "{:?}", plan.changes);
}

#[test]
fn questions_that_cannot_be_asked_are_refused_with_their_reason() {
    let platform = workload("front", 1, "1", "web") + INGRESS;
    let costs = [("front", profile("front", "/buy", "{exponential: 20ms}", 1))];
    let folder = project(&platform, &costs, "        - {name: buy, request: GET /buy}\n");
    fs::write(folder.path().join("prices.yaml"), "currency: EUR\ncoreHour: 1\ngibHour: 1\nsource: us\n").unwrap();
    for (case, more, code, want) in [
        ("an unknown journey", ["--journeys", "sell=100%"], 2, "there is no journey `sell`"),
        ("shares that do not add up", ["--journeys", "buy=60%"], 2, "sum up to 100 %"),
        ("growth below zero", ["--growth=-8%/month", "--quiet"], 2, "a growth above 0"),
        ("prices without a date", ["--prices", "prices.yaml"], 2, "date"),
        ("prices that are not there", ["--prices", "nowhere.yaml"], 2, "nowhere.yaml"),
        ("broken at zero", ["--objective", "p95 < 1ms for buy"], 99, "nearly no load"),
    ] {
        let args = ["capacity", "--out", "plans"].iter().chain(&more).copied().collect::<Vec<_>>();
        let (got, _, err) = rehearse(folder.path(), &args);
        assert!(got == code && err.contains(want), "{case}: {got} {err}");
    }
}

#[test]
fn costs_are_found_again_in_an_access_log() {
    // The log of a front that takes 38 ms, where the profile says 20; a cart at 3 ms, where it says 9.
    let platform = workload("front", 2, "1", "web") + &workload("cart", 2, "1", "shop") + INGRESS;
    let costs = [
        ("front", profile("front", "/buy", "{log-normal: {median: 20ms, sigma: 0.3}}", 4)),
        ("cart", profile("cart", "/cart/*", "{log-normal: {median: 9ms, sigma: 0.3}}", 4)),
    ];
    let folder = project(&platform, &costs, "        - {name: buy, request: GET /buy}\n");
    let mut log = String::new();
    for second in 0..300_u32 {
        let client = second % 40;
        let line = |path: &str, ms: u32| {
            let (minute, second) = (second / 60, second % 60);
            format!(
                "10.0.0.{client} - - [23/Nov/2026:02:{minute:02}:{second:02} +0000] \"GET {path} HTTP/1.1\" 200 9 \"-\" \"x\" 0.{ms:03}\n"
            )
        };
        // A spread that the law can have: from half to twice the median.
        let around = |median: u32| median * (60 + (second * 37) % 81) / 100;
        log += &line("/buy", around(38));
        log += &line(&format!("/cart/{second}"), around(3).max(2));
    }
    log += "and a line that is none\n";
    fs::write(folder.path().join("access.log"), log).unwrap();
    let args = ["calibrate", "--access-log", "access.log", "--dir", "found"];
    let (code, out, err) = rehearse(folder.path(), &args);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("600 requests of 40 clients") && out.contains("the first is line 601"), "{out}");
    let median = |name: &str| {
        let text = fs::read_to_string(folder.path().join(format!("found/profiles/{name}.yaml"))).unwrap();
        let profile = model::Profile::parse(&text, name).unwrap();
        assert!(profile.source.starts_with("measured: access.log, 600 requests"), "{}", profile.source);
        profile.routes[0].cpu.mean().as_secs_f64() * 1e3
    };
    let (front, cart) = (median("front"), median("cart"));
    assert!((34.0..42.0).contains(&front), "{front} ms\n{out}");
    assert!((1.5..4.0).contains(&cart), "{cart} ms\n{out}");
    // What was found plays, and nothing is written over by chance.
    assert!(fs::read_to_string(folder.path().join("found/scenarios/recorded.yaml")).unwrap().contains("GET /cart/:id"));
    assert_eq!(rehearse(folder.path(), &args).0, 2);
    let (code, _, err) =
        rehearse(folder.path(), &["simulate", "found/scenarios/recorded.yaml", "--quiet", "--undecided", "pass"]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = rehearse(folder.path(), &["calibrate", "--access-log", "shop.yaml"]);
    assert!(code == 2 && err.contains("$request_time"), "{err}");
}

#[test]
fn every_drill_of_the_shipped_platform_can_be_played() {
    let folder = TempDir::new().unwrap();
    for overlay in ["production", "staging"] {
        let (code, out, err) = rehearse(folder.path(), &["release", "--plan", "--overlay", overlay]);
        assert_eq!(code, 0, "{overlay}: {err}");
        let kinds = ["pod kill", "rollout", "bad rollout", "drain", "zone loss", "database", "Redis", "retry storm"];
        assert!(kinds.iter().all(|kind| out.contains(kind)), "{overlay}: {out}");
    }
}
