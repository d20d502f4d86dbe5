//! Whether the API server of a cluster that is not ours to start still answers.
//!
//! Owns the difference between a silence and an end: watches are taken up again after the one, and nothing is known any
//! more after the other.

use std::time::Duration;

use clock::Clock;
use units::Nanos;

use crate::rest::Rest;
use crate::watching::{Post, Word};

/// How often it is asked whether it is ready, and how long an answer may take.
const ASK_EVERY: Nanos = Nanos::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(3);
/// A silence of this length is the end.
const LOST_AFTER: Nanos = Nanos::from_secs(30);

/// Asks for as long as there are answers.
pub(super) async fn watch(rest: Rest, clock: Clock, post: Post) {
    let mut heard = clock.now();
    let mut silent = false;
    loop {
        clock.until(clock.now() + ASK_EVERY).await;
        let asked = tokio::time::timeout(PATIENCE, rest.text("/readyz")).await;
        let now = clock.now();
        if matches!(asked, Ok(Ok(_))) {
            if std::mem::take(&mut silent) {
                post.tell(Word::Silent(now - heard));
            }
            heard = now;
        } else {
            silent = true;
            if now - heard >= LOST_AFTER {
                let silence = (now - heard).as_secs_f64();
                return post.tell(Word::Lost(format!("the cluster's API server has not answered for {silence:.0} s")));
            }
        }
    }
}
