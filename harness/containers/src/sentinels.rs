//! Redis under real sentinels: who watches whom, and what they tell of a failover.
//!
//! Owns the reading of the manifests' own `sentinel.conf`. Where it names the master by a name that a pod of the cache
//! has, sentinels are real, the cache's pods begin as that master and its replicas, and services ask for the master.
//! Else each Redis pod is by itself, and sentinels are mock services.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clock::Clock;
use model::data::Failover;
use platform::{Platform, WorkloadId};
use stage::{FailedOver, members};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use units::Nanos;

use crate::specification::mounted;

/// How long a failover is waited for: far more than `failover-timeout` of any sensible configuration.
const PATIENCE: Duration = Duration::from_mins(2);

/// A cache that sentinels watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    /// The workload of the sentinels.
    pub(crate) by: WorkloadId,
    /// Their file's key.
    pub(crate) file: String,
    /// What they call the master.
    pub(crate) name: String,
    /// The host that is the master at first, such as `redis-0.redis`.
    pub(crate) first: String,
}

/// Who watches the platform's cache.
pub(crate) fn watched(platform: &Platform) -> Option<Watch> {
    let cache = platform.cache()?;
    let hosts: Vec<String> = members(platform)
        .iter()
        .filter(|member| member.workload == cache)
        .map(|member| member.host(platform))
        .collect();
    let sentinels = platform.workload_ids().filter(|id| {
        let container = platform.workload(*id).containers.first();
        container.is_some_and(|container| container.command.iter().any(|word| word.contains("sentinel")))
    });
    let reads = |id: WorkloadId| {
        mounted(platform, id).flat_map(|config| &config.entries).find_map(|(file, text)| {
            let (name, first) = text.lines().find_map(monitored)?;
            hosts.iter().any(|host| host == first).then(|| Watch {
                by: id,
                file: file.clone(),
                name: name.to_owned(),
                first: first.to_owned(),
            })
        })
    };
    sentinels.into_iter().find_map(reads)
}

/// The name and the host of `sentinel monitor NAME HOST PORT QUORUM`. They go to a shell.
fn monitored(line: &str) -> Option<(&str, &str)> {
    let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["sentinel", "monitor", name, host, _, _] if plain(name) && plain(host) => Some((name, host)),
        _ => None,
    }
}

/// A sentinel that runs.
#[derive(Clone, Debug)]
pub(crate) struct Sentinel {
    /// Its pod's name.
    pub(crate) pod: String,
    pub(crate) at: SocketAddr,
}

/// What a sentinel told.
#[derive(Clone, Debug)]
struct Event {
    at: Nanos,
    /// The sentinel's pod.
    by: String,
    what: String,
    words: String,
}

/// What comes of the loss of a master, from now on: everything that the sentinels tell is heard before it is lost.
#[derive(Debug)]
pub(crate) struct Hearing {
    clock: Clock,
    events: tokio::sync::mpsc::UnboundedReceiver<Event>,
    name: String,
}

impl Hearing {
    /// Listens to all sentinels.
    pub(crate) async fn begin(sentinels: Vec<Sentinel>, name: String) -> Result<Self, String> {
        let (tell, events) = unbounded_channel();
        let clock = Clock::start();
        for sentinel in sentinels {
            let listened =
                subscribe(sentinel.at).await.map_err(|error| format!("{} tells nothing: {error}", sentinel.pod))?;
            tokio::spawn(listen(listened, sentinel.pod, clock.clone(), tell.clone())); // it ends with its sentinel
        }
        Ok(Self { clock, events, name })
    }

    /// What the sentinels tell, if the master is lost now.
    pub(crate) async fn failover(mut self) -> Result<FailedOver, String> {
        let lost = self.clock.now();
        let mut stages = [None; 4];
        let (mut leader, mut heir) = (String::new(), String::new());
        while stages.iter().any(Option::is_none) || heir.is_empty() {
            let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
            let event = event.ok().flatten().ok_or_else(|| told_so_far(&stages))?;
            let at = event.at - lost;
            let own = format!("master {} ", self.name);
            match event.what.as_str() {
                "+sdown" if event.words.starts_with(&own) => keep(&mut stages[0], at),
                "+odown" if event.words.starts_with(&own) => keep(&mut stages[1], at),
                "+elected-leader" => {
                    keep(&mut stages[2], at);
                    leader = event.by;
                }
                "+promoted-slave" => keep(&mut stages[3], at),
                // `NAME OLD PORT NEW PORT`.
                "+switch-master" => {
                    let words: Vec<_> = event.words.split(' ').collect();
                    if let [name, _, _, new, _] = words.as_slice()
                        && *name == self.name
                    {
                        (*new).clone_into(&mut heir);
                    }
                }
                _ => {}
            }
        }
        let [suspected, agreed, elected, promoted] = stages.map(Option::unwrap_or_default);
        Ok(FailedOver { stages: Failover { suspected, agreed, elected, promoted }, leader, heir })
    }
}

/// The first of all sentinels.
fn keep(stage: &mut Option<Nanos>, at: Nanos) {
    *stage = Some(stage.map_or(at, |before| before.min(at)));
}

fn told_so_far(stages: &[Option<Nanos>; 4]) -> String {
    let words = ["no sentinel held the master for down", "their quorum did not agree", "they elected no leader"];
    let first = stages.iter().position(Option::is_none).unwrap_or(3);
    words.get(first).unwrap_or(&"no replica became master").to_string()
}

async fn subscribe(at: SocketAddr) -> std::io::Result<BufReader<TcpStream>> {
    let mut stream = BufReader::new(TcpStream::connect(at).await?);
    stream.get_mut().write_all(b"PSUBSCRIBE *\r\n").await?;
    array(&mut stream).await?;
    Ok(stream)
}

async fn listen(mut from: BufReader<TcpStream>, pod: String, clock: Clock, tell: UnboundedSender<Event>) {
    while let Ok(words) = array(&mut from).await {
        // `pmessage`, the pattern, the event, its words.
        if let [_, _, what, words] = words.as_slice() {
            let event = Event { at: clock.now(), by: pod.clone(), what: what.clone(), words: words.clone() };
            if tell.send(event).is_err() {
                return;
            }
        }
    }
}

/// The host that a sentinel holds for the master.
pub(crate) async fn master(at: SocketAddr, name: &str) -> std::io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(at).await?);
    stream.get_mut().write_all(format!("SENTINEL get-master-addr-by-name {name}\r\n").as_bytes()).await?;
    let words = array(&mut stream).await?;
    words.into_iter().next().ok_or_else(|| std::io::Error::other("it knows no such master"))
}

/// What a Redis says of its part in replication: `master`, or `slave` with the host of its master and how they stand.
pub(crate) async fn role(address: Ipv4Addr, port: u16) -> std::io::Result<Vec<String>> {
    let mut stream = BufReader::new(TcpStream::connect((address, port)).await?);
    stream.get_mut().write_all(b"ROLE\r\n").await?;
    // Of a master a list of lists, which nobody here reads on.
    array(&mut stream).await
}

/// An array of texts and numbers.
async fn array(from: &mut BufReader<TcpStream>) -> std::io::Result<Vec<String>> {
    let count = match head(from).await? {
        ('*', count) => count.parse::<i64>().unwrap_or(0).max(0),
        (_, other) => return Err(std::io::Error::other(other)),
    };
    let mut words = Vec::new();
    for _ in 0..count {
        let (kind, rest) = head(from).await?;
        words.push(match kind {
            '$' => {
                let mut bytes = vec![0; rest.parse::<usize>().map_err(std::io::Error::other)? + 2];
                from.read_exact(&mut bytes).await?;
                String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned()
            }
            ':' | '+' => rest,
            _ => break,
        });
    }
    Ok(words)
}

async fn head(from: &mut BufReader<TcpStream>) -> std::io::Result<(char, String)> {
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let kind = line.chars().next().unwrap_or_default();
    Ok((kind, line.trim_end().get(kind.len_utf8()..).unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_are_real_where_they_name_a_pod_of_the_cache() {
        let load = |overlay| manifests::load(&manifests::Source::BuiltIn, overlay).unwrap().platform;
        let mut platform = load("production");
        let watch = watched(&platform).unwrap();
        assert_eq!((watch.name.as_str(), watch.first.as_str()), ("selfmonitor", "redis-0.redis"));
        assert_eq!(platform.workload(watch.by).name, "redis-sentinel");
        for config in &mut platform.configs {
            for text in config.entries.values_mut() {
                *text = text.replace("monitor selfmonitor redis-0.redis", "monitor selfmonitor 10.0.0.7");
            }
        }
        assert_eq!(watched(&platform), None, "an address is nobody's that is known before");
    }

    #[test]
    fn a_line_that_a_shell_would_read_otherwise_is_none() {
        assert_eq!(monitored("sentinel monitor main redis-0.redis 6379 2"), Some(("main", "redis-0.redis")));
        assert_eq!(monitored("sentinel monitor $(x) redis-0.redis 6379 2"), None);
        assert_eq!(monitored("sentinel down-after-milliseconds main 5000"), None);
    }
}
