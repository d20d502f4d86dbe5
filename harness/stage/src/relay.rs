//! kube-proxy for containers: each Service's ports on its cluster address, in this process; and the name of each pod that
//! has one of its own.
//!
//! Owns connections between containers. Which endpoint one goes to, and what disturbs it, the fabric says, as it does
//! for pods of this process. A connection stays with its endpoint until one side closes it; a disturbance that begins
//! later meets the next bytes that the caller sends after it was answered.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use cluster::PodId;
use platform::{Protocol, ServiceId, ServiceKind};
use scenarios::{Plan, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use units::{Nanos, RequestId};

use crate::fabric::{Fabric, NoAnswer, Origin};
use crate::members::members;
use crate::place::listen;
use crate::{AddressLease, StageError};

/// Where connections are counted from, as the requests that they stand for: far from those of any load.
const CONNECTIONS: u64 = 1 << 60;
/// How much is read of a request before it is answered in place of the called.
const HEAD: usize = 64 << 10;

/// The balancers of all Services. Dropping them closes them; connections go on until one side ends them.
#[derive(Debug)]
pub(crate) struct Relays(Vec<AbortHandle>);

impl Drop for Relays {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// One port of a Service.
#[derive(Debug)]
struct Relay {
    fabric: Arc<Fabric>,
    lease: Arc<AddressLease>,
    service: ServiceId,
    /// The only pod that is meant, where it is called by its own name.
    pod: Option<String>,
    /// The port of its pods.
    target: u16,
    turn: AtomicU32,
    connections: Arc<AtomicU64>,
}

impl Relays {
    /// Opens every TCP port of every Service.
    pub(crate) fn open(plan: &Plan, lease: &Arc<AddressLease>, fabric: &Arc<Fabric>) -> Result<Self, StageError> {
        let platform = &plan.platform;
        let connections = Arc::new(AtomicU64::new(CONNECTIONS));
        let mut open = Self(Vec::new());
        for id in platform.service_ids() {
            let service = platform.service(id);
            if matches!(service.kind, ServiceKind::ExternalName(_)) {
                continue;
            }
            let most = usize::from(u8::MAX) - 6;
            let address = lease.service(id.0);
            let address = address.ok_or(StageError::TooManyServices { services: platform.services.len(), most })?;
            let behind = platform.selected_by(service).next().map(|workload| platform.workload(workload));
            for port in service.ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
                let mut containers = behind.iter().flat_map(|workload| &workload.containers);
                let Some(target) = containers.find_map(|container| container.port(&port.target)) else {
                    continue; // nobody declares it, so nobody could be reached there
                };
                let at = SocketAddr::from((address, port.port));
                open.relay(
                    at,
                    &service.name,
                    Relay {
                        fabric: Arc::clone(fabric),
                        lease: Arc::clone(lease),
                        service: id,
                        pod: None,
                        target,
                        turn: AtomicU32::new(0),
                        connections: Arc::clone(&connections),
                    },
                )?;
            }
        }
        for (index, member) in members(platform).into_iter().enumerate() {
            let Some(address) = lease.member(index) else { break };
            for (port, target) in member.ports(platform) {
                let at = SocketAddr::from((address, port));
                open.relay(
                    at,
                    &member.pod,
                    Relay {
                        fabric: Arc::clone(fabric),
                        lease: Arc::clone(lease),
                        service: member.service,
                        pod: Some(member.pod.clone()),
                        target,
                        turn: AtomicU32::new(0),
                        connections: Arc::clone(&connections),
                    },
                )?;
            }
        }
        Ok(open)
    }

    fn relay(&mut self, at: SocketAddr, name: &str, relay: Relay) -> Result<(), StageError> {
        let error = |source| StageError::Listen { pod: format!("the balancer of {name}"), addr: at, source };
        let IpAddr::V4(address) = at.ip() else { return Ok(()) };
        let (listener, elsewhere) = listen(address, at.port()).map_err(error)?;
        if let Some(why) = elsewhere {
            return Err(error(io::Error::other(why)));
        }
        self.0.push(tokio::spawn(Arc::new(relay).accept(listener)).abort_handle());
        Ok(())
    }
}

impl Relay {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            if let Ok((stream, peer)) = listener.accept().await {
                tokio::spawn(Arc::clone(&self).carry(stream, peer.ip()));
            } else {
                // Out of file descriptors, most likely: some will be free in a moment.
                let clock = self.fabric.clock();
                clock.until(clock.now() + Nanos::from_millis(10)).await;
            }
        }
    }

    /// Carries one connection from a caller to an endpoint.
    async fn carry(self: Arc<Self>, mut caller: TcpStream, from: IpAddr) {
        caller.set_nodelay(true).ok();
        let IpAddr::V4(from) = from else { return };
        let origin = self.fabric.at(from).map_or(Origin::Outside(from), Origin::Pod);
        if let Verdict::Lost = self.verdict(origin, true, self.next()) {
            return swallow(&mut caller).await;
        }
        let Ok((mut called, pod)) = self.dial(origin).await else {
            // Nobody is there: refused, as far as that can still be said.
            caller.set_zero_linger().ok();
            return;
        };
        let carried = if self.fabric.is_calm() {
            copy_bidirectional(&mut caller, &mut called).await.map(drop)
        } else {
            self.disturbed(origin, pod, &mut caller, &mut called).await
        };
        if carried.is_err() {
            // What broke on one side breaks on the other.
            caller.set_zero_linger().ok();
            called.set_zero_linger().ok();
        }
    }

    async fn dial(&self, origin: Origin) -> Result<(TcpStream, PodId), NoAnswer> {
        let source: Ipv4Addr = self.lease.proxy(self.turn.fetch_add(1, Ordering::Relaxed));
        match &self.pod {
            Some(pod) => self.fabric.dial_named(source, pod, self.target).await,
            None => self.fabric.dial_port(origin, source, self.service, self.target, self.next()).await,
        }
    }

    /// What stands for the caller's next request.
    fn next(&self) -> RequestId {
        RequestId::of_step(self.connections.fetch_add(1, Ordering::Relaxed), 0)
    }

    fn verdict(&self, origin: Origin, opens: bool, id: RequestId) -> Verdict {
        self.fabric.on_the_way_to(origin, self.service, opens, id)
    }

    /// Carries a connection in a run that disturbs some. A request begins with the first bytes after an answer.
    async fn disturbed(
        &self,
        origin: Origin,
        pod: PodId,
        caller: &mut TcpStream,
        called: &mut TcpStream,
    ) -> io::Result<()> {
        let answered = AtomicU64::new(1);
        let asked = {
            let ((from_caller, to_caller), (from_called, to_called)) = (caller.split(), called.split());
            let there = self.requests(origin, pod, from_caller, to_called, &answered);
            let back = answers(from_called, to_caller, &answered);
            tokio::pin!(there, back);
            tokio::select! {
                asked = &mut there => match asked? {
                    Asked::All => return back.await,
                    disturbed => disturbed,
                },
                answered = &mut back => return answered,
            }
        };
        match asked {
            Asked::All => Ok(()),
            Asked::Silence => {
                swallow(caller).await;
                Ok(())
            }
            Asked::Answer(status) => {
                caller.write_all(answer(status).as_bytes()).await?;
                caller.shutdown().await
            }
        }
    }

    async fn requests(
        &self,
        origin: Origin,
        pod: PodId,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        answered: &AtomicU64,
    ) -> io::Result<Asked> {
        let mut bytes = vec![0; HEAD];
        let mut opens = true;
        loop {
            let length = from.read(&mut bytes).await?;
            if length == 0 {
                to.shutdown().await?;
                return Ok(Asked::All);
            }
            if !self.fabric.reached(pod) {
                return Ok(Asked::Silence);
            }
            if answered.swap(0, Ordering::Relaxed) > 0 {
                match self.verdict(origin, std::mem::take(&mut opens), self.next()) {
                    Verdict::Pass { delay } if delay > Nanos::ZERO => {
                        let clock = self.fabric.clock();
                        clock.until(clock.now() + delay).await;
                    }
                    Verdict::Pass { .. } => {}
                    Verdict::Answer { status } => return Ok(Asked::Answer(status)),
                    Verdict::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
                    Verdict::Lost | Verdict::Unresolved => return Ok(Asked::Silence),
                }
            }
            to.write_all(&bytes[..length]).await?;
        }
    }
}

/// What became of the requests of a connection.
enum Asked {
    /// They went to the called, and there are no more.
    All,
    /// One of them is answered by somebody in between.
    Answer(u16),
    /// One of them is lost, and nothing comes any more.
    Silence,
}

async fn answers(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, answered: &AtomicU64) -> io::Result<()> {
    let mut bytes = vec![0; HEAD];
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        answered.fetch_add(1, Ordering::Relaxed);
        to.write_all(&bytes[..length]).await?;
    }
}

/// What somebody in between answers.
fn answer(status: u16) -> String {
    format!("HTTP/1.1 {status} Disturbed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// Takes what comes and says nothing, until the caller gives up.
async fn swallow(caller: &mut TcpStream) {
    let mut bytes = vec![0; 4 << 10];
    while caller.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_between_is_whole_and_the_last_of_its_connection() {
        let answer = answer(503);
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\n"));
        assert!(answer.contains("content-length: 0") && answer.contains("connection: close"));
    }
}
