//! Changing secrets.
//!
//! A component may be granted `write` without `read`: it can then set what it cannot see.

use std::time::SystemTime;

use crate::bindings::strongroom::vault::writer as wit;
use crate::{Error, time};

/// Writes a new version and returns its number. Needs `write`.
///
/// ```no_run
/// # fn main() -> Result<(), strongroom_guest::Error> {
/// strongroom_guest::writer::set("stripe/webhook", b"whsec_...")?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Denied`] without a grant, [`Error::TooLarge`] over the backend's limit.
pub fn set(reference: &str, value: impl AsRef<[u8]>) -> Result<u64, Error> {
    Ok(wit::set(reference, value.as_ref(), None)?)
}

/// Writes a new version under conditions, or with an expiry, and returns its number. Needs `write`.
///
/// ```no_run
/// # fn main() -> Result<(), strongroom_guest::Error> {
/// use strongroom_guest::writer::{self, SetOptions};
///
/// // Only if nobody was first.
/// writer::set_with("stripe/webhook", b"whsec_...", SetOptions::new().if_version(0))?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`set`]; [`Error::Conflict`] where another version is current, [`Error::Unsupported`] where
/// the vault's backend cannot compare and set.
pub fn set_with(
    reference: &str,
    value: impl AsRef<[u8]>,
    options: SetOptions,
) -> Result<u64, Error> {
    let options = wit::SetOptions {
        expected_version: options.expected_version,
        expires: options.expires.map(time::to_wit),
    };
    Ok(wit::set(reference, value.as_ref(), Some(options))?)
}

/// Conditions and expiry of a version to be written; none of either to begin with.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until `set_with` takes them"]
pub struct SetOptions {
    expected_version: Option<u64>,
    expires: Option<SystemTime>,
}

impl SetOptions {
    /// No condition, no expiry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes only if this version is current; 0: only if there is none.
    pub fn if_version(mut self, version: u64) -> Self {
        self.expected_version = Some(version);
        self
    }

    /// After this the value is no longer returned. Kept to the millisecond.
    pub fn expires(mut self, at: SystemTime) -> Self {
        self.expires = Some(at);
        self
    }
}

/// Changes what is known of a secret beside its value. Needs `write`.
///
/// # Errors
///
/// [`Error::Denied`] without a grant, [`Error::NotFound`] where there is no such secret.
pub fn set_metadata(reference: &str, metadata: Metadata) -> Result<(), Error> {
    let metadata = wit::Metadata {
        description: metadata.description,
        labels: metadata.labels,
    };
    Ok(wit::set_metadata(reference, &metadata)?)
}

/// What [`set_metadata`] changes; nothing to begin with.
#[derive(Clone, Debug, Default)]
#[must_use = "metadata changes nothing until `set_metadata` takes it"]
pub struct Metadata {
    description: Option<String>,
    labels: Option<Vec<(String, String)>>,
}

impl Metadata {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the description.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Replaces all labels by these.
    pub fn labels<N, V>(mut self, labels: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<String>,
    {
        let labels = labels
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        self.labels = Some(labels.collect());
        self
    }
}

/// Soft-deletes the secret, or one version of it. Needs `delete`.
///
/// Where the current version goes, reading answers [`Error::NotFound`]: an older value never comes
/// back by itself.
///
/// # Errors
///
/// [`Error::Denied`] without a grant, [`Error::NotFound`] where there is nothing to delete.
pub fn delete(reference: &str, version: Option<u64>) -> Result<(), Error> {
    Ok(wit::delete(reference, version)?)
}

/// Takes a soft delete back. Needs `undelete`.
///
/// # Errors
///
/// As [`delete`]; [`Error::Unsupported`] where the vault's backend deletes for good.
pub fn undelete(reference: &str, version: Option<u64>) -> Result<(), Error> {
    Ok(wit::undelete(reference, version)?)
}

/// Makes a version unreadable for good by destroying its key. Needs `destroy`.
///
/// # Errors
///
/// As [`delete`]; [`Error::Unsupported`] where the vault's backend cannot destroy one version.
pub fn destroy(reference: &str, version: u64) -> Result<(), Error> {
    Ok(wit::destroy(reference, version)?)
}

/// Writes the value of an older version as a new version, and returns its number. Needs `rollback`.
///
/// # Errors
///
/// [`Error::Denied`] without a grant, [`Error::NotFound`] where that version cannot be read any more.
pub fn rollback(reference: &str, to: u64) -> Result<u64, Error> {
    Ok(wit::rollback(reference, to)?)
}

/// Runs the secret's rotation now, and returns the version that is then current. Needs `rotate`.
///
/// # Errors
///
/// [`Error::Denied`] without a grant, [`Error::Unsupported`] where nothing rotates this secret.
pub fn rotate(reference: &str) -> Result<u64, Error> {
    Ok(wit::rotate(reference)?)
}
