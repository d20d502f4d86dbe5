//! Latency over time: every request as a shade, percentiles as lines, the limit through all of it.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};
use record::{RunResult, Spell, Window};

use crate::html::key::{self, Key};
use crate::html::plot::{Scale, WIDE, axis, plot};
use crate::html::time::{time, value_line};
use crate::{told, words};

/// More columns than this cannot be told apart even when zoomed, and would make the file large.
const COLUMNS: usize = 300;
/// Shades on either side of the limit.
const SHADES: u32 = 7;
const HIGH_PX: u32 = 216;

/// Each bin of the heatmap as a shade, merged into at most [`COLUMNS`] columns.
struct Heat {
    columns: Vec<Vec<u32>>,
    /// How many windows make a column.
    per_column: usize,
    most: u32,
}

impl Heat {
    fn of(result: &RunResult) -> Self {
        let windows = told::under_load(result);
        let per_column = windows.len().div_ceil(COLUMNS).max(1);
        let column = |windows: &[Window]| {
            let bins = windows.iter().map(|w| w.heat.len()).max().unwrap_or(0);
            (0..bins).map(|bin| windows.iter().filter_map(|w| w.heat.get(bin)).sum()).collect::<Vec<u32>>()
        };
        let columns: Vec<Vec<u32>> = windows.chunks(per_column).map(column).collect();
        let most = columns.iter().flatten().copied().max().unwrap_or(0);
        Self { columns, per_column, most }
    }

    /// 0 for nothing, else 1 to [`SHADES`]: by the square root, so that a lone request shows.
    fn shade(&self, n: u32) -> u32 {
        let share = f64::from(n) / f64::from(self.most.max(1));
        if n == 0 { 0 } else { (libm::ceil(libm::sqrt(share) * f64::from(SHADES)) as u32).clamp(1, SHADES) }
    }

    /// One path per shade: its opacity, and whether it lies beyond the limit.
    fn paths(&self, result: &RunResult, scale: Scale, limit: Option<u64>) -> Vec<(u32, bool, String)> {
        let edges = &result.timeline.heat_edges_us;
        let load = told::load_us(result).max(1) as f64;
        let width = WIDE * (self.per_column as f64 * result.timeline.width_us as f64) / load;
        let mut paths = vec![String::new(); 2 * SHADES as usize];
        for (index, column) in self.columns.iter().enumerate() {
            for (bin, n) in column.iter().enumerate() {
                let shade = self.shade(*n);
                if shade == 0 {
                    continue;
                }
                let low = if bin == 0 { 0 } else { edges[bin - 1] };
                let high = edges.get(bin).copied().unwrap_or(u64::MAX);
                let beyond = limit.is_some_and(|limit| low >= limit);
                let x = libm::round(index as f64 * width);
                let wide = (libm::round((index + 1) as f64 * width).min(WIDE) - x).max(1.0);
                let path = &mut paths[shade as usize - 1 + if beyond { SHADES as usize } else { 0 }];
                let (top, bottom) = (scale.y(high as f64), scale.y(low as f64));
                write!(path, "M{x} {top:.0}h{wide}V{bottom:.0}h-{wide}z").expect("writing to a string");
            }
        }
        let with_shade = |(index, path): (usize, String)| (index as u32 % SHADES + 1, index >= SHADES as usize, path);
        paths.into_iter().enumerate().filter(|(_, path)| !path.is_empty()).map(with_shade).collect()
    }
}

/// The latency row of the timeline, or a sentence if nothing succeeded.
pub(super) fn heatmap(result: &RunResult) -> Markup {
    let windows = told::under_load(result);
    let subject = told::drawn(result).map_or_else(|| "all requests".into(), told::subject);
    let values = || windows.iter().flat_map(|w| [w.p50_us, w.p95_us, w.p99_us, w.max_us]).filter(|us| *us > 0);
    let (Some(least), Some(most)) = (values().min(), values().max()) else {
        return html! { p.note { "No request of " (subject) " succeeded, so there is no latency to draw." } };
    };
    let limit = told::limit_us(result);
    // From the lowest bin that holds anything; the limit is always in the picture.
    let heat = Heat::of(result);
    let lowest_bin = heat.columns.iter().filter_map(|column| column.iter().position(|n| *n > 0)).min().unwrap_or(0);
    let edges = &result.timeline.heat_edges_us;
    let bottom = if lowest_bin == 0 { least / 2 } else { edges[lowest_bin - 1].min(least) };
    let top = most.max(limit.unwrap_or(0)) as f64 * 1.3;
    let scale = Scale::Log((bottom.max(1)) as f64, top);
    let axis = axis(scale, 6, words::bare_ms);
    let [p50, p95, p99] = [|s: &Spell| s.p50_us, |s: &Spell| s.p95_us, |s: &Spell| s.p99_us]
        .map(|value| value_line(result, scale, value));
    let (spell_us, spells) = told::spells(result);
    let last = spells.iter().rev().find(|spell| spell.p95_us > 0);
    let mut keys: Vec<Key> = Vec::new();
    if let Some(last) = last {
        keys.push(Key::new(scale.top(last.p99_us as f64), "dots", "p99").reads("p99"));
        keys.push(Key::new(scale.top(last.p95_us as f64), "heavy", "p95").reads("p95"));
        keys.push(Key::new(scale.top(last.p50_us as f64), "thin", "p50").reads("p50"));
    }
    if let Some(limit) = limit {
        keys.push(Key::new(scale.top(limit as f64), "limit", format!("limit {}", words::ms(limit))));
    }
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        @for (shade, beyond, path) in heat.paths(result, scale, limit) {
            path class=(if beyond { "f4" } else { "f1" }) fill-opacity=(format!("{:.2}", 0.10 + 0.11 * f64::from(shade))) d=(PreEscaped(path)) {}
        }
        @for path in [&p99, &p50, &p95] { path.l.casing d=(path) {} }
        path.l.dots d=(p99) {}
        path.l.thin d=(p50) {}
        path.l.heavy d=(p95) {}
        @if let Some(limit) = limit { path.l.limit d=(format!("M0 {:.0}H{WIDE}", scale.y(limit as f64))) {} }
    };
    let highest = spells.iter().map(|spell| spell.p95_us).max().unwrap_or(0);
    let description = format!(
        "Latency of {subject}: the highest spell had a p95 of {}; the slowest request took {}.",
        words::ms(highest),
        words::ms(windows.iter().map(|w| w.max_us).max().unwrap_or(0))
    );
    let excess = told::excess(result);
    let labels = html! {
        (axis.labels)
        (key::beside(&keys, HIGH_PX))
        @if let Some(e) = excess {
            @let share = time(result).share(e.peak_at_us as f64);
            span.in.over.at.to[share > 0.55] data-t=(format!("{share:.5}")) style=(format!("--t:{share:.5};top:2px")) {
                "p95 over the limit" br; "for " (words::span(e.long_us))
            }
        }
    };
    html! {
        h3 { "Latency " span { "of " (subject) ", ms, log scale. Darker: more requests. Percentiles of " (words::span(spell_us)) } }
        (key::above(&keys))
        (plot("heat", HIGH_PX, "Latency over time", &description, &picture, &labels))
    }
}
