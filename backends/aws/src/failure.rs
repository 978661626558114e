//! What an error of the client means.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use http_body_util::LengthLimitError;
use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_remote::{Transport, status_kind, transport};

use crate::clock;
use crate::codes::{CONTENDED, known};
use crate::credentials::Unset;
use crate::http::TooLarge;

/// Causes that are looked at: a chain is short, and one that is not must not hold us.
const MOST_CAUSES: usize = 32;
/// The longest code that is shown.
const MOST_CODE: usize = 64;
/// How far into a body that is not JSON the code is looked for.
const MOST_XML: usize = 4096;
const REGION: &str =
    "the request is signed for another region than the service's: check 'region' and 'endpoint'";

/// What an error of the client means to the broker and the operator.
///
/// It keeps nothing that the service sent but the error's code, and of that only one that is known or
/// looks like one: a reply may repeat a value, and its text names accounts and resources. The client's
/// own error is never a source of ours, as its `Debug` has the whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: ErrorKind,
    code: Option<String>,
    status: Option<u16>,
    text: String,
}

impl Failure {
    /// What `error` means.
    pub fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        match error {
            SdkError::TimeoutError(_) => Self::on_the_way(Transport::Timeout),
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                Some(connector) if connector.is_timeout() => Self::on_the_way(Transport::Timeout),
                Some(connector) => Self::before_the_answer(connector),
                None => Self::on_the_way(Transport::Other),
            },
            SdkError::ConstructionFailure(_) => match error.source() {
                Some(source) => match Self::of_credentials(source) {
                    Some(failure) => failure,
                    None => Self::new(ErrorKind::Failed, "the request could not be made"),
                },
                None => Self::new(ErrorKind::Failed, "the request could not be made"),
            },
            // An error's body that is not JSON ends here too: a gateway's page, or XML.
            SdkError::ResponseError(response) => {
                let source = error.source();
                let mut failure = source.map_or_else(unreadable, Self::within_the_answer);
                if failure == unreadable() {
                    failure = Self::of_answer(None, None, response.raw());
                }
                failure.with_status(response.raw())
            }
            SdkError::ServiceError(service) => {
                let (told, raw) = (service.err(), service.raw());
                Self::of_answer(told.code(), told.message(), raw).with_status(raw)
            }
            _ => Self::new(ErrorKind::Failed, "the client failed"),
        }
    }

    /// What the broker decides by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The service's code for it, where it gave one that can be shown.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The error for the broker; `call` is what was asked, for the operator.
    pub fn into_error(self, call: &'static str) -> Error {
        let detail = match (&self.code, self.status) {
            (Some(code), _) => format!(" ({code})"),
            (None, Some(status)) => format!(" (HTTP {status})"),
            (None, None) => String::new(),
        };
        let text = format!("{call}: {}{detail}", self.text);
        match self.code.as_deref() {
            Some(CONTENDED) => Error::contended(text),
            _ => Error::new(self.kind, text),
        }
    }

    fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            code: None,
            status: None,
            text: text.into(),
        }
    }

    fn with_status(mut self, response: &HttpResponse) -> Self {
        self.status = Some(response.status().as_u16());
        self
    }

    fn on_the_way(transport: Transport) -> Self {
        Self::new(transport.kind(), transport.text())
    }

    fn before_the_answer(error: &(dyn StdError + 'static)) -> Self {
        if let Some(failure) = Self::of_credentials(error) {
            return failure;
        }
        if causes(error).any(|cause| cause.is::<TooLarge>()) {
            return too_large();
        }
        Self::on_the_way(transport(error))
    }

    fn within_the_answer(error: &(dyn StdError + 'static)) -> Self {
        if causes(error).any(|cause| cause.is::<LengthLimitError>()) {
            return too_large();
        }
        match transport(error) {
            Transport::Other => unreadable(),
            found => Self::on_the_way(found),
        }
    }

    /// Where no credentials could be had.
    fn of_credentials(error: &(dyn StdError + 'static)) -> Option<Self> {
        let found = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
        let unauthenticated = ErrorKind::Unauthenticated;
        if let Some(unset) = causes(error).find_map(|cause| cause.downcast_ref::<Unset>()) {
            return Some(Self::new(unauthenticated, unset.to_string()));
        }
        Some(match found {
            CredentialsError::CredentialsNotLoaded(_) => Self::new(
                unauthenticated,
                "no credentials were found: set 'auth', log in, or give the machine a role",
            ),
            CredentialsError::ProviderTimedOut(_) => Self::new(
                ErrorKind::Unavailable,
                "whoever gives the credentials did not answer in time",
            ),
            CredentialsError::InvalidConfiguration(_) => Self::new(
                ErrorKind::Config,
                "the AWS configuration files do not tell how to get credentials: check the profile",
            ),
            _ => match transport(found) {
                Transport::Other => Self::new(
                    unauthenticated,
                    "the credentials could not be got: log in again, check the profile and its role",
                ),
                way => Self::new(
                    way.kind(),
                    format!("the credentials could not be got: {}", way.text()),
                ),
            },
        })
    }

    fn of_answer(code: Option<&str>, message: Option<&str>, response: &HttpResponse) -> Self {
        let status = response.status().as_u16();
        let from_xml = || in_xml(response.body().bytes().unwrap_or_default());
        let code = code.or_else(from_xml).filter(|code| is_shown(code));
        let mut failure = match code.and_then(known) {
            Some(known) => Self::new(known.kind, known.text),
            None => Self::of_status(status),
        };
        failure.code = code.map(ToOwned::to_owned);
        // One code for a wrong key and a wrong region, told apart by the service's words alone.
        if failure.kind == ErrorKind::Unauthenticated && message.is_some_and(is_about_region) {
            failure.text = REGION.to_owned();
        }
        if matches!(
            failure.kind,
            ErrorKind::Unauthenticated | ErrorKind::PermissionDenied
        ) {
            failure.add_clock(response.headers().get("date"));
        }
        failure
    }

    fn of_status(status: u16) -> Self {
        match status {
            200..=299 => unreadable(),
            300..=399 => Self::new(
                ErrorKind::Failed,
                "the service sent us elsewhere, which is not followed: check the endpoint and region",
            ),
            // Not-found is for the stores to say, by its code: an answer without one may be a proxy's.
            404 => Self::new(
                ErrorKind::Failed,
                "what answered is not the service: check the endpoint",
            ),
            _ => {
                let kind = status_kind(status);
                let text = match kind {
                    ErrorKind::Unavailable => "the service cannot answer now",
                    ErrorKind::Unauthenticated => "the service does not accept the credentials",
                    ErrorKind::PermissionDenied => "the service refused the credentials",
                    _ => "the service refused the request",
                };
                Self::new(kind, text)
            }
        }
    }

    /// A wrong clock is a cause that the service's words do not always tell.
    fn add_clock(&mut self, date: Option<&str>) {
        let Some(seconds) = date.and_then(clock::ahead) else {
            return;
        };
        if let Err(apart) = clock::line(seconds) {
            self.text.push_str("; ");
            self.text.push_str(&apart.to_string());
        }
    }
}

fn unreadable() -> Failure {
    Failure::new(ErrorKind::Failed, "the service's answer cannot be read")
}

fn too_large() -> Failure {
    Failure::new(
        ErrorKind::Failed,
        "the service's answer is larger than any honest one, and was cut off",
    )
}

/// An error and what stems from it, the error within an `io::Error` included.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
    .take(MOST_CAUSES)
}

/// Whether the words of the service say that the signature is for another region than its own.
fn is_about_region(message: &str) -> bool {
    let words = ["scoped to a valid region", "scoped to a valid Region"];
    words.iter().any(|words| message.contains(words))
}

/// Whether a code is one, and not a text that a reply wants in our log.
fn is_shown(code: &str) -> bool {
    const ENDS: [&str; 4] = ["Exception", "Error", "NotFound", "Exceeded"];
    known(code).is_some()
        || (code.len() <= MOST_CODE
            && code.bytes().all(|b| b.is_ascii_alphabetic())
            && (ENDS.iter().any(|end| code.ends_with(end)) || STORES.contains(&code)))
}

/// Codes of the stores' services that do not end as codes do.
const STORES: [&str; 9] = [
    "InvalidKeyId",
    "InvalidResourceId",
    "InvalidNextToken",
    "ParameterAlreadyExists",
    "UnsupportedParameterType",
    "InvalidFilterKey",
    "InvalidFilterValue",
    "DecryptionFailure",
    "EncryptionFailure",
];

/// The code of an error in XML: gateways and some services answer so to clients that speak JSON.
fn in_xml(body: &[u8]) -> Option<&str> {
    let start = body.get(..MOST_XML).unwrap_or(body);
    let text = std::str::from_utf8(start).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    Some(code.trim())
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn answer(status: u16, code: Option<&str>, body: &str) -> Failure {
        let status = StatusCode::try_from(status).unwrap();
        let raw = HttpResponse::new(status, SdkBody::from(body.to_owned()));
        let mut meta = ErrorMetadata::builder().message("canary-message");
        if let Some(code) = code {
            meta = meta.code(code);
        }
        Failure::of(&SdkError::service_error(meta.build(), raw))
    }

    #[test]
    fn codes_mean_what_they_say() {
        use ErrorKind as K;
        for (status, code, kind) in [
            (400, "ThrottlingException", K::Unavailable),
            (400, "ExpiredTokenException", K::Unauthenticated),
            (403, "InvalidClientTokenId", K::Unauthenticated),
            (403, "SignatureDoesNotMatch", K::Unauthenticated),
            (400, "AccessDeniedException", K::PermissionDenied),
            (400, "ValidationException", K::Failed),
            (500, "InternalServerError", K::Unavailable),
        ] {
            let failure = answer(status, Some(code), "{}");
            assert_eq!(failure.kind(), kind, "{code}");
            assert_eq!(failure.code(), Some(code));
        }
    }

    #[test]
    fn a_status_without_a_code_tells_too() {
        use ErrorKind as K;
        for (status, kind) in [
            (200, K::Failed),
            (307, K::Failed),
            (400, K::Failed),
            (401, K::Unauthenticated),
            (403, K::PermissionDenied),
            (404, K::Failed),
            (429, K::Unavailable),
            (503, K::Unavailable),
        ] {
            assert_eq!(answer(status, None, "").kind(), kind, "{status}");
        }
    }

    #[test]
    fn contention_is_told_from_throttling() {
        for (code, contended) in [("TooManyUpdates", true), ("ThrottlingException", false)] {
            let error = answer(400, Some(code), "{}").into_error("put");
            assert!(error.is_temporary(), "{code}");
            assert_eq!(error.is_contended(), contended, "{code}");
        }
    }

    #[test]
    fn a_wrong_region_is_told_from_a_wrong_key() {
        let code = "InvalidSignatureException";
        for words in [
            "Credential should be scoped to a valid region. ",
            "Credential should be scoped to a valid Region, not 'canary-1'. ",
        ] {
            let status = StatusCode::try_from(400).unwrap();
            let raw = HttpResponse::new(status, SdkBody::from("{}"));
            let meta = ErrorMetadata::builder().code(code).message(words);
            let failure = Failure::of(&SdkError::service_error(meta.build(), raw));
            assert_eq!(failure.kind(), ErrorKind::Unauthenticated);
            let text = failure.into_error("get").to_string();
            assert!(text.contains("another region"), "{text}");
            assert!(text.contains(code) && !text.contains("canary"), "{text}");
        }
        let key = answer(400, Some(code), "{}").into_error("get");
        assert!(!key.to_string().contains("region"), "{key}");
    }

    #[test]
    fn a_code_in_xml_is_found() {
        let body =
            "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>canary</Message>";
        let failure = answer(403, None, body);
        assert_eq!(failure.kind(), ErrorKind::Unauthenticated);
        assert_eq!(failure.code(), Some("SignatureDoesNotMatch"));
    }

    #[test]
    fn a_page_in_place_of_json_is_judged_by_its_status() {
        for (status, kind) in [
            (200, ErrorKind::Failed),
            (403, ErrorKind::PermissionDenied),
            (502, ErrorKind::Unavailable),
        ] {
            let status = StatusCode::try_from(status).unwrap();
            let raw = HttpResponse::new(status, SdkBody::from("<html>canary</html>"));
            let error = SdkError::<ErrorMetadata, _>::response_error("canary", raw);
            assert_eq!(Failure::of(&error).kind(), kind, "{status:?}");
        }
    }

    #[test]
    fn nothing_of_a_reply_is_shown_but_a_code() {
        for code in ["canary", "canary-1", "canaryException ", "arn:aws:canary"] {
            let failure = answer(400, Some(code), "canary-body");
            assert_eq!(failure.code(), None, "{code}");
            let error = failure.into_error("get");
            assert!(
                !format!("{error} {error:?}").contains("canary"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn missing_credentials_are_told() {
        let none = CredentialsError::not_loaded_no_source();
        let error = ConnectorError::other(none.into(), None);
        let failure = Failure::of(&SdkError::<ErrorMetadata, _>::dispatch_failure(error));
        assert_eq!(failure.kind(), ErrorKind::Unauthenticated);
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let provider = CredentialsError::provider_error(refused);
        let error = SdkError::<ErrorMetadata, _>::construction_failure(provider);
        assert_eq!(Failure::of(&error).kind(), ErrorKind::Unavailable);
    }
}
