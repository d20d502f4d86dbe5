//! Quantities, identities and chance, as types.
//!
//! Owns the words every other crate speaks: instants and durations ([`Nanos`]), CPU and memory
//! ([`Millicores`], [`Bytes`]), rates ([`Rate`]), who asks ([`ClientId`], [`RequestId`]), what chance
//! says to them ([`Seed`], [`Draw`]) and how a state machine is fed with time ([`Machine`]).
//! Knows no clock, no socket and no file.

mod draw;
mod identity;
mod machine;
mod quantity;
mod rate;
mod time;

pub use draw::{Distribution, Draw, Purpose, Seed};
pub use identity::{ClientId, ParseRequestIdError, RequestId, fnv1a};
pub use machine::{Machine, Out, Wake};
pub use quantity::{Billionths, Bytes, Milli, Millicores, ParseQuantityError};
pub use rate::{ParseRateError, Rate};
pub use time::{Nanos, ParseDurationError};
