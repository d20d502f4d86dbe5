//! `rehearse hpa` as a user types it.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

const MANIFEST: &str = "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 20
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}
";

fn crowd(at: u32, total: &str) -> String {
    let pod = r#"{"name":"p","ready":"True","startTime":-1000,"containers":[{"name":"app","requests":{"cpu":"1"}}]}"#;
    format!(r#"{{"at":{at},"scale":{{}},"asManyAsReplicas":{{"pod":{pod},"totalUsage":{{"cpu":"{total}"}}}}}}"#)
}

fn hpa(series: &str, more: &[&str]) -> Output {
    asked(MANIFEST, series, more)
}

fn asked(manifest: &str, series: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path: PathBuf = Path::new(folder.path()).join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (manifest, file) = (put("hpa.yaml", manifest), put("series.jsonl", series));
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
    command.arg("hpa").arg("--manifest").arg(&manifest).arg("--series").arg(&file).args(more).output().unwrap()
}

#[test]
fn every_sync_is_told_with_what_came_of_it() {
    let series =
        format!("{}\n{}\n{}\n{}\n", r#"{"at":0,"scale":{"spec":2}}"#, crowd(0, "900m"), crowd(60, "6"), r#"{"at":90}"#);
    let output = hpa(&series, &["--format", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let desired: Vec<_> =
        lines.iter().map(|line| (line["at"].as_f64().unwrap(), line["desired"].as_u64().unwrap())).collect();
    assert_eq!(desired, [(15.0, 2), (30.0, 2), (45.0, 2), (60.0, 4), (75.0, 8), (90.0, 12)]);
    assert_eq!(lines[3]["conditions"][0]["message"], "the HPA controller was able to update the target scale to 4");
    assert_eq!(lines[3]["scaling_limited"], "ScaleUpLimit");
}

/// What Kubernetes' own controller answered, given to the command in whole: each case's autoscaler as its manifest, each
/// of its records as a line.
#[test]
fn whole_cases_of_kubernetes_own_controller_have_its_answers() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cluster/tests/oracle/hpa");
    let folder = &folder;
    std::thread::scope(|scope| {
        for release in ["1.34", "1.35", "1.36"] {
            scope.spawn(move || {
                let mut text = String::new();
                let file = std::fs::File::open(folder.join(format!("recorded-{release}.jsonl.gz"))).unwrap();
                GzDecoder::new(file).read_to_string(&mut text).unwrap();
                for (number, line) in text.lines().enumerate().step_by(10) {
                    let kept: Value = serde_json::from_str(line).unwrap();
                    let (theirs, ours) = (told_by_oracle(&kept["answer"]), told_by_command(&kept["case"], release));
                    assert_eq!(theirs, ours, "Kubernetes {release}, recorded case {number}: {}", kept["case"]);
                }
            });
        }
    });
}

/// The oracle's answer. Metrics of a sync that asked none are what an earlier one left, and autoscalers that collide are
/// named in the order of a map.
fn told_by_oracle(answer: &Value) -> Vec<Value> {
    let sync = |sync: &Value| {
        json!([
            sync["at"].as_f64(),
            sync["current"],
            sync["desired"],
            metrics(&sync["conditions"], sync["metrics"].clone()),
            named(&sync["conditions"])
        ])
    };
    answer.as_array().unwrap().iter().map(sync).collect()
}

fn told_by_command(case: &Value, release: &str) -> Vec<Value> {
    let series: String = case["records"].as_array().unwrap().iter().map(|record| format!("{record}\n")).collect();
    let output = asked(&case["hpa"].to_string(), &series, &["--k8s-version", release, "--format", "json"]);
    assert!(output.status.success(), "{}\n{case}", String::from_utf8_lossy(&output.stderr));
    let metric = |metric: &Value| {
        let mut told = json!({});
        if metric["unit"] == "%" && !metric["value"].is_null() {
            told["utilization"] = metric["value"].clone();
        }
        if let Some(milli) = metric["average_milli"].as_i64() {
            told["milli"] = json!(milli);
        }
        told
    };
    let sync = |line: &str| {
        let sync: Value = serde_json::from_str(line).unwrap();
        let read: Vec<Value> = sync["metrics"].as_array().unwrap().iter().map(metric).collect();
        let conditions = sync.get("conditions").cloned().unwrap_or(json!([]));
        json!([
            sync["at"].as_f64(),
            sync["current"],
            sync["desired"],
            metrics(&conditions, json!(read)),
            named(&conditions)
        ])
    };
    String::from_utf8(output.stdout).unwrap().lines().map(sync).collect()
}

fn metrics(conditions: &Value, read: Value) -> Value {
    let failed = conditions.as_array().unwrap().iter().any(|condition| condition["reason"] == "FailedGetScale");
    if failed { Value::Null } else { read }
}

fn named(conditions: &Value) -> Value {
    let mut conditions = conditions.clone();
    for condition in conditions.as_array_mut().unwrap() {
        let message = condition["message"].as_str().unwrap_or_default().to_owned();
        if let (Some("AmbiguousSelector"), Some((head, list))) = (condition["reason"].as_str(), message.split_once('['))
        {
            let mut names: Vec<_> = list.trim_end_matches(']').split(' ').collect();
            names.sort_unstable();
            condition["message"] = json!(format!("{head}[{}]", names.join(" ")));
        }
    }
    conditions
}

/// The published schema knows every field of every recorded case.
#[test]
fn the_schema_states_every_case() {
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse")).args(["schema", "hpa-series"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let known = schema["properties"].as_object().unwrap();
    for field in [
        "at",
        "settings",
        "scale",
        "pods",
        "asManyAsReplicas",
        "samples",
        "samplesError",
        "custom",
        "external",
        "spec",
        "rivals",
        "recommendation",
        "scaled",
        "conditions",
    ] {
        assert!(known.contains_key(field), "{field} is missing in {known:?}");
    }
}

#[test]
fn a_series_with_a_mistake_is_refused_with_its_line() {
    let output = hpa("{\"at\":0,\"scale\":{\"spec\":2}}\n{\"at\":5,\"sampels\":[]}\n", &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("series.jsonl:2: ") && told.contains("did you mean `samples`?"), "{told}");
    assert!(output.stdout.is_empty());
}
