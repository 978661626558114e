//! What a reply that is no success means.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Request;
use crate::error::{Fault, Known};

/// Errors and warnings of one reply that are looked at.
const MOST_MESSAGES: usize = 16;

#[derive(Default, Deserialize)]
struct Messages<'b> {
    #[serde(borrow, default)]
    errors: Vec<Cow<'b, str>>,
    #[serde(borrow, default)]
    warnings: Option<Vec<Cow<'b, str>>>,
}

#[derive(Deserialize)]
struct NotFound<'b> {
    #[serde(borrow)]
    errors: Option<Vec<&'b RawValue>>,
    #[serde(borrow)]
    data: Option<&'b RawValue>,
}

/// What a reply that is no success means. Texts of the server are compared, and never kept.
pub(crate) fn verdict(status: u16, body: &[u8], request: &Request) -> Option<Fault> {
    let known = match status {
        200..=299 => return None,
        400 if says(body, "check-and-set parameter did not match") => {
            return Some(Fault::CasMismatch);
        }
        400 if says(body, "metadata check-and-set parameter does not match") => {
            return Some(Fault::MetadataCas);
        }
        400 if says(body, "check-and-set parameter required") => return Some(Fault::CasRequired),
        400 if says(body, "Upgrading from non-versioned") => Known::Upgrading,
        403 => return Some(Fault::Denied(request.what)),
        404 if says(body, "no handler for route") => Known::NoEngine,
        404 if says(body, "Invalid path for a versioned K/V") => Known::Versioned,
        404 if says(body, "namespace not found") => Known::NoNamespace,
        // The engine answers a change of what is not there without a body.
        404 if request.secret && (is_not_found(body) || request.merge) => {
            return Some(Fault::Missing);
        }
        404 => Known::Stranger,
        307 | 308 => Known::Standby,
        300..=399 => Known::Redirect,
        412 => Known::Behind,
        429 => Known::Throttled,
        472 | 530 => Known::Secondary,
        473 => Known::Standby,
        501 => Known::Uninitialized,
        503 if says(body, "sealed") => Known::Sealed,
        413 => Known::Storage,
        500 if says(body, "too large") || says(body, "exceeds max") => Known::Storage,
        _ => return Some(Fault::Status(status)),
    };
    Some(known.into())
}

/// Whether this is how an engine says that something is not there, and not how a proxy, another
/// program or a server without the engine says so: none of these may be taken for it.
fn is_not_found(body: &[u8]) -> bool {
    let told = serde_json::from_slice::<NotFound<'_>>(body);
    told.is_ok_and(|told| match told.errors {
        Some(errors) => errors.is_empty(),
        None => told.data.is_some(),
    })
}

/// Whether the server says something that contains `text`.
fn says(body: &[u8], text: &str) -> bool {
    let messages: Messages<'_> = serde_json::from_slice(body).unwrap_or_default();
    let warnings = messages.warnings.unwrap_or_default();
    let mut all = messages.errors.iter().chain(&warnings).take(MOST_MESSAGES);
    all.any(|message| message.contains(text))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn fault(status: u16, body: &str) -> Option<Fault> {
        let url = Url::parse("http://127.0.0.1/v1/secret/data/a").unwrap();
        verdict(status, body.as_bytes(), &Request::get(url, "read secrets"))
    }

    #[test]
    fn refusals_are_told_apart_and_not_repeated() {
        let cas = r#"{"errors":["check-and-set parameter did not match the current version"]}"#;
        assert!(matches!(fault(400, cas), Some(Fault::CasMismatch)));
        let sealed = r#"{"errors":["Vault is sealed"]}"#;
        assert!(matches!(
            fault(503, sealed),
            Some(Fault::Known(Known::Sealed))
        ));
        assert!(matches!(fault(503, "<html>"), Some(Fault::Status(503))));
        let route = r#"{"errors":["no handler for route \"x\". route entry not found."]}"#;
        assert!(matches!(
            fault(404, route),
            Some(Fault::Known(Known::NoEngine))
        ));
        assert!(matches!(
            fault(404, r#"{"errors":[]}"#),
            Some(Fault::Missing)
        ));
        let namespace = r#"{"errors":["namespace not found"]}"#;
        assert!(matches!(
            fault(404, namespace),
            Some(Fault::Known(Known::NoNamespace))
        ));
        let deleted = r#"{"data":{"data":null,"metadata":{"version":1}}}"#;
        assert!(matches!(fault(404, deleted), Some(Fault::Missing)));
        for stranger in [
            "",
            "<html>",
            "{}",
            r#"{"errors":["what?"]}"#,
            r#"{"data":null}"#,
        ] {
            let fault = fault(404, stranger);
            assert!(
                matches!(fault, Some(Fault::Known(Known::Stranger))),
                "{stranger}"
            );
        }
        let versioned = r#"{"data":null,"warnings":["Invalid path for a versioned K/V engine"]}"#;
        assert!(matches!(
            fault(404, versioned),
            Some(Fault::Known(Known::Versioned))
        ));
        let url = Url::parse("http://127.0.0.1/v1/auth/token/lookup-self").unwrap();
        let login = Request::get(url, "look itself up").no_secret();
        let fault_of_login = verdict(404, br#"{"errors":[]}"#, &login);
        assert!(matches!(
            fault_of_login,
            Some(Fault::Known(Known::Stranger))
        ));
        let canary = fault(400, r#"{"errors":["value canary-6a6a is wrong"]}"#).unwrap();
        assert!(!format!("{canary} {canary:?}").contains("canary"));
        assert!(fault(204, "").is_none());
    }
}
