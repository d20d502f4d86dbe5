//! `cargo xtask fidelity`: one scenario on our own overlay on several backends, side by side, as a part of docs/fidelity.md.
//!
//! Owns which runs are played, and how their folders become a table. The runs are those that anybody would type.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::shell::{Workspace, arguments, output};

/// All of them, in the order of the columns.
const BACKENDS: [&str; 4] = ["simulated", "embedded", "control-plane", "kind"];
const SCENARIO: &str = "smoke";
const OVERLAY: &str = "development";
const PAGE: &str = "docs/fidelity.md";
/// Between these lines of the page everything is written anew.
const BEGIN: &str = "<!-- cargo xtask fidelity: begin -->\n";
const END: &str = "<!-- cargo xtask fidelity: end -->\n";

/// Plays the scenario on each of the backends, all if none is named, and writes what came of it into the page.
pub(crate) fn run(workspace: &Workspace, backends: &str) -> Result<bool> {
    let named = |name: &&str| backends.is_empty() || backends.split(',').any(|one| one.trim() == *name);
    let chosen: Vec<&str> = BACKENDS.into_iter().filter(|name| named(name)).collect();
    ensure!(!chosen.is_empty(), "none of `{backends}` is a backend: choose of {}", BACKENDS.join(", "));
    let page = workspace.root().join(PAGE);
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {PAGE}"))?;
    ensure!(text.contains(BEGIN) && text.contains(END), "{PAGE} has lost the lines between which the table goes");
    let rehearse = built(workspace)?;
    let folder = std::env::temp_dir().join(format!("rehearse-fidelity-{}", std::process::id()));
    let played = chosen.iter().map(|name| Ok((*name, Played::of(workspace, &rehearse, name, &folder.join(name))?)));
    let played: Result<Vec<(&str, Played)>> = played.collect();
    fs::remove_dir_all(&folder).ok(); // it is the system's to clean, too
    let text = replaced(&text, &table(&played?));
    fs::write(&page, text).with_context(|| format!("cannot write {PAGE}"))?;
    println!("{PAGE} is written anew");
    Ok(true)
}

/// Builds the programs, and tells where `rehearse` is.
fn built(workspace: &Workspace) -> Result<String> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--workspace", "--bins", "--message-format=json-render-diagnostics"]);
    let told = output(&mut cargo)?;
    let messages = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages.filter_map(|message| Some(message["executable"].as_str()?.to_owned()));
    programs.find(|path| path.ends_with("/rehearse")).context("cargo has not built rehearse")
}

/// What a run left behind.
struct Played {
    result: Value,
    events: Vec<Value>,
}

impl Played {
    fn of(workspace: &Workspace, rehearse: &str, backend: &str, folder: &Path) -> Result<Self> {
        let mut command = workspace.command(rehearse);
        match backend {
            "simulated" => command.arg("simulate"),
            _ => command.args(["run", "--no-tui"]),
        };
        match backend {
            "control-plane" => drop(command.args(["--backend", "control-plane"])),
            "kind" => {
                command.arg("--kind");
                if let Some((_, image)) = testing::kind() {
                    command.args(["--node-image", &image]);
                }
            }
            _ => {}
        }
        command.arg(SCENARIO).args(["--overlay", OVERLAY, "--out"]).arg(folder);
        println!("rehearse {}", arguments(&command));
        let ended = command.stdout(std::process::Stdio::null()).status().context("cannot start rehearse")?;
        // Passed, undecided, invalid and broken runs all say something; the others were none.
        if !matches!(ended.code(), Some(0 | 91 | 92 | 99)) {
            bail!("{backend} was not played ({ended}); --backends chooses others");
        }
        let mut runs: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
        runs.sort(); // a run that was repeated counts by its last one
        let run = runs.pop().with_context(|| format!("{} has no run", folder.display()))?;
        let read = |name: &str| fs::read_to_string(run.join(name)).with_context(|| format!("{backend} has no {name}"));
        let events = read("events.jsonl")?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self { result: serde_json::from_str(&read("result.json")?)?, events })
    }

    fn steps(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let phases = self.result["phases"].as_array().into_iter().flatten();
        let names: Vec<&str> =
            phases.filter(|phase| phase["kind"] == kind).filter_map(|p| p["name"].as_str()).collect();
        let steps = self.result["steps"].as_array().into_iter().flatten();
        steps.filter(move |step| step["phase"].as_str().is_some_and(|phase| names.contains(&phase)))
    }

    /// Requests that failed, by cause, over the whole run.
    fn failed(&self) -> String {
        let mut causes = std::collections::BTreeMap::<&str, u64>::new();
        for step in self.result["steps"].as_array().into_iter().flatten() {
            for (cause, count) in step["failed"].as_object().into_iter().flatten() {
                *causes.entry(cause).or_default() += count.as_u64().unwrap_or(0);
            }
        }
        if causes.is_empty() {
            return "none".to_owned();
        }
        causes.iter().map(|(cause, count)| format!("{count} {cause}")).collect::<Vec<_>>().join(", ")
    }

    fn offered(&self) -> u64 {
        let steps = self.result["steps"].as_array().into_iter().flatten();
        steps.filter_map(|step| step["n"].as_u64()).sum()
    }

    /// Decisions of autoscalers that change something, counted from the start of the load.
    fn decisions(&self) -> String {
        let start = self.result["load_start_us"].as_u64().unwrap_or(0);
        let changes = |event: &&Value| event["event"] == "scaling" && event["current"] != event["desired"];
        let told = self.events.iter().filter(changes).filter_map(|event| {
            let at = event["at_us"].as_u64()?.checked_sub(start)? / 1_000_000;
            let (workload, from, to) = (event["workload"].as_str()?, &event["current"], &event["desired"]);
            Some(format!("{}:{:02} {workload} {from} → {to}", at / 60, at % 60))
        });
        let told: Vec<String> = told.collect();
        if told.is_empty() { "none".to_owned() } else { told.join("; ") }
    }

    /// What a run concluded, and which gating objectives did not pass.
    fn verdict(&self) -> String {
        let verdicts = self.result["verdicts"].as_array().into_iter().flatten();
        let open = verdicts.filter(|one| one["gating"] == true && one["judgement"] != "pass");
        let open: Vec<String> = open
            .map(|one| {
                format!("{}: {}", one["objective"].as_str().unwrap_or("?"), one["judgement"].as_str().unwrap_or("?"))
            })
            .collect();
        let conclusion = self.result["conclusion"].as_str().unwrap_or("?");
        if open.is_empty() { conclusion.to_owned() } else { format!("{conclusion} ({})", open.join(", ")) }
    }
}

fn table(played: &[(&str, Played)]) -> String {
    let mut text = String::new();
    let mut row = |what: &str, of: &dyn Fn(&Played) -> String| {
        let cells: Vec<String> = played.iter().map(|(_, run)| of(run)).collect();
        writeln!(text, "| {what} | {} |", cells.join(" | ")).unwrap_or_default();
    };
    let names: Vec<&str> = played.iter().map(|(name, _)| *name).collect();
    // Steps of the first run: they are the scenario's, and so those of all.
    let steps: Vec<String> = played.first().into_iter().flat_map(|(_, run)| run.steps("steady")).map(named).collect();
    for step in &steps {
        row(&format!("`{step}`, p50 / p95 / p99"), &|run| {
            let found = run.steps("steady").find(|one| named(one) == *step);
            let ms = |which: &str| found.map(|step| step["response"][which].as_f64().unwrap_or(0.0) / 1e3);
            let all: Vec<String> = ["p50_us", "p95_us", "p99_us"]
                .iter()
                .filter_map(|which| ms(which))
                .map(|ms| format!("{ms:.0}"))
                .collect();
            if all.is_empty() { "–".to_owned() } else { format!("{} ms", all.join(" / ")) }
        });
    }
    row("requests due", &|run| run.offered().to_string());
    row("of them failed, by cause", &Played::failed);
    row("autoscalers change", &Played::decisions);
    row("verdict", &Played::verdict);
    format!("| | {} |\n|{}\n{text}", names.join(" | "), "---|".repeat(names.len() + 1))
}

fn named(step: &Value) -> String {
    step["step"].as_str().unwrap_or("?").to_owned()
}

/// The page with this between its two lines.
fn replaced(page: &str, table: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).unwrap_or((page, ""));
    let (_, after) = rest.split_once(END).unwrap_or((rest, ""));
    format!("{before}{BEGIN}{table}{END}{after}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn played(p95: u64, desired: u64, failed: &Value) -> Played {
        let step = |phase: &str| {
            json!({
                "step": "buy", "phase": phase, "n": 100, "failed": failed,
                "response": { "p50_us": 10_400, "p95_us": p95, "p99_us": 99_600 },
            })
        };
        let result = json!({
            "load_start_us": 42_000_000, "conclusion": "fail",
            "phases": [{ "name": "warm", "kind": "warm-up" }, { "name": "go", "kind": "steady" }],
            "steps": [step("warm"), step("go")],
            "verdicts": [
                { "objective": "latency", "gating": true, "judgement": "fail" },
                { "objective": "share", "gating": true, "judgement": "pass" },
                { "objective": "told", "gating": false, "judgement": "fail" },
            ],
        });
        let scaling = |at: u64, desired: u64| json!({ "event": "scaling", "at_us": at, "workload": "shop", "current": 2, "desired": desired });
        Played { result, events: vec![scaling(15_000_000, 9), scaling(69_900_000, desired), scaling(80_000_000, 2)] }
    }

    #[test]
    fn runs_stand_side_by_side() {
        let runs = [
            ("simulated", played(20_000, 4, &json!({}))),
            ("kind", played(31_000, 3, &json!({ "limited": 2, "timeout": 1 }))),
        ];
        let want = "\
| | simulated | kind |
|---|---|---|
| `buy`, p50 / p95 / p99 | 10 / 20 / 100 ms | 10 / 31 / 100 ms |
| requests due | 200 | 200 |
| of them failed, by cause | none | 4 limited, 2 timeout |
| autoscalers change | 0:27 shop 2 → 4 | 0:27 shop 2 → 3 |
| verdict | fail (latency: fail) | fail (latency: fail) |
";
        assert_eq!(table(&runs), want);
    }

    #[test]
    fn only_what_is_between_the_lines_is_written_anew() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let new = replaced(&page, "new\n");
        assert_eq!(new, format!("before\n{BEGIN}new\n{END}after\n"));
        assert_eq!(replaced(&new, "old\n"), page);
        let own = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE)).unwrap();
        assert!(own.matches(BEGIN).count() == 1 && own.matches(END).count() == 1, "{PAGE} has its two lines");
    }
}
