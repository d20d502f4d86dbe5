//! A real API server over a real etcd, on an address of its own, gone with the test.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// Looks for an answer, half a second apart: long, for a machine that is busy.
const TRIES: u32 = 360;

/// An API server without anything else: nobody acts on its objects. Children are killed when it is dropped, and by the
/// kernel when the test's thread ends in any other way.
pub(crate) struct ApiServer {
    // In this order: a server that loses its etcd complains.
    server: Child,
    etcd: Child,
    programs: PathBuf,
    address: Ipv4Addr,
    folder: TempDir,
}

impl ApiServer {
    pub(crate) fn start() -> Self {
        let programs = testing::control_plane().expect("the need says that it is there");
        let folder = tempfile::tempdir().unwrap();
        // Standard ports on an address that is this process's own: parallel runs never meet.
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 98, high, low);
        let at = |path: &str| folder.path().join(path).display().to_string();
        let etcd = start(
            &folder.path().join("etcd.log"),
            "etcd",
            &[
                format!("--data-dir={}", at("etcd")),
                format!("--listen-client-urls=http://{address}:2379"),
                format!("--advertise-client-urls=http://{address}:2379"),
                format!("--listen-peer-urls=http://{address}:2380"),
                format!("--initial-advertise-peer-urls=http://{address}:2380"),
                format!("--initial-cluster=default=http://{address}:2380"),
                "--log-level=error".to_owned(),
            ],
        );
        fs::write(folder.path().join("tokens.csv"), "admin,admin,admin,system:masters\n").unwrap();
        let key = Command::new("openssl").args(["genrsa", "-out", &at("accounts.key"), "2048"]).output().unwrap();
        assert!(key.status.success(), "{key:?}");
        let server = start(
            &folder.path().join("server.log"),
            &programs.join("kube-apiserver").display().to_string(),
            &[
                format!("--etcd-servers=http://{address}:2379"),
                format!("--bind-address={address}"),
                "--secure-port=6443".to_owned(),
                format!("--cert-dir={}", at("certificates")),
                format!("--token-auth-file={}", at("tokens.csv")),
                "--authorization-mode=RBAC".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", at("accounts.key")),
                format!("--service-account-signing-key-file={}", at("accounts.key")),
                "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
                // An object only, which the API server refuses to hold with a loopback address: nobody dials it.
                "--advertise-address=192.0.2.1".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
            ],
        );
        let mut all = Self { server, etcd, programs, address, folder };
        all.wait();
        all
    }

    #[expect(clippy::disallowed_methods, reason = "waits for another process between two looks at it")]
    fn wait(&mut self) {
        let mut last = String::new();
        for _ in 0..TRIES {
            let ready = self.kubectl(&["get", "--raw", "/readyz"], "");
            if ready.status.success() {
                return;
            }
            last = String::from_utf8_lossy(&ready.stderr).into_owned();
            for (child, log) in [(&mut self.etcd, "etcd.log"), (&mut self.server, "server.log")] {
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("{log}: {status}: {}", tail(&self.folder.path().join(log)));
                }
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("the API server is not ready: {last}\n{}", tail(&self.folder.path().join("server.log")));
    }

    /// kubectl of the same release, with `input` on its standard input.
    pub(crate) fn kubectl(&self, args: &[&str], input: &str) -> Output {
        let file = self.folder.path().join("input.yaml");
        fs::write(&file, input).unwrap();
        Command::new(self.programs.join("kubectl"))
            .arg(format!("--server=https://{}:6443", self.address))
            .args(["--token=admin", "--insecure-skip-tls-verify"])
            .args(args)
            .env("HOME", self.folder.path())
            .env_remove("KUBECONFIG")
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.etcd] {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A program that the kernel kills with the thread that started it.
fn start(log: &Path, program: &str, args: &[String]) -> Child {
    let file = fs::File::create(log).unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", program])
        .args(args)
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap()
}

fn tail(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
