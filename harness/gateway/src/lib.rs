//! What nginx decides, as pure rules: which server and location take a request, whether a limit zone lets it pass,
//! which peer of an upstream gets it, and what the client is told.
//!
//! [`Exchange`] is one request on its way. It holds no shared state and never waits: it *asks* ([`Ask`]), and the live
//! gateway or the simulator answers. What requests share, the limit zones and the upstreams of one gateway pod, is in
//! [`Zones`] and [`Upstreams`].

mod exchange;
mod path;
mod route;
mod upstream;
mod zone;
mod zones;

pub use exchange::{Answer, Ask, Broken, Exchange, Reply, ReplyFrom};
pub use route::{Routed, rewrite, route};
pub use upstream::{Peer, Upstreams};
pub use zone::{Admission, Excess, Key, Zone};
pub use zones::Zones;
