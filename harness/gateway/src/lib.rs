//! What nginx decides, as pure rules: which server and location take a request, whether a limit zone lets it pass,
//! which peer of an upstream gets it, and what the client is told.
//!
//! [`resolve`] does what comes before any limit. [`Exchange`] is one request on its way from there. It holds no shared
//! state and never waits: it *asks* ([`Ask`]), and the live gateway, the simulator or a [`Replay`] answers. What
//! requests share, the limit zones and the upstreams of one gateway pod, is in [`Zones`], [`Connections`] and
//! [`Upstreams`]. [`ingress`] is the hop in front.

mod connections;
mod exchange;
mod hashing;
pub mod ingress;
mod kept;
mod path;
mod replay;
mod request;
mod rewriting;
mod route;
mod upstream;
mod zone;
mod zones;

pub use connections::{Connections, room};
pub use exchange::{Answer, Ask, Broken, Exchange, Reply, ReplyFrom, allowed};
pub use kept::{Kept, keeps};
pub use replay::{Ending, Offered, Outcome, Replay, Script, Try, Verdict};
pub use request::{Headers, Request, real_ip};
pub use route::{Resolved, Routed, resolve, rewrite, route, server_of};
pub use upstream::{Choice, Peer, Upstreams};
pub use zone::{Admission, Excess, Key, Zone};
pub use zones::Zones;
