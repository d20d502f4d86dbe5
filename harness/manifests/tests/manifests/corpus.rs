//! A bounded run over the corpus of the fuzz targets and over seeded mutations of it: an answer or an error, never a
//! panic.

use std::fs;
use std::path::PathBuf;

use units::Seed;

/// Mutations of each file.
const MUTATIONS: u64 = 400;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{target}: {files:?}");
    files.into_iter().map(|file| (file.display().to_string(), fs::read(&file).unwrap())).collect()
}

/// One to four changes: a byte replaced, a line doubled, dropped or swapped with another, the end cut off.
fn mutated(bytes: &[u8], seed: Seed) -> Vec<u8> {
    const BYTES: &[u8] = b"{}[];:#&*\"'\\$ \n\t-x09!|>%~,\xff\x00";
    let mut number = 0;
    let mut draw = |below: usize| {
        number += 1;
        seed.draw_nth(number, units::Purpose::Phase).below(below.max(1))
    };
    let mut mutated = bytes.to_vec();
    for _ in 0..=draw(4) {
        if mutated.is_empty() {
            return mutated;
        }
        let kind = draw(5);
        if kind == 0 {
            let at = draw(mutated.len());
            mutated[at] = BYTES[draw(BYTES.len())];
        } else if kind == 1 {
            let end = draw(mutated.len());
            mutated.truncate(end);
        } else {
            let mut lines: Vec<_> = mutated.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let (one, other) = (draw(lines.len()), draw(lines.len()));
            match kind {
                2 => lines.insert(one, lines[other].clone()),
                3 => drop(lines.remove(one)),
                _ => lines.swap(one, other),
            }
            mutated = lines.concat();
        }
    }
    mutated
}

fn run(target: &str, check: impl Fn(&str)) {
    for (file, bytes) in corpus(target) {
        check(&String::from_utf8_lossy(&bytes));
        let seed = Seed::new(1).child(file.rsplit('/').next().unwrap_or_default());
        for index in 0..MUTATIONS {
            check(&String::from_utf8_lossy(&mutated(&bytes, seed.child_nth(index))));
        }
    }
}

#[test]
fn the_loader_survives_its_corpus() {
    run("loader", |text| drop(manifests::read(text, "m.yaml")));
}

#[test]
fn the_nginx_parser_survives_its_corpus() {
    run("nginx-configuration", |text| drop(manifests::nginx::parse(text, "nginx.conf")));
}
