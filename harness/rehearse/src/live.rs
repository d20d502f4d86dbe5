//! What somebody sees of a run while it goes on: in a terminal, line by line, or as a page.
//!
//! `state` follows events and seconds and knows nothing of how it is shown; `screen` draws it into cells, `terminal`
//! puts cells on a terminal, `web` serves the same state to a browser, `words` tells an event in a line.

mod canvas;
mod screen;
mod state;
mod terminal;
mod web;
mod words;

pub(crate) use state::{Head, Live, Tone};
pub(crate) use terminal::Terminal;
pub(crate) use web::Page;
