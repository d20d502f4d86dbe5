//! Headers at the edge: what is passed on, what is added, and what an ingress says about origins.

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, LOCATION, ORIGIN, SERVER, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::http::HeaderMap;
use platform::{Ingress, Location, Upstream};

/// What ends at the gateway, as in `ngx_http_proxy_headers`; the length is that of the body we send.
const NOT_PASSED_ON: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    TE,
    EXPECT,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static(record::wire::CLIENT),
];

/// Headers of a request as the rules look them up.
pub(crate) struct Sent<'a>(pub(crate) &'a HeaderMap);

impl gateway::Headers for Sent<'_> {
    fn header(&self, name: &str) -> Option<String> {
        let mut values = self.0.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let first = values.next()?.to_owned();
        Some(values.fold(first, |all, value| all + ", " + value))
    }
}

/// The headers of a request behind the gateway: those of the client, with `proxy_set_header` over them. An empty value
/// takes a header away; without one of its own `Host` is `$proxy_host`, the upstream's name.
pub(crate) fn passed_on(
    client: &HeaderMap,
    location: &Location,
    upstream: &Upstream,
    value: impl Fn(&platform::Template) -> String,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(client.len() + location.set_headers.len());
    for (name, value) in client.iter().filter(|(name, _)| !NOT_PASSED_ON.contains(name)) {
        headers.append(name, value.clone());
    }
    if let Ok(host) = HeaderValue::from_str(&upstream.name) {
        headers.insert(HOST, host);
    }
    for (name, template) in &location.set_headers {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value(template).parse()) else {
            continue; // what HTTP does not allow is nginx's to refuse when it reads its file
        };
        let value: HeaderValue = value;
        if value.is_empty() {
            headers.remove(name);
        } else if !NOT_PASSED_ON.contains(&name) {
            headers.insert(name, value);
        }
    }
    headers
}

/// What the gateway adds to an answer of `status`, its own or another's.
pub(crate) fn add(headers: &mut HeaderMap, status: u16, in_force: Option<&Location>) {
    headers.insert(SERVER, HeaderValue::from_static("nginx"));
    for (name, value) in in_force.into_iter().flat_map(|location| location.added_headers(status)) {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value.parse()) {
            headers.insert(name, value);
        }
    }
}

/// Where to, if it can be said in a header.
pub(crate) fn locate(headers: &mut HeaderMap, there: &str) {
    if let Ok(there) = there.parse() {
        headers.insert(LOCATION, there);
    }
}

/// What an ingress says to a browser of an origin that it allows.
pub(crate) fn cors(headers: &mut HeaderMap, ingress: &Ingress, client: &HeaderMap, preflight: bool) {
    let origin = client.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    for (name, value) in gateway::ingress::cors_headers(ingress, origin, preflight) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
