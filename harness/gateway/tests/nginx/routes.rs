//! Servers, locations, paths and `proxy_pass`: generated configurations and requests.

use std::fmt::Write;

use gateway::Routed;
use platform::{Action, GatewayConfig};
use units::{Purpose, Seed};

use crate::child::{ADDRESS, CLIENT, Nginx, lease, usable};
use crate::traffic::{Response, connect, exchange, get, upstream};

const SEED: Seed = Seed::new(222);
/// Requests in all.
const REQUESTS: usize = 6_000;

const NAMES: [&str; 13] = [
    "one.test",
    "*.wild.test",
    "*.deep.wild.test",
    ".dot.test",
    "_",
    "MiXed.Test two.test",
    "x.wild.test",
    "one.test late.test", // one.test again: the first server keeps it
    "*.test",
    "10.0.0.1",
    "tail.*",
    "tail.two.*",
    "~^re(\\d+)\\.example$ ~^wild\\.",
];

const HOSTS: [&str; 33] = [
    "",
    "one.test",
    "ONE.test:80",
    "one.test.",
    "one.test.:8080",
    "late.test",
    "a.wild.test",
    "a.b.wild.test",
    "wild.test",
    ".wild.test",
    "a.deep.wild.test",
    "deep.wild.test",
    "x.wild.test",
    "dot.test",
    "a.DOT.test",
    "adot.test",
    "mixed.test",
    "two.test",
    "nobody.example",
    "_",
    "10.0.0.1",
    "[::1]:80",
    "a..test",
    ":80",
    "a/b",
    "test",
    "tail.example",
    "tail.two.example",
    "tail.two",
    "tail",
    "re42.example",
    "re42.example.org",
    "Wild.example",
];

/// Names of locations that overlap in all ways; a quoted one has a blank.
const PATHS: [&str; 14] =
    ["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/ab/", "/A/", "/b/", "/b/c/", "\"/a b/\"", "/b", "/é/", "/a/b/c/"];

/// Regular expressions that overlap with them.
const PATTERNS: [&str; 8] = ["^/a", "\"^/a/(b|c)\"", "b$", "/c(/|$)", "^/(?!a)", "é", "\"^/[^/]{1,2}/$\"", "^/A"];

const PIECES: [&str; 28] = [
    "/", "/", "/", "/", "a", "a", "b", "b", "c", "é", "A", ".", "..", "/../", "/./", "//", "%2e", "%2F", "%61", "%20",
    "%3f", "%25", "%C3%A9", "%ff", "%zz", "%00", "+", "~",
];

const ENDS: [&str; 9] = ["", "", "", "", "?", "?q=/a/b", "?q=%2e&x=a b/../c", "#top", "?q=1#top"];

/// Thirteen servers on two ports, with eight drawn locations each. A header tells which location answered.
fn http(ports: [u16; 2], upstream: u16) -> String {
    let mut http = format!(
        "access_log off;\nserver_names_hash_bucket_size 128;\nkeepalive_requests 100000;\nupstream echo {{ server \
         {ADDRESS}:{upstream}; }}\n"
    );
    for (index, names) in NAMES.iter().enumerate() {
        let port = ports[usize::from((6..10).contains(&index))];
        // One port has its default in the middle, the other has none marked.
        let default = if index == 2 { " default_server" } else { "" };
        writeln!(http, "server {{ listen {ADDRESS}:{port}{default}; server_name {names};").unwrap();
        let mut seen: Vec<String> = Vec::new();
        for nth in 0..8_u64 {
            let draw = |purpose| SEED.child(names).draw_nth(nth, purpose);
            let path = PATHS[draw(Purpose::Journey).below(PATHS.len())];
            let modifier = ["", "", "= ", "^~ ", "~ ", "~* "][draw(Purpose::Endpoint).below(6)];
            let regex = modifier.starts_with('~');
            let path = if regex { PATTERNS[draw(Purpose::Wait).below(PATTERNS.len())] } else { path };
            let plain = format!("{}{path}", if modifier == "= " || regex { modifier } else { "" });
            if seen.contains(&plain) {
                continue;
            }
            seen.push(plain);
            let action = match draw(Purpose::Payload).below(8) {
                0..4 => "return 200 here;".to_owned(),
                4 => "proxy_pass http://echo;".to_owned(),
                _ if regex => "proxy_pass http://echo;".to_owned(),
                5 => "proxy_pass http://echo/;".to_owned(),
                6 => "proxy_pass http://echo/v1;".to_owned(),
                _ => "proxy_pass http://echo/v1/;".to_owned(),
            };
            writeln!(http, "location {modifier}{path} {{ add_header X-Location {index}/{nth} always; {action} }}")
                .unwrap();
        }
        http += "}\n";
    }
    http
}

fn target(nth: u64) -> String {
    let draw = |at: u64, purpose| SEED.child("target").draw_nth(nth * 16 + at, purpose);
    let pieces = draw(0, Purpose::Wait).below(7) as u64;
    let path: String = (0..pieces).map(|at| PIECES[draw(at, Purpose::Payload).below(PIECES.len())]).collect();
    // Half of them begin like a location, or nearly all would end at `/`.
    let start = PATHS[draw(1, Purpose::Journey).below(PATHS.len())].trim_matches('"').replace(' ', "%20");
    let start = if draw(1, Purpose::Failure).below(2) == 0 { start } else { "/".to_owned() };
    format!("{start}{path}{}", ENDS[draw(0, Purpose::Endpoint).below(ENDS.len())]).replace(' ', "+")
}

/// Status, location and body as our rules have them.
fn ours(config: &GatewayConfig, port: u16, host: &str, target: &str) -> (u16, Option<String>, Option<String>) {
    let told = |id| config.location(id).headers.iter().find(|(name, _)| name == "X-Location").map(|(_, v)| v.clone());
    match gateway::route(config, port, host, target) {
        Routed::To(id) => match &config.location(id).action {
            Action::Return { status, body } => (*status, told(id), Some(body.clone())),
            Action::Proxy { uri, .. } => {
                let matches = &config.location(id).matches;
                (200, told(id), Some(gateway::rewrite(matches, uri.as_deref(), target)))
            }
            Action::StubStatus | Action::Content { .. } => panic!("there is none"),
        },
        Routed::Redirect(id) => (301, told(id), None),
        Routed::Answer { .. } => panic!("nothing is rewritten"),
        Routed::Nothing => (404, None, None),
        Routed::Malformed => (400, None, None),
    }
}

fn theirs(response: &Response) -> (u16, Option<String>, Option<String>) {
    let body = (response.status == 200).then(|| response.body.clone());
    (response.status, response.header("X-Location").map(str::to_owned), body)
}

#[tokio::test]
async fn the_same_location_answers() {
    if !usable("the_same_location_answers") {
        return;
    }
    let ports = [lease(), lease()];
    let http = http(ports, upstream().await);
    let config = manifests::nginx::parse(&format!("http {{\n{http}\n}}"), "nginx.conf").unwrap().config;
    let nginx = Nginx::start(&http, "alert", ports[0]);
    let mut statuses = std::collections::BTreeMap::new();
    let mut differences = Vec::new();
    for nth in 0..REQUESTS as u64 {
        let port = ports[SEED.draw_nth(nth, Purpose::Client).below(2)];
        let host = HOSTS[SEED.draw_nth(nth, Purpose::Endpoint).below(HOSTS.len())];
        let target = target(nth);
        let mut stream = connect(CLIENT, port).await;
        let response = exchange(&mut stream, &get(host, &target)).await;
        let (ours, theirs) = (ours(&config, port, host, &target), theirs(&response));
        *statuses.entry(theirs.0).or_insert(0) += 1;
        if ours != theirs {
            differences.push(format!("port {port}, Host `{host}`, {target}\n  nginx {theirs:?}\n  ours  {ours:?}"));
        }
    }
    println!("routes: {REQUESTS} requests, {statuses:?}");
    assert!(
        differences.is_empty(),
        "{} of {REQUESTS} differ; the first:\n{}\n{http}\n{}",
        differences.len(),
        differences[..differences.len().min(12)].join("\n"),
        nginx.read("debug.log")
    );
    for status in [200, 301, 400, 404] {
        assert!(statuses.get(&status).is_some_and(|count| *count >= 20), "{status} is covered: {statuses:?}");
    }
}
