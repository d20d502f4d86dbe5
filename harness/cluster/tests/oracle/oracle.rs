//! Kubernetes' own controllers: builds `kind-config/oracle` and asks it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use cluster::Release;
use serde_json::Value;

/// The oracle of one release, built.
pub(crate) struct Oracle {
    program: PathBuf,
}

impl Oracle {
    /// Builds it. Go keeps what it built before, so only the first time takes minutes.
    pub(crate) fn build(release: Release) -> Self {
        // Two tests of this process may want the same one at a time.
        static BUILDING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = BUILDING.lock();
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../kind-config/oracle");
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("oracle-{release}"));
        let mut go = Command::new("go");
        go.current_dir(folder).args(["build", "-buildvcs=false"]);
        if release != Release::V1_34 {
            go.arg(format!("-modfile=go-{release}.mod"));
        }
        if release == Release::V1_36 {
            go.args(["-tags", "kubernetes136"]); // which asks for pods otherwise
        }
        let built = go.arg("-o").arg(&program).arg(".").output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { program }
    }

    /// One answer for each case.
    pub(crate) fn ask(&self, command: &str, cases: &[Value]) -> Vec<Value> {
        let mut oracle = Command::new(&self.program);
        // A fifth of its time goes into collecting garbage by default, of which it makes little.
        oracle.arg(command).env("GOGC", "800").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = oracle.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text: String = cases.iter().map(|case| format!("{case}\n")).collect();
        // It reads everything before it answers, so this cannot wait for ever.
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "the oracle ended with {}", output.status);
        let text = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers.len(), cases.len(), "one answer for each case");
        answers
    }
}
