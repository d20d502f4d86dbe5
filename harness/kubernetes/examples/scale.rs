//! How many pods a control plane on this machine carries: stands so many of them up on played nodes, each a real HTTP server
//! that is really probed, and tells how long they take to be Ready, what memory everybody holds and what CPU they take at
//! rest.
//!
//! `cargo run -p kubernetes --example scale [PODS] [SECONDS AT REST]`; needs the programs of `--backend control-plane`, and
//! a file descriptor for each pod.

#![expect(clippy::print_stdout, reason = "an example prints its figures")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context, bail};
use cluster::ClusterConfig;
use kubernetes::{Launcher, LocalControlPlane, Order, PlaneSettings, Prepared, Programs};
use manifests::Source;
use record::Deaf;
use scenarios::{Plan, Scenario};
use stage::{ControlMaker, Standing};
use units::{Nanos, Seed};

/// Replicas of each Deployment, at most.
const TOGETHER: usize = 50;
/// Pods on each node.
const ON_A_NODE: usize = 100;

fn main() -> anyhow::Result<()> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|word| word == "child") {
        return Err(kubernetes::become_child(&args[1..]).into());
    }
    let number = |index: usize, default: usize| match args.get(index).and_then(|word| word.to_str()) {
        Some(word) => word.parse::<usize>().with_context(|| format!("`{word}` is no number")),
        None => Ok(default),
    };
    let (pods, seconds) = (number(0, 500)?, number(1, 60)? as u64);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, ..limit },
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(stand(pods, Nanos::from_secs(seconds)))
}

async fn stand(pods: usize, rest: Nanos) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (platform, nodes) = (folder.path().join("platform.yaml"), folder.path().join("nodes.yaml"));
    std::fs::write(&platform, manifests_of(pods))?;
    std::fs::write(&nodes, nodes_of(pods))?;
    let loaded = manifests::load(&Source::parse(&platform.display().to_string()), "")?;
    let nodes = manifests::load_nodes(Some(&nodes))?;
    let scenario = Scenario::parse(SCENARIO, "scale.yaml")?;
    let platform = Arc::new(loaded.platform);
    let plan = Plan::resolve(&scenario, Arc::clone(&platform), nodes.clone(), &BTreeMap::new(), Seed::new(1))?;

    let clock = clock::Clock::start();
    let launcher = Launcher { program: std::env::current_exe()?, words: vec!["child".into()] };
    let plane = LocalControlPlane::start(&PlaneSettings::new(Programs::find(None)?, launcher)).await?;
    println!("{}", plane.told());
    println!("control plane ready after {:.1} s", clock.now().as_secs_f64());
    let order = Order {
        platform,
        objects: loaded.objects.iter().map(manifests::Object::to_json).collect(),
        nodes,
        config: ClusterConfig::default(),
        run: "scale".to_owned(),
    };
    let began = clock.now();
    let prepared = Prepared::new(&plane, order).await?;
    println!("{} objects applied after {:.1} s", prepared.applied().objects, (clock.now() - began).as_secs_f64());
    let mut deaf = Deaf;
    let control: ControlMaker = Box::new(move |_, clock, teller| prepared.control(&clock, teller));
    let mut standing = Standing::begin_in(Arc::new(plan), control, None, &mut deaf)?;
    standing.ready().await?;
    let took = clock.now() - began;
    let there = standing.pods().len();
    println!("{there} pods Ready after {:.1} s: {:.0} a second", took.as_secs_f64(), there as f64 / took.as_secs_f64());
    if there < pods {
        bail!("{pods} pods were wanted");
    }
    let standing_cpu = processes()?;
    println!("\n{:<26} {:>10} {:>14} {:>14}", "", "resident", "CPU until then", "cores at rest");
    standing.during(clock.until(clock.now() + rest)).await?;
    let (mut all, mut memory) = (0.0, 0.0);
    for (name, after) in processes()? {
        let before = standing_cpu.get(&name).copied().unwrap_or_default();
        let cores = (after.cpu - before.cpu) / rest.as_secs_f64();
        println!("{name:<26} {:>6.0} MiB {:>12.1} s {cores:>14.3}", after.resident, before.cpu);
        (all, memory) = (all + cores, memory + after.resident);
    }
    println!("{:<26} {memory:>6.0} MiB {:>14} {all:>14.3}", "together", "");
    drop(standing);
    plane.stop().await;
    Ok(())
}

/// Of a process.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    /// Seconds.
    cpu: f64,
    /// MiB.
    resident: f64,
}

/// This process and its children, by name.
fn processes() -> anyhow::Result<BTreeMap<String, Used>> {
    let own = std::process::id();
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // One that has ended meanwhile is nobody's.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Ok(command) = std::fs::read_to_string(entry.path().join("cmdline")) else { continue };
        let Ok(status) = std::fs::read_to_string(entry.path().join("status")) else { continue };
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        if pid != own && field(1) as u32 != own {
            continue;
        }
        let program = command.split('\0').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let name = if pid == own { "rehearse" } else { program };
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let resident = resident.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or_default() / 1024.0;
        // utime and stime, in the hundredths of a second of `sysconf(_SC_CLK_TCK)`.
        all.insert(name.to_owned(), Used { cpu: (field(11) + field(12)) / 100.0, resident });
    }
    Ok(all)
}

const SCENARIO: &str = "
apiVersion: rehearse/v1
kind: Scenario
metadata: {name: scale, question: How many pods does a control plane on this machine carry?}
spec:
  host: shop.example.com
  timeout: 10s
  phases: [{name: rest, kind: steady, duration: 10s}]
  journeys: {look: {flow: core, steps: [{name: look, request: GET /}]}}
  load: [{journey: look, clients: 1, rate: {rest: 1/s}}]
";

const GATEWAY: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: gateway, namespace: shop}
data:
  nginx.conf: |
    events {}
    http { server { listen 8080; location = /health { return 200 "ok"; } location / { proxy_pass http://echo-0; } } }
---
apiVersion: v1
kind: Service
metadata: {name: gateway, namespace: shop}
spec: {selector: {app: gateway}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: gateway}}
  template:
    metadata: {labels: {app: gateway}}
    spec:
      containers:
        - name: nginx
          image: nginx:1.28
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /health, port: 8080}}
          volumeMounts: [{name: config, mountPath: /etc/nginx/nginx.conf, subPath: nginx.conf}]
      volumes: [{name: config, configMap: {name: gateway}}]
"#;

/// A gateway, and Deployments with a Service each.
fn manifests_of(pods: usize) -> String {
    let mut text = GATEWAY.to_owned();
    let mut left = pods.saturating_sub(1);
    for index in 0.. {
        let replicas = left.min(TOGETHER);
        if replicas == 0 {
            break;
        }
        left -= replicas;
        let name = format!("echo-{index}");
        // A probe period as Kubernetes has it by default, 10 s.
        write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8000}}]}}\n\
             ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    \
             metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n        - name: echo\n          \
             image: shop/echo:1\n          ports: [{{containerPort: 8000}}]\n          \
             resources: {{requests: {{cpu: 10m, memory: 16Mi}}, limits: {{memory: 64Mi}}}}\n          \
             readinessProbe: {{httpGet: {{path: /health, port: 8000}}}}\n          \
             livenessProbe: {{httpGet: {{path: /health, port: 8000}}}}\n"
        )
        .unwrap_or_default();
    }
    text
}

fn nodes_of(pods: usize) -> String {
    let node = |index: usize| {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: node-{index}, labels: {{kubernetes.io/hostname: node-{index}, \
             topology.kubernetes.io/zone: zone-{}}}}}\nstatus: {{allocatable: {{cpu: '16', memory: 64Gi, pods: '110'}}}}\n",
            index % 3
        )
    };
    (0..pods.div_ceil(ON_A_NODE).max(3)).map(node).collect::<Vec<_>>().join("---\n")
}
