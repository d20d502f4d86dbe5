//! The names of what is drawn, at the ends of the lines.

use maud::{Markup, html};

use crate::html::plot::spread;

/// One thing drawn: where its name belongs, how it is drawn, what it is called.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Percent from the top.
    top: f64,
    /// The class of its sample.
    class: &'static str,
    text: String,
    /// Name of its values in the page's data, for reading off.
    series: Option<String>,
}

impl Key {
    pub(super) fn new(top: f64, class: &'static str, text: impl Into<String>) -> Self {
        Self { top, class, text: text.into(), series: None }
    }

    /// With values that can be read off.
    pub(super) fn reads(mut self, series: impl Into<String>) -> Self {
        self.series = Some(series.into());
        self
    }
}

/// Names at the lines' ends, moved apart.
pub(super) fn beside(keys: &[Key], height_px: u32) -> Markup {
    let height = f64::from(height_px);
    let wanted: Vec<f64> = keys.iter().map(|key| key.top / 100.0 * height).collect();
    let placed = spread(&wanted, 15.0, height);
    html! {
        @for (key, top) in keys.iter().zip(placed) {
            span class=(if key.class == "limit" { "key over" } else { "key" }) style=(format!("top:{:.1}%", top / height * 100.0)) {
                i class=(key.class) {} (key.text) @if let Some(series) = &key.series { output data-k=(series) {} }
            }
        }
    }
}

/// The same in a line above the plot, for phones.
pub(super) fn above(keys: &[Key]) -> Markup {
    html! { p.keys aria-hidden="true" { @for key in keys { span { i class=(key.class) {} (key.text) } } } }
}
