use super::*;

fn upstreams(balance: Balance, servers: &[(u32, u32, bool)]) -> Upstreams {
    let server = |(index, (weight, max_fails, backup)): (usize, &(u32, u32, bool))| UpstreamServer {
        host: format!("10.0.0.{index}"),
        weight: *weight,
        max_fails: *max_fails,
        backup: *backup,
        ..UpstreamServer::default()
    };
    let servers = servers.iter().enumerate().map(server).collect();
    let upstream = Upstream { name: "u".into(), servers, balance, ..Upstream::default() };
    Upstreams::new(&GatewayConfig { upstreams: vec![upstream], ..GatewayConfig::default() })
}

const U: UpstreamId = UpstreamId(0);

fn at(seconds: u64) -> Choice<'static> {
    Choice::at(Nanos::from_secs(seconds))
}

#[test]
fn turns_are_smooth_and_weighted() {
    let upstreams = upstreams(Balance::RoundRobin, &[(5, 1, false), (1, 1, false), (1, 1, false)]);
    let order: Vec<_> = (0..7).map(|_| upstreams.pick(U, &at(100)).unwrap().server).collect();
    assert_eq!(order, [0, 0, 1, 0, 2, 0, 0], "the sequence of nginx's commit message");
}

#[test]
fn a_server_that_fails_waits_and_is_tried_once() {
    let upstreams = upstreams(Balance::RoundRobin, &[(1, 2, false), (1, 0, false)]);
    let pick = |seconds| upstreams.pick(U, &at(seconds)).unwrap();
    for _ in 0..2 {
        let picked: Vec<_> = (0..2).map(|_| pick(100)).collect();
        for peer in picked {
            upstreams.free(peer, peer.server == 0, Nanos::from_secs(100));
        }
    }
    let later = |seconds| (0..4).map(|_| pick(seconds).server).collect::<Vec<_>>();
    assert_eq!(later(110), [1, 1, 1, 1], "within fail_timeout, its last second included");
    let probes = later(111).into_iter().filter(|server| *server == 0).count();
    assert_eq!(probes, 1, "one request tries it");
    upstreams.free(Peer { upstream: U, server: 0 }, false, Nanos::from_secs(111));
    assert!(later(112).contains(&0), "it is back");
}

#[test]
fn all_down_is_nobody_and_backups_come_last() {
    let both = upstreams(Balance::LeastConn, &[(1, 1, false), (1, 1, true)]);
    let first = both.pick(U, &at(5)).unwrap();
    both.free(first, true, Nanos::from_secs(5));
    let second = both.pick(U, &at(5)).unwrap();
    assert_eq!((first.server, second.server), (0, 1));
    both.free(second, true, Nanos::from_secs(5));
    assert_eq!(both.pick(U, &at(5)), None);
    let alone = upstreams(Balance::LeastConn, &[(1, 1, false)]);
    for _ in 0..5 {
        let peer = alone.pick(U, &at(5)).expect("a lone server is never left out");
        alone.free(peer, true, Nanos::from_secs(5));
    }
}

#[test]
fn the_fewest_connections_for_their_weight_win() {
    let upstreams = upstreams(Balance::LeastConn, &[(1, 1, false), (2, 1, false)]);
    let order: Vec<_> = (0..6).map(|_| upstreams.pick(U, &at(5)).unwrap().server).collect();
    assert_eq!(order.iter().filter(|server| **server == 1).count(), 4, "{order:?}");
    upstreams.free(Peer { upstream: U, server: 0 }, false, Nanos::from_secs(5));
    assert_eq!(upstreams.pick(U, &at(5)).unwrap().server, 0);
}

#[test]
fn hashes_keep_their_server() {
    let hash = |consistent| Balance::Hash { key: platform::Template::constant("x"), consistent };
    let three = [(1, 1, false), (1, 1, false), (1, 1, false)];
    for balance in [hash(false), hash(true), Balance::IpHash] {
        let all = upstreams(balance.clone(), &three);
        let pick = |client: u32, tried| {
            let key = client.to_string();
            let choice = Choice { tried, key: key.as_bytes(), client: IpAddr::V4((client << 8).into()), ..at(5) };
            all.pick(U, &choice).unwrap().server
        };
        let mut seen = [0; 3];
        for client in 0..300 {
            let server = pick(client, 0);
            assert_eq!(server, pick(client, 0), "{balance:?}");
            assert_ne!(server, pick(client, 1 << server), "another one when it was tried");
            seen[usize::from(server)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 40), "{balance:?}: {seen:?}");
    }
}
