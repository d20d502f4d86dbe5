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

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        [$(Shipped {
            name: $name,
            file: concat!("scenarios/library/", $name, ".yaml"),
            text: include_str!(concat!("../library/", $name, ".yaml")),
        }),*]
    };
}

/// Every shipped scenario, those to begin with first.
pub const LIBRARY: [Shipped; 16] = shipped![
    "smoke",
    "nightly",
    "hpa-step",
    "rate-limit",
    "gateway-contract",
    "rolling-update",
    "node-drain",
    "database-failover",
    "user-flow",
    "stress",
    "ai-agent",
    "zone-outage",
    "redis-outage",
    "gateway-loss",
    "retry-storm",
    "day",
];

/// The shipped scenario called `name`.
pub fn find(name: &str) -> Option<Shipped> {
    LIBRARY.into_iter().find(|shipped| shipped.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;

    #[test]
    fn every_shipped_scenario_is_read_and_named_after_its_file() {
        for shipped in LIBRARY {
            let scenario = Scenario::parse(shipped.text, shipped.file).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name, shipped.name);
            assert!(scenario.question.ends_with('?'), "{}", scenario.question);
        }
    }
}
