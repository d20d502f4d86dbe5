//! `prometheus.yml` and the rule files beside it, as the platform's manifests hold them.

use std::collections::{BTreeMap, BTreeSet};

use platform::{Config, Platform, Workload};
use regex::Regex;
use serde::Deserialize;

use crate::labels::{Labels, anchored};
use crate::promql::{Release, duration};
use crate::rules::{self, Group};

/// What a platform's Prometheus is told to do.
#[derive(Clone, Debug)]
pub struct Monitoring {
    /// The `ConfigMap` it is in, as `namespace/name`.
    pub source: String,
    /// Scrape configurations in order.
    pub jobs: Vec<Job>,
    /// Groups of rules, in the order of their files.
    pub groups: Vec<Group>,
    /// How often rules are evaluated, milliseconds.
    pub evaluation: i64,
    /// Whose rules are followed: by the image that runs.
    pub release: Release,
    /// Which workload runs it, if one does.
    pub server: Option<platform::WorkloadId>,
    /// What could not be read, in words.
    pub troubles: Vec<String>,
}

/// One scrape configuration.
#[derive(Clone, Debug)]
pub struct Job {
    /// `job_name`.
    pub name: String,
    /// How often, milliseconds.
    pub interval: i64,
    /// Whether labels of the target's own win over those of its discovery.
    pub honor_labels: bool,
    /// Whether it finds pods by the API server.
    pub pods: bool,
    /// Fixed targets.
    pub fixed: Vec<String>,
    /// What becomes of discovered labels.
    pub relabel: Vec<Relabel>,
}

/// One `relabel_config`.
#[derive(Clone, Debug)]
pub struct Relabel {
    from: Vec<String>,
    separator: String,
    expression: Regex,
    to: String,
    replacement: String,
    action: String,
}

#[derive(Deserialize)]
struct RawFile {
    #[serde(default)]
    global: RawGlobal,
    #[serde(default)]
    rule_files: Vec<String>,
    #[serde(default)]
    scrape_configs: Vec<RawJob>,
}

#[derive(Default, Deserialize)]
struct RawGlobal {
    scrape_interval: Option<String>,
    evaluation_interval: Option<String>,
}

#[derive(Deserialize)]
struct RawJob {
    job_name: String,
    scrape_interval: Option<String>,
    #[serde(default)]
    honor_labels: bool,
    #[serde(default)]
    kubernetes_sd_configs: Vec<RawDiscovery>,
    #[serde(default)]
    static_configs: Vec<RawStatic>,
    #[serde(default)]
    relabel_configs: Vec<RawRelabel>,
}

#[derive(Deserialize)]
struct RawDiscovery {
    role: String,
}

#[derive(Deserialize)]
struct RawStatic {
    #[serde(default)]
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct RawRelabel {
    #[serde(default)]
    source_labels: Vec<String>,
    separator: Option<String>,
    regex: Option<String>,
    target_label: Option<String>,
    replacement: Option<String>,
    action: Option<String>,
}

impl Monitoring {
    /// What the manifests say; `None`: no `ConfigMap` holds a scrape configuration.
    pub fn of(platform: &Platform) -> Option<Self> {
        let holds = |config: &&Config| config.entries.values().any(|text| text.contains("scrape_configs"));
        let config = platform.configs.iter().find(holds)?;
        let text = config.entries.values().find(|text| text.contains("scrape_configs"))?;
        let mut troubles = Vec::new();
        let raw: RawFile = match serde_saphyr::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                troubles.push(format!("{} cannot be read: {error}", config.name));
                RawFile { global: RawGlobal::default(), rule_files: Vec::new(), scrape_configs: Vec::new() }
            }
        };
        let span = |text: &Option<String>, otherwise| {
            text.as_deref().and_then(duration).filter(|d| *d > 0).unwrap_or(otherwise)
        };
        let scrape = span(&raw.global.scrape_interval, 60_000);
        let evaluation = span(&raw.global.evaluation_interval, 60_000);
        let mut groups = Vec::new();
        for file in rule_files(&raw.rule_files, config) {
            match rules::read(file, &config.entries[file]) {
                Ok(read) => groups.extend(read),
                Err(error) => troubles.push(error.to_string()),
            }
        }
        let jobs = raw.scrape_configs.into_iter().map(|job| of_job(job, scrape, &mut troubles)).collect();
        let server = platform.workload_ids().find(|id| runs_prometheus(platform.workload(*id)));
        let image = server.and_then(|id| platform.workload(id).containers.first()).map_or("", |c| c.image.as_str());
        let tag = image.rsplit(':').next().unwrap_or_default().trim_start_matches('v');
        let release = if tag.starts_with("2.") { Release::V2 } else { Release::V3 };
        let source = format!("{}/{}", config.namespace, config.name);
        Some(Self { source, jobs, groups, evaluation, release, server, troubles })
    }
}

fn runs_prometheus(workload: &Workload) -> bool {
    workload.containers.first().is_some_and(|container| image_name(&container.image) == "prometheus")
}

/// `prometheus` of `quay.io/prom/prometheus:v3.5.0`.
pub(crate) fn image_name(image: &str) -> &str {
    image.rsplit('/').next().unwrap_or(image).split([':', '@']).next().unwrap_or_default()
}

/// The entries that `rule_files` means: by their base names, with `*` at one place.
fn rule_files<'a>(patterns: &[String], config: &'a Config) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let base = |pattern: &str| pattern.rsplit('/').next().unwrap_or(pattern).to_owned();
    let matches = |pattern: &str, key: &str| match pattern.split_once('*') {
        Some((before, after)) => {
            key.len() >= before.len() + after.len() && key.starts_with(before) && key.ends_with(after)
        }
        None => key == pattern,
    };
    let of = |pattern: String| config.entries.keys().filter(move |key| matches(&pattern, key)).collect::<Vec<_>>();
    patterns
        .iter()
        .map(|pattern| base(pattern))
        .flat_map(of)
        .map(String::as_str)
        .filter(|key| seen.insert(*key))
        .collect()
}

fn of_job(raw: RawJob, scrape: i64, troubles: &mut Vec<String>) -> Job {
    for discovery in raw.kubernetes_sd_configs.iter().filter(|discovery| discovery.role != "pod") {
        troubles
            .push(format!("job {} finds its targets by role `{}`, which is not played", raw.job_name, discovery.role));
    }
    let relabel = raw.relabel_configs.into_iter().filter_map(|config| match Relabel::of(config) {
        Ok(relabel) => Some(relabel),
        Err(why) => {
            troubles.push(format!("job {}: {why}", raw.job_name));
            None
        }
    });
    Job {
        relabel: relabel.collect(),
        interval: raw.scrape_interval.as_deref().and_then(duration).filter(|d| *d > 0).unwrap_or(scrape),
        honor_labels: raw.honor_labels,
        pods: raw.kubernetes_sd_configs.iter().any(|discovery| discovery.role == "pod"),
        fixed: raw.static_configs.into_iter().flat_map(|config| config.targets).collect(),
        name: raw.job_name,
    }
}

impl Relabel {
    fn of(raw: RawRelabel) -> Result<Self, String> {
        let expression = raw.regex.unwrap_or_else(|| "(.*)".into());
        let action = raw.action.unwrap_or_else(|| "replace".into()).to_lowercase();
        if !["replace", "keep", "drop", "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase"]
            .contains(&action.as_str())
        {
            return Err(format!("relabelling by `{action}` is not played"));
        }
        Ok(Self {
            from: raw.source_labels,
            separator: raw.separator.unwrap_or_else(|| ";".into()),
            expression: anchored(&expression).map_err(|error| format!("`{expression}` is no expression: {error}"))?,
            to: raw.target_label.unwrap_or_default(),
            replacement: raw.replacement.unwrap_or_else(|| "$1".into()),
            action,
        })
    }

    /// The labels afterwards; `None`: the target is dropped (`model/relabel`).
    fn apply(&self, mut labels: Labels) -> Option<Labels> {
        let values: Vec<&str> = self.from.iter().map(|label| labels.get(label)).collect();
        let value = values.join(&self.separator);
        match self.action.as_str() {
            "keep" if !self.expression.is_match(&value) => return None,
            "drop" if self.expression.is_match(&value) => return None,
            "replace" => {
                if let Some(captures) = self.expression.captures(&value) {
                    let (mut to, mut with) = (String::new(), String::new());
                    captures.expand(&self.to, &mut to);
                    captures.expand(&self.replacement, &mut with);
                    labels.set(to, with);
                }
            }
            "lowercase" => labels.set(self.to.as_str(), value.to_lowercase()),
            "uppercase" => labels.set(self.to.as_str(), value.to_uppercase()),
            "labelmap" => {
                let mapped = labels.iter().filter_map(|(name, value)| {
                    let captures = self.expression.captures(name)?;
                    let mut to = String::new();
                    captures.expand(&self.replacement, &mut to);
                    Some((to, value.to_owned()))
                });
                for (name, value) in mapped.collect::<BTreeMap<_, _>>() {
                    labels.set(name, value);
                }
            }
            "labeldrop" => labels = labels.only(|name| !self.expression.is_match(name)),
            "labelkeep" => labels = labels.only(|name| self.expression.is_match(name)),
            _ => {}
        }
        Some(labels)
    }
}

impl Job {
    /// The labels of a target with these discovered labels; `None`: it is none of this job's.
    pub(crate) fn target(&self, mut discovered: Labels) -> Option<Labels> {
        discovered.set("job", self.name.as_str());
        for relabel in &self.relabel {
            discovered = relabel.apply(discovered)?;
        }
        if discovered.get("instance").is_empty() {
            let address = discovered.get("__address__").to_owned();
            discovered.set("instance", address);
        }
        Some(discovered.only(|name| !name.starts_with("__")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
global: {scrape_interval: 15s, evaluation_interval: 15s}
rule_files: [/etc/prometheus/*.yml, /etc/other/first.yml]
scrape_configs:
  - job_name: web
    kubernetes_sd_configs: [{role: pod}]
    relabel_configs:
      - {source_labels: [__meta_kubernetes_pod_label_app], regex: web|api, action: keep}
      - {source_labels: [__meta_kubernetes_pod_container_port_number], regex: "9090", action: drop}
      - {source_labels: [__meta_kubernetes_namespace, __meta_kubernetes_pod_name], separator: /, target_label: where}
      - {regex: __meta_kubernetes_pod_label_(.+), action: labelmap}
  - {job_name: nodes, scrape_interval: 1m, kubernetes_sd_configs: [{role: node}]}
"#;

    #[test]
    fn jobs_keep_and_label_what_they_are_told_to() {
        let entries = [("prometheus.yml", FILE), ("first.yml", "groups: []"), ("second.txt", "")];
        let entries = entries.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let config = Config {
            kind: platform::ReferenceKind::ConfigMap,
            name: "prometheus".into(),
            namespace: "monitoring".into(),
            entries,
            place: platform::Place::default(),
        };
        let platform = Platform { configs: vec![config], ..Platform::default() };
        let monitoring = Monitoring::of(&platform).unwrap();
        assert_eq!(monitoring.troubles.len(), 1, "{:?}", monitoring.troubles);
        assert!(monitoring.troubles[0].contains("role `node`"));
        let discovered = |app: &str, port: &str| -> Labels {
            [
                ("__meta_kubernetes_pod_label_app", app),
                ("__meta_kubernetes_pod_container_port_number", port),
                ("__meta_kubernetes_namespace", "shop"),
                ("__meta_kubernetes_pod_name", "web-1"),
                ("__address__", "10.0.0.1:8000"),
            ]
            .into_iter()
            .collect()
        };
        for (app, port, want) in [
            ("web", "8000", Some("{app=\"web\",instance=\"10.0.0.1:8000\",job=\"web\",where=\"shop/web-1\"}")),
            ("web", "9090", None),
            ("webs", "8000", None),
        ] {
            let labels = monitoring.jobs[0].target(discovered(app, port)).map(|labels| labels.to_string());
            assert_eq!(labels.as_deref(), want, "{app} {port}");
        }
        assert_eq!((monitoring.jobs[0].interval, monitoring.jobs[1].interval), (15_000, 60_000));
    }
}
