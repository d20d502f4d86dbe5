//! The driver as a child process, against servers on 127.77.0.0/16.

mod common;
mod far;
mod life;
mod load;
mod truth;
