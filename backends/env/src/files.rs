//! Files as a store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fs::Stat;
use strongroom_backend::{
    Backend, Capabilities, Change, CompareAndSet, Description, Error, ErrorKind, ListPage,
    PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo, VersionNumbers, Which,
};

use crate::config::{FilesConfig, FilesSource};
use crate::error::{self, Fault};
use crate::folder::Folder;
use crate::json::Keys;
use crate::listing::{self, page};
use crate::trust::Rules;

/// The largest value in bytes, as that of the local store: 1 MiB.
pub const MAX_FILE: u64 = 1 << 20;

/// The largest JSON file in bytes, 8 MiB: it is read whole for each call.
pub const MAX_JSON: u64 = 8 << 20;

/// A folder of secrets, or a JSON file of them, read-only.
///
/// Files are read anew at each call, on tokio's blocking threads: what replaces them is seen at
/// once. Call it within a tokio runtime.
pub struct FilesBackend {
    store: Arc<Store>,
    capabilities: Capabilities,
}

/// Opens a store, with the folder that its relative paths start at.
pub struct FilesBuilder {
    config: FilesConfig,
    base: PathBuf,
}

impl FilesBuilder {
    /// A builder for `config`, whose relative paths start at the current folder.
    pub fn new(config: FilesConfig) -> Self {
        Self {
            config,
            base: PathBuf::new(),
        }
    }

    /// The folder that relative paths start at: that of the configuration file.
    #[must_use]
    pub fn with_base_dir(mut self, base: impl Into<PathBuf>) -> Self {
        self.base = base.into();
        self
    }

    /// Opens the store. Links in the path of its folder are resolved here, once.
    ///
    /// # Errors
    ///
    /// `Config` where the folder or the JSON file is missing, `PermissionDenied` where others could
    /// change them, `Damaged` where the file is not a JSON object with unique keys.
    pub fn open(self) -> Result<FilesBackend> {
        let store = Store::open(&self.config, &self.base)?;
        Ok(FilesBackend {
            store: Arc::new(store),
            capabilities: read_only(MAX_FILE),
        })
    }
}

impl FilesBackend {
    /// Opens the store of `config`, whose relative paths start at `base`.
    ///
    /// # Errors
    ///
    /// As [`FilesBuilder::open`].
    pub fn open(config: &FilesConfig, base: &Path) -> Result<Self> {
        FilesBuilder::new(config.clone()).with_base_dir(base).open()
    }

    async fn blocking<R: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> error::Result<R> + Send + 'static,
    ) -> Result<R> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || call(&store))
            .await
            .map_err(|_| Error::new(ErrorKind::Failed, "a call to the store was broken off"))?
            .map_err(Error::from)
    }
}

#[async_trait]
impl Backend for FilesBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        refuse_numbers(which)?;
        let path = path.clone();
        let value = self.blocking(move |store| store.get(&path)).await?;
        Ok(Secret {
            value: Arc::new(value),
            version: 0,
            expires: None,
        })
    }

    async fn put(&self, _: &SecretPath, _: &SecretValue, _: &PutOptions) -> Result<Change> {
        Err(Error::unsupported("write: these files are only read"))
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let path = path.clone();
        self.blocking(move |store| store.modified(&path))
            .await
            .map(description)
    }

    async fn delete(&self, _: &SecretPath, _: Option<u64>) -> Result<Change> {
        Err(Error::unsupported("delete: these files are only read"))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.blocking(move |store| {
            let names = store.names(&prefix)?;
            Ok(page(&names, &prefix, after.as_deref(), limit))
        })
        .await
    }

    async fn versions(&self, _: &SecretPath) -> Result<Vec<VersionInfo>> {
        Err(Error::unsupported("versions: files have none"))
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.blocking(Store::check).await
    }
}

/// What can be done with a store that is only read and has nothing but names and values.
pub(crate) fn read_only(max_value: u64) -> Capabilities {
    Capabilities {
        max_value,
        write: false,
        list: true,
        versions: VersionNumbers::None,
        restarts: false,
        compare_and_set: CompareAndSet::None,
        undelete: false,
        delete_version: false,
        destroy: false,
        metadata: false,
        expiry: false,
    }
}

/// There are no versions to ask for.
pub(crate) fn refuse_numbers(which: Which) -> Result<()> {
    match which {
        Which::Current => Ok(()),
        Which::Version(_) => Err(Error::unsupported("versions by number")),
    }
}

/// All that is known of a secret here: that it is there, since `time` at the latest.
pub(crate) fn description(time: u64) -> Description {
    Description {
        version: Some(0),
        created: time,
        updated: time,
        expires: None,
        rotates: None,
        kind: None,
        description: None,
        labels: Vec::new(),
    }
}

/// Where the secrets are.
enum Store {
    Files(Folder),
    Json(JsonFile),
}

struct JsonFile {
    folder: Folder,
    name: String,
    path: PathBuf,
}

impl Store {
    fn open(config: &FilesConfig, base: &Path) -> error::Result<Self> {
        let rules = Rules {
            allow_links: config.allow_links,
            readable_by_others: config.readable_by_others,
        };
        match &config.source {
            FilesSource::Folder(path) => Folder::new(&base.join(path), rules).map(Self::Files),
            FilesSource::Json(path) => JsonFile::open(base.join(path), rules).map(Self::Json),
        }
    }

    fn get(&self, path: &SecretPath) -> error::Result<SecretValue> {
        let value = match self {
            Self::Files(folder) => folder
                .read(path.as_str(), MAX_FILE)?
                .map(|(mut bytes, _)| SecretValue::new(std::mem::take(&mut *bytes))),
            Self::Json(file) => file.with_keys(|keys, _| keys.value(path.as_str(), &file.path))?,
        };
        let value = value.ok_or_else(|| self.missing(path))?;
        if value.len() as u64 > MAX_FILE {
            return Err(Fault::TooLarge {
                path: self.place(path),
                limit: MAX_FILE,
            });
        }
        Ok(value)
    }

    /// When the file of a secret was last written, in milliseconds.
    fn modified(&self, path: &SecretPath) -> error::Result<u64> {
        let stat = match self {
            Self::Files(folder) => folder.stat(path.as_str())?,
            Self::Json(file) => {
                file.with_keys(|keys, stat| Ok(keys.has(path.as_str()).then_some(*stat)))?
            }
        };
        stat.map(|stat| milliseconds(&stat))
            .ok_or_else(|| self.missing(path))
    }

    fn names(&self, prefix: &str) -> error::Result<BTreeSet<SecretPath>> {
        match self {
            Self::Files(folder) => listing::walk(folder, prefix),
            Self::Json(file) => file.with_keys(|keys, _| {
                let names = keys.names().filter(|name| name.starts_with(prefix));
                Ok(names
                    .filter_map(|name| SecretPath::parse(name).ok())
                    .collect())
            }),
        }
    }

    fn check(&self) -> error::Result<Vec<String>> {
        match self {
            Self::Files(folder) => {
                folder.check()?;
                let names = listing::walk(folder, "")?;
                for name in &names {
                    folder.stat(name.as_str())?;
                }
                let place = folder.path().display();
                Ok(vec![format!(
                    "{place}: {} files, owners and modes are right",
                    names.len()
                )])
            }
            Self::Json(file) => file.check(),
        }
    }

    fn missing(&self, path: &SecretPath) -> Fault {
        Fault::Missing(match self {
            Self::Files(_) => format!("there is no file {}", self.place(path).display()),
            Self::Json(file) => format!("{} has no key \"{path}\"", file.path.display()),
        })
    }

    fn place(&self, path: &SecretPath) -> PathBuf {
        match self {
            Self::Files(folder) => folder.path().join(path.as_str()),
            Self::Json(file) => file.path.clone(),
        }
    }
}

impl JsonFile {
    fn open(path: PathBuf, rules: Rules) -> error::Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        let (Some(name), Some(parent)) = (name, path.parent()) else {
            return Err(Fault::Config(format!("{} names no file", path.display())));
        };
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        let file = Self {
            folder: Folder::new(parent, rules)?,
            name: name.to_owned(),
            path: path.clone(),
        };
        match file.with_keys(|_, _| Ok(())) {
            // While it is served a file may be away for a moment; at the start it must be there.
            Err(Fault::Gone(path)) => Err(Fault::Config(Fault::Gone(path).to_string())),
            other => other.map(|()| file),
        }
    }

    /// Reads the file and gives its keys to `use_keys`.
    fn with_keys<R>(
        &self,
        use_keys: impl FnOnce(&Keys<'_>, &Stat) -> error::Result<R>,
    ) -> error::Result<R> {
        let (bytes, stat) = self
            .folder
            .read(&self.name, MAX_JSON)?
            .ok_or_else(|| Fault::Gone(self.path.clone()))?;
        use_keys(&Keys::parse(&bytes, &self.path)?, &stat)
    }

    fn check(&self) -> error::Result<Vec<String>> {
        self.folder.check()?;
        let (keys, served) = self.with_keys(|keys, _| {
            let served = keys.names().filter(|name| SecretPath::parse(name).is_ok());
            Ok((keys.names().count(), served.count()))
        })?;
        let mut lines = vec![format!("{}: {served} secrets", self.path.display())];
        if keys > served {
            lines.push(format!(
                "{} keys stand for no path: they are not served",
                keys - served
            ));
        }
        Ok(lines)
    }
}

fn milliseconds(stat: &Stat) -> u64 {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    seconds
        .saturating_mul(1000)
        .saturating_add(stat.st_mtime_nsec / 1_000_000)
}
