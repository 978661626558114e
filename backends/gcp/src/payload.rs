//! Values on the wire, with their checksums.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use strongroom_backend::SecretValue;
use zeroize::Zeroizing;

use crate::error::{Fault, Result};
use crate::rest::NOT_A_MESSAGE;

/// The largest value, by the service's own limit.
pub(crate) const MAX_VALUE: usize = 64 << 10;

/// The body of a request that adds `value`, with its checksum; wiped when dropped.
pub(crate) fn encode(value: &SecretValue) -> Result<Bytes> {
    const BEFORE: &[u8] = b"{\"payload\":{\"data\":\"";
    let sum = crc32c::crc32c(value.expose());
    let after = format!("\",\"dataCrc32c\":\"{sum}\"}}}}");
    let encoded = value.len().div_ceil(3) * 4;
    // Whole from the start: a buffer that grows leaves copies behind.
    let mut body = Zeroizing::new(vec![0; BEFORE.len() + encoded + after.len()]);
    let (before, rest) = body.split_at_mut(BEFORE.len());
    before.copy_from_slice(BEFORE);
    let (data, end) = rest.split_at_mut(encoded);
    STANDARD
        .encode_slice(value.expose(), data)
        .map_err(|_| Fault::Broken)?;
    end.copy_from_slice(after.as_bytes());
    Ok(Bytes::from_owner(body))
}

/// The answer to an access. The library's own message would leave copies of the value behind.
#[derive(Deserialize)]
pub(crate) struct Access<'a> {
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) payload: Payload<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Payload<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    data_crc32c: Option<Sum<'a>>,
}

/// A 64-bit number, which JSON of Google writes as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sum<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Number(u64),
}

impl Payload<'_> {
    /// The value, once its checksum is right where one was given.
    ///
    /// A mismatch is temporary: what was damaged on the way comes whole the next time, which is also
    /// what the service's manual says to do.
    pub(crate) fn value(&self) -> Result<SecretValue> {
        let data = self.data.as_bytes();
        let mut bytes = Zeroizing::new(vec![0; data.len().div_ceil(4) * 3]);
        let length = STANDARD
            .decode_slice(data, &mut bytes)
            .map_err(|_| Fault::Reply(NOT_A_MESSAGE))?;
        bytes.truncate(length);
        if bytes.len() > MAX_VALUE {
            return Err(Fault::Reply("a value larger than it takes"));
        }
        let sum = match &self.data_crc32c {
            None => None,
            Some(Sum::Number(sum)) => Some(*sum),
            Some(Sum::Text(text)) => Some(text.parse().map_err(|_| Fault::Reply(NOT_A_MESSAGE))?),
        };
        if sum.is_some_and(|sum| sum != u64::from(crc32c::crc32c(&bytes))) {
            return Err(Fault::Checksum(
                "the value does not have the checksum that came with it: it was damaged on the way",
            ));
        }
        Ok(SecretValue::copy_of(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SecretValue> {
        let access: Access<'_> = serde_json::from_str(text).unwrap();
        access.payload.value()
    }

    #[test]
    fn the_checksum_goes_with_the_value() {
        let body = encode(&SecretValue::copy_of(b"123456789")).unwrap();
        assert_eq!(
            body,
            &br#"{"payload":{"data":"MTIzNDU2Nzg5","dataCrc32c":"3808858755"}}"#[..]
        );
        let empty = encode(&SecretValue::copy_of(b"")).unwrap();
        assert_eq!(empty, &br#"{"payload":{"data":"","dataCrc32c":"0"}}"#[..]);
    }

    #[test]
    fn a_wrong_checksum_is_found() {
        let value = |sum: &str| {
            read(&format!(
                r#"{{"name":"n","payload":{{"data":"MTIzNDU2Nzg5"{sum}}}}}"#
            ))
        };
        for right in [
            "",
            r#","dataCrc32c":"3808858755""#,
            r#","dataCrc32c":3808858755"#,
        ] {
            assert_eq!(value(right).unwrap().expose(), b"123456789");
        }
        for wrong in [
            r#","dataCrc32c":"3808858754""#,
            r#","dataCrc32c":"0""#,
            r#","dataCrc32c":"8103826051""#,
        ] {
            assert!(matches!(value(wrong), Err(Fault::Checksum(_))), "{wrong}");
        }
        assert!(value(r#","dataCrc32c":"x""#).is_err());
    }

    #[test]
    fn no_data_is_an_empty_value() {
        assert!(
            read(r#"{"name":"n","payload":{"dataCrc32c":"0"}}"#)
                .unwrap()
                .is_empty()
        );
        assert!(read(r#"{"name":"n","payload":{"data":"*"}}"#).is_err());
        let escaped = read(r#"{"name":"n","payload":{"data":"\/w=="}}"#).unwrap();
        assert_eq!(escaped.expose(), [0xff]);
    }
}
