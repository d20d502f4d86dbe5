//! Bodies of answers: whole, or a stream of server-sent events, one for each token.
//!
//! Source of the format: WHATWG HTML, 9.2 *Server-sent events*: `data:` lines, an empty line after each event. The last
//! one says `[DONE]`, as language models' interfaces do.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes as Data;
use clock::Clock;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use units::{Bytes, Nanos};

/// The media type of a stream.
pub(crate) const CONTENT_TYPE: &str = "text/event-stream";

/// The body of a mock service's answer.
#[derive(Debug)]
pub struct AnswerBody(Inner);

#[derive(Debug)]
enum Inner {
    Whole(Option<Data>),
    Stream(UnboundedReceiver<Data>),
}

impl From<Data> for AnswerBody {
    fn from(whole: Data) -> Self {
        Self(Inner::Whole(Some(whole).filter(|whole| !whole.is_empty())))
    }
}

impl Body for AnswerBody {
    type Data = Data;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Data>, Infallible>>> {
        match &mut self.get_mut().0 {
            Inner::Whole(whole) => Poll::Ready(whole.take().map(|whole| Ok(Frame::data(whole)))),
            Inner::Stream(events) => events.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Inner::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(whole) => SizeHint::with_exact(whole.as_ref().map_or(0, |whole| whole.len() as u64)),
            Inner::Stream(_) => SizeHint::default(),
        }
    }
}

/// A short answer in plain text.
pub(crate) fn whole(status: StatusCode, text: impl Into<Data>) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::from(text.into()));
    *response.status_mut() = status;
    response
}

/// One event of `size` now and one after each of `gaps`, each at its instant however late the one before it was. It
/// ends when its client has gone.
pub(crate) fn stream(clock: &Clock, gaps: Vec<Nanos>, size: Bytes) -> AnswerBody {
    let (sender, receiver) = unbounded_channel();
    let (clock, mut due) = (clock.clone(), clock.now());
    tokio::spawn(async move {
        let mut number = 0;
        let mut gaps = gaps.into_iter();
        while sender.send(event(number, size)).is_ok() {
            let Some(gap) = gaps.next() else {
                // Fails if the client has gone, who needs no end.
                sender.send(Data::from_static(b"data: [DONE]\n\n")).unwrap_or_default();
                return;
            };
            number += 1;
            due += gap;
            clock.until(due).await;
        }
    });
    AnswerBody(Inner::Stream(receiver))
}

/// A token's event of `size` bytes, or as few as it needs.
fn event(number: u32, size: Bytes) -> Data {
    let head = format!("data: {{\"token\":{number},\"text\":\"");
    let rest = (size.get() as usize).saturating_sub(head.len() + END.len());
    Data::from(head + &".".repeat(rest) + END)
}
const END: &str = "\"}\n\n";

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn tokens_come_one_by_one_at_their_instants() {
        let clock = Clock::start();
        let began = clock.now();
        let mut body = stream(&clock, vec![Nanos::from_millis(30); 3], Bytes::new(48));
        let mut seen = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            let data = frame.into_data().expect("there are no trailers");
            seen.push((String::from_utf8(data.to_vec()).unwrap(), clock.now() - began));
        }
        assert_eq!(seen.len(), 5);
        for (index, (event, at)) in seen[..4].iter().enumerate() {
            assert_eq!(event.len(), 48);
            assert!(event.starts_with(&format!("data: {{\"token\":{index},")) && event.ends_with("\n\n"), "{event}");
            assert!(*at >= Nanos::from_millis(30 * index as u64), "token {index} came at {at}");
        }
        assert_eq!(seen[4].0, "data: [DONE]\n\n");
    }
}
