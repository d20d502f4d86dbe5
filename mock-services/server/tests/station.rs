//! A station on the real clock, whose clients may go away.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use model::{Discipline, Station, StationConfig, Work};
use server::{Alone, LiveStation};
use units::{Bytes, Nanos};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_client_goes_away_leaves_the_pod_all_the_same() {
    let clock = Clock::start();
    let config = StationConfig {
        discipline: Discipline::Fcfs,
        workers: 1,
        limit: None,
        backlog: 10,
        memory: Bytes::from_mebi(100),
        memory_per_request: Bytes::from_mebi(1),
        memory_limit: None,
    };
    let ms = Nanos::from_millis;
    let work = Work { cpu_before: ms(20), calls: true, wait: ms(20), cpu_after: ms(10), ..Work::default() };
    for (case, patience) in [("while it computes", 5), ("while its calls are under way", 60)] {
        let station = LiveStation::new(Station::new(config, clock.now()), clock.clone(), Arc::new(Alone));
        let serving = station.serve(work, std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(patience), serving).await.is_err(), "{case}");
        assert_eq!(station.in_flight(), 1, "{case}: the work goes on");
        let asked = clock.now();
        while station.in_flight() > 0 {
            assert!(clock.now() - asked < Nanos::from_secs(5), "{case}: it never leaves");
            clock.until(clock.now() + ms(1)).await;
        }
        assert_eq!(station.usage(), (ms(30), Bytes::from_mebi(100)), "{case}: all its work was done");
    }
}
