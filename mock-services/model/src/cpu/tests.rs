//! The CPU by hand-reckoned cases, and against a count of every millisecond.

use super::*;

const fn ms(ms: u64) -> Nanos {
    Nanos::from_millis(ms)
}

fn ends(cpu: &mut Cpu, until: Nanos) -> Vec<(u32, u64)> {
    let mut ends = Vec::new();
    cpu.advance(until, |burst, at| ends.push((burst.job, at.as_millis())));
    ends
}

fn burst(job: u32, demand: u64) -> Burst {
    Burst { job, demand: ms(demand), since: Nanos::ZERO }
}

#[test]
fn first_come_first_served_at_exact_instants_however_late_the_caller_is() {
    let mut cpu = Cpu::new(Discipline::Fcfs, 1, None, Nanos::ZERO);
    (0..3).for_each(|job| cpu.add(burst(job, 10)));
    assert_eq!(ends(&mut cpu, ms(500)), [(0, 10), (1, 20), (2, 30)]);
    assert_eq!(cpu.used(ms(500)), ms(30));
}

#[test]
fn two_workers_run_two() {
    let mut cpu = Cpu::new(Discipline::Fcfs, 2, None, Nanos::ZERO);
    (0..3).for_each(|job| cpu.add(burst(job, 10)));
    assert_eq!(ends(&mut cpu, ms(500)), [(0, 10), (1, 10), (2, 20)]);
}

#[test]
fn a_quota_of_half_a_core_stands_still_for_the_rest_of_each_period() {
    let mut cpu = Cpu::new(Discipline::Fcfs, 1, Some(Millicores::new(500)), Nanos::ZERO);
    cpu.add(burst(0, 120));
    assert_eq!(cpu.used(ms(70)), ms(50), "throttled after 50 ms");
    assert_eq!(cpu.used(ms(180)), ms(100), "asked two periods later, without an advance in between");
    // 50 ms in each of the first two periods, the last 20 ms in the third.
    assert_eq!(ends(&mut cpu, ms(500)), [(0, 220)]);
    assert_eq!(cpu.used(ms(500)), ms(120));
}

#[test]
fn what_a_period_leaves_is_lost() {
    let mut cpu = Cpu::new(Discipline::Fcfs, 1, Some(Millicores::new(500)), Nanos::ZERO);
    ends(&mut cpu, ms(1_000));
    cpu.add(Burst { since: ms(1_000), ..burst(0, 60) });
    assert_eq!(ends(&mut cpu, ms(1_500)), [(0, 1_110)]);
}

#[test]
fn two_threads_share_a_quota_and_a_later_one_spends_it_sooner() {
    let mut cpu = Cpu::new(Discipline::Fcfs, 2, Some(Millicores::new(1_000)), Nanos::ZERO);
    cpu.add(burst(0, 90));
    assert_eq!(cpu.next(), Some(ms(90)));
    assert_eq!(ends(&mut cpu, ms(40)), []);
    cpu.add(Burst { since: ms(40), ..burst(1, 50) });
    // 60 ms are left and spent at 70; from 100 on, the first needs 20 ms more and the second as well.
    assert_eq!((cpu.next(), cpu.used(ms(80))), (Some(ms(120)), ms(100)));
    assert_eq!(ends(&mut cpu, ms(500)), [(0, 120), (1, 120)]);
    assert_eq!(cpu.used(ms(500)), ms(140));
}

#[test]
fn a_limit_of_a_core_per_worker_never_throttles() {
    let mut cpu = Cpu::new(Discipline::Fcfs, 2, Some(Millicores::from_cores(2)), Nanos::ZERO);
    (0..2).for_each(|job| cpu.add(burst(job, 350)));
    assert_eq!(ends(&mut cpu, ms(1_000)), [(0, 350), (1, 350)]);
}

fn sharing(workers: u16, limit: Option<u64>) -> Cpu {
    Cpu::new(Discipline::Ps, workers, limit.map(Millicores::new), Nanos::ZERO)
}

#[test]
fn all_share_one_core_evenly() {
    let mut cpu = sharing(1, None);
    cpu.add(burst(0, 30));
    cpu.add(burst(1, 10));
    ends(&mut cpu, ms(10));
    cpu.add(Burst { since: ms(10), ..burst(2, 10) });
    // At 10 each of two has had 5; 5 more of the second take 15 ms among three; the third then needs 5, the first 20.
    assert_eq!(ends(&mut cpu, ms(500)), [(1, 25), (2, 35), (0, 50)]);
    assert_eq!(cpu.used(ms(500)), ms(50));
}

#[test]
fn sharing_uses_as_many_cores_as_there_are_workers() {
    let mut cpu = sharing(2, None);
    (0..4).for_each(|job| cpu.add(burst(job, 10)));
    assert_eq!(ends(&mut cpu, ms(500)), [(0, 20), (1, 20), (2, 20), (3, 20)]);
}

#[test]
fn four_threads_spend_a_quota_in_a_quarter_of_the_time() {
    let mut cpu = sharing(4, Some(1_000));
    (0..4).for_each(|job| cpu.add(burst(job, 30)));
    // 25 ms each until 25; the last 5 ms from 100 on.
    assert_eq!(cpu.used(ms(60)), ms(100));
    assert_eq!(ends(&mut cpu, ms(500)), [(0, 105), (1, 105), (2, 105), (3, 105)]);
}

#[test]
fn a_noisy_neighbour_slows_everything_and_its_end_is_felt_at_once() {
    for (case, discipline) in [("one at a time", Discipline::Fcfs), ("sharing", Discipline::Ps)] {
        let mut cpu = Cpu::new(discipline, 1, None, Nanos::ZERO);
        cpu.add(burst(0, 100));
        cpu.set_share(ms(20), Some(Millicores::new(250)));
        assert_eq!(cpu.used(ms(100)), ms(40), "{case}");
        cpu.set_share(ms(100), Some(Millicores::ZERO));
        assert_eq!((cpu.next(), cpu.used(ms(200))), (None, ms(40)), "{case}");
        cpu.set_share(ms(200), None);
        assert_eq!(ends(&mut cpu, ms(1_000)), [(0, 260)], "{case}");
    }
}

#[test]
fn whatever_the_speeds_exactly_the_demand_is_used() {
    let mut cpu = sharing(3, Some(1_700));
    let (mut demand, mut done) = (Nanos::ZERO, 0);
    for job in 0..200_u32 {
        let at = Nanos::new(u64::from(job) * 7_777_777);
        cpu.advance(at, |_, _| done += 1);
        if job % 20 == 0 {
            cpu.set_share(at, (job % 40 == 0).then(|| Millicores::new(1_301)));
        }
        let burst = Burst { job, demand: Nanos::new(9_000_001 + u64::from(job) * 12_345), since: at };
        demand += burst.demand;
        cpu.add(burst);
    }
    cpu.advance(Nanos::from_secs(60), |_, _| done += 1);
    assert_eq!((done, cpu.used(Nanos::from_secs(60))), (200, demand));
}

#[test]
fn a_long_burst_under_a_small_quota_is_foreseen_at_once() {
    let mut cpu = sharing(2, Some(10));
    cpu.add(burst(0, 3_600_000));
    // 1 ms of every 100: the last one is spent at the start of the period before the hundredth hour.
    assert_eq!(cpu.next(), Some(Nanos::from_millis(360_000_000 - 99)));
}

/// The same rules, a millisecond at a time: no skipping, nothing foreseen.
fn tick_by_tick(arrivals: &[(u64, u64)], workers: usize, per_period: u64) -> Vec<(u32, u64)> {
    let (mut queue, mut running, mut ends) = (VecDeque::new(), Vec::<(u32, u64)>::new(), Vec::new());
    let mut left = per_period;
    for now in 0..60_000 {
        if now % 100 == 0 {
            left = per_period;
        }
        for (job, (_, demand)) in arrivals.iter().enumerate().filter(|(_, (at, _))| *at == now) {
            queue.push_back((job as u32, *demand));
        }
        while running.len() < workers
            && let Some(next) = queue.pop_front()
        {
            running.push(next);
        }
        // Quota and threads are such that none of them runs for part of a millisecond.
        if left >= running.len() as u64 {
            left -= running.len() as u64;
            for (_, demand) in &mut running {
                *demand -= 1;
            }
            ends.extend(running.extract_if(.., |(_, demand)| *demand == 0).map(|(job, _)| (job, now + 1)));
        }
    }
    ends
}

#[test]
fn foreseeing_agrees_with_counting_every_millisecond() {
    for seed in 0..200 {
        let seed = units::Seed::new(seed);
        let mut at = 0;
        let arrivals: Vec<(u64, u64)> = (0..120_u64)
            .map(|index| {
                at += seed.draw_nth(index, units::Purpose::Gap).below(90) as u64;
                (at, 1 + seed.draw_nth(index, units::Purpose::Cpu).below(60) as u64)
            })
            .collect();
        // One worker, so that a quota in whole milliseconds is spent in whole milliseconds.
        let mut cpu = Cpu::new(Discipline::Fcfs, 1, Some(Millicores::new(500)), Nanos::ZERO);
        let mut got = Vec::new();
        for (job, (at, demand)) in arrivals.iter().enumerate() {
            cpu.advance(ms(*at), |burst, end| got.push((burst.job, end.as_millis())));
            cpu.add(Burst { job: job as u32, demand: ms(*demand), since: ms(*at) });
        }
        cpu.advance(ms(60_000), |burst, end| got.push((burst.job, end.as_millis())));
        assert_eq!(got, tick_by_tick(&arrivals, 1, 50), "{seed:?}");
    }
}
