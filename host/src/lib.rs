//! Gives WebAssembly components the secrets they are granted, and nothing else.

mod broker;
mod platform;

pub mod config;
pub mod grants;

#[cfg(feature = "wasmtime")]
mod bindings;

pub use strongroom_audit as audit;
pub use strongroom_backend as backend;

#[cfg(feature = "wasmtime")]
pub use bindings::{HeldSecret, Vault, VaultCtx, VaultCtxView, VaultView, add_to_linker};
#[cfg(feature = "wasmtime")]
pub use broker::Loaded;
pub use broker::{
    Broker, BrokerBuilder, BuildError, CallError, Component, ErrorCode, OpenError, Page, Registry,
    RolledBack, Secret, Session, VaultTable,
};
