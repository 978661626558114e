//! Key sources: from a file, a passphrase or a variable to the key that wraps all others.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use strongroom_backend::SecretValue;
use zeroize::Zeroizing;

use crate::config::KeySource;
use crate::crypto::{self, Cipher, Key};
use crate::error::{Fault, Result};
use crate::files;
use crate::header::{Argon, KekEntry, SourceEntry, SourceKind, StoreHeader};

/// RFC 9106's second choice: 64 MiB, 3 passes, 4 lanes.
pub(crate) const ARGON: Argon = Argon {
    memory: 64 * 1024,
    passes: 3,
    lanes: 4,
};

/// What a store's file may ask for: less is too easy to guess (OWASP's floor is 19 MiB), more
/// would let a planted file use up the machine before its key is checked.
const ARGON_MEMORY: std::ops::RangeInclusive<u32> = 19 * 1024..=1024 * 1024;
const ARGON_PASSES: std::ops::RangeInclusive<u32> = 1..=16;
const ARGON_LANES: std::ops::RangeInclusive<u32> = 1..=16;

/// A key file has a header line and 44 characters; a passphrase file may be longer than that.
const MAX_KEY_FILE: usize = 4096;

const KEY_FILE_HEADER: &str = "# strongroom key v1: keep it apart from the store and its backups\n";

/// What a source gives: a key, or a passphrase to derive one from.
pub(crate) enum Material {
    Key(Key),
    Passphrase(Passphrase),
}

/// A passphrase, as bytes.
pub(crate) struct Passphrase(Zeroizing<Vec<u8>>);

impl Material {
    /// A passphrase that someone typed.
    pub(crate) fn typed(passphrase: &SecretValue) -> Result<Self> {
        Self::passphrase(Zeroizing::new(passphrase.expose().to_vec()))
    }

    /// Reads a source. Paths are relative to `base`.
    pub(crate) fn read(source: &KeySource, base: &Path) -> Result<Self> {
        match source {
            KeySource::File { path, allow_links } => {
                let path = base.join(path);
                let text = files::read_private(&path, *allow_links, MAX_KEY_FILE)?;
                parse_key(&text).map(Self::Key).ok_or_else(|| {
                    Fault::Config(format!("{} is not a strongroom key file", path.display()))
                })
            }
            KeySource::PassphraseFile { path, allow_links } => {
                let mut text = files::read_private(&base.join(path), *allow_links, MAX_KEY_FILE)?;
                if text.last() == Some(&b'\n') {
                    text.pop();
                }
                if text.last() == Some(&b'\r') {
                    text.pop();
                }
                Self::passphrase(text)
            }
            KeySource::Env(name) => {
                let text = std::env::var_os(name)
                    .ok_or_else(|| Fault::Config(format!("the variable {name} is not set")))?;
                let text = Zeroizing::new(text.into_vec());
                parse_key(&text).map(Self::Key).ok_or_else(|| {
                    Fault::Config(format!("the variable {name} holds no strongroom key"))
                })
            }
            KeySource::Keyring(_) => Err(Fault::Config(
                "this program is built without keyring support: use a key file or a passphrase"
                    .to_owned(),
            )),
        }
    }

    fn passphrase(text: Zeroizing<Vec<u8>>) -> Result<Self> {
        if text.is_empty() {
            return Err(Fault::Config("the passphrase is empty".to_owned()));
        }
        Ok(Self::Passphrase(Passphrase(text)))
    }

    fn kind(&self) -> SourceKind {
        match self {
            Self::Key(_) => SourceKind::Key,
            Self::Passphrase(_) => SourceKind::Passphrase(ARGON),
        }
    }
}

/// The key of a source, as the store knows it.
pub(crate) struct SourceKey {
    pub(crate) epoch: u32,
    cipher: Cipher,
    commitment: [u8; 32],
}

impl SourceKey {
    /// A key for a new entry: the entry lacks the wrapped root key until [`Self::wrap_root`].
    pub(crate) fn make(material: &Material, epoch: u32) -> Result<(Self, SourceEntry)> {
        let mut entry = SourceEntry {
            epoch,
            kind: material.kind(),
            salt: crypto::make_random()?,
            commitment: [0; 32],
            root: Vec::new(),
        };
        let key = Self::derive(material, &entry)?;
        entry.commitment = key.commitment;
        Ok((key, entry))
    }

    /// The key of an existing entry, once its commitment says that it is the right one.
    pub(crate) fn open(material: &Material, entry: &SourceEntry) -> Result<Self> {
        let key = Self::derive(material, entry)?;
        if crypto::equal(&key.commitment, &entry.commitment) {
            return Ok(key);
        }
        Err(match (material, entry.kind) {
            (Material::Passphrase(_), SourceKind::Passphrase(_)) => Fault::WrongPassphrase,
            _ => Fault::WrongKey,
        })
    }

    fn derive(material: &Material, entry: &SourceEntry) -> Result<Self> {
        let stretched;
        let ikm = match (material, entry.kind) {
            (Material::Key(key), SourceKind::Key) => key,
            (Material::Passphrase(passphrase), SourceKind::Passphrase(cost)) => {
                stretched = stretch(passphrase, &entry.salt, cost)?;
                &stretched
            }
            // A store whose entry says "key" never makes a passphrase cheaper to guess, nor the
            // other way round: each kind only takes its own.
            _ => return Err(Fault::WrongKey),
        };
        let (key, commitment) = crypto::derive_committed(
            ikm.as_slice(),
            &entry.salt,
            b"strongroom local v1 key source",
        );
        Ok(Self {
            epoch: entry.epoch,
            cipher: Cipher::new(&key),
            commitment,
        })
    }

    pub(crate) fn wrap_root(
        &self,
        store: &[u8; 16],
        entry: &mut SourceEntry,
        root: &Key,
    ) -> Result<()> {
        entry.root = self
            .cipher
            .seal(&StoreHeader::root_fields(store, entry), root.as_slice())?;
        Ok(())
    }

    pub(crate) fn open_root(&self, header: &StoreHeader) -> Result<Key> {
        let fields = StoreHeader::root_fields(&header.store, &header.source);
        self.cipher
            .open_key(&fields, &header.source.root)
            .ok_or(Fault::Damaged("its root key does not open"))
    }

    pub(crate) fn wrap_kek(
        &self,
        store: &[u8; 16],
        number: u32,
        wraps: u64,
        kek: &Key,
    ) -> Result<KekEntry> {
        let fields = StoreHeader::kek_fields(store, self.epoch, number);
        Ok(KekEntry {
            number,
            wraps,
            commitment: kek_commitment(kek).1,
            sealed: self.cipher.seal(&fields, kek.as_slice())?,
        })
    }

    pub(crate) fn open_kek(&self, store: &[u8; 16], entry: &KekEntry) -> Result<Key> {
        const DAMAGED: Fault = Fault::Damaged("a key-encryption key does not open");
        let fields = StoreHeader::kek_fields(store, self.epoch, entry.number);
        let kek = self
            .cipher
            .open_key(&fields, &entry.sealed)
            .ok_or(DAMAGED)?;
        if !crypto::equal(&kek_commitment(&kek).1, &entry.commitment) {
            return Err(DAMAGED);
        }
        Ok(kek)
    }
}

/// The key that a key-encryption key stands for in AES-GCM, and the commitment to it.
pub(crate) fn kek_commitment(kek: &Key) -> (Key, [u8; 32]) {
    crypto::derive_committed(
        kek.as_slice(),
        &[],
        b"strongroom local v1 key-encryption key",
    )
}

/// Makes a key file with mode 0600, in a folder with mode 0700, unless there is one: a key is
/// never overwritten. Tells whether it made one.
pub(crate) fn make_key_file(path: &Path) -> Result<bool> {
    let folder = files::make_private_folder(files::parent(path))?;
    let Some(name) = path.file_name() else {
        return Err(Fault::Config(format!("{} names no file", path.display())));
    };
    let path: PathBuf = folder.join(name);
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let key = crypto::make_key()?;
    // Header, 44 characters and a newline: no buffer grows.
    let mut text = Zeroizing::new(Vec::with_capacity(KEY_FILE_HEADER.len() + 45));
    text.extend_from_slice(KEY_FILE_HEADER.as_bytes());
    let mut encoded = Zeroizing::new([0; 44]);
    BASE64
        .encode_slice(key.as_slice(), encoded.as_mut_slice())
        .map_err(|_| Fault::Broken)?;
    text.extend_from_slice(encoded.as_slice());
    text.push(b'\n');
    files::write_private(&path, &text)?;
    Ok(true)
}

/// The key in the text of a key file: lines that start with `#` do not count.
fn parse_key(text: &[u8]) -> Option<Key> {
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let line = lines.next().filter(|line| line.len() == 44)?;
    if lines.next().is_some() {
        return None;
    }
    let mut decoded = Zeroizing::new([0; 36]);
    let length = BASE64.decode_slice(line, decoded.as_mut_slice()).ok()?;
    Some(Key::new(decoded.get(..length)?.try_into().ok()?))
}

fn stretch(passphrase: &Passphrase, salt: &[u8; 32], cost: Argon) -> Result<Key> {
    let allowed = ARGON_MEMORY.contains(&cost.memory)
        && ARGON_PASSES.contains(&cost.passes)
        && ARGON_LANES.contains(&cost.lanes);
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(32))
        .ok()
        .filter(|_| allowed)
        .ok_or(Fault::Damaged(
            "it asks for a cost of Argon2id that is not allowed",
        ))?;
    let mut key = Key::default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(&passphrase.0, salt, key.as_mut_slice())
        .map_err(|_| Fault::Busy("there is not enough memory for Argon2id"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Material {
        Material::typed(&SecretValue::copy_of(text.as_bytes())).unwrap()
    }

    #[test]
    fn costs_out_of_bounds_are_refused_before_any_work() {
        let Material::Passphrase(text) = passphrase("correct horse") else {
            unreachable!()
        };
        let with = |change: fn(&mut Argon)| {
            let mut cost = ARGON;
            change(&mut cost);
            stretch(&text, &[0; 32], cost)
        };
        let refused: [fn(&mut Argon); 6] = [
            |c| c.memory = 19 * 1024 - 1,
            |c| c.memory = u32::MAX,
            |c| c.passes = 17,
            |c| c.passes = 0,
            |c| c.lanes = 17,
            |c| c.lanes = 0,
        ];
        for change in refused {
            assert!(matches!(with(change), Err(Fault::Damaged(_))));
        }
        assert!(with(|c| (c.memory, c.passes, c.lanes) = (19 * 1024, 1, 1)).is_ok());
    }

    #[test]
    fn the_commitment_tells_a_wrong_passphrase() {
        let (_, entry) = SourceKey::make(&passphrase("one"), 1).unwrap();
        assert!(SourceKey::open(&passphrase("one"), &entry).is_ok());
        let wrong = SourceKey::open(&passphrase("two"), &entry);
        assert!(matches!(wrong, Err(Fault::WrongPassphrase)));
        let key = Material::Key(Key::default());
        assert!(matches!(
            SourceKey::open(&key, &entry),
            Err(Fault::WrongKey)
        ));
    }

    #[test]
    fn key_texts_hold_one_key_and_nothing_else() {
        let body = BASE64.encode([7; 32]);
        let good = format!("# a comment\n\n{body}\n");
        assert_eq!(*parse_key(good.as_bytes()).unwrap(), [7; 32]);
        assert!(parse_key(body.as_bytes()).is_some());
        for bad in [
            String::new(),
            format!("{body}{body}"),
            format!("{body}\n{body}"),
            BASE64.encode([7; 31]),
            BASE64.encode([7; 33]),
            "x".repeat(44),
        ] {
            assert!(parse_key(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
