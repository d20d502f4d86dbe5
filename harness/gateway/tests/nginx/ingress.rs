//! The ingress hop: what `gateway::ingress` makes of Ingress objects against an nginx.conf that says the same by hand,
//! in the way of ingress-nginx's own template, on the real nginx.

use std::net::IpAddr;

use gateway::{Offered, Replay, Script};
use platform::{Ingress, IngressPolicy, IngressRule, PathType, Place, PortRef};
use units::{Bytes, Nanos, Rate};

use crate::child::{ADDRESS, CLIENT, Nginx, lease, usable};
use crate::traffic::{connect, exchange, upstream};

fn ingress(name: &str, host: &str, paths: &[(&str, PathType)], policy: IngressPolicy) -> Ingress {
    let rule = |(path, path_type): &(&str, PathType)| IngressRule {
        host: host.into(),
        path: (*path).into(),
        path_type: *path_type,
        service: name.into(),
        port: PortRef::Number(80),
        place: Place::default(),
    };
    Ingress {
        name: name.into(),
        namespace: "shop".into(),
        rules: paths.iter().map(rule).collect(),
        policy,
        ..Ingress::default()
    }
}

#[tokio::test]
async fn an_ingress_is_the_configuration_that_says_the_same() {
    if !usable("an_ingress_is_the_configuration_that_says_the_same") {
        return;
    }
    let port = lease();
    let echo = upstream().await;
    let ingresses = [
        ingress(
            "paths",
            "paths.test",
            &[
                ("/a", PathType::Prefix),
                ("/a/exact", PathType::Exact),
                ("/b/", PathType::Prefix),
                ("/c", PathType::ImplementationSpecific),
            ],
            IngressPolicy::default(),
        ),
        ingress(
            "rewritten",
            "rewritten.test",
            &[("/old(/|$)(.*)", PathType::ImplementationSpecific)],
            IngressPolicy { rewrite_target: Some("/new/$2".into()), ..IngressPolicy::default() },
        ),
        ingress(
            "limited",
            "limited.test",
            &[("/", PathType::Prefix)],
            IngressPolicy {
                limit_rpm: Some("2/m".parse::<Rate>().unwrap()),
                body_size: Some(Bytes::new(1_024)),
                ..IngressPolicy::default()
            },
        ),
        ingress(
            "secure",
            "secure.test",
            &[("/", PathType::Prefix)],
            IngressPolicy { ssl_redirect: Some(true), ..IngressPolicy::default() },
        ),
    ];
    let config = gateway::ingress::config(&ingresses.iter().collect::<Vec<_>>());
    let pass = format!("proxy_pass http://{ADDRESS}:{echo};");
    let listen = format!("listen {ADDRESS}:{port}");
    let http = format!(
        "access_log off;\nlimit_req_zone $binary_remote_addr zone=rpm:5m rate=2r/m;\nclient_max_body_size 1m;\n\
         server {{ {listen} default_server; server_name _; location / {{ return 404; }} }}\n\
         server {{ {listen}; server_name paths.test;\n\
         location = /a/exact {{ {pass} }} location /a/ {{ {pass} }} location = /a {{ {pass} }}\n\
         location /b/ {{ {pass} }} location = /b {{ {pass} }} location /c {{ {pass} }} location / {{ return 404; }} }}\n\
         server {{ {listen}; server_name rewritten.test;\n\
         location ~* \"^/old(/|$)(.*)\" {{ rewrite \"(?i)/old(/|$)(.*)\" /new/$2 break; {pass} }} location / {{ return 404; }} }}\n\
         server {{ {listen}; server_name limited.test;\n\
         location / {{ limit_req zone=rpm burst=10 nodelay; client_max_body_size 1k; {pass} }} }}\n\
         server {{ {listen}; server_name secure.test; location / {{ return 308 https://$host$request_uri; }} }}"
    );
    let _nginx = Nginx::start(&http, "alert", port);
    let mut requests = Vec::new();
    let mut add = |host: &str, method: &str, target: &str, body: Option<u64>| {
        requests.push(Offered {
            at: Nanos::from_secs(1_000) + Nanos::from_millis(requests.len() as u64),
            pod: None,
            peer: IpAddr::V4(CLIENT),
            port: 80,
            local: None,
            tls: false,
            host: host.into(),
            method: method.into(),
            target: target.into(),
            headers: vec![],
            body,
            lasts: Nanos::ZERO,
            script: Script::default(),
        });
    };
    for path in [
        "/a",
        "/a/",
        "/a/x",
        "/ab",
        "/a/exact",
        "/a/exact/",
        "/a/exactly",
        "/b",
        "/b/",
        "/b/x",
        "/bx",
        "/c",
        "/cx",
        "/c/x",
        "/",
        "/A",
    ] {
        add("paths.test", "GET", path, None);
    }
    for path in ["/old", "/old/", "/old/x/y?q=1", "/OLD/x", "/older", "/x/old/y", "/"] {
        add("rewritten.test", "GET", path, None);
    }
    for length in [1, 1_024, 1_025] {
        add("limited.test", "POST", "/", Some(length));
    }
    for _ in 0..14 {
        add("limited.test", "GET", "/x", None);
    }
    add("secure.test", "GET", "/deep?x=1", None);
    add("unknown.test", "GET", "/a", None);
    let outcomes = Replay::new(&config, 1, 1).play(&requests);
    let mut statuses = std::collections::BTreeMap::new();
    for (request, outcome) in requests.iter().zip(&outcomes) {
        let Offered { method, target, host, body, .. } = request;
        let length = body.map_or_else(String::new, |length| format!("Content-Length: {length}\r\n"));
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n").into_bytes();
        text.extend(vec![b'b'; body.unwrap_or(0) as usize]);
        let response = exchange(&mut connect(CLIENT, port).await, &text).await;
        assert_eq!(outcome.reply.status, response.status, "{method} {host}{target} {body:?}");
        if response.status == 200 {
            assert_eq!(outcome.upstream_target.as_deref(), Some(response.body.as_str()), "{host}{target}");
        }
        if response.status == 308 {
            assert_eq!(outcome.text.as_deref(), response.header("Location"), "{host}{target}");
        }
        *statuses.entry(response.status).or_insert(0) += 1;
    }
    println!("ingress: {} requests, {statuses:?}", requests.len());
    assert!([200, 308, 404, 413, 503].iter().all(|status| statuses.contains_key(status)), "{statuses:?}");
}
