//! What this machine carries: a plan is driven as fast as a fixed number of workers can, for a moment.

use std::sync::Arc;

use cluster::ClusterConfig;
use driver::{Drivers, Report, Update};
use record::Deaf;
use scenarios::Plan;
use units::Nanos;

use crate::standing::Standing;
use crate::{EmbeddedSettings, StageError};

/// Requests under way at once: enough to keep a few cores busy, too few to overwhelm the gateway.
const WORKERS: usize = 32;
/// Connections are made and caches warm up before anything counts.
const WARM_UP: Nanos = Nanos::from_millis(300);
const COUNTED: Nanos = Nanos::from_millis(600);
/// Of a machine that answers nothing.
const PATIENCE: Nanos = Nanos::from_secs(10);

/// Stands `plan` up, drives it with a few workers that never rest, and answers how many requests a second were served:
/// what driver, gateway and pods carry together on this machine as it is now. The plan should offer more than that, and
/// its pods should cost nothing.
pub async fn carries(plan: Arc<Plan>, settings: &EmbeddedSettings) -> Result<f64, StageError> {
    let mut deaf = Deaf;
    let at_once = ClusterConfig {
        scheduling_delay: Nanos::ZERO,
        container_start: Nanos::ZERO,
        endpoint_propagation: Nanos::ZERO,
        ..settings.cluster.clone()
    };
    let mut standing = Standing::begin(Arc::clone(&plan), &at_once, &mut deaf)?;
    let clock = standing.clock.clone();
    let orders = standing.orders(settings.sender, Some(WORKERS));
    let mut driver = standing.during(Drivers::spawn(&settings.driver, &orders, settings.drivers)).await??;
    standing.ready().await?;
    driver.update(&Update::Doors(standing.doors())).await?;
    let load_start = clock.now() + Nanos::from_millis(10);
    driver.update(&Update::Start { load_start }).await?;
    let (from, to) = (load_start + WARM_UP, load_start + WARM_UP + COUNTED);
    let count = async {
        let mut served = 0_u64;
        let patience = clock.until(to + PATIENCE);
        tokio::pin!(patience);
        loop {
            let report = tokio::select! {
                report = driver.next() => report?,
                _ = &mut patience => return Ok(served),
            };
            match report {
                Some(Report::Observation(o)) if o.done >= to => return Ok(served),
                Some(Report::Observation(o)) => served += u64::from(o.ok() && o.done >= from),
                Some(Report::Pulse(_)) => {}
                Some(Report::Summary(_)) | None => return Ok(served),
            }
        }
    };
    let served: Result<u64, StageError> = standing.during(count).await?;
    Ok(served? as f64 / COUNTED.as_secs_f64()) // dropping the driver ends it
}
