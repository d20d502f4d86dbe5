//! The load driver: a child process that turns a [`LoadPlan`](scenarios::LoadPlan) into requests and observations.
//!
//! Owns the worker protocol (`protocol`), the child (`drive` and the modules under it) and the parent's handle to it
//! ([`Driver`]). A process of its own keeps goose's global switch, signal handler and logger out of ours, and gives
//! the load side file descriptors and CPU time by which its validity can be judged. Decides nothing about objectives
//! and knows no platform: gateway pods arrive as addresses.
//!
//! | module | owns |
//! |---|---|
//! | `protocol` | what crosses the pipes |
//! | `parent` | the child's life as its parent sees it |
//! | `drivers` | several drivers as one |
//! | `apart` | how far the clock of one on another machine is from ours |
//! | `drive` | the child's life as it sees it itself |
//! | `schedule` | arrivals and thinking users: what becomes due when |
//! | `backlog` | requests that are due, workers that are idle |
//! | `crew` | goose: the pool of workers, the users of closed load |
//! | `exchange` | one request from due to observed |
//! | `client` | virtual clients: source addresses and their kept-alive connections |
//! | `native` | the same by goose's own client, to compare with |
//! | `pulse` | how late the driver itself is |
//! | `wire` | one HTTP/1.1 connection, polled by whoever uses it |
//! | `sink` | observation frames on their way out |

mod apart;
mod backlog;
mod client;
mod crew;
mod drive;
mod drivers;
mod exchange;
mod native;
mod parent;
mod protocol;
mod pulse;
mod schedule;
mod sink;
mod wire;

pub use apart::{Apart, Clocks};
pub use crew::workers_for;
pub use drive::{DriveError, drive};
pub use drivers::Drivers;
pub use parent::{Driver, DriverError, Line};
pub use protocol::{Door, Orders, Pulse, Report, Sender, Summary, Update};
