//! Goose in a child process: open arrivals, intended start times.
