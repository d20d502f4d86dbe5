//! `mock-service`: one program that becomes any service of a platform by its profile.
//!
//! It writes no file and needs no privilege: it runs as nobody on a read-only root. SIGTERM and SIGINT end it
//! gracefully, a second one at once.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes as Body;
use clap::Parser;
use clock::Clock;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use model::data::DataOp;
use model::{CallProfile, Job, LIBRARY_CONNECT, Profile, Station};
use record::{Hops, wire};
use server::{
    Alone, Answer, Burn, DataPlaces, Hooked, Listening, LiveStation, Metrics, MockService, Outbound, RealData,
    SentinelPlace, Surroundings, Unreachable, Writes,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use units::{Bytes, Millicores, Nanos, RequestId, Seed};

/// A mock service: it answers over HTTP with the timing, the sizes and the failures of its profile.
#[derive(Debug, Parser)]
#[command(name = "mock-service", version)]
struct Args {
    /// The workload to be: a shipped profile, or the only one in --profile
    #[arg(required_unless_present_any = ["profile", "list"])]
    workload: Option<String>,
    /// A profile of your own
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Name the shipped profiles and end
    #[arg(long)]
    list: bool,
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8000")]
    listen: SocketAddr,
    /// Path of the health check
    #[arg(long, value_name = "PATH", default_value = "/health")]
    health: Vec<String>,
    /// CPU limit to account by, such as 500m
    #[arg(long, value_name = "CPU")]
    cpu_limit: Option<Millicores>,
    /// Memory limit to account by, such as 1Gi: beyond it the program ends with code 137
    #[arg(long, value_name = "BYTES")]
    memory_limit: Option<Bytes>,
    /// Really use the CPU and the memory that are accounted for, so that whoever counts from outside sees them
    #[arg(long)]
    burn: bool,
    /// Where a called service is, instead of `http://SERVICE:80`: auth-service=127.0.0.1:9000
    #[arg(long = "at", value_name = "SERVICE=HOST:PORT", value_parser = place)]
    places: Vec<(String, String)>,
    /// Number to tell in answers, where pods of a rehearsal are counted
    #[arg(long, default_value_t = 0)]
    number: u16,
    /// The pod's own IPv4 address, whose last two numbers are the number to tell: pods of a workload are told the same
    /// otherwise, and nobody counts them
    #[arg(long, value_name = "ADDR", conflicts_with = "number")]
    pod_ip: Option<Ipv4Addr>,
    /// Clients come through a gateway that passes the ids of their requests on unread
    #[arg(long)]
    behind_gateway: bool,
    /// A real PostgreSQL to ask, in which the profile's database has a table of records; by itself each query takes the
    /// profile's time
    #[arg(long, value_name = "HOST:PORT")]
    postgres: Option<String>,
    /// A real Redis to ask; by itself each operation takes the profile's time
    #[arg(long, value_name = "HOST:PORT")]
    redis: Option<String>,
    /// A sentinel to ask which Redis is the master, and what it calls it, instead of --redis
    #[arg(long, value_name = "HOST:PORT/NAME", value_parser = sentinel)]
    redis_sentinel: Option<SentinelPlace>,
    /// Upper edges of the latency buckets of /metrics, seconds, in order, instead of its own: 0.1,0.5,1
    #[arg(long, value_name = "SECONDS", value_delimiter = ',', value_parser = edge)]
    buckets: Vec<Nanos>,
    /// Seed of everything that chance decides
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds that SIGTERM leaves for what is in flight
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u64,
    /// File with the token that opens the fault hooks; without one there are none
    #[arg(long, value_name = "FILE")]
    hooks_token: Option<PathBuf>,
}

fn sentinel(text: &str) -> Result<SentinelPlace, String> {
    let (at, master) = text.split_once('/').ok_or("it is HOST:PORT/NAME")?;
    Ok(SentinelPlace { at: at.to_owned(), master: master.to_owned() })
}

fn place(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((service, at)) if !service.is_empty() && at.contains(':') => Ok((service.to_owned(), at.to_owned())),
        _ => Err("it reads SERVICE=HOST:PORT".to_owned()),
    }
}

/// The number of a pod by its address: unique within a network of 65,536 addresses, such as kind's.
fn of_address(address: Ipv4Addr) -> u16 {
    let [_, _, third, fourth] = address.octets();
    u16::from_be_bytes([third, fourth])
}

fn edge(text: &str) -> Result<Nanos, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds.is_finite() => Ok(Nanos::from_secs_f64(seconds)),
        _ => Err("an edge is a number of seconds above 0".to_owned()),
    }
}

/// As the kernel's end of a process that took too much memory looks to a kubelet.
const OUT_OF_MEMORY: u8 = 137;

#[expect(clippy::print_stdout, reason = "a program's own words")]
fn main() -> ExitCode {
    let args = Args::parse();
    if args.list {
        for (file, _) in model::PROFILES {
            println!("{}", file.trim_end_matches(".yaml"));
        }
        return ExitCode::SUCCESS;
    }
    let run = || {
        let profile = profile(&args)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
        runtime.block_on(serve(&args, profile))
    };
    match run() {
        Ok(code) => code,
        Err(why) => {
            say(&why);
            ExitCode::from(2)
        }
    }
}

/// The profile to be, or what is wrong with it.
fn profile(args: &Args) -> Result<Profile, String> {
    if let Some(path) = &args.profile {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
        return Profile::parse(&text, &name).map_err(|error| error.to_string());
    }
    let wanted = args.workload.as_deref().unwrap_or_default();
    let mut shipped = model::shipped().map_err(|error| error.to_string())?;
    shipped.remove(wanted).ok_or_else(|| format!("there is no profile `{wanted}`: --list names the shipped ones"))
}

/// The program's own words. Who does not hear them, or has nowhere to write, is no reason to end.
fn say(words: &str) {
    writeln!(io::stderr().lock(), "mock-service: {words}").ok();
}

async fn serve(args: &Args, profile: Profile) -> Result<ExitCode, String> {
    let token = args.hooks_token.as_ref().map(|path| {
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        match text.trim() {
            "" => Err(format!("{} holds no token", path.display())),
            token => Ok(token.to_owned()),
        }
    });
    let token = token.transpose()?;
    // Before it listens: whoever sees it listen may end it.
    let listen = |kind| signal(kind).map_err(|error| format!("cannot hear signals: {error}"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let clock = Clock::start();
    let places = DataPlaces {
        postgres: args.postgres.clone(),
        redis: args.redis.clone(),
        sentinel: args.redis_sentinel.clone(),
    };
    let around = Arc::new(Process {
        data: RealData::new(places, profile.pool.clone()),
        out_of_memory: Notify::new(),
        burn: args.burn.then(Burn::default),
    });
    let station = Station::new(profile.station(args.cpu_limit, args.memory_limit), clock.now());
    let station = LiveStation::new(station, clock, Arc::clone(&around) as Arc<dyn Surroundings>);
    if let Some(burn) = &around.burn {
        burn.start(&station, profile.workers).map_err(|error| format!("cannot burn: {error}"))?;
    }
    let name = profile.workload.clone();
    let service = MockService {
        number: args.pod_ip.map_or(args.number, of_address),
        profile: Arc::new(profile),
        health: args.health.clone(),
        seed: Seed::new(args.seed),
        behind_gateway: args.behind_gateway,
        station,
        metrics: if args.buckets.is_empty() { Metrics::default() } else { Metrics::new(args.buckets.clone().into()) },
        records: Arc::default(),
        outbound: Arc::new(Http { places: args.places.clone() }),
    };
    let hooks = if token.is_some() { "on" } else { "off" };
    let service = Arc::new(Hooked::new(service, token));
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let at = listener.local_addr().unwrap_or(args.listen);
    let listening = Listening::serve(listener, Arc::clone(&service), None);
    say(&format!("{name} listens on {at}, fault hooks {hooks}"));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = service.crashed() => return Ok(ExitCode::FAILURE),
        () = around.out_of_memory.notified() => return Ok(ExitCode::from(OUT_OF_MEMORY)),
    }
    say(&format!("ending; {} s for what is in flight", args.grace));
    let ended = tokio::time::timeout(Duration::from_secs(args.grace), listening.terminate());
    tokio::select! {
        ended = ended => Ok(if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        _ = terminate.recv() => Ok(ExitCode::FAILURE),
        _ = interrupt.recv() => Ok(ExitCode::FAILURE),
    }
}

/// What is around a station that is a process of its own: the servers it was told of, and an end when its memory is
/// used up.
#[derive(Debug)]
struct Process {
    data: RealData,
    out_of_memory: Notify,
    burn: Option<Burn>,
}

impl Surroundings for Process {
    fn ask(&self, station: &LiveStation, tag: u64, job: Job, op: DataOp) {
        if !self.data.ask(station, tag, job, op) {
            Alone.ask(station, tag, job, op);
        }
    }

    fn out_of_memory(&self) {
        self.out_of_memory.notify_one();
    }

    fn writes(&self) -> Option<Writes> {
        self.data.writes()
    }

    fn unburnt(&self) -> Option<Nanos> {
        self.burn.as_ref().map(Burn::unburnt)
    }
}

/// Calls over plain HTTP, on a connection each.
struct Http {
    places: Vec<(String, String)>,
}

/// How long an answer is waited for; whoever asked gives up earlier.
const ANSWER: Duration = Duration::from_mins(1);

impl Outbound for Http {
    fn call<'a>(
        &'a self,
        call: &'a CallProfile,
        id: RequestId,
        authorization: Option<&'a HeaderValue>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Unreachable>> + Send + 'a>> {
        Box::pin(async move {
            let known = self.places.iter().find(|(service, _)| *service == call.service);
            let at = known.map_or_else(|| format!("{}:80", call.service), |(_, at)| at.clone());
            let connecting = tokio::time::timeout(Duration::from_nanos(LIBRARY_CONNECT.get()), TcpStream::connect(at));
            let stream = connecting.await.map_err(|_| Unreachable)?.map_err(|_| Unreachable)?;
            let asking = tokio::time::timeout(ANSWER, ask(stream, call, id, authorization));
            asking.await.map_err(|_| Unreachable)?.map_err(|_| Unreachable)
        })
    }
}

async fn ask(
    stream: TcpStream,
    call: &CallProfile,
    id: RequestId,
    authorization: Option<&HeaderValue>,
) -> io::Result<Answer> {
    let (method, path) = call.request.split_once(' ').unwrap_or(("GET", &call.request));
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, &call.service)
        .header(CONNECTION, "close")
        .header(wire::REQUEST, id.to_string())
        .body(Full::<Body>::default())
        .map_err(io::Error::other)?;
    request.headers_mut().extend(authorization.map(|value| (AUTHORIZATION, value.clone())));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let hops = response.headers().get(wire::HOPS).and_then(|hops| Hops::from_header(hops.to_str().ok()?));
        let status = response.status().as_u16();
        response.into_body().collect().await?;
        Ok::<_, hyper::Error>(Answer { status, hops: hops.unwrap_or_default() })
    };
    tokio::pin!(answer, connection);
    let answered = tokio::select! {
        biased;
        answered = &mut answer => answered,
        _ = &mut connection => answer.await,
    };
    answered.map_err(io::Error::other)
}
