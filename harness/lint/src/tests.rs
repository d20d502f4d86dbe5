//! The rules beside platforms that break them.

use std::collections::BTreeSet;

use super::*;

fn platform(text: &str) -> Platform {
    manifests::read(text, "test.yaml").unwrap()
}

fn ids(text: &str) -> Vec<&'static str> {
    let found: BTreeSet<_> = lint(&platform(text), &[]).into_iter().map(|f| f.rule.id).collect();
    found.into_iter().collect()
}

/// A service that no rule has anything to say about.
const SOUND: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: web:1
          ports: [{name: http, containerPort: 8000}]
          resources: {requests: {cpu: 100m, memory: 128Mi}}
          readinessProbe: {httpGet: {path: /health, port: http}}
          livenessProbe: {httpGet: {path: /health, port: http}, initialDelaySeconds: 30}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec:
  maxUnavailable: 1
  selector: {matchLabels: {app: web}}
";

#[test]
fn a_sound_service_is_let_alone() {
    assert_eq!(ids(SOUND), [""; 0]);
}

#[test]
fn each_rule_finds_its_defect_and_nothing_else() {
    let hpa = "
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 5
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
";
    let autoscaled = format!("{}{hpa}", SOUND.replace("  replicas: 2\n", ""));
    let ingress = "
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, annotations: {nginx.ingress.kubernetes.io/limit-rps: '10'}}
spec:
  rules:
    - host: web.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
";
    let policy = "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 8000}]}]
";
    let exposed = format!("{SOUND}{ingress}{policy}");
    for (case, base, from, to, want) in [
        (
            "the target is misspelt",
            &autoscaled,
            "kind: Deployment, name: web",
            "kind: Deployment, name: wbe",
            "hpa-target-missing",
        ),
        (
            "replicas beside an autoscaler",
            &autoscaled,
            "  selector: {matchLabels: {app: web}}\n  template",
            "  replicas: 3\n  selector: {matchLabels: {app: web}}\n  template",
            "hpa-fights-replicas",
        ),
        ("no CPU request", &autoscaled, "cpu: 100m, ", "", "hpa-without-request"),
        ("minimum is maximum", &autoscaled, "maxReplicas: 5", "maxReplicas: 2", "hpa-never-moves"),
        (
            "a label that no pod has",
            &SOUND.to_owned(),
            "selector: {app: web}\n  ports",
            "selector: {app: wbe}\n  ports",
            "service-selects-nothing",
        ),
        (
            "a port name that no container has",
            &SOUND.to_owned(),
            "targetPort: http",
            "targetPort: htpp",
            "target-port-unknown",
        ),
        (
            "a port that no container declares",
            &SOUND.to_owned(),
            "targetPort: http",
            "targetPort: 8080",
            "target-port-undeclared",
        ),
        (
            "a probe on another port",
            &SOUND.to_owned(),
            "path: /health, port: http}}\n",
            "path: /health, port: 9000}}\n",
            "probe-port-unknown",
        ),
        (
            "no readiness probe",
            &SOUND.to_owned(),
            "          readinessProbe: {httpGet: {path: /health, port: http}}\n",
            "",
            "no-readiness-probe",
        ),
        (
            "minAvailable as many as there are",
            &SOUND.to_owned(),
            "maxUnavailable: 1",
            "minAvailable: 2",
            "pdb-blocks-every-drain",
        ),
        ("maxUnavailable 0", &SOUND.to_owned(), "maxUnavailable: 1", "maxUnavailable: 0", "pdb-blocks-every-drain"),
        ("an annotation of nobody", &exposed, "limit-rps", "limit-rsp", "ingress-annotation-unknown"),
        (
            "a backend that is not there",
            &exposed,
            "service: {name: web,",
            "service: {name: wbe,",
            "ingress-backend-missing",
        ),
        (
            "a backend port that is not there",
            &exposed,
            "port: {number: 80}",
            "port: {number: 8000}",
            "ingress-backend-missing",
        ),
        (
            "the Service's port in a policy",
            &exposed,
            "ports: [{port: 8000}]",
            "ports: [{port: 80}]",
            "network-policy-service-port",
        ),
        (
            "a policy that lets nobody in",
            &exposed,
            "  ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 8000}]}]",
            "  ingress: []",
            "network-policy-blocks",
        ),
    ] {
        assert_eq!(ids(base), [""; 0], "{case}: the base is sound");
        assert!(base.contains(from), "{case}: the test is out of date");
        let broken = base.replacen(from, to, 1);
        assert!(ids(&broken).contains(&want), "{case}: {:?}", ids(&broken));
    }
}

#[test]
fn every_rule_has_an_id_of_its_own_and_says_what_to_do() {
    let rules: Vec<_> = catalogue().collect();
    let distinct: BTreeSet<_> = rules.iter().map(|rule| rule.id).collect();
    assert_eq!(distinct.len(), rules.len());
    for rule in rules {
        assert!(rule.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{}", rule.id);
        assert!(rule.fix.ends_with('.') && rule.explanation.ends_with('.'), "{}", rule.id);
        assert!(!rule.title.ends_with('.'), "{}", rule.id);
    }
}

#[test]
fn a_policy_denies_allows_and_accepts() {
    let one = SOUND.replace("  replicas: 2\n", "  replicas: 1\n");
    let found = || lint(&platform(&one), &[]);
    let ids = |list: &[Finding]| list.iter().map(|f| (f.rule.id, f.severity)).collect::<Vec<_>>();
    let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    assert!(ids(&found()).contains(&("single-replica", Severity::Note)));
    let deny = Policy::new(strings(&["single-replica"]), vec![], vec![]).unwrap();
    assert!(ids(&deny.apply(found())).contains(&("single-replica", Severity::Error)));
    let allow = Policy::new(strings(&["all"]), strings(&["single-replica"]), vec![]).unwrap();
    assert!(!ids(&allow.apply(found())).iter().any(|(id, _)| *id == "single-replica"));
    let accepted = Accepted { id: "single-replica".into(), subject: "Deployment/web".into(), reason: "a demo".into() };
    let accept = Policy::new(strings(&["single-replica"]), vec![], vec![accepted]).unwrap();
    let kept = accept.apply(found());
    let finding = kept.iter().find(|f| f.rule.id == "single-replica").unwrap();
    assert_eq!((finding.severity, finding.accepted.as_deref()), (Severity::Note, Some("a demo")));
    assert!(present::text(&kept, "x", &|_| None).contains("accepted[single-replica] Deployment/web: a demo"));
    let unknown = Policy::new(strings(&["single-replicas"]), vec![], vec![]).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no rule `single-replicas`: did you mean `single-replica`?");
}

#[test]
fn sarif_has_a_rule_for_every_result() {
    let broken = SOUND.replace("maxUnavailable: 1", "maxUnavailable: 0");
    let sarif = present::sarif(&lint(&platform(&broken), &[]), "0");
    let run = &sarif["runs"][0];
    let rules: BTreeSet<_> =
        run["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for result in results {
        assert!(rules.contains(result["ruleId"].as_str().unwrap()));
        assert!(result["locations"][0]["physicalLocation"]["region"]["startLine"].as_u64().unwrap() >= 1);
    }
}
