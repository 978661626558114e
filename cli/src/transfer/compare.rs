//! Comparing values by keyed hash, so that both sides need not be held at once.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use strongroom::backend::SecretValue;
use strongroom::{CallError, ErrorCode, Secret, Session};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// How many secrets are read in one call: enough to spare round trips, few enough to hold.
pub(crate) const CHUNK: usize = 20;

/// How a target compares with the value that is to be written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Missing,
    Same,
    Differs,
}

/// HMAC-SHA-256 of a value under a key that lives as long as this command: it tells whether two
/// values are the same, and is of no use to anybody afterwards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

/// Makes fingerprints under one random key.
pub(crate) struct Fingerprints(Hmac<Sha256>);

impl Fingerprints {
    /// A new random key.
    ///
    /// # Errors
    ///
    /// The machine has no random numbers.
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key)
            .map_err(|error| Failure::failed(format!("no random numbers: {error}")))?;
        let mac = Hmac::new_from_slice(&*key)
            .map_err(|error| Failure::failed(format!("no keyed hash: {error}")))?;
        Ok(Self(mac))
    }

    pub(crate) fn of(&self, value: &SecretValue) -> Fingerprint {
        let mut mac = self.0.clone();
        mac.update(value.expose());
        Fingerprint(mac.finalize().into_bytes().into())
    }

    /// How the values at `targets` compare with `wanted`, one for one. At most [`CHUNK`].
    ///
    /// # Errors
    ///
    /// The whole call was refused. What one target fails on, beside there being none, is its own.
    pub(crate) async fn compare(
        &self,
        session: &Session,
        targets: &[String],
        wanted: &[Fingerprint],
    ) -> Result<Vec<Result<Target, CallError>>, CallError> {
        let there = session.get_many(targets).await?;
        let judge = |(there, wanted): (Result<Secret, CallError>, &Fingerprint)| match there {
            Ok(there) if self.of(&there.value) == *wanted => Ok(Target::Same),
            Ok(_) => Ok(Target::Differs),
            Err(error) if error.code == ErrorCode::NotFound => Ok(Target::Missing),
            Err(error) => Err(error),
        };
        Ok(there.into_iter().zip(wanted).map(judge).collect())
    }
}

/// The current values of at most [`CHUNK`] secrets.
///
/// # Errors
///
/// As [`Fingerprints::compare`].
pub(crate) async fn chunk_of(
    session: &Session,
    references: &[String],
) -> Result<Vec<Result<Arc<SecretValue>, CallError>>, CallError> {
    let secrets = session.get_many(references).await?;
    Ok(secrets
        .into_iter()
        .map(|secret| Ok(secret?.value))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_values_apart_under_its_own_key_only() {
        let (a, b) = (Fingerprints::new().unwrap(), Fingerprints::new().unwrap());
        let value = SecretValue::copy_of(b"value");
        assert!(a.of(&value) == a.of(&SecretValue::copy_of(b"value")));
        assert!(a.of(&value) != a.of(&SecretValue::copy_of(b"valuf")));
        assert!(a.of(&value) != b.of(&value));
    }
}
