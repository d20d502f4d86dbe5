//! Answers that the oracle gave once, kept so that the rules are held to them without Go.

use std::io::{Read, Write};
use std::path::PathBuf;

use cluster::Release;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::cases::Case;
use crate::compare::difference;
use crate::oracle::Oracle;
use crate::ours;

/// How many cases are kept for each release, and the seed that drew them.
const KEPT: u64 = 200;
const SEED: u64 = 1;

fn file(release: Release) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/oracle_hpa/recorded-{release}.jsonl.gz"))
}

/// With `REHEARSE_RECORD` set the oracle is asked anew first, which needs Go: for when the cases have changed.
#[test]
fn recorded_cases_are_answered_as_kubernetes_answered_them() {
    if std::env::var_os("REHEARSE_RECORD").is_some() {
        record();
    }
    for release in Release::ALL {
        let mut text = String::new();
        GzDecoder::new(std::fs::File::open(file(release)).unwrap()).read_to_string(&mut text).unwrap();
        let mut cases = 0;
        for line in text.lines() {
            let kept: Value = serde_json::from_str(line).unwrap();
            let difference = difference(&kept["answer"], &ours::answer(&kept["case"], release));
            assert!(difference.is_none(), "{release} case {cases}: {}\n{}", difference.unwrap(), kept["case"]);
            cases += 1;
        }
        assert_eq!(cases, KEPT, "{release}");
    }
}

fn record() {
    for release in Release::ALL {
        let cases: Vec<Value> = (0..KEPT).map(|number| Case::draw(SEED, number).json).collect();
        let answers = Oracle::build(release).ask(&cases);
        let mut out = GzEncoder::new(std::fs::File::create(file(release)).unwrap(), Compression::best());
        for (case, answer) in cases.iter().zip(answers) {
            writeln!(out, "{}", json!({"case": case, "answer": answer})).unwrap();
        }
        out.finish().unwrap();
    }
}
