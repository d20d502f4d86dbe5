//! What takes time: servers that are left alone for a while, requests in progress, answers that do not come, bodies
//! that are too large; and nested locations, `geo`, several zones of connections, several workers.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gateway::{Broken, Ending, Offered, Outcome, Replay, Script};
use platform::GatewayConfig;
use units::Nanos;

use crate::child::{ADDRESS, CLIENT, Nginx, lease, usable};
use crate::traffic::{Response, connect, exchange, keeping_upstream, now, pause, until_asked, upstream};

/// How long an upstream takes that is asked for `linger`.
const LINGERS: u64 = 3;

fn parsed(http: &str) -> GatewayConfig {
    manifests::nginx::parse(&format!("http {{\n{http}\n}}"), "nginx.conf").unwrap().config
}

fn offered(at: Nanos, client: Ipv4Addr, port: u16, target: &str) -> Offered {
    Offered {
        at: Nanos::from_secs(1_000) + at,
        pod: None,
        peer: IpAddr::V4(client),
        port,
        local: None,
        tls: false,
        host: "a".into(),
        method: "GET".into(),
        target: target.into(),
        headers: vec![],
        body: None,
        lasts: if target.contains("linger") { Nanos::from_secs(LINGERS) } else { Nanos::ZERO },
        script: Script::default(),
    }
}

async fn ask(client: Ipv4Addr, port: u16, target: &str) -> Response {
    let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    exchange(&mut connect(client, port).await, text.as_bytes()).await
}

/// The servers that an answer of ours went through, as `$upstream_addr` tells them.
fn peers(config: &GatewayConfig, outcome: &Outcome) -> Vec<String> {
    let peer = |tried: &gateway::Try| {
        let server = &config.upstream(tried.peer.upstream).servers[usize::from(tried.peer.server)];
        format!("{}:{}", server.host, server.port)
    };
    outcome.tries.iter().map(peer).collect()
}

fn told_peers(response: &Response) -> Vec<String> {
    let peers = response.header("X-Peers").unwrap_or_default().split(", ");
    peers.filter(|peer| peer.contains(':')).map(str::to_owned).collect()
}

/// A dead server is asked once in `fail_timeout`: 2 s here, with pauses well inside and well beyond.
#[tokio::test]
async fn a_server_that_failed_is_tried_again_after_its_time() {
    if !usable("a_server_that_failed_is_tried_again_after_its_time") {
        return;
    }
    let port = lease();
    let (live, other, dead) = (upstream().await, upstream().await, lease());
    let mut http = String::from("access_log off;\n");
    for (name, fails) in [("once", 1), ("twice", 2)] {
        let server = |port: u16| format!("server {ADDRESS}:{port} max_fails={fails} fail_timeout=2s;");
        http += &format!("upstream {name} {{ {}{}{} }}\n", server(live), server(dead), server(other));
    }
    http += &format!(
        "server {{ listen {ADDRESS}:{port}; add_header X-Peers \"$upstream_addr\" always;\n\
         location /once/ {{ proxy_pass http://once; }} location /twice/ {{ proxy_pass http://twice; }} }}"
    );
    let config = parsed(&http);
    let _nginx = Nginx::start(&http, "alert", port);
    let begin = now();
    let (mut requests, mut theirs) = (Vec::new(), Vec::new());
    for phase in 0..3 {
        if phase > 0 {
            pause(Duration::from_millis(4_200)).await;
        }
        for nth in 0..16 {
            let target = if nth % 2 == 0 { "/once/" } else { "/twice/" };
            let mut request = offered(Nanos::from_micros(begin.elapsed().as_micros() as u64), CLIENT, port, target);
            let dead = format!("{ADDRESS}:{dead}");
            request.script.servers = [(dead, Ending::Broken(Broken::Connect))].into();
            requests.push(request);
            theirs.push(told_peers(&ask(CLIENT, port, target).await));
        }
    }
    let outcomes = Replay::new(&config, 1, 1).play(&requests);
    let ours: Vec<_> = outcomes.iter().map(|outcome| peers(&config, outcome)).collect();
    assert_eq!(ours, theirs, "servers {live}, {dead} (dead), {other}");
    let retries = theirs.iter().filter(|peers| peers.len() > 1).count();
    println!("fail_timeout: {} requests, {retries} went on to another server", theirs.len());
    assert!((6..=12).contains(&retries), "once and twice in each of three phases: {retries}");
}

/// Each request of a list waits for the one before it to be at its upstream, or answered.
async fn in_turn(client: impl Fn(usize) -> Ipv4Addr, port: u16, targets: &[String]) -> Vec<Response> {
    let mut running = Vec::new();
    for (nth, target) in targets.iter().enumerate() {
        let (client, own) = (client(nth), target.clone());
        let mut asking = tokio::spawn(async move { ask(client, port, &own).await });
        tokio::select! {
            () = until_asked(target) => {}
            answered = &mut asking => {
                let answered = answered.unwrap();
                asking = tokio::spawn(async move { answered });
            }
        }
        running.push(asking);
    }
    let mut responses = Vec::new();
    for one in running {
        responses.push(one.await.unwrap());
    }
    responses
}

#[tokio::test]
async fn requests_in_progress_count() {
    if !usable("requests_in_progress_count") {
        return;
    }
    let port = lease();
    let servers = [upstream().await, upstream().await, upstream().await];
    let server = |index: usize, more: &str| format!("server {ADDRESS}:{} {more};", servers[index]);
    let http = format!(
        "access_log off;\nupstream even {{ least_conn; {}{}{} }}\nupstream weighted {{ least_conn; {}{}{} }}\n\
         upstream fresh {{ least_conn; {}{}{} }}\n\
         limit_conn_zone $binary_remote_addr zone=who:1m;\nlimit_conn_zone $server_name zone=all:1m;\n\
         server {{ listen {ADDRESS}:{port}; server_name a; add_header X-Peers \"$upstream_addr\" always;\n\
         location /even/ {{ proxy_pass http://even; }} location /weighted/ {{ proxy_pass http://weighted; }}\n\
         location /both/ {{ limit_conn who 3; limit_conn all 4; proxy_pass http://fresh; }} }}",
        server(0, ""),
        server(1, ""),
        server(2, ""),
        server(0, "weight=3"),
        server(1, ""),
        server(2, "weight=2"),
        server(0, ""),
        server(1, ""),
        server(2, ""),
    );
    let config = parsed(&http);
    let _nginx = Nginx::start(&http, "alert", port);
    let mut asked = 0;
    for (name, pattern, alone) in
        [("even", "lqlqqllqql", true), ("weighted", "llqlqqlllqlq", true), ("both", "lllllllql", false)]
    {
        let target = |(nth, letter): (usize, char)| {
            format!("/{name}/{}?n={name}{port}-{nth}", if letter == 'l' { "linger" } else { "quick" })
        };
        let targets: Vec<_> = pattern.chars().enumerate().map(target).collect();
        // Two clients, four requests of the first, then of the second.
        let client = |nth: usize| if alone || nth < 4 { CLIENT } else { Ipv4Addr::new(127, 92, 0, 2) };
        let requests: Vec<_> = targets
            .iter()
            .enumerate()
            .map(|(nth, target)| offered(Nanos::from_millis(nth as u64), client(nth), port, target))
            .collect();
        let outcomes = Replay::new(&config, 1, 1).play(&requests);
        let ours: Vec<_> = outcomes.iter().map(|one| (one.reply.status, peers(&config, one))).collect();
        let begin = now();
        let responses = in_turn(client, port, &targets).await;
        // All were asked while the first was still in progress, however busy the machine is; else nothing is shown.
        if begin.elapsed() > Duration::from_secs(LINGERS + 2) {
            println!("{name}: the machine was too slow");
            continue;
        }
        let theirs: Vec<_> = responses.iter().map(|one| (one.status, told_peers(one))).collect();
        assert_eq!(ours, theirs, "{name}");
        asked += theirs.len();
    }
    println!("in progress: {asked} requests");
}

#[tokio::test]
async fn answers_that_do_not_come_and_bodies_that_are_too_large() {
    if !usable("answers_that_do_not_come_and_bodies_that_are_too_large") {
        return;
    }
    let port = lease();
    let servers = [upstream().await, upstream().await];
    let http = format!(
        "access_log off;\nupstream one {{ server {ADDRESS}:{0}; }}\nupstream two {{ server {ADDRESS}:{0}; server {ADDRESS}:{1}; }}\n\
         upstream first {{ server {ADDRESS}:{0}; server {ADDRESS}:{1}; }}\n\
         geo $who {{ default out; 127.92.0.0/16 in; 127.92.7.0/24 near; 127.92.7.1 me; }}\n\
         server {{ listen {ADDRESS}:{port}; add_header X-Peers \"$upstream_addr\" always; client_max_body_size 2k;\n\
         location /one/ {{ proxy_read_timeout 1s; proxy_pass http://one; }}\n\
         location /two/ {{ proxy_read_timeout 1s; proxy_pass http://two; }}\n\
         location /first/ {{ proxy_read_timeout 1s; proxy_next_upstream error; proxy_pass http://first; }}\n\
         location /body/ {{ client_max_body_size 1k; return 200; location /body/any/ {{ client_max_body_size 0; return 201; }} }}\n\
         location /outer/ {{ return 210; location /outer/inner/ {{ return 211; location ~ \\.x$ {{ return 212; }} }}\n\
         location = /outer/inner/same {{ return 213; }} location ~ \\.y$ {{ return 214; }} }}\n\
         location ~ \\.y$ {{ return 215; }} location /outer/inner/deep {{ return 216; }}\n\
         location /geo/ {{ if ($who = me) {{ return 220; }} if ($who = near) {{ return 221; }} if ($who = in) {{ return 222; }} return 223; }}\n\
         location / {{ return 200; }} }}",
        servers[0], servers[1]
    );
    let config = parsed(&http);
    let _nginx = Nginx::start(&http, "alert", port);
    let mut cases: Vec<(Offered, Vec<u8>)> = Vec::new();
    let mut at = 0;
    let mut add = |client: Ipv4Addr, method: &str, target: &str, body: Option<u64>| {
        at += 1;
        let mut request = offered(Nanos::from_secs(at * 20), client, port, target);
        (request.method, request.body) = (method.to_owned(), body);
        if target.contains("linger") {
            request.lasts = Nanos::from_secs(1);
            request.script.tries = vec![Ending::Broken(Broken::Timeout)];
        }
        let length = body.map_or_else(String::new, |length| format!("Content-Length: {length}\r\n"));
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{length}\r\n").into_bytes();
        text.extend(vec![b'b'; body.unwrap_or(0) as usize]);
        cases.push((request, text));
    };
    for path in ["one", "two", "first"] {
        add(CLIENT, "GET", &format!("/{path}/linger"), None);
    }
    for length in [0, 1, 1_023, 1_024, 1_025, 2_048, 2_049, 9_000] {
        for path in ["/body/", "/body/any/", "/"] {
            add(CLIENT, "POST", path, Some(length));
        }
    }
    for path in [
        "/outer/",
        "/outer/z",
        "/outer/inner/",
        "/outer/inner/a.x",
        "/outer/inner/a.y",
        "/outer/inner/same",
        "/outer/inner/same.y",
        "/outer/inner/deep",
        "/outer/inner/deeper.x",
        "/outer/inner/deeper.y",
        "/outer/a.x",
        "/outer/a.y",
        "/a.y",
        "/a.x",
    ] {
        add(CLIENT, "GET", path, None);
    }
    for client in [[127, 92, 7, 1], [127, 92, 7, 2], [127, 92, 8, 1], [127, 93, 0, 1]] {
        add(client.into(), "GET", "/geo/", None);
    }
    let requests: Vec<_> = cases.iter().map(|(request, _)| request.clone()).collect();
    let outcomes = Replay::new(&config, 1, 1).play(&requests);
    let mut statuses = std::collections::BTreeMap::new();
    for ((request, text), outcome) in cases.iter().zip(&outcomes) {
        let IpAddr::V4(client) = request.peer else { panic!("all are IPv4") };
        let response = exchange(&mut connect(client, port).await, text).await;
        let what = format!("{} {} of {:?} from {client}", request.method, request.target, request.body);
        assert_eq!(outcome.reply.status, response.status, "{what}");
        assert_eq!(peers(&config, outcome).len(), told_peers(&response).len(), "{what}");
        *statuses.entry(response.status).or_insert(0) += 1;
    }
    println!("timeouts, bodies, nested locations, geo: {} requests, {statuses:?}", cases.len());
    assert!([200, 201, 413, 504, 212, 214, 221].iter().all(|status| statuses.contains_key(status)), "{statuses:?}");
}

/// Zones and an upstream with `zone` are shared by all workers of a pod.
#[tokio::test]
async fn several_workers_share_their_zones() {
    if !usable("several_workers_share_their_zones") {
        return;
    }
    let port = lease();
    let servers = [upstream().await, upstream().await, upstream().await];
    let http = format!(
        "access_log off;\nlimit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;\n\
         upstream shared {{ zone shared 64k; server {ADDRESS}:{} weight=2; server {ADDRESS}:{}; server {ADDRESS}:{}; }}\n\
         server {{ listen {ADDRESS}:{port}; add_header X-Peers \"$upstream_addr\" always;\n\
         location /limited/ {{ limit_req zone=one burst=20 nodelay; stub_status; }}\n\
         location /shared/ {{ proxy_pass http://shared; }} }}",
        servers[0], servers[1], servers[2]
    );
    let config = parsed(&http);
    let _nginx = Nginx::start_workers(&http, 3, port);
    let play = |targets: &str, count: u64| {
        let requests: Vec<_> = (0..count).map(|nth| offered(Nanos::from_millis(nth), CLIENT, port, targets)).collect();
        Replay::new(&config, 1, 3).play(&requests)
    };
    let mut running = Vec::new();
    for _ in 0..30 {
        running.push(tokio::spawn(ask(CLIENT, port, "/limited/")));
    }
    let mut theirs = Vec::new();
    for one in running {
        theirs.push(one.await.unwrap().status);
    }
    let mut ours: Vec<_> = play("/limited/", 30).iter().map(|outcome| outcome.reply.status).collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs, "as sets: who comes first is the kernel's affair");
    let mut asked = Vec::new();
    for _ in 0..24 {
        asked.push(told_peers(&ask(CLIENT, port, "/shared/").await));
    }
    let ours: Vec<_> = play("/shared/", 24).iter().map(|outcome| peers(&config, outcome)).collect();
    assert_eq!(ours, asked);
    println!("three workers: 54 requests");
}

/// Which connection to an upstream has a request, counted in the order in which they were opened: theirs as the upstream
/// counts, ours by what is kept.
#[tokio::test]
async fn connections_to_upstreams_are_kept_alike() {
    if !usable("connections_to_upstreams_are_kept_alike") {
        return;
    }
    let port = lease();
    let servers = [keeping_upstream().await, keeping_upstream().await];
    let mut http = String::from("access_log off;\nproxy_http_version 1.1;\n");
    for (name, more) in [("two", "keepalive 2;"), ("one", "keepalive 1;"), ("never", ""), ("both", "keepalive 4;")] {
        let other = if name == "both" { format!("server {ADDRESS}:{};", servers[1]) } else { String::new() };
        http += &format!("upstream {name} {{ server {ADDRESS}:{}; {other} {more} }}\n", servers[0]);
    }
    let location = |name: &str, more: &str| format!("location /{name}/ {{ {more} proxy_pass http://{name}; }}\n");
    let cleared = "proxy_set_header Connection \"\";";
    http += &format!(
        "server {{ listen {ADDRESS}:{port}; server_name a; add_header X-Peers \"$upstream_addr\" always;\n\
         {}{}{}{} location /closes/ {{ proxy_pass http://two; }}\n\
         location /old/ {{ proxy_http_version 1.0; {cleared} proxy_pass http://two; }} }}",
        location("two", cleared),
        location("one", cleared),
        location("never", cleared),
        location("both", cleared),
    );
    let config = parsed(&http);
    let mut asked = 0;
    // Each group is in progress at once, the next begins when all have been answered.
    for (name, groups) in [
        ("two", &[1, 1, 3, 1, 2, 4, 2][..]),
        ("one", &[2, 1, 2, 1]),
        ("never", &[1, 2, 1]),
        ("closes", &[1, 1, 2]),
        ("old", &[1, 1]),
        ("both", &[2, 2, 1, 3, 4, 2]),
    ] {
        let _nginx = Nginx::start(&http, "alert", port);
        let (mut requests, mut theirs, mut at) = (Vec::new(), Vec::new(), 0);
        for (group, &size) in groups.iter().enumerate() {
            let target = |nth: u64| format!("/{name}/linger?n={name}{port}-{group}-{nth}");
            let targets: Vec<String> = (0..size).map(target).collect();
            for (nth, target) in (0..).zip(&targets) {
                let mut request = offered(Nanos::from_millis(at + nth), CLIENT, port, target);
                request.lasts = Nanos::from_millis(300);
                requests.push(request);
            }
            at += 1_000;
            let begin = now();
            let responses = in_turn(|_| CLIENT, port, &targets).await;
            assert!(begin.elapsed() < Duration::from_secs(50), "what is idle for a minute is closed");
            for response in responses {
                let number: u32 = response.header("X-Connection").unwrap().parse().unwrap();
                theirs.push((told_peers(&response), number));
            }
        }
        let outcomes = Replay::new(&config, 1, 1).play(&requests);
        // How many connections there were, and who was asked: a connection has no name on our side.
        let ours: Vec<_> = outcomes.iter().map(|outcome| peers(&config, outcome)).collect();
        assert_eq!(ours, theirs.iter().map(|(peers, _)| peers.clone()).collect::<Vec<_>>(), "{name}");
        let opened = outcomes.iter().flat_map(|outcome| &outcome.tries).filter(|tried| !tried.kept).count();
        let mut seen: Vec<_> = theirs.clone();
        seen.sort();
        seen.dedup();
        assert_eq!(opened, seen.len(), "{name}: connections opened, of {theirs:?}");
        asked += theirs.len();
    }
    println!("kept connections: {asked} requests");
}

/// How many connections there is room for. A client that has begun a request holds one; a request behind it takes
/// another.
#[tokio::test]
async fn worker_connections_run_out_alike() {
    if !usable("worker_connections_run_out_alike") {
        return;
    }
    let mut asked = 0;
    for (most, listens, target) in
        [(16, 1, "/own"), (24, 2, "/own"), (16, 1, "/behind/linger"), (21, 2, "/behind/linger")]
    {
        let ports: Vec<u16> = (0..listens).map(|_| lease()).collect();
        let listen: String = ports.iter().map(|port| format!("listen {ADDRESS}:{port};")).collect();
        let http = format!(
            "access_log off;\nserver {{ {listen} server_name a; location /own {{ return 200; }}\n\
             location /behind/ {{ proxy_pass http://{ADDRESS}:{}; }} }}",
            upstream().await
        );
        let text = format!("events {{ worker_connections {most}; }}\nhttp {{\n{http}\n}}");
        let config = manifests::nginx::parse(&text, "nginx.conf").unwrap().config;
        let nginx = Nginx::start_small(&http, most, ports[0]);
        let mut held = Vec::new();
        let (mut requests, mut theirs) = (Vec::new(), Vec::new());
        for nth in 0..most + 4 {
            let mut request = offered(Nanos::from_millis(nth), CLIENT, ports[0], target);
            // Whoever holds a connection does so to the end.
            request.lasts = Nanos::from_secs(LINGERS);
            requests.push(request);
            let mut stream = connect(CLIENT, ports[0]).await;
            let unique = format!("{target}?n={}-{nth}", ports[0]);
            let own = unique.clone();
            let behind = target.contains("behind");
            let (go, gone) = tokio::sync::oneshot::channel();
            let mut asking = tokio::spawn(async move {
                if behind { status_of(&mut stream, &own).await } else { begun(&mut stream, &own, gone).await }
            });
            // nginx closes connections for others on which nothing has come yet: each waits for the one before it to be
            // read, or refused.
            tokio::select! {
                () = until_asked(&unique), if behind => {}
                () = until_logged(&nginx, &unique), if !behind => {}
                answered = &mut asking => {
                    let answered = answered.unwrap();
                    asking = tokio::spawn(async move { answered });
                }
            }
            held.push((asking, go));
        }
        let (asking, going): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        for go in going {
            let go: tokio::sync::oneshot::Sender<()> = go;
            go.send(()).ok(); // who was refused does not wait for it
        }
        for one in asking {
            theirs.push(one.await.unwrap());
        }
        let ours: Vec<u16> = Replay::new(&config, 1, 1).play(&requests).iter().map(|one| one.reply.status).collect();
        assert_eq!(ours, theirs, "{most} connections, {listens} sockets, {target}");
        asked += theirs.len();
    }
    println!("worker_connections: {asked} requests");
}

/// The status of an answer; 0 where the connection was closed without one.
async fn status_of(stream: &mut tokio::net::TcpStream, target: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut bytes = Vec::new();
    if stream.write_all(text.as_bytes()).await.is_ok() {
        stream.read_to_end(&mut bytes).await.ok();
    }
    String::from_utf8_lossy(&bytes).split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Begins a request and ends it when it is told to; the status of its answer, or 0 where the connection was closed.
async fn begun(stream: &mut tokio::net::TcpStream, target: &str, go: tokio::sync::oneshot::Receiver<()>) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut bytes = Vec::new();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n").as_bytes()).await.ok();
    let mut early = [0; 1];
    tokio::select! {
        _ = go => {}
        read = stream.read(&mut early) => {
            assert!(read.unwrap_or(0) == 0, "an answer to half a request");
            return 0;
        }
    }
    if stream.write_all(b"Connection: close\r\n\r\n").await.is_ok() {
        stream.read_to_end(&mut bytes).await.ok();
    }
    String::from_utf8_lossy(&bytes).split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Waits until nginx has read a request line.
async fn until_logged(nginx: &Nginx, target: &str) {
    while !nginx.read("debug.log").contains(&format!("http request line: \"GET {target} ")) {
        pause(Duration::from_millis(5)).await;
    }
}
