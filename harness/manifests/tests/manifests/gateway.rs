//! nginx.conf: what is inherited, what is refused, what is left unplayed; and nginx's own opinion of our file.

use std::fs;
use std::process::Command;

use manifests::nginx::{NginxError, parse, parse_with};
use platform::{Action, Balance, GatewayConfig, LimitMode, LocationMatch};
use testing::{Need, needs};
use units::Nanos;

fn config(http: &str) -> Result<GatewayConfig, NginxError> {
    parse(&format!("http {{\n{http}\n}}\n"), "nginx.conf").map(|parsed| parsed.config)
}

const ZONES: &str = "limit_req_zone $remote_addr zone=a:1m rate=1r/s; limit_req_zone $remote_addr zone=b:1m;";

#[test]
fn levels_inherit_as_in_nginx() {
    let inner = "location / { return 200; }";
    for (case, http, server, location, zones, headers, read) in [
        ("all from http", "limit_req zone=a; add_header X 1 always; proxy_read_timeout 5;", "", "", "a", "X", 5),
        ("a server's own", "limit_req zone=a;", "limit_req zone=b;", "", "b", "", 60),
        ("a location's own hides both", "limit_req zone=a;", "limit_req zone=a;", "limit_req zone=b;", "b", "", 60),
        ("several at one level", "limit_req zone=a; limit_req zone=b;", "", "", "ab", "", 60),
        ("one header hides all above", "add_header X 1 always;", "add_header Y 1 always;", "", "", "Y", 60),
        ("even one that is not always", "add_header X 1 always;", "add_header Y 1;", "", "", "", 60),
        ("single values one by one", "proxy_read_timeout 5;", "proxy_send_timeout 6;", "", "", "", 5),
        ("the innermost value wins", "proxy_read_timeout 5;", "", "proxy_read_timeout 300s;", "", "", 300),
    ] {
        let inner = inner.replace('{', &format!("{{ {location}"));
        let config = config(&format!("{ZONES} {http} server {{ {server} {inner} }}")).unwrap();
        let found = &config.servers[0].locations[0];
        let names = found.limits.iter().map(|l| config.zones[usize::from(l.zone.0)].name.as_str()).collect::<String>();
        assert_eq!(names, zones, "{case}");
        assert_eq!(found.headers.iter().map(|(name, _)| name.as_str()).collect::<String>(), headers, "{case}");
        assert_eq!(found.read_timeout, Nanos::from_secs(read), "{case}");
    }
}

#[test]
fn modes_of_a_limit() {
    for (text, burst, mode) in [
        ("zone=a", 0, LimitMode::Delay(0)),
        ("zone=a burst=5", 5, LimitMode::Delay(0)),
        ("zone=a burst=5 nodelay", 5, LimitMode::NoDelay),
        ("burst=5 delay=2 zone=a", 5, LimitMode::Delay(2)),
    ] {
        let config = config(&format!("{ZONES} server {{ location / {{ limit_req {text}; return 200; }} }}")).unwrap();
        let limit = config.servers[0].locations[0].limits[0];
        assert_eq!((limit.burst, limit.mode), (burst, mode), "{text}");
    }
}

#[test]
fn proxy_pass_finds_or_makes_its_upstream() {
    let servers = "upstream known { server a:81 max_fails=2; server b; }";
    for (case, url, name, hosts, uri) in [
        ("an upstream", "http://known", "known", "a:81 b:80", None),
        ("with a URI", "http://known/v1/", "known", "a:81 b:80", Some("/v1/")),
        ("a host", "http://Other", "other", "other:80", None),
        ("a host and port", "http://other:8000/", "other:8000", "other:8000", Some("/")),
    ] {
        let config = config(&format!("server {{ location /x/ {{ proxy_pass {url}; }} }} {servers}")).unwrap();
        let Action::Proxy { upstream, uri: got } = &config.servers[0].locations[0].action else { panic!("{case}") };
        let upstream = config.upstream(*upstream);
        let got_hosts = upstream.servers.iter().map(|s| format!("{}:{}", s.host, s.port)).collect::<Vec<_>>().join(" ");
        assert_eq!((upstream.name.as_str(), got_hosts.as_str(), got.as_deref()), (name, hosts, uri), "{case}");
    }
}

#[test]
fn servers_listen_and_answer() {
    let config = config(
        "server { listen 80 default_server; listen [::]:80; listen 8080; server_name A.org .b.org; return 301 \
         http://x/; location / { return 200; } } server { location =/x { return http://y/; } location ^~ /z { return \
         204; } }",
    )
    .unwrap();
    let heads = config.servers.iter().map(|s| (s.port, s.default, s.names.join(" "))).collect::<Vec<_>>();
    let names = "a.org b.org *.b.org".to_owned();
    assert_eq!(heads, [(80, true, names.clone()), (8080, false, names), (80, false, String::new())]);
    let redirect = |status, body: &str| Action::Return { status, body: body.to_owned() };
    assert_eq!(config.servers[0].locations.len(), 1, "a server's return answers every path");
    assert_eq!(config.servers[0].locations[0].action, redirect(301, "http://x/"));
    let [exact, prefix] = config.servers[2].locations.as_slice() else { panic!("two locations") };
    assert_eq!((&exact.matches, &exact.action), (&LocationMatch::Exact("/x".into()), &redirect(302, "http://y/")));
    assert_eq!((&prefix.matches, &prefix.action), (&LocationMatch::PrefixFirst("/z".into()), &redirect(204, "")));
}

#[test]
fn what_is_not_played_is_listed() {
    let config = config(
        "include /etc/nginx/mime.types;\nsplit_clients $a $b { * x; }\nserver {\n  sendfile on;\n  location / { root \
         /srv; }\n  location /php { fastcgi_pass unix:/s; if ($host = a) { add_header X 1; return 204; } }\n}",
    )
    .unwrap();
    let unplayed = config.unplayed.iter().map(|(text, place)| format!("{text} @{}", place.line)).collect::<Vec<_>>();
    assert_eq!(
        unplayed,
        [
            "split_clients $a $b { … } @3",
            "sendfile on @5",
            "root /srv @6",
            "add_header X 1 @7",
            "fastcgi_pass unix:/s @7"
        ]
    );
    let actions = config.servers[0].locations.iter().map(|location| location.action.clone()).collect::<Vec<_>>();
    let content = |by: &str| Action::Content { by: by.to_owned() };
    assert_eq!(actions, [content("root"), content("fastcgi_pass")]);
}

#[test]
fn zones_maps_and_upstreams_are_typed() {
    let config = config(
        "limit_req_zone $server_name$http_x_key zone=a:1m rate=7r/m; limit_conn_zone $binary_remote_addr zone=c:1m; \
         map $host $plan { hostnames; default free; *.paid.org paid; ~^x(?<n>.) $n; } geo $near { default 0; 10.0.0.0/8 \
         1; 10.1.0.0/16 2; } upstream u { hash $plan consistent; server a weight=3 max_conns=9; server b:81 down; \
         keepalive 8; zone u 64k; } server { location / { limit_conn c 3; limit_req zone=a; limit_req_dry_run on; allow \
         10.0.0.0/8; deny all; proxy_next_upstream error http_503 non_idempotent; proxy_pass http://u; } }",
    )
    .unwrap();
    assert_eq!(config.zones[0].rate.milli(), 116, "seven a minute, in integers");
    assert_eq!(config.zones[0].key.to_string(), "$server_name$http_x_key");
    assert_eq!((config.maps.len(), config.maps[1].networks[0].0.bits), (2, 16), "the narrowest network first");
    let upstream = &config.upstreams[0];
    assert_eq!((upstream.keepalive, upstream.shared, upstream.servers[1].down), (8, true, true));
    assert!(matches!(&upstream.balance, Balance::Hash { consistent: true, key } if key.text == "$plan"));
    let location = &config.servers[0].locations[0];
    assert_eq!((location.conn_limits[0].most, location.limit_dry_run, location.access.len()), (3, true, 2));
    assert_eq!((&location.next_upstream.statuses[..], location.next_upstream.timeout), (&[503][..], false));
    assert!(config.unplayed.is_empty(), "{:?}", config.unplayed);
}

#[test]
fn includes_and_files_of_conf_d() {
    let files = [("conf.d/b.conf".to_owned(), "server {\n  listen 81;\n  foo bar;\n}".to_owned())];
    let parsed = parse_with("http {\n  include /etc/nginx/conf.d/*.conf;\n}", "nginx.conf", &files).unwrap();
    assert_eq!(parsed.config.servers[0].port, 81);
    let place = &parsed.config.unplayed[0].1;
    assert_eq!((place.file.as_str(), place.line), ("conf.d/b.conf", 3));
    let circle = [("a.conf".to_owned(), "include a.conf;".to_owned())];
    let error = parse_with("http { include a.conf; }", "nginx.conf", &circle).unwrap_err().to_string();
    assert_eq!(error, "a.conf:1: include: includes nest deeper than 8; look for a file that includes itself");
    assert_eq!(parse("server { listen 82; }", "default.conf").unwrap().config.servers[0].port, 82);
}

#[test]
fn refuses_what_nginx_refuses() {
    for (http, want) in [
        ("upstream u { }", "nginx.conf:2: upstream: has no server; add server HOST:PORT"),
        ("server { location ~ ( { return 200; } }", "nginx.conf:2: location: `(` is no regular expression: "),
        (
            "upstream u { ip_hash; server a backup; server b; }",
            "nginx.conf:2: upstream: this balancing method does not support `backup`; leave",
        ),
        (
            "server { location /a/ { location /b/ { return 200; } } }",
            "nginx.conf:2: location: lies outside of the location around it; write it beside the other one",
        ),
        (
            "server { location ~ /a { proxy_pass http://x/y; } }",
            "nginx.conf:2: proxy_pass: cannot have a URI at a location given by a regular expression or by a name; ",
        ),
        (
            "server { location / { return 200; } location ^~ / { return 201; } }",
            "nginx.conf:2: location: the same location stands in this server already; keep one",
        ),
        (
            "limit_req_zone $remote_addr zone=a:1k rate=1r/s;",
            "nginx.conf:2: limit_req_zone: the zone's 1k are too small; write 32k or more",
        ),
        (
            "limit_req_zone $remote_addr zone=a:1m; server { limit_req zone=a; limit_req zone=a; }",
            "nginx.conf:2: limit_req: the zone is limited here already; keep one",
        ),
        (
            "server { listen 80 default_server; } server { listen 80 default_server; }",
            "nginx.conf:2: server: port 80 has a default server already; write default_server once per port",
        ),
        (
            "proxy_read_timeout 1s; proxy_read_timeout 2s;",
            "nginx.conf:2: proxy_read_timeout: is written twice at this level; keep one",
        ),
    ] {
        let told = config(http).unwrap_err().to_string();
        assert!(told.starts_with(want), "{told} does not begin with {want}");
    }
    assert_eq!(
        parse("events {}", "nginx.conf").unwrap_err().to_string(),
        "nginx.conf: there is no http block; write http { … } with the gateway's servers in it"
    );
}

#[test]
fn processes_and_connections() {
    for (top, processes, connections) in [
        ("", Some(1), 512),
        ("worker_processes auto;", None, 512),
        ("worker_processes 4; events { worker_connections 9; }", Some(4), 9),
    ] {
        let parsed = parse(&format!("{top} http {{}}"), "nginx.conf").unwrap();
        assert_eq!((parsed.worker_processes, parsed.config.worker_connections), (processes, connections), "{top}");
    }
}

#[test]
fn nginx_accepts_the_file_we_ship() {
    if !needs("nginx_accepts_the_file_we_ship", Need::Nginx) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // The Services' names resolve in a cluster only, the paths exist in the image only, and port 80 needs root.
    let mut text = include_str!("../../../../kind-config/platform/base/nginx-gateway/nginx.conf")
        .replace("/tmp/", &format!("{}/", folder.path().display()))
        .replace("include /etc/nginx/mime.types;", "")
        .replace("listen 80", "listen 18080");
    let resolvable =
        |line: &str| match line.trim_start().strip_prefix("server ").and_then(|rest| rest.split_once(":80 ")) {
            Some((_, parameters)) => format!("server 127.0.0.1:80 {parameters}\n"),
            None => format!("{line}\n"),
        };
    text = text.lines().map(resolvable).collect();
    let file = folder.path().join("nginx.conf");
    fs::write(&file, text).unwrap();
    let output = Command::new("nginx").arg("-t").arg("-c").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
