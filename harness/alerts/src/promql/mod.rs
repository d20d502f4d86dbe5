//! `PromQL`: text to a typed expression, and an expression to its value at an instant.
//!
//! Written after Prometheus' own sources (`promql/parser`, `promql/engine.go`, `promql/functions.go`) and held beside
//! it by `tests/prometheus.rs`. The parser is ours: the one on crates.io is right, and brings two dozen crates with the
//! runtime of a parser generator, for a grammar of three hundred lines.

#![expect(clippy::float_cmp, reason = "the language compares floats as they are")]

mod aggregate;
mod ast;
mod binary;
mod duration;
mod eval;
mod functions;
mod lex;
mod number;
mod parse;
mod quantile;

pub use ast::{Aggregation, Binary, Cardinality, Expr, Grouping, Matching, Operator, Selector, Type};
pub use duration::{duration, duration_in_words};
pub use eval::{EvalError, Evaluator, Ranges, Release, Sample, Value};
pub use number::number;
pub use parse::{ParseError, parse};
pub(crate) use quantile::edge as bucket_edge;
