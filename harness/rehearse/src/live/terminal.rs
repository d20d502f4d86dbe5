//! A terminal that is a screen for the time of a run.

use std::io::Write;

use rustix::termios;

use super::screen;
use super::state::Live;

/// Of a terminal that does not say how large it is.
const USUAL: (usize, usize) = (80, 24);

/// The other screen of a terminal, with the cursor hidden. Dropping it brings everything back as it was.
#[derive(Debug)]
pub(crate) struct Terminal {
    color: bool,
}

impl Terminal {
    /// Standard error as a screen: standard output is for what the command is asked for.
    pub(crate) fn enter(color: bool) -> Self {
        send("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J");
        Self { color }
    }

    pub(crate) fn draw(&self, live: &Live) {
        let (width, height) = size();
        // Between the two marks a terminal that knows them shows nothing half drawn.
        let frame = screen::draw(live, width, height).ansi(self.color);
        send(&format!("\x1b[?2026h{frame}\x1b[?2026l"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        send("\x1b[?7h\x1b[?25h\x1b[?1049l");
    }
}

fn size() -> (usize, usize) {
    let told = termios::tcgetwinsize(rustix::stdio::stderr()).map(|size| (size.ws_col.into(), size.ws_row.into()));
    told.ok().filter(|(width, height)| *width > 0 && *height > 0).unwrap_or(USUAL)
}

/// If nobody reads it, the run goes on all the same.
fn send(text: &str) {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).ok();
}
