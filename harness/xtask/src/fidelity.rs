//! `cargo xtask fidelity`: scenarios on several backends, side by side, as parts of docs/fidelity.md.
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
const PAGE: &str = "docs/fidelity.md";

/// What is played, and where its table stands.
struct Scene {
    /// Its name, also in the lines between which the table goes.
    name: &'static str,
    /// Where it is played, from the root on.
    folder: &'static str,
    /// What anybody would type behind `run` or `simulate`.
    words: &'static [&'static str],
}

const SCENES: [Scene; 2] = [
    Scene {
        name: "shop",
        folder: "harness/rehearse/tests/kind",
        words: &["week.yaml", "--platform", "shop.yaml", "--errors", "tell"],
    },
    Scene { name: "overlay", folder: ".", words: &["smoke", "--overlay", "development"] },
];

impl Scene {
    /// Between these lines of the page everything is written anew.
    fn lines(&self) -> [String; 2] {
        ["begin", "end"].map(|which| format!("<!-- cargo xtask fidelity {}: {which} -->\n", self.name))
    }

    /// The page with this between its two lines.
    fn replaced(&self, page: &str, table: &str) -> String {
        let [begin, end] = self.lines();
        let (before, rest) = page.split_once(&begin).unwrap_or((page, ""));
        let (_, after) = rest.split_once(&end).unwrap_or((rest, ""));
        format!("{before}{begin}{table}{end}{after}")
    }
}

/// Of those that are named by a list the ones that it names; all if it is empty.
fn chosen<T: Copy>(all: impl IntoIterator<Item = T>, name: impl Fn(T) -> &'static str, list: &str) -> Result<Vec<T>> {
    let all: Vec<T> = all.into_iter().collect();
    let named = |one: &T| list.is_empty() || list.split(',').any(|word| word.trim() == name(*one));
    let chosen: Vec<T> = all.iter().copied().filter(named).collect();
    let known: Vec<&str> = all.iter().map(|one| name(*one)).collect();
    ensure!(!chosen.is_empty(), "`{list}` names none: choose of {}", known.join(", "));
    Ok(chosen)
}

/// Plays scenes on backends, all if none is named, and writes what came of it into the page.
pub(crate) fn run(workspace: &Workspace, backends: &str, scenes: &str) -> Result<bool> {
    let backends = chosen(BACKENDS, |name| name, backends)?;
    let rehearse = built(workspace)?;
    let folder = std::env::temp_dir().join(format!("rehearse-fidelity-{}", std::process::id()));
    for scene in chosen(&SCENES, |scene| scene.name, scenes)? {
        let played = backends.iter().map(|name| {
            let out = folder.join(scene.name).join(name);
            Ok((*name, Played::of(workspace, &rehearse, scene, name, &out)?))
        });
        let played: Vec<(&str, Played)> = played.collect::<Result<_>>()?;
        let page = workspace.root().join(PAGE);
        let text = fs::read_to_string(&page).with_context(|| format!("cannot read {PAGE}"))?;
        let has = scene.lines().iter().all(|line| text.contains(line));
        ensure!(has, "{PAGE} has lost the lines between which the table of {} goes", scene.name);
        fs::write(&page, scene.replaced(&text, &table(&played))).with_context(|| format!("cannot write {PAGE}"))?;
        println!("{PAGE} has the table of {} anew", scene.name);
    }
    fs::remove_dir_all(&folder).ok(); // it is the system's to clean, too
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
    fn of(workspace: &Workspace, rehearse: &str, scene: &Scene, backend: &str, folder: &Path) -> Result<Self> {
        let mut command = workspace.command(rehearse);
        command.current_dir(workspace.root().join(scene.folder));
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
        command.args(scene.words).arg("--out").arg(folder);
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
            let first = &event["metrics"][0];
            let unit = first["unit"].as_str().unwrap_or_default();
            let read = first["value"].as_u64().map_or_else(String::new, |value| format!(" at {value} {unit}"));
            Some(format!("{}:{:02} {workload} {from} → {to}{read}", at / 60, at % 60))
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
        let scaling = |at: u64, desired: u64| json!({ "event": "scaling", "at_us": at, "workload": "shop", "current": 2, "desired": desired, "metrics": [{ "value": 125, "unit": "%" }] });
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
| autoscalers change | 0:27 shop 2 → 4 at 125 % | 0:27 shop 2 → 3 at 125 % |
| verdict | fail (latency: fail) | fail (latency: fail) |
";
        assert_eq!(table(&runs), want);
    }

    #[test]
    fn only_what_is_between_the_lines_is_written_anew() {
        let own = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE)).unwrap();
        for scene in &SCENES {
            let [begin, end] = scene.lines();
            let page = format!("before\n{begin}old\n{end}after\n");
            let new = scene.replaced(&page, "new\n");
            assert_eq!(new, format!("before\n{begin}new\n{end}after\n"));
            assert_eq!(scene.replaced(&new, "old\n"), page);
            assert!(own.matches(&begin).count() == 1 && own.matches(&end).count() == 1, "{PAGE} has its lines");
        }
    }
}
