//! The time axis: seconds since load began, as a share of the load, so that zooming is a change of two numbers.

use maud::{Markup, html};
use record::{RunResult, Spell};

use crate::html::plot::{Scale, line};
use crate::{told, words};

/// Microseconds of load along a plot.
pub(super) fn time(result: &RunResult) -> Scale {
    Scale::Linear(0.0, told::load_us(result).max(1) as f64)
}

/// Where an instant of the run's clock lies along the load, 0 to 1.
pub(super) fn share(result: &RunResult, at_us: u64) -> f64 {
    time(result).share(told::since_load(result, at_us) as f64)
}

/// Places something of class `at`.
pub(super) fn at(share: f64) -> String {
    format!("--t:{share:.5}")
}

/// The middle of a window on the time axis, microseconds since load began.
pub(super) fn middle(result: &RunResult, index: usize) -> f64 {
    let width = result.timeline.width_us as f64;
    ((index as f64 + 0.5) * width).min(told::load_us(result) as f64)
}

/// One value of each spell on the time axis; a spell without any leaves a gap.
pub(super) fn values(result: &RunResult, scale: Scale, value: impl Fn(&Spell) -> u64) -> Vec<Option<(f64, f64)>> {
    let time = time(result);
    let (width, spells) = told::spells(result);
    let load = told::load_us(result) as f64;
    let at = |(index, spell): (usize, &Spell)| {
        let us = value(spell);
        let middle = ((index as f64 + 0.5) * width as f64).min(load);
        (us > 0).then(|| (time.x(middle), scale.y(us as f64)))
    };
    spells.iter().enumerate().map(at).collect()
}

/// A line through them.
pub(super) fn value_line(result: &RunResult, scale: Scale, value: impl Fn(&Spell) -> u64) -> String {
    line(values(result, scale, value))
}

/// Labels of the time axis: few, and none that touches the next.
pub(super) fn labels(result: &RunResult) -> Markup {
    const STEPS: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200];
    let load = told::load_us(result);
    let seconds = load as f64 / 1e6;
    let step = STEPS.into_iter().find(|step| seconds / *step as f64 <= 6.0).unwrap_or(86_400);
    let ticks = (0..).map(|k| k * step * 1_000_000).take_while(|at| *at <= load);
    // The end always has its label; a tick too close to it has none.
    let inner: Vec<u64> = ticks.filter(|at| *at == 0 || (*at as f64) < 0.88 * load as f64).collect();
    html! {
        @for (index, at_us) in inner.into_iter().enumerate() {
            @let wide = index % 2 == 1 || at_us as f64 > 0.75 * load as f64; // a phone has room for every other one
            span class=(if at_us == 0 { "x at first" } else if wide { "x at wide" } else { "x at" }) style=(at(time(result).share(at_us as f64))) {
                (words::clock(at_us as i64))
            }
        }
        @if load > 0 { span.x.at.last style=(at(1.0)) { (words::clock(load as i64)) } }
    }
}
