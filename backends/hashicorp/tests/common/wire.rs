//! A store whose server is under the test's control.

use std::sync::Arc;

use strongroom_backend_hashicorp::{Auth, Config, Credential, HashicorpBackend, Kv};
use strongroom_backend_remote::Endpoint;
use strongroom_backend_testkit::wire::{Reply, Request, Wire};

use super::open;

pub const TOKEN: &str = "hvs.canary-token-4e21";
pub const VALUE: &str = "canary-value-93b0";

/// A store that takes the server for KV v2 and asks with the token.
pub async fn store(server: &Wire) -> (HashicorpBackend, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(server, &dir);
    (open(&config).await, dir)
}

pub fn config(server: &Wire, dir: &tempfile::TempDir) -> Config {
    let file = dir.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let address = Endpoint::parse(&server.url()).unwrap();
    let mut config = Config::new(address, "team/secret", Auth::Token(Credential::File(file)));
    config.prefix = "app".to_owned();
    config.kv = Kv::V2;
    config
}

pub fn is_lookup(request: &Request) -> bool {
    request.path() == "/v1/auth/token/lookup-self"
}

pub fn lookup() -> Reply {
    Reply::json(
        200,
        r#"{"data":{"ttl":0,"display_name":"t","policies":["p"]}}"#,
    )
}

pub fn secret(value: &str) -> String {
    let data = format!(r#"{{"value":"{value}"}}"#);
    format!(
        r#"{{"data":{{"data":{data},"metadata":{{"version":1,"deletion_time":"","destroyed":false}}}}}}"#
    )
}

/// A server that accepts the token and answers everything else with `reply`.
pub fn answering(reply: Reply) -> Wire {
    Wire::http(move |request| match is_lookup(request) {
        true => lookup(),
        false => reply.clone(),
    })
}

pub fn subscriber(log: &Log) -> impl tracing::Subscriber + Send + Sync + use<> {
    let log = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || log.clone())
        .finish()
}

#[derive(Clone, Default)]
pub struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
