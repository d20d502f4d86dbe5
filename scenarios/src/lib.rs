//! What is played: phases, load and journeys, from a YAML file to a plan that both the simulator and the driver
//! follow.
//!
//! Owns the scenario format ([`Scenario`]), the seeded schedule of arrivals ([`Arrivals`]), a session's way through
//! its steps ([`Journey`]) and the resolved [`Plan`]. Nothing here waits: instants are computed, and somebody else
//! reaches them.

mod arrivals;
mod curve;
mod file;
mod journey;
mod library;
mod load;
mod resolve;

pub use arrivals::{Arrival, Arrivals};
pub use file::{Scenario, ScenarioError};
pub use journey::{Journey, Next};
pub use library::{LIBRARY, Shipped, find};
pub use load::{ArrivalLaw, JourneyPlan, LoadPlan, Phase, Segment, Step, Stream};
pub use resolve::{Call, Plan, ResolveError, Target};
