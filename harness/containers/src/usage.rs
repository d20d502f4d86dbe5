//! What containers use: mock services say so themselves, for others the kernel counts.
//!
//! Asked every two seconds, so that an answer is there when the metrics server wants one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::StatsOptionsBuilder;
use cluster::Traffic;
use futures_util::StreamExt;
use futures_util::future::join_all;
use stage::{ContainerUsage, Writes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use units::{Bytes, Nanos};

use crate::role::Role;
use crate::runtime::{Inner, Known};

/// How often each is asked.
const PERIOD: Duration = Duration::from_secs(2);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a container told of itself, or the kernel of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// CPU, memory, traffic.
    pub usage: ContainerUsage,
    /// Requests, by route and status.
    pub requests: Vec<Counted>,
    /// Writes to the database.
    pub writes: Writes,
}

/// Requests of one route and status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Such as `POST /token`.
    pub route: String,
    /// HTTP status.
    pub status: u16,
    /// One more than there are edges.
    pub buckets: Vec<u64>,
    /// How long all of them took together.
    pub sum: Nanos,
}

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
                if let Ok(Some(told)) = tokio::time::timeout(PATIENCE, asked).await {
                    inner.keep(pod, &known.id, told);
                }
            }
        });
        join_all(ask).await;
    }
}

async fn of_mock(address: Ipv4Addr, port: u16) -> Option<Told> {
    let mut stream = TcpStream::connect(SocketAddr::from((address, port))).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: metrics\r\nconnection: close\r\n\r\n").await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(read(&text))
}

/// What a mock service's metrics tell.
pub fn read(text: &str) -> Told {
    let sum = |name: &str| -> f64 {
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.trim().parse::<f64>().ok())?
        };
        text.lines().filter_map(value).sum()
    };
    let usage = ContainerUsage {
        cpu: Nanos::new((sum("process_cpu_seconds_total") * 1e9) as u64),
        memory: Bytes::new(sum("process_resident_memory_bytes") as u64),
        traffic: Traffic {
            answered: sum("http_requests_total") as u64,
            waiting: sum("http_requests_waiting") as u32,
            in_flight: sum("http_requests_in_flight") as u32,
        },
    };
    let written = |outcome: &str| sum(&format!("database_writes_total{{outcome=\"{outcome}\"}}")) as u64;
    let writes = Writes { acknowledged: written("acknowledged"), in_doubt: written("in doubt") };
    Told { usage, requests: counted(text), writes }
}

/// The histograms of its routes, as mock services write them: a route's buckets follow each other, each counts those
/// before it, too, and a sum ends them.
fn counted(text: &str) -> Vec<Counted> {
    let mut all = Vec::new();
    let (mut buckets, mut so_far) = (Vec::new(), 0);
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let Some((labels, value)) = rest.rsplit_once("} ") else { continue };
        match name {
            "http_request_duration_seconds_bucket" => {
                let count: u64 = value.parse().unwrap_or(so_far);
                buckets.push(count.saturating_sub(so_far));
                so_far = count;
            }
            "http_request_duration_seconds_sum" => {
                let label = |name: &str| {
                    let at = labels.find(&format!("{name}=\"")).map_or(labels.len(), |at| at + name.len() + 2);
                    labels[at..].split('"').next().unwrap_or_default()
                };
                all.push(Counted {
                    route: format!("{} {}", label("method"), label("path")),
                    status: label("status").parse().unwrap_or_default(),
                    buckets: std::mem::take(&mut buckets),
                    sum: Nanos::from_secs_f64(value.parse().unwrap_or_default()),
                });
                so_far = 0;
            }
            _ => {}
        }
    }
    all
}

async fn of_kernel(inner: &Inner, known: &Known) -> Option<Told> {
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let stats = inner.daemon.docker.stats(&known.id, Some(options)).next().await?.ok()?;
    let cpu = stats.cpu_stats.and_then(|cpu| cpu.cpu_usage).and_then(|usage| usage.total_usage)?;
    let memory = stats.memory_stats.and_then(|memory| memory.usage).unwrap_or(0);
    let usage = ContainerUsage { cpu: Nanos::new(cpu), memory: Bytes::new(memory), traffic: Traffic::default() };
    Some(Told { usage, ..Told::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mock_service_tells_is_what_it_counted() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# TYPE http_requests counter\n\
                    http_requests_total{service=\"a\",status=\"200\"} 5\n\
                    http_requests_total{service=\"a\",status=\"500\"} 2\n\
                    http_requests_in_flight{service=\"a\"} 3\nhttp_requests_waiting{service=\"a\"} 1\n\
                    process_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 1048576\n\
                    database_writes_total{outcome=\"acknowledged\"} 8\n\
                    database_writes_total{outcome=\"in doubt\"} 2\n# EOF\n";
        let want = ContainerUsage {
            cpu: Nanos::from_millis(1_500),
            memory: Bytes::from_mebi(1),
            traffic: Traffic { answered: 7, waiting: 1, in_flight: 3 },
        };
        assert_eq!(
            read(text),
            Told { usage: want, requests: Vec::new(), writes: Writes { acknowledged: 8, in_doubt: 2 } }
        );
        assert_eq!(read(""), Told::default());
    }

    #[test]
    fn the_histograms_that_a_mock_service_writes_are_read_as_they_were_counted() {
        let edges: Vec<Nanos> = [100, 500].into_iter().map(Nanos::from_millis).collect();
        let metrics = server::Metrics::new(edges.into());
        for (route, status, ms) in [
            ("POST /token", 200, 40),
            ("POST /token", 200, 700),
            ("POST /token", 503, 1),
            ("GET /users/{id}", 200, 300),
        ] {
            metrics.observe(route, status, Nanos::from_millis(ms));
        }
        let mut want = Vec::new();
        metrics.each(|route, status, buckets, sum| {
            want.push(Counted { route: route.into(), status, buckets: buckets.into(), sum });
        });
        assert_eq!(want.len(), 3);
        let text = metrics.text("auth-service", &server::Gauges::default());
        assert_eq!(counted(&text), want);
    }
}
