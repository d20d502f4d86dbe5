//! `cargo xtask check`: what holds without running anything. What fails oftenest goes first, and nothing hides the
//! next: every step runs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{Scope, Workspace, arguments, output};
use crate::{arrows, tidy};

/// Runs all steps. True if each of them is content.
pub(crate) fn run(workspace: &Workspace, scope: &Scope) -> Result<bool> {
    let metadata = output(workspace.cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata answered with something else")?;
    let mut problems = Vec::new();
    let mut step = |name: &str, advice: &str, content: &mut dyn FnMut() -> Result<bool>| -> Result<()> {
        println!("+ {name}");
        let (content, took) = timed(content);
        let content = content?;
        println!("  {} in {:.1} s", if content { "ok" } else { "FAILED" }, took.as_secs_f64());
        if !content {
            problems.push(format!("{name}: {advice}"));
        }
        Ok(())
    };

    let options = scope.options();
    let format = if scope.packages.is_empty() { vec!["--all".to_owned()] } else { options.clone() };
    let cargo = |words: &[&str], options: &[String], end: &[&str]| {
        let mut command = workspace.cargo();
        command.args(words).args(options).args(end);
        command
    };
    let mut fmt = cargo(&["fmt"], &format, &["--check"]);
    let mut clippy = cargo(&["clippy"], &options, &["--all-targets", "--", "-D", "warnings"]);
    let mut doc = cargo(&["doc", "--no-deps"], &options, &[]);
    doc.env("RUSTDOCFLAGS", "-D warnings");

    for (command, advice) in [
        (&mut fmt, "run `cargo fmt --all`"),
        (&mut clippy, "mend what it names, or say #[expect(lint, reason = \"…\")]"),
        (&mut doc, "mend the links and examples it names"),
    ] {
        let name = format!("cargo {}", arguments(command));
        step(&name, advice, &mut || Ok(command.status().context("cannot start cargo")?.success()))?;
    }
    step("lints, arrows and paths", "each line above says what to do", &mut || {
        let mut findings = arrows::findings(&metadata)?;
        findings.extend(lints(&metadata)?);
        findings.extend(paths(workspace)?);
        for finding in &findings {
            println!("  {finding}");
        }
        Ok(findings.is_empty())
    })?;

    println!();
    for problem in &problems {
        println!("FAILED {problem}");
    }
    println!("{}", if problems.is_empty() { "all checks hold" } else { "not all checks hold" });
    Ok(problems.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "tells people how long they waited; decides nothing")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = work();
    (done, begun.elapsed())
}

/// Packages that go by lints of their own.
fn lints(metadata: &Value) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let manifest = package["manifest_path"].as_str().context("a package has no manifest")?;
        let text = std::fs::read_to_string(manifest).with_context(|| format!("cannot read {manifest}"))?;
        if !tidy::takes_the_lints(&text) {
            findings.push(format!("{}: add `[lints]` with `workspace = true` to its Cargo.toml", package["name"]));
        }
    }
    Ok(findings)
}

/// Places in tracked files, and in new ones that git does not ignore, that name a folder of one machine.
fn paths(workspace: &Workspace) -> Result<Vec<String>> {
    let files =
        output(workspace.command("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    let mut findings = Vec::new();
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        // A removed file is still tracked, and a file that is no text names nothing.
        let Ok(text) = std::fs::read_to_string(workspace.root().join(file)) else { continue };
        for (line, folder) in tidy::machine_paths(&text) {
            findings.push(format!("{file}:{line} names {folder}, a folder of one machine: make the path relative"));
        }
    }
    Ok(findings)
}
