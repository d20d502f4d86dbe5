//! What the command prints.

use std::io::Write;

use record::{ExitCode, MetricReading};
use reports::Twin;

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

/// The live run beside its simulation, percentile by percentile: all requests, and every step that differs.
pub(crate) fn twin(twin: &Twin) -> String {
    let agrees = if twin.agrees() { "agrees" } else { "differs" };
    let mut out = format!("\nTwin: the same seed in virtual time {agrees} (ms; good within 10 % or 2 ms)\n");
    out += &format!("  {:<24} {:>4} {:>9} {:>9} {:>9}  {:<18}\n", "", "", "live", "virtual", "error", "95 % interval");
    let ms = |us: i64| format!("{:.1}", us as f64 / 1e3);
    let signed = |us: i64| format!("{:+.1}", us as f64 / 1e3);
    let differs = |row: &reports::TwinRow| row.quantiles.iter().any(|quantile| !quantile.within);
    for row in twin.rows.iter().filter(|row| row.step.is_none() || differs(row)) {
        for (index, q) in row.quantiles.iter().enumerate() {
            let name = if index == 0 { row.step.as_deref().unwrap_or("all requests") } else { "" };
            let interval = format!("{} to {}", signed(q.interval_us.0), signed(q.interval_us.1));
            let word = if q.within { "good" } else { "DIFFERS" };
            out += &format!(
                "  {name:<24} {:>4} {:>9} {:>9} {:>9}  {interval:<18} {word}\n",
                format!("p{}", q.percent),
                ms(q.live_us as i64),
                ms(q.simulated_us as i64),
                signed(q.difference_us),
            );
        }
    }
    if twin.one_in > 1 {
        out += &format!("  compared are the requests of one session in {}\n", twin.one_in);
    }
    if twin.outcomes_differ > 0 {
        out += &format!("  {} of {} requests ended in another way\n", twin.outcomes_differ, twin.matched);
    }
    out
}

/// `rehearse list`: length, backends and question of each shipped scenario.
pub(crate) fn list() -> Result<ExitCode, Failure> {
    out(&format!("{:<18} {:>8}  {:<14} {}\n", "scenario", "length", "backends", "question"));
    for shipped in scenarios::LIBRARY {
        let scenario = scenarios::Scenario::parse(shipped.text, shipped.file)?;
        let length = scenario.load(units::Seed::default()).end();
        let plays = crate::backend::commands(&scenario)?.join(", ");
        out(&format!("{:<18} {:>8}  {plays:<14} {}\n", scenario.name, length.to_string(), scenario.question));
    }
    out("\n`run` is live on this machine, `simulate` in virtual time; both take a scenario file of your own, too.\n");
    Ok(ExitCode::Pass)
}
