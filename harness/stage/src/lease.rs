//! A block of loopback addresses for one run, held by a file lock: parallel runs never share one, and a killed run
//! leaves none behind.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use crate::StageError;

/// `127.B.0.0/16`: pods in its lower half, clients in its upper half.
///
/// Where only 127.0.0.1 can be bound (macOS, or [`ONE_ADDRESS`] is set) these addresses are names: everybody is at
/// 127.0.0.1, pods are told apart by their ports, and clients by what the driver says of them.
#[derive(Debug)]
pub struct AddressLease {
    block: u8,
    one: bool,
    _lock: File, // the kernel drops the lock with the process, however it ends
}

/// The environment variable that has a run take one address, as on a machine that has no more.
pub const ONE_ADDRESS: &str = "REHEARSE_ONE_ADDRESS";

const BLOCKS: std::ops::RangeInclusive<u8> = 80..=239;
/// Hosts `.1` to `.250` of each of 128 third octets.
const PER_OCTET: u32 = 250;
const HALF: u32 = 128 * PER_OCTET;

impl AddressLease {
    /// Takes a free block.
    pub fn take() -> Result<Self, StageError> {
        // Of this user alone: another one's files could not be locked. If two users get the same block, their pods
        // meet on a port, and the later one takes another port and says so.
        let user = rustix::process::getuid().as_raw();
        let folder = std::env::temp_dir().join(format!("rehearse-leases-{user}"));
        let error = |path: PathBuf| move |source| StageError::Leases { path, source };
        fs::create_dir_all(&folder).map_err(error(folder.clone()))?;
        // Begin at a place of this process's own, so that runs that start together seldom meet.
        let span = u32::from(BLOCKS.end() - BLOCKS.start()) + 1;
        let first = std::process::id() % span;
        for offset in 0..span {
            let block = BLOCKS.start() + ((first + offset) % span) as u8;
            let path = folder.join(format!("127.{block}.lock"));
            let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let file = open.map_err(error(path.clone()))?;
            match file.try_lock() {
                Ok(()) => return Ok(Self { block, one: one_address(block), _lock: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(StageError::Leases { path, source }),
            }
        }
        Err(StageError::NoAddresses)
    }

    /// Whether there is one address for everybody.
    pub const fn is_one(&self) -> bool {
        self.one
    }

    /// Where somebody with this address can really listen, or send from.
    pub const fn bind(&self, address: Ipv4Addr) -> Ipv4Addr {
        if self.one { Ipv4Addr::LOCALHOST } else { address }
    }

    /// How many clients can have an address of their own.
    pub const fn clients(&self) -> u32 {
        HALF
    }

    /// The address of the `index`-th pod.
    pub fn pod(&self, index: u32) -> Ipv4Addr {
        self.address(0, index % HALF)
    }

    /// The address of the `index`-th client.
    pub fn client(&self, index: u32) -> Ipv4Addr {
        self.address(128, index % HALF)
    }

    /// The address of what is in front of the gateway: the last one of the pods' half.
    pub fn front(&self) -> Ipv4Addr {
        self.pod(HALF - 1)
    }

    fn address(&self, first_octet: u32, index: u32) -> Ipv4Addr {
        Ipv4Addr::new(127, self.block, (first_octet + index / PER_OCTET) as u8, (1 + index % PER_OCTET) as u8)
    }
}

fn one_address(block: u8) -> bool {
    let asked = std::env::var_os(ONE_ADDRESS).is_some_and(|value| !value.is_empty() && value != "0");
    asked || TcpListener::bind((Ipv4Addr::new(127, block, 127, 250), 0)).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leases_share_no_address_and_a_dropped_one_is_free_again() {
        let (one, two) = (AddressLease::take().unwrap(), AddressLease::take().unwrap());
        assert_ne!(one.block, two.block);
        let block = one.block;
        drop(one);
        // The place where this process begins to look is the block it had first.
        assert_eq!(AddressLease::take().unwrap().block, block);
    }

    #[test]
    fn pods_and_clients_have_ranges_of_their_own() {
        let lease = AddressLease::take().unwrap();
        assert_eq!(lease.pod(0).octets()[2..], [0, 1]);
        assert_eq!(lease.pod(250).octets()[2..], [1, 1]);
        assert_eq!(lease.client(0).octets()[2..], [128, 1]);
        assert_eq!(lease.client(HALF - 1).octets()[2..], [255, 250]);
    }
}
