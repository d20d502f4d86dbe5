//! For this crate's tests; the product does the same by itself. `kube-stand stand` starts a control plane, tells where
//! its folder is, and waits to be killed; with anything else it becomes a child.

use std::ffi::OsString;
use std::process::ExitCode;

use kubernetes::{KubeError, Launcher, LocalControlPlane, PlaneSettings, Programs};

#[expect(clippy::print_stderr, reason = "the edge of a process")]
fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_none_or(|word| word != "stand") {
        eprintln!("{}", kubernetes::become_child(&args));
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map(|runtime| runtime.block_on(stand())) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the edge of a process")]
async fn stand() -> Result<(), KubeError> {
    let launcher = Launcher { program: std::env::current_exe().unwrap_or_default(), words: Vec::new() };
    let plane = LocalControlPlane::start(&PlaneSettings::new(Programs::find(None)?, launcher)).await?;
    println!("{}", plane.folder().display());
    std::future::pending().await
}
