//! A scenario meets a platform: every step finds its location, its service and its cost, or is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use std::net::{IpAddr, Ipv4Addr};

use gateway::{Request, Routed, ingress};
use model::data::Figures;
use model::{Declared, Profile, RouteId};
use platform::{Action, GatewayConfig, Node, Platform, PortRef, ServiceId, Workload, WorkloadId, WorkloadKind};
use record::{Cause, ScenarioStamp, StepId};
use units::{Nanos, Seed};

use crate::bind::Binder;
use crate::problem::{Problem, nearest};
use crate::{Abort, Clause, Expectation, Fault, LoadPlan, Scenario, ScenarioError};

/// Everything a stage needs to play a rehearsal.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is played.
    pub scenario: ScenarioStamp,
    /// The load side.
    pub load: LoadPlan,
    /// What goes wrong, in order of time.
    pub faults: Vec<Fault>,
    /// What must be true of it.
    pub expectations: Vec<Expectation>,
    /// What the gateway is held to, apart from any load.
    pub contract: Vec<Clause>,
    /// When the run is given up early.
    pub abort: Option<Abort>,
    /// What is stood up.
    pub platform: Arc<Platform>,
    /// On what.
    pub nodes: Vec<Node>,
    /// Costs, by workload. The gateway has none: it is played by its own rules.
    pub profiles: Vec<Arc<Profile>>,
    /// What was measured of the servers that the platform keeps its data in.
    pub figures: Figures,
    /// Port the gateway's pods listen on.
    pub gateway_port: u16,
    /// What the ingress controller in front is configured with, if a step goes through it.
    pub ingress: Option<Arc<GatewayConfig>>,
    targets: Vec<Target>,
    servers: Vec<Vec<Option<Call>>>, // by step: what each server of its upstream would be asked
    calls: Vec<Vec<Vec<Call>>>,      // by workload, by route
}

/// Where a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// What the ingress controller in front does with it; `None`: it does not come that way.
    pub ingress: Option<Routed>,
    /// What the gateway does with it; `None`: the ingress controller leads past it.
    pub gateway: Option<Routed>,
    /// The service behind; `None` where an nginx answers itself.
    pub behind: Option<Call>,
}

/// Where clients enter the platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// At the gateway's Service, as from within the cluster or behind a plain load balancer. Hosts that only an Ingress
    /// has come through the ingress controller.
    #[default]
    Gateway,
    /// Through the ingress controller, for every host that an Ingress has.
    Ingress,
}

/// A request to a service, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which Service is dialled.
    pub service: ServiceId,
    /// The workload that it selects.
    pub workload: WorkloadId,
    /// Which of its routes answers.
    pub route: RouteId,
}

/// Why a scenario cannot be played on a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The platform has no gateway to drive load through.
    #[error(
        "the platform has no gateway: no workload mounts a ConfigMap with an nginx.conf, and there is neither an Ingress nor a Service that speaks HTTP, so there is nothing to drive load through"
    )]
    NoGateway,
    /// The scenario names what the platform does not have, or a step cannot be routed.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// A profile's call cannot be routed.
    #[error("profile of {workload}: call {request} to {service}: {why}")]
    Call {
        /// Calling workload.
        workload: String,
        /// `GET /path`.
        request: String,
        /// Called Service.
        service: String,
        /// Why, and what would do.
        why: String,
    },
    /// Calls go round in a circle.
    #[error("profiles call each other in a circle: {0}: remove one of these calls")]
    Circle(String),
}

impl Plan {
    /// The same with what was measured of the servers behind.
    #[must_use]
    pub fn with_figures(self, figures: Figures) -> Self {
        Self { figures, ..self }
    }

    /// Brings a scenario and a platform together, whose clients enter at the gateway.
    pub fn resolve(
        scenario: &Scenario,
        platform: Arc<Platform>,
        nodes: Vec<Node>,
        profiles: &BTreeMap<String, Profile>,
        seed: Seed,
    ) -> Result<Self, ResolveError> {
        Self::resolve_entering(scenario, platform, nodes, profiles, seed, Entry::Gateway)
    }

    /// The same with the place where clients enter.
    pub fn resolve_entering(
        scenario: &Scenario,
        platform: Arc<Platform>,
        nodes: Vec<Node>,
        profiles: &BTreeMap<String, Profile>,
        seed: Seed,
        entry: Entry,
    ) -> Result<Self, ResolveError> {
        let load = scenario.load(seed);
        let profile = |id: WorkloadId| {
            let workload = platform.workload(id);
            let profile = profiles.get(&workload.name).cloned().unwrap_or_else(|| generic_profile(workload));
            Arc::new(profile.within(|service| platform.service_named(service).is_some()))
        };
        let profiles: Vec<_> = platform.workload_ids().map(profile).collect();
        let declared: Vec<_> = platform.ingresses.iter().collect();
        let ingress = (!declared.is_empty()).then(|| Arc::new(ingress::config(&declared)));
        let router = Router { platform: &platform, profiles: &profiles, ingress: ingress.clone(), entry };
        let gateway = platform.gateway.as_ref().ok_or(ResolveError::NoGateway)?;
        let gateway_port = router.gateway_port(gateway.service, gateway.workload).ok_or(ResolveError::NoGateway)?;
        let mut binder = Binder { platform: &platform, nodes: &nodes, problems: Vec::new() };
        let (mut targets, mut servers) = (Vec::new(), Vec::new());
        for (step, place) in load.steps.iter().zip(&scenario.steps) {
            match router.target(gateway_port, step) {
                Ok((target, others)) => {
                    targets.push(target);
                    servers.push(others);
                }
                Err(why) => binder.problems.push(Problem {
                    place: *place,
                    what: format!("step `{}` ({} {}): {why}", step.name, step.method, step.path),
                }),
            }
        }
        let ingress = ingress.filter(|_| targets.iter().any(|target: &Target| target.ingress.is_some()));
        let faults = binder.faults(&scenario.faults, load.end());
        let expectations = binder.expectations(&scenario.expect, &load, &scenario.faults);
        if !binder.problems.is_empty() {
            return Err(scenario.refuse(binder.problems).into());
        }
        let calls = platform.workload_ids().map(|id| router.calls(id)).collect::<Result<Vec<_>, _>>()?;
        refuse_circles(&platform, &calls)?;
        Ok(Self {
            scenario: ScenarioStamp {
                name: scenario.name.clone(),
                question: scenario.question.clone(),
                digest: scenario.digest.clone(),
            },
            load,
            faults,
            expectations,
            contract: scenario.contract.clone(),
            abort: scenario.abort,
            nodes,
            figures: Figures::new(),
            gateway_port,
            ingress,
            targets,
            servers,
            calls,
            profiles,
            platform,
        })
    }

    /// Where a step goes.
    pub fn target(&self, step: StepId) -> &Target {
        &self.targets[usize::from(step.0)]
    }

    /// What the server with this number asks, of the upstream that a step goes to behind the gateway; `None` where no
    /// Service answers such a request.
    pub fn server(&self, step: StepId, server: u16) -> Option<Call> {
        *self.servers[usize::from(step.0)].get(usize::from(server))?
    }

    /// The calls that serving a route makes, in order.
    pub fn calls(&self, workload: WorkloadId, route: RouteId) -> &[Call] {
        &self.calls[usize::from(workload.0)][usize::from(route.0)]
    }

    /// How long the slowest workload takes to be ready at least, by what its probes declare: nobody asks a pod before its
    /// `initialDelaySeconds`, and the pods of an ordered StatefulSet come one after the other.
    pub fn slowest_start(&self) -> Nanos {
        let asked = |probe: &platform::Probe| probe.initial_delay + probe.period * u64::from(probe.success_threshold);
        let start = |workload: &Workload| {
            let of = |container: &platform::Container| {
                let probes = [&container.startup, &container.readiness];
                probes.into_iter().flatten().fold(Nanos::ZERO, |sum, probe| sum + asked(probe))
            };
            let pod = workload.containers.iter().map(of).max().unwrap_or(Nanos::ZERO) + workload.min_ready;
            match workload.kind {
                WorkloadKind::StatefulSet { parallel: false, .. } => pod * u64::from(workload.replicas.unwrap_or(1)),
                _ => pod,
            }
        };
        self.platform.workloads.iter().map(start).max().unwrap_or(Nanos::ZERO)
    }

    /// The workloads that can never start, in words that follow a reason: by its profile the process alone holds more than
    /// its container may. Empty if there is none.
    pub fn starved(&self) -> String {
        let starved = |id: WorkloadId| {
            let workload = self.platform.workload(id);
            let (limit, idle) = (workload.containers.first()?.limits.memory?, self.profile(id).memory);
            (idle > limit).then(|| format!("{} ({idle}, limit {limit})", workload.name))
        };
        let gateway = self.platform.gateway.as_ref().map(|gateway| gateway.workload);
        let all: Vec<String> =
            self.platform.workload_ids().filter(|id| Some(*id) != gateway).filter_map(starved).collect();
        match all.as_slice() {
            [] => String::new(),
            all => format!(
                "; by their profiles these hold more memory at rest than their containers may: {}: raise \
                 `resources.limits.memory`, or measure and correct the profile",
                all.join(", ")
            ),
        }
    }

    /// The costs of a workload.
    pub fn profile(&self, workload: WorkloadId) -> &Arc<Profile> {
        &self.profiles[usize::from(workload.0)]
    }
}

/// What a workload costs that nobody described: assumed from what its serving container asks for.
pub fn generic_profile(workload: &Workload) -> Profile {
    let serving = workload.containers.first();
    let (requests, limits) = serving.map(|container| (container.requests, container.limits)).unwrap_or_default();
    Profile::generic(&Declared {
        workload: &workload.name,
        cpu_request: requests.cpu,
        cpu_limit: limits.cpu,
        memory_request: requests.memory,
        memory_limit: limits.memory,
    })
}

struct Router<'a> {
    platform: &'a Platform,
    profiles: &'a [Arc<Profile>],
    ingress: Option<Arc<GatewayConfig>>,
    entry: Entry,
}

impl Router<'_> {
    fn gateway_port(&self, service: ServiceId, workload: WorkloadId) -> Option<u16> {
        let target: &PortRef = &self.platform.service(service).ports.first()?.target;
        self.platform.workload(workload).containers.iter().find_map(|container| container.port(target))
    }

    /// Past the ingress controller where that is wanted, or where the gateway alone does not take the step.
    fn target(&self, port: u16, step: &crate::Step) -> Result<(Target, Vec<Option<Call>>), String> {
        let host = step.host.to_ascii_lowercase();
        let known = |config: &&GatewayConfig| config.servers.iter().any(|server| server.names.contains(&host));
        let Some(ingress) = self.ingress.as_deref().filter(known) else {
            return self.at_gateway(port, step, &step.path);
        };
        let through = || self.through_ingress(ingress, port, step);
        if self.entry == Entry::Ingress {
            return through();
        }
        self.at_gateway(port, step, &step.path).or_else(|why| {
            through().map_err(|also| if also == why { why } else { format!("{why}; and through the Ingress: {also}") })
        })
    }

    fn through_ingress(
        &self,
        config: &GatewayConfig,
        port: u16,
        step: &crate::Step,
    ) -> Result<(Target, Vec<Option<Call>>), String> {
        let (entry, tls) = ingress_door(config, &step.host);
        let (routed, path) = routed(config, entry, tls, step, &step.path, "the ingress controller")?;
        let ends_there = Target { ingress: Some(routed), gateway: None, behind: None };
        let none = Vec::new();
        let Routed::To(location) = routed else { return Ok((ends_there, none)) };
        let Action::Proxy { upstream, .. } = &config.location(location).action else { return Ok((ends_there, none)) };
        let Some(server) = config.upstream(*upstream).servers.first() else { return Ok((ends_there, none)) };
        let service = self.service(&server.host)?;
        if self.platform.gateway.as_ref().is_some_and(|gateway| gateway.service == service) {
            let (target, servers) = self.at_gateway(port, step, &path)?;
            return Ok((Target { ingress: Some(routed), ..target }, servers));
        }
        let behind = self.route_of(service, &server.host, &step.method, &path)?;
        Ok((Target { behind: Some(behind), ..ends_there }, none))
    }

    fn at_gateway(&self, port: u16, step: &crate::Step, path: &str) -> Result<(Target, Vec<Option<Call>>), String> {
        let config = &self.platform.gateway.as_ref().ok_or("there is no gateway")?.config;
        let (routed, _) = routed(config, port, false, step, path, "the gateway")?;
        let ends_there = Target { ingress: None, gateway: Some(routed), behind: None };
        let Routed::To(location) = routed else { return Ok((ends_there, Vec::new())) };
        let declared = config.location(location);
        let Action::Proxy { upstream, uri } = &declared.action else { return Ok((ends_there, Vec::new())) };
        let host = match config.upstream(*upstream).servers.first() {
            Some(server) => &server.host,
            None => return Err(format!("upstream `{}` has no server", config.upstream(*upstream).name)),
        };
        let path = gateway::rewrite(&declared.matches, uri.as_deref(), path);
        let behind = self.service_route(host, &step.method, &path)?;
        let asks = |server: &platform::UpstreamServer| self.service_route(&server.host, &step.method, &path).ok();
        let servers = config.upstream(*upstream).servers.iter().map(asks).collect();
        Ok((Target { behind: Some(behind), ..ends_there }, servers))
    }

    fn service(&self, host: &str) -> Result<ServiceId, String> {
        let names = || self.platform.services.iter().map(|s| s.name.as_str());
        let found = self.platform.service_named(host);
        found.ok_or_else(|| format!("there is no Service `{host}`{}", nearest(host, names())))
    }

    fn service_route(&self, host: &str, method: &str, path: &str) -> Result<Call, String> {
        self.route_of(self.service(host)?, host, method, path)
    }

    fn route_of(&self, service: ServiceId, host: &str, method: &str, path: &str) -> Result<Call, String> {
        let workload =
            self.platform.selected_by(self.platform.service(service)).next().ok_or_else(|| {
                format!("Service `{host}` selects no pods: compare its selector with the pods' labels")
            })?;
        let profile = &self.profiles[usize::from(workload.0)];
        let route = profile.route(method, path).ok_or_else(|| {
            let wanted = format!("{method} {path}");
            let hint = nearest(&wanted, profile.routes.iter().map(|r| r.route.as_str()));
            format!("the profile of {} has no route `{wanted}`{hint}", profile.workload)
        })?;
        Ok(Call { service, workload, route })
    }

    fn calls(&self, workload: WorkloadId) -> Result<Vec<Vec<Call>>, ResolveError> {
        let profile = &self.profiles[usize::from(workload.0)];
        let resolve = |call: &model::CallProfile| {
            let (method, path) = call.request.split_once(' ').unwrap_or(("GET", &call.request));
            self.service_route(&call.service, method, path).map_err(|why| ResolveError::Call {
                workload: profile.workload.clone(),
                request: call.request.clone(),
                service: call.service.clone(),
                why,
            })
        };
        profile.routes.iter().map(|route| route.calls.iter().map(resolve).collect()).collect()
    }
}

/// The port at which an ingress controller takes requests for a host, and whether over TLS: where it can, it does.
pub fn ingress_door(config: &GatewayConfig, host: &str) -> (u16, bool) {
    let host = host.to_ascii_lowercase();
    let tls = config.servers.iter().any(|server| server.tls && server.names.contains(&host));
    (if tls { 443 } else { 80 }, tls)
}

/// What an nginx does with a step's request, and the path that it passes on. What it answers itself is refused unless the
/// scenario wants that.
fn routed(
    config: &GatewayConfig,
    port: u16,
    tls: bool,
    step: &crate::Step,
    path: &str,
    who: &str,
) -> Result<(Routed, String), String> {
    let peer = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let body = step.payload.map(|payload| payload.size().get());
    let (host, method) = (step.host.as_str(), step.method.as_str());
    let request = Request { peer, tls, method, body, ..Request::new(port, host, path) };
    let resolved = gateway::resolve(config, &request);
    let wanted =
        |status| step.judge(status, if status < 400 { Cause::None } else { Cause::ClientError }) == Cause::None;
    match resolved.routed {
        Routed::To(_) => {}
        Routed::Redirect(_) => return Err(format!("{who} only redirects it: add a slash to its path")),
        Routed::Answer { status, .. } if wanted(status) => {}
        Routed::Answer { status: 413, .. } => {
            let size = step.payload.map_or(units::Bytes::ZERO, |payload| payload.size());
            return Err(format!("{who} refuses its body of {size} with 413: make it smaller, or `expect` that"));
        }
        Routed::Answer { status, .. } => {
            return Err(format!("{who} answers it by itself, with {status}: if that is wanted, `expect` it"));
        }
        Routed::Nothing => return Err(format!("no location of {who} takes it (host {host}, port {port})")),
        Routed::Malformed => return Err("nginx refuses such a host or path with 400".into()),
    }
    let passed = resolved.upstream_target(config, &request);
    Ok((resolved.routed, passed))
}

/// A circle of calls would make every request endless.
fn refuse_circles(platform: &Platform, calls: &[Vec<Vec<Call>>]) -> Result<(), ResolveError> {
    fn visit(
        at: (WorkloadId, RouteId),
        calls: &[Vec<Vec<Call>>],
        path: &mut Vec<(WorkloadId, RouteId)>,
    ) -> Result<(), Vec<(WorkloadId, RouteId)>> {
        if let Some(start) = path.iter().position(|seen| *seen == at) {
            let mut circle = path[start..].to_vec();
            circle.push(at);
            return Err(circle);
        }
        path.push(at);
        for call in &calls[usize::from(at.0.0)][usize::from(at.1.0)] {
            visit((call.workload, call.route), calls, path)?;
        }
        path.pop();
        Ok(())
    }
    for (workload, routes) in calls.iter().enumerate() {
        for route in 0..routes.len() {
            let start = (WorkloadId(workload as u16), RouteId(route as u16));
            visit(start, calls, &mut Vec::new()).map_err(|circle| {
                let names: Vec<_> = circle.iter().map(|(w, _)| platform.workload(*w).name.as_str()).collect();
                ResolveError::Circle(names.join(" → "))
            })?;
        }
    }
    Ok(())
}
