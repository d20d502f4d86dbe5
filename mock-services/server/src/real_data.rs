//! A real PostgreSQL and a real Redis, asked as often as the model says.
//!
//! Owns a pod's connections to them: a pool of prepared statements as the profile sizes it, one connection to Redis for
//! all of the pod. *How much* a request asks is the profile's; how long that takes, the servers say. Of PostgreSQL it
//! wants a table `records (id bigint primary key, owner bigint, body text)` in the profile's database, with
//! 10,000 rows from 1 on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Job;
use model::StationInput;
use model::data::{CacheUse, DataOp, PoolConfig, QueryUse};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio_postgres::{Client, NoTls, Statement};

use crate::{LiveStation, Writes};

/// Rows that a table of records begins with.
const RECORDS: u64 = 10_000;
/// How long an answer of Redis is waited for, as its clients do by default. Assumed.
const PATIENCE: Duration = Duration::from_secs(5);
/// The user as whom PostgreSQL is asked.
const USER: &str = "postgres";

/// Where the servers are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataPlaces {
    /// PostgreSQL, `HOST:PORT`.
    pub postgres: Option<String>,
    /// Redis, `HOST:PORT`.
    pub redis: Option<String>,
    /// Who knows which Redis is the master, and takes the place of the one above.
    pub sentinel: Option<SentinelPlace>,
}

/// Sentinels that watch a master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelPlace {
    /// One of them, `HOST:PORT`.
    pub at: String,
    /// What they call the master.
    pub master: String,
}

/// A pod's connections to real servers. Without a place nothing is asked.
#[derive(Clone, Debug)]
pub struct RealData {
    shared: Arc<Shared>,
    /// Whoever asks may do so from the clock's thread.
    tasks: Handle,
}

#[derive(Debug, Default)]
struct Shared {
    postgres: Option<Postgres>,
    redis: Option<Redis>,
}

impl RealData {
    /// Connects when it is first asked. `pool`: the profile's. Needs a tokio runtime.
    pub fn new(places: DataPlaces, pool: Option<PoolConfig>) -> Self {
        let pool = pool.unwrap_or_default();
        let most = usize::from(pool.size) + usize::from(pool.overflow);
        let postgres = places.postgres.map(|at| Postgres {
            at,
            leases: Semaphore::new(most.max(1)),
            acknowledged: AtomicU64::new(0),
            in_doubt: AtomicU64::new(0),
            idle: Mutex::default(),
            pool,
        });
        let (at, sentinel) = (places.redis, places.sentinel);
        let known = at.is_some() || sentinel.is_some();
        let redis = known.then(|| Redis { at: at.unwrap_or_default(), sentinel, connection: Mutex::default() });
        Self { shared: Arc::new(Shared { postgres, redis }), tasks: Handle::current() }
    }

    /// What became of this pod's writes; `None`: there is no PostgreSQL.
    pub fn writes(&self) -> Option<Writes> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let postgres = self.shared.postgres.as_ref()?;
        Some(Writes { acknowledged: read(&postgres.acknowledged), in_doubt: read(&postgres.in_doubt) })
    }

    /// Asks the server that `op` is for, and tells the station how that ended. `false`: there is no such server.
    pub fn ask(&self, station: &LiveStation, tag: u64, job: Job, op: DataOp) -> bool {
        let known = match op {
            DataOp::Cache(_) => self.shared.redis.is_some(),
            DataOp::Query(_) => self.shared.postgres.is_some(),
        };
        if known {
            let (shared, station) = (Arc::clone(&self.shared), station.clone());
            self.tasks.spawn(async move {
                let answered = match (op, &shared.redis, &shared.postgres) {
                    (DataOp::Cache(cache), Some(redis), _) => redis.operate(tag, cache).await.is_ok(),
                    (DataOp::Query(query), _, Some(postgres)) => postgres.query(tag, query).await.is_ok(),
                    _ => true,
                };
                station.tell(if answered { StationInput::Called(job) } else { StationInput::Failed(job) });
            });
        }
        known
    }
}

#[derive(Debug)]
struct Postgres {
    at: String,
    pool: PoolConfig,
    leases: Semaphore,
    /// Writes that it acknowledged.
    acknowledged: AtomicU64,
    /// Writes without an answer.
    in_doubt: AtomicU64,
    idle: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    read: Statement,
    write: Statement,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
enum QueryError {
    #[error("no connection was free in time")]
    PoolTimeout,
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    #[error("the address is none")]
    Address,
}

impl Postgres {
    async fn query(&self, tag: u64, query: QueryUse) -> Result<(), QueryError> {
        let patience = Duration::from_nanos(self.pool.timeout.get());
        let lease = tokio::time::timeout(patience, self.leases.acquire()).await;
        let _lease = lease.map_err(|_| QueryError::PoolTimeout)?.map_err(|_| QueryError::PoolTimeout)?;
        let idle = self.idle.lock().await.pop().filter(|connection| !connection.client.is_closed());
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.read(tag, query).await?;
        if query.writes {
            let written = connection.write(tag).await;
            match &written {
                Ok(()) => self.acknowledged.fetch_add(1, Ordering::Relaxed),
                Err(error) if error.as_db_error().is_none() => self.in_doubt.fetch_add(1, Ordering::Relaxed),
                Err(_) => 0, // refused: that is a word, too
            };
            written?;
        }
        let mut idle = self.idle.lock().await;
        if idle.len() < usize::from(self.pool.size.max(1)) {
            idle.push(connection); // what overflowed is closed
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, QueryError> {
        let (host, port) = self.at.split_once(':').ok_or(QueryError::Address)?;
        let mut config = tokio_postgres::Config::new();
        config.host(host).port(port.parse().map_err(|_| QueryError::Address)?).user(USER).dbname(&self.pool.database);
        config.connect_timeout(PATIENCE);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection); // it ends with its client
        let read = client.prepare("SELECT body FROM records WHERE id = $1").await?;
        let write = client.prepare("INSERT INTO records (owner, body) VALUES ($1, $2)").await?;
        Ok(Connection { client, read, write })
    }
}

impl Connection {
    /// One after the other, as the profile counts them; a write comes at their end.
    async fn read(&self, tag: u64, query: QueryUse) -> Result<(), tokio_postgres::Error> {
        let reads = query.queries.saturating_sub(u16::from(query.writes));
        for nth in 0..u64::from(reads) {
            let id = spread(tag, nth) % RECORDS + 1;
            self.client.query_opt(&self.read, &[&(id as i64)]).await?;
        }
        Ok(())
    }

    /// A row, committed by itself.
    async fn write(&self, tag: u64) -> Result<(), tokio_postgres::Error> {
        let owner = spread(tag, 0) % RECORDS;
        self.client.execute(&self.write, &[&(owner as i64), &BODY]).await.map(drop)
    }
}

/// What a record holds: as long as those that the table begins with.
const BODY: &str =
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

/// Numbers that look drawn, the same for the same request.
const fn spread(tag: u64, nth: u64) -> u64 {
    (tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ nth.wrapping_mul(0xbf58_476d_1ce4_e5b9)) >> 16
}

#[derive(Debug)]
struct Redis {
    at: String,
    sentinel: Option<SentinelPlace>,
    connection: Mutex<Option<BufReader<TcpStream>>>,
}

impl Redis {
    /// Reads as often as the profile says; what the cache did not have is written to it, to live for a minute.
    async fn operate(&self, tag: u64, cache: CacheUse) -> io::Result<()> {
        let key = format!("session:{}", spread(tag, 0) % RECORDS);
        let mut commands: Vec<Vec<&str>> = vec![vec!["GET", &key]; usize::from(cache.operations.max(1))];
        if !cache.hit {
            commands.push(vec!["SET", &key, BODY, "EX", "60"]);
        }
        // One connection for all of the pod, as its client multiplexes them: a broken one is opened again once.
        let mut connection = self.connection.lock().await;
        let asked = tokio::time::timeout(PATIENCE, async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => BufReader::new(TcpStream::connect(self.place().await?).await?),
            };
            open.get_mut().set_nodelay(true)?;
            for command in &commands {
                open.get_mut().write_all(&encoded(command)).await?;
                reply(&mut open).await?;
            }
            Ok::<_, io::Error>(open)
        });
        *connection = Some(asked.await??);
        Ok(())
    }
}

impl Redis {
    /// Where the master is. Sentinels are asked for each connection anew, as their clients do: one that breaks may have
    /// led to a master that is none any more.
    async fn place(&self) -> io::Result<String> {
        let Some(SentinelPlace { at, master }) = &self.sentinel else { return Ok(self.at.clone()) };
        let mut sentinel = BufReader::new(TcpStream::connect(at).await?);
        sentinel.get_mut().write_all(&encoded(&["SENTINEL", "get-master-addr-by-name", master])).await?;
        // An array of two bulk strings, each a line with its length and a line; a nil array if they know no such master.
        let mut lines = Vec::new();
        for _ in 0..5 {
            let mut line = String::new();
            sentinel.read_line(&mut line).await?;
            if lines.is_empty() && line.trim() != "*2" {
                return Err(io::Error::other(format!("the sentinels know no master {master}: {}", line.trim())));
            }
            lines.push(line.trim().to_owned());
        }
        Ok(format!("{}:{}", lines[2], lines[4]))
    }
}

/// A command as the protocol has it: an array of bulk strings.
fn encoded(command: &[&str]) -> Vec<u8> {
    let words = command.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", command.len(), words.collect::<String>()).into_bytes()
}

/// Reads a reply to its end: a status, an error, a number, or a bulk string.
async fn reply(from: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<()> {
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match line.split_at_checked(1) {
        Some(("+" | ":", _)) => Ok(()),
        Some(("$", length)) => match length.trim().parse::<i64>() {
            Ok(length @ 0..) => {
                let mut rest = vec![0; length as usize + 2];
                from.read_exact(&mut rest).await.map(drop)
            }
            Ok(_) => Ok(()), // it has no such key
            Err(error) => Err(io::Error::other(error)),
        },
        _ => Err(io::Error::other(line.trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        assert_eq!(encoded(&["GET", "session:7"]), b"*2\r\n$3\r\nGET\r\n$9\r\nsession:7\r\n");
    }

    #[tokio::test]
    async fn the_master_is_where_sentinels_say() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let redis = |master: &str| Redis {
            at: String::new(),
            sentinel: Some(SentinelPlace { at: at.clone(), master: master.to_owned() }),
            connection: Mutex::default(),
        };
        for (answer, want) in [
            ("*2\r\n$13\r\nredis-1.redis\r\n$4\r\n6379\r\n", Some("redis-1.redis:6379")),
            ("*-1\r\n", None),
            ("", None),
        ] {
            let asked = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut question = vec![0; 64];
                let length = stream.read(&mut question).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                question.truncate(length);
                question
            };
            let main = redis("main");
            let (place, question) = tokio::join!(main.place(), asked);
            assert_eq!(place.ok().as_deref(), want, "{answer:?}");
            assert_eq!(question, encoded(&["SENTINEL", "get-master-addr-by-name", "main"]));
        }
    }

    #[tokio::test]
    async fn replies_are_read_to_their_end_and_errors_are_errors() {
        for (case, text, ok) in [
            ("a status", "+OK\r\n", true),
            ("a number", ":1\r\n", true),
            ("a value", "$5\r\nhello\r\n", true),
            ("no value", "$-1\r\n", true),
            ("an error", "-LOADING Redis is loading the dataset in memory\r\n", false),
            ("half a value", "$5\r\nhel", false),
            ("nothing", "", false),
        ] {
            let mut from = format!("{text}rest").into_bytes();
            if case.starts_with("half") || case == "nothing" {
                from = text.as_bytes().to_vec();
            }
            let mut from = from.as_slice();
            assert_eq!(reply(&mut from).await.is_ok(), ok, "{case}");
            assert!(!ok || from == b"rest", "{case}");
        }
    }
}
