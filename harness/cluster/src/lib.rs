//! What Kubernetes decides: autoscaler, deployments, scheduler, kubelet, endpoints.
