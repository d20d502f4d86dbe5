//! What is compared: how cases are drawn, answered by us, and held against Kubernetes' answers.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster::Release;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::oracle::Oracle;

/// The seed of the recorded cases.
const SEED: u64 = 1;

/// How many cases one oracle is asked.
const BATCH: u64 = 250;

/// How many differing cases are told in full.
const TOLD: usize = 5;

/// One thing that Kubernetes decides.
pub(crate) struct Subject {
    /// The oracle's command, and the folder of the recorded answers.
    pub(crate) name: &'static str,
    /// The case of a seed and a number.
    pub(crate) draw: fn(u64, u64) -> Value,
    /// Our answer.
    pub(crate) answer: fn(&Value, Release) -> Value,
    /// The first difference between the oracle's answer and ours, in words.
    pub(crate) difference: fn(&Value, &Value) -> Option<String>,
    /// How many decisions an answer holds.
    pub(crate) told: fn(&Value) -> usize,
    /// How many recorded cases there are for each release.
    pub(crate) kept: u64,
}

fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Days since 1970: every day other cases.
fn today() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400
}

impl Subject {
    /// Draws new cases and asks the oracle now. `PROVE_CASES`, `PROVE_RELEASES` and `PROVE_SEED` say which; with
    /// `PROVE_FIRST` they begin at that number, so that one that differs is asked again alone.
    #[expect(clippy::print_stderr, reason = "the figures are what this is run for")]
    pub(crate) fn ask(&self) {
        let seed = from_environment("PROVE_SEED").map_or_else(today, |text| text.parse().unwrap());
        let count: u64 = from_environment("PROVE_CASES").map_or(1_000, |text| text.parse().unwrap());
        let begin: u64 = from_environment("PROVE_FIRST").map_or(0, |text| text.parse().unwrap());
        let releases = from_environment("PROVE_RELEASES").unwrap_or_else(|| "1.34".to_owned());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let told = Mutex::new(Vec::new());
        for release in releases.split(',').map(|text| text.parse::<Release>().unwrap()) {
            let oracle = Oracle::build(release);
            let (next, differ, decisions) = (AtomicU64::new(begin), AtomicU64::new(0), AtomicU64::new(0));
            let work = || {
                loop {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    if first >= begin + count {
                        return;
                    }
                    let numbers = first..(begin + count).min(first + BATCH);
                    let cases: Vec<_> = numbers.clone().map(|number| (self.draw)(seed, number)).collect();
                    for (number, (case, theirs)) in numbers.zip(cases.iter().zip(oracle.ask(self.name, &cases))) {
                        decisions.fetch_add((self.told)(&theirs) as u64, Ordering::Relaxed);
                        let difference = (self.difference)(&theirs, &(self.answer)(case, release));
                        let Some(difference) = difference else { continue };
                        differ.fetch_add(1, Ordering::Relaxed);
                        told.lock().unwrap().push((release, number, format!("{difference}\n{case}")));
                    }
                }
            };
            std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
            let (name, decisions, differ) = (self.name, decisions.into_inner(), differ.into_inner());
            eprintln!(
                "Kubernetes {release}, {name}: {count} cases of seed {seed}, {decisions} decisions, {differ} differ"
            );
        }
        let mut told = told.into_inner().unwrap();
        told.sort_by_key(|(release, number, _)| (*release, *number));
        let tell =
            |(release, number, what): &(Release, u64, String)| format!("{release} seed {seed} case {number}: {what}");
        let first: Vec<_> = told.iter().take(TOLD).map(tell).collect();
        assert!(told.is_empty(), "{}", first.join("\n\n"));
    }

    /// Holds our rules to the recorded answers. With `REHEARSE_RECORD` set the oracle is asked anew first, which needs
    /// Go: for when the cases have changed.
    pub(crate) fn remember(&self) {
        if std::env::var_os("REHEARSE_RECORD").is_some() {
            self.record();
        }
        for release in Release::ALL {
            let mut text = String::new();
            GzDecoder::new(std::fs::File::open(self.file(release)).unwrap()).read_to_string(&mut text).unwrap();
            let mut cases = 0;
            for line in text.lines() {
                let kept: Value = serde_json::from_str(line).unwrap();
                let difference = (self.difference)(&kept["answer"], &(self.answer)(&kept["case"], release));
                assert!(difference.is_none(), "{release} case {cases}: {}\n{}", difference.unwrap(), kept["case"]);
                cases += 1;
            }
            assert_eq!(cases, self.kept, "{release}");
        }
    }

    fn record(&self) {
        for release in Release::ALL {
            let cases: Vec<Value> = (0..self.kept).map(|number| (self.draw)(SEED, number)).collect();
            let answers = Oracle::build(release).ask(self.name, &cases);
            let mut out = GzEncoder::new(std::fs::File::create(self.file(release)).unwrap(), Compression::best());
            for (case, answer) in cases.iter().zip(answers) {
                writeln!(out, "{}", json!({"case": case, "answer": answer})).unwrap();
            }
            out.finish().unwrap();
        }
    }

    fn file(&self, release: Release) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oracle").join(self.name);
        folder.join(format!("recorded-{release}.jsonl.gz"))
    }
}
