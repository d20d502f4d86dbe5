//! What services were told and tell again: collections of records by owner, shared by all pods of a run as a database
//! would be, and bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

/// Records kept of one owner in one collection.
const PER_OWNER: usize = 32;
/// Records kept in all; those that came first are forgotten.
const RECORDS: usize = 16_384;

/// All records of a run.
#[derive(Debug, Default)]
pub struct Records {
    state: Mutex<State>,
}

type Key = (String, u64);
/// A record with its number.
type Numbered = (u64, Map<String, Value>);

#[derive(Debug, Default)]
struct State {
    /// Newest first, each with its number.
    kept: BTreeMap<Key, VecDeque<Numbered>>,
    /// Whose record has which number, oldest first. Some of them their owners have forgotten already.
    order: VecDeque<(u64, Key)>,
    added: u64,
}

impl State {
    /// Forgets the oldest record.
    fn forget(&mut self) {
        let Some((number, key)) = self.order.pop_front() else { return };
        let Some(records) = self.kept.get_mut(&key) else { return };
        records.pop_back_if(|(of, _)| *of <= number);
        if records.is_empty() {
            self.kept.remove(&key);
        }
    }
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record of `owner`.
    pub(crate) fn add(&self, collection: &str, owner: u64, record: Map<String, Value>) {
        let key = (collection.to_owned(), owner);
        let mut state = self.lock();
        if state.order.len() == RECORDS {
            state.forget();
        }
        state.added += 1;
        let number = state.added;
        state.order.push_back((number, key.clone()));
        let records = state.kept.entry(key).or_default();
        records.push_front((number, record));
        records.truncate(PER_OWNER);
    }

    /// What `owner` added last, newest first.
    pub(crate) fn of(&self, collection: &str, owner: u64) -> Vec<Map<String, Value>> {
        let state = self.lock();
        state
            .kept
            .get(&(collection.to_owned(), owner))
            .map(|records| records.iter().map(|(_, record)| record.clone()).collect())
            .unwrap_or_default()
    }

    /// The record of `owner` that has this `id`.
    pub(crate) fn one(&self, collection: &str, owner: u64, id: &str) -> Option<Map<String, Value>> {
        let state = self.lock();
        let records = state.kept.get(&(collection.to_owned(), owner))?;
        let mut all = records.iter().map(|(_, record)| record);
        all.find(|record| record.get("id").and_then(Value::as_str) == Some(id)).cloned()
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
    fn memory_is_bounded_and_the_oldest_are_forgotten_first() {
        let records = Records::default();
        // One who adds so much that most of it is forgotten at once, and then others.
        for id in 0..100 {
            records.add("transactions", 7, record(id));
        }
        let ids = || records.of("transactions", 7).iter().map(|one| one["id"].to_string()).collect::<Vec<_>>();
        assert_eq!((ids().len(), ids()[31].as_str()), (PER_OWNER, "\"68\""));
        for owner in 0..RECORDS as u64 - 30 {
            records.add("transactions", 1_000 + owner, record(1));
        }
        assert_eq!((ids().len(), ids()[29].as_str()), (30, "\"70\""), "70 numbers were given up, two of them kept");
        for owner in 0..RECORDS as u64 {
            records.add("documents", owner, record(1));
        }
        let state = records.lock();
        assert_eq!((state.kept.len(), state.order.len()), (RECORDS, RECORDS));
        assert!(state.kept.keys().all(|(collection, _)| collection == "documents"));
    }
}
