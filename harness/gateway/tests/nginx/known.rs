//! What still differs, pinned from both sides: the list in `docs/fidelity.md` is this table. A difference that goes away
//! fails here, so that the list is shortened.

use gateway::{Exchange, Reply};

use crate::child::{ADDRESS, CLIENT, Nginx, lease, usable};
use crate::traffic::{connect, exchange};

#[tokio::test]
async fn the_known_differences_are_as_listed() {
    if !usable("the_known_differences_are_as_listed") {
        return;
    }
    let port = lease();
    let http = format!(
        "access_log off;\nserver {{ listen {ADDRESS}:{port}; location /a/ {{ return 200 a; }} location = /status {{ \
         stub_status; }} location /closed/ {{ deny all; stub_status; }} }}\nserver {{ listen {ADDRESS}:{port}; \
         server_name b; location /a/b {{ return 201; }} location / {{ return 202; }} }}"
    );
    let config = manifests::nginx::parse(&format!("http {{\n{http}\n}}"), "nginx.conf").unwrap().config;
    let _nginx = Nginx::start(&http, "alert", port);
    for (case, request, host, target, theirs, ours) in [
        ("HTTP/1.1 without a host", "GET /a/ HTTP/1.1", "", "/a/", 400, 200),
        ("a host in the request line", "GET http://b/x HTTP/1.1\r\nHost: a", "a", "/x", 202, 404),
        // These agree, and are kept beside what does not.
        ("a method that files do not know, where nothing is", "PUT /x HTTP/1.1\r\nHost: a", "a", "/x", 405, 405),
        ("a method that stub_status does not know", "POST /status HTTP/1.1\r\nHost: a", "a", "/status", 405, 405),
        ("deny", "GET /closed/ HTTP/1.1\r\nHost: a", "a", "/closed/", 403, 403),
    ] {
        let request = format!("{request}\r\nContent-Length: 0\r\n\r\n");
        let response = exchange(&mut connect(CLIENT, port).await, request.as_bytes()).await;
        assert_eq!(response.status, theirs, "{case}: nginx");
        let method = request.split(' ').next().unwrap();
        let routed = Exchange::new(gateway::route(&config, port, host, target));
        let mut exchange = routed.from_client(&config, CLIENT.into()).by(method);
        let gateway::Ask::Reply(Reply { status, .. }) = exchange.begin(&config) else {
            panic!("{case} is not limited")
        };
        assert_eq!(status, ours, "{case}: ours");
    }
}
