//! Where things are.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;

use crate::process::{self, Result};

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        // As cargo says it now: checkouts that share a target folder run the program that one of them built.
        let now = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let mut folder = now.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        folder.pop();
        folder
    });
    &ROOT
}

/// The folder that cargo builds in, whatever environment and settings make it.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = metadata()?;
    let dir = metadata.get("target_directory").and_then(Value::as_str);
    Ok(dir
        .ok_or("cargo metadata names no target_directory")?
        .into())
}

/// The names of the packages that may be published.
pub(crate) fn published_packages() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let names = packages
        .ok_or("cargo metadata names no packages")?
        .iter()
        .filter(|package| package.get("publish").is_some_and(Value::is_null))
        .filter_map(|package| package.get("name").and_then(Value::as_str))
        .map(str::to_owned);
    Ok(names.collect())
}

fn metadata() -> Result<Value> {
    let metadata =
        process::output(process::cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    Ok(serde_json::from_str(&metadata)?)
}

/// The files below a folder whose name ends in one of these, without what is built or hidden.
pub(crate) fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in dir.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                found.append(&mut files(&path, extension)?);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
