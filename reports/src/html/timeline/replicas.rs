//! Desired, ready and needed replicas of one workload, with the area that nobody served.

use std::fmt::Write;

use maud::{Markup, html};
use record::{RunResult, WorkloadPoint, WorkloadSeries};

use crate::html::key::{self, Key};
use crate::html::plot::{HIGH, Scale, WIDE, axis, bar, line, plot};
use crate::html::time::{middle, time};
use crate::{told, words};

const HIGH_PX: u32 = 92;

pub(super) fn replicas(result: &RunResult, workload: &WorkloadSeries, index: usize) -> Markup {
    let time = time(result);
    let most = workload.points.iter().map(|p| p.desired.max(p.ready)).max().unwrap_or(0);
    let needs = workload.needed_milli.iter().copied().max().unwrap_or(0);
    let scale = Scale::Linear(0.0, f64::from(most.max(needs.div_ceil(1_000)).max(1)) * 1.12);
    let steps = |value: &dyn Fn(&WorkloadPoint) -> u32| {
        let y = |point: &WorkloadPoint| libm::round(scale.y(f64::from(value(point))));
        let before = workload.points.iter().take_while(|point| point.at_us <= result.load_start_us).last();
        let mut path = format!("M0 {}", before.map_or(HIGH, y));
        for point in workload.points.iter().filter(|point| point.at_us > result.load_start_us) {
            write!(path, "H{:.0}V{}", time.x(told::since_load(result, point.at_us) as f64), y(point))
                .expect("writing to a string");
        }
        write!(path, "H{WIDE}").expect("writing to a string");
        path
    };
    let bounds = workload.bounds.map_or(String::new(), |(min, max)| format!(", {min} to {max}"));
    let last = workload.points.last();
    let readies = workload.points.iter().map(|p| p.ready);
    let scaling = result.scalings.iter().find(|scaling| scaling.workload == workload.workload);
    let short = scaling.map_or(0, |scaling| scaling.unserved_milli);
    let mut description = match (readies.clone().min(), readies.max(), last) {
        (Some(least), Some(most), Some(last)) => format!(
            "Between {least} and {most} replicas were ready; at the end {} were wanted and {} ready.",
            last.desired, last.ready
        ),
        _ => "Its replicas never changed.".into(),
    };
    if needs > 0 {
        write!(
            description,
            " The load needed up to {} at the CPU target; short of that were {} replica-seconds.",
            words::number(f64::from(needs) / 1e3, 1),
            words::count(short / 1_000)
        )
        .expect("writing to a string");
    }
    let axis = axis(scale, 4, |n| words::number(n, 0));
    let needed = needed(result, workload, scale);
    let mut keys: Vec<Key> = Vec::new();
    if let Some(need) = workload.needed_milli.last() {
        keys.push(Key::new(scale.top(f64::from(*need) / 1e3) - 1.0, "dots", "needed").reads(format!("needed{index}")));
    }
    if let Some(last) = last {
        keys.push(Key::new(scale.top(f64::from(last.desired)), "dashes", "desired").reads(format!("desired{index}")));
        keys.push(Key::new(scale.top(f64::from(last.ready)) + 1.0, "heavy", "ready").reads(format!("ready{index}")));
    }
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
        @if short >= 1_000 { path.wash.crisp d=(unserved(result, workload, scale)) {} }
        @if !workload.needed_milli.is_empty() { path.l.dots d=(needed) {} }
        @if !workload.points.is_empty() {
            path.l.heavy d=(steps(&|p| p.ready)) {}
            path.l.dashes d=(steps(&|p| p.desired)) {}
        }
    };
    let labels = html! {
        (axis.labels)
        (key::beside(&keys, HIGH_PX))
        @if let Some(from) = scaling.filter(|_| short >= 10_000).and_then(|scaling| scaling.breach_us.or(scaling.decided_us)) {
            @let share = crate::html::time::share(result, from);
            span.in.over.at.to[share > 0.6] data-t=(format!("{share:.5}")) style=(format!("--t:{share:.5};bottom:4px")) {
                (words::count(short / 1_000)) " replica-seconds short"
            }
        }
    };
    html! {
        h3 { "Replicas " span { "of " (workload.workload) (bounds) } }
        (key::above(&keys))
        (plot(&format!("replicas-{index}"), HIGH_PX, &format!("Replicas of {}", workload.workload), &description, &picture, &labels))
    }
}

fn needed(result: &RunResult, workload: &WorkloadSeries, scale: Scale) -> String {
    let time = time(result);
    let point =
        |(index, needed): (usize, &u32)| Some((time.x(middle(result, index)), scale.y(f64::from(*needed) / 1e3)));
    line(workload.needed_milli.iter().enumerate().map(point))
}

/// What was needed and not ready, window by window.
fn unserved(result: &RunResult, workload: &WorkloadSeries, scale: Scale) -> String {
    let mut path = String::new();
    let time = time(result);
    let width = result.timeline.width_us;
    for (index, needed) in workload.needed_milli.iter().enumerate() {
        let ready = told::ready_at(workload, result.load_start_us + index as u64 * width + width / 2);
        if *needed > ready * 1_000 {
            let from = time.x((index as u64 * width) as f64);
            let wide = time.x(((index as u64 + 1) * width) as f64) - from;
            bar(&mut path, from, wide, scale.y(f64::from(*needed) / 1e3), scale.y(f64::from(ready)));
        }
    }
    path
}
