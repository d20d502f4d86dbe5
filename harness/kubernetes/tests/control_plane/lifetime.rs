//! How a control plane begins and ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kubernetes::Left;
use testing::{Need, needs};

use crate::{settings, start};

/// Processes that name this folder, each by its id and its program.
fn processes(folder: &Path) -> Vec<(i32, String)> {
    let named = format!("{}/", folder.display());
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let found = entries.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let program = line.split('\0').next()?.rsplit('/').next()?.to_owned();
        line.contains(&named).then_some((entry.file_name().to_str()?.parse().ok()?, program))
    });
    found.collect()
}

/// Waits until `done`, for a minute at most.
#[expect(clippy::disallowed_methods, reason = "waits for other processes between two looks at them")]
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited a minute in vain: {what}");
}

/// Waits for all four programs: one that is just becoming its program has no command line for a moment.
async fn all_run(folder: &Path) {
    until("all four run", || processes(folder).len() == 4).await;
}

#[tokio::test]
async fn it_comes_up_and_leaves_nothing() {
    if !needs("it_comes_up_and_leaves_nothing", Need::ControlPlane) {
        return;
    }
    let _alone = crate::ALONE.lock().await;
    let plane = start(&settings()).await;
    let folder = plane.folder().to_owned();
    all_run(&folder).await;
    assert!(plane.told().contains("Kubernetes v1.34"), "{}", plane.told());
    // Keys are for their owner alone.
    for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions());
        let secret = entry.path().extension().is_some_and(|end| end == "key" || end == "kubeconfig");
        assert!(!secret || mode.trailing_zeros() >= 6, "{}: {mode:o}", entry.path().display());
    }
    plane.stop().await;
    assert_eq!(processes(&folder), []);
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_component_that_ends_is_told_with_its_last_words() {
    if !needs("a_component_that_ends_is_told_with_its_last_words", Need::ControlPlane) {
        return;
    }
    let _alone = crate::ALONE.lock().await;
    let plane = start(&settings()).await;
    let etcd = processes(plane.folder()).into_iter().find(|(_, program)| program == "etcd").unwrap().0;
    assert!(Command::new("kill").args(["-9", &etcd.to_string()]).status().unwrap().success());
    let mut died = plane.died();
    let told = died.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(told.starts_with("etcd ended (signal: 9"), "{told}");
    drop(plane);
}

/// A process with a control plane of its own, killed at the end, also of a test that fails.
struct Stand(Child);

impl Drop for Stand {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn a_killed_parent_leaves_no_process_and_what_it_leaves_is_removed() {
    if !needs("a_killed_parent_leaves_no_process_and_what_it_leaves_is_removed", Need::ControlPlane) {
        return;
    }
    let _alone = crate::ALONE.lock().await;
    let mut parent = Stand(
        Command::new(env!("CARGO_BIN_EXE_kube-stand"))
            .arg("stand")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(parent.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let folder = PathBuf::from(line.trim_end());
    all_run(&folder).await;
    let ours = |left: &Left| matches!(left, Left::Folder(path) if *path == folder);
    assert!(!kubernetes::left().unwrap().iter().any(ours), "it is in use");
    drop(parent); // SIGKILL: nothing of it runs any more
    until("its children are killed with it", || processes(&folder).is_empty()).await;
    // Another test that starts meanwhile may have removed it already.
    kubernetes::clean().unwrap();
    assert!(!folder.exists(), "{}", folder.display());
}

#[tokio::test]
async fn a_program_that_does_not_start_is_told_with_its_log() {
    if !needs("a_program_that_does_not_start_is_told_with_its_log", Need::ControlPlane) {
        return;
    }
    let mut settings = settings();
    settings.apiserver_flags = vec!["--no-such-flag".to_owned()];
    let error = kubernetes::LocalControlPlane::start(&settings).await.unwrap_err().to_string();
    assert!(error.contains("kube-apiserver ended while it started") && error.contains("no-such-flag"), "{error}");
}
