//! Local stores of many secrets, made once and kept in the target folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use strongroom::backend::{Backend, PutOptions, SecretPath, SecretValue};
use strongroom_backend_local::{Config, KeySource, LocalBackend};

use crate::{Result, target_dir};

/// Written last: a store without it was not finished.
const FINISHED: &str = "finished";

/// A local store with secrets `s/0` to `s/{size - 1}`, each 32 bytes.
#[derive(Debug)]
pub struct Stored {
    /// Its folder.
    pub folder: PathBuf,
    /// How many secrets it has.
    pub size: u32,
}

/// The store of this size. Nobody writes to it, so that a later run finds it as it was; each write of
/// one waits for the disk.
///
/// # Errors
///
/// Where it cannot be written.
pub async fn store(size: u32) -> Result<Stored> {
    let folder = target_dir()?.join(format!("bench/store-{size}"));
    if !is_usable(&folder) {
        remove(&folder)?;
        fs::create_dir_all(&folder)?;
        let store = LocalBackend::create(&config(), &folder)?;
        let value = SecretValue::new(vec![b'v'; 32]);
        for number in 0..size {
            let path = SecretPath::parse(&format!("s/{number}"))?;
            store.put(&path, &value, &PutOptions::default()).await?;
        }
        fs::write(folder.join(FINISHED), "")?;
    }
    Ok(Stored { folder, size })
}

/// An unfinished store, or one of another format, is made anew.
fn is_usable(folder: &Path) -> bool {
    folder.join(FINISHED).exists() && LocalBackend::open(&config(), folder).is_ok()
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn config() -> Config {
    Config::new("v.vault", KeySource::file("keys/v.key"))
}
