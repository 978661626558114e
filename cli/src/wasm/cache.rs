//! Where compiled code is kept between runs.
//!
//! It is machine code that runs outside of every sandbox: whoever can write it is the user. So the
//! folder, and every folder above it, must be one that only the user (or root) may write; where it
//! is not, components are compiled anew each time.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use wasmtime::{Cache, CacheConfig};

use crate::output;

/// The cache, or none with a warning where it cannot be trusted or used.
pub(crate) fn open() -> Option<Cache> {
    let Some(folder) = folder(|name| std::env::var_os(name).map(PathBuf::from)) else {
        output::warning("there is no home folder, so compiled code is not kept");
        return None;
    };
    let opened = prepare(&folder).and_then(|folder| {
        let mut config = CacheConfig::new();
        config.with_directory(folder);
        Cache::new(config).map_err(|error| error.to_string())
    });
    opened
        .inspect_err(|why| {
            let what = format!("{}: {why}", folder.display());
            output::warning(&format!(
                "compiled code is not kept: {}",
                output::printable(&what)
            ));
        })
        .ok()
}

fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("strongroom").join("wasm"))
}

/// Makes the folder where it is missing, and returns its real path once that can be trusted.
fn prepare(folder: &Path) -> Result<PathBuf, String> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| format!("cannot make the folder: {error}"))?;
    let real = fs::canonicalize(folder).map_err(|error| error.to_string())?;
    let me = rustix::process::geteuid().as_raw();
    let about = |path: &Path| -> io::Result<Metadata> { fs::symlink_metadata(path) };
    let own = about(&real).map_err(|error| error.to_string())?;
    if !own.is_dir() || own.uid() != me {
        return Err("it is not a folder of yours".to_owned());
    }
    if own.mode() & 0o077 != 0 {
        return Err(format!("others may use it; chmod 700 {}", real.display()));
    }
    for above in real.ancestors().skip(1) {
        let about = about(above).map_err(|error| error.to_string())?;
        if !is_safe_above(&about, me) {
            return Err(format!(
                "others may write {}, which it is in",
                above.display()
            ));
        }
    }
    Ok(real)
}

/// Whether nobody but the user and root can put another folder in the place of one in here. In a
/// sticky folder only owners rename what they own.
fn is_safe_above(about: &Metadata, me: u32) -> bool {
    let owned = about.uid() == me || about.uid() == 0;
    owned && (about.mode() & 0o022 == 0 || about.mode() & 0o1000 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_new_folder_is_private() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        let real = prepare(&folder).unwrap();
        assert_eq!(fs::metadata(real).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        prepare(&folder).unwrap();
        for bad in [0o770, 0o707, 0o702, 0o750] {
            mode(&folder, bad);
            assert!(prepare(&folder).is_err(), "{bad:o}");
        }
        mode(&folder, 0o700);
        mode(&home.path().join("a"), 0o777);
        assert!(prepare(&folder).unwrap_err().contains("others may write"));
        mode(&home.path().join("a"), 0o1777);
        assert!(prepare(&folder).is_ok());
    }

    #[test]
    fn a_link_counts_as_what_it_leads_to() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("open");
        fs::create_dir(&target).unwrap();
        mode(&target, 0o777);
        let link = home.path().join("link");
        symlink(&target, &link).unwrap();
        assert!(prepare(&link).is_err());
    }

    #[test]
    fn the_folder_is_the_users_own() {
        let named = |set: &'static [(&str, &str)]| {
            folder(move |name| {
                set.iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, path)| PathBuf::from(path))
            })
        };
        assert_eq!(
            named(&[("HOME", "/h")]).unwrap(),
            Path::new("/h/.cache/strongroom/wasm")
        );
        let both = named(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]).unwrap();
        assert_eq!(both, Path::new("/c/strongroom/wasm"));
        let relative = named(&[("HOME", "/h"), ("XDG_CACHE_HOME", "c")]).unwrap();
        assert_eq!(relative, Path::new("/h/.cache/strongroom/wasm"));
        assert_eq!(named(&[]), None);
    }
}
