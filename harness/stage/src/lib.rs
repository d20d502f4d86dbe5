//! Stands a platform up live: control, place, edge, data.
