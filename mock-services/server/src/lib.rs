//! The rim of a mock service: a real HTTP server whose answers take as long as the model says.
//!
//! Owns sockets and tasks of one pod. What a request costs and when it is done is [`model::Station`]'s business; whom
//! the pod may call is [`Outbound`]'s.

mod body;
mod events;
mod listening;
mod live;
mod metrics;
mod outbound;
mod service;

pub use events::AnswerBody;
pub use listening::{Handler, Listening, NODE, plain};
pub use live::{Alone, Begun, LiveStation, Refused, Served, Surroundings};
pub use metrics::{CONTENT_TYPE, EDGES_MS, Metrics};
pub use outbound::{Answer, Outbound, Unreachable};
pub use service::MockService;
