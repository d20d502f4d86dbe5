//! The embedded stage on real sockets: no outside program, only addresses of its own.

mod common;
mod faults;
mod requests;
mod runs;
