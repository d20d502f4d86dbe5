//! What the command prints.

use std::io::Write;

use record::{ExitCode, MetricReading};

use crate::failure::Failure;

/// Standard output is the product. A reader who has gone (`| head`) is no error.
pub(crate) fn out(text: &str) {
    std::io::stdout().lock().write_all(text.as_bytes()).ok();
}

/// A line on standard error that renews itself.
pub(crate) fn status(text: &str) {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush()).ok();
}

/// The same as JSON.
pub(crate) fn json(value: &impl serde::Serialize) {
    let mut json = serde_json::to_string_pretty(value).expect("the contract's types have only text keys");
    json.push('\n');
    out(&json);
}

/// Standard error is for the conversation; if nobody reads it, the work goes on.
pub(crate) fn aside(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// What went wrong, once, with its causes.
pub(crate) fn failure(failure: &Failure) {
    let mut text = String::new();
    for (depth, line) in failure.chain.iter().enumerate() {
        text += if depth == 0 { "error: " } else { "  because: " };
        text += line.trim_end();
        text.push('\n');
    }
    text += &failure.excerpt;
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
    failure.more.iter().for_each(self::failure);
}

/// `cpu 212 % of 70 %`.
pub(crate) fn reading(metric: &MetricReading) -> String {
    let unit = if metric.unit == "%" { " %" } else { &metric.unit };
    match metric.value {
        Some(value) => format!("{} {value}{unit} of {}{unit}", metric.metric, metric.target),
        None => format!("{} unknown", metric.metric),
    }
}

/// `rehearse list`.
pub(crate) fn list() -> Result<ExitCode, Failure> {
    for shipped in scenarios::LIBRARY {
        let scenario = scenarios::Scenario::parse(shipped.text, shipped.file)?;
        let length = scenario.load(units::Seed::default()).end();
        out(&format!("{:<16} {:>6}  {}\n", scenario.name, length.to_string(), scenario.question));
    }
    Ok(ExitCode::Pass)
}
