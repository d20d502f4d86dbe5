//! A rehearsal in virtual time: the shared machines, driven by one event queue.
//!
//! Owns the queue, the requests in flight and nothing that decides: limits, endpoints, scaling and service times come
//! from `gateway`, `cluster` and `model`, the very machines that the live stage drives. Same plan, same seed, same
//! bytes.

mod audit;
mod call;
mod calls;
mod client;
mod control;
mod data;
mod faults;
mod ingress;
mod keys;
mod place;
mod queue;
mod reads;
mod replicate;
mod scraped;
mod slab;
mod timeouts;
mod traffic;
mod world;

pub use audit::Audit;
pub use queue::EventQueue;
pub use replicate::{Arm, Trial, all_cores, in_order, replicate};
pub use world::{Settings, Simulated, SimulationError, simulate, simulate_scraped};
