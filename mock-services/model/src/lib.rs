//! What a mock service costs: profiles of its routes, and a pod as a queueing station that accounts for CPU instead
//! of burning it.
//!
//! Pure: the live server and the simulator drive the same [`Station`] with the same draws.

mod cpu;
mod profile;
mod station;

pub use profile::{CallProfile, PROFILES, Profile, ProfileError, RouteId, RouteProfile, shipped};
pub use station::{Job, Spent, Station, StationConfig, StationEffect, StationInput, Work};
