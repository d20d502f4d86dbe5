//! Where the labels of phases and events go, so that no two of them touch.
//!
//! Computed for the narrowest plot that still shows words; on anything wider there is only more room.

/// The narrowest strip that shows words, px: a window of 761 px less margins, axis and keys.
const STRIP: f64 = 525.0;
/// The narrowest strip that shows letters, px: a phone of 320 px.
const PHONE: f64 = 250.0;
/// Width of a character of 12 px type on average, px, generous.
const CHARACTER: f64 = 6.8;
/// Padding of a label and air between two, px.
const AIR: f64 = 14.0;
/// Width of a letter with its padding, px.
const LETTER: f64 = 17.0;
/// More rows than this would push the charts away.
const ROWS: usize = 6;

/// Something with an instant and a name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    /// Along the strip, 0 to 1.
    pub(super) at: f64,
    pub(super) text: String,
    /// A phase begins; otherwise something happened.
    pub(super) phase: bool,
}

/// Where a mark's label goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// From the top.
    pub(super) row: usize,
    /// The label ends at its instant instead of beginning there.
    pub(super) ends: bool,
}

/// Places of the words and of the letters; `None` where there is no room. The list below the strip has them all.
pub(super) fn places(marks: &[Mark]) -> Vec<(Option<Place>, Option<usize>)> {
    let mut words: Vec<Vec<(f64, f64)>> = vec![Vec::new(); ROWS];
    let mut letters: Vec<Vec<(f64, f64)>> = vec![Vec::new(); ROWS];
    let mut all = vec![(None, None); marks.len()];
    // Phases first: they are few, and the frame of everything else.
    let (phases, events): (Vec<usize>, Vec<usize>) = (0..marks.len()).partition(|index| marks[*index].phase);
    for index in phases.into_iter().chain(events) {
        let mark = &marks[index];
        let width = mark.text.chars().count() as f64 * CHARACTER + AIR;
        let left = mark.at * STRIP;
        let ends = left + width > STRIP;
        let span = if ends { (left - width, left) } else { (left, left + width) };
        let word = (span.0 >= 0.0).then(|| free_row(&mut words, span)).flatten();
        let letter =
            if mark.phase { None } else { free_row(&mut letters, (mark.at * PHONE, mark.at * PHONE + LETTER)) };
        all[index] = (word.map(|row| Place { row, ends }), letter);
    }
    all
}

fn free_row(rows: &mut [Vec<(f64, f64)>], span: (f64, f64)) -> Option<usize> {
    let free = |row: &Vec<(f64, f64)>| row.iter().all(|other| span.1 <= other.0 || other.1 <= span.0);
    let index = rows.iter().position(free)?;
    rows[index].push(span);
    Some(index)
}

/// `a`, `b`, … `z`, then figures.
pub(super) fn letter(index: usize) -> String {
    if index < 26 { char::from(b'a' + index as u8).to_string() } else { (index - 25).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_never_touch_however_dense_they_are() {
        for (case, count, text) in
            [("few", 4, "step"), ("many", 60, "transactions-service asks for 6"), ("one place", 1, "x")]
        {
            let mark = |i: usize| Mark { at: (i * i % count) as f64 / count as f64, text: text.into(), phase: false };
            let marks: Vec<Mark> = (0..count).map(mark).collect();
            let places = places(&marks);
            let width = text.len() as f64 * CHARACTER;
            let boxes: Vec<(usize, f64, f64)> = marks
                .iter()
                .zip(&places)
                .filter_map(|(mark, (place, _))| {
                    let left = mark.at * STRIP;
                    place.map(|p| if p.ends { (p.row, left - width, left) } else { (p.row, left, left + width) })
                })
                .collect();
            for (index, a) in boxes.iter().enumerate() {
                assert!(a.1 >= 0.0 && a.2 <= STRIP, "{case}: inside");
                for b in &boxes[index + 1..] {
                    assert!(a.0 != b.0 || a.2 < b.1 || b.2 < a.1, "{case}: {a:?} {b:?}");
                }
            }
            assert!(places.iter().filter(|(place, _)| place.is_some()).count() >= count.min(6), "{case}: {places:?}");
        }
    }
}
