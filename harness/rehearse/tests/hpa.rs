//! `rehearse hpa` as a user types it.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::process::{Command, Output};

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
    let folder = tempfile::tempdir().unwrap();
    let (manifest, file) = (folder.path().join("hpa.yaml"), folder.path().join("series.jsonl"));
    std::fs::write(&manifest, MANIFEST).unwrap();
    std::fs::write(&file, series).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
    command.arg("hpa").arg("--manifest").arg(&manifest).arg("--series").arg(&file).args(more).output().unwrap()
}

#[test]
fn every_sync_is_told_with_what_came_of_it() {
    let series =
        format!("{}\n{}\n{}\n{}\n", r#"{"at":0,"scale":{"spec":2}}"#, crowd(0, "900m"), crowd(60, "6"), r#"{"at":90}"#);
    let output = hpa(&series, &["--format", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<serde_json::Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let desired: Vec<_> =
        lines.iter().map(|line| (line["at"].as_f64().unwrap(), line["desired"].as_u64().unwrap())).collect();
    assert_eq!(desired, [(15.0, 2), (30.0, 2), (45.0, 2), (60.0, 4), (75.0, 8), (90.0, 12)]);
    assert_eq!(lines[3]["conditions"][0]["message"], "the HPA controller was able to update the target scale to 4");
    assert_eq!(lines[3]["scaling_limited"], "ScaleUpLimit");
}

#[test]
fn a_series_with_a_mistake_is_refused_with_its_line() {
    let output = hpa("{\"at\":0,\"scale\":{\"spec\":2}}\n{\"at\":5,\"sampels\":[]}\n", &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("series.jsonl:2: ") && told.contains("did you mean `samples`?"), "{told}");
    assert!(output.stdout.is_empty());
}
