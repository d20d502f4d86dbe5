//! Tests that need a program of the machine.

use std::process::{Command, Stdio};

/// Whether `program` is here. If not, says so on stderr and answers false, unless `REHEARSE_REQUIRE` (a comma list,
/// or `all`) demands it: then it panics. `kustomize` is satisfied by kubectl, too.
#[expect(clippy::print_stderr, reason = "a skip is to be seen, with its reason")]
pub(crate) fn needs(test: &str, program: &str) -> bool {
    let candidates: &[(&str, &str)] = match program {
        "kustomize" => &[("kustomize", "version"), ("kubectl", "help")],
        "nginx" => &[("nginx", "-v")],
        other => panic!("no test knows how to find {other}"),
    };
    let runs = |(program, argument): &(&str, &str)| {
        Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if candidates.iter().any(runs) {
        return true;
    }
    let names = candidates.iter().map(|(program, _)| *program).collect::<Vec<_>>().join(" or ");
    let required = std::env::var("REHEARSE_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|word| word == program || word == "all"),
        "{test} is required (REHEARSE_REQUIRE={required}) and there is no {names} on PATH"
    );
    eprintln!("SKIP {test}: there is no {names} on PATH");
    false
}
