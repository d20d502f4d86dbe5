//! Random series and expressions.

use alerts::{Labels, NAME, STALE, Series};

/// Draws without a crate: `SplitMix64`.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    pub(crate) fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }
}

pub(crate) const END: i64 = 20 * 60_000;
pub(crate) const EDGES: [&str; 6] = ["0.1", "0.5", "0.8", "1", "2.5", "+Inf"];

/// Counters with resets, gauges that go either way, histograms; each scraped every 15 s at its own phase, some with
/// gaps, some beginning late or ending early.
pub(crate) fn series(draw: &mut Draw) -> Vec<Series> {
    let mut all = Vec::new();
    for (job, pods) in [("a", 3), ("b", 2)] {
        for pod in 0..pods {
            let phase = draw.below(15) as i64 * 1_000;
            let (from, until) = match draw.below(4) {
                0 => (300_000, END),
                1 => (0, END - 400_000),
                _ => (0, END),
            };
            let times: Vec<i64> = (0..END / 15_000).map(|nth| nth * 15_000 + phase).collect();
            let alive = |at: i64| (from..until).contains(&at);
            let gaps: Vec<bool> = times.iter().map(|_| draw.below(12) == 0).collect();
            let pod = format!("{job}-{pod}");
            let add = |name: &str, more: &[(&str, &str)], draw: &mut Draw, counter: bool| {
                let base = [(NAME, name), ("job", job), ("pod", pod.as_str())];
                let labels: Labels = base.into_iter().chain(more.iter().copied()).collect();
                let (mut series, mut value, mut live) = (Series::new(labels), 0.0, false);
                for (at, gap) in times.iter().zip(&gaps) {
                    if !alive(*at) || *gap {
                        if std::mem::take(&mut live) {
                            series.push(*at, STALE);
                        }
                        continue;
                    }
                    live = true;
                    let step = draw.below(2_000) as f64 / 7.0;
                    value = match draw.below(30) {
                        0 if counter => 0.0,
                        _ if counter => value + step,
                        _ => step - 100.0,
                    };
                    series.push(*at, value);
                }
                series
            };
            all.push(add("counter_total", &[("status", "200")], draw, true));
            all.push(add("counter_total", &[("status", "503")], draw, true));
            all.push(add("gauge", &[], draw, false));
            all.push(add("up", &[], draw, true));
            let buckets: Vec<Series> =
                EDGES.iter().map(|le| add("seconds_bucket", &[("le", le)], draw, true)).collect();
            // Cumulative over the edges.
            let mut below: Option<Series> = None;
            for mut bucket in buckets {
                if let Some(below) = &below {
                    let values = bucket.values.iter_mut().zip(&below.values).filter(|(v, _)| !alerts::is_stale(**v));
                    values.for_each(|(value, less)| *value += less);
                }
                all.push(bucket.clone());
                below = Some(bucket);
            }
        }
    }
    all
}

pub(crate) fn vector(draw: &mut Draw, depth: u64) -> String {
    if depth == 0 {
        let matcher = draw.one(&[
            "",
            "{job=\"a\"}",
            "{job!=\"a\"}",
            "{pod=~\"a-.\"}",
            "{pod!~\".*-0|b.*\"}",
            "{status=~\"5..\"}",
            "{no=\"\"}",
        ]);
        let name = draw.one(&["gauge", "up", "counter_total"]);
        let offset = draw.one(&["", "", "", " offset 1m", " offset 40s", " @ 600"]);
        return match draw.below(3) {
            0 => format!("{name}{matcher}{offset}"),
            1 => {
                let function = draw.one(&[
                    "rate",
                    "increase",
                    "irate",
                    "idelta",
                    "delta",
                    "deriv",
                    "changes",
                    "resets",
                    "avg_over_time",
                    "sum_over_time",
                    "min_over_time",
                    "max_over_time",
                    "count_over_time",
                    "last_over_time",
                    "present_over_time",
                    "stddev_over_time",
                    "stdvar_over_time",
                ]);
                let range = draw.one(&["30s", "1m", "5m", "7m", "45s"]);
                format!("{function}({name}{matcher}[{range}]{offset})")
            }
            _ => match draw.below(4) {
                0 => format!("predict_linear(gauge{matcher}[5m], 600)"),
                1 => format!("quantile_over_time(0.{}, gauge{matcher}[3m])", draw.below(10)),
                2 => format!("max_over_time(rate(counter_total{matcher}[1m])[4m:{}])", draw.one(&["15s", "30s", "1m"])),
                _ => format!("absent_over_time({name}{matcher}[20s])"),
            },
        };
    }
    match draw.below(9) {
        0 => format!(
            "{} {}{} ({})",
            draw.one(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]),
            draw.one(&["by", "without"]),
            draw.one(&[" (job)", " (job, pod)", " (status)", " ()", " (le, pod)"]),
            vector(draw, depth - 1)
        ),
        1 => format!(
            "histogram_quantile(0.{}, sum by ({}) (rate(seconds_bucket[{}])))",
            draw.below(100),
            draw.one(&["le", "le, job", "le, pod"]),
            draw.one(&["1m", "5m"])
        ),
        2 => format!(
            "{}({})",
            draw.one(&["abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn", "round", "absent", "sort"]),
            vector(draw, depth - 1)
        ),
        3 => format!(
            "({}) {} {}",
            vector(draw, depth - 1),
            draw.one(&["+", "-", "*", "/", "%", ">", "<", ">=", "<=", "!=", "> bool", "== bool"]),
            draw.one(&["0", "1", "2.5", "100", "-3"])
        ),
        4 => format!(
            "{} {} ({})",
            draw.one(&["0", "1", "2.5", "100"]),
            draw.one(&["+", "-", "*", "/", "<", "> bool"]),
            vector(draw, depth - 1)
        ),
        5 => {
            let on = draw.one(&[
                "on (job, pod)",
                "on (pod) group_left ()",
                "on (pod) group_right (status)",
                "ignoring (status)",
                "",
                "ignoring (status) group_left ()",
            ]);
            format!(
                "({}) {} {on} ({})",
                vector(draw, depth - 1),
                draw.one(&["+", "-", "/", ">", "<", "== bool"]),
                vector(draw, depth - 1)
            )
        }
        6 => format!(
            "({}) {} {} ({})",
            vector(draw, depth - 1),
            draw.one(&["and", "or", "unless"]),
            draw.one(&["", "on (pod)", "on (job)", "ignoring (status)"]),
            vector(draw, depth - 1)
        ),
        7 => match draw.below(4) {
            0 => format!("clamp({}, -5, 50)", vector(draw, depth - 1)),
            1 => format!("clamp_min({}, 3)", vector(draw, depth - 1)),
            2 => format!("clamp_max({}, 3)", vector(draw, depth - 1)),
            _ => format!("vector(scalar({}))", vector(draw, depth - 1)),
        },
        _ => match draw.below(4) {
            0 => format!("-({})", vector(draw, depth - 1)),
            1 => format!("quantile by (job) (0.{}, {})", draw.below(10), vector(draw, depth - 1)),
            2 => format!("label_replace({}, \"to\", \"$1-x\", \"pod\", \"(.)-.*\")", vector(draw, depth - 1)),
            _ => format!("timestamp({}) - time()", draw.one(&["gauge", "up{job=\"a\"}"])),
        },
    }
}
