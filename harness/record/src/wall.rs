//! The wall clock of a run folder: RFC 3339 in UTC, as `environment.json` has it.

use crate::Environment;

impl Environment {
    /// When the run began, seconds since 1970; `None` if [`Self::started`] is no such time.
    pub fn started_s(&self) -> Option<i64> {
        self.started.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_across_leap_days() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2026-11-23T02:10:00Z", Some(1_795_399_800)),
            ("2026-11-23T02:10:00.5Z", Some(1_795_399_800)),
            ("2026-11-23 02:10", None),
            ("2026-13-23T02:10:00Z", None),
        ] {
            let began = Environment { started: text.into(), ..Environment::default() };
            assert_eq!(began.started_s(), expected, "{text}");
        }
    }
}
