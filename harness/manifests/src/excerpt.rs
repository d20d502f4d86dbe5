//! The source lines that an error is about.

use std::fmt::Write;

use platform::Place;

use crate::Loaded;

impl Loaded {
    /// The line at a place with a caret under what it says, and the line above it. `None` where the text of the place is
    /// not at hand: then it is a file that can be opened by its name.
    ///
    /// ```text
    ///   15 |             requests:
    ///   16 |               cpu: 100mi
    ///      |                    ^^^^^
    /// ```
    pub fn excerpt(&self, place: &Place) -> Option<String> {
        if let Some((_, text)) = self.texts.iter().find(|(name, _)| **name == *place.file) {
            return excerpt(text, place.line);
        }
        // A ConfigMap's own text: `ConfigMap/NAME/KEY`.
        let (name, key) = place.file.strip_prefix("ConfigMap/")?.split_once('/')?;
        let config = self.platform.configs.iter().find(|config| config.name == name)?;
        excerpt(config.entries.get(key)?, place.line)
    }
}

/// The line of a text, counted from 1, as [`Loaded::excerpt`] shows it.
pub fn excerpt(text: &str, line: u32) -> Option<String> {
    /// Longer lines are cut: what is wrong stands at their beginning, or they are no lines for people.
    const WIDTH_MAX: usize = 120;
    let index = line.checked_sub(1)? as usize;
    let mut shown = String::new();
    let width = line.to_string().len();
    let cut = |text: &str| text.chars().take(WIDTH_MAX).collect::<String>().replace('\t', " ");
    for (at, text) in text.lines().enumerate().skip(index.saturating_sub(1)).take(if index == 0 { 1 } else { 2 }) {
        let text = cut(text);
        writeln!(shown, "  {:>width$} | {}", at + 1, text.trim_end()).ok()?;
        if at == index {
            let trimmed = text.trim();
            // What stands behind the key is what is wrong, unless nothing does.
            let start = trimmed.find(": ").map_or(0, |colon| colon + 2);
            let length = trimmed[start..].chars().count().max(1);
            let indent = text.chars().count() - text.trim_start().chars().count() + trimmed[..start].chars().count();
            writeln!(shown, "  {:>width$} | {}{}", "", " ".repeat(indent), "^".repeat(length)).ok()?;
        }
    }
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_value() {
        for (case, text, line, want) in [
            ("a value", "a:\n  cpu: 100mi\n", 2, Some("  1 | a:\n  2 |   cpu: 100mi\n    |        ^^^^^\n")),
            ("the first line", "kind: X\nb: 1\n", 1, Some("  1 | kind: X\n    |       ^\n")),
            ("a key alone", "a: 1\nports:\n", 2, Some("  1 | a: 1\n  2 | ports:\n    | ^^^^^^\n")),
            ("beyond the end", "a: 1\n", 9, None),
            ("the file as a whole", "a: 1\n", 0, None),
        ] {
            assert_eq!(excerpt(text, line).as_deref(), want, "{case}");
        }
    }
}
