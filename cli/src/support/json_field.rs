//! One field of a value that is a JSON object.

use strongroom::backend::SecretValue;
use strongroom::backend::json::{self, FieldError};

use crate::failure::Failure;

/// The field `name` of `value`: a text without its quotes and escapes, anything else as JSON.
///
/// # Errors
///
/// The value is no JSON object, or has no such field, or has it twice. No message quotes it.
pub(crate) fn extract(value: &[u8], name: &str) -> Result<SecretValue, Failure> {
    json::field(value, name).map_err(|error| match error {
        FieldError::NoObject { .. } => Failure::failed(error.to_string())
            .hint("without `--field` the value is printed as it is"),
        FieldError::Missing => Failure::not_found(format!("the value has no field '{name}'")),
        FieldError::Twice => Failure::failed(format!("the value has the field '{name}' twice")),
        _ => Failure::failed(format!("the field '{name}' is not valid Unicode")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn a_field_that_is_not_there_is_not_found() {
        let exit = |value: &[u8]| extract(value, "a").unwrap_err().exit;
        assert_eq!(exit(b"{}"), Exit::NotFound);
        assert_eq!(exit(br#"{"a":1,"a":2}"#), Exit::Failed);
        assert_eq!(exit(b"no object"), Exit::Failed);
    }
}
