//! The addresses of one run: a block of loopback, held by a file lock, so that parallel runs never share one and a
//! killed run leaves none behind; or the network of its containers.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use server::NODE;

use crate::StageError;

/// `127.B.0.0/16`: pods in its lower half, clients in its upper half.
///
/// On a [network](Self::of_network) of containers it is that network, laid out the same way, with pods by name, proxies and
/// Services in the last three octets of the lower half.
///
/// Where only 127.0.0.1 can be bound (macOS, or [`ONE_ADDRESS`] is set) these addresses are names: everybody is at
/// 127.0.0.1, pods are told apart by their ports, and clients by what the driver says of them.
#[derive(Debug)]
pub struct AddressLease {
    /// The first two octets.
    block: [u8; 2],
    one: bool,
    _lock: Option<File>, // the kernel drops the lock with the process, however it ends
}

/// The third octet of the addresses of pods that have a name of their own.
const MEMBERS: u8 = 125;
/// The third octet of the addresses that proxies dial from.
const PROXIES: u8 = 126;
/// The third octet of the Services' addresses.
const SERVICES: u8 = 127;

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
                Ok(()) => return Ok(Self { block: [127, block], one: one_address(block), _lock: Some(file) }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(StageError::Leases { path, source }),
            }
        }
        Err(StageError::NoAddresses)
    }

    /// The addresses of a network of containers, `A.B.0.0/16`, whose pods are in its first quarter. Its owner has seen to
    /// it that nobody else has it, and that this machine can listen on, and send from, all but those of the pods.
    pub const fn of_network(block: [u8; 2]) -> Self {
        Self { block, one: false, _lock: None }
    }

    /// No addresses: everybody sends from whatever address this machine has.
    pub const fn of_nobody() -> Self {
        Self { block: [127, 0], one: true, _lock: None }
    }

    /// Where kubelets ask from: the machine's own address.
    pub const fn node(&self) -> Ipv4Addr {
        let [first, second] = self.block;
        if first == 127 { NODE } else { Ipv4Addr::new(first, second, 63, 254) }
    }

    /// The cluster address of the `index`-th Service of a network of containers; there are as many as an octet has.
    pub fn service(&self, index: u16) -> Option<Ipv4Addr> {
        // The last one is the ingress controller's.
        let last = u8::try_from(index + 1).ok().filter(|last| u32::from(*last) < PER_OCTET)?;
        Some(Ipv4Addr::new(self.block[0], self.block[1], SERVICES, last))
    }

    /// The address behind which the `index`-th pod with a name of its own is found; there are as many as an octet has.
    pub fn member(&self, index: usize) -> Option<Ipv4Addr> {
        let last = u8::try_from(index + 1).ok().filter(|last| u32::from(*last) <= PER_OCTET)?;
        Some(Ipv4Addr::new(self.block[0], self.block[1], MEMBERS, last))
    }

    /// An address that a proxy dials from. They are taken in turn: a connection that was closed keeps its port for a
    /// minute, and one address has 28,000 of them.
    pub const fn proxy(&self, turn: u32) -> Ipv4Addr {
        Ipv4Addr::new(self.block[0], self.block[1], PROXIES, (1 + turn % PER_OCTET) as u8)
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
        let [first, second] = self.block;
        Ipv4Addr::new(first, second, (first_octet + index / PER_OCTET) as u8, (1 + index % PER_OCTET) as u8)
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

    #[test]
    fn on_a_network_nobody_has_the_address_of_somebody_else() {
        let lease = AddressLease::of_network([10, 199]);
        let services: Vec<_> = (0..300).map_while(|index| lease.service(index)).collect();
        assert_eq!(services.len(), 249);
        assert_eq!((services[0], lease.front()), ([10, 199, 127, 1].into(), [10, 199, 127, 250].into()));
        assert_eq!((lease.proxy(0), lease.proxy(250)), ([10, 199, 126, 1].into(), [10, 199, 126, 1].into()));
        assert_eq!(lease.client(HALF - 1), Ipv4Addr::from([10, 199, 255, 250]));
        assert_eq!(lease.node(), Ipv4Addr::from([10, 199, 63, 254]));
        assert!(!services.contains(&lease.front()));
        assert_eq!((lease.member(0), lease.member(250)), (Some([10, 199, 125, 1].into()), None));
    }
}
