//! Where two answers differ.

use serde_json::Value;

/// How long one side may be ahead in telling that a deadline has passed, in milliseconds. The Deployment's own timer and
/// that of an available pod fall on whole seconds: which of two at the same instant comes first is chance, and decides
/// whether the deadline is looked at once more a second later.
const APART: i64 = 1_000;

/// The first difference between the oracle's answer and ours, with both states; `None` where there is none.
pub(crate) fn difference(theirs: &Value, ours: &Value) -> Option<String> {
    let (theirs, ours) = (theirs.as_array()?, ours.as_array()?);
    let at = |state: &Value| state["at"].as_i64().unwrap();
    let mut times: Vec<i64> = theirs.iter().chain(ours).map(at).collect();
    times.sort_unstable();
    times.dedup();
    let mut apart: Option<i64> = None;
    let mut last = None;
    for time in times {
        let state = |all: &[Value]| all.iter().rev().find(|state| at(state) <= time).cloned().unwrap_or_default();
        let (mut a, mut b) = (state(theirs), state(ours));
        (a["at"], b["at"]) = (time.into(), time.into());
        if a == b {
            apart = None;
            continue;
        }
        let told = format!("at {time}:\n  theirs {a}\n  ours   {b}");
        let since = *apart.get_or_insert(time);
        if !only_the_deadline(&a, &b) || time - since > APART {
            return Some(told);
        }
        last = Some(told);
    }
    apart.and(last)
}

/// Whether two states differ in nothing but that one tells the deadline's end already.
fn only_the_deadline(a: &Value, b: &Value) -> bool {
    let exceeded = |state: &Value| {
        let conditions = state["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|condition| condition["reason"] == "ProgressDeadlineExceeded")
    };
    let rest = |state: &Value| {
        let mut state = state.clone();
        if let Some(conditions) = state["conditions"].as_array_mut() {
            conditions.retain(|condition| condition["type"] != "Progressing");
        }
        state
    };
    exceeded(a) != exceeded(b) && rest(a) == rest(b)
}
