//! Faults on the timeline: when each begins and ends, and which of them exclude each other. What they hit is found
//! later, on a platform (`bind.rs`).

use cluster::AutoscalerEdit;
use platform::Resources;
use units::{Distribution, Millicores, Nanos};

use crate::LoadPlan;
use crate::check::Checker;
use crate::file::{ExpectFile, FaultFile};
use crate::problem::{Place, nearest};
use crate::word::{At, Moment, Percent, That};

/// A fault with its time, waiting for a platform.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) at: Nanos,
    pub(crate) lasts: Option<Nanos>,
    pub(crate) hit: Hit,
}

/// What a fault hits, by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Hit {
    PodKill { workload: At<String>, pods: u32, forced: bool },
    NodeDrain(At<String>),
    NodeLoss(At<String>),
    ZoneLoss(At<String>),
    Partition(At<String>),
    RollingUpdate(At<String>),
    BadImage(At<String>),
    Rollback(At<String>),
    Latency { from: At<String>, to: At<String>, add: Distribution },
    Errors { from: At<String>, to: At<String>, share: f64, status: u16 },
    Reset { from: At<String>, to: At<String>, share: f64 },
    PacketLoss { from: At<String>, to: At<String>, share: f64 },
    Blackhole { from: At<String>, to: At<String> },
    DatabaseLoss(Option<At<String>>),
    RedisLoss(Option<At<String>>),
    ConnectionsTaken { connections: u32 },
    Backup { cpu: Millicores },
    DiskFull(Option<At<String>>),
    Restore(Option<At<String>>),
    GatewayLoss { pods: u32, place: Place },
    NoisyNeighbour { node: At<String>, cpu: Millicores },
    DnsFailure(At<String>),
    AutoscalerEdit { workload: At<String>, edit: AutoscalerEdit, place: Place },
    Quota { namespace: Option<At<String>>, pods: Option<u32>, requests: Resources },
}

/// How long a rolling update is taken to need when the file does not say. Only used to tell overlapping ones.
const ROLLOUT: Nanos = Nanos::from_secs(60);

impl Hit {
    /// As the file calls it.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::PodKill { .. } => "podKill",
            Self::NodeDrain(_) => "nodeDrain",
            Self::NodeLoss(_) => "nodeLoss",
            Self::ZoneLoss(_) => "zoneLoss",
            Self::Partition(_) => "partition",
            Self::RollingUpdate(_) => "rollingUpdate",
            Self::BadImage(_) => "badImage",
            Self::Rollback(_) => "rollback",
            Self::Latency { .. } => "latency",
            Self::Errors { .. } => "errors",
            Self::Reset { .. } => "reset",
            Self::PacketLoss { .. } => "packetLoss",
            Self::Blackhole { .. } => "blackhole",
            Self::DatabaseLoss(_) => "databaseLoss",
            Self::RedisLoss(_) => "redisLoss",
            Self::ConnectionsTaken { .. } => "connectionsTaken",
            Self::Backup { .. } => "backup",
            Self::DiskFull(_) => "diskFull",
            Self::Restore(_) => "restore",
            Self::GatewayLoss { .. } => "gatewayLoss",
            Self::NoisyNeighbour { .. } => "noisyNeighbour",
            Self::DnsFailure(_) => "dnsFailure",
            Self::AutoscalerEdit { .. } => "autoscalerEdit",
            Self::Quota { .. } => "quota",
        }
    }

    /// What a second fault of the same kind must not hit at the same time.
    fn target(&self) -> String {
        let pair = |from: &At<String>, to: &At<String>| format!("{} → {}", from.text, to.text);
        match self {
            Self::PodKill { workload: one, .. }
            | Self::NodeDrain(one)
            | Self::NodeLoss(one)
            | Self::ZoneLoss(one)
            | Self::Partition(one)
            | Self::RollingUpdate(one)
            | Self::BadImage(one)
            | Self::Rollback(one)
            | Self::NoisyNeighbour { node: one, .. }
            | Self::AutoscalerEdit { workload: one, .. }
            | Self::DnsFailure(one) => one.text.clone(),
            Self::DatabaseLoss(one)
            | Self::RedisLoss(one)
            | Self::Restore(one)
            | Self::DiskFull(one)
            | Self::Quota { namespace: one, .. } => one.as_ref().map_or(String::new(), |one| one.text.clone()),
            Self::Latency { from, to, .. }
            | Self::Errors { from, to, .. }
            | Self::Reset { from, to, .. }
            | Self::PacketLoss { from, to, .. }
            | Self::Blackhole { from, to } => pair(from, to),
            Self::GatewayLoss { .. } | Self::ConnectionsTaken { .. } | Self::Backup { .. } => String::new(),
        }
    }

    /// The workload whose template it changes.
    fn rollout(&self) -> Option<&str> {
        match self {
            Self::RollingUpdate(workload) | Self::BadImage(workload) | Self::Rollback(workload) => Some(&workload.text),
            _ => None,
        }
    }

    /// Whether it disturbs what two parties say to each other, and does not end it.
    const fn disturbs(&self) -> bool {
        matches!(self, Self::Latency { .. } | Self::Errors { .. } | Self::Reset { .. } | Self::PacketLoss { .. })
    }

    /// Whether it is one act that nothing undoes.
    const fn is_act(&self) -> bool {
        matches!(self, Self::PodKill { .. } | Self::BadImage(_) | Self::Rollback(_) | Self::GatewayLoss { .. })
    }
}

impl Planned {
    /// When it ends, if load ends at `end`.
    pub(crate) fn end(&self, end: Nanos) -> Nanos {
        match self.lasts {
            Some(lasts) => self.at + lasts,
            None if self.hit.is_act() => self.at,
            None => end,
        }
    }
}

impl Checker<'_> {
    /// The instant that a moment means.
    pub(crate) fn moment(&mut self, word: &At<Moment>, plan: &LoadPlan) -> Option<Nanos> {
        let moment = self.get(word)?;
        let at = match &moment.phase {
            None => moment.offset,
            Some(name) => {
                let Some(phase) = plan.phases.iter().find(|phase| phase.name == *name) else {
                    let hint = nearest(name, plan.phases.iter().map(|phase| phase.name.as_str()));
                    self.wrong(word.place, format!("there is no phase `{name}`{hint}"));
                    return None;
                };
                phase.start + moment.offset
            }
        };
        let end = plan.end();
        if at >= end {
            self.wrong(word.place, format!("{at} is outside the run: load ends at {end}"));
            return None;
        }
        Some(at)
    }

    pub(crate) fn faults(&mut self, files: &[FaultFile], plan: &LoadPlan) -> Vec<Planned> {
        let mut all: Vec<Planned> = Vec::new();
        let end = plan.end();
        for file in files {
            let place = file.at.place;
            let at = self.moment(&file.at, plan);
            let lasts = file.lasts.as_ref().and_then(|lasts| self.get(lasts)).map(|lasts| lasts.0);
            let name = file.name.as_ref().and_then(|name| self.get(name));
            let Some(hit) = self.hit(file, place) else {
                self.faults.extend(name);
                continue;
            };
            if let Some(word) = file.lasts.as_ref().filter(|_| hit.is_act()) {
                let undone = match hit {
                    Hit::BadImage(_) => "it stays until a `rollback`",
                    Hit::Rollback(_) => "it takes as long as it takes",
                    _ => "what was killed is replaced, not undone",
                };
                self.wrong(word.place, format!("`{}` has no `lasts`: {undone}", hit.key()));
            }
            let name = name.unwrap_or_else(|| hit.key().to_owned());
            self.faults.insert(name.clone());
            let Some(at) = at else { continue };
            if let Some((word, over)) = file.lasts.as_ref().zip(lasts).filter(|(_, lasts)| at + *lasts > end) {
                let what = format!("this fault ends at {}, which is outside the run: load ends at {end}", at + over);
                self.wrong(word.place, what);
            }
            if all.iter().any(|other| other.name == name) {
                self.wrong(place, format!("two faults are called `{name}`: give each a `name` of its own"));
            }
            all.push(Planned { name, place, at, lasts, hit });
        }
        all.sort_by_key(|fault| fault.at);
        self.exclusions(&all, end);
        all
    }

    /// The one thing that a fault does.
    fn hit(&mut self, file: &FaultFile, place: Place) -> Option<Hit> {
        let mut hits: Vec<Option<Hit>> = Vec::new();
        macro_rules! hits {
            ($($field:ident: $file:ident => $hit:expr),* $(,)?) => {$(
                if let Some($file) = &file.$field {
                    hits.push($hit);
                }
            )*};
        }
        hits! {
            pod_kill: f => {
                let pods = f.pods.as_ref().map_or(Some(1), |pods| self.get(pods));
                let forced = f.forced.as_ref().map_or(Some(false), |forced| self.get(forced));
                pods.zip(forced).map(|(pods, forced)| Hit::PodKill { workload: f.workload.clone(), pods, forced })
            },
            node_drain: f => Some(Hit::NodeDrain(f.node.clone())),
            node_loss: f => Some(Hit::NodeLoss(f.node.clone())),
            zone_loss: f => Some(Hit::ZoneLoss(f.zone.clone())),
            partition: f => Some(Hit::Partition(f.node.clone())),
            rolling_update: f => Some(Hit::RollingUpdate(f.workload.clone())),
            bad_image: f => Some(Hit::BadImage(f.workload.clone())),
            rollback: f => Some(Hit::Rollback(f.workload.clone())),
            latency: f => {
                let add = self.get(&f.add);
                if add.is_some_and(|add| add.mean() == Nanos::ZERO) {
                    self.wrong(f.add.place, "this adds no latency: give it a duration above zero");
                }
                add.map(|add| Hit::Latency { from: f.from.clone(), to: f.to.clone(), add })
            },
            errors: f => {
                let share = self.some(&f.share, "requests");
                let status = f.status.as_ref().map_or(Some(503), |status| self.get(status).map(|status| status.0));
                let (from, to) = (f.from.clone(), f.to.clone());
                share.zip(status).map(|(share, status)| Hit::Errors { from, to, share, status })
            },
            reset: f => {
                let share = self.some(&f.share, "requests");
                share.map(|share| Hit::Reset { from: f.from.clone(), to: f.to.clone(), share })
            },
            packet_loss: f => {
                let share = self.some(&f.share, "packets");
                share.map(|share| Hit::PacketLoss { from: f.from.clone(), to: f.to.clone(), share })
            },
            blackhole: f => Some(Hit::Blackhole { from: f.from.clone(), to: f.to.clone() }),
            database_loss: f => Some(Hit::DatabaseLoss(f.workload.clone())),
            redis_loss: f => Some(Hit::RedisLoss(f.workload.clone())),
            gateway_loss: f => {
                let place = f.pods.as_ref().map_or(place, |pods| pods.place);
                let pods = f.pods.as_ref().map_or(Some(1), |pods| self.get(pods));
                pods.map(|pods| Hit::GatewayLoss { pods, place })
            },
            connections_taken: f => {
                let connections = self.get(&f.connections);
                if connections == Some(0) {
                    self.wrong(f.connections.place, "no connection is taken: take one at least");
                }
                connections.map(|connections| Hit::ConnectionsTaken { connections })
            },
            disk_full: f => Some(Hit::DiskFull(f.workload.clone())),
            restore: f => Some(Hit::Restore(f.workload.clone())),
            backup: f => {
                let cpu = f.cpu.as_ref().map_or(Some(Millicores::from_cores(1)), |cpu| self.get(cpu));
                cpu.map(|cpu| Hit::Backup { cpu })
            },
            noisy_neighbour: f => self.get(&f.cpu).map(|cpu| Hit::NoisyNeighbour { node: f.node.clone(), cpu }),
            dns_failure: f => Some(Hit::DnsFailure(f.service.clone())),
            autoscaler_edit: f => {
                let read = [&f.min, &f.max, &f.cpu].map(|word| word.as_ref().map_or(Some(None), |word| self.get(word).map(Some)));
                let [Some(min), Some(max), Some(cpu)] = read else { return None };
                let edit = AutoscalerEdit { min, max, cpu };
                if edit == AutoscalerEdit::default() {
                    self.wrong(place, "nothing is edited: set `min`, `max` or `cpu`");
                }
                Some(Hit::AutoscalerEdit { workload: f.workload.clone(), edit, place })
            },
            quota: f => {
                let pods = f.pods.as_ref().map_or(Some(None), |word| self.get(word).map(Some))?;
                let cpu = f.cpu.as_ref().map_or(Some(None), |word| self.get(word).map(Some))?;
                let memory = f.memory.as_ref().map_or(Some(None), |word| self.get(word).map(Some))?;
                if (pods, cpu, memory) == (None, None, None) {
                    self.wrong(place, "this quota limits nothing: set `pods`, `cpu` or `memory`");
                }
                Some(Hit::Quota { namespace: f.namespace.clone(), pods, requests: Resources { cpu, memory } })
            },
        }
        if hits.len() == 1 {
            return hits.pop().flatten();
        }
        let what = match hits.len() {
            0 => "this fault does nothing: say what it does, such as `podKill: {workload: auth-service}`".to_owned(),
            n => format!("this fault does {n} things: write one fault for each"),
        };
        self.wrong(place, what);
        None
    }

    /// A share of something that is hit, above 0.
    fn some(&mut self, word: &At<Percent>, what: &str) -> Option<f64> {
        let share = self.get(word)?.share();
        if share == 0.0 {
            self.wrong(word.place, format!("0 % of the {what} are none: give it a share above 0 %"));
        }
        Some(share)
    }

    /// Faults that exclude each other. `all` is in order of time.
    fn exclusions(&mut self, all: &[Planned], end: Nanos) {
        for (index, fault) in all.iter().enumerate() {
            let earlier = &all[..index];
            if let Hit::Rollback(workload) = &fault.hit
                && !earlier.iter().any(
                    |other| matches!(&other.hit, Hit::RollingUpdate(w) | Hit::BadImage(w) if w.text == workload.text),
                )
            {
                let what = format!("nothing was rolled out to {} before: there is nothing to undo", workload.text);
                self.wrong(workload.place, what);
            }
            for other in earlier {
                if let Some(why) = excludes(other, fault, end) {
                    let what = format!(
                        "`{}` and `{}` (line {}) exclude each other: {why}",
                        fault.name, other.name, other.place.line
                    );
                    self.wrong(fault.place, what);
                }
            }
        }
    }

    /// What can be checked of expectations without a platform.
    pub(crate) fn expectations(&mut self, files: &[ExpectFile], plan: &LoadPlan) {
        let phases = || plan.phases.iter().map(|phase| phase.name.as_str());
        let faults = std::mem::take(&mut self.faults);
        let names = || faults.iter().map(String::as_str);
        for file in files {
            let that = self.get(&file.that);
            for (word, known, what) in [
                (&file.r#in, phases().collect::<Vec<_>>(), "phase"),
                (&file.during, names().collect(), "fault"),
                (&file.after, names().collect(), "fault"),
            ] {
                if let Some((word, name)) = word.as_ref().and_then(|word| Some((word, self.get(word)?)))
                    && !known.contains(&name.as_str())
                {
                    let hint = nearest(&name, known.iter().copied());
                    self.wrong(word.place, format!("there is no {what} `{name}`{hint}"));
                }
            }
            let of = file.of.as_ref().and_then(|of| Some((of, self.get(of)?)));
            if let Some(is) = &file.is {
                self.get(is);
            }
            if let Some(reaches) = &file.reaches {
                self.get(reaches);
            }
            if let Some(within) = &file.within {
                self.get(within);
            }
            let Some(that) = that else { continue };
            if let Some((word, name)) = of.filter(|_| that != That::Replicas)
                && !plan.steps.iter().any(|step| step.flow == name || step.name == name)
            {
                let known = plan.steps.iter().flat_map(|step| [step.flow.as_str(), step.name.as_str()]);
                self.wrong(word.place, format!("there is no flow or step `{name}`{}", nearest(&name, known)));
            }
            self.keys(file, that);
        }
    }

    /// Which keys go with which expectation.
    fn keys(&mut self, file: &ExpectFile, that: That) {
        let there = [
            ("of", file.of.is_some()),
            ("in", file.r#in.is_some()),
            ("during", file.during.is_some()),
            ("after", file.after.is_some()),
            ("is", file.is.is_some()),
            ("reaches", file.reaches.is_some()),
            ("within", file.within.is_some()),
        ];
        let (needed, allowed): (&[&str], &[&str]) = match that {
            That::Ended(_) => (&["is"], &["of", "in", "during"]),
            That::Replicas => (&["of", "reaches", "within"], &["in", "after"]),
            That::Recovered => (&["after", "within"], &["of"]),
        };
        let that = &file.that.text;
        for (key, there) in there {
            if there && !needed.contains(&key) && !allowed.contains(&key) {
                self.wrong(file.that.place, format!("`that: {that}` has no `{key}`"));
            }
            if !there && needed.contains(&key) {
                self.wrong(file.that.place, format!("`that: {that}` needs `{key}`"));
            }
        }
        if file.r#in.is_some() && (file.during.is_some() || file.after.is_some()) {
            self.wrong(file.that.place, "a phase or a fault says when, not both");
        }
    }
}

/// Why `later` cannot happen while `earlier` does. Load ends at `end`.
fn excludes(earlier: &Planned, later: &Planned, end: Nanos) -> Option<String> {
    let (one, two) = (&earlier.hit, &later.hit);
    if let (Some(first), Some(second)) = (one.rollout(), two.rollout())
        && first == second
    {
        let until = match one {
            Hit::RollingUpdate(_) => earlier.at + earlier.lasts.unwrap_or(ROLLOUT),
            _ => earlier.at,
        };
        let undoes = matches!(two, Hit::Rollback(_)) && later.at > earlier.at;
        let over = later.at > earlier.at && later.at >= until;
        return (!undoes && !over).then(|| {
            let given = if earlier.lasts.is_none() { " (say how long it takes with `lasts`)" } else { "" };
            format!("two rollouts of {first} overlap; the first is given until {until}{given}")
        });
    }
    let until = earlier.end(end);
    if later.at >= until && !(one.is_act() && later.at == earlier.at) {
        return None;
    }
    if one.key() == two.key() && one.target() == two.target() {
        let target = if one.target().is_empty() { "the same thing".to_owned() } else { one.target() };
        return Some(format!("{target} is hit in the same way until {until}"));
    }
    match (one, two) {
        (
            Hit::NodeLoss(node),
            Hit::NodeDrain(other) | Hit::Partition(other) | Hit::NoisyNeighbour { node: other, .. },
        ) if node.text == other.text => Some(format!("node {} is lost until {until}", node.text)),
        (Hit::Partition(node), Hit::NodeDrain(other) | Hit::NodeLoss(other)) if node.text == other.text => {
            Some(format!("node {} is cut off until {until}", node.text))
        }
        (Hit::Blackhole { .. }, other) | (other, Hit::Blackhole { .. })
            if other.disturbs() && one.target() == two.target() =>
        {
            Some(format!("what goes through a black hole ({}) is neither late nor answered", one.target()))
        }
        _ => None,
    }
}
