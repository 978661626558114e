//! Strongroom's AES-256-GCM encrypted local store.
#![forbid(unsafe_code)]

mod backend;
mod check;
mod config;
mod crypto;
mod error;
mod files;
mod header;
mod index;
mod keys;
mod lock;
mod read;
mod record;
mod rotate;
mod schema;
mod source;
mod store;
mod sum;
mod write;

pub use backend::{Builder, LocalBackend};
pub use config::{Config, DEFAULT_KEEP_VERSIONS, KeySource, MAX_KEEP_VERSIONS};
pub use rotate::Rotation;

/// Decoders of bytes that a file holds, for fuzzing. None of them panics.
pub mod fuzz {
    use strongroom_backend::{Description, Result};

    /// Decodes a decrypted record of a secret.
    ///
    /// # Errors
    ///
    /// `Damaged` for bytes that are no record.
    pub fn decode_record(bytes: &[u8]) -> Result<Description> {
        crate::record::describe(bytes).map_err(Into::into)
    }

    /// Decodes a store header, before its key is known. Returns the change counter that it claims.
    ///
    /// # Errors
    ///
    /// `Damaged` for bytes that are no header, `Unsupported` for a newer format.
    pub fn decode_header(bytes: &[u8]) -> Result<u64> {
        crate::header::StoreHeader::parse(bytes)
            .map(|header| header.counter)
            .map_err(Into::into)
    }
}
