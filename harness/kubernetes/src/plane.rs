//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler as children on loopback.
//!
//! Owns their flags, their order and their end. The flags that were tried and why they are so:
//!
//! - Cluster addresses are in 127/8 and pods' are labels: **nothing here may dial a pod**. `--enable-aggregator-routing`
//!   stays off, and nobody is given access to `pods/proxy`.
//! - etcd keeps nothing beyond the run: data under the control plane's folder, durable writes left out where it can.
//! - Components have identities of their own, for which Kubernetes' own roles are made.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::config::{AuthInfo, Config};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::child::{Launcher, tail};
use crate::ledger::Folder;
use crate::pki::{self, Authority, Identity};
use crate::{KubeError, Programs};

/// Where Services have their addresses: inside of 127/8, so that a stray connection stays on this machine.
const SERVICES: &str = "127.64.0.0/16";
/// An address of nobody (RFC 5737), for an object that wants one.
const NOBODY: &str = "192.0.2.1";
/// How long the API server may take.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(50);
/// How often a start is tried anew when a port was taken meanwhile.
const TRIES: u32 = 3;
/// The Service under which the metrics APIs are registered.
pub(crate) const METRICS_SERVICE: &str = "rehearse-metrics";
/// Where that Service is.
pub(crate) const METRICS_NAMESPACE: &str = "kube-system";

/// What differs from one control plane to the next.
#[derive(Clone, Debug)]
pub struct PlaneSettings {
    /// What it is made of.
    pub programs: Programs,
    /// How children are started.
    pub launcher: Launcher,
    /// Further flags of kube-controller-manager, such as shorter periods for a test.
    pub controller_flags: Vec<String>,
    /// Further flags of kube-apiserver.
    pub apiserver_flags: Vec<String>,
}

impl PlaneSettings {
    /// Kubernetes' defaults.
    pub const fn new(programs: Programs, launcher: Launcher) -> Self {
        Self { programs, launcher, controller_flags: Vec::new(), apiserver_flags: Vec::new() }
    }
}

/// A control plane that runs. Dropping it ends it and removes what it kept.
pub struct LocalControlPlane {
    client: kube::Client,
    url: String,
    kubeconfig: PathBuf,
    /// What is served under [`METRICS_SERVICE`] shows this certificate, vouched for by this authority.
    pub(crate) serving: Identity,
    pub(crate) authority: String,
    /// Who asks there: the API server, by this authority's word.
    pub(crate) front_proxy: Vec<u8>,
    died: watch::Receiver<Option<String>>,
    stop: watch::Sender<bool>,
    children: Vec<JoinHandle<()>>,
    told: String,
    // Last: removed when nobody writes there any more.
    folder: Arc<Folder>,
}

impl std::fmt::Debug for LocalControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalControlPlane")
            .field("url", &self.url)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Starts components and watches over them.
struct Nursery<'a> {
    settings: &'a PlaneSettings,
    folder: &'a Path,
    died: Arc<watch::Sender<Option<String>>>,
    stop: watch::Receiver<bool>,
    children: Vec<JoinHandle<()>>,
}

impl Nursery<'_> {
    fn log(&self, component: &str) -> PathBuf {
        self.folder.join(format!("{component}.log"))
    }

    fn start(&mut self, component: &'static str, program: &Path, args: &[String]) -> Result<(), KubeError> {
        let log = self.log(component);
        let mut child = self
            .settings
            .launcher
            .start(program, args, &log)
            .map_err(|source| KubeError::Start { program: program.to_owned(), source })?;
        let (died, mut stop) = (Arc::clone(&self.died), self.stop.clone());
        self.children.push(tokio::spawn(async move {
            tokio::select! {
                status = child.wait() => {
                    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    died.send_if_modified(|told| {
                        let first = told.is_none();
                        if first {
                            *told = Some(format!("{component} ended ({how}); the end of its log:\n{}", tail(&log)));
                        }
                        first
                    });
                }
                // Also when whoever could ask is gone.
                () = async { drop(stop.wait_for(|stop| *stop).await) } => {
                    child.kill().await.ok();
                }
            }
        }));
        Ok(())
    }
}

impl LocalControlPlane {
    /// Starts one and waits until its API server is ready. The calling thread must live as long as it: it is the one
    /// with which the children die.
    pub async fn start(settings: &PlaneSettings) -> Result<Self, KubeError> {
        // Whoever makes TLS without naming a provider would otherwise panic.
        server::tls::aws_lc_rs::default_provider().install_default().ok();
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::try_start(settings).await {
                // Between our look and theirs somebody took the port.
                Err(KubeError::Ended { log, .. }) if log.contains("address already in use") && tries < TRIES => {}
                ended => return ended,
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "the flags, in the order in which things start")]
    async fn try_start(settings: &PlaneSettings) -> Result<Self, KubeError> {
        let folder = Folder::new()?;
        let path = folder.path();
        let at = |name: &str| path.join(name).display().to_string();
        let [client_port, peer_port, port] =
            free_ports().map_err(|source| KubeError::Folder { path: path.to_owned(), source })?;
        let (etcd_url, peer_url) =
            (format!("https://127.0.0.1:{client_port}"), format!("https://127.0.0.1:{peer_port}"));
        let url = format!("https://127.0.0.1:{port}");

        let store = Authority::new(path, "etcd-ca")?;
        let cluster = Authority::new(path, "ca")?;
        let proxy = Authority::new(path, "front-proxy-ca")?;
        let etcd = store.server("etcd", &["127.0.0.1"])?;
        let etcd_client = store.client("apiserver-etcd", "kube-apiserver", None)?;
        let kubernetes = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let apiserver = cluster.server("apiserver", &[&kubernetes[..], &["127.64.0.1"]].concat())?;
        let controllers = cluster.client("controllers", "system:kube-controller-manager", None)?;
        let scheduler = cluster.client("scheduler", "system:kube-scheduler", None)?;
        let admin = cluster.client("admin", "rehearse", Some("system:masters"))?;
        let service = format!("{METRICS_SERVICE}.{METRICS_NAMESPACE}.svc");
        let serving = cluster.server("metrics", &[&service])?;
        let aggregator = proxy.client("front-proxy", "front-proxy-client", None)?;
        pki::key(path, "accounts")?;
        for (file, identity) in [("controllers", &controllers), ("scheduler", &scheduler), ("admin", &admin)] {
            pki::write(&path.join(format!("{file}.kubeconfig")), &kubeconfig(&url, &at("ca.crt"), identity))?;
        }

        let (died, watched) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let mut nursery = Nursery { settings, folder: path, died: Arc::new(died), stop: stopped, children: Vec::new() };
        let shown = |path: &Path| path.display().to_string();
        let programs = &settings.programs;
        nursery.start(
            "etcd",
            &programs.etcd.path,
            &[
                format!("--data-dir={}", at("etcd")),
                format!("--listen-client-urls={etcd_url}"),
                format!("--advertise-client-urls={etcd_url}"),
                format!("--listen-peer-urls={peer_url}"),
                format!("--initial-advertise-peer-urls={peer_url}"),
                format!("--initial-cluster=default={peer_url}"),
                "--client-cert-auth".to_owned(),
                "--peer-client-cert-auth".to_owned(),
                format!("--trusted-ca-file={}", at("etcd-ca.crt")),
                format!("--peer-trusted-ca-file={}", at("etcd-ca.crt")),
                format!("--cert-file={}", shown(&etcd.certificate)),
                format!("--key-file={}", shown(&etcd.key)),
                format!("--peer-cert-file={}", shown(&etcd.certificate)),
                format!("--peer-key-file={}", shown(&etcd.key)),
                "--log-level=warn".to_owned(),
                "--logger=zap".to_owned(),
            ],
        )?;
        let mut args = vec![
            format!("--etcd-servers={etcd_url}"),
            format!("--etcd-cafile={}", at("etcd-ca.crt")),
            format!("--etcd-certfile={}", shown(&etcd_client.certificate)),
            format!("--etcd-keyfile={}", shown(&etcd_client.key)),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--tls-cert-file={}", shown(&apiserver.certificate)),
            format!("--tls-private-key-file={}", shown(&apiserver.key)),
            format!("--client-ca-file={}", at("ca.crt")),
            "--authorization-mode=RBAC".to_owned(),
            "--anonymous-auth=false".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", at("accounts.pub")),
            format!("--service-account-signing-key-file={}", at("accounts.key")),
            format!("--service-cluster-ip-range={SERVICES}"),
            // An object only, which must not have a loopback address: nobody dials it.
            format!("--advertise-address={NOBODY}"),
            "--endpoint-reconciler-type=none".to_owned(),
            // By which the metrics APIs know who asks.
            format!("--proxy-client-cert-file={}", shown(&aggregator.certificate)),
            format!("--proxy-client-key-file={}", shown(&aggregator.key)),
            format!("--requestheader-client-ca-file={}", at("front-proxy-ca.crt")),
            "--requestheader-allowed-names=front-proxy-client".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            "--profiling=false".to_owned(),
            "--v=0".to_owned(),
        ];
        args.extend(settings.apiserver_flags.iter().cloned());
        nursery.start("kube-apiserver", &programs.apiserver.path, &args)?;

        let client = client(&url, cluster.der(), &admin)?;
        // The controllers and the scheduler wait by themselves, but not for long, and give up.
        reached(&client, "/livez", &watched, &nursery.log("kube-apiserver")).await?;
        let mut args = vec![
            format!("--kubeconfig={}", at("controllers.kubeconfig")),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", at("accounts.key")),
            format!("--root-ca-file={}", at("ca.crt")),
            // Three times the default: of all settings that were tried the one with which pods come fastest.
            "--kube-api-qps=60".to_owned(),
            "--kube-api-burst=120".to_owned(),
            "--profiling=false".to_owned(),
            "--v=0".to_owned(),
        ];
        args.extend(settings.controller_flags.iter().cloned());
        nursery.start("kube-controller-manager", &programs.controllers.path, &args)?;
        nursery.start(
            "kube-scheduler",
            &programs.scheduler.path,
            &[
                format!("--kubeconfig={}", at("scheduler.kubeconfig")),
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
                "--kube-api-qps=100".to_owned(),
                "--kube-api-burst=200".to_owned(),
                "--profiling=false".to_owned(),
                "--v=0".to_owned(),
            ],
        )?;
        reached(&client, "/readyz", &watched, &nursery.log("kube-apiserver")).await?;
        Ok(Self {
            client,
            url,
            kubeconfig: path.join("admin.kubeconfig"),
            serving,
            authority: cluster.pem(),
            front_proxy: proxy.der(),
            died: watched,
            stop,
            children: nursery.children,
            told: programs.told(),
            folder: Arc::new(folder),
        })
    }

    /// A client that may do everything.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Where metrics are served to it, and who vouches for whom.
    pub(crate) fn registrar<'a>(&'a self, run: &'a str) -> crate::answers::Registrar<'a> {
        crate::answers::Registrar {
            address: std::net::Ipv4Addr::LOCALHOST,
            serving: &self.serving,
            authority: &self.authority,
            front_proxy: vec![self.front_proxy.clone()],
            run,
        }
    }

    /// Where the API server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// For kubectl, as long as it runs.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Its versions, in one line.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// Changes when a component has ended by itself: to which one, and its last words.
    pub fn died(&self) -> watch::Receiver<Option<String>> {
        self.died.clone()
    }

    /// Ends every component, and returns when they are gone and nothing is left of them.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for child in std::mem::take(&mut self.children) {
            child.await.ok();
        }
    }

    /// Where it keeps its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for LocalControlPlane {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for child in &self.children {
            child.abort(); // which drops the child, and so kills it
        }
    }
}

/// Ports that nobody listens on now.
fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    // All held at once, so that they differ.
    let held = (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<Vec<_>, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// JSON is YAML.
pub(crate) fn kubeconfig(url: &str, authority: &str, identity: &Identity) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "rehearse",
        "contexts": [{ "name": "rehearse", "context": { "cluster": "rehearse", "user": "rehearse" } }],
        "clusters": [{ "name": "rehearse", "cluster": { "server": url, "certificate-authority": authority } }],
        "users": [{ "name": "rehearse", "user": {
            "client-certificate": identity.certificate,
            "client-key": identity.key,
        }}],
    })
    .to_string()
}

fn client(url: &str, authority: Vec<u8>, identity: &Identity) -> Result<kube::Client, KubeError> {
    let mut config = Config::new(url.parse().map_err(|_| KubeError::Certificate(format!("{url} is no address")))?);
    config.root_cert = Some(vec![authority]);
    config.auth_info = AuthInfo {
        client_certificate: Some(identity.certificate.display().to_string()),
        client_key: Some(identity.key.display().to_string()),
        ..AuthInfo::default()
    };
    // A refusal to evict is an answer, and our repetitions are our own.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    kube::Client::try_from(config).map_err(KubeError::api("have a client"))
}

/// Waits until the API server answers well at `path`, or something has ended.
#[expect(clippy::disallowed_methods, reason = "waits for other processes, before any clock of a run begins")]
async fn reached(
    client: &kube::Client,
    path: &str,
    died: &watch::Receiver<Option<String>>,
    log: &Path,
) -> Result<(), KubeError> {
    let asking = async {
        loop {
            let request = http_request(path);
            if client.request_text(request).await.is_ok() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let mut died = died.clone();
    tokio::select! {
        () = asking => Ok(()),
        ended = died.wait_for(Option::is_some) => {
            let told = ended.ok().and_then(|told| told.clone()).unwrap_or_default();
            let (status, log) = told.split_once("; the end of its log:\n").unwrap_or((told.as_str(), ""));
            let component = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
                .into_iter()
                .find(|name| status.starts_with(name))
                .unwrap_or("a component");
            Err(KubeError::Ended { component, status: status.to_owned(), log: log.to_owned() })
        }
        () = tokio::time::sleep(READY_WITHIN) => {
            Err(KubeError::NotReady { seconds: READY_WITHIN.as_secs(), log: tail(log) })
        }
    }
}

pub(crate) fn http_request(path: &str) -> hyper::Request<Vec<u8>> {
    let mut request = hyper::Request::new(Vec::new());
    *request.uri_mut() = path.parse().unwrap_or_default();
    request
}
