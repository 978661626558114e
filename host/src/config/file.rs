//! The file as such: who may write it, and what it shares with others.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::{Config, ConfigError, refuse_others};

/// The largest configuration, in bytes: some ten thousand grants, and soon read.
pub const MAX_BYTES: usize = 1 << 20;

pub(super) fn too_large() -> String {
    "is larger than 1 MiB, which no configuration is".into()
}

/// Reads the file after checking what was really opened: between a look at the path and the opening
/// another file could take its place.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let refused = |message: String| ConfigError::file(path, message);
    let opened = platform::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|error| refused(format!("cannot be read: {error}")))?;
    if !metadata.is_file() {
        return Err(refused("is not a regular file".into()));
    }
    refuse_others(path, &metadata).map_err(|exposed| refused(exposed.to_string()))?;
    let bytes = contents(file).map_err(|error| refused(format!("cannot be read: {error}")))?;
    if bytes.len() > MAX_BYTES {
        return Err(refused(too_large()));
    }
    Ok(bytes)
}

/// At most one byte more than is allowed, whatever the size was a moment ago.
fn contents(file: File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Refuses stores that are one file under two names, by links that the text does not show.
pub(super) fn refuse_shared_files(config: &Config) -> Result<(), ConfigError> {
    let vaults = config.vaults.values().filter_map(|vault| {
        let path = vault.resolve(vault.store()?);
        Some((format!("[vault.{}] in line {}", vault.id, vault.line), path))
    });
    let audit = config.audit.iter();
    let log = audit.map(|audit| {
        (
            format!("[audit] in line {}", audit.line),
            audit.path.clone(),
        )
    });
    let mut taken = HashMap::new();
    for (label, path) in vaults.chain(log) {
        let Some(identity) = platform::identity(&path) else {
            continue;
        };
        if let Some(other) = taken.insert(identity, label.clone()) {
            let message = format!("{label} and {other} are the same file under two names");
            return Err(ConfigError::file(config.file(), message));
        }
    }
    Ok(())
}

#[cfg(unix)]
pub(super) mod platform {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    use std::path::Path;

    use rustix::fs::OFlags;

    /// Opens for reading. A pipe in the file's place must not hold the host up.
    pub(in crate::config) fn open(path: &Path) -> io::Result<File> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    }

    /// What makes a file the same under any name.
    pub(in crate::config) fn identity(path: &Path) -> Option<(u64, u64)> {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }
}

#[cfg(not(unix))]
pub(super) mod platform {
    use std::fs::File;
    use std::io;
    use std::path::{Path, PathBuf};

    pub(in crate::config) fn open(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(in crate::config) fn identity(path: &Path) -> Option<PathBuf> {
        path.canonicalize().ok()
    }
}
