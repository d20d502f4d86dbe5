//! The child's life: orders in, observations out, gone when its parent is.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::thread;

use clock::Clock;
use rustix::process::{Resource, Rlimit};
use rustix::time::ClockId;
use tokio::sync::oneshot;

use crate::exchange::Player;
use crate::protocol::{Frame, Orders, Summary, Update};
use crate::{crew, pulse, schedule};

/// Descriptors that the process needs for itself.
const OWN: usize = 64;

/// Why a driver cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The first line on stdin is no orders.
    #[error("the driver's first line of input is no orders; it is started by `rehearse run`, not by hand")]
    Orders(#[source] serde_json::Error),
    /// A later line on stdin is no update.
    #[error("a line of the driver's input is no update: parent and driver are of different versions")]
    Update(#[source] serde_json::Error),
    /// The plan uses more clients than there are addresses.
    #[error("the plan uses {clients} clients but was given {addresses} addresses")]
    Addresses {
        /// What the plan uses.
        clients: u32,
        /// What it was given.
        addresses: usize,
    },
    /// A step cannot be put on the wire.
    #[error("step `{step}` has a {what} that HTTP does not allow")]
    Step {
        /// Its name.
        step: String,
        /// `method`, `path` or `host`.
        what: &'static str,
    },
    /// A pipe or a file descriptor.
    #[error("the driver cannot use its pipes")]
    Io(#[from] io::Error),
    /// Goose ended before the load did.
    #[error("goose: {0}")]
    Goose(String),
}

/// The whole of `rehearse drive`: reads stdin, writes stdout, returns when the load is over or stdin ends. Runs once
/// in a process, and changes it: stdout leads to `/dev/null` afterwards, the limit of file descriptors is the hard
/// one, and SIGINT is ignored.
pub fn drive() -> Result<(), DriveError> {
    let out = take_stdout()?;
    let descriptors = raise_descriptor_limit();
    // Goose would end the process at the second SIGINT. The end of input ends a driver, nothing else; a handler that
    // was there before stays.
    drop(ctrlc::set_handler(|| {}));

    let mut out = File::from(out);
    let mut first = String::new();
    loop {
        first.clear();
        if io::stdin().lock().read_line(&mut first)? == 0 {
            return Ok(()); // the parent thought better of it
        }
        let Ok(Update::Ping(question)) = serde_json::from_str(&first) else { break };
        out.write_all(&pong(question).encode())?;
    }
    let Orders { plan, part, epoch_ns, clients, workers, proof, sender } =
        serde_json::from_str(&first).map_err(DriveError::Orders)?;
    if clients.len() < plan.clients as usize {
        return Err(DriveError::Addresses { clients: plan.clients, addresses: clients.len() });
    }
    // A worker without a descriptor could only fail: better that its request waits for one that has.
    let workers = workers.unwrap_or_else(|| crew::workers_for(&plan, part)).min(descriptors.saturating_sub(OWN)).max(1);
    let lanes = crew::lanes(&plan, part, workers);
    let workers = lanes.iter().map(|lane| lane.workers).sum();
    // One plan in the life of the process, used by threads of three kinds until its end.
    let player: &'static Player =
        Box::leak(Box::new(Player::new((plan, part), Clock::with_epoch(epoch_ns), (clients, proof), &lanes, sender)?));

    let writer = thread::Builder::new().name("frames".to_owned()).spawn(move || player.sink.write(&mut out));
    let writer = writer?;
    let (hang_up, hung_up) = oneshot::channel();
    thread::Builder::new().name("orders".to_owned()).spawn(move || hang_up.send(follow(player)))?;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let crew = runtime.spawn(crew::attack(player, lanes));
    let end = runtime.block_on(async {
        tokio::select! {
            biased; // when all is done, goose's users leave too
            () = player.backlog.finished() => Ok(true),
            said = hung_up => said.unwrap_or(Ok(())).map(|()| false),
            left = crew => Err(DriveError::Goose(match left {
                Ok(Ok(())) => "all users left before the load was over".to_owned(),
                Ok(Err(error)) => format!("{error:?}"), // its Display hides the detail
                Err(error) => error.to_string(),
            })),
        }
    });
    runtime.shutdown_background(); // goose needs half a second to notice the end
    if end? {
        player.sink.close(Frame::Summary(summary(player, workers)));
        writer.join().unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// Follows updates until the end of input.
fn follow(player: &'static Player) -> Result<(), DriveError> {
    for line in io::stdin().lock().lines() {
        match serde_json::from_str(&line?).map_err(DriveError::Update)? {
            Update::Doors(doors) => player.clients.set_doors(doors),
            Update::Start { load_start } => schedule::start(player, load_start),
            Update::Stop => player.backlog.stop(),
            Update::Ping(question) => player.sink.urgent(pong(question)),
        }
    }
    Ok(())
}

/// What our clock says.
fn pong(question: u64) -> Frame {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    Frame::Pong { question, monotonic_ns: now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64 }
}

/// Keeps stdout for frames, and gives `/dev/null` to whoever prints: goose does.
fn take_stdout() -> io::Result<OwnedFd> {
    let out = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(out)
}

/// Every connection is a descriptor. An unprivileged process may raise its limit to the hard one; if that fails, the
/// old limit holds. Returns the limit.
fn raise_descriptor_limit() -> usize {
    let Rlimit { current, maximum } = rustix::process::getrlimit(Resource::Nofile);
    let raised = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.map_or(usize::MAX, |limit| limit as usize)
}

fn summary(player: &Player, workers: usize) -> Summary {
    let (counts, marks) = (&player.counts, player.backlog.marks());
    Summary {
        arrivals: counts.arrivals.load(Ordering::Relaxed),
        requests: counts.requests.load(Ordering::Relaxed),
        not_sent: counts.not_sent.load(Ordering::Relaxed),
        connections: player.clients.opened(),
        cpu_us: pulse::cpu_us(),
        backlog_max: marks.due_max,
        workers: workers as u32,
        busy_max: marks.busy_max,
        starved: marks.starved,
        late_p99_us: player.lateness.p99_us(),
    }
}
