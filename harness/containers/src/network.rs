//! The network of a run: one bridge, and the addresses of this machine on it.
//!
//! Services, pods by name, clients and proxies are of this machine. They need no address each: two routes say that their ranges are
//! local, so that anybody here can listen on and send from them, and the kernel answers for them on the bridge. The
//! routes go with the bridge, which goes with the network. nginx sees each client's own address, and its configuration
//! stays as it is.
//!
//! To containers, all of these are behind their gateway, the bridge itself: were they neighbours, every client would be
//! an entry in the kernel's neighbour table for each gateway pod, and that table has 1,024 for all containers of a
//! machine (`net.ipv4.neigh.default.gc_thresh3`). Nothing is translated on the way out, so no answer from outside finds
//! back: what runs on the network reaches this machine alone.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};

use crate::docker::{Daemon, DockerError, program};
use crate::ledger::{LABEL, Ledger};

/// Second octets of `10.x.0.0/16` that runs choose from.
const CANDIDATES: std::ops::RangeInclusive<u8> = 64..=191;
/// `CAP_NET_ADMIN` by its number.
const NET_ADMIN: u32 = 12;

/// A run's network.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// Its name.
    pub(crate) name: String,
    /// Its first two octets.
    pub(crate) block: [u8; 2],
}

/// Whether this process may give addresses; before anything is made.
pub fn permitted() -> Result<(), DockerError> {
    if program("ip").is_none() {
        return Err(DockerError::NoIp);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if has_capability(&status, NET_ADMIN) { Ok(()) } else { Err(DockerError::NoNetAdmin) }
}

/// Whether `/proc/self/status` tells of an effective capability.
fn has_capability(status: &str, number: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|set| set >> number & 1 == 1)
}

impl Network {
    /// Makes a network on a free block.
    pub(crate) async fn make(daemon: &Daemon, ledger: &Ledger) -> Result<Self, DockerError> {
        permitted()?;
        let name = format!("rehearse-{}", ledger.run);
        let bridge = format!("rh-{}", ledger.run);
        let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
        // Begin at a place of this run's own, so that runs that start together seldom meet.
        let span = u32::from(CANDIDATES.end() - CANDIDATES.start()) + 1;
        let first = u32::from_str_radix(&ledger.run[..6], 16).unwrap_or(0);
        let candidates = (0..span).map(|offset| CANDIDATES.start() + ((first + offset) % span) as u8);
        for second in candidates.filter(|second| !is_routed(&routes, [10, *second])) {
            let block = [10, second];
            let address = |rest: &str| format!("10.{second}.{rest}");
            let config = IpamConfig {
                subnet: Some(address("0.0/18")),
                gateway: Some(address("63.254")),
                ..IpamConfig::default()
            };
            let request = NetworkCreateRequest {
                name: name.clone(),
                driver: Some("bridge".to_owned()),
                ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
                labels: Some(HashMap::from([(LABEL.to_owned(), ledger.run.clone())])),
                options: Some(HashMap::from([
                    ("com.docker.network.bridge.name".to_owned(), bridge.clone()),
                    ("com.docker.network.bridge.enable_ip_masquerade".to_owned(), "false".to_owned()),
                ])),
                ..NetworkCreateRequest::default()
            };
            match daemon.docker.create_network(request).await {
                Ok(_) => {}
                // Docker's word for a network of its own that overlaps; another run took it just now.
                Err(bollard::errors::Error::DockerResponseServerError { message, .. })
                    if message.contains("overlaps") =>
                {
                    continue;
                }
                Err(error) => return Err(DockerError::doing("make the network of the run")(error)),
            }
            for range in ["124.0/22", "128.0/17"] {
                local(&address(range), &bridge)?;
            }
            return Ok(Self { name, block });
        }
        Err(DockerError::NoNetwork)
    }
}

/// Tells the kernel that a range is this machine's own, on a bridge.
fn local(range: &str, bridge: &str) -> Result<(), DockerError> {
    let ip = program("ip").ok_or(DockerError::NoIp)?;
    let words = ["route", "add", "local", range, "dev", bridge, "table", "local"];
    let failed = |why: String| DockerError::Command { command: format!("ip {}", words.join(" ")), why };
    let told = Command::new(ip).args(words).output().map_err(|error| failed(error.to_string()))?;
    if told.status.success() { Ok(()) } else { Err(failed(String::from_utf8_lossy(&told.stderr).trim().to_owned())) }
}

/// Whether `/proc/net/route` has a route, other than the default one, that overlaps a /16.
fn is_routed(routes: &str, block: [u8; 2]) -> bool {
    let ours = u32::from_be_bytes([block[0], block[1], 0, 0]);
    routes.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let number = |field: Option<&str>| u32::from_str_radix(field?, 16).ok().map(u32::swap_bytes);
        let (Some(destination), Some(mask)) = (number(fields.next()), number(fields.nth(5))) else { return false };
        let common = mask & 0xffff_0000;
        mask != 0 && destination & common == ours & common
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_routed_anywhere_is_left_alone() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                      eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                      eth0\t0000400A\t00000000\t0001\t0\t0\t0\t0000C0FF\t0\t0\t0\n\
                      vpn0\t0005C80A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        for (block, routed) in
            [([10, 64], true), ([10, 127], true), ([10, 128], false), ([10, 200], true), ([10, 201], false)]
        {
            assert_eq!(is_routed(routes, block), routed, "10.{}", block[1]);
        }
    }

    #[test]
    fn a_capability_is_read_from_its_bit() {
        assert!(has_capability("Name:\tx\nCapEff:\t000001ffffffffff\n", NET_ADMIN));
        assert!(!has_capability("CapEff:\t0000000000000400\n", NET_ADMIN));
        assert!(!has_capability("", NET_ADMIN));
    }
}
