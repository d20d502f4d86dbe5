//! Bodies of a gateway's answers: whole, or passed on as they come.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::fabric::Driven;

/// The body of an answer at the edge.
#[derive(Debug)]
pub(crate) enum EdgeBody {
    Whole(Option<Bytes>),
    Passed(Box<Passed>),
}

/// What an upstream says, piece by piece, as nginx passes it on with `proxy_buffering off`.
#[derive(Debug)]
pub(crate) struct Passed {
    incoming: Incoming,
    connection: Driven,
    /// `proxy_read_timeout`: between two pieces.
    limit: Duration,
    patience: Pin<Box<Sleep>>,
    /// What the request holds at the gateway until its answer has gone out.
    _held: Box<dyn fmt::Debug + Send + Sync>,
}

impl EdgeBody {
    pub(crate) fn passed(
        incoming: Incoming,
        connection: Driven,
        limit: Duration,
        held: impl fmt::Debug + Send + Sync + 'static,
    ) -> Self {
        let patience = Box::pin(sleep(limit));
        Self::Passed(Box::new(Passed { incoming, connection, limit, patience, _held: Box::new(held) }))
    }
}

#[expect(clippy::disallowed_methods, reason = "a limit of many seconds: a millisecond more does not matter here")]
fn sleep(limit: Duration) -> Sleep {
    tokio::time::sleep(limit)
}

impl From<Bytes> for EdgeBody {
    fn from(whole: Bytes) -> Self {
        Self::Whole(Some(whole).filter(|whole| !whole.is_empty()))
    }
}

/// Why an answer breaks off: its connection is closed before its end, as nginx does.
type Broken = Box<dyn Error + Send + Sync>;

impl Body for EdgeBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let passed = match self.get_mut() {
            Self::Whole(whole) => return Poll::Ready(whole.take().map(|whole| Ok(Frame::data(whole)))),
            Self::Passed(passed) => passed,
        };
        // The connection's end is the body's to tell.
        passed.connection.drive(context);
        if let Poll::Ready(frame) = Pin::new(&mut passed.incoming).poll_frame(context) {
            passed.patience.as_mut().reset(Instant::now() + passed.limit);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match passed.patience.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_none(),
            Self::Passed(passed) => passed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => SizeHint::with_exact(whole.as_ref().map_or(0, |whole| whole.len() as u64)),
            Self::Passed(passed) => passed.incoming.size_hint(),
        }
    }
}
