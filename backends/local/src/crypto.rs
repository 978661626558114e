//! The primitives: AES-256-GCM with random nonces, HMAC-SHA-256 and HKDF, all length-prefixed.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Fault, Result};

pub(crate) const NONCE: usize = 12;
pub(crate) const TAG: usize = 16;
/// What sealing adds to a plaintext: the nonce before it and the tag after it.
pub(crate) const OVERHEAD: usize = NONCE + TAG;

/// 32 secret bytes, wiped on drop.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Random bytes, from the operating system each time: nothing to fork, snapshot or rewind.
pub(crate) fn make_random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A random key.
pub(crate) fn make_key() -> Result<Key> {
    let mut key = Key::default();
    getrandom::fill(key.as_mut_slice())?;
    Ok(key)
}

/// A key and the commitment to it: 64 bytes of HKDF output, so that finding two inputs with the
/// same commitment means a collision of SHA-256.
pub(crate) fn derive_committed(ikm: &[u8], salt: &[u8], info: &[u8]) -> (Key, [u8; 32]) {
    let mut okm = Zeroizing::new([0; 64]);
    // 64 bytes are far below HKDF's limit of 255 blocks, which is its only error.
    let _ = Hkdf::<Sha256>::new(Some(salt), ikm).expand(info, okm.as_mut_slice());
    let mut key = Key::default();
    let mut commitment = [0; 32];
    let (first, second) = okm.split_at(32);
    key.copy_from_slice(first);
    commitment.copy_from_slice(second);
    (key, commitment)
}

/// Whether two commitments or tags are equal, in constant time.
pub(crate) fn equal(one: &[u8], two: &[u8]) -> bool {
    one.ct_eq(two).into()
}

/// Associated data: fields, each with its length before it, so that no two lists of fields have
/// the same bytes.
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    pub(crate) fn new(purpose: &str) -> Self {
        Self(Vec::with_capacity(128)).with(purpose.as_bytes())
    }

    #[must_use]
    pub(crate) fn with(mut self, field: &[u8]) -> Self {
        self.0
            .extend_from_slice(&(field.len() as u64).to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    #[must_use]
    pub(crate) fn number(self, number: u64) -> Self {
        self.with(&number.to_be_bytes())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// AES-256-GCM under one key, with its schedule kept.
pub(crate) struct Cipher(Aes256Gcm);

/// The nonce and the tag of a ciphertext that stands alone.
pub(crate) type Seal = ([u8; NONCE], [u8; TAG]);

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// Encrypts in place under a random nonce.
    pub(crate) fn seal_in_place(&self, fields: &Fields, buffer: &mut [u8]) -> Result<Seal> {
        let nonce = make_random::<NONCE>()?;
        let tag = self
            .0
            .encrypt_inout_detached(&Nonce::from(nonce), fields.bytes(), buffer.into())
            .map_err(|_| Fault::Limit("the value is too large to encrypt"))?;
        Ok((nonce, tag.into()))
    }

    /// Decrypts in place; on failure the buffer holds no plaintext.
    pub(crate) fn open_in_place(
        &self,
        fields: &Fields,
        buffer: &mut [u8],
        (nonce, tag): &Seal,
    ) -> Option<()> {
        self.0
            .decrypt_inout_detached(
                &Nonce::from(*nonce),
                fields.bytes(),
                buffer.into(),
                &Tag::from(*tag),
            )
            .ok()
    }

    /// Nonce, ciphertext and tag in one.
    pub(crate) fn seal(&self, fields: &Fields, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
        sealed.extend_from_slice(&[0; NONCE]);
        sealed.extend_from_slice(plaintext);
        let (nonce, tag) = match sealed.get_mut(NONCE..) {
            Some(body) => self.seal_in_place(fields, body)?,
            None => return Err(Fault::Broken),
        };
        if let Some(head) = sealed.first_chunk_mut() {
            *head = nonce;
        }
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// The plaintext of what [`Self::seal`] made.
    pub(crate) fn open(&self, fields: &Fields, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk()?;
        let (body, tag) = rest.split_last_chunk()?;
        let mut plaintext = Zeroizing::new(body.to_vec());
        self.open_in_place(fields, &mut plaintext, &(*nonce, *tag))?;
        Some(plaintext)
    }

    /// A key that [`Self::seal`] wrapped.
    pub(crate) fn open_key(&self, fields: &Fields, sealed: &[u8]) -> Option<Key> {
        let plaintext = self.open(fields, sealed)?;
        Some(Key::new(<[u8; 32]>::try_from(plaintext.as_slice()).ok()?))
    }
}

/// HMAC-SHA-256 under one key, with its state kept: for tags, hashes and derived keys.
#[derive(Clone)]
pub(crate) struct Prf(Hmac<Sha256>);

impl Prf {
    /// The function for one purpose, out of a key that serves several.
    pub(crate) fn derive(key: &Key, purpose: &str) -> Self {
        // One block of SHA-256: what HMAC pads a key of 32 bytes to.
        let mut block = Zeroizing::new([0; 64]);
        if let Some(expanded) = block.first_chunk_mut::<32>() {
            // 32 bytes are far below HKDF's limit, which is its only error.
            let _ = Hkdf::<Sha256>::new(None, key.as_slice()).expand(purpose.as_bytes(), expanded);
        }
        Self(Hmac::new((&*block).into()))
    }

    pub(crate) fn tag(&self, fields: &Fields) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(fields.bytes());
        mac.finalize().into_bytes().into()
    }

    pub(crate) fn key(&self, fields: &Fields) -> Key {
        Key::new(self.tag(fields))
    }
}
