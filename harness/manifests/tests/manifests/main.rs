//! The loader from outside: documented figures, freshness of the rendered file, broken input, arbitrary input.

mod arbitrary;
mod broken;
mod documented;
mod gateway;
mod sources;
mod translated;
