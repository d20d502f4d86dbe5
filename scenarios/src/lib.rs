//! What is played: phases, load and journeys, from a YAML file to a plan that both the simulator and the driver
//! follow.
//!
//! Owns the scenario format ([`Scenario`]), the seeded schedule of arrivals ([`Arrivals`]), a session's way through
//! its steps ([`Journey`]) and the resolved [`Plan`]. Nothing here waits: instants are computed, and somebody else
//! reaches them.

mod affected;
mod arrivals;
mod bind;
mod check;
mod contract;
mod crowd;
mod curve;
mod data;
mod deed;
mod demand;
mod expectation;
mod fault;
mod faults;
mod file;
mod journey;
mod library;
mod load;
mod network;
mod part;
mod payload;
mod problem;
mod referee;
mod resolve;
pub mod retransmission;
mod scenario;
mod schema;
mod shape;
mod tree;
mod vary;
mod word;

pub use affected::Affected;
pub use arrivals::{Arrival, Arrivals};
pub use contract::{Clause, Door, Told};
pub use crowd::{Crowd, Headcount, Share};
pub use deed::{Deed, FaultEdge};
pub use expectation::{Abort, Bounds, Ending, Expectation, ExpectationKind, Requests, Stretch, Watchdog};
pub use fault::{Fault, FaultKind, Party};
pub use journey::{Journey, Next};
pub use library::{LIBRARY, Shipped, find};
pub use load::{ArrivalLaw, JourneyPlan, LoadPlan, Phase, RetryPolicy, Segment, StatusRange, Step, Stream};
pub use network::{Network, OnTheWay, Verdict, party};
pub use part::Part;
pub use payload::{Payload, PayloadKind};
pub use problem::{Place, Problem, ScenarioError};
pub use referee::{Referee, ending};
pub use resolve::{Call, Entry, Plan, ResolveError, Target, generic_profile, ingress_door};
pub use scenario::Scenario;
pub use schema::schema;
pub use vary::{Autoscaling, LoadScale, Variation, VariationError};
