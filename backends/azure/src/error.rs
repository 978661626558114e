//! What can go wrong in here, and how the broker is told.
//!
//! The library's errors carry the service's replies and messages. Nothing of that goes on: a reply
//! could hold a value, a message names tenants and accounts. What is kept is the kind, the status
//! and the service's error codes, which are words from a fixed list.

use std::error::Error as StdError;

use azure_core::error::ErrorKind as Kind;
use serde::Deserialize;
use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_remote::{Transport, status_kind, transport};

use crate::config::WAYS;
use crate::http::Stopped;

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Why an operation did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Config(String),
    #[error("{}", WAYS)]
    NoAuth,
    #[error("{0}")]
    Refused(String),
    #[error("no such secret or version")]
    NotFound,
    #[error("the version is disabled")]
    Disabled,
    #[error("{0}")]
    Invalid(String),
    #[error("the value is larger than {0} bytes")]
    TooLarge(u64),
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("{0}")]
    Clock(String),
    #[error(
        "versions of this secret were written in one second, and {0} is that second: which one is \
         meant cannot be told; read the current version"
    )]
    Tie(u64),
    #[error(
        "the name of this secret in the vault is taken by a secret that is not it: its tag \
         'strongroom-path' is missing or names another path"
    )]
    NotOurs,
    #[error(
        "this secret was deleted with its last version enabled, so by another tool, and a write would \
         bring that version back for a moment: undelete it first, or purge it"
    )]
    DeletedElsewhere,
    #[error(
        "no value of this secret can be read any more, but it is not purged: {}",
        unpurged_text(.0)
    )]
    NotPurged(Box<Self>),
    #[error(
        "the vault has purge protection, so it keeps what is deleted until its retention time is over: \
         set `delete` to \"soft\" or \"disable\""
    )]
    PurgeProtected,
    #[error("{0}")]
    Busy(&'static str),
    #[error("somebody recovered this secret before it was purged: look at it, and delete it again")]
    Recovered,
    #[error("the vault's name is held: {0:?}")]
    Held(Held),
    #[error("{}", service_text(*status, code))]
    Service { status: u16, code: String },
    #[error("the server answers with a redirect, which is not followed: check the endpoint")]
    Redirect,
    #[error("{}", .0.text())]
    Transport(Transport),
    #[error("the service did not answer in time")]
    Slow,
    #[error("no login: {}", login_text(*status, code))]
    Login { status: u16, code: String },
    #[error("no login: {}", .0.text())]
    LoginTransport(Transport),
    #[error(
        "no login: the credential gave no token; with \"developer\" run `az login`, else check the \
         identity of this machine"
    )]
    NoToken,
    #[error("{0}")]
    Stopped(#[from] Stopped),
    #[error("the answer is not one of a Key Vault ({0}): check the endpoint")]
    Malformed(&'static str),
    #[error("the stored value is marked as base64 and is not")]
    Damaged,
    #[error("cannot go on: {0}")]
    Broken(&'static str),
}

/// Why a name cannot be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Deleted,
    BeingDeleted,
    BeingRecovered,
}

impl Fault {
    /// What kept a secret that is deleted from being purged.
    pub(crate) fn not_purged(why: Self) -> Self {
        match why {
            Self::NotPurged(_) | Self::Recovered => why,
            why => Self::NotPurged(Box::new(why)),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::NoAuth => ErrorKind::Config,
            Self::Refused(_) | Self::PurgeProtected => ErrorKind::PermissionDenied,
            Self::NotPurged(why) => why.kind(),
            Self::NotFound | Self::Disabled => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::InvalidArgument,
            Self::TooLarge(limit) => ErrorKind::TooLarge(*limit),
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Busy(_) | Self::Held(_) | Self::Recovered | Self::Slow => ErrorKind::Unavailable,
            Self::Service { status, .. } => status_kind(*status),
            Self::Transport(transport) | Self::LoginTransport(transport) => transport.kind(),
            Self::Login { status, .. } => match status {
                400..=404 => ErrorKind::Unauthenticated,
                other => status_kind(*other),
            },
            Self::NoToken => ErrorKind::Unauthenticated,
            Self::Stopped(Stopped::NoToken) => ErrorKind::Unavailable,
            Self::Damaged => ErrorKind::Damaged,
            Self::Tie(_)
            | Self::NotOurs
            | Self::DeletedElsewhere
            | Self::Redirect
            | Self::Clock(_)
            | Self::Stopped(_)
            | Self::Malformed(_)
            | Self::Broken(_) => ErrorKind::Failed,
        }
    }

    /// Whether the service may have done what it was asked, or may do it when asked again.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable)
    }

    /// Whether it is the state of this one secret, and not of the vault.
    fn is_contention(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Held(_) | Self::Recovered => true,
            Self::NotPurged(why) => why.is_contention(),
            _ => false,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault.is_contention() {
            true => Self::contended(fault.to_string()),
            false => Self::new(fault.kind(), fault.to_string()),
        }
    }
}

impl From<azure_core::Error> for Fault {
    fn from(error: azure_core::Error) -> Self {
        if let Some(stopped) = causes(&error).find_map(|cause| cause.downcast_ref::<Stopped>()) {
            return Self::Stopped(*stopped);
        }
        match error.kind() {
            Kind::Credential => login(&error),
            Kind::HttpResponse {
                status,
                raw_response,
                ..
            } => {
                let body = raw_response.as_ref().map(|reply| &**reply.body());
                service(u16::from(*status), body.unwrap_or_default())
            }
            Kind::Connection | Kind::Io => Self::Transport(transport(&error)),
            // The library's texts quote what they could not read.
            Kind::DataConversion => Self::Malformed("not the JSON of one"),
            _ => Self::Malformed("no challenge that names the vault's audience"),
        }
    }
}

/// An error with its causes; a chain is short, and one that is not must not hold us.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    let source = |error: &&'e (dyn StdError + 'static)| -> Option<&'e (dyn StdError + 'static)> {
        (*error).source()
    };
    std::iter::successors(Some(error), source).take(32)
}

fn login(error: &azure_core::Error) -> Fault {
    let inner = causes(error).filter_map(|cause| cause.downcast_ref::<azure_core::Error>());
    for error in inner {
        match error.kind() {
            Kind::HttpResponse {
                status, error_code, ..
            } => {
                let code = error_code.as_deref().filter(|code| is_code(code));
                let code = code.map(|code| format!("AADSTS{code}"));
                return Fault::Login {
                    status: u16::from(*status),
                    code: code.unwrap_or_default(),
                };
            }
            Kind::Connection | Kind::Io => {
                return match transport(error) {
                    Transport::Other => Fault::NoToken,
                    told => Fault::LoginTransport(told),
                };
            }
            _ => {}
        }
    }
    Fault::NoToken
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reply {
    error: Detail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    code: String,
    innererror: Option<Box<Self>>,
}

fn service(status: u16, body: &[u8]) -> Fault {
    if (300..400).contains(&status) {
        return Fault::Redirect;
    }
    let reply: Reply = serde_json::from_slice(body).unwrap_or_default();
    let outer = reply.error.code;
    let inner = reply.error.innererror.map(|inner| inner.code);
    let code = inner.filter(|code| is_code(code)).unwrap_or(outer);
    let code = if is_code(&code) { code } else { String::new() };
    match (status, &*code) {
        (403, "SecretDisabled") => Fault::Disabled,
        // A server that is no vault has no error codes: what it lacks is not a missing secret.
        (404, "") => Fault::Malformed("a 404 without an error code"),
        (404, _) => Fault::NotFound,
        (409, "ObjectIsDeletedButRecoverable") => Fault::Held(Held::Deleted),
        (409, "ObjectIsBeingDeleted") => Fault::Held(Held::BeingDeleted),
        (409, "ObjectIsBeingRecovered") => Fault::Held(Held::BeingRecovered),
        _ => Fault::Service { status, code },
    }
}

/// Whether a text is shaped like a code, and not like something else that a server put there.
fn is_code(code: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b',');
    (1..=64).contains(&code.len()) && code.bytes().all(legal)
}

fn service_text(status: u16, code: &str) -> String {
    let means = match status {
        401 => "the vault does not accept the token: check the tenant and that the token is fresh",
        403 if is_network(code) => "the vault's firewall does not let this machine in",
        403 => {
            "the identity may not do this: give it a role such as 'Key Vault Secrets Officer', or the \
             permission in the vault's access policy"
        }
        409 => "the vault is changing this secret",
        429 => "the vault has too many requests: wait, or spread secrets over several vaults",
        500.. => "the vault has a problem of its own",
        _ => "the vault refused the request",
    };
    coded(means, status, code)
}

/// The permission to purge is one of its own, which those that delete need not have.
fn unpurged_text(why: &Fault) -> String {
    match why {
        Fault::Service { status: 403, code } if !is_network(code) => {
            let means = "the identity needs the permission 'purge' for secrets: give it a role that has it, \
                 such as 'Key Vault Secrets Officer', or name it in the vault's access policy, and \
                 delete the secret again";
            coded(means, 403, code)
        }
        why => why.to_string(),
    }
}

fn is_network(code: &str) -> bool {
    code.contains("Firewall") || code.contains("Connection")
}

fn coded(means: &str, status: u16, code: &str) -> String {
    match code {
        "" => format!("{means} (status {status})"),
        code => format!("{means} (status {status}, {code})"),
    }
}

fn login_text(status: u16, code: &str) -> String {
    let means = match code {
        "AADSTS7000215" => "the client's secret is wrong",
        "AADSTS7000222" => "the client's secret has expired: make a new one",
        "AADSTS700016" => "there is no such client in this tenant: check client-id and tenant-id",
        "AADSTS90002" => "there is no such tenant: check tenant-id",
        _ if status >= 500 || status == 429 => "the login service cannot answer now",
        _ => "the login service refused: check tenant, client and its secret",
    };
    coded(means, status, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> ErrorKind {
        service(status, body.as_bytes()).kind()
    }

    #[test]
    fn the_services_answers_have_their_kinds() {
        let disabled = r#"{"error":{"code":"Forbidden","message":"x","innererror":{"code":"SecretDisabled"}}}"#;
        assert_eq!(kind(403, disabled), ErrorKind::NotFound);
        let refused = r#"{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByRbac"}}}"#;
        assert_eq!(kind(403, refused), ErrorKind::PermissionDenied);
        let missing = r#"{"error":{"code":"SecretNotFound","message":"x"}}"#;
        assert_eq!(kind(404, missing), ErrorKind::NotFound);
        assert_eq!(kind(404, "<html>"), ErrorKind::Failed);
        assert_eq!(kind(401, ""), ErrorKind::Unauthenticated);
        assert_eq!(kind(429, ""), ErrorKind::Unavailable);
        assert_eq!(kind(503, ""), ErrorKind::Unavailable);
        assert_eq!(kind(307, ""), ErrorKind::Failed);
        let deleted = r#"{"error":{"code":"Conflict","innererror":{"code":"ObjectIsDeletedButRecoverable"}}}"#;
        assert!(matches!(
            service(409, deleted.as_bytes()),
            Fault::Held(Held::Deleted)
        ));
    }

    #[test]
    fn whatever_is_forbidden_ends_what_was_kept() {
        for code in [
            "ForbiddenByRbac",
            "ForbiddenByPolicy",
            "ForbiddenByFirewall",
            "ForbiddenByConnection",
            "AccessDenied",
            "a code: that is none",
            "",
        ] {
            let inner =
                format!(r#"{{"error":{{"code":"Forbidden","innererror":{{"code":"{code}"}}}}}}"#);
            assert_eq!(kind(403, &inner), ErrorKind::PermissionDenied, "{code}");
            let outer = format!(r#"{{"error":{{"code":"{code}"}}}}"#);
            assert_eq!(kind(403, &outer), ErrorKind::PermissionDenied, "{code}");
        }
        assert_eq!(kind(403, "<html>"), ErrorKind::PermissionDenied);
    }

    #[test]
    fn contention_is_told_from_an_outage() {
        for fault in [Fault::Busy("others"), Fault::Held(Held::BeingDeleted)] {
            let error = Error::from(fault);
            assert!(error.is_temporary() && error.is_contended(), "{error}");
        }
        let unpurged = Error::from(Fault::not_purged(Fault::Busy("others")));
        assert!(unpurged.is_temporary() && unpurged.is_contended());
        let slow = Error::from(Fault::not_purged(Fault::Slow));
        assert!(slow.is_temporary() && !slow.is_contended());
        let slow = Error::from(Fault::Slow);
        assert!(slow.is_temporary() && !slow.is_contended());
    }

    #[test]
    fn what_was_not_purged_says_why_once() {
        let refused = r#"{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByRbac"}}}"#;
        let fault = Fault::not_purged(Fault::not_purged(service(403, refused.as_bytes())));
        let error = Error::from(fault);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let text = error.to_string();
        assert_eq!(text.matches("not purged").count(), 1, "{text}");
        assert!(text.contains("permission 'purge'"), "{text}");
        let firewall = r#"{"error":{"code":"ForbiddenByFirewall"}}"#;
        let error = Error::from(Fault::not_purged(service(403, firewall.as_bytes())));
        assert!(error.to_string().contains("firewall"), "{error}");
    }

    #[test]
    fn nothing_but_codes_is_shown() {
        let hostile = r#"{"error":{"code":"the value is canary-4e","message":"canary-4e"}}"#;
        let error = Error::from(service(400, hostile.as_bytes()));
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        let coded = Error::from(service(400, br#"{"error":{"code":"BadParameter"}}"#));
        assert!(coded.to_string().contains("BadParameter"), "{coded}");
    }
}
