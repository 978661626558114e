//! What the tests share: a host with one vault, and the table of each store across a network.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where its helper fails"
)]
#![allow(dead_code, reason = "each test program uses some of it")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use strongroom::audit::{self, Filter, Location, Log, Record};
use strongroom::{Broker, Session};
use tempfile::TempDir;

/// Every store across a network.
pub(crate) const STORES: [&str; 6] = [
    "aws-ssm",
    "aws-secrets-manager",
    "gcp-secret-manager",
    "azure-key-vault",
    "kubernetes",
    "hashicorp-vault",
];

/// The credential of every store that takes one from a file.
pub(crate) const TOKEN: &str = "tH3-canary-of-a-token-Wm5x";

pub(crate) struct Host {
    pub(crate) broker: Broker,
    dir: TempDir,
}

impl Host {
    /// A host with one vault `far`, whose table this is.
    pub(crate) async fn new(dir: TempDir, table: &str) -> Self {
        let location = location(&dir);
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
        Self { broker, dir }
    }

    pub(crate) fn session(&self) -> Session {
        self.broker.component("reader").unwrap().session(None)
    }

    /// All that was recorded so far, of calls and not of the log itself.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.broker.log().flush().unwrap();
        let shown = audit::show(&location(&self.dir), Filter::default()).unwrap();
        let records = shown.map(|shown| shown.unwrap().record);
        records.filter(|r| r.principal != "host:audit").collect()
    }
}

fn location(dir: &TempDir) -> Location {
    Location {
        log: dir.path().join("audit.jsonl"),
        key: dir.path().join("keys/audit.key"),
        allow_links: false,
    }
}

pub(crate) fn private(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The table of a vault over `store`, with its server at `url`; whom it trusts over TLS is to stand
/// in `ca.pem`. What a login needs is there: the credential is [`TOKEN`], for AWS a variable that
/// cargo sets, and for GCP none.
pub(crate) fn table(dir: &Path, store: &str, url: &str) -> String {
    let tls = url.starts_with("https:");
    let mut trust = if tls { "ca-file = \"ca.pem\"\n" } else { "" };
    let aws = format!(
        "region = \"us-east-1\"\nendpoint = \"{url}\"\nauth = {{ access-key-id-env = \
         \"CARGO_PKG_NAME\", secret-access-key-env = \"CARGO_PKG_NAME\" }}"
    );
    private(&dir.join("login"), TOKEN);
    let settings = match store {
        "aws-ssm" => format!("prefix = \"/x/\"\n{aws}"),
        "aws-secrets-manager" => format!("prefix = \"x/\"\n{aws}"),
        "gcp-secret-manager" => {
            format!("project = \"shop\"\nendpoint = \"{url}\"\nauth = \"none\"")
        }
        "azure-key-vault" => format!(
            "vault = \"shop\"\nendpoint = \"{url}\"\nauthority-host = \"{url}\"\n\
             auth = {{ tenant-id = \"11111111-1111-1111-1111-111111111111\", client-id = \"c\", \
             client-secret-file = \"login\" }}"
        ),
        "kubernetes" => {
            trust = "";
            let kubeconfig = dir.join("kubeconfig");
            private(&kubeconfig, &kubeconfig_of(url, tls.then_some(dir)));
            format!("namespace = \"shop\"\nauth = {{ kubeconfig = {kubeconfig:?} }}")
        }
        "hashicorp-vault" => format!(
            "address = \"{url}\"\nmount = \"kv\"\nkv = \"v1\"\n\
             auth = {{ token-file = \"login\" }}"
        ),
        store => panic!("no table for {store}"),
    };
    format!("backend = \"{store}\"\n{trust}{settings}")
}

fn kubeconfig_of(url: &str, trusted: Option<&Path>) -> String {
    let authority = trusted.map_or_else(String::new, |dir| {
        format!(", certificate-authority: {:?}", dir.join("ca.pem"))
    });
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: \"{url}\"{authority}}}}}]\n\
         users: [{{name: u, user: {{token: {TOKEN}}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    )
}
