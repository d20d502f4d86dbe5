//! The loader from outside: documented figures, freshness of the rendered file, broken input, arbitrary input.

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
