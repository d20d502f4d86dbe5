//! `limit_conn`: how many requests of one key are in progress (`ngx_http_limit_conn_module.c`).

use std::sync::{Mutex, PoisonError};

use platform::{ConnUse, GatewayConfig};
use rustc_hash::FxHashMap;

use crate::Key;

/// Connections that an nginx of so many workers has for clients and for servers behind: `worker_connections`, of which
/// each worker uses one for each socket that it listens on (`ngx_event_process_init`). Without a bound in the
/// configuration: as many as can be counted.
pub fn room(config: &GatewayConfig, workers: u32) -> u32 {
    if config.worker_connections == 0 {
        return u32::MAX;
    }
    let mut sockets: Vec<_> = config.servers.iter().map(|server| (server.port, server.address)).collect();
    sockets.sort_unstable();
    sockets.dedup();
    // A port that is listened on at any address has one socket.
    let any = |port: u16| sockets.contains(&(port, None));
    let count = sockets.iter().filter(|(port, address)| address.is_none() || !any(*port)).count();
    config.worker_connections.saturating_sub(count as u32).saturating_mul(workers.max(1))
}

/// The zones of `limit_conn` of one gateway pod.
///
/// A request is counted from the moment it passed `limit_req` until it ends. The memory of a zone is not bounded here:
/// it holds as many keys as there are requests in progress.
#[derive(Debug)]
pub struct Connections {
    zones: Vec<Mutex<FxHashMap<Key, u32>>>,
}

impl Connections {
    /// Nothing in progress.
    pub fn new(config: &GatewayConfig) -> Self {
        Self { zones: config.conn_zones.iter().map(|_| Mutex::new(FxHashMap::default())).collect() }
    }

    /// Counts a request in every zone; `false` and counted in none if one of them is full. A limit without a key is
    /// skipped.
    pub fn hold(&self, limits: &[ConnUse], key: impl Fn(&ConnUse) -> Option<Key>) -> Result<(), usize> {
        for (index, limit) in limits.iter().enumerate() {
            let Some(of) = key(limit) else { continue };
            let full = self.with(*limit, |zone| {
                let count = zone.entry(of).or_insert(0);
                let full = *count >= limit.most;
                *count += u32::from(!full);
                full
            });
            if full {
                self.release(&limits[..index], key);
                return Err(index);
            }
        }
        Ok(())
    }

    /// A request that was counted has ended.
    pub fn release(&self, limits: &[ConnUse], key: impl Fn(&ConnUse) -> Option<Key>) {
        for limit in limits {
            let Some(of) = key(limit) else { continue };
            self.with(*limit, |zone| {
                if let Some(count) = zone.get_mut(&of) {
                    *count -= 1;
                    if *count == 0 {
                        zone.remove(&of);
                    }
                }
            });
        }
    }

    fn with<T>(&self, limit: ConnUse, act: impl FnOnce(&mut FxHashMap<Key, u32>) -> T) -> T {
        act(&mut self.zones[usize::from(limit.zone.0)].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::{ConnZone, ConnZoneId, LimitKey, Place};
    use units::Bytes;

    #[test]
    fn a_full_zone_leaves_the_others_uncounted() {
        let zone =
            || ConnZone { name: "c".into(), key: LimitKey::Peer, size: Bytes::from_mebi(1), place: Place::default() };
        let config = GatewayConfig { conn_zones: vec![zone(), zone()], ..GatewayConfig::default() };
        let connections = Connections::new(&config);
        let both = [ConnUse { zone: ConnZoneId(0), most: 3 }, ConnUse { zone: ConnZoneId(1), most: 2 }];
        let key = |_: &ConnUse| Some(Key(1));
        let held: Vec<_> = (0..4).map(|_| connections.hold(&both, key)).collect();
        assert_eq!(held, [Ok(()), Ok(()), Err(1), Err(1)]);
        assert_eq!(connections.hold(&both[..1], key), Ok(()), "the refused ones are not counted in the first");
        connections.release(&both, key);
        assert_eq!(connections.hold(&both, key), Ok(()));
    }
}
