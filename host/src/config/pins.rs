//! The files beside a configuration that trust in it covers.
//!
//! A kubeconfig or a file of credentials says where secrets go as much as the configuration that names
//! it, and comes with the same repository: the text alone would stay the same while they go elsewhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::file::platform;
use super::parse::normal;
use super::{Config, reach};
use crate::grants::Digest;

/// More than a configuration names. It is looked at before anybody trusts it, once a second too,
/// and whoever wrote it may want that to take long.
const MOST_NAMES: usize = 4096;
/// The most files that are read, however often each is named.
const MOST_FILES: usize = 64;
/// The most bytes of all of them: no kubeconfig, key or bundle of certificates comes near.
const MOST_BYTES: u64 = 64 << 20;

/// A file or folder that a setting names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    /// As it stands in the configuration.
    text: String,
    /// Whether what stands in it decides where secrets go, as whom, or what runs.
    decides: bool,
}

impl Named {
    pub(super) fn new(text: &str, decides: bool) -> Self {
        let text = text.to_owned();
        Self { text, decides }
    }
}

/// What trust covers of a named file, beside its name.
enum Pin {
    /// What stands in it; none where it is not there.
    Contents(Option<Digest>),
    /// Where a link in the folder leads; none where that cannot be told.
    Target(Option<PathBuf>),
}

/// What a configuration was accepted as.
pub(super) struct Pins(Vec<(String, Pin)>);

impl Pins {
    /// Looks at the files that a configuration names, in whichever workspace, as they are now.
    ///
    /// # Errors
    ///
    /// One of them cannot be read, or there are too many.
    pub(super) fn of(config: &Config) -> io::Result<Self> {
        if config.named_files.len() > MOST_NAMES {
            let text = format!("there are more than {MOST_NAMES} names");
            return Err(io::Error::other(text));
        }
        let folder = std::fs::canonicalize(config.dir())?;
        let mut files = Files::new();
        let mut pins = Vec::new();
        for named in &config.named_files {
            let pin = pin(named, &folder, config.dir(), &mut files).map_err(|error| {
                let name = named.text.escape_debug();
                io::Error::new(error.kind(), format!("'{name}': {error}"))
            })?;
            pins.extend(pin.map(|pin| (named.text.clone(), pin)));
        }
        Ok(Self(pins))
    }

    /// The digest that stands for all of it: that of the text where there is nothing else.
    pub(super) fn digest(&self, text: Digest) -> Digest {
        if self.0.is_empty() {
            return text;
        }
        // No configuration: its first line is no TOML, so no text has this digest.
        let mut all = format!("a trusted configuration\n{text}\n");
        for (name, pin) in &self.0 {
            let what = match pin {
                Pin::Contents(Some(digest)) => digest.to_string(),
                Pin::Contents(None) => "none".to_owned(),
                Pin::Target(target) => format!("to {target:?}"),
            };
            all.push_str(&format!("{name:?} {what}\n"));
        }
        Digest::of(all.as_bytes())
    }

    /// The names of the files, in printable characters.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.0.iter().map(|(name, _)| name);
        names.map(|name| name.escape_debug().to_string()).collect()
    }
}

/// None for what does not come with the configuration: it is the user's, whose name the text holds.
fn pin(
    named: &Named,
    folder: &Path,
    dir: &Path,
    files: &mut Files,
) -> io::Result<Option<Pin>> {
    let path = folder.join(&named.text);
    let target = reach::real(&path);
    if let Some(inside) = target.as_ref().filter(|path| path.starts_with(folder)) {
        return match named.decides {
            true => files.contents(inside).map(|digest| Some(Pin::Contents(digest))),
            false => Ok(None),
        };
    }
    // Whoever changes the folder can point a link in it elsewhere.
    let way = normal(&path);
    let ours =
        Path::new(&named.text).is_relative() || way.starts_with(folder) || way.starts_with(dir);
    let linked = ours && target.as_ref() != Some(&way);
    Ok(linked.then_some(Pin::Target(target)))
}

/// Files that were read, each once: one of them has as many names as anyone likes.
struct Files {
    /// By the path without links; none of what is not there.
    seen: BTreeMap<PathBuf, Option<Digest>>,
    /// How many bytes may still be read.
    left: u64,
}

impl Files {
    fn new() -> Self {
        Self {
            seen: BTreeMap::new(),
            left: MOST_BYTES,
        }
    }

    /// The digest of a file; none where there is none.
    fn contents(&mut self, path: &Path) -> io::Result<Option<Digest>> {
        if let Some(digest) = self.seen.get(path) {
            return Ok(*digest);
        }
        if self.seen.len() >= MOST_FILES {
            let text = format!("more than {MOST_FILES} files in its folder would count");
            return Err(io::Error::other(text));
        }
        let digest = match platform::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            other => Some(self.digest(other?)?),
        };
        self.seen.insert(path.to_owned(), digest);
        Ok(digest)
    }

    /// In pieces, none of which stays in memory: it may be a credential.
    fn digest(&mut self, file: File) -> io::Result<Digest> {
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is not a regular file"));
        }
        let mut hash = Sha256::new();
        let mut piece = Zeroizing::new([0; 8192]);
        let mut file = file.take(self.left + 1);
        loop {
            match file.read(piece.as_mut_slice()) {
                Ok(0) => break,
                Ok(count) => hash.update(piece.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let left = file.limit().checked_sub(1);
        self.left = left.ok_or_else(|| {
            io::Error::other("more than 64 MiB of files in its folder would count")
        })?;
        Ok(Digest::from_bytes(hash.finalize().into()))
    }
}
