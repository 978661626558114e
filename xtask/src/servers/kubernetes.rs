//! Kubernetes: the real API server with etcd inside, built from their Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::folders::{self, Folders};
use super::{Place, Server, Started, environment, net, python};
use crate::process::{self, Result};
use crate::workspace;

const DIR: &str = "STRONGROOM_TEST_KUBERNETES";
const PROGRAM: &str = "server";

/// Users by their token. They are nobody's, and last as long as the server.
const ADMIN_TOKEN: &str = "admin-of-the-test-server";
const APP_TOKEN: &str = "app-of-the-test-server";
const TOKENS: [(&str, &str, &str); 2] = [
    (ADMIN_TOKEN, "admin", "system:masters"),
    (APP_TOKEN, "app", "apps"),
];

/// An API server and nothing else of a cluster: no controllers, no nodes.
pub(super) const SERVER: Server = Server {
    name: "kubernetes",
    about: "kube-apiserver 1.37.2 with etcd 3.7.0: real; users admin and app (no rights)",
    install,
    start,
    is_healthy: |folders, record| {
        let dir = record.variable(DIR).map(Path::new);
        dir.is_some_and(|dir| is_ready(folders, dir))
    },
};

fn source() -> PathBuf {
    workspace::root().join("tests/servers/kubernetes")
}

fn program(folders: &Folders) -> PathBuf {
    folders.installation("kubernetes").dir().join(PROGRAM)
}

/// Builds the server: minutes from nothing, and not at all if its source is the one it was built from.
fn install(folders: &Folders) -> Result<String> {
    let sources = ["go.mod", "go.sum", "main.go"]
        .into_iter()
        .map(|name| fs::read_to_string(source().join(name)))
        .collect::<std::io::Result<Vec<_>>>()?;
    let key = folders::key(sources.iter().map(String::as_str));
    folders.installation("kubernetes").make(&key, |dir| {
        process::output(Command::new("go").arg("version"))
            .map_err(|error| format!("Go 1.26 or newer is needed to build it: {error}"))?;
        let mut go = Command::new("go");
        go.current_dir(source())
            .args([
                "build",
                "-trimpath",
                "-buildvcs=false",
                "-ldflags=-s -w",
                "-o",
            ])
            .arg(dir.join(PROGRAM))
            .arg(".")
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off");
        python::run(&mut go)
    })?;
    Ok(key)
}

fn start(place: &Place<'_>) -> Result<Started> {
    let [port, etcd_port] = net::free_ports()?;
    let dir = &place.dir;
    let server = format!("https://127.0.0.1:{port}");
    let etcd = format!("http://127.0.0.1:{etcd_port}");
    let path = |name: &str| dir.join(name).display().to_string();
    let tokens: String = TOKENS
        .iter()
        .map(|(token, user, group)| format!("{token},{user},{user}-uid,\"{group}\"\n"))
        .collect();
    fs::write(dir.join("tokens.csv"), tokens)?;
    fs::write(dir.join("server"), &server)?;

    let mut command = Command::new(program(place.folders));
    command
        .current_dir(dir)
        .env("STRONGROOM_ETCD_DIR", dir.join("etcd"))
        .env("STRONGROOM_ETCD_URL", &etcd)
        .env("STRONGROOM_SERVICE_ACCOUNT_KEY", dir.join("sa.key"))
        .arg(format!("--etcd-servers={etcd}"))
        .arg(format!("--secure-port={port}"))
        .arg(format!("--cert-dir={}", path("certs")))
        .arg(format!("--token-auth-file={}", path("tokens.csv")))
        .arg(format!("--service-account-key-file={}", path("sa.key")))
        .arg(format!(
            "--service-account-signing-key-file={}",
            path("sa.key")
        ))
        .args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            // Otherwise it refuses to run on loopback.
            "--endpoint-reconciler-type=none",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
        ]);
    let mut daemon = place.spawn(&mut command)?;

    let ready = || extract_authority(dir).is_some() && is_ready(place.folders, dir);
    daemon.wait_until(ready, Duration::from_secs(120))?;
    for (name, user, token) in [
        ("kubeconfig", "admin", ADMIN_TOKEN),
        ("app.kubeconfig", "app", APP_TOKEN),
    ] {
        fs::write(
            dir.join(name),
            kubeconfig(&server, &path("ca.crt"), user, token),
        )?;
    }
    Ok(Started {
        process: Some(daemon),
        environment: environment([(DIR, dir.display().to_string())]),
    })
}

/// Puts the certificate that signed the server's own, which the server wrote after it, into `ca.crt`.
fn extract_authority(dir: &Path) -> Option<()> {
    let chain = fs::read_to_string(dir.join("certs/apiserver.crt")).ok()?;
    fs::write(dir.join("ca.crt"), last_certificate(&chain)?).ok()
}

fn last_certificate(pem: &str) -> Option<&str> {
    let certificate = pem.get(pem.rfind("-----BEGIN CERTIFICATE-----")?..)?;
    certificate
        .trim_end()
        .ends_with("-----END CERTIFICATE-----")
        .then_some(certificate)
}

fn is_ready(folders: &Folders, dir: &Path) -> bool {
    let Ok(server) = fs::read_to_string(dir.join("server")) else {
        return false;
    };
    Command::new(program(folders))
        .args(["ready", &server])
        .arg(dir.join("ca.crt"))
        .arg(ADMIN_TOKEN)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A client's configuration. It is JSON, which is YAML as well.
fn kubeconfig(server: &str, ca: &str, user: &str, token: &str) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": { "server": server, "certificate-authority": ca },
        }],
        "users": [{ "name": user, "user": { "token": token } }],
        "contexts": [{
            "name": user,
            "context": { "cluster": "test", "user": user, "namespace": "default" },
        }],
        "current-context": user,
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_last_whole_certificate() {
        let certificate =
            |body| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let (own, authority) = (certificate("own"), certificate("authority"));
        assert_eq!(
            last_certificate(&format!("{own}{authority}")),
            Some(authority.as_str())
        );
        assert_eq!(
            last_certificate(&format!("{own}-----BEGIN CERTIFICATE-----\ncu")),
            None
        );
        assert_eq!(last_certificate(""), None);
    }
}
