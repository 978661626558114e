//! The keys of a log: a MAC key that is ratcheted one way and erased, and a fixed key for what is
//! not history (head, journals).

use std::path::{Path, PathBuf};

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use siphasher::sip::SipHasher13;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::error::Error;
use crate::files;

/// How far a reader follows the ratchet in search of the key of a first record, so that a damaged
/// record cannot make it go on for ever.
pub(crate) const MAX_EPOCHS: u64 = 1 << 20;

/// Computes MACs with one epoch's key; the pads are hashed once.
#[derive(Clone)]
pub(crate) struct MacKey {
    pub(crate) epoch: u64,
    key: Zeroizing<[u8; 32]>,
    state: Hmac<Sha256>,
}

impl MacKey {
    pub(crate) fn new(epoch: u64, key: Zeroizing<[u8; 32]>) -> Self {
        let state = hmac_state(&key);
        Self { epoch, key, state }
    }

    /// The key of the next epoch; the way back does not exist.
    pub(crate) fn next(&self) -> Self {
        Self::new(
            self.epoch.saturating_add(1),
            expand(&self.key, b"strongroom audit v1 next mac key"),
        )
    }

    pub(crate) fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        let mut state = self.state.clone();
        state.update(bytes);
        state.finalize().into_bytes().into()
    }

    pub(crate) fn verifies(&self, bytes: &[u8], mac: &[u8; 32]) -> bool {
        self.mac(bytes).ct_eq(mac).into()
    }
}

/// Keyed checksums of one journal's slots and names: they tell a torn record from a whole one.
#[derive(Clone, Copy)]
pub(crate) struct SlotKey(SipHasher13);

impl SlotKey {
    pub(crate) fn sum(&self, bytes: &[u8]) -> u64 {
        self.0.hash(bytes)
    }
}

/// The key of heads and live claims; not history, so it is not ratcheted.
#[derive(Clone)]
pub(crate) struct ClaimKey(Hmac<Sha256>);

impl ClaimKey {
    pub(crate) fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        let mut state = self.0.clone();
        state.update(bytes);
        state.finalize().into_bytes().into()
    }
}

/// The content of the key file.
pub(crate) struct Keys {
    pub(crate) mac: MacKey,
    pub(crate) claim: ClaimKey,
    fixed: Zeroizing<[u8; 32]>,
}

impl Keys {
    /// New random keys, at epoch 0.
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut mac = Zeroizing::new([0; 32]);
        let mut fixed = Zeroizing::new([0; 32]);
        for key in [&mut mac, &mut fixed] {
            getrandom::fill(key.as_mut_slice()).map_err(|_| {
                Error::Unavailable("no randomness from the operating system".into())
            })?;
        }
        Ok(Self::new(MacKey::new(0, mac), fixed))
    }

    fn new(mac: MacKey, fixed: Zeroizing<[u8; 32]>) -> Self {
        let claim = ClaimKey(hmac_state(&expand(
            &fixed,
            b"strongroom audit v1 claim key",
        )));
        Self { mac, claim, fixed }
    }

    pub(crate) fn load(path: &Path, allow_links: bool) -> Result<Self, Error> {
        let text = files::read_key(path, allow_links)?;
        let file = KeyFile::parse(path, &text)?;
        let fixed = decode(path, "fixed", file.fixed.unwrap_or_default())?;
        Ok(Self::new(
            MacKey::new(file.epoch, decode(path, "mac", file.mac)?),
            fixed,
        ))
    }

    /// Replaces the file whole, on disk, and overwrites what the old one held.
    pub(crate) fn store(&self, path: &Path) -> Result<(), Error> {
        let mut mac = hex::encode(self.mac.key.as_slice());
        let mut fixed = hex::encode(self.fixed.as_slice());
        let text = Zeroizing::new(format!(
            "{{\"v\":1,\"use\":\"strongroom audit key\",\"epoch\":{},\"mac\":\"{mac}\",\"fixed\":\"{fixed}\"}}\n",
            self.mac.epoch
        ));
        mac.zeroize();
        fixed.zeroize();
        files::replace_and_erase(path, text.as_bytes())
    }

    /// Writes the key that `verify` starts with, to be moved off the machine.
    pub(crate) fn store_first(&self, path: &Path) -> Result<(), Error> {
        let mut mac = hex::encode(self.mac.key.as_slice());
        let text = Zeroizing::new(format!(
            "{{\"v\":1,\"use\":\"strongroom first audit key\",\"epoch\":{},\"mac\":\"{mac}\"}}\n",
            self.mac.epoch
        ));
        mac.zeroize();
        files::create(path, text.as_bytes())
    }

    pub(crate) fn slot_key(&self, writer: &str) -> SlotKey {
        let mut key = Zeroizing::new([0u8; 16]);
        let long = expand(
            &self.fixed,
            format!("strongroom audit v1 journal {writer}").as_bytes(),
        );
        for (to, from) in key.iter_mut().zip(long.iter()) {
            *to = *from;
        }
        SlotKey(SipHasher13::new_with_key(&key))
    }
}

/// Where the first verification key of a key file is.
pub fn first_key_path(key: &Path) -> PathBuf {
    files::with_suffix(key, ".first")
}

/// Reads the key that `verify` starts with: the first key, or a key file as it is now.
pub(crate) fn load_mac_key(path: &Path, allow_links: bool) -> Result<MacKey, Error> {
    let text = files::read_key(path, allow_links)?;
    let file = KeyFile::parse(path, &text)?;
    Ok(MacKey::new(file.epoch, decode(path, "mac", file.mac)?))
}

/// Borrows from the file's text, so that keys stand nowhere but in buffers that are wiped.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile<'a> {
    v: u32,
    #[serde(rename = "use")]
    _purpose: &'a str,
    epoch: u64,
    mac: &'a str,
    fixed: Option<&'a str>,
}

impl<'a> KeyFile<'a> {
    fn parse(path: &Path, text: &'a [u8]) -> Result<Self, Error> {
        let file: Self = serde_json::from_slice(text)
            .map_err(|_| Error::malformed(path, "not an audit key file"))?;
        if file.v != 1 {
            return Err(Error::malformed(path, "not an audit key of version 1"));
        }
        Ok(file)
    }
}

fn decode(path: &Path, name: &str, text: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, key.as_mut_slice())
        .map_err(|_| Error::malformed(path, format!("no 32-byte key `{name}`")))?;
    Ok(key)
}

fn hmac_state(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new(&{
        let mut block = hmac::digest::common::Key::<Hmac<Sha256>>::default();
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        block
    })
}

fn expand(key: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let expanded = Hkdf::<Sha256>::new(None, key).expand(info, out.as_mut_slice());
    debug_assert!(expanded.is_ok(), "32 bytes are within what HKDF gives");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratchet_only_goes_forward() {
        let keys = Keys::generate().unwrap();
        let next = keys.mac.next();
        assert_eq!(next.epoch, 1);
        assert_ne!(next.mac(b"x"), keys.mac.mac(b"x"));
        assert!(keys.mac.next().verifies(b"x", &next.mac(b"x")));
    }

    #[test]
    fn a_key_file_comes_back_and_a_bad_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let keys = Keys::generate().unwrap();
        files::create(&path, b"").unwrap();
        keys.store(&path).unwrap();
        let back = Keys::load(&path, false).unwrap();
        assert_eq!(back.mac.mac(b"x"), keys.mac.mac(b"x"));
        assert_eq!(back.claim.mac(b"x"), keys.claim.mac(b"x"));
        let short = r#"{"v":1,"use":"x","epoch":0,"mac":"00","fixed":"00"}"#;
        std::fs::write(&path, short).unwrap();
        assert!(matches!(
            Keys::load(&path, false),
            Err(Error::Malformed { .. })
        ));
    }
}
