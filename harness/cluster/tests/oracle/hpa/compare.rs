//! Where two answers differ.

use serde_json::Value;

/// The first difference between the oracle's answer and ours, in words; `None` where there is none.
pub(crate) fn difference(theirs: &Value, ours: &Value) -> Option<String> {
    let (theirs, ours) = (theirs.as_array()?, ours.as_array()?);
    if theirs.len() != ours.len() {
        return Some(format!("they sync {} times, we {}", theirs.len(), ours.len()));
    }
    for (theirs, ours) in theirs.iter().zip(ours) {
        let (theirs, ours) = (in_order(theirs), in_order(ours));
        for field in ["at", "current", "desired", "metrics", "conditions"] {
            if theirs[field] != ours[field] {
                return Some(format!(
                    "at {} {field}:\n  theirs {}\n  ours   {}",
                    theirs["at"], theirs[field], ours[field]
                ));
            }
        }
    }
    None
}

/// What upstream tells in the order of a map is put into the order of names: the autoscalers of `AmbiguousSelector`.
/// What it tells of metrics of a sync that asked none is what an earlier sync left, and is not looked at.
fn in_order(sync: &Value) -> Value {
    let mut sync = sync.clone();
    sync["at"] = sync["at"].as_f64().into();
    let conditions = sync["conditions"].as_array();
    if conditions.is_some_and(|all| all.iter().any(|condition| condition["reason"] == "FailedGetScale")) {
        sync["metrics"] = Value::Null;
    }
    for condition in sync["conditions"].as_array_mut().into_iter().flatten() {
        if condition["reason"] == "AmbiguousSelector" {
            let message = condition["message"].as_str().unwrap_or_default();
            if let Some((head, list)) = message.split_once('[') {
                let mut names: Vec<_> = list.trim_end_matches(']').split(' ').collect();
                names.sort_unstable();
                condition["message"] = format!("{head}[{}]", names.join(" ")).into();
            }
        }
    }
    sync
}
