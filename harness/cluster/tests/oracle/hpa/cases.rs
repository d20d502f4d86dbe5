//! Cases over the whole rule space of the autoscaler, drawn from a seed.
//!
//! A case is written as the oracle and `rehearse hpa` read it: the manifest's JSON and the records of a series. Draws
//! prefer the edges: ratios near the tolerance, few replicas, instants a second beside a window.

use serde_json::{Value, json};

use crate::dice::Dice;

/// The case of a number.
pub(crate) fn draw(seed: u64, number: u64) -> Value {
    Maker::new(&mut Dice::of_case(seed, number)).case()
}

/// What all pods of a case have in common, and what it measures.
#[expect(clippy::struct_excessive_bools, reason = "each is a kind of case that is drawn or not")]
struct Maker<'a> {
    dice: &'a mut Dice,
    syncs: i64,
    request: i64,
    memory: i64,
    sidecar: bool,
    helper: bool,
    pod_level: Option<Value>,
    fragile: bool,
    max: i64,
    metrics: Vec<Value>,
    crowd: bool,
}

impl<'a> Maker<'a> {
    fn new(dice: &'a mut Dice) -> Self {
        let (request, memory) = (dice.of(&[100, 250, 500, 1_000, 333]), dice.of(&[64, 100, 256]));
        let pod_level = dice.one_in(12).then(|| match dice.within(0, 2) {
            0 => json!({"cpu": "700m"}),
            1 => json!({"memory": "512Mi"}),
            _ => json!({"cpu": "300m", "memory": "128Mi"}),
        });
        let (sidecar, helper, crowd) = (dice.one_in(5), dice.one_in(5), dice.one_in(6));
        let (syncs, fragile) = (dice.of(&[1, 3, 6, 12, 30]), dice.one_in(10));
        Self { dice, syncs, request, memory, sidecar, helper, pod_level, fragile, max: 0, metrics: Vec::new(), crowd }
    }

    fn case(&mut self) -> Value {
        let count = self.dice.of(&[1, 1, 1, 2, 3]);
        self.metrics = (0..count).map(|index| self.metric(index)).collect();
        if self.dice.one_in(30) {
            self.metrics.clear(); // CPU at 80 %
        }
        let behavior = self.dice.one_in(2).then(|| self.behavior());
        let spec = self.spec(behavior.as_ref());
        let hpa = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "default"}, "spec": spec,
        });
        let mut records = vec![self.first(&spec)];
        for sync in 1..=self.syncs {
            let at = sync * 15 - self.dice.of(&[0, 0, 0, 1, 5]);
            let mut record = json!({"at": at});
            self.happen(&mut record, at, behavior.as_ref());
            records.push(record);
        }
        records.push(json!({"at": self.syncs * 15}));
        json!({"hpa": hpa, "records": records})
    }

    fn spec(&mut self, behavior: Option<&Value>) -> Value {
        let outside = self.metrics.iter().any(|metric| metric["type"] == "Object" || metric["type"] == "External");
        let min = if outside && self.dice.one_in(3) { 0 } else { self.dice.of(&[1, 1, 2, 3, 5]) };
        self.max = (min + self.dice.of(&[0, 2, 5, 10, 40, 1_000])).max(1);
        let mut spec = json!({
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": self.max,
        });
        if min != 1 || self.dice.one_in(2) {
            spec["minReplicas"] = json!(min);
        }
        if !self.metrics.is_empty() {
            spec["metrics"] = json!(self.metrics);
        }
        if let Some(behavior) = behavior {
            spec["behavior"] = behavior.clone();
        }
        spec
    }

    fn first(&mut self, spec: &Value) -> Value {
        let min = spec["minReplicas"].as_i64().unwrap_or(1);
        let start = match self.dice.within(0, 9) {
            0 => 0,
            1 => (min - 1).max(0),
            2 => self.max.min(60) + 2,
            _ => self.dice.within(min, self.max.min(30).max(min)),
        };
        let mut record = json!({"at": -400});
        record["scale"] = json!({"spec": start});
        if self.dice.one_in(3) {
            record["scale"]["follows"] = json!(false);
        }
        if self.dice.one_in(4) {
            let mut settings = json!({});
            let choices = [
                ("downscaleStabilization", json!(60)),
                ("cpuInitializationPeriod", json!(120)),
                ("initialReadinessDelay", json!(10)),
                ("tolerance", json!(0.2)),
                ("tolerance", json!(0)),
                ("featureGates", json!({"HPAScaleToZero": true})),
                ("featureGates", json!({"HPAConfigurableTolerance": true})),
                ("featureGates", json!({"HPAConfigurableTolerance": false, "HPAScaleToZero": true})),
            ];
            for _ in 0..2 {
                let (name, value) = self.dice.of(&choices);
                settings[name] = value;
            }
            record["settings"] = settings;
        }
        if self.dice.one_in(6) {
            record["recommendation"] = json!(self.dice.within(0, self.max.min(40)));
        }
        if self.dice.one_in(6) {
            record["scaled"] = json!({"from": self.dice.within(1, 9), "to": self.dice.within(1, 9)});
        }
        if self.dice.one_in(25) {
            let selector = self.dice.of(&["app=target", "app in (other,target)", "app=other", "!zone"]);
            record["rivals"] = json!([{"name": "rival", "selector": selector}]);
        }
        if self.dice.one_in(12) {
            let status = self.dice.of(&["True", "False"]);
            record["conditions"] =
                json!([{"type": "ScaledToZero", "status": status, "reason": "ScaledToZero", "message": "before"}]);
        }
        self.see(&mut record, 0, start);
        record
    }

    /// What changes before one sync.
    fn happen(&mut self, record: &mut Value, at: i64, behavior: Option<&Value>) {
        if self.dice.one_in(8) {
            record["scale"] = match self.dice.within(0, 6) {
                0 => json!({"spec": self.dice.within(0, 12)}),
                1 => json!({"status": self.dice.within(0, 12)}),
                2 => json!({"spec": 0}),
                3 => json!({"getError": self.dice.of(&["", "deployments.apps \"web\" not found"])}),
                4 => json!({"updateError": self.dice.of(&["", "admission webhook denied the request"])}),
                5 => json!({"selector": self.dice.of(&["app=target", "", "app=target,tier=front", "app!=other"])}),
                _ => json!({"follows": self.dice.one_in(2)}),
            };
        }
        if self.dice.one_in(25) {
            record["spec"] = self.spec(behavior);
        }
        if self.dice.one_in(40) {
            record["samplesError"] = json!(self.dice.of(&["", "the server is currently unable to handle the request"]));
        }
        if !self.dice.one_in(3) {
            let pods = self.dice.within(0, 12);
            self.see(record, at, pods);
        }
    }

    /// Pods, their samples, and what the other APIs have.
    fn see(&mut self, record: &mut Value, at: i64, pods: i64) {
        let pods = pods.min(20);
        if self.crowd {
            let pod = self.pod(at, "p");
            let total = self.near(self.request) * pods.max(1);
            record["asManyAsReplicas"] =
                json!({"pod": pod, "totalUsage": {"cpu": format!("{total}m"), "memory": "1Gi"}});
        } else {
            let pods: Vec<Value> = (0..pods).map(|index| self.pod(at, &format!("p-{index}"))).collect();
            let mut samples: Vec<Value> = Vec::new();
            let busy = self.near(self.request);
            for pod in &pods {
                if !self.dice.one_in(if self.fragile { 3 } else { 12 }) {
                    samples.push(self.sample(at, pod["name"].as_str().unwrap(), busy));
                }
            }
            if self.dice.one_in(15) {
                samples.push(self.sample(at, "gone", busy));
            }
            record["pods"] = json!(pods);
            record["samples"] = json!(samples);
        }
        self.feed(record);
    }

    fn pod(&mut self, at: i64, name: &str) -> Value {
        let odd = if self.fragile { 3 } else { 12 };
        let started = at - self.dice.of(&[5, 20, 31, 60, 120, 284, 299, 300, 301, 400, 2_000]);
        let mut pod = json!({"name": name, "startTime": started, "ready": "True"});
        pod["readySince"] = json!((started + self.dice.of(&[0, 3, 10, 29, 30, 31, 250])).min(at));
        if self.dice.one_in(odd) {
            pod["ready"] = json!(self.dice.of(&["False", "False", "Unknown"]));
        }
        if self.dice.one_in(odd) {
            pod["phase"] = json!(self.dice.of(&["Pending", "Failed", "Succeeded", "Unknown", "Running"]));
        }
        if self.dice.one_in(odd * 2) {
            pod["deleting"] = json!(true);
        }
        if self.dice.one_in(odd * 4) {
            let field = self.dice.of(&["startTime", "ready", "readySince"]);
            pod.as_object_mut().unwrap().remove(field);
        }
        if self.dice.one_in(20) {
            pod["labels"] = self.dice.of(&[json!({"app": "other"}), json!({"app": "target", "tier": "front"})]);
        }
        let mut app = json!({"name": "app", "requests": {"cpu": format!("{}m", self.request), "memory": format!("{}Mi", self.memory)}});
        if self.dice.one_in(odd * 6) {
            let resource = self.dice.of(&["cpu", "memory"]);
            app["requests"].as_object_mut().unwrap().remove(resource);
        }
        let mut containers = vec![app];
        if self.helper {
            containers.push(json!({"name": "helper", "requests": {"cpu": "50m", "memory": "32Mi"}}));
        }
        pod["containers"] = json!(containers);
        let mut init = vec![json!({"name": "setup", "requests": {"cpu": "2", "memory": "1Gi"}})];
        if self.sidecar {
            init.push(
                json!({"name": "proxy", "restartPolicy": "Always", "requests": {"cpu": "20m", "memory": "16Mi"}}),
            );
        }
        if self.sidecar || self.pod_level.is_some() {
            pod["initContainers"] = json!(init);
        }
        if let Some(own) = &self.pod_level {
            pod["requests"] = own.clone();
            pod["overhead"] = json!({"cpu": "10m"});
        }
        pod
    }

    fn sample(&mut self, at: i64, pod: &str, busy: i64) -> Value {
        let cpu = (busy + self.dice.within(-busy / 10, busy / 10)).max(0);
        // Usage comes finer than thousandths and rounds up.
        let cpu = if self.dice.one_in(4) { format!("{}n", cpu * 1_000_000 - 1) } else { format!("{cpu}m") };
        let cpu = if cpu.starts_with('-') { "0".to_owned() } else { cpu };
        let memory = self.near(self.memory);
        let mut containers = vec![json!({"name": "app", "usage": {"cpu": cpu, "memory": format!("{memory}Mi")}})];
        if self.helper {
            let mut helper = json!({"name": "helper", "usage": {"cpu": "7m", "memory": "9Mi"}});
            if self.dice.one_in(12) {
                helper["usage"].as_object_mut().unwrap().remove("cpu");
            }
            containers.push(helper);
        }
        if self.sidecar && !self.dice.one_in(12) {
            containers.push(json!({"name": "proxy", "usage": {"cpu": "3m", "memory": "5Mi"}}));
        }
        if self.dice.one_in(80) {
            containers.clear();
        }
        let mut sample =
            json!({"pod": pod, "timestamp": at - self.dice.of(&[0, 0, 1, 7, 15, 40]), "containers": containers});
        if self.dice.one_in(3) {
            sample["window"] = json!(self.dice.of(&[10.0, 15.5, 30.0, 60.0]));
        }
        sample
    }

    /// Near what a target would be: half of the draws are within a fifth of it.
    fn near(&mut self, whole: i64) -> i64 {
        let percent = match self.dice.within(0, 9) {
            0 => 0,
            1..=5 => self.dice.within(40, 75),
            6..=8 => self.dice.within(10, 150),
            _ => self.dice.within(100, 1_000),
        };
        whole * percent / 100
    }

    fn feed(&mut self, record: &mut Value) {
        let outside = |kind: &str| kind == "Pods" || kind == "Object" || kind == "External";
        if !self.metrics.iter().any(|metric| metric["type"].as_str().is_some_and(outside)) {
            return;
        }
        let pods: Vec<String> = match record["pods"].as_array() {
            Some(pods) => pods.iter().map(|pod| pod["name"].as_str().unwrap().to_owned()).collect(),
            None => (0..6).map(|index| format!("p-{index}")).collect(),
        };
        let (mut custom, mut external) = (Vec::new(), Vec::new());
        for metric in self.metrics.clone() {
            if self.dice.one_in(15) {
                continue;
            }
            let kind = metric["type"].as_str().unwrap();
            let field = kind.to_lowercase();
            let name = &metric[&field]["metric"]["name"];
            let selector = match metric[&field]["metric"]["selector"] {
                Value::Null => "",
                _ => "queue in (a,b),verb=GET",
            };
            let broken = self.dice.one_in(15).then_some("the server could not find the metric");
            match kind {
                "Pods" if broken.is_none() => {
                    let mut values = serde_json::Map::new();
                    for pod in &pods {
                        if !self.dice.one_in(10) {
                            values.insert(pod.clone(), json!(format!("{}m", self.near(20_000))));
                        }
                    }
                    if self.dice.one_in(15) {
                        values.insert("gone".to_owned(), json!("12"));
                    }
                    custom.push(json!({"metric": name, "selector": selector, "pods": values}));
                }
                "Object" if broken.is_none() => {
                    let value = self.amount();
                    let object = json!({"kind": "Service", "name": "front"});
                    custom.push(json!({"metric": name, "selector": selector, "object": object, "value": value}));
                }
                "Pods" | "Object" => custom.push(json!({"metric": name, "selector": selector, "error": broken})),
                "External" if broken.is_some() => {
                    external.push(json!({"metric": name, "selector": selector, "values": [], "error": broken}));
                }
                "External" => {
                    let count = self.dice.of(&[0, 1, 1, 1, 2, 3]);
                    let values: Vec<Value> = (0..count).map(|_| self.amount()).collect();
                    external.push(json!({"metric": name, "selector": selector, "values": values}));
                }
                _ => {}
            }
        }
        record["custom"] = json!(custom);
        record["external"] = json!(external);
    }

    /// A total; now and then one that overflows.
    fn amount(&mut self) -> Value {
        match self.dice.within(0, 30) {
            0 => json!("9223372036854775807m"),
            1 => json!("4611686018427387904m"),
            2 => json!("9000000000000"),
            3 => json!("0"),
            _ => json!(format!("{}m", self.near(100_000) * self.dice.within(1, 4))),
        }
    }

    fn metric(&mut self, index: i64) -> Value {
        let mut identity = json!({"name": format!("metric-{index}")});
        if self.dice.one_in(3) {
            identity["selector"] = json!({
                "matchLabels": {"verb": "GET"},
                "matchExpressions": [{"key": "queue", "operator": "In", "values": ["b", "a"]}],
            });
        }
        let total = format!("{}m", self.dice.of(&[1_000, 10_000, 25_000, 100_000, 33_333]));
        let of_object = |kind: &str, field: &str| json!({"type": kind, field: total});
        match self.dice.within(0, 11) {
            0 => {
                json!({"type": "Pods", "pods": {"metric": identity, "target": {"type": "AverageValue", "averageValue": "10"}}})
            }
            1 | 2 => {
                let target = match self.dice.within(0, 6) {
                    0..=2 => of_object("Value", "value"),
                    3..=5 => of_object("AverageValue", "averageValue"),
                    _ => of_object("Utilization", "value"),
                };
                let object = json!({"apiVersion": "v1", "kind": "Service", "name": "front"});
                json!({"type": "Object", "object": {"describedObject": object, "metric": identity, "target": target}})
            }
            3 | 4 => {
                let target = if self.dice.one_in(2) {
                    of_object("Value", "value")
                } else {
                    of_object("AverageValue", "averageValue")
                };
                json!({"type": "External", "external": {"metric": identity, "target": target}})
            }
            5 | 6 => {
                let container = self.dice.of(&["app", "app", "helper", "proxy", "nobody"]);
                let (name, target) = self.resource();
                let source = json!({"name": name, "container": container, "target": target});
                json!({"type": "ContainerResource", "containerResource": source})
            }
            _ => {
                let (name, target) = self.resource();
                json!({"type": "Resource", "resource": {"name": name, "target": target}})
            }
        }
    }

    fn resource(&mut self) -> (&'static str, Value) {
        let percent = self.dice.of(&[50, 60, 70, 80, 100, 120, 55]);
        let utilization = json!({"type": "Utilization", "averageUtilization": percent});
        match self.dice.within(0, 5) {
            0 => ("memory", utilization),
            1 => ("memory", json!({"type": "AverageValue", "averageValue": "60Mi"})),
            2 => ("cpu", json!({"type": "AverageValue", "averageValue": format!("{}m", self.request * 6 / 10)})),
            _ => ("cpu", utilization),
        }
    }

    fn behavior(&mut self) -> Value {
        let mut behavior = json!({});
        for direction in ["scaleUp", "scaleDown"] {
            if self.dice.one_in(4) {
                continue;
            }
            let mut rules = json!({});
            if self.dice.one_in(2) {
                rules["stabilizationWindowSeconds"] = json!(self.dice.of(&[0, 15, 30, 60, 61, 120, 300]));
            }
            if self.dice.one_in(2) {
                rules["selectPolicy"] = json!(self.dice.of(&["Max", "Min", "Max", "Min", "Disabled"]));
            }
            if !self.dice.one_in(4) {
                let count = self.dice.of(&[1, 1, 2, 3]);
                let policy = |dice: &mut Dice| {
                    let (kind, value) = if dice.one_in(2) {
                        ("Pods", dice.of(&[1, 2, 4, 10, 2_147_483_647]))
                    } else {
                        ("Percent", dice.of(&[1, 10, 33, 50, 100, 200, 900, 2_000_000_000]))
                    };
                    json!({"type": kind, "value": value, "periodSeconds": dice.of(&[15, 16, 30, 60, 180, 1_800])})
                };
                rules["policies"] = (0..count).map(|_| policy(self.dice)).collect();
            }
            if self.dice.one_in(3) {
                rules["tolerance"] =
                    json!(self.dice.of(&["0", "0.05", "50m", "0.2", "0.3", "1", "0.0125", "0.123456"]));
            }
            behavior[direction] = rules;
        }
        behavior
    }
}
