//! How a pod reaches other services.

use std::pin::Pin;

use hyper::header::HeaderValue;
use model::CallProfile;
use record::Hops;
use units::RequestId;

/// What another service answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Where the time went there.
    pub hops: Hops,
}

/// Nobody answered: no endpoint, refused, or the connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service could not be reached")]
pub struct Unreachable;

/// Makes a pod's calls. In a rehearsal that is the fabric: it chooses the endpoint and sees who asks.
pub trait Outbound: Send + Sync {
    /// Makes `call` as request `id`, with the `Authorization` of whoever asked.
    fn call<'a>(
        &'a self,
        call: &'a CallProfile,
        id: RequestId,
        authorization: Option<&'a HeaderValue>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Unreachable>> + Send + 'a>>;
}
