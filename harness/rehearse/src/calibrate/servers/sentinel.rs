//! Sentinels: a master is killed under three of them, and the stages that they tell are held against the model's.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use clock::Clock;
use model::data::{Failover, SentinelConfig, failover as modelled};
use units::{Nanos, Seed};

use super::Point;
use super::child::{self, Folder, Server};
use super::redis::{self, Connection, Reply};

/// How the platform's are configured.
const CONFIG: SentinelConfig = SentinelConfig::DOCUMENTED;
/// What they call the master.
const MASTER: &str = "selfmonitor";
/// Failovers of the model that one is held against: every phase of the pings.
const DRAWN: u64 = 2_000;

/// What a sentinel told.
struct Told {
    at: Nanos,
    sentinel: usize,
    event: String,
    words: String,
}

/// Kills a master under sentinels of its own, and adds what came of it.
pub(super) fn failover(
    clock: &Clock,
    program: &Path,
    nth: u32,
    points: &mut Vec<Point>,
    told: &mut Vec<String>,
) -> Result<(), String> {
    let folder = Folder::new(&format!("sentinel-{nth}"))?;
    let mut master = redis::start(&folder, "master", program, child::port()?, &[])?;
    redis::answers(clock, &mut master)?;
    let of = master.port.to_string();
    let mut replica = redis::start(&folder, "replica", program, child::port()?, &["--replicaof", "127.0.0.1", &of])?;
    redis::answers(clock, &mut replica)?;
    let sentinels: Vec<Server> =
        (0..CONFIG.sentinels).map(|index| sentinel(&folder, program, index, master.port)).collect::<Result<_, _>>()?;
    for server in &sentinels {
        child::until(clock, "the sentinels' finding each other", || ready(server.port).then_some(()))?;
    }
    let (teller, heard) = channel();
    for (index, server) in sentinels.iter().enumerate() {
        let connection = subscribed(server.port).map_err(|error| format!("a sentinel tells nothing: {error}"))?;
        let (teller, clock) = (teller.clone(), clock.clone());
        thread::spawn(move || listen(connection, index, &clock, &teller)); // it ends with its sentinel
    }
    drop(teller);
    let lost = clock.now();
    master.crash();
    let (seen, leader) = stages(&heard, lost)?;
    let new = Connection::open(replica.port).and_then(|mut replica| replica.ask(&["ROLE"]));
    let role = match new {
        Ok(Reply::All(words)) => words.into_iter().next(),
        _ => None,
    };
    if role != Some(Reply::Text("master".into())) {
        return Err(format!("the sentinels told of a new master, and the replica says of itself: {role:?}"));
    }
    let drawn: Vec<Failover> = (0..DRAWN).filter_map(|nth| modelled(&CONFIG, Seed::new(1), nth)).collect();
    let mut apart = Vec::new();
    for (what, measured, of) in [
        ("master killed: held for down", seen.suspected, (|f| f.suspected) as fn(&Failover) -> Nanos),
        ("  the quorum agrees", seen.agreed, |f| f.agreed),
        ("  a leader is elected", seen.elected, |f| f.elected),
        ("  a replica is master", seen.promoted, |f| f.promoted),
    ] {
        let (least, most) =
            (drawn.iter().map(of).min().unwrap_or_default(), drawn.iter().map(of).max().unwrap_or_default());
        let mean = drawn.iter().map(of).fold(Nanos::ZERO, |sum, one| sum + one) / drawn.len().max(1) as u64;
        points.push(Point::new(what, None, "ms", measured.as_millis_f64(), mean.as_millis_f64()));
        if measured < least || measured > most {
            apart.push(format!("{}: {measured} is outside of the model's {least} to {most}", what.trim()));
        }
    }
    let verdict =
        if apart.is_empty() { "every stage within what the model draws".to_owned() } else { apart.join("; ") };
    told.push(format!(
        "failover {}: sentinel {} led it; {verdict} (the table has the model's mean)",
        nth + 1,
        leader + 1
    ));
    Ok(())
}

fn sentinel(folder: &Folder, program: &Path, index: u16, master: u16) -> Result<Server, String> {
    let port = child::port()?;
    let (name, SentinelConfig { quorum, .. }) = (format!("sentinel-{index}"), CONFIG);
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {master} {quorum}\n\
         sentinel down-after-milliseconds {MASTER} {}\nsentinel failover-timeout {MASTER} {}\n",
        folder.path().display(),
        CONFIG.down_after.as_millis(),
        CONFIG.failover_timeout.as_millis()
    );
    let file = folder.put(&format!("{name}.conf"), Some(&text))?;
    let arguments = [file.display().to_string(), "--sentinel".to_owned()];
    Server::start(folder, &format!("{name}.log"), program, &arguments, port)
}

/// Whether a sentinel knows the others and the replica.
fn ready(port: u16) -> bool {
    let asked = Connection::open(port).and_then(|mut sentinel| {
        Ok((sentinel.ask(&["SENTINEL", "SENTINELS", MASTER])?, sentinel.ask(&["SENTINEL", "REPLICAS", MASTER])?))
    });
    let Ok((Reply::All(others), Reply::All(replicas))) = asked else { return false };
    others.len() + 1 == usize::from(CONFIG.sentinels) && replicas.len() == usize::from(CONFIG.replicas)
}

fn subscribed(port: u16) -> std::io::Result<Connection> {
    let mut connection = Connection::open(port)?;
    connection.ask(&["PSUBSCRIBE", "*"])?;
    Ok(connection)
}

fn listen(mut connection: Connection, sentinel: usize, clock: &Clock, teller: &Sender<Told>) {
    while let Ok(Reply::All(words)) = connection.read() {
        // `pmessage`, the pattern, the event, its words.
        if let [_, _, Reply::Text(event), Reply::Text(words)] = words.as_slice() {
            let told = Told { at: clock.now(), sentinel, event: event.clone(), words: words.clone() };
            if teller.send(told).is_err() {
                return;
            }
        }
    }
}

/// The first time of each stage, from the loss on, and who led.
fn stages(heard: &Receiver<Told>, lost: Nanos) -> Result<(Failover, usize), String> {
    let mut all: [Option<Nanos>; 4] = [None; 4];
    let mut leader = 0;
    let patience = std::time::Duration::from_nanos(child::PATIENCE.get());
    while all.iter().any(Option::is_none) {
        let told = heard.recv_timeout(patience).map_err(|_| format!("no failover within {}", child::PATIENCE))?;
        let stage = match told.event.as_str() {
            "+sdown" if told.words.starts_with("master ") => 0,
            "+odown" => 1,
            "+elected-leader" => 2,
            "+promoted-slave" => 3,
            _ => continue,
        };
        if stage == 2 {
            leader = told.sentinel;
        }
        // Threads tell in any order.
        let at = told.at - lost;
        all[stage] = Some(all[stage].map_or(at, |before| before.min(at)));
    }
    let [suspected, agreed, elected, promoted] = all.map(Option::unwrap_or_default);
    Ok((Failover { suspected, agreed, elected, promoted }, leader))
}
