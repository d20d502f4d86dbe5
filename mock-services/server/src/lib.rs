//! The rim of a mock service: a real HTTP server whose answers take as long as the model says.
//!
//! Owns sockets and tasks of one pod. What a request costs and when it is done is [`model::Station`]'s business; whom
//! the pod may call is [`Outbound`]'s.

mod body;
mod listening;
mod live;
mod outbound;
mod service;

pub use listening::{Handler, Listening, plain};
pub use live::{LiveStation, Refused};
pub use outbound::{Answer, Outbound, Unreachable};
pub use service::MockService;
