//! What only a browser can say: that the page opens from a file, asks nobody, complains of nothing, zooms and sorts,
//! is whole without scripts, fits a phone and paper, and passes axe.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use testing::Need;

use super::chromium::{Chromium, View};
use super::{page, rich, told};
use crate::fixture::{EVERY, Kind, result};

/// A page in a file, and its address.
fn file(folder: &Path, name: &str, html: &str) -> String {
    let path = folder.join(format!("{name}.html"));
    fs::write(&path, html).unwrap();
    format!("file://{}", path.display())
}

/// Every kind of run, and one with everything in it.
fn pages(folder: &Path) -> Vec<(String, String)> {
    let every = EVERY.map(|kind| (format!("{kind:?}"), page(&told(result(kind)))));
    let all = every.into_iter().chain([("rich".to_owned(), page(&rich()))]);
    all.map(|(name, html)| (name.clone(), file(folder, &name, &html))).collect()
}

#[test]
fn every_page_opens_from_a_file_asks_nobody_and_complains_of_nothing() {
    if !testing::needs("every_page_opens_from_a_file_asks_nobody_and_complains_of_nothing", Need::Chromium) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut browser = Chromium::start();
    for (name, url) in pages(folder.path()) {
        for view in [View::WIDE, View::PHONE, View { scripts: false, ..View::WIDE }] {
            let (asked, complaints) = browser.open(&url, view);
            assert_eq!(asked, [""; 0], "{name}, {view:?}");
            assert_eq!(complaints, [""; 0], "{name}, {view:?}");
        }
    }
}

/// Headings, paragraphs, cells and names of pictures: what a reader gets.
const TEXT: &str = "[...document.querySelectorAll('h1,h2,h3,p,th,td,li,dt,dd,title,desc,caption,summary')]
    .map(e => e.textContent.replace(/\\s+/g, ' ').trim()).filter(t => t).join('\\n')";

#[test]
fn without_scripts_nothing_is_missing_and_a_phone_does_not_scroll_sideways() {
    if !testing::needs("without_scripts_nothing_is_missing_and_a_phone_does_not_scroll_sideways", Need::Chromium) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut browser = Chromium::start();
    for (name, url) in pages(folder.path()) {
        browser.open(&url, View::WIDE);
        let with = browser.evaluate(TEXT);
        browser.open(&url, View { scripts: false, ..View::WIDE });
        assert_eq!(browser.evaluate(TEXT), with, "{name}");
        let shown =
            browser.evaluate("getComputedStyle(document.querySelector('.ctl') ?? document.createElement('p')).display");
        assert!(shown == "none" || shown == "", "{name}: controls that nothing answers, {shown}");
        for width in [320, 390, 1440] {
            browser.open(&url, View { width, ..View::WIDE });
            let wide = browser.evaluate("document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{name}: {wide} px wide on {width}");
        }
    }
}

/// What each panel of the timeline shows.
const BOXES: &str = "[...document.querySelectorAll('.tl .row svg')].map(s => s.getAttribute('viewBox'))";

#[test]
fn zoom_and_reading_off_work_by_mouse_and_by_key() {
    if !testing::needs("zoom_and_reading_off_work_by_mouse_and_by_key", Need::Chromium) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut browser = Chromium::start();
    let url = file(folder.path(), "rich", &page(&rich()));
    browser.open(&url, View::WIDE);
    let whole = browser.evaluate(BOXES);
    let panels = whole.as_array().unwrap().len();
    assert!(panels >= 5 && whole.as_array().unwrap().iter().all(|shown| *shown == "0 0 2000 1000"), "{whole}");

    browser.evaluate("document.querySelectorAll('.ctl button')[2].click()");
    let zoomed = browser.evaluate(BOXES);
    let first = zoomed[0].as_str().unwrap();
    assert!(first != "0 0 2000 1000" && zoomed.as_array().unwrap().iter().all(|shown| shown == first), "{zoomed}");
    assert_eq!(browser.evaluate("document.querySelectorAll('.ctl button[aria-pressed=true]').length"), 1);

    browser.evaluate("document.querySelector('.ctl button').click(); document.querySelector('.ctl input').focus()");
    assert_eq!(browser.evaluate(BOXES), whole, "the first button shows all of it again");
    browser.press("ArrowRight", 39);
    browser.press("ArrowRight", 39);
    let read = browser.evaluate("[document.querySelector('.now').textContent, document.querySelector('.key output').textContent, document.querySelector('.ctl input').getAttribute('aria-valuetext')]");
    assert_eq!(read[0], "0:02");
    assert!(read[1].as_str().unwrap().parse::<f64>().is_ok(), "{read}");
    assert!(read[2].as_str().unwrap().contains("p95"), "{read}");
    browser.press("+", 187);
    assert_ne!(browser.evaluate(BOXES), whole, "plus zooms in");
    browser.press("Escape", 27);
    assert_eq!(browser.evaluate(BOXES), whole, "escape shows all of it");

    browser.evaluate("document.querySelector('.tl').scrollIntoView()");
    let at = browser.evaluate("(() => { const b = document.querySelector('.bands').getBoundingClientRect(); return [b.left, b.top, b.width] })()");
    let [left, top, width] = [0, 1, 2].map(|index| at[index].as_f64().unwrap());
    browser.drag((left + width * 0.25, top + 200.0), (left + width * 0.5, top + 200.0));
    let dragged = browser.evaluate(BOXES);
    let numbers: Vec<f64> = dragged[0].as_str().unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
    assert!((numbers[0] - 500.0).abs() < 10.0 && (numbers[2] - 500.0).abs() < 10.0, "{numbers:?}");
}

#[test]
fn endpoints_sort_by_value_both_ways_and_say_so() {
    if !testing::needs("endpoints_sort_by_value_both_ways_and_say_so", Need::Chromium) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut browser = Chromium::start();
    browser.open(&file(folder.path(), "fail", &page(&told(result(Kind::Fail)))), View::WIDE);
    for (column, by_number) in [(7, true), (2, true), (0, false)] {
        for (clicks, sort) in [(1, "descending"), (1, "ascending")] {
            let script = format!(
                "(() => {{ const table = document.querySelector('table[data-sort]'), head = table.tHead.rows[0].cells[{column}];
                for (let n = 0; n < {clicks}; n++) head.querySelector('button').click();
                return [head.getAttribute('aria-sort'), [...table.tBodies[0].rows].map(r => r.cells[{column}].dataset.v ?? r.cells[{column}].textContent)] }})()"
            );
            let sorted = browser.evaluate(&script);
            assert_eq!(sorted[0], sort, "column {column}");
            let values: Vec<&str> = sorted[1].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
            assert!(values.len() > 3, "{values:?}");
            let ascends = if by_number {
                values
                    .iter()
                    .map(|v| v.parse::<f64>().unwrap())
                    .collect::<Vec<_>>()
                    .is_sorted_by(|a, b| if sort == "ascending" { a <= b } else { a >= b })
            } else {
                values.is_sorted_by(|a, b| if sort == "ascending" { a <= b } else { a >= b })
            };
            assert!(ascends, "column {column} {sort}: {values:?}");
        }
    }
}

#[test]
fn paper_has_everything_in_few_pages() {
    if !testing::needs("paper_has_everything_in_few_pages", Need::Chromium) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut browser = Chromium::start();
    browser.open(&file(folder.path(), "rich", &page(&rich())), View::WIDE);
    let printed = browser.call("Page.printToPDF", &json!({"printBackground": true, "preferCSSPageSize": true}));
    // Base64 of a PDF begins with that of `%PDF`.
    let pdf = printed["data"].as_str().unwrap();
    assert!(pdf.starts_with("JVBERi") && pdf.len() > 20_000, "{} characters", pdf.len());
}

#[test]
fn axe_finds_nothing_in_light_dark_and_on_a_phone() {
    if !testing::needs("axe_finds_nothing_in_light_dark_and_on_a_phone", Need::Chromium)
        || !testing::needs("axe_finds_nothing_in_light_dark_and_on_a_phone", Need::Axe)
    {
        return;
    }
    let axe = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("browser/node_modules/axe-core/axe.min.js");
    let axe = fs::read_to_string(axe).unwrap();
    let folder = TempDir::new().unwrap();
    let mut browser = Chromium::start();
    let telling = ["Fail", "Undecided", "Empty", "rich"]; // the others have the same parts
    for (name, url) in pages(folder.path()).into_iter().filter(|(name, _)| telling.contains(&name.as_str())) {
        for view in [View::WIDE, View { dark: true, ..View::WIDE }, View::PHONE] {
            browser.open(&url, view);
            browser.evaluate(&format!("{axe};0"));
            let found = browser.evaluate(
                "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v =>
                    `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => n.target + ' ' + n.failureSummary).join(' | ')}`))",
            );
            assert_eq!(found, json!([]), "{name}, {view:?}");
        }
    }
}
