//! The record of one secret: its path and history, encrypted whole.
//!
//! A record begins with a short head, so that a read of the current value decodes no more than it
//! needs.

use serde::{Deserialize, Serialize};
use strongroom_backend::{Description, Error, ErrorKind, History, SecretPath, Which};
use zeroize::Zeroizing;

use crate::error::{Fault, Result};
use crate::keys::{NameHash, Roots};

/// The longest record: 1,000 versions with authors, and labels.
const MAX_RECORD: usize = 256 * 1024;

/// Records of one secret are encrypted under one key with random nonces, of which 2^32 are safe.
const MAX_REVISIONS: u64 = (1 << 32) - (1 << 28);

/// What is kept of a secret beside its values.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) path: SecretPath,
    /// Counts the changes of this secret.
    pub(crate) revision: u64,
    pub(crate) history: History,
}

/// The beginning of a record.
#[derive(Serialize, Deserialize)]
pub(crate) struct Head<'r> {
    pub(crate) path: &'r str,
    revision: u64,
    /// The newest version there is.
    pub(crate) last: u64,
    pub(crate) current: Option<Current>,
}

/// The current version.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Current {
    pub(crate) number: u64,
    pub(crate) created: u64,
    pub(crate) expires: Option<u64>,
}

impl Record {
    pub(crate) fn new(path: SecretPath) -> Self {
        Self {
            path,
            revision: 0,
            history: History::default(),
        }
    }

    /// The newest version there is. Current versions are the newest or none, so a row with a
    /// higher number means that an older record was put back.
    pub(crate) fn last(&self) -> u64 {
        self.history
            .versions()
            .first()
            .map_or(0, |newest| newest.version)
    }

    /// Encrypts the next revision.
    pub(crate) fn seal(&mut self, roots: &Roots, name: &NameHash) -> Result<Vec<u8>> {
        self.revision += 1;
        if self.revision > MAX_REVISIONS {
            return Err(Fault::Limit(
                "the secret has changed as often as one key allows: copy it to another name",
            ));
        }
        let head = Head {
            path: self.path.as_str(),
            revision: self.revision,
            last: self.last(),
            current: self.current(),
        };
        let broken = |_| Fault::Broken;
        let mut plaintext = Zeroizing::new(postcard::to_allocvec(&head).map_err(broken)?);
        let history = Zeroizing::new(postcard::to_allocvec(&self.history).map_err(broken)?);
        if plaintext.len() + history.len() > MAX_RECORD {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the metadata and versions of the secret take more than 256 KiB",
            )
            .into());
        }
        plaintext.extend_from_slice(&history);
        roots
            .record_cipher(name)
            .seal(&roots.record_fields(name), &plaintext)
    }

    pub(crate) fn open(roots: &Roots, name: &NameHash, sealed: &[u8]) -> Result<Self> {
        let record = Self::decode(&unseal(roots, name, sealed)?)?;
        if roots.name(&record.path) != *name {
            return Err(Fault::Damaged("a record stands under another name"));
        }
        Ok(record)
    }

    /// Reads a decrypted record.
    pub(crate) fn decode(plaintext: &[u8]) -> Result<Self> {
        const DAMAGED: Fault = Fault::Damaged("a record cannot be read");
        let (head, rest) = postcard::take_from_bytes::<Head<'_>>(plaintext).map_err(|_| DAMAGED)?;
        let record = Self {
            path: SecretPath::parse(head.path).map_err(|_| DAMAGED)?,
            revision: head.revision,
            history: postcard::from_bytes(rest).map_err(|_| DAMAGED)?,
        };
        let numbers = record.history.versions();
        let ordered = numbers
            .iter()
            .zip(numbers.iter().skip(1))
            .all(|(newer, older)| newer.version > older.version);
        if !ordered || head.last != record.last() {
            return Err(DAMAGED);
        }
        Ok(record)
    }

    fn current(&self) -> Option<Current> {
        let number = self.history.describe().version?;
        let (created, expires) = self.history.times(number)?;
        Some(Current {
            number,
            created,
            expires,
        })
    }

    /// The version that `which` reads, and where its value is.
    pub(crate) fn readable(&self, which: Which, now: u64) -> Result<Current> {
        let number = self.history.readable(which, now)?;
        let (created, expires) = self.history.times(number).ok_or(Fault::Broken)?;
        Ok(Current {
            number,
            created,
            expires,
        })
    }
}

/// Decrypts a record.
pub(crate) fn unseal(roots: &Roots, name: &NameHash, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    roots
        .record_cipher(name)
        .open(&roots.record_fields(name), sealed)
        .ok_or(Fault::Damaged("a record does not authenticate"))
}

/// The head of a decrypted record.
pub(crate) fn head(plaintext: &[u8]) -> Result<Head<'_>> {
    postcard::take_from_bytes(plaintext)
        .map(|(head, _)| head)
        .map_err(|_| Fault::Damaged("a record cannot be read"))
}

/// What a decrypted record describes; for tests with made-up bytes.
pub(crate) fn describe(plaintext: &[u8]) -> Result<Description> {
    Record::decode(plaintext).map(|record| record.history.describe())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::Key;

    fn record(versions: u64) -> Record {
        let mut record = Record::new(SecretPath::parse("a/b").unwrap());
        for now in 0..versions {
            record.history.put(&Default::default(), now).unwrap();
        }
        record
    }

    #[test]
    fn records_open_under_their_name_only() {
        let roots = Roots::derive([1; 16], &Key::new([2; 32]));
        let mut record = record(3);
        let name = roots.name(&record.path);
        let sealed = record.seal(&roots, &name).unwrap();
        let opened = Record::open(&roots, &name, &sealed).unwrap();
        assert_eq!(opened.history, record.history);
        assert_eq!((opened.revision, opened.last()), (1, 3));
        let other = roots.name(&SecretPath::parse("a/c").unwrap());
        assert!(Record::open(&roots, &other, &sealed).is_err());
        let elsewhere = Roots::derive([2; 16], &Key::new([2; 32]));
        assert!(Record::open(&elsewhere, &name, &sealed).is_err());
    }

    #[test]
    fn revisions_stop_before_nonces_repeat() {
        let roots = Roots::derive([1; 16], &Key::new([2; 32]));
        let mut record = record(1);
        record.revision = MAX_REVISIONS;
        let name = roots.name(&record.path);
        assert!(matches!(record.seal(&roots, &name), Err(Fault::Limit(_))));
    }

    proptest! {
        #[test]
        fn made_up_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Record::decode(&bytes);
            let _ = head(&bytes);
            let _ = crate::header::StoreHeader::parse(&bytes);
        }
    }
}
