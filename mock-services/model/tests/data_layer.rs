//! The data layer seen from its host: bounds, losses and what they do to those who ask.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::collections::BTreeMap;

use model::data::{
    Asker, CacheConfig, CacheUse, DataConfig, DataEffect, DataError, DataInput, DataLayer, DataNote, DataOp,
    DatabaseConfig, PoolConfig, QueryUse, Recovery, Replication, SentinelConfig, Standby,
};
use model::{Discipline, Job, Station, StationConfig, StationEffect, StationInput, Work};
use units::{Bytes, Machine, Millicores, Nanos, Out, Seed, Wake};

const fn ms(ms: u64) -> Nanos {
    Nanos::from_millis(ms)
}

/// The data layer, with everything that it said and when.
struct Host {
    layer: DataLayer,
    sink: Sink,
    heard: Vec<(Nanos, DataEffect)>,
}

#[derive(Default)]
struct Sink {
    effects: Vec<DataEffect>,
    wakes: BTreeMap<(Nanos, u32), Wake>,
}

impl Out<DataEffect> for Sink {
    fn emit(&mut self, effect: DataEffect) {
        self.effects.push(effect);
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.wakes.insert((at, wake.generation), wake);
    }
}

impl Host {
    fn new(database: DatabaseConfig, cache: CacheConfig) -> Self {
        let layer = DataLayer::new(DataConfig { database, cache }, Seed::new(1), Nanos::ZERO);
        Self { layer, sink: Sink::default(), heard: Vec::new() }
    }

    fn step(&mut self, now: Nanos, input: DataInput) {
        self.run(now);
        self.one(now, input);
    }

    fn one(&mut self, now: Nanos, input: DataInput) {
        self.layer.step(now, input, &mut self.sink);
        self.heard.extend(self.sink.effects.drain(..).map(|effect| (now, effect)));
    }

    /// Plays all wakes until `now`.
    fn run(&mut self, now: Nanos) {
        while let Some((&(at, _), &wake)) = self.sink.wakes.first_key_value().filter(|((at, _), _)| *at <= now) {
            self.sink.wakes.pop_first();
            self.one(at, DataInput::Wake(wake));
        }
    }

    fn pool(&mut self, pod: u32, size: u16, overflow: u16) {
        let pool = PoolConfig { database: "db_x".into(), size, overflow, timeout: ms(1_000) };
        self.one(Nanos::ZERO, DataInput::Started { pod, pool: Some(pool) });
    }

    fn query(&mut self, now: Nanos, pod: u32, tag: u64, time: u64, writes: bool) {
        let op = DataOp::Query(QueryUse { queries: 1, time: ms(time), writes });
        self.step(now, DataInput::Ask { asker: Asker { pod, tag, job: job() }, op });
    }

    fn get(&mut self, now: Nanos, tag: u64) {
        let op = DataOp::Cache(CacheUse { operations: 1, time: ms(1), hit: true });
        self.step(now, DataInput::Ask { asker: Asker { pod: 0, tag, job: job() }, op });
    }

    /// (tag, at ms, why it failed) of every answer, in order.
    fn answers(&self) -> Vec<(u64, u64, Option<DataError>)> {
        let answer = |(at, effect): &(Nanos, DataEffect)| match effect {
            DataEffect::Called(asker) => Some((asker.tag, at.as_millis(), None)),
            DataEffect::Failed(asker, error) => Some((asker.tag, at.as_millis(), Some(*error))),
            DataEffect::Note(_) => None,
        };
        self.heard.iter().filter_map(answer).collect()
    }

    fn notes(&self) -> Vec<(u64, DataNote)> {
        let note = |(at, effect): &(Nanos, DataEffect)| match effect {
            DataEffect::Note(note) => Some((at.as_millis(), *note)),
            _ => None,
        };
        self.heard.iter().filter_map(note).collect()
    }
}

/// A station's name for some job: these tests have no station.
fn job() -> Job {
    struct Catch(Option<Job>);
    impl Out<StationEffect> for Catch {
        fn emit(&mut self, effect: StationEffect) {
            if let StationEffect::Call { job, .. } = effect {
                self.0 = Some(job);
            }
        }
        fn wake(&mut self, _: Nanos, _: Wake) {}
    }
    let mut catch = Catch(None);
    let work = Work { calls: true, ..Work::default() };
    Station::new(station(), Nanos::ZERO).step(Nanos::ZERO, StationInput::Arrive { tag: 0, work }, &mut catch);
    catch.0.unwrap()
}

fn station() -> StationConfig {
    StationConfig {
        discipline: Discipline::Fcfs,
        workers: 1,
        limit: None,
        backlog: 1_000_000,
        memory: Bytes::from_mebi(1),
        memory_per_request: Bytes::ZERO,
        memory_limit: None,
    }
}

fn database(max_connections: u32) -> DatabaseConfig {
    DatabaseConfig { max_connections, connect: ms(5), connect_cpu: Nanos::ZERO, cores: 1, ..DatabaseConfig::DOCUMENTED }
}

#[test]
fn connections_that_are_opened_at_once_wait_for_the_servers_cpu() {
    let mut host = Host::new(DatabaseConfig { connect_cpu: ms(2), ..database(200) }, CacheConfig::DOCUMENTED);
    host.pool(0, 4, 0);
    host.query(Nanos::ZERO, 0, 0, 10, false);
    host.run(ms(100));
    (1..4).for_each(|tag| host.query(ms(100), 0, tag, 10, false));
    host.run(ms(500));
    // One alone: 2 of CPU, 3 besides, 10 for its query.
    let all = host.answers();
    assert_eq!(all[0], (0, 15, None));
    assert_eq!(all.iter().map(|(tag, ..)| *tag).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(host.layer.database().cpu_used(ms(500)), ms(4 * 10 + 3 * 2), "three were opened");
    let mut host = Host::new(DatabaseConfig { connect_cpu: ms(2), ..database(200) }, CacheConfig::DOCUMENTED);
    host.pool(0, 8, 0);
    (0..8).for_each(|tag| host.query(Nanos::ZERO, 0, tag, 1, false));
    host.run(ms(500));
    // All eight are through the CPU at 16 and connected at 19; then their queries share it for 8.
    assert!(host.answers().iter().all(|answer| answer.1 == 27), "{:?}", host.answers());
}

#[test]
fn a_pool_bounds_what_runs_at_once_and_keeps_its_connections() {
    let mut host = Host::new(database(200), CacheConfig::DOCUMENTED);
    host.pool(0, 1, 1);
    (0..3).for_each(|tag| host.query(Nanos::ZERO, 0, tag, 10, false));
    host.query(ms(100), 0, 3, 10, false);
    host.run(ms(500));
    // Two connect for 5 ms and share the core until 25; the third has a connection then; the fourth needs none opened.
    assert_eq!(host.answers(), [(0, 25, None), (1, 25, None), (2, 35, None), (3, 110, None)]);
    assert_eq!(host.layer.database().connections(), 1, "the overflow was closed");
    assert_eq!((host.layer.under_way(), host.layer.counts().connections), (0, 2));
}

#[test]
fn whoever_waits_too_long_for_a_connection_fails_at_the_timeout() {
    let mut host = Host::new(database(200), CacheConfig::DOCUMENTED);
    host.pool(0, 1, 0);
    host.query(Nanos::ZERO, 0, 0, 3_000, false);
    host.query(ms(20), 0, 1, 10, false);
    host.query(ms(2_500), 0, 2, 10, false);
    host.run(ms(9_000));
    assert_eq!(host.answers(), [(1, 1_020, Some(DataError::PoolTimeout)), (0, 3_005, None), (2, 3_015, None)]);
}

#[test]
fn services_never_get_the_reserved_connections() {
    let mut host = Host::new(database(10), CacheConfig::DOCUMENTED);
    for pod in 0..3 {
        host.pool(pod, 4, 0);
        (0..4).for_each(|n| host.query(Nanos::ZERO, pod, u64::from(pod) * 10 + n, 10, false));
    }
    let refused: Vec<_> = host.answers().iter().map(|(tag, at, why)| (*tag, *at, *why)).collect();
    let too_many = Some(DataError::TooManyClients);
    assert_eq!(refused, [13, 20, 21, 22, 23].map(|tag| (tag, 0, too_many)), "7 of 10 are to be had");
    host.run(ms(500));
    assert_eq!((host.layer.database().connections(), host.layer.counts().failed[&DataError::TooManyClients]), (7, 5));
    host.step(ms(500), DataInput::Ended { pod: 0 });
    host.query(ms(501), 2, 99, 10, false);
    host.run(ms(900));
    assert_eq!(host.answers().last(), Some(&(99, 516, None)), "a pod that has ended leaves its place to others");
}

#[test]
fn a_container_that_has_ended_hears_nothing_and_its_connection_closes_with_its_query() {
    let mut host = Host::new(database(200), CacheConfig::DOCUMENTED);
    host.pool(0, 1, 0);
    (0..2).for_each(|tag| host.query(Nanos::ZERO, 0, tag, 50, false));
    host.step(ms(20), DataInput::Ended { pod: 0 });
    host.step(ms(21), DataInput::Started { pod: 0, pool: None });
    assert_eq!(host.layer.database().connections(), 1, "the query goes on");
    host.run(ms(500));
    assert_eq!((host.answers(), host.layer.database().connections(), host.layer.under_way()), (vec![], 0, 0));
}

#[test]
fn a_lost_primary_breaks_everything_until_the_promotion_and_what_is_lost_depends_on_replication() {
    for (case, replication, write_takes, lost_writes) in [
        ("asynchronous", Replication::Asynchronous { lag: ms(200) }, 10, 20),
        ("synchronous", Replication::Synchronous { round_trip: ms(2) }, 12, 0),
    ] {
        let standby = Some(Standby { promotion: Nanos::from_secs(20), replication });
        let mut host =
            Host::new(DatabaseConfig { standby, connect: Nanos::ZERO, ..database(200) }, CacheConfig::DOCUMENTED);
        host.pool(0, 1, 0);
        // A write every 10 ms until the loss, each done when the next one comes or soon after.
        (0..100).for_each(|n| host.query(ms(n * 10), 0, n, 8, true));
        host.run(ms(1_000));
        host.step(ms(1_000), DataInput::PrimaryLost);
        let acknowledged = host.answers().iter().filter(|(_, _, why)| why.is_none()).count();
        assert_eq!(
            host.notes(),
            [(1_000, DataNote::PrimaryLost { lost_writes })],
            "{case}: {acknowledged} acknowledged"
        );
        host.query(ms(5_000), 0, 500, 10, true);
        host.query(ms(21_000), 0, 501, write_takes - 2, true);
        host.run(ms(30_000));
        let last: Vec<_> = host.answers().into_iter().filter(|(tag, ..)| *tag >= 500).collect();
        let done = if lost_writes == 0 { 21_012 } else { 21_008 };
        assert_eq!(last, [(500, 5_000, Some(DataError::NoPrimary)), (501, done, None)], "{case}");
        assert_eq!(host.notes().last(), Some(&(21_000, DataNote::PrimaryUp)), "{case}");
    }
}

#[test]
fn others_take_what_is_left_and_a_pool_works_on_with_what_it_holds() {
    let mut host = Host::new(database(10), CacheConfig::DOCUMENTED);
    host.pool(0, 1, 9);
    host.query(Nanos::ZERO, 0, 0, 10, false); // its connection stays
    host.step(ms(100), DataInput::ConnectionsTaken(50));
    host.query(ms(200), 0, 1, 50, false);
    host.query(ms(210), 0, 2, 10, false); // at the same time: a second connection, and there is none
    host.step(ms(300), DataInput::ConnectionsGivenBack);
    host.query(ms(400), 0, 3, 50, false);
    host.query(ms(410), 0, 4, 10, false);
    host.run(ms(900));
    let refused: Vec<_> = host.answers().into_iter().filter(|(.., why)| why.is_some()).collect();
    assert_eq!(refused, [(2, 210, Some(DataError::TooManyClients))]);
    assert_eq!(host.answers().len(), 5);
    let free = 10 - DatabaseConfig::DOCUMENTED.reserved - 1;
    let told = [(100, DataNote::ConnectionsTaken { got: free, wanted: 50 }), (300, DataNote::ConnectionsGivenBack)];
    assert_eq!(host.notes(), told);
    assert_eq!(host.layer.database().connections(), 1);
}

#[test]
fn a_backup_takes_its_share_of_the_servers_cpu_until_it_ends() {
    let mut host = Host::new(DatabaseConfig { connect: Nanos::ZERO, ..database(200) }, CacheConfig::DOCUMENTED);
    host.pool(0, 5, 0);
    host.query(ms(0), 0, 0, 100, false);
    host.step(ms(200), DataInput::BackupBegins(Millicores::new(750)));
    host.query(ms(200), 0, 1, 100, false); // a quarter of the core is left
    host.run(ms(1_000));
    host.step(ms(1_000), DataInput::BackupEnds);
    host.query(ms(1_000), 0, 2, 100, false);
    host.run(ms(2_000));
    assert_eq!(host.answers(), [(0, 100, None), (1, 600, None), (2, 1_100, None)]);
}

#[test]
fn with_a_full_disk_writes_fail_reads_go_on_and_connections_stay() {
    let mut host = Host::new(database(200), CacheConfig::DOCUMENTED);
    host.pool(0, 1, 0);
    host.query(Nanos::ZERO, 0, 0, 10, true);
    host.step(ms(100), DataInput::DiskFills);
    host.query(ms(200), 0, 1, 10, true);
    host.query(ms(300), 0, 2, 10, false);
    host.step(ms(400), DataInput::DiskFreed);
    host.query(ms(500), 0, 3, 10, true);
    host.run(ms(1_000));
    let full = Some(DataError::DiskFull);
    // It connected once, for 5 ms.
    assert_eq!(host.answers(), [(0, 15, None), (1, 210, full), (2, 310, None), (3, 510, None)]);
    assert_eq!(host.notes(), [(100, DataNote::DiskFull), (400, DataNote::DiskFreed)]);
}

#[test]
fn for_a_restore_it_is_offline_and_no_standby_takes_over() {
    let standby = Some(Standby { promotion: ms(100), replication: Replication::Synchronous { round_trip: ms(2) } });
    let mut host = Host::new(DatabaseConfig { standby, ..database(200) }, CacheConfig::DOCUMENTED);
    host.pool(0, 2, 0);
    host.query(Nanos::ZERO, 0, 0, 100, false);
    host.step(ms(50), DataInput::TakenOffline);
    host.query(ms(10_000), 0, 1, 10, false);
    host.step(ms(60_000), DataInput::PrimaryBack);
    host.query(ms(60_001), 0, 2, 10, false);
    host.run(ms(70_000));
    let no = Some(DataError::NoPrimary);
    assert_eq!(host.answers(), [(0, 50, no), (1, 10_000, no), (2, 60_016, None)]);
    assert_eq!(host.notes(), [(50, DataNote::TakenOffline), (60_000, DataNote::PrimaryUp)]);
}

#[test]
fn without_a_standby_somebody_must_bring_the_primary_back() {
    let mut host = Host::new(database(200), CacheConfig::DOCUMENTED);
    host.pool(0, 2, 0);
    host.query(Nanos::ZERO, 0, 0, 100, true);
    host.step(ms(50), DataInput::PrimaryLost);
    host.query(ms(600_000), 0, 1, 10, true);
    host.step(ms(600_001), DataInput::PrimaryBack);
    host.query(ms(600_002), 0, 2, 10, true);
    host.run(ms(700_000));
    let no = Some(DataError::NoPrimary);
    assert_eq!(host.answers(), [(0, 50, no), (1, 600_000, no), (2, 600_017, None)]);
    assert_eq!(host.layer.counts().lost_writes, 0, "its disk has what it acknowledged");
}

#[test]
fn a_lost_cache_fails_at_once_and_comes_back_as_it_is_configured_to() {
    let loading =
        Recovery::Restart { start: ms(2_000), size: Bytes::from_mebi(1_024), per_second: Bytes::from_mebi(128) };
    let leaderless = Recovery::Sentinel(SentinelConfig { alive: 1, ..SentinelConfig::DOCUMENTED });
    for (case, recovery, back) in [
        ("sentinels", CacheConfig::DOCUMENTED.recovery, Some(5_000..=9_000)),
        ("one sentinel of three", leaderless, None),
        ("1 GiB of append-only file", loading, Some(10_000..=10_000)),
    ] {
        let mut host = Host::new(DatabaseConfig::DOCUMENTED, CacheConfig { recovery, ..CacheConfig::DOCUMENTED });
        host.get(Nanos::ZERO, 0);
        host.get(Nanos::ZERO, 1);
        host.run(ms(1));
        host.step(ms(1), DataInput::CacheLost);
        host.get(ms(2), 2);
        host.run(ms(60_001));
        let no = Some(DataError::NoCache);
        assert_eq!(host.answers(), [(0, 1, None), (1, 1, no), (2, 2, no)], "{case}: one thread, one at a time");
        let up = host.notes().iter().find(|(_, note)| *note == DataNote::CacheUp).map(|(at, _)| at - 1);
        assert_eq!(up.is_some(), back.is_some(), "{case}: back after {up:?} ms");
        assert!(up.is_none_or(|up| back.unwrap().contains(&up)), "{case}: back after {up:?} ms");
    }
}

/// Nine of ten requests hit. Without the cache, ten times the queries come, and a database that was half idle drowns.
#[test]
fn without_its_cache_a_service_stampedes_its_database() {
    let run = |lost: bool| {
        let mut host = Host::new(DatabaseConfig { connect: Nanos::ZERO, ..database(200) }, CacheConfig::DOCUMENTED);
        host.pool(0, 20, 0);
        let mut pod = Pod { station: Station::new(station(), Nanos::ZERO), sink: StationSink::default(), done: vec![] };
        if lost {
            host.step(Nanos::ZERO, DataInput::CacheLost);
        }
        for n in 0..400_u64 {
            let cache = Some(CacheUse { operations: 1, time: Nanos::from_micros(100), hit: n % 10 != 0 });
            let query = Some(QueryUse { queries: 1, time: ms(40), writes: false });
            pod.play(
                &mut host,
                ms(n * 10),
                Some(StationInput::Arrive { tag: n, work: Work { cache, query, ..Work::default() } }),
            );
        }
        for at in 4_000..9_000 {
            pod.play(&mut host, ms(at), None);
        }
        (host.layer.counts().queries, pod.done)
    };
    let (queries, done) = run(false);
    assert_eq!((queries, done.len()), (40, 400));
    assert!(done.iter().all(|(_, failed)| failed.is_none()));
    let (queries, done) = run(true);
    assert!(queries > 390, "the sentinels were not back within these four seconds: {queries}");
    let failed = done.iter().filter(|(_, failed)| *failed == Some(500)).count();
    assert!(failed > 100, "the pool's queue is longer than its timeout: {failed} failed");
}

struct Pod {
    station: Station,
    sink: StationSink,
    done: Vec<(u64, Option<u16>)>,
}

#[derive(Default)]
struct StationSink(Vec<StationEffect>);

impl Out<StationEffect> for StationSink {
    fn emit(&mut self, effect: StationEffect) {
        self.0.push(effect);
    }
    fn wake(&mut self, _: Nanos, _: Wake) {
        panic!("these requests need no CPU and no wait of their own");
    }
}

impl Pod {
    /// The host's part of the seam: effects of the one are inputs of the other until nobody says anything.
    fn play(&mut self, host: &mut Host, now: Nanos, input: Option<StationInput>) {
        host.run(now);
        let mut inputs: Vec<_> = input.into_iter().collect();
        loop {
            for (_, effect) in std::mem::take(&mut host.heard) {
                match effect {
                    DataEffect::Called(asker) => inputs.push(StationInput::Called(asker.job)),
                    DataEffect::Failed(asker, _) => inputs.push(StationInput::Failed(asker.job)),
                    DataEffect::Note(_) => {}
                }
            }
            if inputs.is_empty() {
                return;
            }
            inputs.drain(..).for_each(|input| self.station.step(now, input, &mut self.sink));
            for effect in std::mem::take(&mut self.sink.0) {
                match effect {
                    StationEffect::Data { tag, job, op } => {
                        host.step(now, DataInput::Ask { asker: Asker { pod: 0, tag, job }, op });
                    }
                    StationEffect::Done { tag, failed, .. } => self.done.push((tag, failed)),
                    other => panic!("unexpected: {other:?}"),
                }
            }
        }
    }
}
