//! Evaluation and rendering of a run folder.
