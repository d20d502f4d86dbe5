//! A sweep in parts: which part of it a machine plays, and how parts become the whole again.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One part of several, written `2/3`. It takes every third trial, the second one first, so that parts are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Shard {
    nth: NonZeroU32,
    of: NonZeroU32,
}

/// Why parts do not make a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// What was written is no part of anything.
    #[error("`{0}` is no part: write one such as 2/3, the second of three")]
    Written(String),
    /// There is none.
    #[error("there is nothing to merge")]
    Nothing,
    /// It is whole already.
    #[error("{0} is no part of a sweep: it was played without --shard")]
    Whole(String),
    /// They were cut differently.
    #[error("{one} is of {} parts and {other} of {}", .of.0, .of.1)]
    Cut {
        /// One.
        one: String,
        /// The other.
        other: String,
        /// Into how many.
        of: (u32, u32),
    },
    /// Two are the same.
    #[error("{one} and {other} are both part {shard}")]
    Twice {
        /// One.
        one: String,
        /// The other.
        other: String,
        /// Which.
        shard: Shard,
    },
    /// One is not there.
    #[error("part {0} is missing")]
    Missing(Shard),
    /// They are of different sweeps.
    #[error("{one} and {other} are parts of different sweeps: their {what} differs")]
    Else {
        /// One.
        one: String,
        /// The other.
        other: String,
        /// What tells them apart.
        what: &'static str,
    },
}

impl Shard {
    /// Whether it plays the trial at `index`, counted from 0.
    pub fn takes(self, index: usize) -> bool {
        index % self.of.get() as usize == self.nth.get() as usize - 1
    }

    /// What it takes of `all`, in order.
    pub fn of<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().enumerate().filter(|(index, _)| self.takes(*index)).map(|(_, one)| one).collect()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.nth, self.of)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let parsed = text.split_once('/').and_then(|(nth, of)| Some((nth.parse().ok()?, of.parse().ok()?)));
        let shard = parsed.map(|(nth, of)| Self { nth, of }).filter(|shard| shard.nth <= shard.of);
        shard.ok_or_else(|| ShardError::Written(text.to_owned()))
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl TryFrom<String> for Shard {
    type Error = ShardError;

    fn try_from(text: String) -> Result<Self, ShardError> {
        text.parse()
    }
}

/// Parts in their order, each with the name it is told by.
///
/// # Errors
/// If one is missing, is there twice, or belongs to another number of parts.
pub(crate) fn in_order<T>(parts: Vec<(String, Option<Shard>, T)>) -> Result<Vec<T>, ShardError> {
    let mut known: Vec<(Shard, String, T)> = Vec::new();
    for (name, shard, part) in parts {
        let shard = shard.ok_or_else(|| ShardError::Whole(name.clone()))?;
        for (other, called, _) in &known {
            if other.of != shard.of {
                let of = (other.of.get(), shard.of.get());
                return Err(ShardError::Cut { one: called.clone(), other: name, of });
            }
            if *other == shard {
                return Err(ShardError::Twice { one: called.clone(), other: name, shard });
            }
        }
        known.push((shard, name, part));
    }
    known.sort_by_key(|(shard, ..)| *shard);
    let of = known.first().map(|(shard, ..)| shard.of);
    let missing = of.and_then(|of| {
        let mut all = (1..=of.get()).filter_map(NonZeroU32::new).map(|nth| Shard { nth, of });
        all.find(|wanted| !known.iter().any(|(shard, ..)| shard == wanted))
    });
    match missing {
        Some(shard) => Err(ShardError::Missing(shard)),
        None => Ok(known.into_iter().map(|(.., part)| part).collect()),
    }
}

/// One trial of each part in turn, until none has any left: the order before they were cut.
pub(crate) fn woven<T>(parts: Vec<Vec<T>>) -> Vec<T> {
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        parts.iter_mut().for_each(|part| all.extend(part.next()));
        if all.len() == before {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    #[test]
    fn parts_are_read_as_written() {
        assert_eq!(shard("2/3").to_string(), "2/3");
        for text in ["0/3", "4/3", "1/0", "1", "a/b", "-1/2", "1/3/4", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn cut_and_woven_is_as_before() {
        for (length, of) in [(0, 3), (2, 3), (7, 1), (7, 3), (9, 3), (10, 4)] {
            let all: Vec<u32> = (0..length).collect();
            let parts = (1..=of).map(|nth| shard(&format!("{nth}/{of}")).of(all.clone())).collect();
            assert_eq!(woven(parts), all, "{length} in {of}");
        }
    }

    #[test]
    fn what_is_no_whole_is_refused_by_name() {
        let parts = |shards: &[&str]| {
            let part = |(index, text): (usize, &&str)| (format!("dir{index}"), text.parse().ok(), index);
            in_order(shards.iter().enumerate().map(part).collect()).map_err(|error| error.to_string())
        };
        assert_eq!(parts(&["3/3", "1/3", "2/3"]), Ok(vec![1, 2, 0]));
        for (shards, want) in [
            (&["1/3", "3/3"][..], "part 2/3 is missing"),
            (&["1/2", "1/2"], "dir0 and dir1 are both part 1/2"),
            (&["1/2", "2/3"], "dir0 is of 2 parts and dir1 of 3"),
            (&["1/2", ""], "dir1 is no part of a sweep: it was played without --shard"),
        ] {
            assert_eq!(parts(shards), Err(want.to_owned()));
        }
    }
}
