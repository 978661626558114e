//! What refusals and failures mean: the server's, the login's and the way's.

use http::Response;
use kube::client::{AuthError, Body};
use serde::Deserialize;
use strongroom_backend_remote::transport;

use crate::client::collect;
use crate::error::{Fault, Refusal, Result};

/// The longest text of a refusal that is read.
const MAX_REFUSAL: usize = 64 << 10;

/// What the server says in place of an answer.
#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    causes: Option<Vec<Cause>>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    reason: Option<String>,
}

/// The server's answer in place of what was asked.
pub(crate) async fn refusal(call: &'static str, response: Response<Body>) -> Result<Fault> {
    let status = response.status().as_u16();
    let body = collect(response.into_body(), MAX_REFUSAL).await;
    // A text that is too long or no JSON is told by its status alone.
    let told: Status = match body {
        Ok(body) => serde_json::from_slice(&body).unwrap_or_default(),
        Err(Fault::ReplyTooLong(_)) => Status::default(),
        Err(error) => return Err(error),
    };
    let details = told.details.unwrap_or_default();
    let causes = details.causes.unwrap_or_default();
    Ok(Fault::Status(Refusal {
        call,
        status,
        reason: told.reason.filter(|reason| is_code(reason)),
        about: details.kind.filter(|kind| is_code(kind)),
        terminating: causes
            .iter()
            .any(|cause| cause.reason.as_deref() == Some("NamespaceTerminating")),
    }))
}

/// Whether this is a code of the service and not a text that may say anything.
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// What went wrong on the way, or before it with our login.
pub(crate) fn not_sent(error: &(dyn std::error::Error + 'static)) -> Fault {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(auth) = error.downcast_ref::<AuthError>() {
            return not_logged_in(auth);
        }
        cause = error.source();
    }
    Fault::Transport(transport(error))
}

/// Why there is no client.
pub(crate) fn not_made(error: &kube::Error) -> Fault {
    match error {
        kube::Error::Auth(auth) => not_logged_in(auth),
        kube::Error::RustlsTls(_) | kube::Error::InferKubeconfig(_) => Fault::Config(
            "the certificates that we trust or log in with cannot be read: check \
             `certificate-authority`, `client-certificate` and `client-key` of the kubeconfig"
                .into(),
        ),
        _ => Fault::Config("the kubeconfig asks for what is not supported".into()),
    }
}

/// What a program or a file that logs us in did wrong. What it wrote may be a credential.
fn not_logged_in(error: &AuthError) -> Fault {
    Fault::Auth(match error {
        AuthError::ReadTokenFile(..) => "the token file cannot be read: check that it is there",
        AuthError::InvalidBearerToken(_) | AuthError::InvalidBasicAuth(_) => {
            "the token has characters that no token has: check the file or the kubeconfig"
        }
        AuthError::AuthExecStart(_) | AuthError::MissingCommand => {
            "the program that the kubeconfig names for the login cannot be run: check its path"
        }
        AuthError::AuthExecRun { .. } => {
            "the program that the kubeconfig names for the login failed: run it by hand"
        }
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "the program that the kubeconfig names for the login gave no credential"
        }
        _ => "the login that the kubeconfig describes did not work",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_of_the_service_are_repeated() {
        assert!(is_code("AlreadyExists"));
        for text in ["", "secrets \"a\" is forbidden", "a b", &"x".repeat(65)] {
            assert!(!is_code(text), "{text}");
        }
    }
}
