//! PostgreSQL: what statements cost it, what connections cost, and where it refuses them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clock::Clock;
use futures_util::future::join_all;
use model::data::{Database, DatabaseConfig, Figures, PostgresFigures};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls};
use units::Nanos;

use super::child::{self, Folder, Server};
use super::{AT_ONCE, Calibration, Point, closed, fit};

/// Rows of the table that is asked, as mock services find it in containers.
const ROWS: u64 = 10_000;
/// How long each so many ask, and how often: what neighbours disturb least counts.
const WHILE: Nanos = Nanos::from_millis(400);
const ROUNDS: usize = 3;
/// Connections that are opened one after another.
const OPENED: usize = 40;
/// How long processes are given to end whose connections were closed.
const ENDING: Nanos = Nanos::from_millis(300);
/// Who asks: nobody of power.
const USER: &str = "service";

/// What is asked.
struct Statement {
    what: &'static str,
    sql: &'static str,
    writes: bool,
}

const BY_KEY: Statement =
    Statement { what: "a row by its key", sql: "SELECT body FROM records WHERE id = $1", writes: false };
const SCAN: Statement = Statement {
    what: "10,000 rows counted",
    sql: "SELECT count(*) FROM records WHERE owner <> $1 AND length(body) > 50",
    writes: false,
};
const WRITE: Statement = Statement {
    what: "a row written and committed",
    sql: "INSERT INTO records (owner, body) SELECT $1, repeat('0123456789', 10)",
    writes: true,
};

/// What was measured of a statement.
struct Measured {
    /// By so many at once: what one of them waited on average.
    waited: Vec<(u32, Nanos)>,
    /// CPU of the server for each, by the kernel's account.
    cpu: Nanos,
}

/// Starts a server, asks it, and holds the model against it.
pub(super) fn measure(max_connections: u32) -> Result<Calibration, String> {
    let missing = "PostgreSQL 15 or newer is not installed here: install it (Debian: `apt-get install postgresql`)";
    let programs = containers::postgres_programs().ok_or(missing)?;
    let folder = Folder::new("postgres")?;
    let (server, config) = start(&programs, &folder, max_connections)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let measured = runtime.block_on(ask(&server, &config, max_connections));
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    measured.map_err(|why| {
        format!("{why}{}", log().lines().last().map(|line| format!("; its log ends: {line}")).unwrap_or_default())
    })
}

/// A cluster with passwords, since they are a part of what a connection costs.
fn start(programs: &Path, folder: &Folder, max_connections: u32) -> Result<(Server, Config), String> {
    let random = std::hash::BuildHasher::build_hasher(&std::hash::RandomState::new());
    let password = format!("{:016x}", std::hash::Hasher::finish(&random));
    let file = folder.put("password", Some(&password))?;
    let data = folder.path().join("data").display().to_string();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut arguments = words(&["--pgdata", &data, "--username=postgres", "--auth=scram-sha-256", "--no-locale"]);
    arguments.extend(words(&["--encoding=UTF8", "--no-instructions"]));
    arguments.push(format!("--pwfile={}", file.display()));
    child::run(&programs.join("initdb"), &arguments)?;
    let port = child::port()?;
    let mut arguments = words(&["-D", &data, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    for setting in [format!("port={port}"), format!("max_connections={max_connections}")] {
        arguments.extend(["-c".to_owned(), setting]);
    }
    let server = Server::start(folder, "log", &programs.join("postgres"), &arguments, port)?;
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user("postgres").password(&password).dbname("postgres");
    Ok((server, config))
}

async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection); // it ends with its client
    Ok(client)
}

async fn ask(server: &Server, master: &Config, max_connections: u32) -> Result<Calibration, String> {
    let clock = Clock::start();
    let said = |error: tokio_postgres::Error| {
        error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
    };
    let admin = loop {
        match connect(master).await {
            Ok(client) => break client,
            Err(error) if clock.now() > child::PATIENCE => return Err(format!("it does not answer: {error}")),
            Err(_) => clock.until(clock.now() + Nanos::from_millis(20)).await,
        };
    };
    let version: String = admin.query_one("SHOW server_version", &[]).await.map_err(said)?.get(0);
    let version = version.split(' ').next().unwrap_or_default().to_owned();
    let password = String::from_utf8_lossy(master.get_password().unwrap_or_default()).into_owned();
    let made = format!(
        "CREATE TABLE records (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, owner bigint, body text);
         INSERT INTO records SELECT n, n % 1000, repeat(md5(n::text), 3) FROM generate_series(1, {ROWS}) AS n;
         SELECT setval(pg_get_serial_sequence('records', 'id'), {ROWS}); ANALYZE records; CHECKPOINT;
         CREATE ROLE {USER} LOGIN PASSWORD '{password}'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {USER};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {USER}"
    );
    admin.batch_execute(&made).await.map_err(said)?;
    let mut config = master.clone();
    config.user(USER);
    let mut points = Vec::new();

    let Connections { alone: connect, cpu: connect_cpu, together } =
        connections(&clock, server, &config, max_connections).await.map_err(said)?;
    let refused = filled(&clock, &config).await?;
    let mut all = Vec::new();
    for statement in [&BY_KEY, &SCAN, &WRITE] {
        all.push(asked(&clock, server, &config, statement).await.map_err(said)?);
    }
    let Ok([by_key, scan, write]) = <[Measured; 3]>::try_from(all) else { return Err("a statement is missing".into()) };

    let one = DatabaseConfig { cores: 1, max_connections, connect, connect_cpu, ..DatabaseConfig::DOCUMENTED };
    let alone = |measured: &Measured| measured.waited.first().map_or(Nanos::ZERO, |(_, waited)| *waited);
    // No statement costs less than the kernel counted, nor more than who asks alone waits for.
    let cpu = |measured: &Measured| measured.cpu..=alone(measured).max(measured.cpu);
    let rest = |measured: &Measured| Nanos::ZERO..=alone(measured);
    let reading = |cpu, outside, at_once| closed::statement(one, cpu, false, at_once, outside);
    let (read, outside) = fit::two(&cpu(&by_key), &rest(&by_key), &by_key.waited, reading);
    let (counted, beside) = fit::two(&cpu(&scan), &rest(&scan), &scan.waited, reading);
    let flushing = |flush| DatabaseConfig { flush, ..one };
    let (written, flush) = fit::two(&cpu(&write), &rest(&write), &write.waited, |cpu, flush, at_once| {
        closed::statement(flushing(flush), cpu, true, at_once, outside)
    });

    let ms = |time: Nanos| time.as_millis_f64();
    for (statement, measured, cpu, config, outside) in [
        (&BY_KEY, &by_key, read, one, outside),
        (&SCAN, &scan, counted, one, beside),
        (&WRITE, &write, written, flushing(flush), outside),
    ] {
        for (at_once, waited) in &measured.waited {
            let model = closed::statement(config, cpu, statement.writes, *at_once, outside);
            points.push(Point::new(statement.what, Some(at_once.to_string()), "ms", ms(*waited), ms(model)));
        }
        points.push(Point::new("  its CPU, by the kernel", None, "ms", ms(measured.cpu), ms(cpu)));
    }
    points.push(Point::new("a connection, opened alone", None, "ms", ms(connect), ms(closed::opened(one, 1))));
    points.push(Point::new("  eight at once", Some("8".into()), "ms", ms(together), ms(closed::opened(one, 8))));
    let mut model = Database::new(one, Nanos::ZERO);
    let admitted = (0..=max_connections).take_while(|id| model.connect(Nanos::ZERO, *id).is_ok()).count();
    points.push(Point::new("connections before one is refused", None, "", refused.before as f64, admitted as f64));
    let figures = Figures::new();
    let source = format!(
        "measured: PostgreSQL {version} on one core of this machine, its own disk, data in memory, passwords by \
         SCRAM-SHA-256, asked over loopback"
    );
    let postgres = PostgresFigures { source, connect, connect_cpu, flush, read: Some(read), write: Some(written) };
    Ok(Calibration {
        schema: "rehearse/calibration/v1",
        server: format!(
            "PostgreSQL {version}, max_connections {max_connections}, on one core; the best of {ROUNDS} times {WHILE} a line"
        ),
        points,
        told: vec![
            format!(
                "fitted: {read} of CPU for a row by its key, {counted} for a count, {written} for a row written and \
                 {flush} until its commit is on disk; {outside} between answer and question is not the server's"
            ),
            format!(
                "opening a connection takes {connect_cpu} of CPU at the server, by the kernel; the rest of it is the \
                 client's, who derives a key from the password, and here has this machine's other cores for all of them"
            ),
            format!(
                "beyond {} connections: refused after {}, {}; the model refuses at once",
                refused.before, refused.after, refused.why
            ),
        ],
        figures: Figures { postgres: Some(postgres), ..figures },
    })
}

/// What connections take.
struct Connections {
    /// One that is opened alone: the median of many.
    alone: Nanos,
    /// What of that is CPU of the server, by the kernel's account.
    cpu: Nanos,
    /// The mean of eight that are opened at once.
    together: Nanos,
}

async fn connections(
    clock: &Clock,
    server: &Server,
    config: &Config,
    max_connections: u32,
) -> Result<Connections, tokio_postgres::Error> {
    let timed = async || {
        let began = clock.now();
        let client = connect(config).await?;
        Ok::<_, tokio_postgres::Error>((clock.now() - began, client))
    };
    // They stay open, for what a process had that has ended is in no account any more.
    let (mut alone, mut open) = (Vec::new(), Vec::new());
    let had = server.cpu();
    for _ in 0..OPENED.min(max_connections as usize / 2).max(1) {
        let (took, client) = timed().await?;
        alone.push(took);
        open.push(client);
    }
    let cpu = (server.cpu() - had) / open.len() as u64;
    drop(open);
    alone.sort_unstable();
    let alone = fit::whole(alone[alone.len() / 2]);
    let mut sum = Nanos::ZERO;
    for _ in 0..OPENED / 8 {
        clock.until(clock.now() + ENDING).await;
        for took in join_all((0..8).map(|_| timed())).await {
            sum += took?.0;
        }
    }
    Ok(Connections { alone, cpu: fit::whole(cpu).min(alone), together: sum / (OPENED / 8 * 8) as u64 })
}

/// How it refuses a connection.
struct Refused {
    before: usize,
    after: Nanos,
    why: String,
}

/// Opens connections until one is refused.
async fn filled(clock: &Clock, config: &Config) -> Result<Refused, String> {
    // Those that were closed just now are still ending.
    clock.until(clock.now() + ENDING).await;
    let mut held = Vec::new();
    loop {
        let began = clock.now();
        match connect(config).await {
            Ok(client) => held.push(client),
            Err(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => {
                let why = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
                // The one that made the data is among those that are open.
                return Ok(Refused { before: held.len() + 1, after: clock.now() - began, why });
            }
            Err(error) => return Err(format!("after {} connections: {error}", held.len())),
        }
    }
}

/// Has so many ask at once, each on a connection of its own with a prepared statement.
async fn asked(
    clock: &Clock,
    server: &Server,
    config: &Config,
    statement: &Statement,
) -> Result<Measured, tokio_postgres::Error> {
    let mut waited: Vec<(u32, Nanos)> = AT_ONCE.map(|at_once| (at_once, Nanos::MAX)).into();
    let (mut cpu, mut answers) = (Nanos::ZERO, 0);
    for (index, at_once) in (0..ROUNDS).flat_map(|_| AT_ONCE.into_iter().enumerate()) {
        let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for _ in 0..at_once {
            let client = connect(config).await?;
            let prepared = client.prepare(statement.sql).await?;
            client.query(&prepared, &[&1_i64]).await?; // its plan and its caches are made
            clients.push((client, prepared));
        }
        let (began, had) = (clock.now(), server.cpu());
        let tasks = clients.into_iter().enumerate().map(|(index, (client, prepared))| {
            let (over, done) = (Arc::clone(&over), Arc::clone(&done));
            tokio::spawn(async move {
                let mut key = index as u64;
                while !over.load(Ordering::Relaxed) {
                    key = (key * 2_654_435_761 + 1) % ROWS;
                    let parameter: &(dyn ToSql + Sync) = &(key as i64 + 1);
                    client.query(&prepared, &[parameter]).await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, tokio_postgres::Error>(client)
            })
        });
        let tasks: Vec<_> = tasks.collect();
        clock.until(clock.now() + WHILE).await;
        let (count, lasted, has) = (done.load(Ordering::Relaxed).max(1), clock.now() - began, server.cpu());
        over.store(true, Ordering::Relaxed);
        for ended in join_all(tasks).await.into_iter().flatten() {
            ended?;
        }
        waited[index].1 = waited[index].1.min(lasted * u64::from(at_once) / count);
        cpu += has - had;
        answers += count;
    }
    Ok(Measured { waited, cpu: cpu / answers.max(1) })
}
