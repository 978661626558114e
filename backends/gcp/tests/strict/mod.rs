//! Secret Manager in a few hundred lines, as strict as its documentation says it is.
//!
//! It checks what the third-party emulator lets pass: entity tags, checksums, sizes, names, states,
//! annotations and labels, update masks, pages, and `latest` as the newest version whatever its state.
//! Answers name the project by its number, as the service does, and pages are short.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

pub(crate) mod state;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use strongroom_backend_testkit::wire::{Identity, Reply, Request, Wire};

use state::State;

/// The server, and what it holds.
pub(crate) struct Strict {
    pub(crate) wire: Wire,
    pub(crate) state: Arc<Mutex<State>>,
}

impl Strict {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let held = Arc::clone(&state);
        let wire = Wire::http(move |request| answer(&mut held.lock().unwrap(), request));
        Self { wire, state }
    }

    pub(crate) fn start_tls(identity: &Identity) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let held = Arc::clone(&state);
        let wire = Wire::https(identity, move |request| {
            answer(&mut held.lock().unwrap(), request)
        });
        Self { wire, state }
    }

    /// Changes what the server holds or how it behaves.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap())
    }
}

/// An error as the service sends it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) http: u16,
    pub(crate) status: &'static str,
    pub(crate) message: String,
    pub(crate) details: Vec<Value>,
}

pub(crate) type Answer = Result<Value, Refused>;

impl Refused {
    pub(crate) fn new(status: &'static str, message: impl Into<String>) -> Self {
        let http = match status {
            "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => 400,
            "UNAUTHENTICATED" => 401,
            "PERMISSION_DENIED" => 403,
            "NOT_FOUND" => 404,
            "ALREADY_EXISTS" | "ABORTED" => 409,
            "RESOURCE_EXHAUSTED" => 429,
            "UNAVAILABLE" => 503,
            _ => 500,
        };
        Self {
            http,
            status,
            message: message.into(),
            details: Vec::new(),
        }
    }

    fn denied(permission: &str) -> Self {
        Self {
            details: vec![json!({
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "IAM_PERMISSION_DENIED",
                "domain": "iam.googleapis.com",
                "metadata": {"permission": permission, "resource": "projects/hidden-project"},
            })],
            ..Self::new(
                "PERMISSION_DENIED",
                format!("Permission '{permission}' denied on resource 'projects/hidden-project'."),
            )
        }
    }

    pub(crate) fn reply(&self) -> Reply {
        let body = json!({"error": {
            "code": self.http,
            "message": self.message,
            "status": self.status,
            "details": self.details,
        }});
        Reply::json(self.http, &body.to_string())
    }
}

fn answer(state: &mut State, request: &Request) -> Reply {
    match route(state, request) {
        Ok(value) => {
            let now = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
            Reply::json(200, &value.to_string()).with_header("date", &now.to_string())
        }
        Err(refused) => refused.reply(),
    }
}

fn route(state: &mut State, request: &Request) -> Answer {
    let unknown = || Refused::new("INVALID_ARGUMENT", "no such method");
    let path = request.path().strip_prefix("/v1/").ok_or_else(unknown)?;
    if path.contains('%') {
        return Err(unknown());
    }
    let mut segments: Vec<&str> = path.split('/').collect();
    let verb = match segments.last_mut() {
        Some(last) => match last.split_once(':') {
            Some((name, verb)) => {
                *last = name;
                verb
            }
            None => "",
        },
        None => "",
    };
    let query = Query::new(&request.target);
    let body = || -> Result<Value, Refused> {
        serde_json::from_slice(&request.body)
            .map_err(|_| Refused::new("INVALID_ARGUMENT", "not JSON"))
    };
    let (project, location, rest) = match segments.as_slice() {
        [
            "projects",
            project,
            "locations",
            location,
            "secrets",
            rest @ ..,
        ] => (*project, Some(*location), rest),
        ["projects", project, "secrets", rest @ ..] => (*project, None, rest),
        _ => return Err(unknown()),
    };
    let space = state::Space::new(project, location)?;
    let permission = match (request.method.as_str(), rest, verb) {
        ("GET", [], "") => "secretmanager.secrets.list",
        ("POST", [], "") => "secretmanager.secrets.create",
        ("GET", [_], "") => "secretmanager.secrets.get",
        ("PATCH", [_], "") => "secretmanager.secrets.update",
        ("POST", [_], "addVersion") => "secretmanager.versions.add",
        ("GET", [_, "versions"], "") => "secretmanager.versions.list",
        ("GET", [_, "versions", _], "") => "secretmanager.versions.get",
        ("GET", [_, "versions", _], "access") => "secretmanager.versions.access",
        ("POST", [_, "versions", _], "enable") => "secretmanager.versions.enable",
        ("POST", [_, "versions", _], "disable") => "secretmanager.versions.disable",
        ("POST", [_, "versions", _], "destroy") => "secretmanager.versions.destroy",
        _ => return Err(unknown()),
    };
    state.asked(permission)?;
    match (
        permission.rsplit_once('.').map_or("", |(_, verb)| verb),
        rest,
    ) {
        ("list", []) => state.list(&space, &query),
        ("create", []) => state.create(&space, query.get("secretId"), &body()?),
        ("get", [id]) => state.get(&space, id),
        ("update", [id]) => state.update(&space, id, query.get("updateMask"), &body()?),
        ("add", [id]) => state.add(&space, id, &body()?),
        ("list", [id, _]) => state.list_versions(&space, id, &query),
        ("get", [id, _, number]) => state.get_version(&space, id, number),
        ("access", [id, _, number]) => state.access(&space, id, number),
        (verb, [id, _, number]) => state.turn(&space, id, number, verb, &body()?),
        _ => Err(unknown()),
    }
}

/// The parameters of a request.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn new(target: &str) -> Self {
        let url = reqwest::Url::parse(&format!("http://x{target}")).unwrap();
        Self(url.query_pairs().into_owned().collect())
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}
