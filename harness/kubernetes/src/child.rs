//! A child that never outlives us.
//!
//! The child asks the kernel to be killed with the thread that started it, before it becomes what it is to be: a
//! `kill -9` of ours leaves nothing. It is in a process group of its own, which Ctrl-C does not reach, and is killed when
//! nobody holds it any more.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::process::{Child, Command};

/// The program that becomes a child: one whose main function calls [`become_child`] with what follows `words`.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// Which program; usually this one.
    pub program: PathBuf,
    /// The words by which it knows.
    pub words: Vec<OsString>,
}

/// Becomes another program that is killed with its parent: `PARENT PROGRAM ARGUMENTS…`. Returns only if that fails.
pub fn become_child(args: &[OsString]) -> io::Error {
    let [parent, program, arguments @ ..] = args else {
        return io::Error::new(io::ErrorKind::InvalidInput, "PARENT PROGRAM ARGUMENTS… are expected");
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // It may have gone before we asked.
    let parent = parent.to_str().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    if getppid() != parent {
        return io::Error::other("its parent is gone");
    }
    std::process::Command::new(program).args(arguments).exec()
}

impl Launcher {
    /// Starts `program` with its output in the file `log`. The calling thread must live as long as it.
    pub(crate) fn start(&self, program: &Path, args: &[impl AsRef<OsStr>], log: &Path) -> io::Result<Child> {
        let output = File::create(log)?;
        Command::new(&self.program)
            .args(&self.words)
            .arg(std::process::id().to_string())
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
