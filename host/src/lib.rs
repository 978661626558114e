//! Gives WebAssembly components the secrets they are granted, and nothing else.
//!
//! A guest imports the WIT interface `strongroom:vault/vault` and calls `get`. This crate is the host
//! behind it: a [`Broker`] decides each call by the grants of the component, records it in the
//! audit log before the value leaves, and asks the vault's backend.
//!
//! # Embedding
//!
//! ```no_run
//! use strongroom::{Broker, VaultCtx, VaultCtxView, VaultView};
//! use wasmtime::component::{Linker, ResourceTable};
//! use wasmtime::{Engine, Store};
//!
//! // What a store holds: the vault's context and the table of resources.
//! struct Host {
//!     vault: VaultCtx,
//!     table: ResourceTable,
//! }
//!
//! impl VaultView for Host {
//!     fn vault(&mut self) -> VaultCtxView<'_> {
//!         VaultCtxView { ctx: &mut self.vault, table: &mut self.table }
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::builder().config_file("strongroom.toml").build().await?;
//!
//! let engine = Engine::default();
//! let mut linker = Linker::<Host>::new(&engine);
//! strongroom::add_to_linker(&mut linker)?;
//!
//! // The name picks the grants; the bytes are hashed and compared with the pinned digest.
//! let billing = broker.component("billing")?.load(&engine, &std::fs::read("billing.wasm")?)?;
//! let host = Host { vault: billing.instance(), table: ResourceTable::new() };
//! let mut store = Store::new(&engine, host);
//! let instance = linker.instantiate_async(&mut store, billing.component()).await?;
//! # let _ = instance;
//! // ... call the guest's exports with `call_async` ...
//!
//! broker.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Backends other than `memory` are crates of their own; a program passes those it wants in a
//! [`Registry`]. `examples/embed` in the repository runs two components with different grants.
//!
//! # Defaults
//!
//! Everything is denied: a component without an entry, a vault, a name or an action without a
//! grant. Without a configured audit log no broker is made. An edit of the configuration takes force
//! within 100 ms, as a whole or not at all. [Quotas](config::Quotas) are far above what a normal
//! program needs.
//!
//! # Errors
//!
//! A guest is told one of the variants of `strongroom:vault/types.error`, which here is
//! [`ErrorCode`], and nothing of a backend. The cause goes to the operator: in [`CallError`]'s
//! source, and through [`tracing`] at WARN.
//!
//! # Security
//!
//! - One function decides: [`grants::Policy::decide`]. Its answer [`grants::Granted`] cannot be made
//!   elsewhere, and a remembered one is good only under the policy that it was made under.
//! - No value leaves before its record has. Where the log cannot record, calls answer `unavailable`.
//! - A decision is taken again after every wait, and a reload returns only when no value is on its way
//!   out under the old policy.
//! - Interrupting a guest that loops is the embedder's: enable
//!   [epoch interruption](wasmtime::Config::epoch_interruption) or fuel in the engine. Calls of this
//!   interface may be dropped at any time: no lock stays held, and a change that has begun goes
//!   on to its end.
//! - A guest's own copy of a value lies in its linear memory, which this crate cannot wipe.

mod broker;
mod platform;

pub mod config;
pub mod grants;

#[cfg(feature = "wasmtime")]
mod bindings;

pub use strongroom_audit as audit;
pub use strongroom_backend as backend;
pub use strongroom_backend_layers::COPY_LABELS;

#[cfg(feature = "wasmtime")]
pub use bindings::{HeldSecret, Vault, VaultCtx, VaultCtxView, VaultView, add_to_linker};
#[cfg(feature = "wasmtime")]
pub use broker::Loaded;
pub use broker::{
    Broker, BrokerBuilder, BuildError, CallError, Component, Emptied, ErrorCode, OpenError, Page,
    Registry, RolledBack, Secret, Session, Synced, VaultTable,
};
