//! What is needed to say how sure a figure is. Pure, and the same bits on every machine.

pub(crate) mod binomial;
pub(crate) mod bursts;
pub(crate) mod family;
pub(crate) mod poisson;
pub(crate) mod rank;
