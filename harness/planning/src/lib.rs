//! What the capacity planner and the release engineer ask, answered by many rehearsals in virtual time.
//!
//! Owns the questions and the search for their answers: which rate is the largest that keeps every objective, what
//! binds first and next, which change of the manifests moves it. How a rehearsal is played belongs to `simulation`,
//! how it is judged to `reports`.
//!
//! | module | owns |
//! |---|---|
//! | `change` | one change of a platform: how a plan is changed, and the patch that changes the manifests |
//! | `mixture` | sessions in fixed shares, at any rate and in any shape over time |
//! | `demand` | operational analysis: how much of each resource a session takes, and at which rate that is all of it |
//! | `trial` | one load on one platform: does it keep every objective? |
//! | `search` | the largest load that does |
//! | `asker` | trials with changes, counted, and the largest rate under them |
//! | `capacity` | the whole answer to a capacity question |
//! | `questions` | what is asked once it is known what is carried, in parts if need be |
//! | `ladder` | what breaks first and next, and what moves it |
//! | `motion` | autoscaling in motion: ramps, delays, targets |
//! | `losses` | with a pod, a node or a zone gone |
//! | `frontier` | settings against latency and cost; which figure moves the answer |
//! | `drill` | every failure we know, as scenarios made for one platform |
//! | `release` | drills of a candidate beside what it is to replace |
//! | `adversary` | a bounded search for the smallest burst and the worst moment |
//! | `difference` | what differs between two platforms, and a platform with one object as it was |
//! | `price` | what a rate stands on and what that costs |

pub mod adversary;
mod asker;
mod capacity;
mod change;
mod demand;
mod difference;
mod drill;
mod frontier;
mod ladder;
mod losses;
mod mixture;
mod motion;
mod price;
mod questions;
pub mod release;
mod search;
mod trial;

pub use capacity::{CapacityError, Question, capacity, deciding_point, part, point, rate_of_users, whole};
pub use change::{Change, Patch};
pub use demand::{Bound, Demands, Resource};
pub use difference::{Difference, Object, differences, reverted};
pub use drill::{Drill, NOT_DRILLED, burst, drills, journeys};
pub use mixture::{Mixture, MixtureError, Shape};
pub use price::{PriceError, Prices};
pub use search::{Bracket, largest};
pub use trial::{Held, Judge, Select, Trial};
