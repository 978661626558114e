//! The secrets that the guest asks for. None of them opens anything.

/// By path; `smtp/password` is one that the guest has no grant for.
pub(crate) const SECRETS: [(&str, &str); 4] = [
    ("stripe/api-key", "sk_test_an_example_and_no_real_key"),
    (
        "db/main",
        r#"{"host":"db.internal","port":5432,"password":"an-example"}"#,
    ),
    ("smtp/password", "not-for-this-guest"),
    ("stripe/webhook", "whsec_an_example"),
];

/// What the guest does and how it ends, in the words of the audit log.
pub(crate) const EXPECTED: [&str; 6] = [
    "allowed read stripe/api-key",
    "allowed read db/main",
    "allowed read stripe/webhook",
    "not-found read stripe/none",
    "denied read smtp/password",
    "allowed list stripe/",
];
