//! The files beside a configuration that trust in it covers.
//!
//! A kubeconfig or a file of credentials says where secrets go as much as the configuration that names
//! it, and comes with the same repository: the text alone would stay the same while they go elsewhere.
//! So do the certificates and the program that such a file names in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
/// The most bytes of those among them in which names of further files are looked for.
const MOST_TEXT: u64 = 4 << 20;
/// The most places where what such a text says is looked for.
const MOST_PLACES: usize = 32_768;
/// Between these, one text of a file may have several names: `--config=./login.json`.
const BETWEEN: [char; 7] = ['=', ':', ',', ';', '"', '\'', '`'];
/// As well, in what is left: `-d @request.json`, `sh -c "(./login <token)"`.
const WITHIN: [char; 11] = ['@', '<', '>', '&', '|', '(', ')', '{', '}', '[', ']'];

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

/// What a file that a vault logs in with has as names of further files, which only its backend can
/// read; nothing for a file of another kind.
#[derive(Clone)]
pub(crate) struct NamesIn(Arc<ReadNames>);

type ReadNames = dyn Fn(&[u8]) -> Vec<String> + Send + Sync;

impl NamesIn {
    pub(crate) fn new(names: impl Fn(&[u8]) -> Vec<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(names))
    }
}

impl fmt::Debug for NamesIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NamesIn")
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
            return Err(too_many_names(MOST_NAMES));
        }
        let mut look = Look::at(config)?;
        let mut pins = Vec::new();
        for named in &config.named_files {
            look.setting(named, &mut pins).map_err(|error| {
                let name = named.text.escape_debug();
                io::Error::new(error.kind(), format!("'{name}': {error}"))
            })?;
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
        let names: BTreeSet<_> = self.0.iter().map(|(name, _)| name).collect();
        let names = names.into_iter();
        names.map(|name| name.escape_debug().to_string()).collect()
    }
}

/// A look at the files of a configuration, each read once: one of them has as many names as anyone
/// likes.
struct Look<'c> {
    /// The folder of the configuration, as it is spelled and without links.
    dir: &'c Path,
    folder: PathBuf,
    names_in: &'c [NamesIn],
    /// By the path without links; none of what is not there.
    seen: BTreeMap<PathBuf, Option<Digest>>,
    /// What the files of settings name in turn, by the path without links.
    words: BTreeMap<PathBuf, Arc<BTreeSet<String>>>,
    /// Of which that was looked for, and beside what.
    named_in: BTreeSet<(PathBuf, PathBuf)>,
    /// What they may name, where that would be.
    inner: BTreeSet<PathBuf>,
    /// How many bytes may still be read, and searched for names.
    left: u64,
    text_left: u64,
}

impl<'c> Look<'c> {
    fn at(config: &'c Config) -> io::Result<Self> {
        Ok(Self {
            dir: config.dir(),
            folder: std::fs::canonicalize(config.dir())?,
            names_in: &config.names_in,
            seen: BTreeMap::new(),
            words: BTreeMap::new(),
            named_in: BTreeSet::new(),
            inner: BTreeSet::new(),
            left: MOST_BYTES,
            text_left: MOST_TEXT,
        })
    }

    /// Adds what trust covers of a file that a setting names. That is nothing of what does not come
    /// with the configuration: it is the user's, whose name the text holds.
    fn setting(&mut self, named: &Named, pins: &mut Vec<(String, Pin)>) -> io::Result<()> {
        let path = self.folder.join(&named.text);
        let target = reach::real(&path);
        let inside = target
            .as_ref()
            .filter(|path| path.starts_with(&self.folder));
        match inside {
            Some(inside) if named.decides => {
                let pin = Pin::Contents(self.contents(inside)?);
                pins.push((named.text.clone(), pin));
            }
            Some(_) => {}
            None => {
                let ours = Path::new(&named.text).is_relative();
                let link = self.link(&path, ours, target.as_deref());
                pins.extend(link.map(|pin| (named.text.clone(), pin)));
            }
        }
        match target {
            Some(target) if named.decides => self.named_in(&path, target, pins),
            _ => Ok(()),
        }
    }

    /// Whoever changes the folder can point a link in it elsewhere.
    fn link(&self, path: &Path, ours: bool, target: Option<&Path>) -> Option<Pin> {
        let way = normal(path);
        let ours = ours || way.starts_with(&self.folder) || way.starts_with(self.dir);
        let linked = ours && target != Some(&*way);
        linked.then(|| Pin::Target(target.map(Path::to_owned)))
    }

    /// Adds what the file of a setting names in turn and is there: what comes to be there later is one
    /// more. Clients take such a name from the folder of the file, and programs from the current one,
    /// where the configuration was found.
    fn named_in(
        &mut self,
        path: &Path,
        target: PathBuf,
        pins: &mut Vec<(String, Pin)>,
    ) -> io::Result<()> {
        let beside = normal(path.parent().unwrap_or(path));
        // However many spellings of one name there are.
        if !self.named_in.insert((target.clone(), beside.clone())) {
            return Ok(());
        }
        let bases = [beside, self.folder.clone()];
        for word in self.words(target)?.iter() {
            for base in &bases {
                self.inner(base, word, pins)?;
            }
        }
        Ok(())
    }

    fn inner(&mut self, base: &Path, word: &str, pins: &mut Vec<(String, Pin)>) -> io::Result<()> {
        let path = base.join(word);
        if self.inner.contains(&path) {
            return Ok(());
        }
        if self.inner.len() >= MOST_PLACES {
            return Err(too_many_names(MOST_PLACES));
        }
        self.inner.insert(path.clone());
        if path.symlink_metadata().is_err() {
            return Ok(());
        }
        let target = reach::real(&path);
        let inside = target
            .as_ref()
            .filter(|path| path.starts_with(&self.folder));
        let pin = match inside {
            // A word may happen to be the name of a folder, whose files are none that it names.
            Some(inside) if inside.is_file() => Some(Pin::Contents(self.contents(inside)?)),
            Some(_) => None,
            None => {
                let ours = Path::new(word).is_relative() && normal(base).starts_with(&self.folder);
                self.link(&path, ours, target.as_deref())
            }
        };
        let way = normal(&path);
        let name = way.strip_prefix(&self.folder).unwrap_or(&way).display();
        pins.extend(pin.map(|pin| (name.to_string(), pin)));
        Ok(())
    }

    /// What may be names of files in a file of a setting. A file of the user's that cannot be read is
    /// none that a vault could use.
    fn words(&mut self, target: PathBuf) -> io::Result<Arc<BTreeSet<String>>> {
        if self.names_in.is_empty() {
            return Ok(Arc::default());
        }
        if let Some(words) = self.words.get(&target) {
            return Ok(Arc::clone(words));
        }
        if self.words.len() >= MOST_FILES {
            return Err(too_many());
        }
        let mut words = BTreeSet::new();
        match self.text(&target) {
            Ok(bytes) => {
                let names = self.names_in.iter().map(|NamesIn(names)| names(&bytes));
                let texts: Vec<String> = names.flatten().collect();
                // A file may say much with few bytes, as YAML can by its aliases.
                let size: u64 = texts.iter().map(|text| text.len() as u64).sum();
                if size > MOST_TEXT {
                    return Err(too_much_text());
                }
                add_words(&texts, &mut words);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::FileTooLarge => return Err(error),
            Err(error) if target.starts_with(&self.folder) => return Err(error),
            Err(_) => {}
        }
        let words = Arc::new(words);
        self.words.insert(target, Arc::clone(&words));
        Ok(words)
    }

    /// The whole of a file, which may be a credential.
    fn text(&mut self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        let file = platform::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("is not a regular file"));
        }
        // Whole capacity from the start: a buffer that grows leaves copies behind.
        let size = metadata.len().min(self.text_left) + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0)));
        let mut file = file.take(self.text_left + 1);
        file.read_to_end(&mut bytes)?;
        self.text_left = file.limit().checked_sub(1).ok_or_else(too_much_text)?;
        Ok(bytes)
    }

    /// The digest of a file; none where there is none.
    fn contents(&mut self, path: &Path) -> io::Result<Option<Digest>> {
        if let Some(digest) = self.seen.get(path) {
            return Ok(*digest);
        }
        if self.seen.len() >= MOST_FILES {
            return Err(too_many());
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

/// A text as it is, and each name that may stand in it. One may say the same any number of times.
fn add_words(texts: &[String], words: &mut BTreeSet<String>) {
    let mut found: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
    for text in texts {
        for word in text.split(|c: char| c.is_whitespace() || BETWEEN.contains(&c)) {
            found.insert(word);
            // What is left of `file://name` is a name too.
            found.insert(word.trim_start_matches('/'));
            found.extend(word.split(WITHIN));
        }
    }
    found.remove("");
    words.extend(found.into_iter().map(str::to_owned));
}

fn too_much_text() -> io::Error {
    let text = "the files that are named are larger than 4 MiB in all";
    io::Error::new(ErrorKind::FileTooLarge, text)
}

fn too_many_names(most: usize) -> io::Error {
    io::Error::other(format!("more than {most} names are to be looked for"))
}

fn too_many() -> io::Error {
    io::Error::other(format!("more than {MOST_FILES} files would count"))
}
