//! How fast the drawn objective's budget burns: 1× is what it may be spent at for ever.

use maud::{Markup, html};
use record::RunResult;

use crate::html::key::{self, Key};
use crate::html::plot::{HIGH, Scale, WIDE, axis, line, plot};
use crate::html::time::{middle, time};
use crate::{told, words};

const HIGH_PX: u32 = 72;
/// Multi-window burn of the SRE workbook's chapter on alerting: these wake somebody up.
const PAGES: [(f64, &str); 2] = [(14.4, "14.4×"), (6.0, "6×")];

/// A short and a long trailing window that fit the run, microseconds.
pub(super) fn spans(load_us: u64) -> (u64, u64) {
    const SECOND: u64 = 1_000_000;
    match load_us / SECOND {
        ..1_800 => (10 * SECOND, 60 * SECOND),
        1_800..7_200 => (60 * SECOND, 300 * SECOND),
        _ => (300 * SECOND, 3_600 * SECOND),
    }
}

/// Burn in a trailing window, one value per window of the timeline; `None` where nothing was judged.
pub(super) fn burns(result: &RunResult, span_us: u64) -> Vec<Option<f64>> {
    let Some(allowed) = told::drawn(result).map(|verdict| verdict.allowed).filter(|allowed| *allowed > 0.0) else {
        return Vec::new();
    };
    let windows = told::under_load(result);
    let reach = (span_us / result.timeline.width_us.max(1)).max(1) as usize;
    let at = |index: usize| {
        let trailing = &windows[(index + 1).saturating_sub(reach)..=index];
        let (n, beyond) = trailing.iter().fold((0, 0), |(n, beyond), w| (n + w.flow, beyond + w.flow_beyond));
        (n > 0).then(|| beyond as f64 / n as f64 / allowed)
    };
    (0..windows.len()).map(at).collect()
}

pub(super) fn burn(result: &RunResult) -> Option<Markup> {
    let verdict = told::drawn(result)?;
    let (short, long) = spans(told::load_us(result));
    let (fast, slow) = (burns(result, short), burns(result, long));
    let highest = |burns: &[Option<f64>]| burns.iter().flatten().copied().fold(0.0, f64::max);
    let (most_fast, most_slow) = (highest(&fast), highest(&slow));
    fast.iter().flatten().next()?;
    let scale = Scale::Linear(0.0, most_fast.max(most_slow).max(1.6) * 1.12);
    let time = time(result);
    let path = |burns: &[Option<f64>]| {
        line(
            burns
                .iter()
                .enumerate()
                .map(|(index, burn)| burn.map(|burn| (time.x(middle(result, index)), scale.y(burn)))),
        )
    };
    let axis = axis(scale, 3, |burn| format!("{}×", words::number(burn, 1)));
    let named = |span: u64| words::span(span);
    let description = format!(
        "At most {}× over {} and {}× over {}; 1× is sustainable.",
        words::number(most_fast, 1),
        named(short),
        words::number(most_slow, 1),
        named(long)
    );
    let level = |value: f64| format!("M0 {:.0}H{WIDE}", scale.y(value));
    let end = |burns: &[Option<f64>]| scale.top(burns.iter().rev().flatten().next().copied().unwrap_or(0.0));
    let keys = [
        Key::new(end(&fast) - 14.0, "thin", named(short)).reads("burn0"),
        Key::new(end(&slow) - 2.0, "heavy", named(long)).reads("burn1"),
        Key::new(scale.top(1.0), "limit", "sustainable"),
    ];
    let pages: Vec<_> = PAGES.into_iter().filter(|(level, _)| *level < most_fast.max(most_slow) * 1.1).collect();
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        @for (burn, _) in &pages { path.l.dashes.quiet d=(level(*burn)) {} }
        path.l.limit d=(level(1.0)) {}
        path.l.thin d=(path(&fast)) {}
        path.l.heavy d=(path(&slow)) {}
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
    };
    let labels = html! {
        (axis.labels)
        @for (burn, name) in &pages { span.in.mute style=(format!("left:4px;bottom:calc({:.1}% + 2px)", 100.0 - scale.top(*burn))) { (name) ", pages" } }
        (key::beside(&keys, HIGH_PX))
    };
    Some(html! {
        h3 { "Burn rate " span { "of the budget of " (told::subject(verdict)) ", over trailing windows" } }
        (key::above(&keys))
        (plot("burn", HIGH_PX, "Burn rate over time", &description, &picture, &labels))
    })
}
