//! What is compared: how cases are drawn, answered by us, and held against Kubernetes' answers.

use std::io::{Read, Write};
use std::path::PathBuf;

use cluster::Release;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::oracle::Oracle;

/// The seed of the recorded cases.
const SEED: u64 = 1;

/// How many cases the oracle is asked at a time.
const BATCH: u64 = 2_000;

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
        let mut told = Vec::new();
        for release in releases.split(',').map(|text| text.parse::<Release>().unwrap()) {
            let oracle = Oracle::build(release);
            let (mut differ, mut decisions) = (0, 0);
            for first in (begin..begin + count).step_by(BATCH as usize) {
                let cases: Vec<_> =
                    (first..(begin + count).min(first + BATCH)).map(|number| (self.draw)(seed, number)).collect();
                for (index, (case, theirs)) in cases.iter().zip(oracle.ask(self.name, &cases)).enumerate() {
                    decisions += (self.told)(&theirs);
                    if let Some(difference) = (self.difference)(&theirs, &(self.answer)(case, release)) {
                        differ += 1;
                        if told.len() < TOLD {
                            let number = first + index as u64;
                            told.push(format!("{release} seed {seed} case {number}: {difference}\n{case}"));
                        }
                    }
                }
            }
            let name = self.name;
            eprintln!(
                "Kubernetes {release}, {name}: {count} cases of seed {seed}, {decisions} decisions, {differ} differ"
            );
        }
        assert!(told.is_empty(), "{}", told.join("\n\n"));
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
