//! What CI and people both run: `cargo xtask check`, `cargo xtask test`, `cargo xtask rendered`, `cargo xtask prove`,
//! `cargo xtask fidelity`.
//!
//! Owns the order of the steps and their exit codes: 0 all well, 1 something failed, 2 a wrong command line. It needs
//! no root, no package manager and no Docker; installing is left to `.ci/run`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks")]

mod arrows;
mod check;
mod fidelity;
mod libtest;
mod prove;
mod rendered;
mod shell;
mod suite;
mod tidy;

use std::process::ExitCode;

use testing::Need;

use crate::shell::{Scope, Workspace};

const HELP: &str = "\
What CI and people both run.

cargo xtask check [-p CRATE]...
    Format, clippy, documentation, and the workspace's own rules: lints, dependency arrows, no machine's paths.
cargo xtask test [--require NAME,...|all] [-p CRATE]...
    Every test of the workspace. A test whose outside program is missing is skipped, with its reason; one that is
    required fails instead. The last line is `N passed, N failed, N skipped`.
    Names: NEEDS. REHEARSE_REQUIRE in the environment does the same.
cargo xtask rendered
    Renders kind-config/platform/overlays anew into kind-config/platform/rendered (kustomize or kubectl).
cargo xtask prove [--cases N] [--releases 1.34,1.35,1.36] [--seed N]
    Asks Kubernetes' own controllers (kind-config/oracle, which needs Go) N cases of each release, and compares.
cargo xtask fidelity [--backends simulated,embedded,control-plane,kind] [--scenes shop,overlay]
    Plays a week of a shop, and a scenario on our own overlay, on each backend, and writes how they compare into
    docs/fidelity.md.

-p CRATE narrows a command to some crates, for the inner loop.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Help,
    Check(Scope),
    Test {
        required: String,
        scope: Scope,
    },
    Rendered,
    Prove(prove::Proof),
    /// All of those whose list is empty.
    Fidelity {
        backends: String,
        scenes: String,
    },
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let environment = std::env::var(testing::REQUIRE).unwrap_or_default();
    let task = match parse(&words, &environment) {
        Ok(task) => task,
        Err(problem) => {
            eprintln!("error: {problem}\n\n{}", help());
            return ExitCode::from(2);
        }
    };
    let done = match task {
        Task::Help => {
            print!("{}", help());
            Ok(true)
        }
        Task::Check(scope) => Workspace::find().and_then(|workspace| check::run(&workspace, &scope)),
        Task::Test { required, scope } => {
            Workspace::find().and_then(|workspace| suite::run(&workspace, &required, &scope))
        }
        Task::Prove(proof) => Workspace::find().and_then(|workspace| prove::run(&workspace, &proof)),
        Task::Rendered => Workspace::find().and_then(|workspace| rendered::run(&workspace)),
        Task::Fidelity { backends, scenes } => {
            Workspace::find().and_then(|workspace| fidelity::run(&workspace, &backends, &scenes))
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    HELP.replace("NEEDS", &Need::ALL.map(Need::name).join(", "))
}

/// The task of a command line; `environment` is the value of `REHEARSE_REQUIRE`, which `--require` outranks.
fn parse(words: &[String], environment: &str) -> Result<Task, String> {
    let mut words = words.iter().map(String::as_str);
    let task = match words.next() {
        None | Some("help" | "-h" | "--help") => return Ok(Task::Help),
        Some(task @ ("check" | "test" | "rendered" | "prove" | "fidelity")) => task,
        Some(other) => return Err(format!("there is no task `{other}`")),
    };
    let (mut required, mut scope) = (environment.to_owned(), Scope::default());
    let (mut proof, mut backends, mut scenes) = (prove::Proof::default(), String::new(), String::new());
    while let Some(word) = words.next() {
        let (option, attached) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        let mut value = || attached.or_else(|| words.next()).ok_or_else(|| format!("`{option}` needs a value"));
        match option {
            "-h" | "--help" => return Ok(Task::Help),
            "--require" if task == "test" => value()?.clone_into(&mut required),
            "--backends" if task == "fidelity" => value()?.clone_into(&mut backends),
            "--scenes" if task == "fidelity" => value()?.clone_into(&mut scenes),
            "--cases" if task == "prove" => value()?.clone_into(&mut proof.cases),
            "--releases" if task == "prove" => value()?.clone_into(&mut proof.releases),
            "--seed" if task == "prove" => value()?.clone_into(&mut proof.seed),
            "-p" | "--package" if matches!(task, "check" | "test") => scope.packages.push(value()?.to_owned()),
            _ => return Err(format!("`cargo xtask {task}` has no option `{word}`")),
        }
    }
    for name in required.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "all") {
        if !Need::ALL.iter().any(|need| need.name() == name) {
            let known = Need::ALL.map(Need::name).join(", ");
            return Err(format!("no test needs `{name}`: choose of {known}, or all"));
        }
    }
    Ok(match task {
        "check" => Task::Check(scope),
        "test" => Task::Test { required, scope },
        "prove" => Task::Prove(proof),
        "fidelity" => Task::Fidelity { backends, scenes },
        _ => Task::Rendered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(packages: &[&str]) -> Scope {
        Scope { packages: packages.iter().map(|&name| name.to_owned()).collect() }
    }

    #[test]
    fn a_command_line_is_read_or_refused_with_what_there_is() {
        let test = |required: &str, packages: &[&str]| {
            Ok(Task::Test { required: required.to_owned(), scope: scope(packages) })
        };
        let refused = |problem: &str| Err(problem.to_owned());
        let unknown = format!("no test needs `ngnix`: choose of {}, or all", Need::ALL.map(Need::name).join(", "));
        for (line, environment, want) in [
            ("", "", Ok(Task::Help)),
            ("test --help", "", Ok(Task::Help)),
            ("check -p units", "", Ok(Task::Check(scope(&["units"])))),
            ("test", "", test("", &[])),
            ("test", "nginx", test("nginx", &[])),
            ("test --require all", "nginx", test("all", &[])),
            ("test --require=nginx,kustomize -p a -p b", "", test("nginx,kustomize", &["a", "b"])),
            ("test --require ngnix", "", refused(&unknown)),
            ("test --require", "", refused("`--require` needs a value")),
            ("check --require all", "", refused("`cargo xtask check` has no option `--require`")),
            (
                "prove --cases 5 --releases=1.36",
                "",
                Ok(Task::Prove(prove::Proof { cases: "5".into(), releases: "1.36".into(), ..prove::Proof::default() })),
            ),
            (
                "fidelity --backends kind --scenes=shop",
                "",
                Ok(Task::Fidelity { backends: "kind".to_owned(), scenes: "shop".to_owned() }),
            ),
            ("tset", "", refused("there is no task `tset`")),
        ] {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(parse(&words, environment), want, "{line} with {environment}");
        }
    }
}
