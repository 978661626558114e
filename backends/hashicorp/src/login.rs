//! Where tokens come from: a token that is given, or a login.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::client::{Client, Reply, Request};
use crate::config::{Auth, Config, Credential};
use crate::credential::read;
use crate::error::{Fault, Result};
use crate::place::{Place, trimmed};
use crate::text::{Writer, unescape};

/// A way to get a token.
pub(crate) enum Login {
    Given(Credential),
    AppRole {
        mount: String,
        role_id: String,
        secret_id: Option<Credential>,
    },
    Kubernetes {
        mount: String,
        role: String,
        token: Credential,
    },
}

/// How long a token lives.
#[derive(Clone, Copy)]
pub(crate) struct Lease {
    granted: Instant,
    ttl: Duration,
    /// What the login granted; a renewal that grants less is near the token's last end.
    full: Duration,
    pub(crate) renewable: bool,
}

impl Lease {
    fn new(seconds: u64, renewable: bool, full: Option<Duration>) -> Option<Self> {
        let ttl = Duration::from_secs(seconds);
        // A token without an end, such as a root token, has nothing to renew.
        (seconds > 0).then(|| Self {
            granted: Instant::now(),
            ttl,
            full: full.unwrap_or(ttl),
            renewable,
        })
    }

    /// When it should be renewed: a third before its end.
    pub(crate) fn due(&self) -> Instant {
        self.granted + self.ttl * 2 / 3
    }

    /// When it should not be used any more: a little before its end, as a request takes time.
    pub(crate) fn end(&self) -> Instant {
        self.granted + self.ttl - (self.ttl / 10).min(Duration::from_secs(1))
    }

    /// Whether renewals come to their end and a new login is better.
    pub(crate) fn is_last(&self) -> bool {
        self.ttl * 3 < self.full * 2
    }
}

/// A token, as it goes into a header, and its lease.
pub(crate) struct Granted {
    pub(crate) header: HeaderValue,
    pub(crate) lease: Option<Lease>,
}

#[derive(Deserialize)]
struct Authenticated<'b> {
    #[serde(borrow)]
    auth: Token<'b>,
}

#[derive(Deserialize)]
struct Token<'b> {
    #[serde(borrow)]
    client_token: &'b RawValue,
    lease_duration: u64,
    renewable: bool,
}

#[derive(Deserialize)]
struct Renewed {
    auth: Renewal,
}

#[derive(Deserialize)]
struct Renewal {
    lease_duration: u64,
    renewable: bool,
}

/// What a token says of itself.
#[derive(Deserialize)]
pub(crate) struct Lookup {
    pub(crate) ttl: u64,
    #[serde(default)]
    pub(crate) renewable: bool,
    #[serde(default)]
    pub(crate) display_name: String,
    #[serde(default)]
    pub(crate) policies: Vec<String>,
    #[serde(default)]
    pub(crate) identity_policies: Option<Vec<String>>,
}

impl Lookup {
    /// What is left of the token's life.
    pub(crate) fn lease(&self) -> Option<Lease> {
        Lease::new(self.ttl, self.renewable, None)
    }
}

impl Login {
    pub(crate) fn new(config: &Config, base_dir: &Path) -> Result<Self> {
        let located = |credential: &Credential| match credential {
            Credential::Env(name) => Credential::Env(name.clone()),
            Credential::File(path) => Credential::File(base_dir.join(path)),
        };
        Ok(match &config.auth {
            Auth::Token(credential) => Self::Given(located(credential)),
            Auth::AppRole(approle) => Self::AppRole {
                mount: trimmed("login's mount", &approle.mount)?.to_owned(),
                role_id: approle.role_id.clone(),
                secret_id: approle.secret_id.as_ref().map(located),
            },
            Auth::Kubernetes(kubernetes) => Self::Kubernetes {
                mount: trimmed("login's mount", &kubernetes.mount)?.to_owned(),
                role: kubernetes.role.clone(),
                token: Credential::File(base_dir.join(&kubernetes.token_file)),
            },
        })
    }

    /// Whether a new token can be had at any time.
    pub(crate) fn logs_in(&self) -> bool {
        !matches!(self, Self::Given(_))
    }

    /// How the login is called in messages.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Given(_) => "token",
            Self::AppRole { .. } => "AppRole",
            Self::Kubernetes { .. } => "Kubernetes",
        }
    }

    /// Gets a token.
    pub(crate) async fn obtain(&self, client: &Client, place: &Place) -> Result<Granted> {
        let (mount, body) = match self {
            Self::Given(credential) => return given(credential, client, place).await,
            Self::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                let secret_id = match secret_id {
                    Some(credential) => Some(read(credential).await?),
                    None => None,
                };
                (
                    mount,
                    fields("role_id", role_id, "secret_id", secret_id.as_deref()),
                )
            }
            Self::Kubernetes { mount, role, token } => {
                let jwt = read(token).await?;
                (mount, fields("role", role, "jwt", Some(&jwt)))
            }
        };
        let url = place.server(&format!("auth/{mount}/login"))?;
        let request = Request::post(url, body, "log in").no_secret();
        let reply = client
            .send(&request, None)
            .await
            .map_err(|fault| match fault {
                Fault::Known(known @ crate::error::Known::NoEngine) => Fault::Config(format!(
                    "{known}; the {} login is expected at 'auth/{mount}'",
                    self.method()
                )),
                Fault::Status(400 | 401) | Fault::Denied(_) | Fault::Missing => {
                    Fault::Unauthenticated(format!(
                        "the {} login at 'auth/{mount}' was refused: check the role and its \
                     credential, which may have expired or been used up",
                        self.method()
                    ))
                }
                other => other,
            })?;
        granted(&reply)
    }

    /// The given token, where it is not `known` any more.
    pub(crate) async fn replaced(&self, known: &HeaderValue) -> Result<bool> {
        match self {
            Self::Given(credential) => Ok(read(credential).await?.as_bytes() != known.as_bytes()),
            _ => Ok(false),
        }
    }
}

/// Renews a token, for as long as its login granted.
pub(crate) async fn renew(
    client: &Client,
    place: &Place,
    token: &HeaderValue,
    lease: &Lease,
) -> Result<Option<Lease>> {
    let url = place.server("auth/token/renew-self")?;
    let request = Request::post(url, Bytes::from_static(b"{}"), "renew itself").no_secret();
    let reply = client.send(&request, Some(token)).await?;
    let Renewed { auth } = reply.json()?;
    Ok(Lease::new(
        auth.lease_duration,
        auth.renewable,
        Some(lease.full),
    ))
}

/// What a token says of itself; `Denied` where it is not accepted.
pub(crate) async fn look_up(client: &Client, place: &Place, token: &HeaderValue) -> Result<Lookup> {
    let request = look_up_request(place)?;
    client.send(&request, Some(token)).await?.data()
}

pub(crate) fn look_up_request(place: &Place) -> Result<Request> {
    let url = place.server("auth/token/lookup-self")?;
    Ok(Request::get(url, "look itself up (`read` on auth/token/lookup-self)").no_secret())
}

async fn given(credential: &Credential, client: &Client, place: &Place) -> Result<Granted> {
    let header = header(read(credential).await?.as_bytes())?;
    let lease = match look_up(client, place, &header).await {
        Ok(lookup) => lookup.lease(),
        // A policy may forbid it; whether the token is good then shows at its first use.
        Err(Fault::Denied(_)) => None,
        Err(fault) => return Err(fault),
    };
    Ok(Granted { header, lease })
}

fn granted(reply: &Reply) -> Result<Granted> {
    let Authenticated { auth } = reply.json()?;
    let token = unescape(auth.client_token).ok_or(Fault::Reply("the token is not a text"))?;
    Ok(Granted {
        header: header(&token)?,
        lease: Lease::new(auth.lease_duration, auth.renewable, None),
    })
}

/// A header value that wipes its memory and is not shown.
fn header(token: &[u8]) -> Result<HeaderValue> {
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err(Fault::Unauthenticated(
            "the token is empty or has characters that no token has".to_owned(),
        ));
    }
    let bytes = Bytes::from_owner(Zeroizing::new(token.to_vec()));
    let mut header = HeaderValue::from_maybe_shared(bytes)
        .map_err(|_| Fault::Reply("the token does not fit a header"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn fields(name: &str, value: &str, secret_name: &str, secret: Option<&String>) -> Bytes {
    let secret_len = secret.map_or(0, |secret| secret.len());
    let mut writer = Writer::with_room(6 * (value.len() + secret_len) + 64);
    writer.raw("{").string(name).raw(":").string(value);
    if let Some(secret) = secret {
        writer.raw(",").string(secret_name).raw(":").string(secret);
    }
    writer.raw("}");
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown_and_takes_no_line_break() {
        let token = header(b"hvs.canary-08c1").unwrap();
        assert!(!format!("{token:?}").contains("canary"));
        for bad in [&b""[..], b"a b", b"a\nx-other: 1", b"\xff"] {
            assert!(header(bad).is_err());
        }
    }

    #[test]
    fn a_lease_that_shrinks_is_the_last() {
        let lease = Lease::new(60, true, None).unwrap();
        assert!(!lease.is_last());
        assert!(lease.due() < lease.end());
        assert!(Lease::new(20, true, Some(lease.ttl)).unwrap().is_last());
        assert!(Lease::new(0, true, None).is_none());
    }
}
