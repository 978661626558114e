//! Kubernetes Secrets as a Strongroom store.
