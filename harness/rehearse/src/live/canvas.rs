//! Cells of a terminal, and what is drawn into them.

/// How a cell looks. Nothing is told by colour alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Plain,
    Dim,
    Bold,
    Good,
    Change,
    Bad,
    /// The three percentiles, from the lowest to the highest.
    Low,
    Middle,
    High,
    /// Load that was served.
    Load,
}

impl Style {
    /// Parameters of "select graphic rendition".
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Dim => "0;90",
            Self::Bold => "0;1",
            Self::Good => "0;32",
            Self::Change => "0;33",
            Self::Bad => "0;1;31",
            Self::Middle => "0;34",
            Self::High => "0;35",
            Self::Low | Self::Load => "0;36",
        }
    }
}

/// A rectangle of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Area {
    /// Without its first `rows`.
    pub(crate) const fn below(self, rows: usize) -> Self {
        let rows = if rows < self.height { rows } else { self.height };
        Self { y: self.y + rows, height: self.height - rows, ..self }
    }
}

/// Everything that is to be seen.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    cells: Vec<(char, Style)>,
}

/// Eighths of a cell, from the bottom.
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// An empty Braille pattern; its dots are its low bits.
const BRAILLE: u32 = 0x2800;
/// Bits by column and row of a Braille cell.
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

impl Canvas {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, height, cells: vec![(' ', Style::Plain); width * height] }
    }

    pub(crate) fn put(&mut self, x: usize, y: usize, ch: char, style: Style) {
        if x < self.width && y < self.height {
            self.cells[y * self.width + x] = (ch, style);
        }
    }

    /// Writes `text` up to column `end`; what does not fit ends in an ellipsis. Answers the next column.
    pub(crate) fn text(&mut self, x: usize, y: usize, end: usize, style: Style, text: &str) -> usize {
        let room = end.min(self.width).saturating_sub(x);
        let cut = text.chars().count() > room;
        let mut at = x;
        for (index, ch) in text.chars().take(room).enumerate() {
            self.put(at, y, if cut && index + 1 == room { '…' } else { ch }, style);
            at += 1;
        }
        at
    }

    /// The same with its end at column `end`.
    pub(crate) fn text_right(&mut self, end: usize, y: usize, style: Style, text: &str) {
        self.text(end.saturating_sub(text.chars().count()), y, end, style, text);
    }

    /// A column of `value` between 0 and `top`, from the bottom of `area`, in eighths of a cell.
    pub(crate) fn column(&mut self, area: Area, column: usize, value: f64, top: f64, style: Style) {
        let eighths = (value / top.max(f64::MIN_POSITIVE) * area.height as f64 * 8.0).round() as usize;
        for row in 0..area.height {
            let left = eighths.saturating_sub(row * 8).min(8);
            if left > 0 {
                self.put(area.x + column, area.y + area.height - 1 - row, EIGHTHS[left - 1], style);
            }
        }
    }

    /// A dot at a place of `area` in dots: two a cell to the right, four a cell down.
    pub(crate) fn dot(&mut self, area: Area, x: usize, y: usize, style: Style) {
        let (column, row) = (area.x + x / 2, area.y + y / 4);
        if x / 2 >= area.width || y / 4 >= area.height || column >= self.width || row >= self.height {
            return;
        }
        let cell = &mut self.cells[row * self.width + column];
        let known = u32::from(cell.0);
        let dots = if (BRAILLE..BRAILLE + 256).contains(&known) { known } else { BRAILLE };
        *cell = (char::from_u32(dots | DOTS[x % 2][y % 4]).unwrap_or(' '), style);
    }

    /// Rows as text, without colour.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> Vec<String> {
        self.cells.chunks(self.width.max(1)).map(|row| row.iter().map(|cell| cell.0).collect()).collect()
    }

    /// What a terminal is sent: everything anew, in place of what was there.
    pub(crate) fn ansi(&self, color: bool) -> String {
        let mut out = String::from("\x1b[H");
        for (y, row) in self.cells.chunks(self.width.max(1)).enumerate() {
            if y > 0 {
                out.push_str("\r\n");
            }
            let mut style = Style::Plain;
            let end = row.iter().rposition(|cell| cell.0 != ' ').map_or(0, |last| last + 1);
            for &(ch, of_cell) in &row[..end] {
                if color && of_cell != style {
                    out.push_str(&format!("\x1b[{}m", of_cell.code()));
                    style = of_cell;
                }
                out.push(ch);
            }
            if style != Style::Plain {
                out.push_str("\x1b[0m");
            }
            out.push_str("\x1b[K");
        }
        out.push_str("\x1b[J");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_says_so() {
        let mut canvas = Canvas::new(8, 1);
        assert_eq!(canvas.text(1, 0, 6, Style::Bold, "abcdefgh"), 6);
        assert_eq!(canvas.rows(), [" abcd…  "]);
        canvas.text(0, 5, 8, Style::Plain, "below the last row");
        assert_eq!(canvas.ansi(true), "\x1b[H \x1b[0;1mabcd…\x1b[0m\x1b[K\x1b[J");
        assert_eq!(canvas.ansi(false), "\x1b[H abcd…\x1b[K\x1b[J");
    }

    #[test]
    fn columns_and_dots_are_where_they_should_be() {
        let mut canvas = Canvas::new(3, 2);
        let area = Area { x: 0, y: 0, width: 3, height: 2 };
        canvas.column(area, 0, 12.0, 16.0, Style::Load);
        canvas.dot(area, 2, 0, Style::Low);
        canvas.dot(area, 3, 7, Style::Low);
        canvas.dot(area, 99, 99, Style::Low);
        assert_eq!(canvas.rows(), ["▄⠁ ", "█⢀ "]);
    }
}
