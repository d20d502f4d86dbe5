//! The screen of a run: phases above, load and latency over the whole plan, objectives and replicas beside them, events
//! below. Fits any terminal from 60 columns and 17 rows on; a smaller one gets the head and the events.

use super::canvas::{Area, Canvas, Style};
use super::state::{Entry, Lamp, Light, Live, Point, Stage, Tone, clock};

/// Draws `live` for a terminal of this size.
pub(crate) fn draw(live: &Live, width: usize, height: usize) -> Canvas {
    let mut canvas = Canvas::new(width, height);
    head(&mut canvas, live, width);
    let bottom = height.saturating_sub(1);
    foot(&mut canvas, live, width, bottom);
    let (top, events) = (4, (height / 4).clamp(4, 16));
    let log_top = bottom.saturating_sub(events);
    if width >= 60 && log_top >= top + 8 {
        let right = (width * 2 / 5).clamp(28, 66);
        let left = Area { x: 0, y: top, width: width - right - 2, height: log_top - top };
        charts(&mut canvas, live, left);
        side(&mut canvas, live, Area { x: width - right, y: top, width: right, height: log_top - top });
        log(&mut canvas, live, Area { x: 0, y: log_top, width, height: events });
    } else {
        log(&mut canvas, live, Area { x: 0, y: top, width, height: bottom.saturating_sub(top) });
    }
    canvas
}

fn head(canvas: &mut Canvas, live: &Live, width: usize) {
    let head = &live.head;
    let at = canvas.text(0, 0, width, Style::Bold, &format!(" {}", head.scenario));
    let told = format!("  {} · {} backend · seed {}", head.platform, head.backend, head.seed);
    let time = match (live.stage, live.elapsed_us()) {
        (Stage::StandingUp, _) => "standing up".to_owned(),
        (Stage::Load, None) => "load begins".to_owned(),
        (Stage::Ending, _) => "ending".to_owned(),
        (Stage::Over, _) => "over".to_owned(),
        (Stage::Load, Some(us)) => format!("{} of {}", clock(us), clock(live.length_us())),
    };
    canvas.text(at, 0, width.saturating_sub(time.chars().count() + 2), Style::Dim, &told);
    canvas.text_right(width.saturating_sub(1), 0, Style::Bold, &time);
    phases(canvas, live, width);
}

/// The plan from left to right, and how much of it is done.
fn phases(canvas: &mut Canvas, live: &Live, width: usize) {
    let (length, room) = (live.length_us().max(1), width.saturating_sub(2));
    let done = (live.elapsed_us().unwrap_or(0).min(length) * room as u64 / length) as usize;
    for (index, phase) in live.head.phases.iter().enumerate() {
        let column = |us: u64| 1 + (us * room as u64 / length) as usize;
        let (from, to) = (column(phase.start_us), column(phase.end_us));
        // A cell is left out between two phases.
        for x in from..to.saturating_sub(usize::from(index + 1 < live.head.phases.len())) {
            let past = x < done + 1;
            canvas.put(x, 1, if past { '━' } else { '─' }, if past { Style::Load } else { Style::Dim });
        }
        let elapsed = live.elapsed_us().unwrap_or(0);
        let current = live.stage == Stage::Load && (phase.start_us..phase.end_us).contains(&elapsed);
        let style = if current { Style::Bold } else { Style::Dim };
        canvas.text(from, 2, to.saturating_sub(1), style, &phase.name);
    }
}

fn charts(canvas: &mut Canvas, live: &Live, area: Area) {
    let load = area.height * 2 / 5;
    let (upper, lower) = (Area { height: load, ..area }, area.below(load));
    let latest = &live.latest;
    let end = area.x + area.width;
    let at = canvas.text(area.x + 1, upper.y, end, Style::Bold, "Requests/s");
    let rates = format!("  due {:.0}  served {:.0}", latest.offered_per_s, latest.ok_per_s);
    let at = canvas.text(at, upper.y, end, Style::Plain, &rates);
    let failed: u64 = live.failed.values().sum();
    if failed > 0 {
        canvas.text(at, upper.y, end, Style::Bad, &format!("  not served {failed}"));
    }
    load_chart(canvas, live, upper.below(1));

    let mut at = canvas.text(area.x + 1, lower.y, end, Style::Bold, "Latency");
    for (name, us, style) in
        [("p50", latest.p50_us, Style::Low), ("p95", latest.p95_us, Style::Middle), ("p99", latest.p99_us, Style::High)]
    {
        at = canvas.text(at, lower.y, end, style, &format!("  {name} {}", span(us)));
    }
    latency_chart(canvas, live, lower.below(1));
}

/// Columns left for the labels of an axis.
const AXIS: usize = 8;

/// The points that belong to a column of the plan, where there are any.
fn columns(live: &Live, count: usize) -> Vec<&[Point]> {
    let (length, width) = (live.length_us().max(1), live.width_us.max(1));
    let index = |column: usize| (length * column as u64 / count.max(1) as u64 / width) as usize;
    let points = &live.points;
    (0..count)
        .map(|column| {
            let (from, to) = (index(column), index(column + 1).max(index(column) + 1));
            &points[from.min(points.len())..to.min(points.len())]
        })
        .collect()
}

fn load_chart(canvas: &mut Canvas, live: &Live, area: Area) {
    let plot = Area { x: area.x + AXIS, width: area.width.saturating_sub(AXIS), ..area };
    let seconds = live.width_us as f64 / 1e6;
    let most = live.points.iter().map(|point| point.offered).max().unwrap_or(0) as f64 / seconds;
    let top = nice(most);
    canvas.text_right(area.x + AXIS - 1, area.y, Style::Dim, &format!("{top:.0}"));
    canvas.text_right(area.x + AXIS - 1, area.y + area.height.saturating_sub(1), Style::Dim, "0");
    for (column, points) in columns(live, plot.width).iter().enumerate().filter(|(_, points)| !points.is_empty()) {
        let mean = |of: fn(&Point) -> u64| {
            points.iter().map(|point| of(point) as f64).sum::<f64>() / points.len() as f64 / seconds
        };
        // What was not served is what stands out above what was.
        canvas.column(plot, column, mean(|point| point.offered), top, Style::Bad);
        canvas.column(plot, column, mean(|point| point.ok), top, Style::Load);
        let (due, served) = (mean(|point| point.offered), mean(|point| point.ok));
        if due > 0.0 && served < due * 0.98 {
            let row = ((due / top * plot.height as f64).ceil() as usize).clamp(1, plot.height.max(1));
            canvas.put(plot.x + column, plot.y + plot.height - row, '×', Style::Bad);
        }
    }
}

/// Percentiles on a logarithmic scale, and the limit that decides.
fn latency_chart(canvas: &mut Canvas, live: &Live, area: Area) {
    let plot = Area { x: area.x + AXIS, width: area.width.saturating_sub(AXIS), ..area };
    let limit = live.lights.iter().find_map(|light| light.limit_us);
    let seen = live.points.iter().filter(|point| point.p50_us > 0);
    let (low, high) = seen.fold((limit.unwrap_or(1_000_000), limit.unwrap_or(10_000)), |(low, high), point| {
        (low.min(point.p50_us), high.max(point.p99_us))
    });
    let (low, high) = ((low as f64 * 0.8).max(100.0).ln(), (high as f64 * 1.25).max(1_000.0).ln());
    let dots = plot.height * 4;
    let row = |us: u64| {
        let share = ((us.max(1) as f64).ln() - low) / (high - low).max(f64::MIN_POSITIVE);
        ((1.0 - share.clamp(0.0, 1.0)) * (dots.saturating_sub(1)) as f64).round() as usize
    };
    let mut taken = Vec::new();
    let mut label = |canvas: &mut Canvas, us: u64, style| {
        let y = plot.y + row(us) / 4;
        if !taken.contains(&y) {
            taken.push(y);
            canvas.text_right(area.x + AXIS - 1, y, style, &span(us));
        }
    };
    if let Some(limit) = limit {
        label(canvas, limit, Style::Change);
        let y = plot.y + row(limit) / 4;
        (0..plot.width).for_each(|x| canvas.put(plot.x + x, y, if x % 2 == 0 { '╌' } else { ' ' }, Style::Change));
    }
    for decade in [1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
        if (low..high).contains(&(decade as f64).ln()) {
            label(canvas, decade, Style::Dim);
        }
    }
    let all = columns(live, plot.width * 2);
    // The highest first: where two share a cell, the lower one is what more requests saw.
    for (style, of) in PERCENTILES {
        let mut before = None;
        for (x, points) in all.iter().enumerate() {
            let worst = points.iter().map(of).max().unwrap_or(0);
            let y = (worst > 0).then(|| row(worst));
            if let Some(y) = y {
                // A line: up or down from where the dot before was.
                let from = before.unwrap_or(y);
                (from.min(y)..=from.max(y)).for_each(|y| canvas.dot(plot, x, y, style));
            }
            before = y;
        }
    }
}

fn side(canvas: &mut Canvas, live: &Live, area: Area) {
    let end = area.x + area.width;
    let mut y = area.y;
    canvas.text(area.x, y, end, Style::Bold, "Objectives, so far");
    y += 1;
    // Replicas of what scales are worth at least half of the room.
    let lights = live.lights.len().min(area.height.saturating_sub(4).max(2) / 2);
    let mut all: Vec<&Light> = live.lights.iter().collect();
    // What is bad first, then what decides; one without a sample can wait.
    all.sort_by_key(|light| (light.lamp != Lamp::Bad, light.n == 0, !light.gating));
    for light in all.into_iter().take(lights) {
        objective(canvas, light, area.x, y, end);
        y += 1;
    }
    if live.lights.len() > lights {
        canvas.text(area.x, y, end, Style::Dim, &format!("  and {} more", live.lights.len() - lights));
        y += 1;
    }
    y += 1;
    canvas.text(area.x, y, end, Style::Bold, "Replicas");
    let (desired, ready) = live.pods();
    canvas.text_right(end - 1, y, Style::Dim, &format!("{ready} of {desired} ready"));
    y += 1;
    let rows = (area.y + area.height).saturating_sub(y + 1);
    let mut all: Vec<_> = live.replicas.iter().collect();
    // What is not as it should be first, then what can scale.
    all.sort_by_key(|(name, (desired, ready))| (desired == ready, !live.head.bounds.contains_key(*name)));
    let longest = all.iter().take(rows).map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let bar = (area.x + longest.min(area.width * 2 / 5) + 1).min(end);
    for (name, (desired, ready)) in all.into_iter().take(rows) {
        let style = if desired == ready { Style::Plain } else { Style::Change };
        canvas.text(area.x, y, bar.saturating_sub(1), style, name);
        replicas(canvas, *desired, *ready, live.head.bounds.get(name).copied(), bar, y, end);
        y += 1;
    }
}

fn objective(canvas: &mut Canvas, light: &Light, x: usize, y: usize, end: usize) {
    let (sign, style) = match light.lamp {
        Lamp::Off => ('·', Style::Dim),
        Lamp::Good => ('●', Style::Good),
        Lamp::Unsure => ('◐', Style::Change),
        Lamp::Bad => ('■', Style::Bad),
    };
    canvas.put(x, y, sign, style);
    let share = |share: f64| {
        let percent = share * 100.0;
        if percent >= 10.0 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
    };
    let figure = if light.n == 0 {
        "no sample".to_owned()
    } else {
        format!("{} of {}", share(light.beyond as f64 / light.n as f64), share(light.allowed))
    };
    let room = end.saturating_sub(figure.chars().count() + 2);
    let title = match light.limit_us {
        Some(us) if !light.title.contains(&span(us)) => format!("{} ≤ {}", light.title, span(us)),
        _ => light.title.clone(),
    };
    canvas.text(x + 2, y, room, if light.gating { Style::Plain } else { Style::Dim }, &title);
    canvas.text_right(end - 1, y, style, &figure);
}

/// A square a pod: full where it is ready, empty where it is wanted.
fn replicas(canvas: &mut Canvas, desired: u32, ready: u32, bounds: Option<(u32, u32)>, x: usize, y: usize, end: usize) {
    let figure = match bounds {
        Some((least, most)) => format!("{ready}/{desired}  {least}–{most}"),
        None => format!("{ready}/{desired}"),
    };
    canvas.text_right(end - 1, y, if ready == desired { Style::Dim } else { Style::Change }, &figure);
    let room = end.saturating_sub(x + figure.chars().count() + 2);
    let style = if ready < desired { Style::Change } else { Style::Load };
    for index in 0..(desired.max(ready) as usize).min(room) {
        let sign = if index < ready as usize { '▮' } else { '▯' };
        canvas.put(x + index, y, sign, style);
    }
}

fn log(canvas: &mut Canvas, live: &Live, area: Area) {
    let end = area.x + area.width;
    let mut at = canvas.text(area.x + 1, area.y, end, Style::Bold, "Events");
    if !live.failed.is_empty() {
        at = canvas.text(at, area.y, end, Style::Plain, "    not served:");
        for (cause, n) in &live.failed {
            at = canvas.text(at, area.y, end, Style::Bad, &format!("  {n} {}", cause.label()));
        }
    }
    (at + 2..end.saturating_sub(1)).for_each(|x| canvas.put(x, area.y, '─', Style::Dim));
    let rows = area.below(1);
    let skip = live.log.len().saturating_sub(rows.height);
    for (y, Entry { at, tone, text }) in (rows.y..).zip(live.log.iter().skip(skip)) {
        canvas.text_right(area.x + 7, y, Style::Dim, at);
        let style = match tone {
            Tone::Plain => Style::Plain,
            Tone::Good => Style::Good,
            Tone::Change => Style::Change,
            Tone::Bad => Style::Bad,
        };
        canvas.text(area.x + 9, y, end, style, text);
    }
}

/// A figure of a point.
type Of = fn(&Point) -> u64;

const PERCENTILES: [(Style, Of); 3] =
    [(Style::High, |point| point.p99_us), (Style::Middle, |point| point.p95_us), (Style::Low, |point| point.p50_us)];

fn foot(canvas: &mut Canvas, live: &Live, width: usize, y: usize) {
    let driving = live.driver.filter(|_| matches!(live.stage, Stage::Load | Stage::Ending));
    let told = if let Some(d) = driving {
        let late = span(d.late_max_us);
        format!(" load driver: {} of {} workers busy, {} waiting, late by {late} at most", d.busy, d.workers, d.waiting)
    } else {
        let (desired, ready) = live.pods();
        format!(" {ready} of {desired} pods ready")
    };
    let keys = if live.stage == Stage::Over { "" } else { "Ctrl-C ends it and keeps what was measured " };
    canvas.text(0, y, width.saturating_sub(keys.chars().count() + 1), Style::Dim, &told);
    canvas.text_right(width, y, Style::Dim, keys);
}

/// `850 µs`, `34 ms`, `1.20 s`.
pub(crate) fn span(us: u64) -> String {
    match us {
        0 => "–".to_owned(),
        1..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{:.1} ms", us as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// The next of 1, 2, 5, 10, … that is no less.
fn nice(value: f64) -> f64 {
    let decade = 10_f64.powf(value.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * decade).find(|top| *top >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::super::state::{Head, Latest};
    use super::*;
    use record::{Cause, PhaseKind, PhaseSpan};

    fn live() -> Live {
        let phase = |name: &str, from: u64, to: u64| PhaseSpan {
            name: name.into(),
            kind: PhaseKind::Steady,
            start_us: from * 1_000_000,
            end_us: to * 1_000_000,
        };
        let head = Head {
            scenario: "nightly".into(),
            platform: "production (built-in)".into(),
            backend: "embedded".into(),
            seed: 1,
            phases: vec![phase("warm-up", 0, 20), phase("steady", 20, 110), phase("step", 110, 200)],
            bounds: [("transactions-service".to_owned(), (3, 20))].into(),
            objectives: objectives::built_in(),
            ..Head::default()
        };
        let mut live = Live::new(head);
        (live.stage, live.load_start_us, live.now_us) = (Stage::Load, Some(5_000_000), 131_000_000);
        live.replicas.insert("transactions-service".into(), (6, 4));
        live.replicas.insert("auth-service".into(), (3, 3));
        let point = |second: u64| Point {
            offered: 40 + second % 7,
            ok: if second > 100 { 30 } else { 40 + second % 7 },
            p50_us: 30_000,
            p95_us: 120_000 + second * 1_000,
            p99_us: 200_000 + second * 5_000,
        };
        live.points = (0..126).map(point).collect();
        live.latest = Latest { offered_per_s: 43.4, ok_per_s: 30.0, p50_us: 31_000, p95_us: 240_000, p99_us: 810_000 };
        live.failed.insert(Cause::Reset, 3);
        live.lights[0] = Light { n: 4_000, beyond: 12, lamp: Lamp::Good, ..live.lights[0].clone() };
        live.note(Tone::Change, "HPA transactions-service 4 → 6: cpu 212 % of 70 %".into());
        live
    }

    #[test]
    fn every_size_shows_what_matters_and_nothing_is_outside() {
        for (width, height) in [(80, 24), (120, 40), (200, 50), (60, 17), (40, 10), (20, 5), (1, 1), (0, 0)] {
            let rows = draw(&live(), width, height).rows();
            assert!(rows.iter().all(|row| row.chars().count() == width), "{width}×{height}");
            let all = rows.join("\n");
            if width == 60 {
                assert!(["due 43", "p50 31 ms", "Core flow", "▮▮▮▮▯"].iter().all(|word| all.contains(word)), "{all}");
            }
            if width < 80 {
                continue;
            }
            for word in [
                "nightly",
                "2:06 of 3:20",
                "warm-up",
                "steady",
                "step",
                "due 43",
                "served 30",
                "p95 240 ms",
                "Core flow",
                "● ",
                "▮▮▮▮▯▯",
                "4/6",
                "3–20",
                "3 reset",
                "HPA transactions-service 4 → 6: cpu 212 % of 70 %",
                "2:06",
            ] {
                // A phase's name has the room of its phase.
                let fits = width >= 100 || word != "warm-up";
                assert!(!fits || all.contains(word), "{width}×{height} lacks `{word}`:\n{all}");
            }
        }
    }

    #[test]
    fn spans_and_tops_are_short() {
        let spans = [0, 850, 3_400, 34_000, 1_200_000].map(span);
        assert_eq!(spans, ["–", "850 µs", "3.4 ms", "34 ms", "1.20 s"]);
        let rounded = [0.0, 1.0, 3.0, 60.0, 101.0].map(|value| nice(value) as u64);
        assert_eq!(rounded, [1, 1, 5, 100, 200]);
    }
}
