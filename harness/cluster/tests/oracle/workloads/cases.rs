//! Cases about Deployments, drawn from a seed: `kind-config/oracle/workloads/case.go` tells what they say.
//!
//! Everything happens at odd milliseconds, and people act in seconds of their own: what happens at one instant, or to
//! ReplicaSets made in one second, has an order that is chance in Kubernetes.

use serde_json::{Value, json};

use super::ours;
use crate::dice::Dice;

/// The case of a number.
pub(crate) fn draw(seed: u64, number: u64) -> Value {
    let mut case = Maker { dice: &mut Dice::of_case(seed, number), templates: Vec::new() }.case();
    case["uids"] = json!(ours::uids(&case));
    case
}

struct Maker<'a> {
    dice: &'a mut Dice,
    templates: Vec<Value>,
}

/// `progressDeadlineSeconds` that means none.
const NO_DEADLINE: i64 = 2_147_483_647;

impl Maker<'_> {
    fn case(&mut self) -> Value {
        let mut spec = json!({
            "replicas": self.replicas(), "revisionHistoryLimit": 10, "strategy": self.strategy(),
            "minReadySeconds": self.min_ready(), "progressDeadlineSeconds": self.deadline(),
        });
        if self.dice.one_in(20) {
            spec["paused"] = json!(true);
        }
        let mut budgets = json!({});
        if !self.dice.one_in(3) {
            let bound = self.dice.of(&["minAvailable", "maxUnavailable"]);
            budgets["web"] = json!({bound: self.bound()});
        }
        self.template(3);
        let mut at = 0;
        let mut paused = spec["paused"] == true;
        let mut actions = Vec::new();
        for _ in 0..self.dice.of(&[0, 1, 2, 3, 5, 8, 12]) {
            at += self.dice.of(&[1, 2, 3, 5, 8, 15, 30, 60]) * 1_000;
            let then = at + self.dice.within(1, 998);
            actions.push(self.action(then, &mut paused));
        }
        let until = at + self.dice.of(&[20, 60, 120]) * 1_000;
        json!({
            "deployment": spec, "budgets": budgets, "templates": self.templates, "actions": actions,
            "until": until, "every": 500,
        })
    }

    fn action(&mut self, at: i64, paused: &mut bool) -> Value {
        let mut action = json!({"at": at});
        match self.dice.within(0, 15) {
            0..=3 => action["scale"] = json!(self.replicas()),
            4..=7 if self.templates.len() < 16 => {
                action["template"] = json!(self.templates.len());
                self.template(2);
            }
            8 | 9 if !*paused => action["rollback"] = json!(self.dice.of(&[0, 0, 1, 2, 3])),
            10 => action["spec"] = json!({"strategy": self.strategy()}),
            11 => action["spec"] = json!({"minReadySeconds": self.min_ready()}),
            12 => action["spec"] = json!({"progressDeadlineSeconds": self.deadline()}),
            13 => {
                *paused = !*paused;
                action["spec"] = json!({"paused": *paused});
            }
            _ => action["delete"] = json!(self.dice.within(0, 12)),
        }
        action
    }

    /// Few enough for a ReplicaSet never to have more than twelve pods, which Go sorts step by step.
    fn replicas(&mut self) -> i64 {
        self.dice.of(&[0, 1, 1, 2, 3, 3, 4, 5, 6])
    }

    fn min_ready(&mut self) -> i64 {
        self.dice.of(&[0, 0, 0, 1, 3, 7])
    }

    fn deadline(&mut self) -> i64 {
        self.dice.of(&[8, 10, 15, 30, 60, 600, NO_DEADLINE])
    }

    fn strategy(&mut self) -> Value {
        if self.dice.one_in(6) {
            return json!({"type": "Recreate"});
        }
        let (surge, unavailable) = (self.bound(), self.bound());
        // Both zero is refused by the API server.
        let unavailable = if surge == 0 && unavailable == 0 { json!(1) } else { unavailable };
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
    }

    fn bound(&mut self) -> Value {
        self.dice.of(&[
            json!(0),
            json!(1),
            json!(1),
            json!(2),
            json!(5),
            json!("0%"),
            json!("10%"),
            json!("25%"),
            json!("25%"),
            json!("34%"),
            json!("50%"),
            json!("100%"),
        ])
    }

    /// Fates of the pods of a new template, of which one in `odds` is bad.
    fn template(&mut self, odds: i64) {
        let bad = self.dice.one_in(odds);
        let count = self.dice.of(&[1, 1, 2, 3, 5]);
        let fates: Vec<Value> = (0..count).map(|_| self.fate(bad)).collect();
        self.templates.push(json!(fates));
    }

    fn fate(&mut self, bad: bool) -> Value {
        let starts = self.dice.of(&[300, 800, 2_000, 9_000]) + self.dice.within(1, 499);
        let ends = self.dice.of(&[100, 1_000, 6_000]) + self.dice.within(1, 499);
        let mut ready = Vec::new();
        let mut restarts = Vec::new();
        let mut at = starts + self.dice.of(&[100, 1_000, 3_000, 12_000]) + self.dice.within(1, 499);
        let flips = if self.dice.one_in(4) { self.dice.within(2, 5) } else { 1 };
        for _ in 0..flips {
            ready.push(at);
            if self.dice.one_in(3) {
                restarts.push(at + self.dice.within(1, 400));
            }
            at += self.dice.of(&[500, 2_000, 8_000, 30_000]) + self.dice.within(1, 999);
        }
        match self.dice.within(0, 2) {
            0 if bad => json!({"starts": null, "ends": ends}),
            1 if bad => json!({"starts": starts, "restarts": [starts + 700, starts + 12_000], "ends": ends}),
            _ => json!({"starts": starts, "ready": ready, "restarts": restarts, "ends": ends}),
        }
    }
}
