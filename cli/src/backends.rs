//! The backends that this program has: the only place that ties them to the broker.

use std::sync::Arc;

use strongroom::{Registry, VaultTable};
use strongroom_backend_local::{Config, LocalBackend};

/// Every backend that a configuration may name.
pub(crate) fn registry() -> Registry {
    Registry::new().with("local", |vault: &VaultTable<'_>| {
        let settings: Config = vault.settings()?;
        Ok(Arc::new(LocalBackend::open(&settings, &vault.base_dir())?))
    })
}

/// Their names, for reading a configuration without a broker.
pub(crate) fn names() -> strongroom::config::Backends {
    strongroom::config::Backends::new(["local", "memory"])
}
