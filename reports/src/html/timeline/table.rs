//! The timeline as a table.

use maud::{Markup, html};
use record::{Cause, RunResult};

use crate::html::glance;
use crate::html::timeline::drawn;
use crate::{told, words};

const ROWS: usize = 40;

pub(super) fn table(result: &RunResult) -> Markup {
    let rows = told::merged(result, ROWS);
    let long = rows.first().map_or(0, |(_, long, _)| *long as u64);
    let workloads = drawn(result);
    let rate = |n: u64, long: f64| words::number(n as f64 * 1e6 / long.max(1.0), 1);
    let ms = |us: u64| if us == 0 { "–".to_owned() } else { words::bare_ms(us as f64) };
    html! {
        details {
            summary { "The same as a table, every " (words::span(long)) }
            (glance("The run over time", &html! {
                table.tight {
                    caption { span { "Requests a second; latency of the judged flow in ms, percentiles of the highest window of each row; replicas ready of those wanted at the row’s end." } }
                    thead { tr {
                        th scope="col" { "From" }
                        @for head in ["Offered", "Achieved", "Rejected", "Failed", "p50", "p95", "p99", "max", "Late or failed"] { th.n scope="col" { (head) } }
                        @for workload in &workloads { th.n scope="col" { (workload.workload) } }
                    } }
                    tbody {
                        @for (middle, long, window) in &rows {
                            @let limited = window.failed.get(&Cause::Limited).copied().unwrap_or(0);
                            @let failed = window.failed.values().sum::<u64>() - limited;
                            @let end = result.load_start_us + (middle + long / 2.0) as u64;
                            tr {
                                th scope="row" { (words::clock((middle - long / 2.0) as i64)) }
                                td.n { (rate(window.offered, *long)) }
                                td.n { (rate(window.succeeded, *long)) }
                                td.n { @if limited == 0 { "–" } @else { (rate(limited, *long)) } }
                                td.n { @if failed == 0 { "–" } @else { (rate(failed, *long)) } }
                                td.n { (ms(window.p50_us)) }
                                td class=(if told::limit_us(result).is_some_and(|limit| window.p95_us > limit) { "n over" } else { "n" }) { (ms(window.p95_us)) }
                                td.n { (ms(window.p99_us)) }
                                td.n { (ms(window.max_us)) }
                                td.n { @if window.flow == 0 { "–" } @else { (words::percent(window.flow_beyond as f64 / window.flow as f64)) } }
                                @for workload in &workloads { td.n { (told::ready_at(workload, end)) "\u{a0}of\u{a0}" (told::desired_at(workload, end)) } }
                            }
                        }
                    }
                }
            }))
        }
    }
}
