//! The rim of a mock service: a real HTTP server whose answers take as long as the model says.
//!
//! Owns sockets and tasks of one pod. What a request costs and when it is done is [`model::Station`]'s business; whom
//! the pod may call is [`Outbound`]'s.

mod body;
mod burn;
mod events;
mod hooks;
mod listening;
mod live;
mod metrics;
mod outbound;
mod real_data;
mod records;
mod service;
/// What TLS needs, as this crate uses it.
pub mod tls {
    pub use tokio_rustls::TlsAcceptor as Acceptor;
    pub use tokio_rustls::TlsConnector as Connector;
    pub use tokio_rustls::rustls::crypto::aws_lc_rs;
    pub use tokio_rustls::rustls::server::WebPkiClientVerifier;
    pub use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, ServerConfig, pki_types};
}

pub use burn::Burn;
pub use events::AnswerBody;
pub use hooks::{Disturbance, Hooked};
pub use listening::{Handler, Listening, NODE, Reset, plain};
pub use live::{Alone, Begun, LiveStation, Refused, Served, Surroundings, Writes};
pub use metrics::{CONTENT_TYPE, EDGES_MS, Gauges, Metrics};
pub use outbound::{Answer, Outbound, Unreachable};
pub use real_data::{DataPlaces, RealData, SentinelPlace};
pub use records::Records;
pub use service::MockService;
