//! `promtool test rules` as a calculator: a unit test whose expectations are wrong fails, and tells what Prometheus found
//! instead, with all digits. One process evaluates hundreds of expressions, staleness and all, without a server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use alerts::promql::number;
use alerts::{Labels, Series};

/// `input_series` on a grid of seconds: `promtool` knows no other instants.
pub(crate) fn input(series: &[Series]) -> String {
    let mut text = String::new();
    for series in series {
        let mut values = Vec::new();
        let mut next = 0;
        for (at, value) in series.times.iter().zip(&series.values) {
            let second = at / 1_000;
            match second - next {
                0 => {}
                1 => values.push("_".to_owned()),
                missing => values.push(format!("_x{missing}")),
            }
            values.push(if alerts::is_stale(*value) { "stale".into() } else { number(*value) });
            next = second + 1;
        }
        let name = series.labels.to_string().replace('\'', "''");
        writeln!(text, "      - series: '{name}'\n        values: '{}'", values.join(" ")).unwrap();
    }
    text
}

/// What `promtool` says of one rule file and test.
pub(crate) fn promtool(rules: &str, test: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    std::fs::write(folder.path().join("test.yml"), test).unwrap();
    let told =
        Command::new("promtool").args(["test", "rules", "test.yml"]).current_dir(folder.path()).output().unwrap();
    if let Some(keep) = std::env::var_os("REHEARSE_KEEP_PROMTOOL") {
        std::fs::write(keep, [&told.stdout[..], &told.stderr[..], test.as_bytes()].concat()).unwrap();
    }
    String::from_utf8([told.stdout, told.stderr].concat()).unwrap()
}

/// `{a="b"} 1E+00, …` as `promtool` prints samples.
pub(crate) fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() && rest != "nil" {
        let mut quoted = false;
        let end = rest.char_indices().find(|(at, c)| {
            if *c == '"' && (*at == 0 || rest.as_bytes()[at - 1] != b'\\') {
                quoted = !quoted;
            }
            !quoted && *c == ' ' && !rest[..*at].ends_with(',')
        });
        let (labels, after) = rest.split_at(end.unwrap_or_else(|| panic!("{rest}")).0);
        let (value, more) = after.trim_start().split_once(", ").unwrap_or((after.trim_start(), ""));
        let value = match value {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            v => v.parse().unwrap_or_else(|_| panic!("{text}")),
        };
        all.insert(labels.replace(", ", ",").replace("{}", ""), value);
        rest = more.trim();
    }
    all
}

/// Labels as `promtool` prints them.
pub(crate) fn written(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

#[expect(clippy::float_cmp, reason = "infinities are equal, and differ by no figure")]
pub(crate) fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) + 1e-11
}

/// Labels of what fires, by instant and alert.
pub(crate) fn fired(told: &str) -> BTreeMap<(i64, String), Vec<String>> {
    let mut all: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for block in told.split("alertname: ").skip(1) {
        let (name, rest) = block.split_once(", time: ").unwrap();
        let time = rest.split(',').next().unwrap().trim();
        let at = alerts::promql::duration(time).unwrap_or_else(|| panic!("{time}"));
        let got = rest.split_once("got:").map_or("", |(_, got)| got);
        let entry = all.entry((at, name.to_owned())).or_default();
        for line in got.lines().filter_map(|line| line.trim().strip_prefix("Labels:")) {
            entry.push(line.trim().replace("\", ", "\","));
        }
        entry.sort();
    }
    all
}
