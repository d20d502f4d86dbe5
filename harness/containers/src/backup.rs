//! A backup of the real database while it serves, and the proof that it can be restored.

use clock::Clock;
use stage::BackedUp;
use units::Bytes;

use crate::docker::Daemon;
use crate::pods::{PSQL, answer};

/// Every database that services write to.
const NAMES: &str = "set -eu; \
    names=$(psql --command=\"SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' \
    AND datname NOT LIKE 'restored\\_%' ORDER BY datname\"); ";
/// A file for each database. Says the sizes of all.
const DUMP: &str = "for name in $names; do \
    pg_dump --host=/tmp --username=postgres --format=custom --file=\"/tmp/$name.dump\" \"$name\"; \
    psql --command=\"SELECT size FROM pg_stat_file('/tmp/$name.dump')\"; done";
/// A database for each file. The originals go on meanwhile.
const RESTORE: &str = "for name in $names; do \
    psql --command=\"CREATE DATABASE \\\"restored_$name\\\" TEMPLATE template0\"; \
    pg_restore --host=/tmp --username=postgres --dbname=\"restored_$name\" \"/tmp/$name.dump\"; done";
/// Says two counts of rows for each database, and removes what was made.
const COUNT: &str = "for name in $names; do \
    psql --dbname=\"restored_$name\" --command='SELECT count(*) FROM records'; \
    psql --dbname=\"$name\" --command='SELECT count(*) FROM records'; \
    psql --command=\"DROP DATABASE \\\"restored_$name\\\"\"; done";

pub(crate) async fn back_up(daemon: &Daemon, id: &str) -> Result<BackedUp, String> {
    let clock = Clock::start();
    let run = async |what: &str| {
        let began = clock.now();
        let said = answer(daemon, id, &["/bin/sh", "-c", &format!("{PSQL}{NAMES}{what}")]).await?;
        Ok::<_, String>((numbers(&said), clock.now() - began))
    };
    let (sizes, dump) = run(DUMP).await?;
    let (_, restore) = run(RESTORE).await?;
    let (counts, _) = run(COUNT).await?;
    let rows: u64 = counts.iter().step_by(2).sum();
    let now: u64 = counts.iter().skip(1).step_by(2).sum();
    Ok(BackedUp {
        databases: sizes.len() as u32,
        dump,
        size: Bytes::new(sizes.iter().sum()),
        restore,
        rows,
        since: now.saturating_sub(rows),
    })
}

fn numbers(said: &str) -> Vec<u64> {
    said.lines().filter_map(|line| line.trim().parse().ok()).collect()
}
