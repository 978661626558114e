//! The keys that a store works with, once its source has opened them.

use std::sync::Arc;

use strongroom_backend::SecretPath;

use crate::crypto::{self, Cipher, Fields, Key, Prf, Seal};
use crate::error::{Fault, Result};
use crate::header::{FORMAT, HeaderKeys, KekEntry, StoreHeader};
use crate::source::{self, SourceKey};

/// The keyed hash of a name: what stands in the file in its place.
pub(crate) type NameHash = [u8; 16];

/// The most data keys that one key-encryption key wraps. Random nonces allow 2^32 messages; the
/// sixteenth left over is for counts that a restored backup took back.
pub(crate) const MAX_WRAPS: u64 = (1 << 32) - (1 << 28);

/// A wrapped data key: the number of its key-encryption key, then nonce, ciphertext and tag.
pub(crate) const WRAPPED: usize = 4 + 32 + crypto::OVERHEAD;

/// The seal of a value: the commitment to its key, the nonce and the tag.
pub(crate) const SEAL: usize = 32 + crypto::OVERHEAD;

/// The keys derived from the root key, which never changes.
pub(crate) struct Roots {
    pub(crate) store: [u8; 16],
    pub(crate) header: HeaderKeys,
    names: Prf,
    records: Prf,
    rows: Prf,
    changes: Prf,
}

impl Roots {
    pub(crate) fn derive(store: [u8; 16], root: &Key) -> Self {
        let prf = |purpose| Prf::derive(root, purpose);
        Self {
            store,
            header: HeaderKeys::derive(root),
            names: prf("strongroom local v1 names"),
            records: prf("strongroom local v1 records"),
            rows: prf("strongroom local v1 rows"),
            changes: prf("strongroom local v1 changes"),
        }
    }

    pub(crate) fn name(&self, path: &SecretPath) -> NameHash {
        let mut name = [0; 16];
        let tag = self
            .names
            .tag(&Fields::new("name").with(path.as_str().as_bytes()));
        for (to, from) in name.iter_mut().zip(tag) {
            *to = from;
        }
        name
    }

    /// The key for the records of one secret. A key of its own for each secret keeps the number
    /// of random nonces under one key far below its limit.
    pub(crate) fn record_cipher(&self, name: &NameHash) -> Cipher {
        Cipher::new(&self.records.key(&Fields::new("record").with(name)))
    }

    pub(crate) fn record_fields(&self, name: &NameHash) -> Fields {
        self.fields("strongroom local record").with(name)
    }

    /// The key for one row of the change log.
    pub(crate) fn change_cipher(&self, counter: u64) -> Cipher {
        Cipher::new(&self.changes.key(&Fields::new("change").number(counter)))
    }

    pub(crate) fn change_fields(&self, counter: u64) -> Fields {
        self.fields("strongroom local change").number(counter)
    }

    pub(crate) fn record_row(&self, name: &NameHash, sealed: &[u8]) -> [u8; 32] {
        self.rows
            .tag(&Fields::new("secrets").with(name).with(sealed))
    }

    /// The tag in the seal stands for the body: under a committed key nobody finds another one.
    pub(crate) fn version_row(
        &self,
        name: &NameHash,
        version: u64,
        slot: i64,
        seal: &[u8],
        length: u64,
    ) -> [u8; 32] {
        let fields = Fields::new("versions")
            .with(name)
            .number(version)
            .number(slot.unsigned_abs())
            .with(seal)
            .number(length);
        self.rows.tag(&fields)
    }

    pub(crate) fn data_key_row(&self, slot: i64, wrapped: &[u8]) -> [u8; 32] {
        let fields = Fields::new("data keys")
            .number(slot.unsigned_abs())
            .with(wrapped);
        self.rows.tag(&fields)
    }

    fn fields(&self, purpose: &str) -> Fields {
        Fields::new(purpose).number(FORMAT.into()).with(&self.store)
    }

    fn value_fields(&self, place: &Place) -> Fields {
        place.bind(self.fields("strongroom local value"))
    }

    fn data_key_fields(&self, kek: u32, place: &Place) -> Fields {
        place.bind(self.fields("strongroom local data key").number(kek.into()))
    }
}

/// Which version of which secret a value is: what it is bound to.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) name: NameHash,
    pub(crate) version: u64,
    pub(crate) created: u64,
}

impl Place {
    fn bind(&self, fields: Fields) -> Fields {
        fields
            .with(&self.name)
            .number(self.version)
            .number(self.created)
    }
}

/// The key-encryption keys, unwrapped.
pub(crate) struct Keks(Vec<Kek>);

struct Kek {
    number: u32,
    commitment: [u8; 32],
    cipher: Cipher,
}

impl Keks {
    /// Unwraps the keys of a header.
    pub(crate) fn open(header: &StoreHeader, source: &SourceKey) -> Result<Self> {
        if source.epoch != header.source.epoch {
            return Err(Fault::Rekeyed);
        }
        let open = |entry: &KekEntry| {
            let kek = source.open_kek(&header.store, entry)?;
            Ok(Kek {
                number: entry.number,
                commitment: entry.commitment,
                cipher: Cipher::new(&source::kek_commitment(&kek).0),
            })
        };
        header
            .keks
            .iter()
            .map(open)
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Whether these are the keys of `header`, whatever wraps them there.
    pub(crate) fn serve(&self, header: &StoreHeader) -> bool {
        let same = |entry: &KekEntry| {
            self.0
                .iter()
                .any(|kek| kek.number == entry.number && kek.commitment == entry.commitment)
        };
        self.0.len() == header.keks.len() && header.keks.iter().all(same)
    }

    fn cipher(&self, number: u32) -> Option<&Cipher> {
        let kek = self.0.iter().find(|kek| kek.number == number)?;
        Some(&kek.cipher)
    }

    /// Wraps a data key under the active key, and counts it.
    pub(crate) fn wrap(
        &self,
        roots: &Roots,
        header: &mut StoreHeader,
        place: &Place,
        data_key: &Key,
    ) -> Result<[u8; WRAPPED]> {
        let number = header.active;
        let entry = header
            .kek_mut(number)
            .ok_or(Fault::Damaged("its active key is missing"))?;
        if entry.wraps >= MAX_WRAPS {
            return Err(Fault::Limit(
                "the key-encryption key has wrapped as many data keys as is safe: \
                 run `strongroom keys rotate`",
            ));
        }
        entry.wraps += 1;
        let cipher = self.cipher(number).ok_or(Fault::Broken)?;
        let sealed = cipher.seal(&roots.data_key_fields(number, place), data_key.as_slice())?;
        let mut wrapped = Vec::with_capacity(WRAPPED);
        wrapped.extend_from_slice(&number.to_be_bytes());
        wrapped.extend_from_slice(&sealed);
        wrapped.try_into().map_err(|_| Fault::Broken)
    }

    /// The data key in `wrapped`; `None` where these keys do not have the one that wraps it.
    pub(crate) fn unwrap(
        &self,
        roots: &Roots,
        place: &Place,
        wrapped: &[u8],
    ) -> Result<Option<Key>> {
        const DAMAGED: Fault = Fault::Damaged("a data key does not open");
        let (number, sealed) = wrapped.split_first_chunk().ok_or(DAMAGED)?;
        let number = u32::from_be_bytes(*number);
        let Some(cipher) = self.cipher(number) else {
            return Ok(None);
        };
        let fields = roots.data_key_fields(number, place);
        cipher.open_key(&fields, sealed).ok_or(DAMAGED).map(Some)
    }
}

/// The keys in use; replaced as a whole when a rotation elsewhere is noticed.
pub(crate) type SharedKeks = Arc<Keks>;

/// Encrypts a value in place under a fresh data key.
pub(crate) fn seal_value(
    roots: &Roots,
    place: &Place,
    body: &mut [u8],
) -> Result<(Key, [u8; SEAL])> {
    let data_key = crypto::make_key()?;
    let (key, commitment) = value_key(&data_key);
    let (nonce, tag) = Cipher::new(&key).seal_in_place(&roots.value_fields(place), body)?;
    let mut seal = Vec::with_capacity(SEAL);
    seal.extend_from_slice(&commitment);
    seal.extend_from_slice(&nonce);
    seal.extend_from_slice(&tag);
    Ok((data_key, seal.try_into().map_err(|_| Fault::Broken)?))
}

/// Decrypts a value in place.
pub(crate) fn open_value(
    roots: &Roots,
    place: &Place,
    data_key: &Key,
    seal: &[u8],
    body: &mut [u8],
) -> Result<()> {
    const DAMAGED: Fault = Fault::Damaged("a value does not authenticate");
    let (key, expected) = value_key(data_key);
    let (commitment, seal) = seal.split_first_chunk::<32>().ok_or(DAMAGED)?;
    if !crypto::equal(commitment, &expected) {
        return Err(DAMAGED);
    }
    let (nonce, tag) = seal.split_first_chunk().ok_or(DAMAGED)?;
    let seal: Seal = (*nonce, tag.try_into().map_err(|_| DAMAGED)?);
    Cipher::new(&key)
        .open_in_place(&roots.value_fields(place), body, &seal)
        .ok_or(DAMAGED)
}

fn value_key(data_key: &Key) -> (Key, [u8; 32]) {
    crypto::derive_committed(data_key.as_slice(), &[], b"strongroom local v1 value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::SourceEntry;
    use crate::source::Material;

    fn keys() -> (Roots, StoreHeader, Keks) {
        let material = Material::Key(Key::new([9; 32]));
        let (source, entry) = SourceKey::make(&material, 1).unwrap();
        let kek = source
            .wrap_kek(&[1; 16], 1, 0, &crypto::make_key().unwrap())
            .unwrap();
        let entry = SourceEntry {
            root: Vec::new(),
            ..entry
        };
        let header = StoreHeader::new([1; 16], entry, kek);
        let keks = Keks::open(&header, &source).unwrap();
        (Roots::derive([1; 16], &Key::new([2; 32])), header, keks)
    }

    const PLACE: Place = Place {
        name: [3; 16],
        version: 4,
        created: 5,
    };

    #[test]
    fn wrapping_stops_before_nonces_repeat() {
        let (roots, mut header, keks) = keys();
        header.kek_mut(1).unwrap().wraps = MAX_WRAPS - 1;
        let data_key = crypto::make_key().unwrap();
        assert!(keks.wrap(&roots, &mut header, &PLACE, &data_key).is_ok());
        assert_eq!(header.kek_mut(1).unwrap().wraps, MAX_WRAPS);
        let stopped = keks.wrap(&roots, &mut header, &PLACE, &data_key);
        assert!(matches!(stopped, Err(Fault::Limit(_))));
    }

    #[test]
    fn a_value_opens_at_its_place_only() {
        let (roots, mut header, keks) = keys();
        let mut body = *b"value";
        let (data_key, seal) = seal_value(&roots, &PLACE, &mut body).unwrap();
        let wrapped = keks.wrap(&roots, &mut header, &PLACE, &data_key).unwrap();
        let elsewhere = [
            Place {
                name: [4; 16],
                ..PLACE
            },
            Place {
                version: 5,
                ..PLACE
            },
            Place {
                created: 6,
                ..PLACE
            },
        ];
        for place in elsewhere {
            assert!(keks.unwrap(&roots, &place, &wrapped).is_err());
            assert!(open_value(&roots, &place, &data_key, &seal, &mut body.clone()).is_err());
        }
        let other = Roots::derive([2; 16], &Key::new([2; 32]));
        assert!(keks.unwrap(&other, &PLACE, &wrapped).is_err());
        let again = keks.unwrap(&roots, &PLACE, &wrapped).unwrap().unwrap();
        open_value(&roots, &PLACE, &again, &seal, &mut body).unwrap();
        assert_eq!(&body, b"value");
    }

    #[test]
    fn a_body_that_opens_under_another_key_is_refused_by_its_commitment() {
        let (roots, ..) = keys();
        let mut body = *b"value";
        let (one, seal_one) = seal_value(&roots, &PLACE, &mut body.clone()).unwrap();
        let (two, mut seal_two) = seal_value(&roots, &PLACE, &mut body).unwrap();
        // The second body is genuine under the second key; with the first one's commitment it is
        // what a blob that opens under two keys would look like.
        assert!(open_value(&roots, &PLACE, &two, &seal_two, &mut body.clone()).is_ok());
        seal_two[..32].copy_from_slice(&seal_one[..32]);
        assert!(open_value(&roots, &PLACE, &two, &seal_two, &mut body.clone()).is_err());
        assert!(open_value(&roots, &PLACE, &one, &seal_two, &mut body).is_err());
    }

    #[test]
    fn commitments_are_what_the_format_says() {
        let (key, commitment) = value_key(&Key::new([0x11; 32]));
        assert_eq!(hex::encode(*key), KEY_VECTOR);
        assert_eq!(hex::encode(commitment), COMMITMENT_VECTOR);
    }

    /// HKDF-SHA-256, IKM 32 bytes of 0x11, no salt, info "strongroom local v1 value", 64 bytes.
    const KEY_VECTOR: &str = "c75d66e048cfa1631e20629d851fc335d6e61d42869b421f8e43c727ce8abf6d";
    const COMMITMENT_VECTOR: &str =
        "72d44d2fa6cc12cfc651c31ff54c0583e6698bba155dc1db353dcdf91a0540d0";
}
