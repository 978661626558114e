//! A Parameter Store of ours that counts what it is asked, and lies or refuses where it is told to.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use strongroom_backend_testkit::wire::{Reply, Request, Wire};

use super::support::{Answer, Room};

const PREFIX: &str = "/app/";
const MISSING: &str = "ParameterNotFound";

/// A room with its local vault, and the vault `far` over a server of its own.
pub(crate) struct Far {
    pub(crate) room: Room,
    wire: Wire,
    held: Arc<Mutex<Held>>,
}

/// What the server has, by the names of parameters.
#[derive(Default)]
struct Held {
    /// The versions of each, oldest first.
    versions: BTreeMap<String, Vec<String>>,
    /// What is read in the place of what was written.
    lies: BTreeMap<String, String>,
    /// Those that may be written, and not be read once they are there.
    sealed: BTreeSet<String>,
}

impl Far {
    /// `settings` are lines of the vault's table beside those that it needs.
    pub(crate) fn new(settings: &str) -> Self {
        let held = Arc::<Mutex<Held>>::default();
        let kept = Arc::clone(&held);
        let wire = Wire::http(move |request| kept.lock().unwrap().answer(request));
        let room = Room::new();
        room.configure(&format!(
            "[vault.far]\nbackend = \"aws-ssm\"\nregion = \"us-east-1\"\nprefix = {PREFIX:?}\n\
             endpoint = {:?}\n\
             auth = {{ access-key-id-env = \"FAR_KEY_ID\", secret-access-key-env = \"FAR_KEY\" }}\n\
             {settings}",
            wire.url()
        ));
        room.run(["trust"]).ok();
        Self { room, wire, held }
    }

    /// Runs a command with the credentials of the vault.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        let mut command = self.room.command(args);
        command.env("FAR_KEY_ID", "AKIDTEST");
        command.env("FAR_KEY", "canary-of-a-secret-key");
        command.output().unwrap().into()
    }

    /// Puts a version there behind everybody's back.
    pub(crate) fn put(&self, path: &str, value: &str) {
        let mut held = self.held.lock().unwrap();
        let versions = held.versions.entry(name(path)).or_default();
        versions.push(value.to_owned());
    }

    /// From now on this is read at `path`, whatever is written.
    pub(crate) fn lie(&self, path: &str, value: &str) {
        let mut held = self.held.lock().unwrap();
        held.lies.insert(name(path), value.to_owned());
    }

    /// From now on nobody may read what is at `path`.
    pub(crate) fn seal(&self, path: &str) {
        self.held.lock().unwrap().sealed.insert(name(path));
    }

    /// How often the server was asked for this operation.
    pub(crate) fn calls(&self, operation: &str) -> usize {
        let target = format!("AmazonSSM.{operation}");
        let requests = self.wire.requests();
        let asked = |request: &&Request| request.header("x-amz-target") == Some(target.as_str());
        requests.iter().filter(asked).count()
    }
}

/// The name of a path's parameter.
fn name(path: &str) -> String {
    format!("{PREFIX}{path}")
}

impl Held {
    fn answer(&mut self, request: &Request) -> Reply {
        let target = request.header("x-amz-target").unwrap_or_default();
        // Who somebody is would be for another service to say, which is not here.
        let Some(operation) = target.strip_prefix("AmazonSSM.") else {
            return Reply::status(503);
        };
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let (status, body) = match self.call(operation, &asked) {
            Ok(body) => (200, body),
            Err(code) => (400, json!({ "__type": code, "message": "canary-message" })),
        };
        Reply::json(status, &body.to_string())
            .with_header("content-type", "application/x-amz-json-1.1")
    }

    /// The body of the answer, or the code of a refusal.
    fn call(&mut self, operation: &str, asked: &Value) -> Result<Value, &'static str> {
        let name = asked["Name"].as_str().unwrap_or_default();
        Ok(match operation {
            "GetParameter" => {
                let (name, version) = match name.split_once(':') {
                    Some((name, version)) => (name, version.parse().ok()),
                    None => (name, None),
                };
                json!({ "Parameter": self.read(name, version)? })
            }
            "GetParameters" => {
                let (mut found, mut missing) = (Vec::new(), Vec::new());
                for name in asked["Names"].as_array().unwrap() {
                    match self.read(name.as_str().unwrap(), None) {
                        Ok(parameter) => found.push(parameter),
                        Err(MISSING) => missing.push(name),
                        // One that may not be read fails the call for all of them.
                        Err(code) => return Err(code),
                    }
                }
                json!({ "Parameters": found, "InvalidParameters": missing })
            }
            "PutParameter" => {
                let versions = self.versions.entry(name.to_owned()).or_default();
                if !versions.is_empty() && asked["Overwrite"] != json!(true) {
                    return Err("ParameterAlreadyExists");
                }
                versions.push(asked["Value"].as_str().unwrap().to_owned());
                json!({ "Version": versions.len(), "Tier": "Standard" })
            }
            "GetParameterHistory" => {
                let count = self.versions.get(name).ok_or(MISSING)?.len();
                let version = |number: usize| json!({ "Name": name, "Version": number });
                json!({ "Parameters": (1..=count).map(version).collect::<Vec<_>>() })
            }
            "DescribeParameters" => {
                let each = self.versions.keys().map(|name| json!({ "Name": name }));
                json!({ "Parameters": each.collect::<Vec<_>>() })
            }
            "ListTagsForResource" => json!({ "TagList": [] }),
            _ => return Err("UnknownOperationException"),
        })
    }

    /// A parameter as reads answer it: the newest version, or the one of a number.
    fn read(&self, name: &str, version: Option<usize>) -> Result<Value, &'static str> {
        let versions = self.versions.get(name).ok_or(MISSING)?;
        if self.sealed.contains(name) {
            return Err("AccessDeniedException");
        }
        let number = version.unwrap_or(versions.len());
        let kept = versions.get(number.wrapping_sub(1));
        let value = kept.ok_or("ParameterVersionNotFound")?;
        let value = self.lies.get(name).unwrap_or(value);
        Ok(json!({ "Name": name, "Type": "SecureString", "Value": value, "Version": number }))
    }
}
