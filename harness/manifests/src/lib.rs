//! Real Kubernetes manifests and nginx.conf, read into a Platform.
