//! How a test guest shows an error: by its variant's name in WIT, and what it carries.

use strongroom_guest::Error;

/// `error: denied`, `error: conflict 3` and so on.
#[must_use]
pub fn error_line(error: &Error) -> String {
    let (variant, payload) = parts(error);
    format!("error: {variant} {payload}").trim_end().to_owned()
}

/// The variant's name in WIT.
#[must_use]
pub fn variant(error: &Error) -> &'static str {
    parts(error).0
}

fn parts(error: &Error) -> (&'static str, String) {
    match error {
        Error::Denied => ("denied", String::new()),
        Error::NotFound => ("not-found", String::new()),
        Error::InvalidReference(why) => ("invalid-reference", why.clone()),
        Error::InvalidArgument(why) => ("invalid-argument", why.clone()),
        Error::TooLarge { limit } => ("too-large", limit.to_string()),
        Error::Conflict { current } => ("conflict", current.to_string()),
        Error::Unsupported(what) => ("unsupported", what.clone()),
        Error::QuotaExceeded { retry_after } => {
            ("quota-exceeded", retry_after.as_millis().to_string())
        }
        Error::Unavailable(what) => ("unavailable", what.clone()),
        Error::Failed(what) => ("failed", what.clone()),
        other => ("other", other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_a_payload_where_the_variant_has() {
        assert_eq!(error_line(&Error::Denied), "error: denied");
        assert_eq!(
            error_line(&Error::Conflict { current: 3 }),
            "error: conflict 3"
        );
        assert_eq!(variant(&Error::Failed("x".into())), "failed");
    }
}
