//! What services were told and tell again: collections of records by owner, shared by all pods of a run as a database
//! would be, and bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

/// Records kept of one owner in one collection.
const PER_OWNER: usize = 32;
/// Owners kept in all; those that came first are forgotten.
const OWNERS: usize = 8_192;

/// All records of a run.
#[derive(Debug, Default)]
pub struct Records {
    state: Mutex<State>,
}

type Key = (String, u64);

#[derive(Debug, Default)]
struct State {
    /// Newest first.
    kept: BTreeMap<Key, VecDeque<Map<String, Value>>>,
    order: VecDeque<Key>,
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record of `owner`.
    pub(crate) fn add(&self, collection: &str, owner: u64, record: Map<String, Value>) {
        let key = (collection.to_owned(), owner);
        let mut state = self.lock();
        if !state.kept.contains_key(&key) {
            state.order.push_back(key.clone());
            if state.order.len() > OWNERS
                && let Some(first) = state.order.pop_front()
            {
                state.kept.remove(&first);
            }
        }
        let records = state.kept.entry(key).or_default();
        records.push_front(record);
        records.truncate(PER_OWNER);
    }

    /// What `owner` added last, newest first.
    pub(crate) fn of(&self, collection: &str, owner: u64) -> Vec<Map<String, Value>> {
        let state = self.lock();
        state
            .kept
            .get(&(collection.to_owned(), owner))
            .map(|records| records.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// The record of `owner` that has this `id`.
    pub(crate) fn one(&self, collection: &str, owner: u64, id: &str) -> Option<Map<String, Value>> {
        let state = self.lock();
        let records = state.kept.get(&(collection.to_owned(), owner))?;
        records.iter().find(|record| record.get("id").and_then(Value::as_str) == Some(id)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: usize) -> Map<String, Value> {
        Map::from_iter([("id".to_owned(), Value::from(id.to_string()))])
    }

    #[test]
    fn the_newest_are_kept_and_owners_are_apart() {
        let records = Records::default();
        for id in 0..PER_OWNER + 5 {
            records.add("transactions", 1, record(id));
        }
        records.add("documents", 1, record(900));
        let all = records.of("transactions", 1);
        assert_eq!((all.len(), &all[0]["id"]), (PER_OWNER, &Value::from((PER_OWNER + 4).to_string())));
        assert!(records.one("transactions", 1, "5").is_some() && records.one("transactions", 1, "4").is_none());
        assert!(records.of("transactions", 2).is_empty() && records.one("transactions", 1, "900").is_none());
    }

    #[test]
    fn memory_is_bounded_by_owners() {
        let records = Records::default();
        for owner in 0..OWNERS as u64 + 3 {
            records.add("transactions", owner, record(1));
        }
        let state = records.lock();
        assert_eq!((state.kept.len(), state.order.len()), (OWNERS, OWNERS));
        assert!(!state.kept.contains_key(&("transactions".to_owned(), 2)));
    }
}
