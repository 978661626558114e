//! Where the servers are installed, and where the running ones keep their files.

use std::env;
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::process::Result;

/// Marks an installation as complete, and says of what.
const STAMP: &str = "strongroom-stamp";

/// The two folders of the test servers, both outside the checkout.
pub(crate) struct Folders {
    installed: PathBuf,
    state: PathBuf,
}

impl Folders {
    /// Those of this user, below `$XDG_CACHE_HOME` or `~/.cache`.
    pub(crate) fn of_user() -> Result<Self> {
        let absolute = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let cache = absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .ok_or("neither XDG_CACHE_HOME nor HOME says where the test servers may be kept")?;
        Self::below(&cache.join("strongroom"))
    }

    fn below(dir: &Path) -> Result<Self> {
        let folders = Self {
            installed: dir.join("servers"),
            state: dir.join("servers-state"),
        };
        fs::create_dir_all(&folders.installed)?;
        // The tokens of running servers are in here.
        make_private(&folders.state)?;
        Ok(folders)
    }

    /// Where a program is installed.
    pub(crate) fn installation(&self, name: &str) -> Installation {
        Installation {
            dir: self.installed.join(name),
        }
    }

    /// Where a running server keeps its files.
    pub(crate) fn of_server(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// The variables of the running servers, for a shell to source.
    pub(crate) fn environment_file(&self) -> PathBuf {
        self.state.join("servers.env")
    }

    /// Held by whoever starts or stops servers.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// Held, shared, by each test run that uses the servers.
    pub(crate) fn in_use_file(&self) -> PathBuf {
        self.state.join("in-use")
    }
}

/// Makes a folder that nobody else can look into, unless it is there.
pub(crate) fn make_private(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| format!("cannot make {}: {error}", dir.display()).into())
}

/// A folder that holds an installed program.
pub(crate) struct Installation {
    dir: PathBuf,
}

impl Installation {
    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the installation is complete and made from just this.
    pub(crate) fn is(&self, key: &str) -> bool {
        fs::read_to_string(self.dir.join(STAMP)).is_ok_and(|found| found == key)
    }

    /// Installs what `key` stands for with `install`, in an empty folder, unless it is there.
    pub(crate) fn make(&self, key: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        if self.is(key) {
            return Ok(());
        }
        remove(&self.dir)?;
        fs::create_dir_all(&self.dir)?;
        install(&self.dir)?;
        // Last, so that an installation cut short is not taken for a whole one.
        fs::write(self.dir.join(STAMP), key)?;
        Ok(())
    }
}

/// Stands for everything that an installation is made from.
pub(crate) fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        part.hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// Removes a folder, if there is one.
pub(crate) fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", dir.display()).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_made_once_and_again_when_cut_short_or_changed() {
        let temporary = tempfile::tempdir().unwrap();
        let folders = Folders::below(temporary.path()).unwrap();
        let moto = folders.installation("moto");
        let (one, other) = (key(["moto==1"]), key(["moto==2"]));
        assert_ne!(one, other);

        let cut = moto.make(&one, |dir| {
            fs::write(dir.join("half"), "")?;
            Err("no network".into())
        });
        assert!(cut.is_err() && !moto.is(&one));

        let mut made = 0;
        for wanted in [&one, &one, &other] {
            moto.make(wanted, |dir| {
                assert!(!dir.join("half").exists());
                made += 1;
                Ok(())
            })
            .unwrap();
            assert!(moto.is(wanted));
        }
        assert_eq!(made, 2);
    }
}
