//! Signing in: from the settings to the headers of a request.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use google_cloud_auth::build_errors;
use google_cloud_auth::credentials::{
    Builder, CacheableResource, Credentials, external_account, external_account_authorized_user,
    impersonated, service_account, user_account,
};
use http::{Extensions, HeaderMap};
use serde_json::Value;
use strongroom_backend_remote::{Transport, transport};

use crate::config::{Auth, CredentialFile};
use crate::error::{Fault, Result, SignIn};
use crate::private;

/// How often credentials that were refused are made anew at most: a file may have been replaced.
const RENEW: Duration = Duration::from_secs(10);

/// The credentials of a vault.
///
/// The client library stops asking for tokens once it was told for good that its credentials do
/// not count. A host outlives that: the credentials are made anew, from the file as it is then.
pub(crate) struct Login {
    way: Way,
    state: Mutex<State>,
}

/// How to sign in, with whole paths.
enum Way {
    Anonymous,
    Default,
    Key(PathBuf, bool),
    File(PathBuf, bool),
}

struct State {
    made: Made,
    at: Instant,
    spoiled: bool,
}

struct Made {
    credentials: Option<Credentials>,
    whom: String,
}

impl Login {
    /// Reads what there is to read; asks nobody yet, or in the background.
    pub(crate) fn new(auth: &Auth, base: &Path) -> Result<Self> {
        let file = |file: &CredentialFile| (base.join(&file.path), file.allow_links);
        let way = match auth {
            Auth::None => Way::Anonymous,
            Auth::Default => Way::Default,
            Auth::KeyFile(key) => {
                let (path, links) = file(key);
                Way::Key(path, links)
            }
            Auth::CredentialsFile(credentials) => {
                let (path, links) = file(credentials);
                Way::File(path, links)
            }
        };
        Ok(Self {
            state: Mutex::new(State {
                made: way.make()?,
                at: Instant::now(),
                spoiled: false,
            }),
            way,
        })
    }

    /// As whom, in words for the operator.
    pub(crate) fn whom(&self) -> String {
        self.state().made.whom.clone()
    }

    /// The headers that sign a request. May wait for a token: the caller sets the deadline.
    pub(crate) async fn headers(&self) -> Result<HeaderMap> {
        let Some(credentials) = self.credentials()? else {
            return Ok(HeaderMap::new());
        };
        match credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            Ok(CacheableResource::NotModified) => Err(Fault::Failed(
                "the client library gave no credentials for a request",
            )),
            Err(error) => {
                let way = transport(&error);
                if error.is_transient() || way != Transport::Other {
                    return Err(Fault::SignIn(SignIn::Temporary(way)));
                }
                self.spoil();
                Err(Fault::SignIn(SignIn::Refused))
            }
        }
    }

    /// Says that the service did not accept what [`Self::headers`] gave.
    pub(crate) fn spoil(&self) {
        self.state().spoiled = true;
    }

    fn credentials(&self) -> Result<Option<Credentials>> {
        let mut state = self.state();
        if state.spoiled && state.at.elapsed() >= RENEW {
            state.at = Instant::now();
            state.made = self.way.make()?;
            state.spoiled = false;
        }
        Ok(state.made.credentials.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment, so poison means nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn make(&self) -> Result<Made> {
        match self {
            Self::Anonymous => Ok(Made {
                credentials: None,
                whom: "nobody (auth = \"none\")".to_owned(),
            }),
            Self::Default => Ok(Made {
                credentials: Some(Builder::default().build().map_err(unfit_default)?),
                whom: "application default credentials".to_owned(),
            }),
            Self::Key(path, links) => {
                let json = read(path, *links)?;
                if kind(&json) != "service_account" {
                    return Err(Fault::Config(format!(
                        "{} is not the key of a service account: for other kinds say `credentials-file`",
                        path.display()
                    )));
                }
                from_json(path, json)
            }
            Self::File(path, links) => from_json(path, read(path, *links)?),
        }
    }
}

fn read(path: &Path, links: bool) -> Result<Value> {
    let bytes = private::read(path, links)?;
    // What the parser says may repeat a part of the key.
    serde_json::from_slice(&bytes)
        .map_err(|_| Fault::Config(format!("{} is not JSON", path.display())))
}

/// What a file of credentials has as names of files and of a program: what it says of where another
/// provider's token comes from. Nothing for what is no such file.
pub fn names_in(bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(json) = serde_json::from_slice::<Value>(bytes) {
        add_names(&json, false, &mut names);
    }
    names
}

/// An identity may stand within another, which it impersonates.
fn add_names(json: &Value, of_source: bool, names: &mut Vec<String>) {
    match json {
        Value::String(text) if of_source => names.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|it| add_names(it, of_source, names)),
        Value::Object(all) => {
            for (key, value) in all {
                add_names(value, of_source || key == "credential_source", names);
            }
        }
        _ => {}
    }
}

fn kind(json: &Value) -> &str {
    json.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn from_json(path: &Path, json: Value) -> Result<Made> {
    let email = json.get("client_email").and_then(Value::as_str);
    let whom = email.map(str::to_owned);
    let (built, of) = match kind(&json) {
        "service_account" => (
            service_account::Builder::new(json).build(),
            "service account",
        ),
        "authorized_user" => (user_account::Builder::new(json).build(), "user"),
        "external_account" => (
            external_account::Builder::new(json).build(),
            "identity of another provider",
        ),
        "impersonated_service_account" => (
            impersonated::Builder::new(json).build(),
            "impersonated service account",
        ),
        "external_account_authorized_user" => (
            external_account_authorized_user::Builder::new(json).build(),
            "user of another provider",
        ),
        _ => {
            return Err(Fault::Config(format!(
                "{} is no file of credentials: its `type` is not one that we know",
                path.display()
            )));
        }
    };
    let unfit = |error| Fault::Config(format!("{} {}", path.display(), unfit(&error)));
    Ok(Made {
        credentials: Some(built.map_err(unfit)?),
        whom: match whom {
            Some(email) => format!("{email} ({})", path.display()),
            None => format!("the {of} of {}", path.display()),
        },
    })
}

/// The library's own words may repeat a part of the file.
fn unfit(error: &build_errors::Error) -> &'static str {
    if error.is_missing_field() {
        "lacks a field that credentials of its type have"
    } else if error.is_loading() {
        "cannot be read"
    } else if error.is_not_supported() {
        "is of a kind that this program does not support"
    } else {
        "is not a file of credentials that the client library can use"
    }
}

fn unfit_default(error: build_errors::Error) -> Fault {
    Fault::Config(format!(
        "application default credentials: the file that GOOGLE_APPLICATION_CREDENTIALS names, or that \
         `gcloud auth application-default login` left, {}",
        unfit(&error)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> Result<Made> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        Way::Key(path, false).make()
    }

    #[test]
    fn what_is_no_key_is_refused_without_its_text() {
        for text in [
            "canary-8e",
            "{\"type\":\"canary-8e\"}",
            "{\"type\":\"authorized_user\",\"refresh_token\":\"canary-8e\"}",
            "{\"type\":\"service_account\",\"private_key\":\"canary-8e\"}",
            "{\"type\":\"service_account\",\"client_email\":\"canary-8e\",\"private_key_id\":\"1\",\
             \"project_id\":\"p\",\"private_key\":[\"canary-8e\"]}",
        ] {
            let Err(fault) = made(text) else {
                panic!("{text} is taken");
            };
            assert!(matches!(fault, Fault::Config(_)), "{fault}");
            assert!(!format!("{fault} {fault:?}").contains("canary"), "{fault}");
        }
    }
}
