//! The platform's own Prometheus, rehearsed: what it scrapes, and what its rules make of it.
//!
//! Owns `PromQL` ([`promql`]), rule files ([`rules`]), the state of alerts over time ([`evaluation`]) and the series that
//! all of that reads ([`Store`], [`openmetrics`]). Pure: whoever plays a rehearsal tells what a scrape sees.

pub mod evaluation;
mod labels;
mod monitoring;
pub mod openmetrics;
mod own;
pub mod promql;
pub mod rules;
mod scrape;
mod store;
mod template;
mod verdict;

pub use labels::{Compare, Labels, Matcher, NAME};
pub use monitoring::{Job, Monitoring, Relabel};
pub use own::{OWN_JOB, add_own};
pub use scrape::{Collected, Edges, KEPT, PodSight, Scraper, Sight, Tell};
pub use store::{STALE, Series, Store, is_stale};
pub use verdict::{Watched, rehearse, tell};
