//! The layers around a store across a network are in force around every store that this crate has: the
//! broker sees them through the registry that the command and embedders use.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where its helper fails"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use strongroom::audit::{Location, Log};
use strongroom::backend::{PutOptions, SecretValue, Which};
use strongroom::{Broker, ErrorCode, Session};
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};
use tempfile::TempDir;

/// What a call may take over its deadline on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

/// How many stores across a network there are.
const STORES: usize = 6;

struct Host {
    broker: Broker,
    _dir: TempDir,
}

impl Host {
    /// A host with one vault `far`, whose table this is.
    async fn new(dir: TempDir, table: &str) -> Self {
        let location = Location {
            log: dir.path().join("audit.jsonl"),
            key: dir.path().join("keys/audit.key"),
            allow_links: false,
        };
        Log::init(&location.log, &location.key).unwrap();
        let text = format!(
            "default-vault = \"far\"\n[vault.far]\n{table}\n\
             [component.reader]\n\
             grants = [{{ vault = \"far\", secrets = [\"**\"], actions = [\"data-read\"] }}]\n\
             [audit]\npath = \"audit.jsonl\"\nkey = {{ file = \"keys/audit.key\" }}\n"
        );
        let file = dir.path().join("strongroom.toml");
        private(&file, &text);
        let broker = Broker::builder()
            .registry(strongroom_backends::registry())
            .state_dir(dir.path().join("state"))
            .config_file(file)
            .build()
            .await
            .unwrap();
        Self { broker, _dir: dir }
    }

    fn session(&self) -> Session {
        self.broker.component("reader").unwrap().session(None)
    }
}

fn private(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Every store across a network, with its server at `url`. What is asked for in a login is there; a
/// variable that cargo sets is taken for the credential.
fn tables(dir: &Path, url: &str, tls: &str) -> Vec<(&'static str, String)> {
    let kubeconfig = dir.join("kubeconfig");
    private(
        &kubeconfig,
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: \"{url}\"}}}}]\n\
             users: [{{name: u, user: {{token: nobody}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        ),
    );
    let aws = format!(
        "region = \"us-east-1\"\nendpoint = \"{url}\"\nauth = {{ access-key-id-env = \
         \"CARGO_PKG_NAME\", secret-access-key-env = \"CARGO_PKG_NAME\" }}"
    );
    vec![
        ("aws-ssm", format!("prefix = \"/x/\"\n{aws}")),
        ("aws-secrets-manager", format!("prefix = \"x/\"\n{aws}")),
        (
            "gcp-secret-manager",
            format!("project = \"shop\"\nendpoint = \"{url}\"\nauth = \"none\""),
        ),
        (
            "azure-key-vault",
            format!(
                "vault = \"shop\"\nendpoint = \"{tls}\"\nauthority-host = \"{tls}\"\n\
                 ca-file = \"ca.pem\"\nauth = {{ tenant-id = \
                 \"11111111-1111-1111-1111-111111111111\", client-id = \"c\", \
                 client-secret-env = \"CARGO_PKG_NAME\" }}"
            ),
        ),
        (
            "kubernetes",
            format!("namespace = \"shop\"\nauth = {{ kubeconfig = {kubeconfig:?} }}"),
        ),
        (
            "hashicorp-vault",
            format!(
                "address = \"{url}\"\nmount = \"kv\"\nkv = \"v1\"\n\
                 auth = {{ token-env = \"CARGO_PKG_NAME\" }}"
            ),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_to_any_store_outlives_its_deadline() {
    let identity = Identity::new("localhost");
    let server = Wire::http(|_| Reply::Hang);
    let tls = Wire::https(&identity, |_| Reply::Hang);
    for at in 0..STORES {
        let dir = tempfile::tempdir().unwrap();
        private(&dir.path().join("ca.pem"), identity.authority());
        let mut all = tables(dir.path(), &server.url(), &tls.url());
        assert_eq!(all.len(), STORES);
        let (backend, table) = all.swap_remove(at);
        let host = Host::new(
            dir,
            &format!("backend = \"{backend}\"\ndeadline = \"500ms\"\n{table}"),
        )
        .await;
        let began = Instant::now();
        let error = host.session().get("a", Which::Current).await.unwrap_err();
        let took = began.elapsed();
        assert!(
            matches!(error.code, ErrorCode::Unavailable(_)),
            "{backend}: {error}"
        );
        assert!(
            took < Duration::from_millis(500) + SLACK,
            "{backend}: {took:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_again_is_not_asked_for_again() {
    let server = Wire::http(|request| match request.path() {
        "/v1/auth/token/lookup-self" => Reply::json(200, r#"{"data":{"ttl":0,"policies":["p"]}}"#),
        "/v1/kv/there" => Reply::json(200, r#"{"data":{"value":"v"},"lease_duration":0}"#),
        _ => Reply::json(404, r#"{"errors":[]}"#),
    });
    let dir = tempfile::tempdir().unwrap();
    let (_, table) = tables(dir.path(), &server.url(), "").pop().unwrap();
    let host = Host::new(dir, &format!("backend = \"hashicorp-vault\"\n{table}")).await;
    for (name, answer) in [("there", Ok(())), ("missing", Err(ErrorCode::NotFound))] {
        server.forget();
        for _ in 0..50 {
            let got = host.session().get(name, Which::Current).await;
            let code = got.map(drop).map_err(|error| error.code);
            assert_eq!(code, answer, "{name}: {:?}", server.requests());
        }
        let asked = server.requests();
        let reads = asked.iter().filter(|it| it.path().ends_with(name)).count();
        assert_eq!(reads, 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_in_a_cluster_shows_long_before_the_cache_asks_anew() {
    let variable = "STRONGROOM_TEST_KUBERNETES";
    let cluster = std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: start the server with `cargo xtask servers up kubernetes`")
    });
    let dir = || tempfile::tempdir().unwrap();
    let fresh = dir();
    let name: String = fresh.path().to_string_lossy().to_lowercase();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let table = format!(
        "backend = \"kubernetes\"\nnamespace = \"strongroom-layers\"\ncreate-namespace = true\n\
         prefix = \"{name}-\"\nauth = {{ kubeconfig = \"{cluster}/kubeconfig\" }}\n\
         cache = {{ ttl = \"1h\" }}"
    );
    // Three machines, as far as files tell; one of them does not watch.
    let writer = Host::new(dir(), &table).await;
    let watching = Host::new(dir(), &table).await;
    let blind = Host::new(dir(), &format!("{table}\nwatch = false")).await;
    let operator = writer.broker.operator().unwrap();
    let set = async |value: &[u8]| {
        let value = SecretValue::copy_of(value);
        operator
            .set("a", value, PutOptions::default())
            .await
            .unwrap();
    };
    let get = async |host: &Host| {
        let got = host.session().get("a", Which::Current).await.unwrap();
        got.value.expose().to_vec()
    };
    set(b"one").await;
    assert_eq!(
        (get(&watching).await, get(&blind).await),
        (b"one".to_vec(), b"one".to_vec())
    );
    set(b"two").await;
    let changed = Instant::now();
    while get(&watching).await != b"two" {
        assert!(
            changed.elapsed() < Duration::from_secs(20),
            "no notice came"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        get(&blind).await,
        b"one",
        "without a watch it is the cache's"
    );
}
