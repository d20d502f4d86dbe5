//! Where the workspace is, and how its outside commands are started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Which packages a task is about: all of the workspace if none is named.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) packages: Vec<String>,
}

impl Scope {
    /// As cargo's options.
    pub(crate) fn options(&self) -> Vec<String> {
        if self.packages.is_empty() {
            return vec!["--workspace".to_owned()];
        }
        self.packages.iter().flat_map(|name| ["-p".to_owned(), name.clone()]).collect()
    }

    /// Whether the command itself is in it.
    pub(crate) fn has(&self, package: &str) -> bool {
        self.packages.is_empty() || self.packages.iter().any(|name| name == package)
    }
}

/// The folder with the root manifest.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Asks the environment that `cargo run` sets, and not the compiler: a binary in a shared target folder may be
    /// older than the checkout it is run in.
    pub(crate) fn find() -> Result<Self> {
        let own = std::env::var_os("CARGO_MANIFEST_DIR").context("start it as `cargo xtask`")?;
        let root = Path::new(&own).join("../..");
        let root = root.canonicalize().with_context(|| format!("cannot find {}", root.display()))?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A program that runs in the root. What `cargo run` told about xtask is taken away, for it is not about them.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_CRATE_NAME" {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The cargo that started us.
    pub(crate) fn cargo(&self) -> Command {
        self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }
}

/// The standard output of a command that must succeed; its standard error goes to the terminal.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let told = format!("{} {}", command.get_program().display(), arguments(command));
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {told}"))?;
    ensure!(output.status.success(), "{told} failed ({})", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{told} answered with something other than text"))
}

/// The arguments of a command, as a person would type them.
pub(crate) fn arguments(command: &Command) -> String {
    command.get_args().map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
