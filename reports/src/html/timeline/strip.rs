//! The names of phases, faults and events above the panels, and the list that a phone has instead.

use maud::{Markup, html};
use record::RunResult;

use crate::html::marks::{Mark, Place, letter, places};
use crate::html::time::{self, share};
use crate::{told, words};

const ROW_PX: usize = 17;
/// Autoscalers' changes that are marked: the greatest ones. The table of decisions has them all.
const CHANGES: usize = 14;
/// Other events that are marked.
const EVENTS: usize = 16;

/// Marks with their places.
pub(super) struct Strip {
    marks: Vec<Mark>,
    places: Vec<(Option<Place>, Option<usize>)>,
    letters: Vec<String>,
    rows: usize,
}

impl Strip {
    pub(super) fn of(result: &RunResult) -> Self {
        let marks = marks(result);
        let places = places(&marks);
        let rows = places.iter().filter_map(|(word, _)| word.map(|w| w.row + 1)).max().unwrap_or(0);
        let rows = rows.max(places.iter().filter_map(|(_, letter)| letter.map(|row| row + 1)).max().unwrap_or(0));
        let mut next = 0;
        let mut name = |mark: &Mark| {
            if mark.phase {
                return String::new();
            }
            next += 1;
            letter(next - 1)
        };
        let letters = marks.iter().map(&mut name).collect();
        Self { marks, places, letters, rows }
    }

    /// A dotted line down from each mark that has a name above.
    pub(super) fn lines(&self) -> Markup {
        html! {
            @for (mark, (word, small)) in self.marks.iter().zip(&self.places) {
                @if word.is_some() || small.is_some() {
                    @let top = word.map_or(self.rows * ROW_PX, |w| w.row * ROW_PX);
                    u.at data-t=(format!("{:.5}", mark.at)) style=(format!("{};top:{top}px", time::at(mark.at))) {}
                }
            }
        }
    }

    pub(super) fn markup(&self) -> Markup {
        html! {
            div.strip aria-hidden="true" style=(format!("height:{}px", self.rows * ROW_PX + 6)) {
                @for ((mark, (word, small)), letter) in self.marks.iter().zip(&self.places).zip(&self.letters) {
                    @let (t, at) = (format!("{:.5}", mark.at), time::at(mark.at));
                    @if let Some(word) = word {
                        span class=(class_of(mark.phase, word.ends)) data-t=(t) style=(format!("{at};top:{}px", word.row * ROW_PX)) {
                            span.t { (mark.text) }
                        }
                    }
                    @if let Some(row) = small {
                        span.mark.at data-t=(t) style=(format!("{at};top:{}px", row * ROW_PX)) { span.l { (letter) } }
                    }
                }
            }
        }
    }

    /// All of them in order of time, for phones and for whoever does not see the strip.
    pub(super) fn list(&self, result: &RunResult) -> Markup {
        html! {
            details.events open {
                summary { (words::sentence(&words::some(self.marks.len(), "mark", "marks"))) " in order of time" }
                ol.marks {
                    @for (mark, letter) in self.marks.iter().zip(&self.letters) {
                        li { b { (letter) } (words::clock((mark.at * told::load_us(result) as f64) as i64)) " " (mark.text) @if mark.phase { " begins" } }
                    }
                }
            }
        }
    }
}

fn class_of(phase: bool, ends: bool) -> &'static str {
    match (phase, ends) {
        (true, false) => "mark at phase",
        (true, true) => "mark at phase end",
        (false, false) => "mark at",
        (false, true) => "mark at end",
    }
}

/// Phases, faults, what autoscalers changed and what else happened, in order of time.
fn marks(result: &RunResult) -> Vec<Mark> {
    let inside = |at_us: u64| at_us >= result.load_start_us && at_us < result.load_end_us;
    let mut all: Vec<(u64, Mark)> = Vec::new();
    let mut note = |at_us: u64, text: String, phase: bool| {
        if inside(at_us) {
            all.push((at_us, Mark { at: share(result, at_us), text, phase }));
        }
    };
    for phase in &result.phases {
        note(phase.start_us, phase.name.clone(), true);
    }
    for fault in &result.faults {
        note(fault.began_us, fault.fault.clone(), false);
        if let Some(ended) = fault.ended_us {
            note(ended, format!("{} ends", fault.fault), false);
        }
    }
    for happening in result.happenings.iter().take(EVENTS) {
        note(happening.at_us, happening.what.clone(), false);
    }
    let mut changes = told::changes(result);
    changes.retain(|change| inside(change.at_us));
    let many = changes.iter().any(|c| c.decision.workload != changes[0].decision.workload);
    let whose = |workload: &str| if many { format!("{workload}: ") } else { String::new() };
    changes.sort_by_key(|change| std::cmp::Reverse(change.decision.desired.abs_diff(change.decision.current)));
    changes.truncate(CHANGES);
    for change in changes {
        let d = change.decision;
        note(change.at_us, format!("{}asks for {}", whose(&d.workload), d.desired), false);
        if let Some(ready) = change.ready_us {
            note(ready, format!("{}{} ready", whose(&d.workload), d.desired), false);
        }
    }
    all.sort_by_key(|(at_us, mark)| (*at_us, !mark.phase));
    all.into_iter().map(|(_, mark)| mark).collect()
}
