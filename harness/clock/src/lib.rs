//! The monotonic clock and the one timer heap of a live process.
