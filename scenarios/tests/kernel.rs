//! How late lost packets arrive: the rule of `packetLoss` beside the kernel's own TCP, in a network namespace of its own
//! whose firewall drops exactly the first so many packets of a kind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]
#![expect(clippy::disallowed_methods, reason = "the kernel's timers are the wall clock's")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use scenarios::retransmission::{handshake, segment};
use testing::{Need, as_root, needs};
use units::Nanos;

/// Tells this program that it is the one within the namespace.
const WITHIN: &str = "REHEARSE_TEST_WITHIN_NAMESPACE";
const PORT: u16 = 7_000;
/// There since Linux 6.5; before, each SYN was waited for twice as long as the one before it.
const LINEAR_SYNS: &str = "/proc/sys/net/ipv4/tcp_syn_linear_timeouts";

#[test]
fn lost_packets_arrive_when_the_kernel_sends_them_again() {
    let name = "lost_packets_arrive_when_the_kernel_sends_them_again";
    if std::env::var_os(WITHIN).is_some() {
        return within();
    }
    if !needs(name, Need::Iptables) {
        return;
    }
    let this = std::env::current_exe().unwrap();
    let mut command = as_root("unshare");
    let output =
        command.arg("--net").arg(this).args(["--exact", name, "--nocapture"]).env(WITHIN, "1").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn within() {
    run("ip link set lo up");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| drop(std::thread::spawn(|| echo(stream))));
    });
    let timed = |what: &dyn Fn()| {
        let began = Instant::now();
        what();
        Nanos::new(began.elapsed().as_nanos() as u64)
    };
    for (what, packets) in [("request", "--dport 7000"), ("answer", "--sport 7000")] {
        for times in 0..=3 {
            forget();
            let stream = connect();
            // The kernel has measured a round trip before one fails.
            (0..5).for_each(|_| ask(&stream));
            lose(&format!("{packets} --tcp-flags PSH PSH"), times);
            between(what, times, timed(&|| ask(&stream)), [segment(times), segment(times + 1)]);
        }
    }
    let most = if std::path::Path::new(LINEAR_SYNS).exists() { 2 } else { 1 };
    for times in 0..=most {
        forget();
        lose("--dport 7000 --syn", times);
        between("handshake", times, timed(&|| drop(connect())), [handshake(times), handshake(times + 1)]);
    }
}

/// As late as it has to be, and not as late as if one more had been lost.
fn between(what: &str, times: u32, took: Nanos, [at_least, below]: [Nanos; 2]) {
    assert!((at_least..below).contains(&took), "{what}, lost {times} times: {took}, {at_least} to {below} expected");
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn ask(mut stream: &TcpStream) {
    stream.write_all(&[1; 50]).unwrap();
    stream.read_exact(&mut [0; 50]).unwrap();
}

fn echo(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = [0; 50];
    while stream.read_exact(&mut bytes).is_ok() && stream.write_all(&bytes).is_ok() {}
}

/// The firewall drops the first `times` packets of these. Each rule counts for itself what has passed those before it.
fn lose(packets: &str, times: u32) {
    for _ in 0..times {
        run(&format!("iptables -A INPUT -p tcp {packets} -m statistic --mode nth --every 1000000 --packet 0 -j DROP"));
    }
}

fn forget() {
    run("iptables -F INPUT");
}

fn run(words: &str) {
    let mut words = words.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
