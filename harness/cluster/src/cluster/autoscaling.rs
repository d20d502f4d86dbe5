//! Feeds the autoscalers with what they read, and carries out what they decide.

use platform::{Selector, WorkloadId};
use record::EventKind;
use units::{Nanos, Out};

use super::{Cluster, Task};
use crate::hpa::{
    ContainerAmounts, Observed, Phase, PodRequests, PodView, Ready, Scale, SelectorState, Truth, no_scale,
    whole_seconds,
};
use crate::metrics_server::Sample;
use crate::{AutoscalerEdit, Effect, PodId, Scraper};

impl Cluster {
    pub(super) fn sync_autoscaler(&mut self, now: Nanos, index: usize, out: &mut impl Out<Effect>) {
        let declared = &self.platform.autoscalers[index];
        let scaled = declared.target.map(|id| usize::from(id.0)).filter(|index| self.owners[*index].is_scaled());
        let Some(target) = scaled else {
            let why = no_scale(&declared.reference);
            let decision = self.autoscalers[index].sync(now, &Observed::without_target(&why));
            out.emit(Effect::Note(EventKind::Scaling(decision)));
            return;
        };
        let owner = &self.owners[target];
        let workload = self.platform.workload(owner.workload);
        let requests = PodRequests::of(workload);
        let samples: Vec<_> = owner
            .pods
            .iter()
            .map(|pod| self.metrics.sample(*pod).map(|sample| (sample, sample.containers(&requests))))
            .collect();
        let pods = &self.pods;
        let view = |(pod, sample)| {
            let (pod, sample): (&PodId, &Option<(Sample, Vec<ContainerAmounts>)>) = (pod, sample);
            let record = &pods[pod.0 as usize];
            let status = if record.ready { Truth::True } else { Truth::False };
            let changed = whole_seconds(record.ready_changed.unwrap_or(record.created));
            PodView {
                name: &record.name,
                requests: &requests,
                deleting: record.deleted.is_some(),
                phase: match (record.started, record.succeeded) {
                    (_, Some(_)) => Phase::Succeeded,
                    (None, None) => Phase::Pending,
                    (Some(_), None) => Phase::Running,
                },
                // Without a node there is no kubelet that would have set it.
                ready: record.node.map(|_| Ready { status, changed }),
                started: record.accepted.map(whole_seconds),
                sample: sample.as_ref().map(|(sample, containers)| sample.view(containers)),
            }
        };
        let views: Vec<_> = owner.pods.iter().zip(&samples).map(view).collect();
        let active = owner.pods.iter().filter(|pod| pods[pod.0 as usize].is_active()).count() as u32;
        let rivals: Vec<(String, String)> = self
            .platform
            .autoscalers
            .iter()
            .filter(|other| other.target == declared.target)
            .map(|other| (other.namespace.clone(), other.name.clone()))
            .collect();
        let selector = label_query(&workload.selector);
        let current = owner.desired;
        let names: Vec<_> = owner.pods.iter().map(|pod| (*pod, pods[pod.0 as usize].name.as_str())).collect();
        let mut fed =
            self.prometheus.as_ref().map(|prometheus| prometheus.answer(now, index, &names)).unwrap_or_default();
        // What was fed from outside is looked at first.
        fed.custom.splice(0..0, self.fed.custom.iter().cloned());
        fed.external.splice(0..0, self.fed.external.iter().cloned());
        let observed = Observed {
            scale: Ok(Scale { spec: current.cast_signed(), status: active.cast_signed() }),
            pods: &views,
            strays: &[],
            resource_error: None,
            fed: &fed,
            selector: if rivals.len() > 1 {
                SelectorState::Ambiguous { selector: &selector, autoscalers: &rivals }
            } else {
                SelectorState::Usable
            },
            update_error: None,
        };
        let decision = self.autoscalers[index].sync(now, &observed);
        let desired = decision.desired;
        out.emit(Effect::Note(EventKind::Scaling(decision)));
        if desired != current {
            self.scale(target, desired);
        }
    }

    /// Somebody applied another specification. One that is not there stays as it is.
    pub(super) fn edit_autoscaler(&mut self, workload: WorkloadId, edit: AutoscalerEdit) {
        let mut all = self.platform.autoscalers.iter().zip(&mut self.autoscalers);
        if let Some((declared, autoscaler)) = all.find(|(declared, _)| declared.target == Some(workload)) {
            autoscaler.declare(&edit.applied(declared));
        }
    }

    /// The scraper's ticker: it drops what it missed.
    pub(super) fn scrape(&mut self, now: Nanos, due: Nanos, out: &mut impl Out<Effect>) {
        out.emit(Effect::Scrape(Scraper::MetricsServer));
        let next = next_tick(now, due, self.config.metrics_resolution);
        self.agenda.plan(next, Task::Scrape);
    }

    /// Prometheus' ticker does the same.
    pub(super) fn scrape_traffic(&mut self, now: Nanos, due: Nanos, out: &mut impl Out<Effect>) {
        let Some(prometheus) = &self.prometheus else { return };
        out.emit(Effect::Scrape(Scraper::Prometheus));
        let next = next_tick(now, due, prometheus.interval());
        self.agenda.plan(next, Task::ScrapeTraffic);
    }
}

fn next_tick(now: Nanos, due: Nanos, period: Nanos) -> Nanos {
    let period = period.max(Nanos::new(1));
    let mut next = due + period;
    while next <= now {
        next += period;
    }
    next
}

/// A selector as `kubectl -l` takes it.
fn label_query(selector: &Selector) -> String {
    selector.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
