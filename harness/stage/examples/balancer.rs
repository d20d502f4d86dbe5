//! What the balancer of a Service adds to a request between containers: the same server asked straight and through its
//! Service, in alternating blocks, on kept connections and on a fresh one for each request.
//!
//! `cargo run --release -p stage --example balancer`, as root, for Services listen on port 80. Pods are tasks of this
//! process that answer at once, so that nothing but the way there differs.

#![expect(clippy::print_stdout, reason = "an example prints its figures")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use cluster::PodId;
use record::Deaf;
use stage::{
    AddressLease, BackedUp, ContainerNews, ContainerRuntime, ContainerUsage, Followed, Hear, Later, PodStart, Promoted,
    Standing, rules,
};
use support::{at_once, plan, quantile, scenario};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use units::{Bytes, Nanos};

const BLOCKS: usize = 20;
const ASKS: usize = 500;
/// A block of loopback that runs do not take.
const NETWORK: [u8; 2] = [127, 250];
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: auth-service\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut plan = plan(&scenario(1, 1), "{constant: 0ms}", 1, Some(1))?;
    let mut platform = (*plan.platform).clone();
    for container in platform.workloads.iter_mut().flat_map(|workload| &mut workload.containers) {
        // The first probe may come before a container has its address.
        container.readiness.iter_mut().for_each(|probe| probe.period = Nanos::from_secs(1));
    }
    plan.platform = Arc::new(platform);
    let plan = Arc::new(plan);
    let service = plan.platform.service_named("auth-service").context("no such Service")?;
    let port = plan.platform.service(service).ports.first().context("it has no port")?.port;
    let through = AddressLease::of_network(NETWORK).service(service.0).context("it has no address")?;
    let runtime = Arc::new(Here::default());
    let mut deaf = Deaf;
    let mut standing = Standing::begin_in(plan, rules(&at_once()), Some(runtime), &mut deaf)?;
    standing.ready().await?;
    let pods = standing.pods();
    let straight = pods.iter().find(|pod| pod.workload == "auth-service").context("no pod")?.address;
    let targets = [straight, SocketAddr::from((through, port))];
    let clock = clock::Clock::start();
    for (what, kept) in [("kept connections", true), ("a fresh connection each", false)] {
        let [straight, through] = measure(&clock, targets, kept).await?;
        println!("p50 / p95 on {what}, µs: straight {straight:.1?}, through the balancer {through:.1?}");
        println!("added at the median: {:.1} µs", through.0 - straight.0);
    }
    Ok(())
}

/// Median and p95 of each, in alternating blocks.
async fn measure(clock: &clock::Clock, targets: [SocketAddr; 2], kept: bool) -> anyhow::Result<[(f64, f64); 2]> {
    let mut seen = [Vec::new(), Vec::new()];
    let mut connections = [connect(targets[0]).await?, connect(targets[1]).await?];
    for _ in 0..BLOCKS {
        for index in 0..targets.len() {
            for _ in 0..ASKS {
                let began = clock.now();
                if !kept {
                    connections[index] = connect(targets[index]).await?;
                }
                ask(&mut connections[index]).await?;
                seen[index].push((clock.now() - began).get() as f64 / 1e3);
            }
        }
    }
    Ok(seen.map(|mut seen| (quantile(&mut seen, 0.5), quantile(&mut seen, 0.95))))
}

async fn connect(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn ask(stream: &mut TcpStream) -> anyhow::Result<()> {
    stream.write_all(REQUEST).await?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).await?;
    Ok(())
}

/// Containers that are tasks of this process.
#[derive(Default)]
struct Here(Mutex<Option<Hear>>);

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Here")
    }
}

async fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).ok();
    let mut bytes = [0; 4_096];
    while stream.read(&mut bytes).await.is_ok_and(|length| length > 0) {
        if stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}

/// What nobody asks for here.
fn nothing<T: Send + 'static>() -> Later<Result<T, String>> {
    Box::pin(async { Err("there is no such server".to_owned()) })
}

impl ContainerRuntime for Here {
    fn network(&self) -> stage::Network {
        stage::Network::Here(NETWORK)
    }
    fn attach(&self, hear: Hear) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(hear);
    }
    fn start(&self, pod: PodStart) {
        let Some(hear) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
        let address = Ipv4Addr::new(NETWORK[0], NETWORK[1], 0, 1 + pod.id.0 as u8);
        tokio::spawn(async move {
            let listener = match TcpListener::bind((address, pod.port)).await {
                Ok(listener) => listener,
                Err(error) => return hear(pod.id, pod.started, ContainerNews::Failed(error.to_string())),
            };
            hear(pod.id, pod.started, ContainerNews::Runs(address));
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
    }
    fn terminate(&self, _: PodId) -> Later<()> {
        Box::pin(async {})
    }
    fn kill(&self, _: PodId) {}
    fn is_ready(&self, _: PodId) -> Later<bool> {
        Box::pin(async { true })
    }
    fn usage(&self, _: PodId) -> Option<ContainerUsage> {
        None
    }
    fn requests(&self, _: PodId, _: &mut (dyn FnMut(&str, u16, &[u64], Nanos) + '_)) {}
    fn promote(&self, _: PodId) -> Later<Result<Promoted, String>> {
        nothing()
    }
    fn follow_failover(&self) -> Option<Later<Result<Followed, String>>> {
        None
    }
    fn rejoined(&self, _: PodId) -> Later<Result<String, String>> {
        nothing()
    }
    fn fill_disk(&self, _: PodId, _: bool) -> Later<Result<Bytes, String>> {
        nothing()
    }
    fn back_up(&self, _: PodId) -> Later<Result<BackedUp, String>> {
        nothing()
    }
    fn take_connections(&self, _: PodId, _: u32) -> Later<Result<u32, String>> {
        nothing()
    }
    fn give_connections_back(&self) {}
}
