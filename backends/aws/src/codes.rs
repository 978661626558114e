//! The error codes that all services have.

use strongroom_backend::ErrorKind;

/// A code, what it means to the broker, and what the operator reads.
pub(crate) struct Known {
    pub(crate) code: &'static str,
    pub(crate) kind: ErrorKind,
    pub(crate) text: &'static str,
}

const THROTTLED: &str =
    "the service turns calls away as too many came: raise its quota or lower the rate";
const OTHERS: &str = "others change the same thing at this moment: try again";
const BROKEN: &str = "the service has a failure of its own";
const EXPIRED: &str = "the credentials have expired: log in again, or let them be renewed";
const UNKNOWN: &str =
    "the service does not know these credentials: check the access key and the region";
const SIGNATURE: &str =
    "the signature does not match: check the secret key and this machine's clock";
const SKEWED: &str = "the signature's time is refused: set this machine's clock right";
const MISSING: &str = "the service asks for credentials that the request did not have";
const DENIED: &str =
    "the credentials may not do this: add the permission, also for the KMS key where one is used";

/// Says that one resource takes one change at a time: the service itself has room.
pub(crate) const CONTENDED: &str = "TooManyUpdates";

/// What `code` means, where every service means the same by it. `LimitExceededException` is missing
/// on purpose: for some it is a full quota that a retry does not empty.
pub(crate) fn known(code: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.code == code)
}

const fn entry(code: &'static str, kind: ErrorKind, text: &'static str) -> Known {
    Known { code, kind, text }
}

const fn busy(code: &'static str) -> Known {
    entry(code, ErrorKind::Unavailable, THROTTLED)
}

const fn broken(code: &'static str) -> Known {
    entry(code, ErrorKind::Unavailable, BROKEN)
}

const fn unknown(code: &'static str, text: &'static str) -> Known {
    entry(code, ErrorKind::Unauthenticated, text)
}

const fn denied(code: &'static str) -> Known {
    entry(code, ErrorKind::PermissionDenied, DENIED)
}

static KNOWN: [Known; 43] = [
    busy("Throttling"),
    busy("ThrottlingException"),
    busy("ThrottledException"),
    busy("RequestThrottledException"),
    busy("RequestThrottled"),
    busy("TooManyRequestsException"),
    entry(CONTENDED, ErrorKind::Unavailable, OTHERS),
    busy("ProvisionedThroughputExceededException"),
    busy("RequestLimitExceeded"),
    busy("BandwidthLimitExceeded"),
    busy("SlowDown"),
    busy("PriorRequestNotComplete"),
    broken("InternalServerError"),
    broken("InternalServiceError"),
    broken("InternalServiceErrorException"),
    broken("InternalServerException"),
    broken("InternalFailure"),
    broken("InternalError"),
    broken("ServiceUnavailable"),
    broken("ServiceUnavailableException"),
    broken("RequestTimeout"),
    broken("RequestTimeoutException"),
    unknown("ExpiredToken", EXPIRED),
    unknown("ExpiredTokenException", EXPIRED),
    unknown("TokenRefreshRequired", EXPIRED),
    unknown("InvalidClientTokenId", UNKNOWN),
    unknown("UnrecognizedClientException", UNKNOWN),
    unknown("InvalidAccessKeyId", UNKNOWN),
    unknown("InvalidToken", UNKNOWN),
    unknown("AuthFailure", UNKNOWN),
    unknown("SignatureDoesNotMatch", SIGNATURE),
    unknown("InvalidSignatureException", SIGNATURE),
    unknown("IncompleteSignature", SIGNATURE),
    unknown("IncompleteSignatureException", SIGNATURE),
    unknown("RequestExpired", SKEWED),
    unknown("RequestTimeTooSkewed", SKEWED),
    unknown("MissingAuthenticationToken", MISSING),
    unknown("MissingAuthenticationTokenException", MISSING),
    denied("AccessDenied"),
    denied("AccessDeniedException"),
    denied("KMSAccessDeniedException"),
    denied("UnauthorizedOperation"),
    denied("OptInRequired"),
];
