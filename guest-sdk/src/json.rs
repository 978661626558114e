//! Values that are JSON, read without letting the parser quote them.

use std::collections::HashMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::{Error, Secret};

/// Where and how a value is not the JSON that was asked for.
///
/// It tells the kind of the problem and the position, and nothing else: a parser's own message may
/// quote the text (`unknown variant ...`, `invalid type: string ...`), and the text is a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JsonError {
    problem: JsonProblem,
    line: usize,
    column: usize,
}

impl JsonError {
    /// What kind of problem it is.
    #[must_use]
    pub fn problem(&self) -> JsonProblem {
        self.problem
    }

    /// The line of the value where it shows, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in that line, in bytes; 0 where the line had not begun.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.problem {
            JsonProblem::Cut => "the value ends before the JSON does",
            JsonProblem::Shape => "the JSON does not have the fields and types that were asked for",
            JsonProblem::Syntax => "the value is not JSON",
        };
        write!(
            f,
            "{what} (line {}, column {}; the text is not shown)",
            self.line, self.column
        )
    }
}

impl std::error::Error for JsonError {}

impl From<serde_json::Error> for JsonError {
    /// Keeps the position and drops the message.
    fn from(error: serde_json::Error) -> Self {
        let problem = match error.classify() {
            Category::Data => JsonProblem::Shape,
            Category::Eof => JsonProblem::Cut,
            Category::Io | Category::Syntax => JsonProblem::Syntax,
        };
        Self {
            problem,
            line: error.line(),
            column: error.column(),
        }
    }
}

/// The kind of a [`JsonError`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JsonProblem {
    /// The value ends before the JSON does.
    Cut,
    /// It is JSON, and not of the type that was asked for.
    Shape,
    /// It is not JSON.
    Syntax,
}

/// The value as a `T`.
pub(crate) fn parse<T: DeserializeOwned>(secret: &Secret) -> Result<T, Error> {
    serde_json::from_slice(secret.expose()).map_err(|error| JsonError::from(error).into())
}

/// One field of a JSON object: a string's text, anything else as it is written.
pub(crate) fn field(secret: &Secret, name: &str) -> Result<Secret, Error> {
    let fields: HashMap<String, &RawValue> =
        serde_json::from_slice(secret.expose()).map_err(JsonError::from)?;
    let raw = fields.get(name).ok_or(Error::NoSuchField)?.get();
    if raw.starts_with('"') {
        let text: String = serde_json::from_str(raw).map_err(JsonError::from)?;
        return Ok(text.into());
    }
    Ok(raw.to_owned().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsing is of interest")]
    struct Credentials {
        mode: Mode,
        port: u16,
    }

    #[derive(Debug, Deserialize)]
    enum Mode {
        Plain,
    }

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    fn message<T: DeserializeOwned + fmt::Debug>(text: &str) -> String {
        let error = parse::<T>(&secret(text)).unwrap_err();
        format!("{error} {error:?}")
    }

    #[test]
    fn reads_a_type() {
        let port: HashMap<String, u16> = parse(&secret(r#"{"port": 5432}"#)).unwrap();
        assert_eq!(port.get("port"), Some(&5432));
    }

    #[test]
    fn tells_the_kind_and_the_place() {
        let error = |text| match parse::<Credentials>(&secret(text)) {
            Err(Error::Json(error)) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(error("{").problem(), JsonProblem::Cut);
        assert_eq!(error("swordfish").problem(), JsonProblem::Syntax);
        let shape = error("{\n  \"port\": \"5432\"}");
        assert_eq!((shape.problem(), shape.line()), (JsonProblem::Shape, 2));
        assert!(shape.column() > 0);
    }

    /// The parser's own words for these do quote the value: the test would fail on them.
    #[test]
    fn never_quotes_what_the_parser_would_quote() {
        for text in [
            r#"{"mode": "canary", "port": 1}"#,
            r#"{"mode": "Plain", "port": "canary"}"#,
            r#"{"canary": 1}"#,
            r#""canary""#,
        ] {
            let theirs = serde_json::from_str::<Credentials>(text)
                .unwrap_err()
                .to_string();
            assert!(theirs.contains("canary"), "{theirs}");
            let ours = message::<Credentials>(text);
            assert!(!ours.contains("canary"), "{ours}");
        }
    }

    #[test]
    fn a_field_is_its_text_or_its_json() {
        let value = secret(r#"{"password": "p\u00e4\"ss", "port": 5432, "tags": ["a", "b"]}"#);
        assert_eq!(
            field(&value, "password").unwrap().expose_str(),
            Ok("pä\"ss")
        );
        assert_eq!(field(&value, "port").unwrap().expose_str(), Ok("5432"));
        assert_eq!(
            field(&value, "tags").unwrap().expose_str(),
            Ok(r#"["a", "b"]"#)
        );
        assert_eq!(field(&value, "user"), Err(Error::NoSuchField));
        assert!(matches!(
            field(&secret("plain"), "user"),
            Err(Error::Json(_))
        ));
    }

    proptest! {
        /// Whatever the value, the error has none of it: its text is a function of kind and place.
        #[test]
        fn no_value_in_any_error(
            canary in "[A-Za-z]{12,40}",
            before in r#"[ \[{",:0-9]{0,6}"#,
            after in r#"[ \]}",:0-9]{0,6}"#,
        ) {
            let value = secret(&format!("{before}{canary}{after}"));
            for error in [
                parse::<Credentials>(&value).map(drop).unwrap_err(),
                field(&value, "user").unwrap_err(),
            ] {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains(&canary), "{}", shown);
            }
        }
    }
}
