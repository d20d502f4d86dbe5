//! The child's life as its parent sees it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use record::{Observation, ObservationError};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

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

/// A driver that stands ready or plays. Dropping it kills the child.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    orders: ChildStdin,
    frames: ChildStdout,
    buffer: Vec<u8>,
    /// Start of what is not yet decoded in `buffer`.
    read: usize,
    stderr: Arc<Mutex<Vec<u8>>>,
    listener: tokio::task::JoinHandle<()>,
    over: bool,
}

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
        let buffer = Vec::with_capacity(READ);
        let mut driver = Self { child, orders: input, frames, buffer, read: 0, stderr, listener, over: false };
        if let Err(error) = driver.send(orders).await {
            return Err(driver.cause_of(error).await);
        }
        match driver.frame().await? {
            Some(Frame::Ready) => Ok(driver),
            _ => Err(driver.died().await),
        }
    }

    /// Process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
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
        let status = match self.child.wait().await {
            Ok(status) => status,
            Err(error) => return error.into(),
        };
        drop((&mut self.listener).await); // ends with the pipe; a panic in it would only shorten the text
        let tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        DriverError::Died { status, stderr: String::from_utf8_lossy(&tail).trim().to_owned() }
    }
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
