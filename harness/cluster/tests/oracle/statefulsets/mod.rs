//! StatefulSets: what one sync creates and deletes.

use cluster::stateful_set::{Member, Spec, Step};
use cluster::{PodId, Release};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::subject::Subject;

/// Sets and pods in every state that the controller tells apart: `kind-config/oracle/statefulset` says how they are told.
pub(crate) const STATEFUL_SETS: Subject = Subject {
    name: "statefulsets",
    draw,
    answer,
    difference,
    told: |answer| answer.as_array().map_or(0, Vec::len),
    kept: 2_000,
};

fn draw(seed: u64, number: u64) -> Value {
    let mut dice = Dice::of_case(seed, number);
    // Most pods are well, or nothing would ever get to the end of them.
    let letters = ['a', 'a', 'a', 'a', 'A', 'A', 'A', 'A', 'u', 'U', 'e', 'E', 'x', 'X', '-'];
    let pods: String = (0..dice.within(0, 6)).map(|_| dice.of(&letters)).collect();
    json!({
        "replicas": dice.within(0, 6), "parallel": dice.one_in(3), "partition": dice.of(&[0, 0, 0, 1, 2, 4]),
        "onDelete": dice.one_in(5), "update": dice.of(&[0, 1, 1]), "pods": pods,
    })
}

fn answer(case: &Value, _: Release) -> Value {
    let number = |field: &str| case[field].as_u64().unwrap() as u32;
    let spec = Spec {
        replicas: number("replicas"),
        parallel: case["parallel"] == true,
        partition: number("partition"),
        on_delete: case["onDelete"] == true,
        current: 0,
        update: number("update"),
    };
    let member = |(ordinal, letter): (u32, char)| {
        let (template, state) = (u32::from(letter.is_ascii_uppercase()), letter.to_ascii_lowercase());
        let (available, ending) = (matches!(state, 'a' | 'e'), matches!(state, 'e' | 'x'));
        (state != '-').then_some(Member { pod: PodId(ordinal), ordinal, template, available, ending })
    };
    let members: Vec<Member> = (0..).zip(case["pods"].as_str().unwrap().chars()).filter_map(member).collect();
    let told = |step: Step| match step {
        Step::Create { ordinal, template } => format!("create {ordinal} {template}"),
        Step::Delete(PodId(pod)) => format!("delete {pod}"),
    };
    json!(spec.steps(&members).into_iter().map(told).collect::<Vec<_>>())
}

/// As sets: what a parallel set does at once has no order.
fn difference(theirs: &Value, ours: &Value) -> Option<String> {
    let sorted = |answer: &Value| {
        let mut all: Vec<String> = answer.as_array()?.iter().map(Value::to_string).collect();
        all.sort_unstable();
        Some(all)
    };
    (sorted(theirs) != sorted(ours)).then(|| format!("theirs {theirs}, ours {ours}"))
}
