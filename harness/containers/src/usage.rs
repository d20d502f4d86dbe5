//! What containers use: mock services say so themselves, for others the kernel counts.
//!
//! Asked every [`PERIOD`], so that an answer is there when the metrics server wants one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::StatsOptionsBuilder;
use cluster::Traffic;
use futures_util::StreamExt;
use futures_util::future::join_all;
use stage::ContainerUsage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use units::{Bytes, Nanos};

use crate::role::Role;
use crate::runtime::{Inner, Known};

/// How often each is asked.
const PERIOD: Duration = Duration::from_secs(2);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks all of them, for ever.
pub(crate) async fn watch(inner: Arc<Inner>) {
    let mut turn = tokio::time::interval(PERIOD);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        let ask = inner.known().into_iter().map(|(pod, known)| {
            let inner = Arc::clone(&inner);
            async move {
                let asked = async {
                    if known.role == Role::Mock {
                        of_mock(known.address, known.port).await
                    } else {
                        of_kernel(&inner, &known).await
                    }
                };
                if let Ok(Some(usage)) = tokio::time::timeout(PATIENCE, asked).await {
                    inner.used(pod, &known.id, usage);
                }
            }
        });
        join_all(ask).await;
    }
}

async fn of_mock(address: Ipv4Addr, port: u16) -> Option<ContainerUsage> {
    let mut stream = TcpStream::connect(SocketAddr::from((address, port))).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: metrics\r\nconnection: close\r\n\r\n").await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(read(&text))
}

/// What a mock service's metrics tell.
fn read(text: &str) -> ContainerUsage {
    let sum = |name: &str| -> f64 {
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.trim().parse::<f64>().ok())?
        };
        text.lines().filter_map(value).sum()
    };
    ContainerUsage {
        cpu: Nanos::new((sum("process_cpu_seconds_total") * 1e9) as u64),
        memory: Bytes::new(sum("process_resident_memory_bytes") as u64),
        traffic: Traffic {
            answered: sum("http_requests_total") as u64,
            waiting: sum("http_requests_waiting") as u32,
            in_flight: sum("http_requests_in_flight") as u32,
        },
    }
}

async fn of_kernel(inner: &Inner, known: &Known) -> Option<ContainerUsage> {
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let stats = inner.daemon.docker.stats(&known.id, Some(options)).next().await?.ok()?;
    let cpu = stats.cpu_stats.and_then(|cpu| cpu.cpu_usage).and_then(|usage| usage.total_usage)?;
    let memory = stats.memory_stats.and_then(|memory| memory.usage).unwrap_or(0);
    Some(ContainerUsage { cpu: Nanos::new(cpu), memory: Bytes::new(memory), traffic: Traffic::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_from_what_a_mock_service_tells() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# TYPE http_requests counter\n\
                    http_requests_total{service=\"a\",status=\"200\"} 5\n\
                    http_requests_total{service=\"a\",status=\"500\"} 2\n\
                    http_requests_in_flight{service=\"a\"} 3\nhttp_requests_waiting{service=\"a\"} 1\n\
                    process_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 1048576\n# EOF\n";
        let want = ContainerUsage {
            cpu: Nanos::from_millis(1_500),
            memory: Bytes::from_mebi(1),
            traffic: Traffic { answered: 7, waiting: 1, in_flight: 3 },
        };
        assert_eq!(read(text), want);
        assert_eq!(read(""), ContainerUsage::default());
    }
}
