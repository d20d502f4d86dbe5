//! The command as its callers see it: exit codes, messages, files, and nothing left running.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn rehearse(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rehearse")).args(args).current_dir(folder).output().unwrap()
}

/// Exit code, standard output, standard error.
fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// The one run folder in `folder/rehearsals`.
fn run_folder(folder: &Path) -> PathBuf {
    let mut all: Vec<_> = fs::read_dir(folder.join("rehearsals")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn simulate_smoke_passes_and_leaves_a_whole_run_folder() {
    let folder = TempDir::new().unwrap();
    let (code, out, err) = told(&rehearse(folder.path(), &["simulate", "smoke", "--seed", "1"]));
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("PASS"), "{out}");
    assert!(err.contains("HPA transactions-service 3 →"), "{err}");
    let run = run_folder(folder.path());
    for file in [
        "run.json",
        "events.jsonl",
        "intervals.hlog",
        "result.json",
        "environment.json",
        "report.html",
        "summary.md",
        "junit.xml",
        "metrics.om",
        "series.om.gz",
    ] {
        let length = fs::metadata(run.join(file)).unwrap_or_else(|e| panic!("{file}: {e}")).len();
        assert!(length > 50, "{file} has {length} bytes");
    }
    let events = fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert!(events.lines().all(|line| serde_json::from_str::<record::Event>(line).is_ok()));
}

#[test]
fn what_a_run_leaves_keeps_the_published_schema_and_tells_its_fault() {
    let folder = TempDir::new().unwrap();
    let (code, _, err) = told(&rehearse(folder.path(), &["simulate", "gateway-loss", "--quiet"]));
    assert!(code == 0 || code == 99, "{err}");
    let text = fs::read_to_string(run_folder(folder.path()).join("result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (code, schema, err) = told(&rehearse(folder.path(), &["schema", "result"]));
    assert_eq!(code, 0, "{err}");
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let errors: Vec<_> = schema.iter_errors(&result).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let fault = &result["faults"][0];
    assert!(fault["detected_us"].as_u64() > fault["began_us"].as_u64(), "{fault}");
    assert_eq!(result["curves"].as_array().map(Vec::is_empty), Some(false));
}

#[test]
fn the_same_seed_writes_the_same_bytes_and_another_seed_does_not() {
    let result = |seed: &str| {
        let folder = TempDir::new().unwrap();
        let (code, _, err) = told(&rehearse(folder.path(), &["simulate", "smoke", "--quiet", "--seed", seed]));
        assert_eq!((code, err.as_str()), (0, ""));
        let run = run_folder(folder.path());
        (fs::read(run.join("result.json")).unwrap(), fs::read(run.join("events.jsonl")).unwrap())
    };
    assert_eq!(result("7"), result("7"));
    assert_ne!(result("7").0, result("8").0);
}

#[test]
fn json_on_standard_output_is_result_json() {
    let folder = TempDir::new().unwrap();
    let (code, out, _) = told(&rehearse(folder.path(), &["simulate", "smoke", "--quiet", "--format", "json"]));
    assert_eq!(code, 0);
    assert_eq!(out, fs::read_to_string(run_folder(folder.path()).join("result.json")).unwrap());
}

#[test]
fn what_cannot_be_played_is_refused_before_anything_starts() {
    let folder = TempDir::new().unwrap();
    let smoke = scenarios::find("smoke").unwrap().text;
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("typo.yaml", &smoke.replace("timeout: 10s", "timeuot: 10s"));
    write("lost.yaml", &smoke.replace("POST /auth/token", "POST /nowhere"));
    write("unknown-route.yaml", &smoke.replace("POST /auth/token", "POST /auth/tokne"));
    write("broken.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: three}\n");
    write("empty.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    for (case, args, code, words) in [
        ("unknown scenario", vec!["simulate", "smok"], 2, vec!["no scenario `smok`", "smoke"]),
        ("a typo in a scenario", vec!["simulate", "typo.yaml"], 2, vec!["typo.yaml", "timeuot"]),
        ("a step that no location takes", vec!["run", "lost.yaml"], 2, vec!["step `token`", "/nowhere", "no location"]),
        ("a step no route answers", vec!["run", "unknown-route.yaml"], 2, vec!["did you mean `POST /auth/token`"]),
        ("a broken manifest", vec!["run", "--platform", "broken.yaml"], 20, vec!["broken.yaml:4", "replicas"]),
        ("no workload", vec!["simulate", "--platform", "empty.yaml"], 20, vec!["empty.yaml"]),
        ("no such platform", vec!["simulate", "--platform", "nowhere"], 20, vec!["nowhere"]),
        ("no such overlay", vec!["simulate", "--overlay", "moon"], 20, vec!["moon", "production"]),
        ("an unknown flag", vec!["run", "--speed"], 2, vec!["--speed"]),
    ] {
        let (got, out, err) = told(&rehearse(folder.path(), &args));
        assert_eq!((got, out.as_str()), (code, ""), "{case}: {err}");
        for word in words {
            assert!(err.contains(word), "{case}: `{word}` is not in: {err}");
        }
        assert!(!err.contains("panicked"), "{case}: {err}");
        assert!(!folder.path().join("rehearsals").exists(), "{case}: a run folder was made for nothing");
    }
}

#[test]
fn a_limit_that_cannot_hold_exits_99_and_says_how_to_repeat_it() {
    let folder = TempDir::new().unwrap();
    // Four times the sessions overload three replicas long before the autoscaler helps.
    let text = scenarios::find("smoke").unwrap().text.replace("step: 24/s", "step: 96/s");
    fs::write(folder.path().join("overload.yaml"), text).unwrap();
    let (code, out, err) = told(&rehearse(folder.path(), &["simulate", "overload.yaml", "--quiet"]));
    assert_eq!(code, 99, "{out}{err}");
    assert!(out.starts_with("FAIL"), "{out}");
    assert!(out.contains("rehearse simulate overload.yaml --seed 1"), "{out}");
    let junit = fs::read_to_string(run_folder(folder.path()).join("junit.xml")).unwrap();
    assert!(junit.contains("<failure") && junit.contains("core-latency"), "{junit}");
}

#[test]
fn too_few_samples_are_undecided_and_the_exit_code_is_a_choice() {
    let text = scenarios::find("smoke")
        .unwrap()
        .text
        .replace("step: 24/s", "step: 0.2/s")
        .replace("duration: 45s", "duration: 20s");
    for (choice, want) in [("fail", 91), ("pass", 0)] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("few.yaml"), &text).unwrap();
        let args = ["simulate", "few.yaml", "--quiet", "--undecided", choice];
        let (code, out, err) = told(&rehearse(folder.path(), &args));
        assert_eq!(code, want, "{out}{err}");
        assert!(out.starts_with("UNDECIDED"), "{out}");
    }
}

#[test]
fn nodes_too_small_for_the_platform_are_named() {
    let folder = TempDir::new().unwrap();
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: tiny}\nstatus: {allocatable: {cpu: 500m, memory: 1Gi, pods: \"110\"}}\n";
    fs::write(folder.path().join("nodes.yaml"), node).unwrap();
    let args = ["simulate", "--quiet", "--nodes", "nodes.yaml"];
    let (code, _, err) = told(&rehearse(folder.path(), &args));
    assert_eq!(code, 20, "{err}");
    assert!(err.contains("error[no-node-fits]") && err.contains("--errors tell"), "{err}");
    let (code, _, err) = told(&rehearse(folder.path(), &[&args[..], &["--errors", "tell"]].concat()));
    assert_eq!(code, 20, "{err}");
    assert!(err.contains("0/1 nodes are available") && err.contains("Insufficient"), "{err}");
}

#[test]
fn a_report_is_rendered_again_from_its_folder() {
    let folder = TempDir::new().unwrap();
    assert_eq!(told(&rehearse(folder.path(), &["simulate", "smoke", "--quiet"])).0, 0);
    let run = run_folder(folder.path());
    let first = fs::read(run.join("report.html")).unwrap();
    fs::remove_file(run.join("report.html")).unwrap();
    let (code, out, err) = told(&rehearse(folder.path(), &["report", run.to_str().unwrap()]));
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("PASS"), "{out}");
    assert_eq!(fs::read(run.join("report.html")).unwrap(), first);
    assert_eq!(told(&rehearse(folder.path(), &["report", "nowhere"])).0, 30);
}

#[test]
fn every_shipped_scenario_is_listed() {
    let (code, out, _) = told(&rehearse(Path::new("."), &["list"]));
    assert_eq!(code, 0);
    assert!(scenarios::LIBRARY.iter().all(|shipped| out.contains(shipped.name)), "{out}");
    let nightly = out.lines().find(|line| line.starts_with("nightly ")).unwrap();
    assert!(nightly.contains("run, simulate") && nightly.contains("2m55s"), "{nightly}");
}

#[test]
fn the_doctor_says_what_can_run_here_and_how_to_get_the_rest() {
    let folder = TempDir::new().unwrap();
    let (code, out, err) = told(&rehearse(folder.path(), &["doctor"]));
    assert!(matches!(code, 0 | 30), "{err}");
    for word in ["simulate", "run: live on loopback", "loopback addresses", "open files", "load driver", "wrk"] {
        assert!(out.contains(word), "`{word}` is not in: {out}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves nothing");
}

#[test]
fn shells_complete_what_there_is() {
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef rehearse"), ("fish", "complete -c rehearse")] {
        let (code, out, err) = told(&rehearse(Path::new("."), &["completions", shell]));
        assert_eq!(code, 0, "{err}");
        assert!(out.contains(word) && out.contains("goose-native"), "{shell}: {out}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place_before_anything_starts() {
    let folder = TempDir::new().unwrap();
    let smoke = scenarios::find("smoke").unwrap().text;
    let with = |faults: &str| smoke.replace("  load:\n", &format!("  faults:\n{faults}  load:\n"));
    let kill = "    - {at: 30s, podKill: {workload: auth-servce}}\n";
    let twice = "    - {name: a, at: 30s, nodeLoss: {node: general-a-1}}\n    - {name: b, at: 40s, nodeDrain: {node: \
                 general-a-1}}\n";
    for (name, text) in [
        ("nan.yaml", smoke.replace("step: 24/s, probe", "step: NaN/s, probe")),
        ("negative.yaml", smoke.replace("duration: 45s", "duration: -45s")),
        ("nobody.yaml", smoke.replace("{warm-up: 6/s, step: 24/s, probe: 24/s}", "{step: 0/s}").replace("60/s", "0/s")),
        ("lost.yaml", with(kill)),
        ("twice.yaml", with(twice)),
        ("big.yaml", smoke.replace("times: 3}", "times: 3, payload: document 60Mi}")),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    for (case, args, words) in [
        ("no number", vec!["nan.yaml"], vec!["nan.yaml:", "NaN/s", "no rate"]),
        ("negative time", vec!["negative.yaml"], vec!["negative.yaml:", "`-45s` is no duration"]),
        ("no arrivals", vec!["nobody.yaml"], vec!["nobody.yaml:", "nobody ever arrives"]),
        ("an unknown workload", vec!["lost.yaml"], vec!["lost.yaml:", "did you mean `auth-service`?"]),
        ("faults that exclude each other", vec!["twice.yaml"], vec!["twice.yaml:", "exclude each other"]),
        ("a body that the gateway refuses", vec!["big.yaml"], vec!["big.yaml:", "413"]),
        ("no factor", vec!["smoke", "--scale", "NaN"], vec!["NaN", "above zero"]),
        ("nothing at all", vec!["smoke", "--scale", "0"], vec!["above zero"]),
        ("a negative rate", vec!["smoke", "--rate=-5"], vec!["-5", "above zero"]),
        ("too much", vec!["smoke", "--scale", "1000000"], vec!["client addresses"]),
        ("no time", vec!["smoke", "--duration", "0s"], vec!["--duration 0s"]),
        ("a duration without a unit", vec!["smoke", "--duration", "5"], vec!["--duration"]),
        (
            "a fault would be cut",
            vec!["redis-outage", "--duration", "40s"],
            vec!["redis-outage.yaml:", "outside the run"],
        ),
    ] {
        let all: Vec<&str> = ["simulate"].into_iter().chain(args).collect();
        let (code, out, err) = told(&rehearse(folder.path(), &all));
        assert_eq!((code, out.as_str()), (2, ""), "{case}: {err}");
        for word in words {
            assert!(err.contains(word), "{case}: `{word}` is not in: {err}");
        }
        assert!(!folder.path().join("rehearsals").exists(), "{case}: a run folder was made for nothing");
    }
}

#[test]
fn many_seeds_have_one_verdict_and_the_same_bytes_on_any_number_of_threads() {
    let told_by = |threads: &str| {
        let folder = TempDir::new().unwrap();
        let args = ["simulate", "smoke", "--seeds", "4", "--threads", threads, "--format", "json", "--scale", "0.5"];
        let (code, out, err) = told(&rehearse(folder.path(), &args));
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert_eq!(fs::read_to_string(run_folder(folder.path()).join("replications.json")).unwrap(), out);
        out
    };
    let (one, three) = (told_by("1"), told_by("3"));
    assert_eq!(one, three);
    let all: record::Replications = serde_json::from_str(&one).unwrap();
    let seeds: Vec<u64> = all.arms[0].runs.iter().map(|run| run.seed.get()).collect();
    assert_eq!((seeds, all.arms[0].passed), (vec![1, 2, 3, 4], 4));
    assert!(all.command.ends_with("--scale 0.5 --seeds 4"), "{}", all.command);
}

#[test]
fn a_forecast_is_compared_with_the_autoscaler_as_declared() {
    let folder = TempDir::new().unwrap();
    let (code, out, err) = told(&rehearse(folder.path(), &["simulate", "hpa-step", "--seeds", "2", "--predictive"]));
    assert!(code == 0 || code == 91, "{out}{err}");
    for word in ["as declared", "with a forecast", "first pods added", "pods × minutes"] {
        assert!(out.contains(word), "`{word}` is not in: {out}");
    }
}
