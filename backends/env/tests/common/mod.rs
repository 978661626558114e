//! What tests of files share.
#![allow(dead_code, reason = "each test program uses a part")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use strongroom_backend::{Backend, ErrorKind, Result, SecretPath, Which};
use strongroom_backend_env::{FilesBackend, FilesConfig};

pub(crate) fn config(folder: &str, allow_links: bool, readable_by_others: bool) -> FilesConfig {
    let mut config = FilesConfig::folder(folder);
    config.allow_links = allow_links;
    config.readable_by_others = readable_by_others;
    config
}

pub(crate) fn open(base: &Path, config: &FilesConfig) -> FilesBackend {
    FilesBackend::open(config, base).unwrap()
}

/// Writes a file that only its owner can read, and the folders that it needs.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    write_mode(path, bytes, 0o600);
}

pub(crate) fn write_mode(path: &Path, bytes: &[u8], mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    chmod(path, mode);
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) async fn get(store: &FilesBackend, path: &str) -> Result<Vec<u8>> {
    let path = SecretPath::parse(path).unwrap();
    let secret = store.get(&path, Which::Current).await?;
    Ok(secret.value.expose().to_vec())
}

/// The kind of error that a read must end in.
pub(crate) async fn kind_of(store: &FilesBackend, path: &str) -> ErrorKind {
    match get(store, path).await {
        Ok(_) => panic!("{path} is served"),
        Err(error) => error.kind(),
    }
}

pub(crate) async fn list(store: &FilesBackend, prefix: &str) -> Vec<String> {
    let page = store.list(prefix, None, usize::MAX).await.unwrap();
    assert!(!page.more);
    page.paths.iter().map(ToString::to_string).collect()
}
