//! A driver's life as its parent sees it: a child of this process, or one at the other end of a line.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use clock::Clock;
use record::{Observation, ObservationError};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::apart::{Apart, Clocks, Watched};
use crate::protocol::{Frame, Orders, Report, Update};

/// What is kept of the end of the child's stderr, bytes.
const TAIL: usize = 4 * 1024;
/// Read from the pipe at once, bytes: what it holds by default.
const READ: usize = 64 * 1024;

/// Why there is no driver, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The executable does not start.
    #[error("cannot start the load driver {}", exe.display())]
    Spawn {
        /// The executable.
        exe: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It ended before its load was over.
    #[error("the load driver ended early ({status}); its last words: {stderr}")]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// The end of its stderr.
        stderr: String,
    },
    /// One that somebody else has started ended before its load was over, or its line broke.
    #[error("load driver {name} ended early: {how}")]
    Gone {
        /// Its name.
        name: String,
        /// What is known.
        how: String,
    },
    /// A pipe to it failed.
    #[error("lost the load driver")]
    Pipe(#[from] io::Error),
    /// It sent something else than frames.
    #[error("the load driver does not speak our language")]
    Frame(#[from] ObservationError),
    /// Orders that JSON cannot hold.
    #[error("cannot write orders for the load driver")]
    Orders(#[from] serde_json::Error),
}

/// A driver that somebody else has started, as the child of another machine perhaps, and the way to its pipes.
pub struct Line {
    /// Its name, for messages.
    pub name: String,
    /// Its stdin.
    pub orders: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its stdout.
    pub frames: Box<dyn AsyncRead + Send + Unpin>,
    /// Ends when it has ended, or when nothing is heard of it any more: what is known of that.
    pub ended: Ended,
}

type Ended = Pin<Box<dyn Future<Output = String> + Send>>;

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A driver that stands ready or plays. Dropping it kills the child, or closes the line, which ends it.
pub struct Driver {
    owner: Owner,
    orders: Box<dyn AsyncWrite + Send + Unpin>,
    frames: Box<dyn AsyncRead + Send + Unpin>,
    buffer: Vec<u8>,
    /// Start of what is not yet decoded in `buffer`.
    read: usize,
    over: bool,
}

/// Who has started it.
enum Owner {
    /// We.
    Child { child: Child, stderr: Arc<Mutex<Vec<u8>>>, listener: tokio::task::JoinHandle<()> },
    /// Somebody else.
    Far { name: String, ended: Ended, clock: Clock, watched: Option<Watched> },
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("over", &self.over).finish_non_exhaustive()
    }
}

/// A clock on another machine is asked so often before the orders are given.
const PINGS: u64 = 20;

impl Driver {
    /// Starts `exe drive` in a process group of its own, which Ctrl-C does not reach, and waits until its workers
    /// stand. Then send [`Update::Doors`] and [`Update::Start`].
    pub async fn spawn(exe: &Path, orders: &Orders) -> Result<Self, DriverError> {
        let spawned = Command::new(exe)
            .arg("drive")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|source| DriverError::Spawn { exe: exe.to_owned(), source })?;
        let stderr = Arc::default();
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(frames), Some(words)) = pipes else { unreachable!("all three are piped above") };
        let listener = tokio::spawn(keep_tail(words, Arc::clone(&stderr)));
        Self::new(Owner::Child { child, stderr, listener }, Box::new(input), Box::new(frames)).stand(orders).await
    }

    /// The same of a driver that stands at the other end of a line: its clock is asked first, and its orders are told by
    /// that one. `clock`: the run's.
    pub async fn over(line: Line, orders: &Orders, clock: Clock) -> Result<Self, DriverError> {
        let Line { name, orders: input, frames, ended } = line;
        let owner = Owner::Far { name, ended, clock: clock.clone(), watched: None };
        let mut driver = Self::new(owner, input, frames);
        let mut best: Option<Apart> = None;
        for question in 0..PINGS {
            let asked = monotonic(&clock);
            if let Err(error) = driver.send(&Update::Ping(question)).await {
                return Err(driver.cause_of(error).await);
            }
            match driver.frame().await? {
                Some(Frame::Pong { question: of, monotonic_ns }) if of == question => {
                    best = Some(Apart::of(asked, monotonic_ns, monotonic(&clock)).or(best));
                }
                _ => return Err(driver.died().await),
            }
        }
        let first = best.unwrap_or(Apart::of(0, 0, 0));
        if let Owner::Far { watched, .. } = &mut driver.owner {
            *watched = Some(Watched::new(first));
        }
        driver.stand(&Orders { epoch_ns: first.theirs(orders.epoch_ns), ..orders.clone() }).await
    }

    fn new(
        owner: Owner,
        orders: Box<dyn AsyncWrite + Send + Unpin>,
        frames: Box<dyn AsyncRead + Send + Unpin>,
    ) -> Self {
        Self { owner, orders, frames, buffer: Vec::with_capacity(READ), read: 0, over: false }
    }

    async fn stand(mut self, orders: &Orders) -> Result<Self, DriverError> {
        if let Err(error) = self.send(orders).await {
            return Err(self.cause_of(error).await);
        }
        match self.frame().await? {
            Some(Frame::Ready) => Ok(self),
            _ => Err(self.died().await),
        }
    }

    /// Asks one on another machine what its clock says. Not cancel-safe.
    pub(crate) async fn ask_clock(&mut self) -> Result<(), DriverError> {
        let Owner::Far { clock, watched: Some(watched), .. } = &mut self.owner else { return Ok(()) };
        let question = watched.ask(monotonic(clock));
        self.update(&Update::Ping(question)).await
    }

    /// How well its clock is known; `None` if it reads ours.
    pub(crate) fn clocks(&self) -> Option<Clocks> {
        match &self.owner {
            Owner::Far { watched, .. } => watched.as_ref().map(Watched::told),
            Owner::Child { .. } => None,
        }
    }

    /// Process id, while it runs here.
    pub fn id(&self) -> Option<u32> {
        match &self.owner {
            Owner::Child { child, .. } => child.id(),
            Owner::Far { .. } => None,
        }
    }

    /// Tells the driver what changed. Not cancel-safe.
    pub async fn update(&mut self, update: &Update) -> Result<(), DriverError> {
        match self.send(update).await {
            Err(error) => Err(self.cause_of(error).await),
            sent => sent,
        }
    }

    /// The next report; `None` after the summary. Reports come in the order in which requests ended, up to 0.1 s
    /// late. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Report>, DriverError> {
        while !self.over {
            match self.frame().await? {
                Some(Frame::Observation(observation)) => return Ok(Some(Report::Observation(observation))),
                Some(Frame::Pulse(pulse)) => return Ok(Some(Report::Pulse(pulse))),
                Some(Frame::Summary(summary)) => {
                    self.over = true;
                    return Ok(Some(Report::Summary(summary)));
                }
                Some(Frame::Pong { question, monotonic_ns }) => {
                    if let Owner::Far { clock, watched: Some(watched), .. } = &mut self.owner {
                        watched.heard(question, monotonic_ns, monotonic(clock));
                    }
                }
                Some(Frame::Ready) => {}
                None => return Err(self.died().await),
            }
        }
        Ok(None)
    }

    async fn send(&mut self, message: &impl Serialize) -> Result<(), DriverError> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.orders.write_all(&line).await?;
        Ok(self.orders.flush().await?)
    }

    async fn frame(&mut self) -> Result<Option<Frame>, DriverError> {
        loop {
            if let Some(frame) = self.buffer[self.read..].first_chunk::<{ Observation::FRAME }>() {
                let frame = Frame::decode(frame)?;
                self.read += Observation::FRAME;
                return Ok(Some(frame));
            }
            self.buffer.drain(..self.read);
            self.read = 0;
            self.buffer.reserve(READ);
            if self.frames.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// A pipe that broke because the child died is told as the child's death.
    async fn cause_of(&mut self, error: DriverError) -> DriverError {
        match error {
            DriverError::Pipe(error) if error.kind() == io::ErrorKind::BrokenPipe => self.died().await,
            other => other,
        }
    }

    async fn died(&mut self) -> DriverError {
        match &mut self.owner {
            Owner::Child { child, stderr, listener } => {
                let status = match child.wait().await {
                    Ok(status) => status,
                    Err(error) => return error.into(),
                };
                drop(listener.await); // ends with the pipe; a panic in it would only shorten the text
                let tail = stderr.lock().unwrap_or_else(PoisonError::into_inner);
                DriverError::Died { status, stderr: String::from_utf8_lossy(&tail).trim().to_owned() }
            }
            Owner::Far { name, ended, .. } => DriverError::Gone { name: name.clone(), how: ended.as_mut().await },
        }
    }
}

/// What `CLOCK_MONOTONIC` of this machine says.
fn monotonic(clock: &Clock) -> u64 {
    clock.epoch() + clock.now().get()
}

/// Reads to the end, and keeps the end.
async fn keep_tail(mut words: impl AsyncRead + Unpin, tail: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = [0; 1_024];
    while let Ok(length @ 1..) = words.read(&mut chunk).await {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&chunk[..length]);
        let excess = tail.len().saturating_sub(TAIL);
        tail.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_end_of_stderr_is_kept() {
        let words: Vec<u8> = (0..20_000_u32).map(|i| (i % 251) as u8).collect();
        let tail = Arc::default();
        keep_tail(words.as_slice(), Arc::clone(&tail)).await;
        assert_eq!(*tail.lock().unwrap(), words[words.len() - TAIL..]);
    }
}
