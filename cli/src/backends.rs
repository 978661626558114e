//! The backends that this program has.

use std::path::Path;
use std::sync::Arc;

use strongroom::config::Backends;
use strongroom::{Registry, VaultTable};
use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_local::{Config, LocalBackend};

use crate::commands::keys;

/// Every backend that the configuration in `file` may name.
pub(crate) fn registry(file: &Path) -> Registry {
    let draft = keys::draft_beside(file);
    strongroom_backends::registry().with("local", move |vault: &VaultTable<'_>| {
        let settings: Config = vault.settings()?;
        let store = LocalBackend::open(&settings, &vault.base_dir()).map_err(|error| {
            if error.kind() != ErrorKind::Unauthenticated || !draft.exists() {
                return error;
            }
            let text = format!(
                "{error}; {} is there: a `strongroom keys rekey` may have broken off, run it again",
                draft.display()
            );
            Error::new(ErrorKind::Unauthenticated, text).with_source(error)
        })?;
        Ok(Arc::new(store))
    })
}

/// Their names, for reading a configuration without a broker.
pub(crate) fn names() -> Backends {
    strongroom_backends::registry().names()
}
