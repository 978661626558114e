//! The servers that `cargo xtask servers` started, and a room with vaults over them.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use super::fake::{CLIENT, Clock, Fake, SECRET, TENANT, VAULT};
use super::strict::Strict;
use super::support::{Answer, Room};

/// Every kind of vault that a server here answers for.
pub(crate) const KINDS: [&str; 6] = [
    "aws-ssm",
    "aws-secrets-manager",
    "gcp-secret-manager",
    "azure-key-vault",
    "kubernetes",
    "hashicorp-vault",
];

/// What a server is named by in the environment.
#[track_caller]
pub(crate) fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        let name = variable.trim_start_matches("STRONGROOM_TEST_");
        let name = name.to_lowercase().replace('_', "-");
        panic!("{variable} is not set: start the server with `cargo xtask servers up {name}`")
    })
}

/// A name that no run on these servers had before.
pub(crate) fn fresh() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let since = UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("c{:x}-{}-{next}", since.as_micros(), std::process::id())
}

/// Settings of a vault over the server of this kind, with names of its own.
pub(crate) fn settings(kind: &str) -> String {
    let name = fresh();
    let mut text = format!("backend = \"{kind}\"\n");
    let more = match kind {
        "aws-ssm" => aws(&server("STRONGROOM_TEST_AWS")) + &format!("prefix = \"/{name}/\"\n"),
        "aws-secrets-manager" => {
            aws(&server("STRONGROOM_TEST_AWS")) + &format!("prefix = \"{name}/\"\n")
        }
        "gcp-secret-manager" => format!(
            "project = \"shop\"\nprefix = \"{name}-\"\nendpoint = {:?}\nauth = \"none\"\n",
            gcp()
        ),
        "azure-key-vault" => azure(&key_vault(Fake::url)) + &format!("prefix = \"{name}-\"\n"),
        "kubernetes" => {
            kubernetes("kubeconfig") + &format!("create-namespace = true\nprefix = \"{name}-\"\n")
        }
        "hashicorp-vault" => vault() + &format!("mount = \"secret\"\nprefix = \"{name}\"\n"),
        kind => panic!("no server for {kind}"),
    };
    text.push_str(&more);
    text
}

/// The address of a Secret Manager that lasts as long as the tests.
fn gcp() -> String {
    static SERVER: OnceLock<Strict> = OnceLock::new();
    SERVER.get_or_init(Strict::start).wire.url()
}

/// Looks at the Key Vault of this test, which ends with the test's thread. Each test has one of its
/// own: its clock goes by the writes, and must not run away from ours.
pub(crate) fn key_vault<R>(look: impl FnOnce(&Fake) -> R) -> R {
    KEY_VAULT.with(look)
}

thread_local! {
    static KEY_VAULT: Fake = Fake::start(Clock::Steps);
}

/// A Key Vault and its login service at this address, with the secret of a client in a variable.
pub(crate) fn azure(address: &str) -> String {
    let ca = key_vault(|fake| fake.folder().join("ca.pem"));
    format!(
        "vault = {VAULT:?}\nendpoint = {address:?}\nauthority-host = {address:?}\n\
         ca-file = {ca:?}\nauth = {{ tenant-id = {TENANT:?}, client-id = {CLIENT:?}, \
         client-secret-env = \"SHOP_APP\" }}\n"
    )
}

/// The settings that both AWS stores share: keys in two variables.
pub(crate) fn aws(endpoint: &str) -> String {
    format!(
        "region = \"us-east-1\"\nendpoint = {endpoint:?}\n\
         auth = {{ access-key-id-env = \"SHOP_KEY_ID\", secret-access-key-env = \"SHOP_KEY\" }}\n"
    )
}

/// A cluster as the user whose kubeconfig this is.
pub(crate) fn kubernetes(user: &str) -> String {
    let file = PathBuf::from(server("STRONGROOM_TEST_KUBERNETES")).join(user);
    format!("auth = {{ kubeconfig = {file:?} }}\nnamespace = \"strongroom-cli\"\n")
}

/// A server of Vault with a token in a variable.
pub(crate) fn vault() -> String {
    format!(
        "address = {:?}\nauth = {{ token-env = \"SHOP_TOKEN\" }}\n",
        server("STRONGROOM_TEST_VAULT")
    )
}

/// The variables that these settings name.
pub(crate) fn credentials() -> Vec<(&'static str, String)> {
    vec![
        ("SHOP_KEY_ID", "canary-key-id".into()),
        ("SHOP_KEY", "canary-secret-key".into()),
        ("SHOP_TOKEN", "root".into()),
        ("SHOP_APP", SECRET.into()),
    ]
}

/// A room and the variables that its commands have.
pub(crate) struct Shop {
    pub(crate) room: Room,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Shop {
    /// A room with its local vault, and one for each of these tables beside.
    pub(crate) fn new<'t>(vaults: impl IntoIterator<Item = (&'t str, String)>) -> Self {
        let room = Room::new();
        let mut text = String::new();
        for (id, settings) in vaults {
            let _ = writeln!(text, "[vault.{id}]\n{settings}");
        }
        room.configure(&text);
        Self {
            room,
            variables: credentials(),
        }
    }

    /// A vault over each server, named by its kind.
    pub(crate) fn everywhere() -> Self {
        Self::new(KINDS.map(|kind| (kind, settings(kind))))
    }

    /// With another value for a variable.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
        self
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.room.command(args);
        command.env("STRONGROOM_CONFIG", self.room.path("strongroom.toml"));
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        self.command(args).output().unwrap().into()
    }

    /// Runs a command with `input` on standard input.
    pub(crate) fn feed(&self, args: &[&str], input: &[u8]) -> Answer {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // These inputs are smaller than a pipe; a command that failed first has not read them.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap().into()
    }

    #[track_caller]
    pub(crate) fn set(&self, reference: &str, value: &str) {
        self.feed(&["set", reference], value.as_bytes()).ok();
    }

    #[track_caller]
    pub(crate) fn get(&self, reference: &str) -> String {
        self.run(["get", reference]).ok().text().to_owned()
    }

    #[track_caller]
    pub(crate) fn list(&self, prefix: &str) -> Vec<String> {
        let answer = self.run(["list", prefix]).ok();
        answer.text().lines().map(str::to_owned).collect()
    }

    /// The records of the audit log, oldest first.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        let shown = self.run(["audit", "show", "--json"]).ok();
        let parse = |line| serde_json::from_str(line).unwrap();
        shown.text().lines().map(parse).collect()
    }
}

/// A request to the server of Vault as root; the body of its answer.
pub(crate) fn ask_vault(path: &str, body: &str) -> serde_json::Value {
    let address = server("STRONGROOM_TEST_VAULT");
    let host = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST /v1/{path} HTTP/1.0\r\nHost: {host}\r\nX-Vault-Token: root\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 20"), "{path}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_default()
}

/// A token of Vault that may do what these rules say, for as long as this.
pub(crate) fn token(rules: &str, ttl: &str) -> String {
    let name = fresh();
    let policy = serde_json::json!({ "policy": rules });
    ask_vault(&format!("sys/policies/acl/{name}"), &policy.to_string());
    let wanted = serde_json::json!({ "policies": [name], "ttl": ttl });
    let answer = ask_vault("auth/token/create", &wanted.to_string());
    answer["auth"]["client_token"].as_str().unwrap().to_owned()
}
