//! nginx's access log: the `combined` format with `$request_time`, or JSON lines.

use jiff::Timestamp;
use serde_json::Value;
use units::Nanos;

/// A log as far as it was understood.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// In the order of their end, as nginx writes them.
    pub(crate) seen: Vec<Seen>,
    /// From the first to the last of them, at least a second.
    pub(crate) length: Nanos,
    /// Lines that were not understood.
    pub(crate) skipped: usize,
    /// Number of the first of those, and why.
    pub(crate) skipped_first: Option<(usize, String)>,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// When it ended, seconds since 1970.
    pub(crate) at: f64,
    pub(crate) client: String,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) status: u16,
    /// From its first byte to the last one of the answer.
    pub(crate) took: Nanos,
}

/// Of a hundred lines, as many may be something else.
const SKIPPED_MAX: usize = 20;

impl Log {
    /// Reads every line; an error if most are something else.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut log = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let seen = if line.starts_with('{') { of_json(line) } else { of_combined(line) };
            match seen {
                Ok(seen) => log.seen.push(seen),
                Err(why) => {
                    log.skipped += 1;
                    log.skipped_first.get_or_insert((index + 1, why.to_owned()));
                }
            }
        }
        let all = log.seen.len() + log.skipped;
        if log.seen.is_empty() || log.skipped * 100 > all * SKIPPED_MAX {
            let first = log.skipped_first.map_or("it is empty".to_owned(), |(line, why)| format!("line {line}: {why}"));
            return Err(format!(
                "{} of {all} lines are no access log with request times; {first}. Add $request_time at the end of \
                 log_format",
                log.skipped
            ));
        }
        let (from, to) = log.seen.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), seen| {
            (from.min(seen.at - seen.took.as_secs_f64()), to.max(seen.at))
        });
        log.length = Nanos::from_secs_f64((to - from).max(1.0));
        Ok(log)
    }
}

/// `client - user [time] "GET /x HTTP/1.1" 200 12 "referer" "agent" … 0.123`, the last number is the request's time,
/// unless one is named `rt=` or `request_time=`.
fn of_combined(line: &str) -> Result<Seen, &'static str> {
    let (client, rest) = line.split_once(' ').ok_or("there is no client address")?;
    let (_, rest) = rest.split_once('[').ok_or("there is no [time]")?;
    let (time, rest) = rest.split_once(']').ok_or("there is no [time]")?;
    let (_, rest) = rest.split_once('"').ok_or("there is no \"request\"")?;
    let (request, rest) = rest.split_once('"').ok_or("there is no \"request\"")?;
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().ok_or("the request has no path")?);
    let status = rest.split_ascii_whitespace().next().ok_or("there is no status")?;
    let took = named(rest).or_else(|| rest.split_ascii_whitespace().next_back()).ok_or("there is no request time")?;
    Ok(Seen {
        at: clock(time).ok_or("its time is not as nginx writes it")?,
        client: client.to_owned(),
        method: method.to_owned(),
        target: target.to_owned(),
        status: status.parse().map_err(|_| "its status is no number")?,
        took: seconds(took.trim_matches('"')).ok_or("its last word is no time in seconds")?,
    })
}

fn named(rest: &str) -> Option<&str> {
    rest.split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("rt=").or_else(|| word.strip_prefix("request_time=")))
}

/// Keys as nginx's variables are called.
fn of_json(line: &str) -> Result<Seen, &'static str> {
    let value: Value = serde_json::from_str(line).map_err(|_| "it is no JSON")?;
    let text = |keys: &[&str]| {
        keys.iter().find_map(|key| match value.get(*key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    };
    let at = match (text(&["msec"]), text(&["time_iso8601", "time", "timestamp"])) {
        (Some(msec), _) => msec.parse().ok(),
        (None, Some(time)) => iso(&time),
        (None, None) => None,
    };
    Ok(Seen {
        at: at.ok_or("it has no msec and no time_iso8601")?,
        client: text(&["remote_addr", "client"]).ok_or("it has no remote_addr")?,
        method: text(&["request_method", "method"]).ok_or("it has no request_method")?,
        target: text(&["request_uri", "uri"]).ok_or("it has no request_uri")?,
        status: text(&["status"]).and_then(|status| status.parse().ok()).ok_or("it has no status")?,
        took: text(&["request_time"]).and_then(|time| seconds(&time)).ok_or("it has no request_time")?,
    })
}

fn seconds(text: &str) -> Option<Nanos> {
    let value: f64 = text.parse().ok()?;
    (text.contains('.') && (0.0..86_400.0).contains(&value)).then(|| Nanos::from_secs_f64(value))
}

/// `23/Nov/2026:02:10:00 +0000` in seconds since 1970.
fn clock(text: &str) -> Option<f64> {
    Some(Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text).ok()?.as_second() as f64)
}

/// `2026-11-23T02:10:00.250+00:00`, likewise.
fn iso(text: &str) -> Option<f64> {
    Some(text.parse::<Timestamp>().ok()?.as_millisecond() as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_in_each_format_or_left_out_with_their_number() {
        let combined = r#"10.0.0.9 - - [23/Nov/2026:02:10:01 +0000] "GET /a?b=1 HTTP/1.1" 200 12 "-" "curl/8" 0.123"#;
        let named = r#"10.0.0.9 - - [23/Nov/2026:04:10:03 +0200] "POST /c HTTP/2.0" 503 0 "-" "x" rt=0.001 ut=-"#;
        let json = r#"{"time_iso8601":"2026-11-23T02:10:05+00:00","remote_addr":"10.0.0.8","request_method":"GET","request_uri":"/d","status":"200","request_time":"2.000"}"#;
        let log = Log::read(&format!("{combined}\n\n{named}\n{json}\nnothing\n{combined}\n{combined}\n")).unwrap();
        assert_eq!((log.seen.len(), log.skipped), (5, 1));
        assert_eq!(log.skipped_first.as_ref().unwrap().0, 5);
        let told: Vec<_> =
            log.seen.iter().map(|seen| (seen.target.as_str(), seen.status, seen.took.as_millis())).collect();
        assert_eq!(told[..3], [("/a?b=1", 200, 123), ("/c", 503, 1), ("/d", 200, 2_000)]);
        assert!((log.length.as_secs_f64() - 4.123).abs() < 0.01, "{}", log.length);
    }

    #[test]
    fn what_is_no_such_log_is_refused_with_what_would_do() {
        for text in
            ["", "hello\nworld\n", r#"1.2.3.4 - - [23/Nov/2026:02:10:01 +0000] "GET / HTTP/1.1" 200 12 "-" "x""#]
        {
            let problem = Log::read(text).unwrap_err();
            assert!(problem.contains("$request_time"), "{problem}");
        }
    }
}
