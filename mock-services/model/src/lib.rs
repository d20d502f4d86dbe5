//! What a mock service costs: profiles of its routes, and a pod as a queueing station that accounts for CPU instead
//! of burning it; and the servers that its data is in ([`data`]).
//!
//! Pure: the live server and the simulator drive the same [`Station`] with the same draws.

mod cpu;
pub mod data;
mod profile;
mod station;

pub use cpu::Discipline;
pub use profile::{
    CacheProfile, CallProfile, Content, DatabaseProfile, Declared, ErrorProfile, PROFILES, Profile, ProfileError,
    RouteId, RouteProfile, StreamProfile, TokenCount, shipped,
};
pub use station::{Job, Spent, Station, StationConfig, StationEffect, StationInput, Work};

use units::{Bytes, Nanos};

/// CPU that nginx spends on one proxied request. Assumed; it is accounted, and no queue forms for it.
pub const GATEWAY_CPU: Nanos = Nanos::from_micros(150);
/// What an idle nginx pod holds. Assumed.
pub const GATEWAY_MEMORY: Bytes = Bytes::from_mebi(60);
/// How long the client library of a service waits for a connection, and for a peer from which nothing is heard any
/// more. Assumed: httpx with its defaults waits 5 s.
pub const LIBRARY_CONNECT: Nanos = Nanos::from_secs(5);
