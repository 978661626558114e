//! The servers that tests run against, and what they are prepared with.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test program uses a part of this, and may stop at whatever it did not expect"
)]

pub mod wire;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use reqwest::{Certificate, Method};
use serde_json::{Value, json};
use strongroom_backend::{Backend, ErrorKind, PutOptions, Result, SecretPath, SecretValue, Which};
use strongroom_backend_hashicorp::{Auth, Config, Credential, HashicorpBackend};
use strongroom_backend_remote::Endpoint;

/// As many versions as the trials write.
const KEEP: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server and a token that may do everything.
#[derive(Clone)]
pub struct Server {
    pub address: String,
    pub token: String,
    pub authority: Option<PathBuf>,
    pub namespace: Option<String>,
    http: reqwest::Client,
}

impl Server {
    /// The one in development mode that all tests share.
    pub fn shared() -> Self {
        Self::new(variable("STRONGROOM_TEST_VAULT"), "root".to_owned(), None)
    }

    /// The one with TLS and a token that it checks.
    pub fn with_tls() -> Self {
        let folder = PathBuf::from(variable("STRONGROOM_TEST_VAULT_TLS"));
        let read = |name: &str| {
            let text = std::fs::read_to_string(folder.join(name)).expect("a file of the server");
            text.trim().to_owned()
        };
        Self::new(read("address"), read("token"), Some(folder.join("ca.pem")))
    }

    pub fn new(address: String, token: String, authority: Option<PathBuf>) -> Self {
        let mut http = reqwest::Client::builder().no_proxy();
        if let Some(file) = &authority {
            let pem = std::fs::read(file).expect("the server's authority");
            let authority = Certificate::from_pem(&pem).expect("a certificate");
            http = http.tls_certs_only([authority]);
        }
        Self {
            address,
            token,
            authority,
            namespace: None,
            http: http.build().expect("a client"),
        }
    }

    /// A new engine of KV with this version, gone with the guard.
    pub async fn mount(&self, version: u8) -> Mount {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::SeqCst);
        let since = UNIX_EPOCH.elapsed().unwrap_or_default();
        let path = format!(
            "trial/{}-{:x}-{next}",
            std::process::id(),
            since.as_micros()
        );
        self.mount_at(&path, version).await
    }

    pub async fn mount_at(&self, path: &str, version: u8) -> Mount {
        let body = json!({ "type": "kv", "options": { "version": version.to_string() } });
        self.ok(Method::POST, &format!("sys/mounts/{path}"), Some(body))
            .await;
        if version == 2 {
            // The engine answers 400 for a moment after it was mounted.
            let body = json!({ "max_versions": KEEP });
            self.settles(Method::POST, &format!("{path}/config"), body)
                .await;
        }
        Mount {
            server: self.clone(),
            path: path.to_owned(),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Settings for the engine at `mount`, with the token that may do everything.
    pub fn config(&self, mount: &Mount) -> Config {
        self.config_with(&mount.path, mount.credential("token", &self.token))
    }

    pub fn config_with(&self, mount: &str, auth: Auth) -> Config {
        let address = Endpoint::parse(&self.address).expect("an address");
        let mut config = Config::new(address, mount, auth);
        config.ca_file = self.authority.clone();
        config.namespace = self.namespace.clone();
        config
    }

    /// A request that must succeed; the `data` or `auth` of the answer, or all of it.
    pub async fn ok(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(method.clone(), path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        ["data", "auth"]
            .into_iter()
            .find_map(|key| answer.get(key).filter(|part| !part.is_null()).cloned())
            .unwrap_or(answer)
    }

    async fn settles(&self, method: Method, path: &str, body: Value) {
        let began = std::time::Instant::now();
        while began.elapsed() < PATIENCE {
            let (status, _) = self.call(method.clone(), path, Some(body.clone())).await;
            if (200..300).contains(&status) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{method} {path} does not succeed within {PATIENCE:?}");
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}/v1/{path}", self.address);
        let mut call = self
            .http
            .request(method, url)
            .header("x-vault-token", &self.token);
        if let Some(namespace) = &self.namespace {
            call = call.header("x-vault-namespace", namespace);
        }
        if let Some(body) = body {
            call = call.json(&body);
        }
        let answer = call.send().await.expect("the server answers");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// A token with one policy of these rules, and what else `settings` say.
    pub async fn token(&self, name: &str, rules: &str, settings: Value) -> String {
        self.policy(name, rules).await;
        let mut body = settings;
        body["policies"] = json!([name]);
        let auth = self.ok(Method::POST, "auth/token/create", Some(body)).await;
        auth["client_token"].as_str().expect("a token").to_owned()
    }

    pub async fn policy(&self, name: &str, rules: &str) {
        let path = format!("sys/policies/acl/{name}");
        self.ok(Method::POST, &path, Some(json!({ "policy": rules })))
            .await;
    }
}

/// A mounted engine, and a folder for credentials.
pub struct Mount {
    server: Server,
    pub path: String,
    folder: tempfile::TempDir,
}

impl Mount {
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a credential where a configuration finds it.
    pub fn credential(&self, name: &str, text: &str) -> Auth {
        Auth::Token(self.file(name, text))
    }

    pub fn file(&self, name: &str, text: &str) -> Credential {
        let file = self.folder.path().join(name);
        std::fs::write(&file, text).expect("a file for a credential");
        Credential::File(file)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let (server, path) = (self.server.clone(), self.path.clone());
        // A trial's runtime may be ending: the request gets one of its own.
        let unmount = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let server = Server {
                    http: Server::new(
                        server.address.clone(),
                        String::new(),
                        server.authority.clone(),
                    )
                    .http,
                    ..server
                };
                let _ = server
                    .call(Method::DELETE, &format!("sys/mounts/{path}"), None)
                    .await;
            });
        });
        let _ = unmount.join();
    }
}

/// A store of `config`, which opens.
pub async fn open(config: &Config) -> HashicorpBackend {
    HashicorpBackend::open(config, Path::new("."))
        .await
        .expect("a store")
}

pub fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).expect("a path")
}

/// Writes a value without conditions.
pub async fn put(store: &HashicorpBackend, name: &str, value: &str) -> u64 {
    let value = SecretValue::copy_of(value.as_bytes());
    let written = store.put(&path(name), &value, &PutOptions::default()).await;
    written.expect("a write").version
}

/// The current value as text, or the error.
pub async fn get(store: &HashicorpBackend, name: &str) -> Result<String> {
    let secret = store.get(&path(name), Which::Current).await?;
    Ok(String::from_utf8_lossy(secret.value.expose()).into_owned())
}

/// What went wrong, with the text for the operator.
pub fn failed<T>(result: Result<T>) -> (ErrorKind, String) {
    let error = result.err().expect("an error");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    (error.kind(), text)
}

/// A variable that says where a server is; without it there is nothing to test.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: start the servers with `cargo xtask servers up vault vault-tls kubernetes`")
    })
}
