//! When a CronJob is due: cron's five fields, against an assumed calendar.
//!
//! A rehearsal has no date. It is assumed to begin on Monday, 1 January 2024, at 00:00 in the schedule's own time zone,
//! so that `30 2 * * *` falls two and a half hours into the run. Names of days and months, lists, ranges and steps are
//! read; `@hourly` and the like, too. As in cron, where day of month and day of week are both restricted, either will do.

use units::Nanos;

const MINUTES_A_DAY: u64 = 24 * 60;
/// Looked ahead at most: a leap year and a day.
const HORIZON_DAYS: u64 = 367;
/// Days of the months of 2024.
const MONTHS: [u64; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const NO_NAMES: &[&str] = &[];
const MONTH_NAMES: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAY_NAMES: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A schedule as sets of allowed values, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    either_day: bool,
}

impl Cron {
    /// `None` where `schedule` is no cron expression.
    pub(crate) fn parse(schedule: &str) -> Option<Self> {
        let schedule = match schedule.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = schedule.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let weekday_bits = field(weekdays, 0, 7, DAY_NAMES)?;
        Some(Self {
            minutes: field(minutes, 0, 59, NO_NAMES)?,
            hours: field(hours, 0, 23, NO_NAMES)?,
            days: field(days, 1, 31, NO_NAMES)?,
            months: field(months, 1, 12, MONTH_NAMES)?,
            weekdays: weekday_bits | (weekday_bits >> 7), // 7 is Sunday, too
            either_day: !days.starts_with(['*', '?']) && !weekdays.starts_with(['*', '?']),
        })
    }

    /// When it is due next after `now`; `None` within the next year.
    pub(crate) fn next(&self, now: Nanos) -> Option<Nanos> {
        let first = now.as_secs() / 60 + 1;
        let start_day = first / MINUTES_A_DAY;
        for day in start_day..start_day + HORIZON_DAYS {
            if !self.falls_on(day) {
                continue;
            }
            let from = if day == start_day { first % MINUTES_A_DAY } else { 0 };
            let due =
                (from..MINUTES_A_DAY).find(|minute| bit(self.hours, minute / 60) && bit(self.minutes, minute % 60));
            if let Some(minute) = due {
                return Some(Nanos::from_secs((day * MINUTES_A_DAY + minute) * 60));
            }
        }
        None
    }

    fn falls_on(&self, day: u64) -> bool {
        let (month, date) = calendar(day);
        let (date, weekday) = (bit(self.days, date), bit(self.weekdays, (day + 1) % 7));
        bit(self.months, month) && if self.either_day { date || weekday } else { date && weekday }
    }
}

/// Month and day of month, both from 1, of the `day`-th day of the run. The year repeats.
fn calendar(day: u64) -> (u64, u64) {
    let mut left = day % MONTHS.iter().sum::<u64>();
    for (month, days) in (1..).zip(MONTHS) {
        if left < days {
            return (month, left + 1);
        }
        left -= days;
    }
    unreachable!("a day of the year falls into one of its months")
}

fn bit(set: u64, value: u64) -> bool {
    set >> value & 1 == 1
}

/// One field: parts with commas, each `*`, a value or a range, each with an optional step.
fn field(text: &str, least: u64, most: u64, names: &[&str]) -> Option<u64> {
    let value = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text)).map(|at| at as u64);
        named.map(|at| at + least).or_else(|| text.parse().ok()).filter(|value| (least..=most).contains(value))
    };
    let mut set = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (least, most),
            Some((from, to)) => (value(from)?, value(to)?),
            None if step.is_some() => (value(range)?, most),
            None => (value(range)?, value(range)?),
        };
        if from > to {
            return None;
        }
        (from..=to).step_by(step.unwrap_or(1)).for_each(|value| set |= 1 << value);
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_fall_on_their_minutes() {
        let at = |days: u64, hours: u64, minutes: u64| (days * 24 + hours) * 3_600 + minutes * 60;
        for (schedule, after, want) in [
            ("30 2 * * *", 0, Some(at(0, 2, 30))),
            ("30 2 * * *", at(0, 2, 30), Some(at(1, 2, 30))),
            ("*/15 * * * *", at(0, 0, 14), Some(at(0, 0, 15))),
            ("0 9-17/4 * * *", at(0, 9, 0), Some(at(0, 13, 0))),
            ("0 0 * * *", 0, Some(at(1, 0, 0))),
            ("0 0 * * sun", 0, Some(at(6, 0, 0))),
            ("0 0 * * 7", 0, Some(at(6, 0, 0))),
            ("0 0 1 feb *", 0, Some(at(31, 0, 0))),
            ("0 0 10 * 3", 0, Some(at(2, 0, 0))), // a Wednesday, before the 10th
            ("5,50 1 * * *", at(0, 1, 5), Some(at(0, 1, 50))),
            ("@hourly", 0, Some(at(0, 1, 0))),
            ("0 0 31 2 *", 0, None),
        ] {
            let next = Cron::parse(schedule).unwrap().next(Nanos::from_secs(after));
            assert_eq!(next, want.map(Nanos::from_secs), "{schedule} after {after}");
        }
        for wrong in ["", "* * * *", "60 * * * *", "a * * * *", "*/0 * * * *", "5-1 * * * *"] {
            assert_eq!(Cron::parse(wrong), None, "{wrong}");
        }
    }
}
