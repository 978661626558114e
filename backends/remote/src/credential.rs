use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny};

/// Refuses a key of a configuration that would hold a credential: such a file is read by many,
/// copied and committed.
///
/// For fields of type `()` with `#[serde(default, deserialize_with = "refuse_credential")]`, named as
/// users would try: `token`, `password`, `secret-access-key`, `client-secret`. What stood there is not repeated.
///
/// # Errors
///
/// Always, where the key is there.
pub fn refuse_credential<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(deserializer)?;
    Err(D::Error::custom(
        "a credential does not belong in the configuration file: name the file or the environment \
         variable that holds it (keys that end in '-file' or '-env'), or use the platform's own login",
    ))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Config {
        #[serde(default, deserialize_with = "super::refuse_credential")]
        token: (),
    }

    #[test]
    fn a_credential_is_refused_without_its_text() {
        let error = serde_json::from_str::<Config>(r#"{"token":"canary-1b2c"}"#).unwrap_err();
        assert!(error.to_string().contains("does not belong"), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        let absent = serde_json::from_str::<Config>("{}").unwrap();
        assert_eq!(absent.token, ());
    }
}
