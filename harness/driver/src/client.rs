//! Virtual clients: their source addresses, and the connections each keeps alive.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use tokio::net::TcpSocket;
use units::{Purpose, RequestId, Seed};

use crate::protocol::Door;
use crate::wire::Wire;

/// All clients of a driver.
#[derive(Debug)]
pub(crate) struct Clients {
    seed: Seed,
    all: Vec<Client>,
    doors: Mutex<Arc<[Door]>>,
    /// What clients show who cannot send from their address.
    proof: Option<String>,
    opened: AtomicU64,
}

#[derive(Debug)]
struct Client {
    address: IpAddr,
    /// The connection used last is taken first, as browsers do; so the others grow old and are closed by the server.
    /// One that was closed is noticed when its turn comes, and keeps its file descriptor until then.
    idle: Mutex<Vec<Wire>>,
}

/// Why a client has no connection.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// Nobody accepted it, or no gateway pod is ready: kube-proxy rejects what has no endpoint.
    Refused,
    /// The kernel gave up connecting.
    TimedOut,
    /// This process could not even try: no file descriptor, no port, no such address.
    Ours(io::Error),
}

impl Clients {
    pub(crate) fn new(seed: Seed, addresses: Vec<IpAddr>, proof: Option<String>) -> Self {
        let client = |address| Client { address, idle: Mutex::default() };
        Self {
            seed,
            all: addresses.into_iter().map(client).collect(),
            doors: Mutex::new(Arc::default()),
            proof,
            opened: AtomicU64::new(0),
        }
    }

    /// What a client says of itself, where it cannot send from its address.
    pub(crate) fn word(&self, client: u32) -> Option<String> {
        let proof = self.proof.as_ref()?;
        Some(format!("{} {proof}", self.all[client as usize].address))
    }

    /// These gateway pods take connections from now on.
    pub(crate) fn set_doors(&self, doors: Vec<Door>) {
        *self.doors.lock().unwrap_or_else(PoisonError::into_inner) = doors.into();
    }

    /// How many connections were opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// An idle connection of `client` that still stands.
    pub(crate) async fn idle(&self, client: u32) -> Option<Wire> {
        let idle = &self.all[client as usize].idle;
        loop {
            // The lock ends with this statement: it must not be held while the socket is asked.
            let mut wire = idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if wire.usable().await {
                return Some(wire);
            }
        }
    }

    /// The gateway pods that take connections now.
    pub(crate) fn doors(&self) -> Arc<[Door]> {
        Arc::clone(&self.doors.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one of them that `id` draws: the service proxy's rule (`cluster::service_proxy`), which is
    /// [`units::Draw::pick`] over the ready pods.
    pub(crate) fn pick(&self, doors: &[Door], id: RequestId) -> Option<Door> {
        self.seed.draw(id, Purpose::Endpoint).pick(doors).copied()
    }

    /// A new connection of `client`, to the gateway pod that `id` draws.
    pub(crate) async fn connect(&self, client: u32, id: RequestId) -> Result<Wire, NoConnection> {
        let door = self.pick(&self.doors(), id).ok_or(NoConnection::Refused)?;
        let socket = match door.addr {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let bound = socket.and_then(|socket| {
            socket.set_nodelay(true)?;
            // Without IP_BIND_ADDRESS_NO_PORT, which needs unsafe code here: the port is chosen now and not at
            // connect, which limits one address to its 28,000 ephemeral ports over all gateway pods.
            if self.proof.is_none() {
                socket.bind(SocketAddr::new(self.all[client as usize].address, 0))?;
            }
            Ok(socket)
        });
        let stream = bound.map_err(NoConnection::Ours)?.connect(door.addr).await.map_err(NoConnection::from)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        // The handshake of HTTP/1.1 sends nothing and cannot fail but by a closed socket.
        Wire::open(stream, door.pod).await.map_err(|_| NoConnection::Refused)
    }

    /// The connection is idle again.
    pub(crate) async fn keep(&self, client: u32, mut wire: Wire) {
        if wire.usable().await {
            self.all[client as usize].idle.lock().unwrap_or_else(PoisonError::into_inner).push(wire);
        }
    }
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
        match error.kind() {
            ErrorKind::TimedOut => Self::TimedOut,
            _ if Errno::from_io_error(&error).is_some_and(|code| exhausted.contains(&code)) => Self::Ours(error),
            _ => Self::Refused,
        }
    }
}
