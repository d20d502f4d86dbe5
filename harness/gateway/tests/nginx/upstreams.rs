//! Upstreams of several servers, request by request: who is asked, in which order, and what the client is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use gateway::{Broken, Ending, Offered, Replay, Script};
use units::{Nanos, Purpose, Seed};

use crate::child::{ADDRESS, CLIENT, Nginx, lease, usable};
use crate::traffic::{connect, exchange, upstream};

const SEED: Seed = Seed::new(223);
/// Requests to each upstream.
const REQUESTS: u64 = 120;

/// Name, balancing, and a parameter list for each of three live servers and a dead one.
const UPSTREAMS: [(&str, &str, [&str; 4]); 11] = [
    ("turns", "", ["", "", "", "max_fails=2"]),
    ("weights", "", ["weight=5", "weight=2", "", "weight=3 max_fails=0"]),
    ("patient", "", ["max_fails=4", "max_fails=5 weight=2", "max_fails=0", "max_fails=6"]),
    ("backup", "", ["", "backup", "down", "max_fails=3"]),
    ("least", "least_conn;", ["weight=3", "", "", "max_fails=2"]),
    ("least-backup", "least_conn;", ["max_fails=2", "backup", "backup", "backup"]),
    ("by-address", "ip_hash;", ["", "weight=2", "", ""]),
    ("by-address-down", "ip_hash;", ["max_fails=0", "down", "max_fails=0", "down"]),
    ("by-key", "hash $arg_k;", ["max_fails=0", "max_fails=0 weight=3", "max_fails=0", "max_fails=2"]),
    ("by-ring", "hash $arg_k consistent;", ["max_fails=0", "max_fails=0", "max_fails=0 weight=2", "down"]),
    ("by-ring-dead", "hash $uri$arg_k consistent;", ["max_fails=0", "max_fails=0", "max_fails=0", "max_fails=1"]),
];

const NEXT: [&str; 4] = [
    "",
    "proxy_next_upstream error timeout http_500;",
    "proxy_next_upstream error http_500 non_idempotent; proxy_next_upstream_tries 2;",
    "proxy_next_upstream off;",
];

fn http(port: u16, servers: [u16; 4]) -> String {
    let mut http = String::from("access_log off;\n");
    for (name, balance, parameters) in UPSTREAMS {
        let list = servers.iter().zip(parameters).map(|(server, parameters)| {
            format!(
                "server {ADDRESS}:{server} {parameters} {};",
                if parameters.contains("down") { "" } else { "fail_timeout=100s" }
            )
        });
        http += &format!("upstream {name} {{ {balance} {} }}\n", list.collect::<String>());
    }
    http += &format!("server {{ listen {ADDRESS}:{port};\n");
    for (index, (name, ..)) in UPSTREAMS.iter().enumerate() {
        let next = NEXT[index % NEXT.len()];
        http += &format!(
            "location /{name}/ {{ {next} add_header X-Peers \"$upstream_addr\" always; proxy_pass http://{name}; }}\n"
        );
    }
    http + "}"
}

fn offered(nth: u64, name: &str, port: u16, servers: [u16; 4]) -> Offered {
    let draw = |purpose| SEED.child(name).draw_nth(nth, purpose);
    let path = ["ok", "ok", "ok", "ok", "ok", "fail", "fail", "reset"][draw(Purpose::Failure).below(8)];
    let ending = match path {
        "fail" => Ending::Status(500),
        "reset" => Ending::Broken(Broken::Reset),
        _ => Ending::Status(200),
    };
    let address = |server: u16| format!("{ADDRESS}:{server}");
    let mut script: BTreeMap<_, _> = servers[..3].iter().map(|server| (address(*server), ending)).collect();
    script.insert(address(servers[3]), Ending::Broken(Broken::Connect));
    // The third byte is what ip_hash tells apart.
    let client = Ipv4Addr::new(127, 93, draw(Purpose::Client).below(40) as u8, 1);
    Offered {
        at: Nanos::from_secs(1_000) + Nanos::from_millis(nth),
        pod: None,
        peer: IpAddr::V4(client),
        port,
        local: None,
        tls: false,
        host: "a".into(),
        method: if draw(Purpose::Payload).below(4) == 0 { "POST".into() } else { "GET".into() },
        target: format!("/{name}/{path}?k={}", draw(Purpose::Journey).below(60)),
        headers: vec![],
        body: Some(0),
        lasts: Nanos::ZERO,
        script: Script { servers: script, tries: vec![] },
    }
}

#[tokio::test]
async fn the_same_servers_are_asked() {
    if !usable("the_same_servers_are_asked") {
        return;
    }
    let port = lease();
    let servers = [upstream().await, upstream().await, upstream().await, lease()];
    let http = http(port, servers);
    let config = manifests::nginx::parse(&format!("http {{\n{http}\n}}"), "nginx.conf").unwrap().config;
    let _nginx = Nginx::start(&http, "alert", port);
    let [mut tries, mut differences] = [0; 2];
    let mut statuses = BTreeMap::new();
    let mut first = String::new();
    for (name, ..) in UPSTREAMS {
        let requests: Vec<_> = (0..REQUESTS).map(|nth| offered(nth, name, port, servers)).collect();
        let outcomes = Replay::new(&config, 1, 1).play(&requests);
        for (nth, (request, outcome)) in requests.iter().zip(outcomes).enumerate() {
            let IpAddr::V4(client) = request.peer else { panic!("all are IPv4") };
            let text =
                format!("{} {} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", request.method, request.target);
            let response = exchange(&mut connect(client, port).await, text.as_bytes()).await;
            // Where nobody is live, nginx names the upstream instead of a server.
            let theirs = response.header("X-Peers").unwrap_or_default().split(", ").filter(|peer| peer.contains(':'));
            let theirs: Vec<_> = theirs.map(str::to_owned).collect();
            let peer = |tried: &gateway::Try| {
                let server = &config.upstream(tried.peer.upstream).servers[usize::from(tried.peer.server)];
                format!("{}:{}", server.host, server.port)
            };
            let ours: Vec<_> = outcome.tries.iter().map(peer).collect();
            tries += theirs.len();
            *statuses.entry(response.status).or_insert(0) += 1;
            if (response.status, &theirs) != (outcome.reply.status, &ours) {
                differences += 1;
                if first.is_empty() {
                    first = format!(
                        "{name} {nth} {} {} from {client}: nginx {} {theirs:?}, ours {} {ours:?}, servers {servers:?}",
                        request.method, request.target, response.status, outcome.reply.status
                    );
                }
                break; // the state differs from here on
            }
        }
    }
    println!(
        "upstreams: {} configurations, {} requests, {tries} tries, {statuses:?}",
        UPSTREAMS.len(),
        UPSTREAMS.len() as u64 * REQUESTS
    );
    assert_eq!(differences, 0, "{first}");
    assert!([200, 500, 502].iter().all(|status| statuses.contains_key(status)), "{statuses:?}");
}

#[tokio::test]
async fn connections_addresses_and_keys_are_judged_alike() {
    if !usable("connections_addresses_and_keys_are_judged_alike") {
        return;
    }
    let port = lease();
    let http = format!(
        "access_log off;\nupstream echo {{ server {ADDRESS}:{}; }}\n\
         limit_conn_zone $binary_remote_addr zone=c:1m;\nlimit_req_zone $http_x_key zone=k:1m rate=1r/m;\n\
         limit_req_zone $mapped zone=m:1m rate=1r/m;\nmap $arg_plan $mapped {{ default $binary_remote_addr; paid \"\"; }}\n\
         set_real_ip_from 127.92.0.0/16;\nreal_ip_header X-Forwarded-For;\nreal_ip_recursive on;\n\
         server {{ listen {ADDRESS}:{port};\nlocation /conn/ {{ limit_conn c 2; proxy_pass http://echo; }}\n\
         location /key/ {{ limit_req zone=k burst=1 nodelay; limit_req_status 429; stub_status; }}\n\
         location /map/ {{ limit_req zone=m; stub_status; }}\n\
         location /let/ {{ allow 10.1.0.0/16; deny 10.0.0.0/8; allow 127.0.0.0/8; deny all; stub_status; }}\n\
         location /back/ {{ limit_req zone=k; return 200; }}\n\
         location /old/ {{ rewrite ^/old/(.*)$ /new/$1?o=1 last; }} location /new/ {{ proxy_pass http://echo; }}\n\
         location /moved/ {{ if ($arg_x = 1) {{ return 410; }} rewrite ^/moved/(.+) /new/$1 permanent; return 404; }}\n\
         location /cut/ {{ rewrite ^/cut(/.*)$ $1 break; proxy_pass http://echo; }} }}",
        upstream().await
    );
    let config = manifests::nginx::parse(&format!("http {{\n{http}\n}}"), "nginx.conf").unwrap().config;
    let _nginx = Nginx::start(&http, "alert", port);
    let offered = |nth: u64, target: &str, headers: &[(&str, &str)]| Offered {
        at: Nanos::from_secs(1_000) + Nanos::from_millis(nth),
        pod: None,
        peer: IpAddr::V4(CLIENT),
        port,
        local: None,
        tls: false,
        host: "a".into(),
        method: "GET".into(),
        target: target.into(),
        headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        body: None,
        lasts: Nanos::from_millis(if target.contains("slow") { 400 } else { 0 }),
        script: Script::default(),
    };
    let mut requests = Vec::new();
    for (target, headers) in [
        ("/key/", &[("X-Key", "a")][..]),
        ("/key/", &[("X-Key", "a")]),
        ("/key/", &[("X-Key", "a")]),
        ("/key/", &[("X-Key", "b")]),
        ("/key/", &[]),
        ("/key/", &[]),
        ("/key/", &[]),
        ("/back/", &[("X-Key", "a")]),
        ("/map/", &[]),
        ("/map/", &[]),
        ("/map/?plan=paid", &[]),
        ("/map/?plan=PAID", &[]),
        ("/map/", &[("X-Forwarded-For", "9.9.9.9")]),
        ("/map/", &[("X-Forwarded-For", "9.9.9.9, 127.92.3.3")]),
        ("/let/", &[]),
        ("/let/", &[("X-Forwarded-For", "10.1.2.3")]),
        ("/let/", &[("X-Forwarded-For", "10.2.2.3")]),
        ("/let/", &[("X-Forwarded-For", "11.2.2.3")]),
        ("/old/a%20b/c?x=1", &[]),
        ("/moved/a?x=1", &[]),
        ("/moved/a?x=2", &[]),
        ("/moved/", &[]),
        ("/cut/a/b?y", &[]),
    ] {
        requests.push(offered(requests.len() as u64, target, headers));
    }
    let outcomes = Replay::new(&config, 1, 1).play(&requests);
    for (request, outcome) in requests.iter().zip(&outcomes) {
        let headers: String = request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("GET {} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: 0\r\n\r\n", request.target);
        let response = exchange(&mut connect(CLIENT, port).await, text.as_bytes()).await;
        assert_eq!(outcome.reply.status, response.status, "{} {headers}: {response:?}", request.target);
        if outcome.reply.status == 200 && !outcome.tries.is_empty() {
            assert_eq!(outcome.upstream_target.as_deref(), Some(response.body.as_str()), "{}", request.target);
        }
        if let (301, Some(there)) = (response.status, &outcome.text) {
            let location = response.header("Location").unwrap();
            assert!(location.ends_with(there), "{location} is no {there}");
        }
    }
    // Five at once on two: as sets, since their order is the kernel's.
    let slow: Vec<_> = (0..5).map(|nth| offered(nth, "/conn/slow", &[])).collect();
    let mut ours: Vec<_> = Replay::new(&config, 1, 1).play(&slow).iter().map(|outcome| outcome.reply.status).collect();
    let mut running = Vec::new();
    for _ in 0..5 {
        let mut stream = connect(CLIENT, port).await;
        running.push(tokio::spawn(async move {
            exchange(&mut stream, b"GET /conn/slow HTTP/1.1\r\nHost: a\r\n\r\n").await.status
        }));
    }
    let mut theirs = Vec::new();
    for one in running {
        theirs.push(one.await.unwrap());
    }
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
    assert_eq!(ours.iter().collect::<BTreeSet<_>>().len(), 2, "some passed, some did not: {ours:?}");
}
