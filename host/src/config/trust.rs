//! Which configurations of a current folder the user has accepted.
//!
//! A cloned repository may hold a configuration that sends the user's secrets or tokens to itself, or
//! that grants its own components the user's own store. One that was merely found in the current
//! folder and names an endpoint, `verify-tls = false`, a variable, a program, or a store, key or log
//! outside of its folder is therefore used only after the user accepted it, and again after each change:
//! of its text, of what stands in the files of its folder that its vaults log in with or believe (a
//! kubeconfig, credentials, certificates), of what such a file names in turn and is in the folder (the
//! program that a kubeconfig runs, with the files among its arguments and variables), and of where links
//! in its folder lead.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::file::platform;
use super::pins::Pins;
use super::{Config, Found, Reach, refuse_others, state_dir};
use crate::grants::Digest;

const LIST: &str = "trusted";
/// Far more than a user accepts in a lifetime.
const MAX_BYTES: u64 = 1 << 20;

/// The list of accepted configurations, by path and digest, in the user's state folder. The digest is
/// that of the text where no file beside it counts.
#[derive(Clone, Debug)]
pub struct TrustList {
    dir: PathBuf,
}

/// A configuration that needs the user's word first.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Untrusted {
    /// It was found in the current folder, reaches out of it, and was not accepted as it is now.
    #[error("{} was found in the current folder and reaches beyond it ({}): read it{}, then run 'strongroom trust'", .file.display(), .what.iter().map(|it| format!("{} in line {} {}", it.what, it.line, it.why)).collect::<Vec<_>>().join(", "), and_files(.files))]
    NotAccepted {
        /// The configuration.
        file: PathBuf,
        /// The settings that do so, and how.
        what: Vec<Reach>,
        /// The files in its folder that count as well, as it names them, in printable characters.
        files: Vec<String>,
    },
    /// A file that it names cannot be read, or they are too many or too large to be, so that nobody can
    /// tell what was accepted.
    #[error("a file that {} names cannot be looked at: {error}", .file.display())]
    Unreadable {
        /// The configuration.
        file: PathBuf,
        /// Which file, and why not.
        error: io::Error,
    },
    /// Whether it was accepted cannot be told.
    #[error("the list of trusted configurations cannot be used: {0}")]
    List(#[from] io::Error),
}

impl TrustList {
    /// The list of this user: `~/.local/state/strongroom/trusted`.
    ///
    /// # Errors
    ///
    /// Where the user has no home directory.
    pub fn for_user() -> io::Result<Self> {
        state_dir().map(Self::at).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "this user has no home directory")
        })
    }

    /// The list in this folder.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Accepts a configuration as it was read, and the files that it names as they are now. An earlier
    /// acceptance of the same file ends.
    ///
    /// # Errors
    ///
    /// Where the list cannot be read or written, or belongs to somebody else, or a file that counts
    /// cannot be read.
    pub fn add(&self, config: &Config) -> io::Result<()> {
        let path = plain_path(config.file())?;
        let digest = Pins::of(config)?.digest(config.digest());
        create_private_dir(&self.dir)?;
        let lock = private_file(&self.dir.join("trusted.lock"), true)?;
        lock.lock()?;
        let mut lines = self.lines()?;
        lines.retain(|line| line.split_once(' ').is_none_or(|(_, of)| of != path));
        lines.push(format!("{digest} {path}"));
        let new = self.dir.join("trusted.new");
        // Left behind by a writer that died under the lock.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private_file(&new, false)?;
        for line in lines {
            writeln!(file, "{line}")?;
        }
        file.sync_all()?;
        fs::rename(&new, self.dir.join(LIST))?;
        File::open(&self.dir)?.sync_all()
    }

    /// Whether this configuration was accepted, as it was read and with the files that it names as they
    /// are now.
    ///
    /// # Errors
    ///
    /// Where the list or a file that counts cannot be read, or others may write the list.
    pub fn holds(&self, config: &Config) -> io::Result<bool> {
        self.has(config, &Pins::of(config)?)
    }

    fn has(&self, config: &Config, pins: &Pins) -> io::Result<bool> {
        let digest = pins.digest(config.digest());
        let entry = format!("{digest} {}", plain_path(config.file())?);
        Ok(self.lines()?.contains(&entry))
    }

    /// Passes what needs no trust or has it.
    ///
    /// # Errors
    ///
    /// [`Untrusted`] for what was merely found, reaches out of its folder and was not accepted.
    pub fn require(&self, found: &Found, config: &Config) -> Result<(), Untrusted> {
        match look(found, config)? {
            Some(pins) => self.require_pins(config, &pins),
            None => Ok(()),
        }
    }

    fn require_pins(&self, config: &Config, pins: &Pins) -> Result<(), Untrusted> {
        if self.has(config, pins)? {
            return Ok(());
        }
        Err(Untrusted::NotAccepted {
            file: config.file().to_owned(),
            what: config.reaches_out().to_vec(),
            files: pins.names(),
        })
    }

    fn lines(&self) -> io::Result<Vec<String>> {
        let path = self.dir.join(LIST);
        let file = match platform::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let metadata = file.metadata()?;
        let refused = |message: &str| io::Error::other(format!("{} {message}", path.display()));
        if !metadata.is_file() {
            return Err(refused("is not a regular file"));
        }
        refuse_others(&path, &metadata).map_err(|exposed| refused(&exposed.to_string()))?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// What counts of a configuration beside its text; none where it needs no trust.
fn look(found: &Found, config: &Config) -> Result<Option<Pins>, Untrusted> {
    if !found.in_current_folder || config.reaches_out().is_empty() {
        return Ok(None);
    }
    let pins = Pins::of(config).map_err(|error| Untrusted::Unreadable {
        file: config.file().to_owned(),
        error,
    })?;
    Ok(Some(pins))
}

/// What a process that uses a configuration for a while has found accepted.
///
/// The files that it names are read when a vault is opened, long after it took force, and may be
/// others by then. The list alone cannot tell: an edit that was accepted since takes the place of the
/// text in force there, also where it takes a restart.
#[derive(Debug)]
pub struct Acceptance {
    list: TrustList,
    found: Found,
    /// By the digest of a text, the one that stands for its files as well.
    accepted: Mutex<HashMap<Digest, Digest>>,
}

impl Acceptance {
    /// Of the configuration that was found there, by this list.
    pub fn new(list: TrustList, found: Found) -> Self {
        Self {
            list,
            found,
            accepted: Mutex::default(),
        }
    }

    /// Passes what needs no trust or has it, before it takes force.
    ///
    /// # Errors
    ///
    /// As [`TrustList::require`].
    pub fn require(&self, config: &Config) -> Result<(), Untrusted> {
        let Some(pins) = look(&self.found, config)? else {
            return Ok(());
        };
        self.list.require_pins(config, &pins)?;
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.insert(config.digest(), pins.digest(config.digest()));
        Ok(())
    }

    /// Passes what is in force while the files that it names are as they were when it passed
    /// [`require`](Self::require), or are accepted as they are now.
    ///
    /// # Errors
    ///
    /// As [`TrustList::require`].
    pub fn still(&self, config: &Config) -> Result<(), Untrusted> {
        let Some(pins) = look(&self.found, config)? else {
            return Ok(());
        };
        let now = pins.digest(config.digest());
        let accepted = {
            let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
            accepted.get(&config.digest()).copied()
        };
        match accepted == Some(now) {
            true => Ok(()),
            false => self.list.require_pins(config, &pins),
        }
    }
}

/// The files whose contents, or whose targets where they are links, count beside the text of a
/// configuration: as it names them, in printable characters.
///
/// # Errors
///
/// One of them cannot be read.
pub fn files(config: &Config) -> io::Result<Vec<String>> {
    Pins::of(config).map(|pins| pins.names())
}

fn and_files(files: &[String]) -> String {
    match files {
        [] => String::new(),
        files => format!(" and what it names in its folder ({})", files.join(", ")),
    }
}

/// One path for one file, and one line for one path.
fn plain_path(file: &Path) -> io::Result<String> {
    let path = fs::canonicalize(file)?;
    match path.to_str() {
        Some(text) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err(io::Error::other(
            "the path of the configuration has characters that the list cannot hold",
        )),
    }
}

#[cfg(unix)]
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

/// Opens a file for writing that only this user can read; a new one, or one that may be there.
fn private_file(path: &Path, may_exist: bool) -> io::Result<File> {
    let mut options = File::options();
    options.write(true);
    if may_exist {
        options.create(true).truncate(false);
    } else {
        options.create_new(true);
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
