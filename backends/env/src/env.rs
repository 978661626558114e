//! Environment variables as a store.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, ChangeTable, Description, Error, ErrorKind,
    ListPage, PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo, Which,
};
use zeroize::{Zeroize, Zeroizing};

use crate::config::{EnvConfig, VariablePrefix};
use crate::listing::page;
use crate::{files, naming};

/// The largest value in bytes: Linux starts no program with a longer variable (128 KiB with its
/// name and the `=`).
pub const MAX_VARIABLE: u64 = 128 << 10;

/// The variables under one prefix, read-only.
pub struct EnvBackend {
    prefix: VariablePrefix,
    capabilities: Capabilities,
    unchanging: ChangeCell,
    /// When the store was opened: no variable is known to be older or newer.
    opened: u64,
}

/// Opens a store, with what settings cannot hold.
pub struct EnvBuilder {
    config: EnvConfig,
    reserved: Vec<String>,
}

impl EnvBuilder {
    /// A builder for `config`.
    pub fn new(config: EnvConfig) -> Self {
        Self {
            config,
            reserved: Vec::new(),
        }
    }

    /// Variables that hold keys and credentials of the host's own, as its configuration names them
    /// (`key = { env = "..." }`, `secret-access-key-env = "..."`).
    #[must_use]
    pub fn with_reserved<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.reserved.extend(names.into_iter().map(Into::into));
        self
    }

    /// Opens the store. Reads no variable.
    ///
    /// # Errors
    ///
    /// `Config` where the prefix would reach a reserved variable.
    pub fn open(self) -> Result<EnvBackend> {
        let prefix = self.config.prefix;
        if let Some(name) = self
            .reserved
            .iter()
            .find(|n| n.starts_with(prefix.as_str()))
        {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "the prefix {prefix} would serve the variable {name}, which holds a key or a \
                     credential of Strongroom's own: choose another prefix, or rename the variable"
                ),
            ));
        }
        let opened = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(EnvBackend {
            prefix,
            capabilities: files::read_only(MAX_VARIABLE),
            unchanging: ChangeTable::in_memory().cell(0),
            opened: u64::try_from(opened.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl EnvBackend {
    /// Opens the store of `config`, with no reserved variables but the built-in ones.
    ///
    /// # Errors
    ///
    /// As [`EnvBuilder::open`].
    pub fn open(config: &EnvConfig) -> Result<Self> {
        EnvBuilder::new(config.clone()).open()
    }

    /// The name of the variable that holds the secret `path`.
    pub fn variable(&self, path: &SecretPath) -> String {
        format!("{}{}", self.prefix, naming::encode(path))
    }

    fn missing(&self, path: &SecretPath) -> Error {
        Error::new(
            ErrorKind::NotFound,
            format!("the variable {} is not set", self.variable(path)),
        )
    }

    /// The secrets among the variables, and how many others have the prefix.
    fn names(&self) -> (BTreeSet<SecretPath>, usize) {
        let mut paths = BTreeSet::new();
        let mut others = 0;
        for (name, value) in std::env::vars_os() {
            // The standard library copies every value to list the names: wipe them all.
            drop(Zeroizing::new(value.into_vec()));
            let Some(rest) = name
                .as_bytes()
                .strip_prefix(self.prefix.as_str().as_bytes())
            else {
                continue;
            };
            match std::str::from_utf8(rest).ok().and_then(naming::decode) {
                Some(path) => drop(paths.insert(path)),
                None => others += 1,
            }
        }
        (paths, others)
    }
}

#[async_trait]
impl Backend for EnvBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        files::refuse_numbers(which)?;
        let value =
            std::env::var_os(OsStr::new(&self.variable(path))).ok_or_else(|| self.missing(path))?;
        Ok(Secret {
            value: Arc::new(value_of(value)?),
            version: 0,
            expires: None,
        })
    }

    async fn put(&self, _: &SecretPath, _: &SecretValue, _: &PutOptions) -> Result<Change> {
        Err(Error::unsupported(
            "write: environment variables are only read",
        ))
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let value =
            std::env::var_os(OsStr::new(&self.variable(path))).ok_or_else(|| self.missing(path))?;
        drop(Zeroizing::new(value.into_vec()));
        Ok(files::description(self.opened))
    }

    async fn delete(&self, _: &SecretPath, _: Option<u64>) -> Result<Change> {
        Err(Error::unsupported(
            "delete: environment variables are only read",
        ))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        Ok(page(&self.names().0, prefix, after, limit))
    }

    /// One that never moves: a process has the variables that it was started with. Without it nothing
    /// above could remember an answer that these variables are a part of.
    fn change_cell(&self, _: &SecretPath) -> Option<ChangeCell> {
        Some(self.unchanging.clone())
    }

    async fn versions(&self, _: &SecretPath) -> Result<Vec<VersionInfo>> {
        Err(Error::unsupported(
            "versions: environment variables have none",
        ))
    }

    async fn check(&self) -> Result<Vec<String>> {
        let (paths, others) = self.names();
        let mut lines = vec![format!(
            "environment: {} secrets in variables named {}...",
            paths.len(),
            self.prefix
        )];
        if others > 0 {
            lines.push(format!(
                "{others} variables have the prefix but a name that stands for no path: they are \
                 not served"
            ));
        }
        Ok(lines)
    }
}

fn value_of(value: OsString) -> Result<SecretValue> {
    let mut bytes = value.into_vec();
    if bytes.len() as u64 > MAX_VARIABLE {
        bytes.zeroize();
        return Err(Error::too_large(MAX_VARIABLE));
    }
    Ok(SecretValue::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder(prefix: &str) -> EnvBuilder {
        EnvBuilder::new(EnvConfig::new(VariablePrefix::parse(prefix).unwrap()))
    }

    #[test]
    fn a_prefix_that_reaches_a_key_of_ours_is_refused() {
        let names = ["MYAPP_KEY", "OTHER_KEY"];
        let error = builder("MYAPP_").with_reserved(names).open().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("MYAPP_KEY"));
        assert!(builder("MYAPP_KEY_").with_reserved(names).open().is_ok());
        assert!(builder("APP_").with_reserved(names).open().is_ok());
    }

    #[test]
    fn values_are_bytes_up_to_the_limit() {
        let limit = usize::try_from(MAX_VARIABLE).unwrap();
        let at = value_of(OsString::from_vec(vec![0xff; limit])).unwrap();
        assert_eq!(at.len(), limit);
        let over = value_of(OsString::from_vec(vec![b'a'; limit + 1])).unwrap_err();
        assert_eq!(over.kind(), ErrorKind::TooLarge(MAX_VARIABLE));
    }
}
