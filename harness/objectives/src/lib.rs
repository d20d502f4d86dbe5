//! Objectives as OpenSLO documents, gates and one-liners.
