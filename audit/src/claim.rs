//! What a log must hold at least, under a MAC: the head (durable, replaced whole after each sync)
//! and the live claim (after each batch, good within one boot).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::files::{self, Secrecy};
use crate::keys::ClaimKey;

/// Bounds what is read of a claim; 64 KiB hold the counters of some 400 vaults.
const MAX_CLAIM: usize = 64 * 1024;

/// The highest change counter of a store that an outcome record carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreCounter {
    /// The store's own id: a store made anew under the same vault id is another.
    pub store: String,
    /// Its change counter.
    pub counter: u64,
}

/// The state of the log after one of its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    pub(crate) v: u32,
    /// The last record, 0 before the first.
    pub(crate) seq: u64,
    /// Its MAC.
    pub(crate) mac: Hex32,
    /// Its hash, which the next record carries as `prev`.
    pub(crate) hash: Hex32,
    /// First `seq` of the file that it stands in.
    pub(crate) file: u64,
    /// Where it begins in that file.
    pub(crate) last: u64,
    /// Length of that file after it.
    pub(crate) len: u64,
    /// Which file on which device; good within one boot.
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// The MAC key of the next record.
    pub(crate) epoch: u64,
    /// The last record after which the key was ratcheted, and when (seconds since 1970).
    pub(crate) ratcheted: u64,
    pub(crate) ratcheted_at: i64,
    /// The boot it was written in.
    pub(crate) boot: String,
    pub(crate) stores: BTreeMap<String, StoreCounter>,
}

impl Claim {
    /// A log without records.
    pub(crate) fn empty(boot: String, dev: u64, ino: u64) -> Self {
        Self {
            v: 1,
            seq: 0,
            mac: Hex32::default(),
            hash: Hex32::default(),
            file: 1,
            last: 0,
            len: 0,
            dev,
            ino,
            epoch: 0,
            ratcheted: 0,
            ratcheted_at: 0,
            boot,
            stores: BTreeMap::new(),
        }
    }

    pub(crate) fn seal(&self, keys: &ClaimKey) -> Result<Vec<u8>, Error> {
        let mut text =
            serde_json::to_vec(self).map_err(|e| Error::Unavailable(e.to_string().into()))?;
        let mac = keys.mac(&text);
        text.pop();
        text.extend_from_slice(b",\"check\":\"");
        text.extend_from_slice(hex::encode(mac).as_bytes());
        text.extend_from_slice(b"\"}\n");
        if text.len() > MAX_CLAIM {
            return Err(Error::Unavailable(
                "more store counters than a head holds".into(),
            ));
        }
        Ok(text)
    }

    /// Reads the first line; what follows it is left of a longer claim before.
    pub(crate) fn unseal(text: &[u8], keys: &ClaimKey) -> Option<Self> {
        const CHECK: usize = 10 + 64 + 2;
        let end = text.iter().position(|b| *b == b'\n')?;
        let line = text.get(..end)?;
        let (body, check) = line.split_at_checked(line.len().checked_sub(CHECK)?)?;
        let check = check.strip_prefix(b",\"check\":\"")?.strip_suffix(b"\"}")?;
        let mut mac = [0; 32];
        hex::decode_to_slice(check, &mut mac).ok()?;
        let mut body = body.to_vec();
        body.push(b'}');
        if !bool::from(keys.mac(&body).ct_eq(&mac)) {
            return None;
        }
        serde_json::from_slice(&body).ok()
    }

    /// Takes a counter over: the highest of a store stands, unless a lower one was accepted.
    pub(crate) fn count(&mut self, vault: &str, store: &str, counter: u64, accept: bool) {
        let known = self
            .stores
            .entry(vault.to_owned())
            .or_insert_with(|| StoreCounter {
                store: store.to_owned(),
                counter,
            });
        if accept || known.store != store || counter > known.counter {
            *known = StoreCounter {
                store: store.to_owned(),
                counter,
            };
        }
    }
}

/// 32 bytes, written as hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hex32(pub(crate) [u8; 32]);

impl Serialize for Hex32 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Hex32 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.as_bytes(), &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// Reads the head; `None` where there is none.
pub(crate) fn read_head(log: &Path, keys: &ClaimKey) -> Result<Option<Claim>, Error> {
    read(&files::with_suffix(log, ".head"), keys)
}

/// Reads the live claim of this boot and changes nothing; `None` where there is none.
pub(crate) fn read_live(log: &Path, keys: &ClaimKey, boot: &str) -> Result<Option<Claim>, Error> {
    let path = files::with_suffix(log, ".live");
    match files::open_checked(&path, false, Secrecy::Public) {
        Ok(file) => Live::of(file, path).read(keys, boot),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Where a writer makes the next head before it takes the place of the last one.
pub(crate) fn next_head(log: &Path, writer: &str) -> PathBuf {
    files::with_suffix(log, &format!(".head.{writer}"))
}

/// Replaces the head. Call under the log's lock, after the log is on disk up to the claim.
pub(crate) fn write_head(log: &Path, claim: &Claim, keys: &ClaimKey) -> Result<(), Error> {
    files::replace(&files::with_suffix(log, ".head"), &claim.seal(keys)?)
}

fn read(path: &Path, keys: &ClaimKey) -> Result<Option<Claim>, Error> {
    match files::open_checked(path, false, Secrecy::Public) {
        Ok(file) => unseal_file(path, &file, keys).map(Some),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn unseal_file(path: &Path, file: &File, keys: &ClaimKey) -> Result<Claim, Error> {
    let mut text = vec![0; MAX_CLAIM];
    let size = files::read_at(file, &mut text, 0).map_err(|e| Error::io("cannot read", path, e))?;
    text.truncate(size);
    Claim::unseal(&text, keys).ok_or_else(|| {
        Error::tampered(format!(
            "{} is damaged or not under the log's key",
            path.display()
        ))
    })
}

/// The live claim's file, kept open.
pub(crate) struct Live {
    file: File,
    path: PathBuf,
    /// What we wrote or read last: unchanged bytes mean that nobody else wrote.
    known: Vec<u8>,
    buffer: Vec<u8>,
}

impl Live {
    /// Opens the file, creating an empty one where there is none: only a head of this boot tells
    /// whether there had to be one.
    pub(crate) fn open(log: &Path) -> Result<Self, Error> {
        Self::at(files::with_suffix(log, ".live"))
    }

    fn at(path: PathBuf) -> Result<Self, Error> {
        let file = files::open(
            &path,
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600),
        )
        .map_err(|e| Error::io("cannot open", &path, e))?;
        files::check_file(&path, &file, Secrecy::Public)?;
        Ok(Self::of(file, path))
    }

    fn of(file: File, path: PathBuf) -> Self {
        Self {
            file,
            path,
            known: Vec::new(),
            buffer: vec![0; 4096],
        }
    }

    /// Whether the claim is byte for byte the one we know. Call under the log's lock.
    pub(crate) fn unchanged(&mut self) -> Result<bool, Error> {
        if self.known.is_empty() || !matches!(files::same_file(&self.path, &self.file), Ok(true)) {
            return Ok(false);
        }
        self.buffer.resize(self.known.len(), 0);
        let size = files::read_at(&self.file, &mut self.buffer, 0)
            .map_err(|e| Error::io("cannot read", &self.path, e))?;
        Ok(self.buffer.get(..size) == Some(self.known.as_slice()))
    }

    /// The claim, if there is one of this boot.
    pub(crate) fn read(&mut self, keys: &ClaimKey, boot: &str) -> Result<Option<Claim>, Error> {
        if !matches!(files::same_file(&self.path, &self.file), Ok(true)) {
            *self = Self::at(self.path.clone())?;
        }
        let size = self
            .file
            .metadata()
            .map_err(|e| Error::io("cannot read", &self.path, e))?
            .len();
        if size == 0 {
            return Ok(None);
        }
        match unseal_file(&self.path, &self.file, keys) {
            Ok(claim) if claim.boot == boot => {
                self.known = claim.seal(keys)?;
                Ok(Some(claim))
            }
            Ok(_) => Ok(None),
            // Not synced: after a power cut it may hold anything. Within a boot it cannot tear.
            Err(Error::Tampered(why)) => Err(Error::Tampered(why)),
            Err(e) => Err(e),
        }
    }

    pub(crate) fn write(&mut self, claim: &Claim, keys: &ClaimKey) -> Result<(), Error> {
        let text = claim.seal(keys)?;
        self.file
            .write_all_at(&text, 0)
            .map_err(|e| Error::io("cannot write", &self.path, e))?;
        self.known = text;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_comes_back_and_a_changed_one_does_not() {
        let keys = crate::keys::Keys::generate().unwrap().claim;
        let mut claim = Claim::empty("b".into(), 1, 2);
        claim.count("v", "s", 3, false);
        let mut text = claim.seal(&keys).unwrap();
        text.extend_from_slice(b"leftover");
        assert_eq!(Claim::unseal(&text, &keys), Some(claim));
        for at in 0..text.len() - 9 {
            let mut other = text.clone();
            other[at] ^= 1;
            assert_eq!(Claim::unseal(&other, &keys), None, "byte {at}");
        }
    }

    #[test]
    fn a_lower_counter_stands_only_when_accepted() {
        let mut claim = Claim::empty(String::new(), 0, 0);
        claim.count("v", "s", 5, false);
        claim.count("v", "s", 4, false);
        assert_eq!(claim.stores["v"].counter, 5);
        claim.count("v", "s", 4, true);
        assert_eq!(claim.stores["v"].counter, 4);
        claim.count("v", "t", 1, false);
        assert_eq!(
            claim.stores["v"],
            StoreCounter {
                store: "t".into(),
                counter: 1
            }
        );
    }
}
