//! Strongroom's AES-256-GCM encrypted local store.
//!
//! One SQLite file holds any number of secrets with their versions. A host and the command line may
//! have it open at once. Who has the file without its key learns sizes, counts, versions for each
//! secret and key numbers, and nothing else; who can write to it can break it, but not unnoticed.
//!
//! ```
//! use strongroom_backend::{Backend, PutOptions, SecretPath, SecretValue, Which};
//! use strongroom_backend_local::{Config, KeySource, LocalBackend};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let config = Config::new("app.vault", KeySource::file("keys/app.key"));
//! let store = LocalBackend::create(&config, folder.path())?;
//! let path = SecretPath::parse("stripe/api-key")?;
//! store.put(&path, &SecretValue::copy_of(b"sk_test"), &PutOptions::default()).await?;
//! let secret = store.get(&path, Which::Current).await?;
//! assert_eq!(secret.value.expose(), b"sk_test");
//! # Ok(())
//! # }
//! ```
//!
//! # Settings
//!
//! ```toml
//! [vault.app-secrets]
//! backend = "local"
//! path = "app-secrets.vault"
//! key = { file = "keys/app-secrets.key" }   # or { passphrase-file }, both with allow-links = true for a
//!                                           # mounted link, or { env = "NAME" }
//! # keep-versions = 100                     # 1 to 1000; the oldest is destroyed first
//! ```
//!
//! # Keys
//!
//! | key | made | protects |
//! | --- | --- | --- |
//! | source key | HKDF of a key file or variable, or of Argon2id of a passphrase (64 MiB, 3 passes, 4 lanes) | root key, key-encryption keys |
//! | root key | random, for the life of the store | by HKDF: name hashes, records, the change log, the header, the sum over all rows |
//! | key-encryption keys | random, numbered; a new one at each rotation | data keys |
//! | data key | random, one for each version | by HKDF: one value and the commitment to its key |
//!
//! Everything is AES-256-GCM under random 96-bit nonces. A key-encryption key counts what it wraps
//! and stops well before 2^32; records and change log entries have keys of their own. A source key,
//! a key-encryption key and a data key each have a commitment that is compared, in constant time,
//! before anything is decrypted: so a wrong key is not taken for a damaged file, and no ciphertext
//! opens under two keys.
//!
//! # The file, format 1
//!
//! | table | row |
//! | --- | --- |
//! | `store` | the header: HMAC, checksum, then format, store id, change counter, masked sum, source, wrapped keys |
//! | `secrets` | keyed hash of the name; the record (path, revision, versions, metadata), encrypted whole |
//! | `versions` | name hash, number; slot of the data key; commitment, nonce and tag; encrypted value |
//! | `data_keys` | slot; number of the key-encryption key, nonce, wrapped data key, tag |
//! | `changes` | change counter; which name a listing gained or lost, encrypted; the last 4,096 |
//!
//! `user_version` holds the format, `application_id` is `Strm`. Associated data, each field with
//! its length before it: a value is bound to format, store id, name hash, version and time of
//! creation; its data key to the number of the key-encryption key too; a record to format, store id
//! and name hash; a key-encryption key to format, store id, epoch of the source and its number.
//!
//! The header's sum is that of HMACs of all rows modulo 2^256, under a fresh mask each time. It
//! changes with each row in one transaction, and [`check`](strongroom_backend::Backend::check)
//! compares it with the rows. An older copy of the whole file agrees with itself: the broker finds
//! it by [`mark`](strongroom_backend::Backend::mark), against the audit log.
//!
//! # Files beside it
//!
//! `-wal` and `-shm` are SQLite's. `.lock` is locked by the one process that writes and is free when
//! that dies. `.changes` holds the change counters that hosts map. All are private to one user, on a
//! local disk, in a folder that only this user and root can write. Restore a backup while no process
//! has the store open; one that took the file's name under an open store is noticed and refused. A
//! process that has the store open must not open its file by other means as well: closing that one
//! would free the locks that SQLite holds.
//!
//! # What remains
//!
//! Plaintext in this process can be read by whoever can read its memory. Destroyed versions still
//! open from earlier copies of the file together with the key of that time, until the store is
//! rekeyed and the old key is destroyed. The lengths of values are not padded.
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
pub use files::check_place;
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
