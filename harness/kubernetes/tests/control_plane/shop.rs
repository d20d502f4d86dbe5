//! Manifests in pieces, for tests that differ in little of them.

/// Everything is in it.
pub(crate) const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n";

/// A Deployment, by what differs: of its specification, of its pods', and what a container requests.
pub(crate) fn deployment(name: &str, spec: &str, pods: &str, requests: &str) -> String {
    format!(
        "
---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name}, namespace: shop }}
spec:
  selector: {{ matchLabels: {{ app: {name} }} }}
  {spec}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec:
      terminationGracePeriodSeconds: 5
      {pods}
      containers:
        - name: {name}
          image: {name}:1
          ports: [{{ containerPort: 8000 }}]
          resources: {{ requests: {{ {requests} }} }}
          readinessProbe: {{ httpGet: {{ path: /health, port: 8000 }}, periodSeconds: 1 }}
"
    )
}

/// A Service of that name, by which a script's load reaches its pods, and an autoscaler of at least two of them.
pub(crate) fn scaled(name: &str, most: u32, metrics: &str, behavior: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Service
metadata: {{ name: {name}, namespace: shop }}
spec: {{ selector: {{ app: {name} }}, ports: [{{ port: 80, targetPort: 8000 }}] }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{ name: {name}, namespace: shop }}
spec:
  scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: {name} }}
  minReplicas: 2
  maxReplicas: {most}
  metrics: [{metrics}]
  behavior: {{ {behavior} }}
"
    )
}

/// 70 % of what is requested.
pub(crate) const CPU: &str =
    "{ type: Resource, resource: { name: cpu, target: { type: Utilization, averageUtilization: 70 } } }";

/// A budget over the pods of a Deployment.
pub(crate) fn budget(name: &str, allows: &str) -> String {
    format!(
        "
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{ name: {name}, namespace: shop }}
spec: {{ {allows}, selector: {{ matchLabels: {{ app: {name} }} }} }}
"
    )
}

/// How a Deployment rolls.
pub(crate) fn rolling(surge: &str, unavailable: &str) -> String {
    format!(
        "strategy: {{ type: RollingUpdate, rollingUpdate: {{ maxSurge: {surge}, maxUnavailable: {unavailable} }} }}"
    )
}

/// A node of eight cores.
pub(crate) fn node(name: &str, labels: &str, taint: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Node
metadata: {{ name: {name}, labels: {{ kubernetes.io/hostname: {name}, {labels} }} }}
spec: {{ taints: [{taint}] }}
status: {{ allocatable: {{ cpu: '8', memory: 32Gi, pods: '110' }} }}
"
    )
}
