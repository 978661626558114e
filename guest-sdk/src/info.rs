//! What is known of a secret beside its value.

use std::time::SystemTime;

use crate::bindings::strongroom::vault::types as wit;
use crate::time;

/// What is known of a secret beside its value. From [`vault::describe`](crate::vault::describe).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SecretInfo {
    /// The canonical reference, with its vault id.
    pub reference: String,
    /// The current version; none while the secret is deleted.
    pub version: Option<u64>,
    /// When the secret was first written.
    pub created: SystemTime,
    /// When the secret last changed.
    pub updated: SystemTime,
    /// When the current version expires; none: never.
    pub expires: Option<SystemTime>,
    /// When the next rotation is due; none: it is not rotated.
    pub rotates: Option<SystemTime>,
    /// `api-key`, `database`, `certificate`, `signing-key`, `oauth-token`, `config`, or a word of
    /// the owner's own.
    pub kind: Option<String>,
    /// What the owner wrote about it.
    pub description: Option<String>,
    /// Names and values, as the owner set them.
    pub labels: Vec<(String, String)>,
}

#[doc(hidden)]
impl From<wit::SecretInfo> for SecretInfo {
    fn from(info: wit::SecretInfo) -> Self {
        Self {
            reference: info.reference,
            version: info.version,
            created: time::from_wit(info.created),
            updated: time::from_wit(info.updated),
            expires: info.expires.map(time::from_wit),
            rotates: info.rotates.map(time::from_wit),
            kind: info.kind,
            description: info.description,
            labels: info.labels,
        }
    }
}

/// One version of a secret. From [`vault::versions`](crate::vault::versions).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct VersionInfo {
    /// Its number. Only ever increases for a secret, and is never reused.
    pub version: u64,
    /// What can be done with it.
    pub state: VersionState,
    /// When it was written.
    pub created: SystemTime,
    /// After this its value is no longer returned, by number neither; none: never.
    pub expires: Option<SystemTime>,
    /// Whether this component wrote it. Others' names are not told.
    pub mine: bool,
}

#[doc(hidden)]
impl From<wit::VersionInfo> for VersionInfo {
    fn from(info: wit::VersionInfo) -> Self {
        Self {
            version: info.version,
            state: info.state.into(),
            created: time::from_wit(info.created),
            expires: info.expires.map(time::from_wit),
            mine: info.mine,
        }
    }
}

/// What can be done with a version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum VersionState {
    /// What [`vault::get`](crate::vault::get) returns.
    Current,
    /// Soft-deleted; can be undeleted.
    Deleted,
    /// Its key material is gone for good.
    Destroyed,
    /// Written by a rotation that has not finished; not returned yet.
    Pending,
    /// An older version that can still be read by number.
    Superseded,
}

#[doc(hidden)]
impl From<wit::VersionState> for VersionState {
    fn from(state: wit::VersionState) -> Self {
        match state {
            wit::VersionState::Current => Self::Current,
            wit::VersionState::Superseded => Self::Superseded,
            wit::VersionState::Pending => Self::Pending,
            wit::VersionState::Deleted => Self::Deleted,
            wit::VersionState::Destroyed => Self::Destroyed,
        }
    }
}
