//! Latency over time: the picture of the first screen, and the heatmap with its percentile lines.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};
use record::{RunResult, Window};

use crate::html::plot::{HIGH, Scale, WIDE, above, axis, line, plot, spread};
use crate::{told, words};

/// More columns than this cannot be told apart, and would make the file large.
const COLUMNS: usize = 150;
/// Shades of the heatmap on either side of the limit.
const SHADES: u32 = 7;
const HEAT_PX: u32 = 216;

/// Seconds of load along a plot.
pub(super) fn time(result: &RunResult) -> Scale {
    Scale::Linear(0.0, told::load_us(result).max(1) as f64)
}

/// The middle of a window on the time axis, microseconds since load began.
fn middle(result: &RunResult, index: usize) -> f64 {
    let width = result.timeline.width_us as f64;
    ((index as f64 + 0.5) * width).min(told::load_us(result) as f64)
}

/// Labels of the time axis: few, and none that touches the next.
pub(super) fn time_labels(result: &RunResult) -> Markup {
    const STEPS: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200];
    let load = told::load_us(result);
    let seconds = load as f64 / 1e6;
    let step = STEPS.into_iter().find(|step| seconds / *step as f64 <= 6.0).unwrap_or(86_400);
    let ticks = (0..).map(|k| k * step * 1_000_000).take_while(|at| *at <= load);
    // The end always has its label; a tick too close to it has none.
    let inner: Vec<u64> = ticks.filter(|at| *at == 0 || (*at as f64) < 0.88 * load as f64).collect();
    html! {
        @for (index, at) in inner.into_iter().enumerate() {
            @let wide = index % 2 == 1 || at as f64 > 0.75 * load as f64; // a phone has room for every other one
            span class=(if at == 0 { "x first" } else if wide { "x wide" } else { "x" }) style=(format!("left:{:.2}%", time(result).share(at as f64) * 100.0)) {
                (words::clock(at as i64))
            }
        }
        @if load > 0 { span.x.last style="left:100%" { (words::clock(load as i64)) } }
    }
}

fn value_line(result: &RunResult, scale: Scale, value: impl Fn(&Window) -> u64) -> String {
    let time = time(result);
    line(told::under_load(result).iter().enumerate().map(|(index, window)| {
        let us = value(window);
        (us > 0).then(|| (time.x(middle(result, index)), scale.y(us as f64)))
    }))
}

/// p95 over the run with the limit; `None` if there is nothing to draw.
pub(super) fn hero(result: &RunResult) -> Option<Markup> {
    let highest = told::under_load(result).iter().map(|w| w.p95_us).max().filter(|us| *us > 0)?;
    let limit = told::limit_us(result);
    // A limit far above the run would press the line flat; it is drawn all the same, because it is the measure.
    let scale = Scale::Linear(0.0, highest.max(limit.unwrap_or(0)) as f64 * 1.3);
    let (time, excess) = (time(result), told::excess(result));
    let points = told::under_load(result).iter().enumerate();
    let points = points.map(|(i, w)| (w.p95_us > 0).then(|| (time.x(middle(result, i)), scale.y(w.p95_us as f64))));
    let over = limit.map_or_else(String::new, |limit| above(points, scale.y(limit as f64)));
    let subject = told::drawn(result).map_or_else(|| "all requests".into(), told::subject);
    let windows = words::span(result.timeline.width_us);
    let description = match (limit, excess) {
        (Some(limit), Some(e)) => format!(
            "p95 of {subject} in windows of {windows} was over the limit of {} for {}, at most {} at {}.",
            words::ms(limit),
            words::span(e.windows * result.timeline.width_us),
            words::ms(e.peak_us),
            words::clock(e.peak_at_us)
        ),
        (Some(limit), None) => format!(
            "p95 of {subject} in windows of {windows} stayed under the limit of {}; its highest window had {}.",
            words::ms(limit),
            words::ms(highest)
        ),
        _ => format!("p95 of {subject} in windows of {windows}; its highest window had {}.", words::ms(highest)),
    };
    let axis = axis(scale, 3, words::bare_ms);
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        path.f4 fill-opacity=".8" d=(over) {}
        @if let Some(limit) = limit { path.l.limit d=(format!("M0 {:.0}H{WIDE}", scale.y(limit as f64))) {} }
        path.l.heavy d=(value_line(result, scale, |w| w.p95_us)) {}
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
    };
    // The limit's label sits on its line at the side where the run is not over it.
    let late_peak = excess.is_some_and(|e| (e.peak_at_us as f64) < 0.5 * told::load_us(result) as f64);
    let side = if late_peak { "right:0;text-align:right" } else { "left:4px" };
    let labels = html! {
        (axis.labels)
        @if let Some(limit) = limit {
            span.in.over style=(format!("{side};bottom:calc({:.1}% + 3px)", 100.0 - scale.top(limit as f64))) {
                "limit " (words::ms(limit))
            }
        }
        @if let Some(e) = excess {
            @let share = time.share(e.peak_at_us as f64);
            @let place = if share < 0.5 { format!("left:calc({:.1}% + 14px)", share * 100.0) } else { format!("right:calc({:.1}% + 14px);text-align:right", (1.0 - share) * 100.0) };
            span.in.over style=(format!("{place};top:0")) { b { (words::ms(e.peak_us)) } " at " (words::clock(e.peak_at_us)) }
        }
        (time_labels(result))
    };
    Some(html! {
        figure.hero {
            p.keys { span { i {} b { "p95 of " (subject) } ", ms, in windows of " (windows) } }
            (plot("hero", 150, "p95 over the run", &description, &picture, &labels))
        }
    })
}

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
    let [p50, p95, p99] = [|w: &Window| w.p50_us, |w: &Window| w.p95_us, |w: &Window| w.p99_us]
        .map(|value| value_line(result, scale, value));
    let last = windows.iter().rev().find(|w| w.p95_us > 0);
    let mut keys: Vec<(f64, &str, String)> = Vec::new();
    if let Some(last) = last {
        keys.push((scale.top(last.p99_us as f64), "dots", "p99".into()));
        keys.push((scale.top(last.p95_us as f64), "heavy", "p95".into()));
        keys.push((scale.top(last.p50_us as f64), "thin", "p50".into()));
    }
    if let Some(limit) = limit {
        keys.push((scale.top(limit as f64), "limit", format!("limit {}", words::ms(limit))));
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
    let highest = windows.iter().map(|w| w.p95_us).max().unwrap_or(0);
    let description = format!(
        "{} of {subject}: the highest window had a p95 of {}; the slowest request took {}.",
        "Latency",
        words::ms(highest),
        words::ms(windows.iter().map(|w| w.max_us).max().unwrap_or(0))
    );
    let labels = html! { (axis.labels) (key_labels(&keys, HEAT_PX)) };
    html! {
        h3 { "Latency " span { "of " (subject) ", ms, log scale. Darker: more requests" } }
        (keys_above(&keys))
        (plot("heat", HEAT_PX, "Latency over time", &description, &picture, &labels))
    }
}

/// Labels at the lines' ends, moved apart.
pub(super) fn key_labels(keys: &[(f64, &str, String)], height_px: u32) -> Markup {
    let height = f64::from(height_px);
    let wanted: Vec<f64> = keys.iter().map(|(top, ..)| top / 100.0 * height).collect();
    let placed = spread(&wanted, 15.0, height);
    html! {
        @for ((_, class, text), top) in keys.iter().zip(placed) {
            span class=(if *class == "limit" { "key over" } else { "key" }) style=(format!("top:{:.1}%", top / height * 100.0)) {
                i class=(class) {} (text)
            }
        }
    }
}

/// The same in a line above the plot, for phones.
pub(super) fn keys_above(keys: &[(f64, &str, String)]) -> Markup {
    html! { p.keys aria-hidden="true" { @for (_, class, text) in keys { span { i class=(class) {} (text) } } } }
}
