//! While a run goes on: its files are written, and whoever looks sees what happens.

use std::fs::File;
use std::io::{IsTerminal, Write};

use record::{Event, FolderError, Listener, RunFolder, Second};

use crate::live::{Head, Live, Page, Terminal, Tone};

/// Writes what the run folder keeps as it goes, and shows it. The first file that cannot be written is kept as an error;
/// the run goes on.
pub(crate) struct Progress {
    pub(crate) folder: RunFolder,
    intervals: Growing,
    observations: Option<Growing>,
    live: Live,
    voice: Voice,
    page: Option<Page>,
    /// When the screen was last drawn, by the run's clock.
    drawn_us: Option<u64>,
    pub(crate) trouble: Option<FolderError>,
}

/// How much is said.
#[derive(Debug)]
enum Voice {
    Silent,
    /// A line now and then.
    Plain,
    /// A line that renews itself.
    Line,
    /// All of the terminal.
    Screen(Terminal),
}

/// A file that grows until it cannot be written.
struct Growing {
    name: &'static str,
    file: Option<File>,
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Not at all.
    Nothing,
    /// In lines, one of which renews itself in a terminal.
    Lines,
    /// On a screen, if there is one.
    Screen,
}

const INTERVALS: &str = "intervals.hlog";
const OBSERVATIONS: &str = "observations.bin";
/// Seconds between two plain lines.
const PLAIN_EVERY: u64 = 10;
/// Events that come closer to each other than this are drawn together.
const DRAW_EVERY_US: u64 = 100_000;

impl Progress {
    /// `keeps_observations`: so that the run can be told if it is cut off.
    pub(crate) fn new(
        folder: RunFolder,
        head: Head,
        show: Show,
        keeps_observations: bool,
    ) -> Result<Self, FolderError> {
        let intervals = Growing { name: INTERVALS, file: Some(folder.growing(INTERVALS)?) };
        let observations = if keeps_observations {
            Some(Growing { name: OBSERVATIONS, file: Some(folder.observations()?) })
        } else {
            None
        };
        let live = Live::new(head);
        let voice = match (show, std::io::stderr().is_terminal()) {
            (Show::Nothing, _) => Voice::Silent,
            (_, false) => Voice::Plain,
            (Show::Lines, true) => Voice::Line,
            (Show::Screen, true) => Voice::Screen(Terminal::enter(colored())),
        };
        Ok(Self { folder, intervals, observations, live, voice, page: None, drawn_us: None, trouble: None })
    }

    /// Serves the run as a page, too.
    pub(crate) fn serve(&mut self, page: Page) {
        self.say(&format!("the run as a page: http://{}/", page.address));
        page.show(&self.live);
        self.page = Some(page);
    }

    /// A line of its own.
    pub(crate) fn say(&mut self, text: &str) {
        match &self.voice {
            Voice::Silent => {}
            Voice::Plain => tell(&format!("{text}\n")),
            Voice::Line => tell(&format!("\r\x1b[K{text}\n")),
            Voice::Screen(_) => {
                self.live.note(Tone::Plain, text.to_owned());
                self.draw();
            }
        }
    }

    /// Load is over: gives the terminal back. What is said from now on are lines.
    pub(crate) fn close(&mut self) {
        self.live.over();
        self.show_page();
        if matches!(self.voice, Voice::Screen(_)) {
            self.voice = Voice::Line;
        }
    }

    fn status(&self, text: &str) {
        if matches!(self.voice, Voice::Line) {
            tell(&format!("\r\x1b[K{text}"));
        }
    }

    fn draw(&mut self) {
        if let Voice::Screen(terminal) = &self.voice {
            terminal.draw(&self.live);
        }
        self.drawn_us = Some(self.live.now_us);
    }

    fn show_page(&self) {
        if let Some(page) = &self.page {
            page.show(&self.live);
        }
    }

    fn keep(&mut self, written: Result<(), FolderError>) {
        if let Err(error) = written {
            self.trouble.get_or_insert(error);
        }
    }
}

impl Growing {
    fn append(&mut self, folder: &RunFolder, bytes: &[u8]) -> Result<(), FolderError> {
        let Some(file) = self.file.as_mut().filter(|_| !bytes.is_empty()) else { return Ok(()) };
        file.write_all(bytes).map_err(|source| {
            self.file = None;
            FolderError::Write { path: folder.path().join(self.name), source }
        })
    }
}

impl Listener for Progress {
    fn event(&mut self, event: &Event) {
        let written = self.folder.event(event);
        self.keep(written);
        let told = self.live.event(event);
        match (&self.voice, &told) {
            (Voice::Plain | Voice::Line, Some(entry)) => {
                let text = format!("{:>5}  {}", entry.at, entry.text);
                self.say(text.trim_start_matches("       "));
            }
            (Voice::Line, None) if self.live.load_start_us.is_none() => {
                let (desired, ready) = self.live.pods();
                self.status(&format!("standing up: {ready} of {desired} pods ready"));
            }
            _ => {}
        }
        if self.drawn_us.is_none_or(|drawn| event.at_us >= drawn + DRAW_EVERY_US) {
            self.draw();
            self.show_page();
        }
    }

    fn second(&mut self, second: &Second<'_>) {
        let written = self.intervals.append(&self.folder, second.intervals);
        self.keep(written);
        if let Some(observations) = &mut self.observations {
            let written = observations.append(&self.folder, second.frames);
            self.keep(written);
        }
        self.live.second(second);
        let line = || {
            let latest = &self.live.latest;
            let figures = format!("p50 {} p95 {}", ms(latest.p50_us), ms(latest.p95_us));
            format!("{:>5}  {} requests, {} not served, {figures}", self.live.at(), second.offered, second.failed)
        };
        match self.voice {
            Voice::Line => self.status(&line()),
            Voice::Plain if second.offered > 0 && second.now.as_secs().is_multiple_of(PLAIN_EVERY) => {
                let line = line();
                self.say(&line);
            }
            Voice::Plain | Voice::Silent | Voice::Screen(_) => {}
        }
        self.draw();
        self.show_page();
    }
}

fn ms(us: u64) -> String {
    format!("{:.0} ms", us as f64 / 1e3)
}

/// Whether colours are wanted: see <https://no-color.org>.
pub(crate) fn colored() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Standard error is for the conversation; if nobody reads it, the run goes on all the same.
fn tell(text: &str) {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).ok();
}
