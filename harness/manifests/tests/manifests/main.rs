//! The loader from outside: documented figures, freshness of the rendered file, broken input, arbitrary input.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

mod arbitrary;
mod bounds;
mod broken;
mod corpus;
mod documented;
mod gateway;
mod kustomized;
mod sources;
mod translated;
mod trees;
