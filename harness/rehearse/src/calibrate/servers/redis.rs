//! Redis: what an operation costs its thread, and what it takes to read its append-only file.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clock::Clock;
use model::data::{Cache, CacheConfig, Figures, Recovery, RedisFigures};
use units::{Bytes, Nanos, Seed};

use super::child::{self, Folder, Server};
use super::{AT_ONCE, Calibration, Point, closed, fit, sentinel};

/// How long each so many ask, and how often: what neighbours disturb least counts.
const WHILE: Nanos = Nanos::from_millis(300);
const ROUNDS: usize = 3;
/// Keys that it has when it is killed, each time.
const KEYS: [u64; 4] = [0, 100_000, 300_000, 600_000];
/// What a key holds: as much as a session of the mock services does.
const BODY: &str =
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

/// A connection to a Redis or a sentinel.
#[derive(Debug)]
pub(super) struct Connection(BufReader<TcpStream>);

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Text(String),
    Nothing,
    All(Vec<Reply>),
    Error(String),
}

impl Connection {
    pub(super) fn open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_nanos(child::PATIENCE.get())))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(super) fn ask(&mut self, words: &[&str]) -> std::io::Result<Reply> {
        self.send(&encoded(words))?;
        self.read()
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    pub(super) fn read(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let rest = line.get(1..).unwrap_or_default().trim();
        let number = || rest.parse::<i64>().map_err(std::io::Error::other);
        match line.as_bytes()[0] {
            b'+' | b':' => Ok(Reply::Text(rest.to_owned())),
            b'-' => Ok(Reply::Error(rest.to_owned())),
            b'$' => match number()? {
                length @ 0.. => {
                    let mut bytes = vec![0; length as usize + 2];
                    self.0.read_exact(&mut bytes)?;
                    bytes.truncate(length as usize);
                    Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
                }
                _ => Ok(Reply::Nothing),
            },
            b'*' => (0..number()?.max(0)).map(|_| self.read()).collect::<Result<_, _>>().map(Reply::All),
            _ => Err(std::io::Error::other(line)),
        }
    }
}

/// A command as the protocol has it: an array of bulk strings.
pub(super) fn encoded(words: &[&str]) -> Vec<u8> {
    let all = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), all.collect::<String>()).into_bytes()
}

/// Redis' program, where it is installed.
pub(super) fn program() -> Result<PathBuf, String> {
    let missing = "Redis is not installed here: install it (Debian: `apt-get install redis-server`)";
    containers::program("redis-server").ok_or_else(|| missing.to_owned())
}

/// Starts one on a port, with an append-only file in a folder of its own.
pub(super) fn start(folder: &Folder, name: &str, program: &Path, port: u16, more: &[&str]) -> Result<Server, String> {
    let data = folder.path().join(name);
    if !data.exists() {
        folder.put(name, None)?;
    }
    let data = data.display().to_string();
    let (port_word, log) = (port.to_string(), format!("{name}.log"));
    let words = ["--port", &port_word, "--bind", "127.0.0.1", "--dir", &data, "--appendonly", "yes", "--save", ""];
    let arguments: Vec<String> = words.iter().chain(more).map(|word| (*word).to_owned()).collect();
    Server::start(folder, &log, program, &arguments, port)
}

/// Waits until it answers, its data loaded; how long that took from now on.
pub(super) fn answers(clock: &Clock, server: &mut Server) -> Result<Nanos, String> {
    let began = clock.now();
    child::until(clock, "a Redis that starts", || {
        let pong = Connection::open(server.port).and_then(|mut connection| connection.ask(&["PING"]));
        match pong {
            Ok(Reply::Text(_)) => Some(Ok(())),
            _ if server.runs() => None,
            _ => Some(Err("Redis ended as soon as it was started".to_owned())),
        }
    })??;
    Ok(clock.now() - began)
}

/// Starts a server, asks it, and holds the model against it.
pub(super) fn measure(failovers: u32) -> Result<Calibration, String> {
    let program = program()?;
    let (clock, folder) = (Clock::start(), Folder::new("redis")?);
    let mut server = start(&folder, "data", &program, child::port()?, &[])?;
    answers(&clock, &mut server)?;
    let wrong = |error: std::io::Error| format!("it broke off: {error}");
    let version = version(server.port).map_err(wrong)?;
    let mut points = Vec::new();

    let one = CacheConfig { cores: 1, ..CacheConfig::DOCUMENTED };
    let mut fitted = Vec::new();
    let mut outsides = Vec::new();
    for (what, command) in [("a key read", "GET"), ("a key written", "SET")] {
        let (waited, cpu) = asked(&clock, &server, command).map_err(wrong)?;
        let alone = waited[0].1;
        let (time, outside) =
            fit::two(&(cpu..=alone.max(cpu)), &(Nanos::ZERO..=alone), &waited, |time, outside, at_once| {
                closed::operation(one, time, at_once, outside)
            });
        for (at_once, waited) in waited {
            let model = closed::operation(one, time, at_once, outside);
            let us = |time: Nanos| time.get() as f64 / 1e3;
            points.push(Point::new(what, Some(at_once.to_string()), "us", us(waited), us(model)));
        }
        points.push(Point::new(
            "  its CPU, by the kernel",
            None,
            "us",
            cpu.get() as f64 / 1e3,
            time.get() as f64 / 1e3,
        ));
        fitted.push(time);
        outsides.push(outside);
    }

    let restarts = restarts(&clock, &folder, &program, server)?;
    let seconds: Vec<_> = restarts.iter().map(|(size, took)| (size.get() as f64, took.as_secs_f64())).collect();
    // The first one had nothing to load.
    let start = fit::whole(restarts.first().map_or(Nanos::ZERO, |(_, took)| *took));
    let slope = fit::slope(start.as_secs_f64(), &seconds);
    let loaded_per_second = Bytes::from_mebi((1.0 / slope.max(1e-12)) as u64 >> 20);
    for (size, took) in &restarts {
        let recovery = Recovery::Restart { start, size: *size, per_second: loaded_per_second };
        let mut cache = Cache::new(CacheConfig { recovery, ..one }, Seed::new(1), Nanos::ZERO);
        cache.lose(Nanos::ZERO);
        let model = cache.next().unwrap_or_default();
        let of = Some(format!("{:.0} MB", size.get() as f64 / 1e6));
        points.push(Point::new("killed and back with its file", of, "ms", took.as_millis_f64(), model.as_millis_f64()));
    }
    let mut told = vec![format!(
        "fitted: {} of its thread for a key read and {} for one written; {} and {} between answer and question are not the \
         server's; from its start {start} until it answers, and {:.0} MB of its file a second",
        fitted[0],
        fitted[1],
        outsides[0],
        outsides[1],
        loaded_per_second.get() as f64 / 1e6
    )];
    for nth in 0..failovers {
        sentinel::failover(&clock, &program, nth, &mut points, &mut told)?;
    }
    let source = format!("measured: Redis {version} on one core of this machine, its own disk, asked over loopback");
    let operation = Some((fitted[0] + fitted[1]) / 2);
    let redis = RedisFigures { source, start, loaded_per_second, operation };
    Ok(Calibration {
        schema: "rehearse/calibration/v1",
        server: format!(
            "Redis {version} with an append-only file, on one core; the best of {ROUNDS} times {WHILE} a line"
        ),
        points,
        told,
        figures: Figures { redis: Some(redis), ..Figures::new() },
    })
}

fn version(port: u16) -> std::io::Result<String> {
    let Reply::Text(info) = Connection::open(port)?.ask(&["INFO", "server"])? else { return Ok(String::new()) };
    let line = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// By so many at once what one of them waited on average, and CPU of the server for each.
fn asked(clock: &Clock, server: &Server, command: &'static str) -> std::io::Result<(Vec<(u32, Nanos)>, Nanos)> {
    let mut waited: Vec<(u32, Nanos)> = AT_ONCE.map(|at_once| (at_once, Nanos::MAX)).into();
    let (mut cpu, mut all) = (Nanos::ZERO, 0);
    for (place, at_once) in (0..ROUNDS).flat_map(|_| AT_ONCE.into_iter().enumerate()) {
        let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..at_once).map(|index| {
            let (over, done, port) = (Arc::clone(&over), Arc::clone(&done), server.port);
            thread::spawn(move || {
                let mut connection = Connection::open(port)?;
                let key = format!("session:{index}");
                connection.ask(&["SET", &key, BODY])?;
                let words: &[&str] = if command == "GET" { &["GET", &key] } else { &["SET", &key, BODY, "EX", "60"] };
                let question = encoded(words);
                while !over.load(Ordering::Relaxed) {
                    connection.send(&question)?;
                    connection.read()?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, std::io::Error>(())
            })
        });
        let tasks: Vec<_> = tasks.collect();
        child::pause(Nanos::from_millis(50)); // all of them ask
        let (began, had, first) = (clock.now(), server.cpu(), done.load(Ordering::Relaxed));
        child::pause(WHILE);
        let (lasted, has) = (clock.now() - began, server.cpu());
        let count = (done.load(Ordering::Relaxed) - first).max(1);
        over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.join().unwrap_or_else(|_| Err(std::io::Error::other("who asks has panicked")))?;
        }
        waited[place].1 = waited[place].1.min(lasted * u64::from(at_once) / count);
        cpu += has - had;
        all += count;
    }
    Ok((waited, cpu / all.max(1)))
}

/// Fills it, kills it and starts it again, with more each time: the size of its file, and how long it took.
fn restarts(clock: &Clock, folder: &Folder, program: &Path, mut server: Server) -> Result<Vec<(Bytes, Nanos)>, String> {
    let wrong = |error: std::io::Error| format!("it broke off while it was filled: {error}");
    let mut all = Vec::new();
    let mut filled = 0;
    Connection::open(server.port).and_then(|mut all| all.ask(&["FLUSHALL"])).map_err(wrong)?;
    for keys in KEYS {
        fill(server.port, filled..keys).map_err(wrong)?;
        filled = keys;
        let mut connection = Connection::open(server.port).map_err(wrong)?;
        // The file is written anew, so that it has what there is and nothing else; then all of it is on disk.
        connection.ask(&["BGREWRITEAOF"]).map_err(wrong)?;
        child::until(clock, "writing its file anew", || {
            let Ok(Reply::Text(info)) = connection.ask(&["INFO", "persistence"]) else { return None };
            let idle = |name: &str| info.lines().any(|line| line.trim() == format!("{name}:0"));
            (idle("aof_rewrite_in_progress") && idle("aof_rewrite_scheduled")).then_some(())
        })?;
        let port = server.port;
        server.crash();
        let size = size(&folder.path().join("data"));
        // Started first, so that the clock's reading is before anything of it.
        let began = clock.now();
        server = start(folder, "data", program, port, &["--aof-use-rdb-preamble", "no"])?;
        answers(clock, &mut server)?;
        all.push((size, clock.now() - began));
    }
    Ok(all)
}

fn fill(port: u16, keys: std::ops::Range<u64>) -> std::io::Result<()> {
    let mut connection = Connection::open(port)?;
    let keys: Vec<u64> = keys.collect();
    for some in keys.chunks(1_000) {
        let bytes: Vec<u8> = some.iter().flat_map(|key| encoded(&["SET", &format!("filled:{key}"), BODY])).collect();
        connection.send(&bytes)?;
        for _ in some {
            connection.read()?;
        }
    }
    Ok(())
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> Bytes {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.fold(Bytes::ZERO, |sum, entry| {
        let path = entry.path();
        let own = if path.is_dir() { size(&path) } else { Bytes::new(entry.metadata().map_or(0, |of| of.len())) };
        Bytes::new(sum.get() + own.get())
    })
}
