//! Pods that were wanted and not ready, over all workloads: how much of the platform a fault took away.

use std::collections::BTreeMap;
use std::fmt::Write;

use maud::{Markup, html};
use record::RunResult;

use crate::html::key::{self, Key};
use crate::html::plot::{HIGH, Scale, WIDE, axis, plot};
use crate::html::time::{share, time};
use crate::{told, words};

const HIGH_PX: u32 = 56;

/// The sum over all workloads from an instant on, in order of time.
pub(super) fn steps(result: &RunResult) -> Vec<(u64, u32)> {
    let mut changes: Vec<(u64, usize, u32)> = Vec::new();
    for (index, series) in result.workloads.iter().enumerate() {
        changes.extend(series.points.iter().map(|p| (p.at_us, index, p.desired.saturating_sub(p.ready))));
    }
    changes.sort_unstable();
    let (mut now, mut sum) = (BTreeMap::new(), 0);
    let mut all: Vec<(u64, u32)> = Vec::new();
    for (at_us, index, missing) in changes {
        sum = sum + missing - now.insert(index, missing).unwrap_or(0);
        match all.last_mut() {
            Some(last) if last.0 == at_us => last.1 = sum,
            _ => all.push((at_us, sum)),
        }
    }
    all
}

pub(super) fn missing(result: &RunResult) -> Markup {
    let steps = steps(result);
    let at_start = steps.iter().take_while(|(at, _)| *at <= result.load_start_us).last().map_or(0, |(_, n)| *n);
    let under_load: Vec<(u64, u32)> =
        steps.into_iter().filter(|(at, _)| *at > result.load_start_us && *at < result.load_end_us).collect();
    let (peak_at, most) =
        under_load.iter().fold((0, at_start), |best, (at, n)| if *n > best.1 { (*at, *n) } else { best });
    let last = under_load.last().map_or(at_start, |(_, n)| *n);
    let scale = Scale::Linear(0.0, f64::from(most.max(1)) * 1.15);
    let y = |n: u32| libm::round(scale.y(f64::from(n)));
    let mut path = format!("M0 {HIGH}V{}", y(at_start));
    for (at_us, n) in &under_load {
        write!(path, "H{:.0}V{}", time(result).x(told::since_load(result, *at_us) as f64), y(*n))
            .expect("writing to a string");
    }
    write!(path, "H{WIDE}V{HIGH}z").expect("writing to a string");
    let axis = axis(scale, 2, |n| words::number(n, 0));
    let description = format!(
        "At most {} were missing, at {}; {} at the end.",
        words::counted(u64::from(most), "pod", "pods"),
        told::at(result, peak_at.max(result.load_start_us)),
        words::spelled(last as usize)
    );
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        path.wash.l d=(path) {}
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
    };
    let keys = [Key::new(scale.top(f64::from(last)).min(86.0), "area c7", "missing").reads("missing")];
    let peak = share(result, peak_at);
    let labels = html! {
        (axis.labels)
        (key::beside(&keys, HIGH_PX))
        @if most > 0 { span.in.over.at.to[peak > 0.6] data-t=(format!("{peak:.5}")) style=(format!("--t:{peak:.5};top:2px")) { (words::counted(u64::from(most), "pod", "pods")) " missing" } }
    };
    html! {
        h3 { "Pods missing " span { "wanted and not ready, over all workloads" } }
        (key::above(&keys))
        (plot("missing", HIGH_PX, "Pods missing over time", &description, &picture, &labels))
    }
}
