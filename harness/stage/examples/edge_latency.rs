//! What the embedded gateway adds to a request, next to nginx before the same pod: latency on one connection in
//! alternating blocks, and the request rate of each under wrk.
//!
//! `cargo run --release -p stage --example edge_latency [NGINX]`, with `nginx` and `wrk` on the path.

#![expect(clippy::print_stdout, reason = "an example prints its figures")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use record::Deaf;
use stage::Standing;
use support::{HOST, PATH, at_once, plan, quantile, scenario};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const BLOCKS: usize = 20;
const ASKS: usize = 1_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let clock = clock::Clock::start();
    let free = |replicas| anyhow::Ok(Arc::new(plan(&scenario(1, 1), "{constant: 0ms}", 1, replicas)?));
    let mut deaf = Deaf;
    let mut whole = Standing::begin(free(None)?, &at_once(), &mut deaf)?;
    let door = first_answer(&mut whole).await?;
    println!("first 200 through {door} {} after the start, {} pods listening", clock.now(), whole.pods().len());
    drop(whole);

    let mut standing = Standing::begin(free(Some(1))?, &at_once(), &mut deaf)?;
    let gateway = first_answer(&mut standing).await?;
    let pods = standing.pods();
    let pod = pods.iter().find(|pod| pod.workload == "auth-service").context("no pod")?.address;
    let folder = std::env::temp_dir().join(format!("edge-latency-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (nginx, mut process) = start_nginx(&folder, pod).await?;
    let from = standing.client(1);
    let measured = measure(&clock, from, [pod, gateway, nginx]).await;
    let rates = [rate(&[gateway, nginx]).await?, rate(&[nginx, gateway]).await?];
    process.kill()?; // nginx runs as a single process: there is nothing to end gracefully
    process.wait()?;
    std::fs::remove_dir_all(&folder)?;
    let [direct, embedded, real] = measured?;
    println!("p50 / p95 on one connection, µs: straight {direct:?}, embedded {embedded:?}, nginx {real:?}");
    println!("added at the median: embedded {:.0} µs, nginx {:.0} µs", embedded.0 - direct.0, real.0 - direct.0);
    let (ours, theirs) = (rates[0][0] + rates[1][1], rates[0][1] + rates[1][0]);
    println!("wrk -t1 -c20: embedded {:.0}/s, nginx {:.0}/s, ratio {:.2}", ours / 2.0, theirs / 2.0, ours / theirs);
    Ok(())
}

/// Waits until the platform is ready and answers; says which gateway pod did.
async fn first_answer(standing: &mut Standing<'_>) -> anyhow::Result<SocketAddr> {
    standing.ready().await?;
    let gateway = standing.doors().first().context("no gateway pod")?.addr;
    let mut first = Client::connect(standing.client(0), gateway).await?;
    anyhow::ensure!(first.ask().await? == 200, "the first answer is no 200");
    Ok(gateway)
}

/// A kept-alive connection that costs next to nothing: it writes the same bytes and looks for the end of the answer.
struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    /// From `from` to `to`.
    async fn connect(from: Ipv4Addr, to: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        let request = format!("GET {PATH} HTTP/1.1\r\nhost: {HOST}\r\n\r\n").into_bytes();
        Ok(Self { stream, request, buffer: vec![0; 64 * 1024] })
    }

    /// One request and its answer to the last byte; answers the status.
    async fn ask(&mut self) -> anyhow::Result<u16> {
        self.stream.write_all(&self.request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            anyhow::ensure!(read > 0, "the connection was closed in the middle of an answer");
            filled += read;
            let seen = &self.buffer[..filled];
            let Some(head) = seen.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&seen[..head])?.to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.context("an answer without a length")?.trim().parse()?;
            if filled >= head + 4 + length {
                return Ok(text.get(9..12).context("no status")?.parse()?);
            }
        }
    }
}

/// Median and p95 of each, in alternating blocks.
async fn measure(clock: &clock::Clock, from: Ipv4Addr, targets: [SocketAddr; 3]) -> anyhow::Result<[(f64, f64); 3]> {
    let mut clients = Vec::new();
    for target in targets {
        clients.push((Client::connect(from, target).await?, Vec::new()));
    }
    for _ in 0..BLOCKS {
        for (client, seen) in &mut clients {
            for _ in 0..ASKS {
                let began = clock.now();
                anyhow::ensure!(client.ask().await? == 200, "not a 200");
                seen.push((clock.now() - began).get() as f64 / 1e3);
            }
        }
    }
    let mut both = clients.into_iter().map(|(_, mut seen)| (quantile(&mut seen, 0.5), quantile(&mut seen, 0.95)));
    Ok(std::array::from_fn(|_| both.next().unwrap_or_default()))
}

#[expect(clippy::disallowed_methods, reason = "a millisecond more does not matter to a poll")]
async fn start_nginx(folder: &Path, pod: SocketAddr) -> anyhow::Result<(SocketAddr, Child)> {
    let free = TcpListener::bind("127.0.0.1:0").await?.local_addr()?; // closed again here; nginx takes it
    let conf = folder.join("nginx.conf");
    let place = folder.display();
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
        .join(" ");
    let text = format!(
        "worker_processes 1; daemon off; master_process off; pid {place}/pid; error_log stderr warn;
events {{ worker_connections 1024; }}
http {{ access_log off; {temp} keepalive_requests 100000000; upstream pod {{ server {pod}; }}
server {{ listen {free}; server_name {HOST}; location /auth/ {{ proxy_pass http://pod; proxy_set_header Host $host; }} }} }}"
    );
    std::fs::write(&conf, text)?;
    let program = std::env::args().nth(1).unwrap_or_else(|| "nginx".into());
    let process = Command::new(program).arg("-p").arg(folder).arg("-c").arg(&conf).spawn().context("no nginx")?;
    for _ in 0..100 {
        if TcpStream::connect(free).await.is_ok() {
            return Ok((free, process));
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    anyhow::bail!("nginx does not listen on {free}")
}

/// Requests a second of each, one after the other, as wrk counts them.
async fn rate(targets: &[SocketAddr]) -> anyhow::Result<Vec<f64>> {
    let mut rates = Vec::new();
    for target in targets {
        let mut wrk = tokio::process::Command::new("wrk");
        wrk.args(["-t1", "-c20", "-d5", "-H", &format!("Host: {HOST}"), &format!("http://{target}{PATH}")]);
        let out = String::from_utf8(wrk.stderr(Stdio::inherit()).output().await.context("no wrk")?.stdout)?;
        anyhow::ensure!(!out.contains("Non-2xx"), "errors:\n{out}");
        let line = out.lines().find_map(|line| line.strip_prefix("Requests/sec:")).context("no rate from wrk")?;
        rates.push(line.trim().parse()?);
    }
    Ok(rates)
}
