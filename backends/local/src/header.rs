//! The store header: one row that names the store, wraps its keys and sums up all other rows.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::crypto::{self, Fields, Prf};
use crate::error::{Fault, Result};
use crate::sum::Sum;

/// The only format there is. A file of another one is refused, never read half-way.
pub(crate) const FORMAT: u32 = 1;

/// The most key-encryption keys at once: one in use and those that rotations have not finished.
pub(crate) const MAX_KEKS: usize = 8;

/// The longest header: eight keys need about 1,500 bytes.
const MAX_HEADER: usize = 8192;

/// What the row says. Authenticated as a whole under a key derived from the root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreHeader {
    pub(crate) format: u32,
    pub(crate) store: [u8; 16],
    /// Counts changes; never goes back.
    pub(crate) counter: u64,
    /// Whether destroyed bytes may still stand in the write-ahead log.
    pub(crate) scrub: bool,
    /// The sum over all rows, under a fresh mask each time: plain sums of two copies of the file
    /// would give away the hashes of single rows, from which a forger could compose equal sums.
    mask: [u8; 32],
    sum: [u8; 32],
    pub(crate) source: SourceEntry,
    /// The number of the key that wraps new data keys.
    pub(crate) active: u32,
    pub(crate) keks: Vec<KekEntry>,
}

/// How the key source opens the root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceEntry {
    /// Counts the sources that the store has had.
    pub(crate) epoch: u32,
    pub(crate) kind: SourceKind,
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: [u8; 32],
    pub(crate) root: Vec<u8>,
}

/// What stands behind the source's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SourceKind {
    /// 32 random bytes.
    Key,
    /// A passphrase, through Argon2id.
    Passphrase(Argon),
}

/// The cost of Argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Argon {
    /// In KiB.
    pub(crate) memory: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

/// A key-encryption key, wrapped by the source's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KekEntry {
    pub(crate) number: u32,
    /// How many data keys it has wrapped.
    pub(crate) wraps: u64,
    pub(crate) commitment: [u8; 32],
    pub(crate) sealed: Vec<u8>,
}

impl StoreHeader {
    /// The header of an empty store.
    pub(crate) fn new(store: [u8; 16], source: SourceEntry, kek: KekEntry) -> Self {
        Self {
            format: FORMAT,
            store,
            counter: 0,
            scrub: false,
            mask: [0; 32],
            sum: [0; 32],
            source,
            active: kek.number,
            keks: vec![kek],
        }
    }

    /// Parses a header without its key: enough to derive one, and not to be trusted until
    /// [`Self::verify`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        const DAMAGED: Fault = Fault::Damaged("its header cannot be read");
        if bytes.len() > MAX_HEADER {
            return Err(DAMAGED);
        }
        let (_, rest) = bytes.split_first_chunk::<32>().ok_or(DAMAGED)?;
        let (check, body) = rest.split_first_chunk::<8>().ok_or(DAMAGED)?;
        if checksum(body) != *check {
            return Err(DAMAGED);
        }
        let header: Self = postcard::from_bytes(body).map_err(|_| DAMAGED)?;
        if header.format != FORMAT {
            return Err(Fault::NewerFormat {
                found: header.format,
                known: FORMAT,
            });
        }
        if header.keks.is_empty() || header.keks.len() > MAX_KEKS {
            return Err(DAMAGED);
        }
        Ok(header)
    }

    /// Checks that whoever holds the root key wrote these bytes.
    pub(crate) fn verify(bytes: &[u8], keys: &HeaderKeys) -> Result<()> {
        let (tag, body) = bytes
            .split_first_chunk::<32>()
            .and_then(|(tag, rest)| Some((tag, rest.split_first_chunk::<8>()?.1)))
            .ok_or(Fault::Damaged("its header cannot be read"))?;
        if crypto::equal(tag, &keys.tag(body)) {
            Ok(())
        } else {
            Err(Fault::Damaged("its header does not authenticate"))
        }
    }

    /// The bytes of the row.
    pub(crate) fn encode(&self, keys: &HeaderKeys) -> Result<Vec<u8>> {
        let body = postcard::to_allocvec(self).map_err(|_| Fault::Broken)?;
        let mut bytes = Vec::with_capacity(body.len() + 40);
        bytes.extend_from_slice(&keys.tag(&body));
        bytes.extend_from_slice(&checksum(&body));
        bytes.extend_from_slice(&body);
        if bytes.len() > MAX_HEADER {
            return Err(Fault::Limit("the store header is too large"));
        }
        Ok(bytes)
    }

    /// The sum over all rows.
    pub(crate) fn sum(&self, keys: &HeaderKeys) -> Sum {
        Sum::from_bytes(keys.masked(&self.mask, self.sum))
    }

    pub(crate) fn set_sum(&mut self, keys: &HeaderKeys, sum: &Sum) -> Result<()> {
        self.mask = crypto::make_random()?;
        self.sum = keys.masked(&self.mask, sum.to_bytes());
        Ok(())
    }

    pub(crate) fn kek_mut(&mut self, number: u32) -> Option<&mut KekEntry> {
        self.keks.iter_mut().find(|kek| kek.number == number)
    }

    /// What the wrapped root key is bound to.
    pub(crate) fn root_fields(store: &[u8; 16], source: &SourceEntry) -> Fields {
        let (kind, cost) = match source.kind {
            SourceKind::Key => (0, [0; 3]),
            SourceKind::Passphrase(a) => (1, [a.memory, a.passes, a.lanes]),
        };
        let fields = Fields::new("strongroom local root key")
            .number(FORMAT.into())
            .with(store)
            .number(source.epoch.into())
            .number(kind)
            .with(&source.salt);
        cost.into_iter()
            .fold(fields, |fields, cost| fields.number(cost.into()))
    }

    /// What a wrapped key-encryption key is bound to.
    pub(crate) fn kek_fields(store: &[u8; 16], epoch: u32, number: u32) -> Fields {
        Fields::new("strongroom local key-encryption key")
            .number(FORMAT.into())
            .with(store)
            .number(epoch.into())
            .number(number.into())
    }
}

/// The keys that protect the header itself.
pub(crate) struct HeaderKeys {
    mac: Prf,
    mask: Prf,
}

impl HeaderKeys {
    pub(crate) fn derive(root: &crypto::Key) -> Self {
        Self {
            mac: Prf::derive(root, "strongroom local v1 header mac"),
            mask: Prf::derive(root, "strongroom local v1 sum mask"),
        }
    }

    fn tag(&self, body: &[u8]) -> [u8; 32] {
        self.mac.tag(&Fields::new("store header").with(body))
    }

    fn masked(&self, nonce: &[u8; 32], mut sum: [u8; 32]) -> [u8; 32] {
        let mask = self.mask.tag(&Fields::new("sum").with(nonce));
        for (byte, mask) in sum.iter_mut().zip(mask) {
            *byte ^= mask;
        }
        sum
    }
}

/// Tells a damaged header from a wrong key before there is a key. Proves nothing.
fn checksum(body: &[u8]) -> [u8; 8] {
    let mut check = [0; 8];
    for (to, from) in check.iter_mut().zip(Sha256::digest(body)) {
        *to = from;
    }
    check
}
