//! The real nginx as a child process, with everything it writes in a folder of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The level of the log that [`crate::decisions::read`] reads.
pub(crate) const DECISIONS: &str = "debug_http debug_event";

/// Where the tests' nginx listens.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);

/// Where requests come from that need no address of their own. Another one, so that no client takes a leased port.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 92, 0, 1);

/// A port that was free a moment ago.
pub(crate) fn lease() -> u16 {
    TcpListener::bind((ADDRESS, 0)).unwrap().local_addr().unwrap().port()
}

/// Whether this nginx tells its decisions: Debian's and Ubuntu's do. If not, says so as a skip, or fails where nginx is
/// required.
#[expect(clippy::print_stderr, reason = "a skip is to be seen, with its reason")]
pub(crate) fn usable(test: &str) -> bool {
    if !testing::needs(test, testing::Need::Nginx) {
        return false;
    }
    let told = Command::new("nginx").arg("-V").output().unwrap().stderr;
    let debug = String::from_utf8_lossy(&told).contains("--with-debug");
    if !debug {
        let required = std::env::var(testing::REQUIRE).unwrap_or_default();
        assert!(required.is_empty(), "{test} is required and this nginx was built without --with-debug");
        eprintln!("{} {test}: this nginx was built without --with-debug", testing::SKIP);
    }
    debug
}

/// One nginx; killed when dropped.
pub(crate) struct Nginx {
    child: Child,
    folder: TempDir,
}

impl Nginx {
    /// Starts nginx with this `http` block's inside and this level of `debug.log`, and waits until `port` accepts.
    pub(crate) fn start(http: &str, level: &str, port: u16) -> Self {
        // The folders that are built in need root.
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};\n"))
            .concat();
        Self::start_with(
            &format!(
                "worker_processes 1;\nerror_log debug.log {level};\nevents {{ worker_connections 4096; }}\n\
                 http {{\n{temporary}{http}\n}}\n"
            ),
            port,
        )
    }

    /// The same with so many connections.
    pub(crate) fn start_small(http: &str, connections: u64, port: u16) -> Self {
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};\n"))
            .concat();
        Self::start_with(
            &format!(
                "worker_processes 1;\nerror_log debug.log debug_http;\nevents {{ worker_connections {connections}; }}\n\
                 http {{\n{temporary}{http}\n}}\n"
            ),
            port,
        )
    }

    /// The same with several workers, and hence a master.
    pub(crate) fn start_workers(http: &str, workers: u32, port: u16) -> Self {
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};\n"))
            .concat();
        Self::spawn(
            &format!(
                "worker_processes {workers};\nerror_log error.log;\nevents {{ worker_connections 1024; }}\n\
                 http {{\n{temporary}{http}\n}}\n"
            ),
            "daemon off; pid nginx.pid;",
            port,
        )
    }

    /// The same with a whole file.
    pub(crate) fn start_with(text: &str, port: u16) -> Self {
        // Without a master there is one process: its log is the order of its decisions, and no root is needed.
        let command = "daemon off; master_process off; pid nginx.pid;";
        Self::spawn(text, if text.contains("\npid ") { "daemon off; master_process off;" } else { command }, port)
    }

    fn spawn(text: &str, globals: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let child = Command::new("nginx")
            .args(["-p", &format!("{}/", folder.path().display()), "-c", "nginx.conf", "-e", "start.log"])
            .args(["-g", globals])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Self { child, folder };
        for _ in 0..500 {
            if TcpStream::connect(SocketAddrV4::new(ADDRESS, port)).is_ok() {
                return nginx;
            }
            assert!(nginx.child.try_wait().unwrap().is_none(), "nginx ended at once: {}", nginx.read("start.log"));
            pause(Duration::from_millis(10));
        }
        panic!("nginx does not listen after 5 s: {}", nginx.read("start.log"));
    }

    /// A file of its folder.
    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).unwrap_or_default()).into_owned()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A master takes its workers with it only if it is asked to end.
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            self.child.kill().expect("our own child can be killed");
        }
        self.child.wait().expect("our own child ends");
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for a child process, nothing is measured")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
