//! The station by hand-reckoned cases, played to the end by a small host.

use super::*;
use std::collections::BTreeMap;

const fn ms(ms: u64) -> Nanos {
    Nanos::from_millis(ms)
}

#[derive(Default)]
struct World {
    effects: Vec<StationEffect>,
    wakes: BTreeMap<(Nanos, u32), Wake>,
    asked: u32,
}

impl Out<StationEffect> for World {
    fn emit(&mut self, effect: StationEffect) {
        self.effects.push(effect);
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.asked += 1;
        self.wakes.insert((at, self.asked), wake);
    }
}

fn config() -> StationConfig {
    StationConfig {
        discipline: Discipline::Fcfs,
        workers: 1,
        limit: None,
        backlog: 2,
        memory: Bytes::from_mebi(100),
        memory_per_request: Bytes::from_mebi(1),
        memory_limit: None,
    }
}

/// Plays arrivals `(ms, work)` to the end; calls take `call`. Gives `(tag, done at ms, spent)`.
fn play(config: StationConfig, arrivals: &[(u64, Work)], call: Nanos) -> Vec<(u64, u64, Spent)> {
    let mut station = Station::new(config, Nanos::ZERO);
    let mut world = World::default();
    let mut inputs: BTreeMap<(Nanos, usize), StationInput> = BTreeMap::new();
    for (tag, (at, work)) in arrivals.iter().enumerate() {
        inputs.insert((ms(*at), tag), StationInput::Arrive { tag: tag as u64, work: *work });
    }
    let mut done = Vec::new();
    let mut count = arrivals.len();
    loop {
        let input = inputs.first_key_value().map(|(k, v)| (k.0, *v));
        let wake = world.wakes.first_key_value().map(|(k, v)| (k.0, StationInput::Wake(*v)));
        let (now, input) = match (input, wake) {
            (Some(a), Some(b)) if a.0 <= b.0 => a,
            (_, Some(b)) => b,
            (Some(a), None) => a,
            (None, None) => break,
        };
        match input {
            StationInput::Wake(_) => drop(world.wakes.pop_first()),
            _ => drop(inputs.pop_first()),
        }
        station.step(now, input, &mut world);
        for effect in world.effects.drain(..) {
            match effect {
                StationEffect::Call { job, .. } => {
                    count += 1;
                    inputs.insert((now + call, count), StationInput::Called(job));
                }
                StationEffect::Data { job, op, .. } => {
                    count += 1;
                    let time = match op {
                        DataOp::Cache(cache) => cache.time,
                        DataOp::Query(query) => query.time,
                    };
                    // In these tests no time means that it is broken.
                    let answer =
                        if time == Nanos::ZERO { StationInput::Failed(job) } else { StationInput::Called(job) };
                    inputs.insert((now + time, count), answer);
                }
                StationEffect::Streaming { tag, .. } => done.push((tag, now.as_millis(), Spent::default())),
                StationEffect::Done { tag, spent, failed: None } => done.push((tag, now.as_millis(), spent)),
                StationEffect::Done { tag, spent, failed: Some(status) } => {
                    done.push((tag, now.as_millis(), spent));
                    done.push((tag, u64::from(status) * 1_000_000, Spent::default()));
                }
                StationEffect::OutOfMemory => panic!("there is no limit"),
                StationEffect::Refused { tag } => done.push((tag, u64::MAX, Spent::default())),
            }
        }
    }
    let demand: Nanos = done.iter().map(|(_, _, spent)| spent.cpu).sum();
    assert_eq!(station.cpu_used(ms(1_000_000)), demand, "accounted = served");
    assert_eq!(station.in_flight(), 0);
    done
}

#[test]
fn a_request_computes_calls_waits_and_computes() {
    let work = Work { cpu_before: ms(10), calls: true, wait: ms(7), cpu_after: ms(5), ..Work::default() };
    let spent = Spent { queue: Nanos::ZERO, cpu: ms(15), wait: ms(7) };
    assert_eq!(play(config(), &[(0, work)], ms(20)), [(0, 42, spent)]);
}

#[test]
fn a_waiting_request_holds_no_thread() {
    let work = Work { cpu_before: ms(10), wait: ms(30), cpu_after: ms(10), ..Work::default() };
    let done = play(config(), &[(0, work), (0, work)], Nanos::ZERO);
    // 0: 0–10 cpu, 10–40 wait, 40–50 cpu. 1: 10–20 cpu, 20–50 wait, 50–60 cpu.
    assert_eq!(done.iter().map(|d| (d.0, d.1)).collect::<Vec<_>>(), [(0, 50), (1, 60)]);
    assert_eq!(done[1].2.queue, ms(10));
}

#[test]
fn a_full_backlog_refuses() {
    let work = Work { cpu_before: ms(10), ..Work::default() };
    let done = play(config(), &[(0, work), (0, work), (0, work)], Nanos::ZERO);
    assert_eq!(done.iter().filter(|d| d.1 == u64::MAX).count(), 1);
}

#[test]
fn memory_follows_what_is_in_flight() {
    let mut station = Station::new(config(), Nanos::ZERO);
    let work = Work { cpu_before: ms(10), ..Work::default() };
    station.step(ms(1), StationInput::Arrive { tag: 0, work }, &mut World::default());
    assert_eq!(station.memory(), Bytes::from_mebi(101));
}

#[test]
fn a_hit_spares_the_queries_and_a_broken_cache_does_not() {
    let cache = |time, hit| Some(CacheUse { operations: 1, time: ms(time), hit });
    let query = |time| Some(QueryUse { queries: 2, time: ms(time), writes: false });
    for (case, cache, query, at, status) in [
        ("hit", cache(1, true), query(8), 11, None),
        ("miss", cache(1, false), query(8), 19, None),
        ("cache broken", cache(0, true), query(8), 18, None),
        ("cache broken, no database", cache(0, true), None, 10, Some(500)),
        ("database broken", None, query(0), 10, Some(500)),
        ("neither used", None, None, 15, None),
    ] {
        let wait = if query.is_none() { ms(5) } else { Nanos::ZERO };
        let work = Work { cpu_before: ms(6), cache, query, wait, cpu_after: ms(4), ..Work::default() };
        let done = play(config(), &[(0, work)], Nanos::ZERO);
        let waited = at - 10;
        assert_eq!(done[0], (0, at, Spent { queue: Nanos::ZERO, cpu: ms(10), wait: ms(waited) }), "{case}");
        assert_eq!(done.get(1).map(|d| d.1 / 1_000_000), status, "{case}");
        if status.is_none() && case != "cache broken" {
            let alone = play(config(), &[(0, work.folded())], Nanos::ZERO);
            assert_eq!(alone, done, "{case}: with nobody in the way, folding changes nothing");
        }
    }
}

#[test]
fn a_stream_begins_after_its_wait_and_holds_no_thread() {
    let stream = Work { cpu_before: ms(2), wait: ms(30), stream: Some(ms(50)), ..Work::default() };
    let other = Work { cpu_before: ms(10), ..Work::default() };
    let done = play(config(), &[(0, stream), (40, other)], Nanos::ZERO);
    assert_eq!(done.iter().map(|d| (d.0, d.1)).collect::<Vec<_>>(), [(0, 32), (1, 50), (0, 82)]);
    assert_eq!(done[2].2.wait, ms(80));
}

#[test]
fn a_request_that_fails_of_itself_costs_what_it_costs() {
    let work = Work { cpu_before: ms(10), wait: ms(3), fails: Some(502), ..Work::default() };
    let done = play(config(), &[(0, work)], Nanos::ZERO);
    assert_eq!((done[0].1, done[1].1), (13, 502_000_000));
}

#[test]
fn a_container_over_its_memory_limit_dies_with_all_it_had() {
    let limited = StationConfig { backlog: 100, memory_limit: Some(Bytes::from_mebi(104)), ..config() };
    let mut station = Station::new(limited, Nanos::ZERO);
    let mut world = World::default();
    let work = |memory| Work { cpu_before: ms(10), memory: Bytes::from_mebi(memory), ..Work::default() };
    for (tag, memory) in [(0, 0), (1, 2)] {
        station.step(ms(1), StationInput::Arrive { tag, work: work(memory) }, &mut world);
    }
    assert_eq!((station.memory(), world.effects.len()), (Bytes::from_mebi(104), 0), "at the limit it lives");
    station.step(ms(5), StationInput::Arrive { tag: 2, work: work(0) }, &mut world);
    assert_eq!(world.effects, [StationEffect::OutOfMemory]);
    assert_eq!((station.in_flight(), station.cpu_used(ms(99))), (0, ms(4)), "what it used stays used");
    // Nothing that was asked for before its end reaches it.
    for input in [StationInput::Called(Job(0)), StationInput::Wake(Wake { slot: 1, generation: 0 })] {
        station.step(ms(11), input, &mut world);
    }
    station.step(ms(12), StationInput::Arrive { tag: 3, work: work(0) }, &mut world);
    assert_eq!(world.effects[1..], [StationEffect::Refused { tag: 3 }]);
}

#[test]
fn what_the_node_leaves_reaches_the_cpu() {
    let mut station = Station::new(config(), Nanos::ZERO);
    let mut world = World::default();
    let work = Work { cpu_before: ms(10), ..Work::default() };
    station.step(ms(0), StationInput::Share(Some(Millicores::new(500))), &mut world);
    station.step(ms(0), StationInput::Arrive { tag: 0, work }, &mut world);
    assert_eq!(world.wakes.keys().map(|key| key.0).collect::<Vec<_>>(), [ms(20)]);
}
