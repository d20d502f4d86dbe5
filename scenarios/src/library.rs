//! The scenarios that are shipped, as data.

/// A shipped scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its file.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// Every shipped scenario.
pub const LIBRARY: [Shipped; 1] =
    [Shipped { name: "smoke", file: "scenarios/library/smoke.yaml", text: include_str!("../library/smoke.yaml") }];

/// The shipped scenario called `name`.
pub fn find(name: &str) -> Option<Shipped> {
    LIBRARY.into_iter().find(|shipped| shipped.name == name)
}
