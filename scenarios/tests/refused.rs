//! What cannot be played is refused with place and reason, and all of it at once.

use scenarios::{Place, Scenario, ScenarioError};

/// A scenario that has a little of everything, and can be played.
const WHOLE: &str = "\
apiVersion: rehearse/v1
kind: Scenario
metadata: {name: whole, question: Is everything there?}
spec:
  host: api.selfmonitor.app
  timeout: 10s
  phases:
    - {name: warm-up, kind: warm-up, duration: 10s}
    - {name: steady, kind: steady, duration: 2m}
  journeys:
    core-flow:
      flow: core
      think: 1s to 2s
      steps:
        - {name: register, request: POST /auth/register, payload: user, limit: 500ms, expect: 201}
        - {name: create transaction, request: POST /transactions/, times: 3, payload: transaction}
    dashboard:
      flow: dashboard
      steps:
        - {name: me, request: GET /users/me, expect: '2xx, 404'}
  load:
    - mix: {core-flow: 80 %, dashboard: 20 %}
      clients: 100
      rate: {warm-up: 1/s to 6/s, steady: 6/s spike 20/s at 10s for 5s}
    - journey: dashboard
      users: {warm-up: 0 to 10, steady: 10}
      think: exponential 2s
      retry: {attempts: 3, on: [5xx, timeout], backoff: 100ms, factor: 2, max: 1s, jitter: true}
    - journey: dashboard
      replay: {times: [0s, 1s, 1.5s], at: steady + 5s}
      clients: 1
  faults:
    - {name: kill, at: steady + 30s, podKill: {workload: auth-service, pods: 2, forced: true}}
    - {name: update, at: 1m, lasts: 30s, rollingUpdate: {workload: auth-service}}
    - {name: undo, at: 95s, rollback: {workload: auth-service}}
    - {name: slow, at: steady, lasts: 30s, latency: {from: gateway, to: auth-service, add: 50ms}}
  expect:
    - {that: failed, of: core, during: update, is: 0}
    - {that: rejected, of: register, in: steady, is: between 0 % and 60 %}
    - {that: recovered, after: kill, within: 60s}
  objectives: [p95 < 500ms for core, 'failed < 1 %']
  abort: {when: failed > 50 %, for: 10s}
";

fn refused(text: &str) -> ScenarioError {
    Scenario::parse(text, "s.yaml").map(|_| ()).expect_err(text)
}

#[test]
fn the_whole_format_is_read() {
    let scenario = Scenario::parse(WHOLE, "s.yaml").unwrap_or_else(|error| panic!("{error}"));
    let plan = scenario.load(units::Seed::new(1));
    assert_eq!((plan.streams.len(), plan.crowds.len(), plan.clients), (3, 1, 111));
    let lines = scenario.objectives().iter().map(|(line, place)| (line.as_str(), place.line)).collect::<Vec<_>>();
    assert_eq!(lines, [("p95 < 500ms for core", 41), ("failed < 1 %", 41)]);
    assert_eq!(scenario.faults().collect::<Vec<_>>(), ["slow", "kill", "update", "undo"]);
    assert_eq!(plan.streams[2].times[2], "16.5s".parse().unwrap(), "a replay counts from its own beginning");
}

#[test]
fn everything_that_is_wrong_has_a_place_and_a_reason() {
    let mut wrong = Vec::new();
    for (case, from, to, line, want) in [
        ("unknown key", "timeout: 10s", "timeuot: 10s", 6, "no key `timeuot` here: did you mean `timeout`?"),
        ("missing key", "      flow: dashboard\n", "", 18, "`flow` is missing"),
        ("unknown key of a fault", "podKill:", "podkill:", 33, "did you mean `podKill`?"),
        ("a list for a mapping", "clients: 1\n", "clients: [1]\n", 31, "a list, and a value is wanted"),
        ("another document", "kind: Scenario", "kind: Gate", 2, "kind: Scenario"),
        ("no unit", "duration: 2m", "duration: 2", 9, "`2` is no duration"),
        ("negative time", "duration: 2m", "duration: -2m", 9, "`-2m` is no duration"),
        ("infinite time", "duration: 2m", "duration: .inf", 9, "non-finite"),
        ("no time at all", "duration: 2m", "duration: 0s", 9, "lasts no time"),
        ("no number", "warm-up: 1/s to 6/s", "warm-up: NaN/s", 24, "`NaN/s` is no rate"),
        ("negative rate", "warm-up: 1/s to 6/s", "warm-up: -1/s", 24, "`-1/s` is no rate"),
        ("a spike too long", "at 10s for 5s", "at 10s for 5m", 24, "ends after its phase"),
        ("unknown phase", "{warm-up: 1/s", "{warmup: 1/s", 24, "did you mean `warm-up`?"),
        ("unknown journey", "journey: dashboard\n      users", "journey: dashbord\n      users", 25, "`dashboard`?"),
        ("unknown journey in a mix", "dashboard: 20 %", "dashbord: 20 %", 22, "did you mean `dashboard`?"),
        ("shares above 100 %", "core-flow: 80 %", "core-flow: 90 %", 22, "sum up to 110 %"),
        ("shares below 100 %", "core-flow: 80 %", "core-flow: 70 %", 22, "sum up to 90 %"),
        ("a share above 100 %", "core-flow: 80 %", "core-flow: 180 %", 22, "`180 %` is no share"),
        ("think without users", "clients: 1\n", "clients: 1\n      think: 1s\n", 32, "has no `users`"),
        ("rate and users", "clients: 1\n", "clients: 1\n      users: {steady: 1}\n", 29, "exactly one of"),
        ("no clients", "clients: 100", "clients: 0", 23, "at least 1"),
        ("clients left out", "      clients: 1\n", "", 29, "how many `clients`"),
        ("a replay beyond the end", "1.5s]", "15m]", 30, "load ends at 2m10s"),
        ("a negative instant", "[0s, 1s", "[-1s, 1s", 30, "`-1s` is no duration"),
        ("no path", "GET /users/me", "GET users", 20, "not of the form `GET /path`"),
        ("the same step twice", "name: me", "name: register", 20, "two steps"),
        ("no such status", "expect: 201", "expect: 2001", 15, "no HTTP statuses"),
        ("no such payload", "payload: user", "payload: usr", 15, "did you mean `user`?"),
        ("think backwards", "1s to 2s", "2s to 1s", 13, "ends before it begins"),
        ("one attempt", "attempts: 3", "attempts: 1", 28, "2 to 100"),
        ("unknown failure", "on: [5xx, timeout]", "on: [5xx, timeuot]", 28, "did you mean `timeout`?"),
        ("waits shrink", "factor: 2", "factor: 0.5", 28, "no factor"),
        ("a fault after the end", "at: steady + 30s", "at: steady + 3m", 33, "outside the run"),
        ("a fault that ends too late", "lasts: 30s, rollingUpdate", "lasts: 5m, rollingUpdate", 34, "outside the run"),
        ("a negative instant of a fault", "at: 1m,", "at: -1m,", 34, "`-1m` is no duration"),
        ("unknown phase of a fault", "at: steady + 30s", "at: staedy + 30s", 33, "did you mean `steady`?"),
        ("a fault of two kinds", "add: 50ms}", "add: 50ms}, nodeLoss: {node: a}", 36, "does 2 things"),
        ("a fault of no kind", ", podKill: {workload: auth-service, pods: 2, forced: true}", "", 33, "does nothing"),
        ("two faults of one name", "name: undo", "name: kill", 35, "two faults are called `kill`"),
        ("a killed pod that lasts", "at: steady + 30s", "at: steady + 30s, lasts: 5s", 33, "replaced, not undone"),
        ("no latency", "add: 50ms", "add: 0s", 36, "adds no latency"),
        ("rollback without rollout", "rollback: {workload: auth", "rollback: {workload: tax", 35, "nothing to undo"),
        ("unknown fault", "during: update", "during: updat", 38, "did you mean `update`?"),
        ("unknown flow", "of: core,", "of: cores,", 38, "did you mean `core`?"),
        ("unknown phase of an expectation", "in: steady", "in: stedy", 39, "did you mean `steady`?"),
        ("unknown expectation", "that: rejected", "that: rejectd", 39, "did you mean `rejected`?"),
        ("bounds the wrong way round", "between 0 % and 60 %", "between 60 % and 5 %", 39, "is no bound"),
        (
            "a key that does not go with it",
            "{that: recovered, after",
            "{that: recovered, is: 0, after",
            40,
            "has no `is`",
        ),
        ("a key that is needed", "after: kill, ", "", 40, "needs `after`"),
        ("an abort that cannot be", "failed > 50 %", "failed > 100 %", 42, "can never be"),
        ("an abort of no condition", "failed > 50 %", "failures", 42, "is no condition"),
        ("half a second", "for: 10s", "for: 500ms", 42, "whole seconds"),
    ] {
        assert!(WHOLE.contains(from), "{case}: the test is out of date");
        let error = refused(&WHOLE.replacen(from, to, 1));
        let told = error.problems.iter().find(|problem| problem.what.contains(want));
        match told {
            Some(told) if told.place.line == line && told.place.column > 1 => {}
            Some(told) => wrong.push(format!("{case}: line {} and not {line}", told.place.line)),
            None => wrong.push(format!("{case}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn faults_that_exclude_each_other_are_refused() {
    let faults = |lines: &str| {
        let head = WHOLE.split("  faults:").next().unwrap();
        format!("{head}  faults:\n{lines}")
    };
    for (case, lines, want) in [
        (
            "two rollouts at once",
            "    - {name: a, at: 10s, rollingUpdate: {workload: x}}\n    - {name: b, at: 20s, badImage: {workload: x}}\n",
            "two rollouts of x overlap",
        ),
        (
            "a lost node is drained",
            "    - {name: a, at: 10s, nodeLoss: {node: n}}\n    - {name: b, at: 20s, nodeDrain: {node: n}}\n",
            "node n is lost until 2m10s",
        ),
        (
            "a cut-off node is lost",
            "    - {name: a, at: 10s, partition: {node: n}}\n    - {name: b, at: 20s, nodeLoss: {node: n}}\n",
            "node n is cut off",
        ),
        (
            "the same loss twice",
            "    - {name: a, at: 10s, databaseLoss: {}}\n    - {name: b, at: 20s, databaseLoss: {}}\n",
            "in the same way until 2m10s",
        ),
        (
            "late in a black hole",
            "    - {name: a, at: 10s, blackhole: {from: gateway, to: x}}\n    - {name: b, at: 20s, latency: {from: \
             gateway, to: x, add: 1s}}\n",
            "black hole",
        ),
        (
            "lost and reset in a black hole",
            "    - {name: a, at: 10s, packetLoss: {from: gateway, to: x, share: 1 %}}\n    - {name: b, at: 20s, blackhole: \
             {from: gateway, to: x}}\n",
            "black hole",
        ),
        ("nothing is reset", "    - {at: 10s, reset: {from: gateway, to: x, share: 0 %}}\n", "above 0 %"),
    ] {
        let error = refused(&faults(lines));
        assert!(error.problems.len() == 1 && error.problems[0].what.contains(want), "{case}: {error}");
    }
    for (case, lines) in [
        (
            "one after the other",
            "    - {name: a, at: 10s, lasts: 5s, nodeLoss: {node: n}}\n    - {name: b, at: 15s, nodeDrain: {node: n}}\n",
        ),
        (
            "a bad image undone",
            "    - {name: a, at: 10s, badImage: {workload: x}}\n    - {name: b, at: 30s, rollback: {workload: x}}\n",
        ),
        (
            "other nodes",
            "    - {name: a, at: 10s, nodeLoss: {node: n}}\n    - {name: b, at: 20s, nodeDrain: {node: m}}\n",
        ),
    ] {
        assert!(Scenario::parse(&faults(lines), "s.yaml").is_ok(), "{case}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_line() {
    let text = WHOLE.replace("timeout: 10s", "timeuot: 10s").replace("name: steady, kind", "nme: steady, kind");
    let error = refused(&text);
    assert_eq!(error.problems.iter().map(|p| p.place.line).collect::<Vec<_>>(), [5, 6, 9, 9], "{error}");
    let text =
        WHOLE.replace("duration: 2m", "duration: 2").replace("add: 50ms", "add: soon").replace("of: core,", "of: x,");
    let error = refused(&text);
    assert_eq!(error.problems.iter().map(|p| p.place.line).collect::<Vec<_>>(), [9, 36, 38], "{error}");
    let text = error.to_string();
    assert!(text.starts_with("s.yaml:9:46: `2` is no duration"), "{text}");
    assert!(text.contains("  9 |     - {name: steady, kind: steady, duration: 2}\n"), "{text}");
}

#[test]
fn nobody_at_all_is_refused() {
    let head = WHOLE.split("  load:").next().unwrap();
    for (case, load) in [
        ("rates of zero", "{journey: dashboard, clients: 1, rate: {steady: 0/s}}"),
        ("no users", "{journey: dashboard, users: {steady: 0}}"),
        ("no phase", "{journey: dashboard, clients: 1, rate: {}}"),
    ] {
        let error = refused(&format!("{head}  load:\n    - {load}\n"));
        assert!(error.to_string().contains("nobody ever arrives"), "{case}: {error}");
    }
    assert!(refused(&format!("{head}  load: []\n")).to_string().contains("nobody ever arrives"));
}

#[test]
fn broken_yaml_and_twins_have_a_place() {
    for (case, text) in [
        ("no YAML", "apiVersion: [rehearse/v1\nkind: x"),
        ("a key twice", "apiVersion: rehearse/v1\napiVersion: rehearse/v1\n"),
        ("nothing", ""),
        ("a word", "smoke"),
    ] {
        let error = refused(text);
        assert!(!error.problems.is_empty(), "{case}");
        assert!(error.problems[0].place > Place::default() || text.is_empty(), "{case}: {error}");
    }
}

#[test]
fn a_replay_reads_a_file_beside_the_scenario() {
    let text = WHOLE.replace("times: [0s, 1s, 1.5s]", "file: access.times");
    let read = |given: &'static str| {
        Scenario::parse_with(&text, "s.yaml", &move |name| {
            if name == "access.times" { Ok(given.into()) } else { Err("?".into()) }
        })
    };
    let plan =
        read("# from the access log\n1700000000.25\n1700000001\n\n1700000000.75\n").unwrap().load(units::Seed::new(1));
    let dues: Vec<_> = plan.streams[2].times.iter().map(|at| at.as_millis()).collect();
    assert_eq!(dues, [15_000, 15_500, 15_750], "in order, and counted from the first");
    for (given, want) in [("soon", "its line 1 is no instant"), ("", "no instants"), ("1s\nNaN", "its line 2")] {
        assert!(read(given).unwrap_err().to_string().contains(want), "{want}");
    }
    assert!(Scenario::parse(&text, "s.yaml").unwrap_err().to_string().contains("cannot be read"));
}
