//! Kubernetes Secrets as a Strongroom store.
//!
//! [`KubernetesBackend`] keeps a Secret for each reference in one namespace, with versions, soft
//! delete and metadata; or, with [`Layout::Foreign`], serves the keys of Secrets that other tools
//! wrote, read-only.
//!
//! # Settings
//!
//! ```toml
//! [vault.prod]
//! backend = "kubernetes"
//! auth = { kubeconfig = "cluster.kubeconfig", context = "prod" }    # or "in-cluster", "default"; required
//! namespace = "app"                 # required but in a pod
//! # prefix = "shop-"
//! # layout = "own"                  # "foreign": the keys of others' Secrets as `name/key`, read-only
//! # keep-versions = 10              # 1 to 100
//! # create-namespace = false
//! # watch = true                    # caches, and copies with `on-change`, learn what others change
//! # allow-exec = false              # a program that the kubeconfig logs in with
//! # endpoint = "https://api.example"
//! # names = { "stripe/api-key" = "stripe-credentials" }
//! ```
//!
//! # Our own Secrets
//!
//! | where | what |
//! | --- | --- |
//! | name | the path where Kubernetes takes it as a name, else a readable part of it and a hash |
//! | type | `Opaque` |
//! | label `app.kubernetes.io/managed-by` | `strongroom` |
//! | label `strongroom/name` | a hash of the name, by which several are found in one request |
//! | annotation `strongroom/reference` | the exact path, compared at each read |
//! | annotation `strongroom/history` | versions, states, times, authors, kind, description, labels |
//! | data `value` | the current value: what a pod mounts |
//! | data `value.v<n>` | the value of version n, which is not current: older, or deleted |
//!
//! A Secret that lacks any of these labels and annotations is somebody else's: it is not read as a
//! secret of ours and never overwritten. Labels, annotations and data keys of others on our Secrets
//! stay as they are.
//!
//! Every change is made to the object that was read, by its `resourceVersion`: two writers never
//! lose each other's change, and an expected version holds at the moment of the write. A Secret that
//! is `immutable` is not changed.
//!
//! A Secret holds 1 MiB, all versions together. The oldest are destroyed before the newest is
//! refused, and of more than `keep-versions`. A deleted value stays in the Secret under its number,
//! for `undelete`, until it is destroyed; etcd and its backups hold for longer what was destroyed.
//! Nobody removes an expired value from the Secret: a pod that mounts it sees it still.
//!
//! # What our user needs
//!
//! | for | verbs on `secrets` in the namespace |
//! | --- | --- |
//! | get, describe, versions | `get` |
//! | list, and get of many in one request | `list`; without it many are asked for one by one |
//! | put, delete, undelete, destroy, metadata | `get`, `create`, `patch` |
//! | news of others' changes | `list`, `watch`; without them caches rely on their `ttl` |
//! | `create-namespace = true` | `create` on `namespaces` of the cluster |
//!
//! # The way there
//!
//! Address, trust and credentials come from a kubeconfig or the pod's service account. A kubeconfig
//! that others may write, one that turns certificate checks off or wants a proxy, and plain HTTP to
//! another machine are refused; so is one that runs a program to log in, unless
//! `allow-exec = true`. `$HTTPS_PROXY` is not followed, and no redirect is.
#![forbid(unsafe_code)]

mod backend;
mod check;
mod client;
mod config;
mod connect;
mod error;
mod foreign;
mod list;
mod naming;
mod object;
mod own;
mod record;
mod told;
mod watch;
mod write;

pub use backend::KubernetesBackend;
pub use config::{Auth, Config, DEFAULT_KEEP_VERSIONS, Layout, MAX_KEEP_VERSIONS};
pub use connect::names_in;
