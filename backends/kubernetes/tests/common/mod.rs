//! The test server, and namespaces and users in it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test program uses a part, and may stop at whatever it did not expect"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use strongroom_backend::{Backend, Error, ErrorKind, PutOptions, SecretPath, SecretValue, Which};
use strongroom_backend_kubernetes::{Auth, Config, KubernetesBackend};
use strongroom_backend_remote::Endpoint;

/// The folder of the running server.
pub(crate) fn server() -> Result<PathBuf, String> {
    std::env::var_os("STRONGROOM_TEST_KUBERNETES")
        .map(PathBuf::from)
        .ok_or_else(|| {
            "STRONGROOM_TEST_KUBERNETES is not set: start the server with \
         `cargo xtask servers up kubernetes`"
                .to_owned()
        })
}

pub(crate) fn folder() -> PathBuf {
    server().unwrap_or_else(|text| panic!("{text}"))
}

/// A name that no run on this server had before.
pub(crate) fn fresh(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{word}-{}-{:x}-{count}",
        std::process::id(),
        since.as_micros()
    )
}

pub(crate) fn auth(file: &str) -> Auth {
    Auth::Kubeconfig {
        path: folder().join(file),
        context: None,
    }
}

/// As the administrator, in a namespace that is made on demand.
pub(crate) fn config(namespace: &str) -> Config {
    let mut config = Config::new(auth("kubeconfig"), namespace);
    config.create_namespace = true;
    config
}

/// As the user `app`, who has no rights but those that [`Admin::grant`] gave.
pub(crate) fn app_config(namespace: &str) -> Config {
    Config::new(auth("app.kubeconfig"), namespace)
}

pub(crate) async fn open(config: &Config) -> KubernetesBackend {
    KubernetesBackend::open(config, Path::new("/"))
        .await
        .expect("a store")
}

pub(crate) fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).expect("a path")
}

pub(crate) fn value(text: &str) -> SecretValue {
    SecretValue::copy_of(text.as_bytes())
}

pub(crate) fn plain() -> PutOptions {
    PutOptions::default()
}

pub(crate) async fn read(store: &KubernetesBackend, text: &str) -> Result<String, Error> {
    let secret = store.get(&path(text), Which::Current).await?;
    Ok(String::from_utf8(secret.value.expose().to_vec()).unwrap())
}

/// What is in a Secret.
pub(crate) async fn data(admin: &Admin, name: &str) -> BTreeMap<String, Vec<u8>> {
    let object = admin.secrets().get(name).await.unwrap();
    let data = object.data.unwrap_or_default().into_iter();
    data.map(|(key, ByteString(bytes))| (key, bytes)).collect()
}

/// Must fail so, with these words for the operator.
pub(crate) fn is<T>(result: Result<T, Error>, kind: ErrorKind, words: &str) {
    let Err(error) = result else {
        panic!("done, although {words}");
    };
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

/// The administrator of a namespace that exists.
pub(crate) struct Admin {
    pub(crate) client: kube::Client,
    pub(crate) namespace: String,
}

impl Admin {
    pub(crate) async fn new(word: &str) -> Self {
        let kubeconfig = Kubeconfig::read_from(folder().join("kubeconfig")).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        config.proxy_url = None;
        let client = kube::Client::try_from(config).unwrap();
        let namespace = fresh(word);
        let object = Namespace {
            metadata: named(&namespace),
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        Self { client, namespace }
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a Secret as another tool would.
    pub(crate) async fn secret(&self, name: &str, data: &[(&str, &[u8])]) -> Secret {
        let data = data
            .iter()
            .map(|(k, v)| ((*k).to_owned(), ByteString(v.to_vec())));
        let object = Secret {
            metadata: named(name),
            data: Some(data.collect::<BTreeMap<_, _>>()),
            ..Secret::default()
        };
        self.secrets()
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    pub(crate) fn accounts(&self) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a service account, without rights.
    pub(crate) async fn account(&self, name: &str) {
        let account = ServiceAccount {
            metadata: named(name),
            ..ServiceAccount::default()
        };
        self.accounts()
            .create(&PostParams::default(), &account)
            .await
            .unwrap();
    }

    /// A token of a service account, as the pods that run under it have one.
    pub(crate) async fn token(&self, account: &str) -> String {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(600),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let token = self
            .accounts()
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .unwrap();
        token.status.unwrap().token.unwrap()
    }

    /// Lets the user `app` do this with Secrets of the namespace; with names, only with these.
    pub(crate) async fn grant(&self, verbs: &[&str], names: &[&str]) {
        let app = Subject {
            kind: "User".into(),
            name: "app".into(),
            ..Subject::default()
        };
        self.grant_to(app, verbs, names).await;
    }

    /// The same for a service account of the namespace.
    pub(crate) async fn grant_account(&self, account: &str, verbs: &[&str], names: &[&str]) {
        let account = Subject {
            kind: "ServiceAccount".into(),
            name: account.into(),
            namespace: Some(self.namespace.clone()),
            ..Subject::default()
        };
        self.grant_to(account, verbs, names).await;
    }

    async fn grant_to(&self, subject: Subject, verbs: &[&str], names: &[&str]) {
        let owned = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let name = fresh("role");
        let role = Role {
            metadata: named(&name),
            rules: Some(vec![PolicyRule {
                api_groups: Some(vec![String::new()]),
                resources: Some(vec!["secrets".to_owned()]),
                resource_names: (!names.is_empty()).then(|| owned(names)),
                verbs: owned(verbs),
                ..PolicyRule::default()
            }]),
        };
        let roles: Api<Role> = Api::namespaced(self.client.clone(), &self.namespace);
        roles.create(&PostParams::default(), &role).await.unwrap();
        let binding = RoleBinding {
            metadata: named(&name),
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".into()),
                kind: "Role".into(),
                name,
            },
            subjects: Some(vec![subject]),
        };
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), &self.namespace);
        bindings
            .create(&PostParams::default(), &binding)
            .await
            .unwrap();
        // The authorizer learns of it from a watch of its own.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

pub(crate) fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

/// Stands between a client and the server, and can cut what goes through.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<ProxyState>,
}

#[derive(Default)]
struct ProxyState {
    closed: AtomicBool,
    cut: tokio::sync::Notify,
}

impl Proxy {
    /// A proxy to the server, on the runtime of the test.
    pub(crate) async fn new() -> Self {
        let server = std::fs::read_to_string(folder().join("server")).unwrap();
        let target = server.trim().trim_start_matches("https://").to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(ProxyState::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if shared.closed.load(Ordering::SeqCst) {
                    continue;
                }
                let (state, target) = (Arc::clone(&shared), target.clone());
                tokio::spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                    let cut = state.cut.notified();
                    let copy = tokio::io::copy_bidirectional(&mut client, &mut server);
                    tokio::select! {
                        () = cut => {}
                        _ = copy => {}
                    }
                });
            }
        });
        Self { port, state }
    }

    /// Ends every connection, and takes no new one until [`Self::open`].
    pub(crate) fn close(&self) {
        self.state.closed.store(true, Ordering::SeqCst);
        self.state.cut.notify_waiters();
    }

    pub(crate) fn open(&self) {
        self.state.closed.store(false, Ordering::SeqCst);
    }

    /// `config` by way of the proxy.
    pub(crate) fn before(&self, mut config: Config) -> Config {
        let endpoint = format!("https://127.0.0.1:{}", self.port);
        config.endpoint = Some(Endpoint::parse(&endpoint).unwrap());
        config
    }
}
