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
#[expect(clippy::disallowed_methods, reason = "a Prometheus looks back from its own wall clock")]
fn costs_are_found_again_in_a_prometheus() {
    if !testing::needs("costs_are_found_again_in_a_prometheus", testing::Need::Prometheus) {
        return;
    }
    // A front whose answers take 30 to 50 ms, evenly, where the profile says 20; nothing leads to its other route.
    let platform = workload("front", 2, "1", "web") + INGRESS;
    let costs = [("front", profile("front", "/buy", "{log-normal: {median: 20ms, sigma: 0.2}}", 4))];
    let folder = project(&platform, &costs, "        - {name: buy, request: GET /buy}\n");
    let now = jiff::Timestamp::now().as_second();
    let mut text = String::from("# TYPE http_request_duration_seconds histogram\n");
    for (path, each) in [("/buy", 60), ("/hidden", 6)] {
        let edges = [("0.03", 0), ("0.04", 1), ("0.05", 2), ("0.1", 2), ("+Inf", 2)];
        let mut series = |name: &str, le: &str, halves: i64| {
            for minute in 0..=30_i64 {
                let (at, count) = (now - (30 - minute) * 60, minute * each * halves / 2);
                text += &format!(
                    "{name}{{service=\"front\",method=\"GET\",path=\"{path}\",status=\"200\"{le}}} {count} {at}\n"
                );
            }
        };
        for (edge, halves) in edges {
            series("http_request_duration_seconds_bucket", &format!(",le=\"{edge}\""), halves);
        }
        series("http_request_duration_seconds_count", "", 2);
    }
    text += "# EOF\n";
    let server = testing::prometheus::Server::start(text.as_bytes());
    let url = format!("http://127.0.0.1:{}", server.port);
    let args = ["calibrate", "--prometheus", &url, "--window", "20m", "--dir", "found"];
    let (code, out, err) = rehearse(folder.path(), &args);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("1 of its routes have no step") && out.contains("GET /hidden of front"), "{out}");
    let text = fs::read_to_string(folder.path().join("found/profiles/front.yaml")).unwrap();
    let mean = model::Profile::parse(&text, "front").unwrap().routes[0].cpu.mean().as_secs_f64() * 1e3;
    assert!((36.0..44.0).contains(&mean), "{mean} ms\n{out}");
    let recorded = fs::read_to_string(folder.path().join("found/scenarios/recorded.yaml")).unwrap();
    assert!(recorded.contains("steady: 1.0") || recorded.contains("steady: 0.99"), "60 a minute: {recorded}");
    let (code, _, err) = rehearse(folder.path(), &["calibrate", "--prometheus", &url, "--metric", "nothing"]);
    assert!(code == 2 && err.contains("--metric"), "{err}");
}

#[test]
fn a_running_platform_is_tried_with_gets_alone() {
    use std::io::{Read as _, Write as _};
    let platform = workload("front", 2, "1", "web") + INGRESS;
    let front = profile("front", "/buy", "{log-normal: {median: 20ms, sigma: 0.2}}", 4)
        .replace("'200'}]", "'200'}, {route: POST /pay, cpu: {constant: 1ms}, response: '200'}]");
    let costs = [("front", front)];
    let steps = "        - {name: buy, request: GET /buy}\n        - {name: pay, request: POST /pay}\n";
    let folder = project(&platform, &costs, steps);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = std::sync::Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            let n = stream.read(&mut bytes).unwrap();
            heard.lock().unwrap().push(String::from_utf8_lossy(&bytes[..n]).into_owned());
            // Slower than a profile's 20 ms, and by the same for everybody.
            #[expect(clippy::disallowed_methods, reason = "what is measured is a wait on the wall clock")]
            std::thread::sleep(std::time::Duration::from_millis(60));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
        }
    });
    let args = ["calibrate", "--live", &url, "--times", "30", "--header", "X-Who: rehearse", "--dir", "found"];
    let (code, out, err) = rehearse(folder.path(), &args);
    assert_eq!(code, 0, "{out}{err}");
    let seen = seen.lock().unwrap();
    let first_line = |request: &String| request.lines().next().unwrap_or_default().to_owned();
    assert!(seen.len() == 30 && seen.iter().all(|one| first_line(one) == "GET /buy HTTP/1.1"), "{:?}", seen[0]);
    assert!(seen[0].contains("rehearse") && seen[0].to_lowercase().contains("host: shop.example"), "{}", seen[0]);
    assert!(out.contains("1 steps are no GETs"), "{out}");
    let text = fs::read_to_string(folder.path().join("found/profiles/front.yaml")).unwrap();
    let mean = model::Profile::parse(&text, "front").unwrap().routes[0].cpu.mean().as_secs_f64() * 1e3;
    assert!((50.0..90.0).contains(&mean), "{mean} ms\n{out}");
    let (code, _, err) = rehearse(folder.path(), &["calibrate"]);
    assert!(code == 2 && err.contains("--access-log"), "{err}");
}

#[test]
fn parts_of_a_sweep_make_the_same_whole() {
    let platform = workload("front", 2, "1", "web") + &workload("cart", 2, "1", "shop") + INGRESS;
    let costs = [
        ("front", profile("front", "/buy", "{exponential: 4ms}", 4)),
        ("cart", profile("cart", "/cart/add", "{exponential: 4ms}", 4)),
    ];
    let steps = "        - {name: buy, request: GET /buy}\n        - {name: add, request: GET /cart/add}\n";
    let folder = project(&platform, &costs, steps);
    let at = folder.path();
    let only = |out: &str| {
        let mut folders: Vec<_> = fs::read_dir(at.join(out)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(folders.len(), 1, "{folders:?}");
        folders.remove(0)
    };
    for (case, command, file) in [
        ("seeds", &["simulate", "buy", "--seeds", "5", "--undecided", "pass"][..], "replications.json"),
        ("drills", &["release", "buy", "--drill-seeds", "2", "--only", "cart"], "release.json"),
    ] {
        let play = |out: &str, more: &[&str]| {
            let args: Vec<&str> = command.iter().chain(&["--quiet", "--out", out]).chain(more).copied().collect();
            rehearse(at, &args)
        };
        let (whole, parts) = (format!("{case}-whole"), [format!("{case}-1"), format!("{case}-2")]);
        let (code, said, err) = play(&whole, &[]);
        assert!([0, 91, 99].contains(&code), "{case}: {err}");
        for (nth, out) in (1..).zip(&parts) {
            let (code, _, err) = play(out, &["--shard", &format!("{nth}/2")]);
            assert!([0, 91, 99].contains(&code), "{case}: {err}");
        }
        let [one, two] = parts.map(|out| only(&out).display().to_string());
        let out = format!("{case}-merged");
        let (got, merged, err) = rehearse(at, &["merge", &two, &one, "--out", &out, "--undecided", "pass"]);
        assert_eq!(
            fs::read_to_string(only(&out).join(file)).unwrap(),
            fs::read_to_string(only(&whole).join(file)).unwrap()
        );
        let but_the_folder = |text: &str| {
            let told = |line: &&str| !line.starts_with("report: ") && !line.starts_with("  rehearse simulate ");
            text.lines().filter(told).collect::<Vec<_>>().join("\n")
        };
        assert!(got == code || code == 91, "{case}: {got} and {code}: {err}");
        assert_eq!(but_the_folder(&merged), but_the_folder(&said), "{case}");
        let (code, _, err) = rehearse(at, &["merge", &one, "--out", "none"]);
        assert!(code == 2 && err.contains("part 2/2 is missing"), "{case}: {err}");
    }
    let (code, _, err) = rehearse(at, &["merge", "nowhere"]);
    assert!(code == 2 && err.contains("nowhere"), "{err}");
    let (code, _, err) = rehearse(at, &["simulate", "buy", "--seeds", "2", "--shard", "3/3"]);
    assert!(code == 2 && err.contains("this one has none"), "{err}");
}

#[test]
fn parts_of_a_capacity_plan_make_the_same_plan() {
    let platform = workload("front", 1, "500m", "web")
        + &workload("cart", 2, "500m", "shop")
        + "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: front, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: front}
  minReplicas: 1
  maxReplicas: 2
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
---
" + INGRESS;
    let costs = [
        ("front", profile("front", "/buy", "{exponential: 60ms}", 4)),
        ("cart", profile("cart", "/cart/add", "{exponential: 40ms}", 4)),
    ];
    let steps = "        - {name: buy, request: GET /buy}\n        - {name: add, request: GET /cart/add}\n";
    let folder = project(&platform, &costs, steps);
    let at = folder.path();
    let only = |out: &str| fs::read_dir(at.join(out)).unwrap().next().unwrap().unwrap().path();
    let question = |more: &[&str]| {
        let args = [
            "capacity",
            "--quiet",
            "--confirmations",
            "1",
            "--growth",
            "8%/month",
            "--objective",
            "p95 < 900ms for buy",
        ];
        rehearse(at, &[&args[..], more].concat())
    };
    let (code, said, err) = question(&["--out", "whole"]);
    assert!([0, 99].contains(&code), "{err}");
    let parts = ["1/3", "2/3", "3/3"].map(|shard| {
        let out = format!("part-{}", &shard[..1]);
        let (code, said, err) = question(&["--out", &out, "--shard", shard]);
        assert!(code == 0 && said.contains(&format!("part {shard}")), "{said}{err}");
        only(&out).display().to_string()
    });
    let [one, two, three] = &parts;
    let (got, merged, err) = rehearse(at, &["merge", three, one, two, "--out", "merged"]);
    assert_eq!(got, code, "{err}");
    for file in ["capacity.json", "capacity.html"] {
        let read = |out: &str| fs::read_to_string(only(out).join(file)).unwrap();
        assert!(read("merged") == read("whole"), "{file} differs between one machine and three");
    }
    let but_the_folder =
        |text: &str| text.lines().filter(|line| !line.starts_with("report: ")).collect::<Vec<_>>().join("\n");
    assert_eq!(but_the_folder(&merged), but_the_folder(&said));
    // Questions of every kind were cut.
    let plan: CapacityPlan =
        serde_json::from_str(&fs::read_to_string(only("merged").join("capacity.json")).unwrap()).unwrap();
    let motion = plan.motion.unwrap();
    assert!(motion.reactive.shortest_s.or(motion.reactive.breaks_s).is_some(), "{motion:?}");
    assert!(plan.ladder.len() > 1 && plan.losses.len() > 1 && plan.frontier.len() > 2 && plan.sensitivity.len() > 1);
    let (code, _, err) = rehearse(at, &["merge", one, three, "--out", "none"]);
    assert!(code == 2 && err.contains("part 2/3 is missing"), "{err}");
    let (code, _, err) = question(&["--shard", "1/2", "--confirm", "embedded"]);
    assert!(code == 2 && err.contains("cannot be used with"), "{err}");
}

#[test]
fn what_no_backend_confirms_is_told_before_anything_is_played() {
    let folder = TempDir::new().unwrap();
    let release =
        |more: &[&str]| rehearse(folder.path(), &[&["release", "smoke", "--plan", "--only", "dns"], more].concat());
    let (code, out, err) = release(&["--confirm", "containers"]);
    assert!(code == 0 && out.contains("not confirmed on containers: ") && out.contains("hosts files"), "{out}{err}");
    let (code, out, _) = release(&["--confirm", "control-plane"]);
    assert!(code == 0 && !out.contains("not confirmed"), "{out}");
    fs::create_dir(folder.path().join("empty")).unwrap();
    for (case, more, code, want) in [
        ("virtual time again", &["--confirm", "simulated"][..], 2, "name one of embedded, control-plane"),
        ("no control plane", &["--confirm", "control-plane", "--kube-bin-dir", "empty"], 30, "etcd is not found"),
        ("no such backend", &["--confirm", "moon"], 2, "[possible values: embedded"),
    ] {
        for command in [&["capacity", "smoke"][..], &["release", "smoke"]] {
            let (got, out, err) = rehearse(folder.path(), &[command, more].concat());
            assert!(got == code && err.contains(want) && out.is_empty(), "{case}: {got} {out}{err}");
        }
    }
    assert!(!folder.path().join("rehearsals").exists(), "nothing was played");
}

#[test]
fn what_an_adversary_finds_plays_again() {
    let platform = workload("front", 1, "500m", "web") + &workload("cart", 2, "1", "shop") + INGRESS;
    let costs = [
        ("front", profile("front", "/buy", "{exponential: 10ms}", 4)),
        ("cart", profile("cart", "/cart/add", "{exponential: 4ms}", 4)),
    ];
    let steps = "        - {name: buy, request: GET /buy}\n        - {name: add, request: GET /cart/add}\n";
    let folder = project(&platform, &costs, steps);
    let objective = ["--objective", "p95 < 400ms for buy"];
    let args = [
        "release",
        "buy",
        "--drill-seeds",
        "1",
        "--only",
        "pod-kill",
        "--adversary",
        "4",
        "--quiet",
        "--format",
        "json",
    ];
    let (_, out, err) = rehearse(folder.path(), &[&args[..], &objective].concat());
    let plan: ReleasePlan = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    let found = plan.adversary.unwrap();
    // A core of half serves 50 a second, and 8 come.
    assert!((2.0..9.0).contains(&found.burst_breaks.unwrap()), "{found:?}");
    assert!(found.burst_seconds.unwrap() <= 60 && found.files.len() == 2, "{found:?}");
    // As a user types it, where the release was asked about.
    let command = found.files[0].replacen("rehearse", env!("CARGO_BIN_EXE_rehearse"), 1);
    let output = Command::new("sh").args(["-c", &command]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(99), "{command}: {output:?}");
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
