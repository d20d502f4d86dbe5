//! The wall clock of a run folder: RFC 3339 in UTC, as `environment.json` has it.

use crate::Environment;

impl Environment {
    /// When the run began, seconds since 1970; `None` if [`Self::started`] is no such time.
    pub fn started_s(&self) -> Option<i64> {
        seconds(&self.started)
    }
}

/// Seconds since 1970 of `2026-11-23T02:10:00Z`; `None` if it is none.
fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let mut next = || date.next()?.ok();
    let (year, month, day) = (next()?, next()?, next()?);
    let time = time.split('.').next()?; // a fraction does not matter
    let mut time = time.splitn(3, ':').map(str::parse::<i64>);
    let mut next = || time.next()?.ok();
    let (hour, minute, second) = (next()?, next()?, next()?);
    ((1..=12).contains(&month) && (1..=31).contains(&day))
        .then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days since 1970-01-01 in the Gregorian calendar, years counted from March so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
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
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
