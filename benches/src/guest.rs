//! The guest and its host: the vault beside a bare host function of the same signature.

use std::collections::HashMap;
use std::path::Path;

use strongroom::{Broker, VaultCtx, VaultCtxView, VaultView};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::Result;
use bindings::bench::bare::bare;
use bindings::strongroom::vault::types;

pub use bindings::FloodReport;

#[expect(missing_docs, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../tests/bench-guest/wit",
        world: "bench:guest/bench-guest",
        exports: { default: async },
    });
}

/// A compiled guest, linked.
pub struct World {
    guest: bindings::BenchGuestPre<Host>,
}

/// What the bare function answers, by name.
pub type Bytes = HashMap<String, Vec<u8>>;

/// A guest that runs.
pub struct Instance {
    store: Store<Host>,
    guest: bindings::BenchGuest,
}

struct Host {
    wasi: WasiCtx,
    vault: VaultCtx,
    table: ResourceTable,
    bare: Bare,
}

/// The floor: nothing but the look-up and the copy that a host function must make.
struct Bare(Bytes);

impl World {
    /// Compiles the bench guest, which lies in the folder `guests`.
    ///
    /// # Errors
    ///
    /// Where it does not compile or link.
    pub fn new(guests: &Path) -> Result<Self> {
        let engine = Engine::new(&Config::new())?;
        let bytes = std::fs::read(guests.join("strongroom_bench_guest.wasm"))?;
        let component = Component::from_binary(&engine, &bytes)?;
        let mut linker = Linker::<Host>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        strongroom::add_to_linker(&mut linker)?;
        bare::add_to_linker::<Host, HasSelf<Bare>>(&mut linker, |host| &mut host.bare)?;
        let pre: InstancePre<Host> = linker.instantiate_pre(&component)?;
        Ok(Self {
            guest: bindings::BenchGuestPre::new(pre)?,
        })
    }

    /// A new instance that runs as `component` of the broker's configuration.
    ///
    /// # Errors
    ///
    /// Where there is no such component, or it cannot be instantiated.
    pub async fn instance(
        &self,
        broker: &Broker,
        component: &str,
        bare: Bytes,
    ) -> Result<Instance> {
        // One compilation serves all components, so its digest is pinned by none.
        let vault = broker.component(component)?.instance_unverified()?;
        let host = Host {
            wasi: WasiCtx::builder().inherit_stderr().build(),
            vault,
            table: ResourceTable::new(),
            bare: Bare(bare),
        };
        let mut store = Store::new(self.guest.engine(), host);
        let guest = self.guest.instantiate_async(&mut store).await?;
        Ok(Instance { store, guest })
    }
}

impl Instance {
    /// `n` calls of `vault.get`, all answered; a checksum.
    ///
    /// # Errors
    ///
    /// Where one was not.
    pub async fn get(&mut self, reference: &str, n: u32) -> Result<u64> {
        Ok(self
            .guest
            .call_run_get(&mut self.store, reference, n)
            .await?)
    }

    /// `n` calls of the bare function; a checksum.
    ///
    /// # Errors
    ///
    /// Where one was not answered.
    pub async fn bare(&mut self, reference: &str, n: u32) -> Result<u64> {
        Ok(self
            .guest
            .call_run_bare(&mut self.store, reference, n)
            .await?)
    }

    /// `n` calls of `vault.get`; how many were refused.
    ///
    /// # Errors
    ///
    /// Where the guest trapped.
    pub async fn count_errors(&mut self, reference: &str, n: u32) -> Result<u64> {
        Ok(self
            .guest
            .call_run_count(&mut self.store, reference, n)
            .await?)
    }

    /// `n` calls of `vault.get`, each of another secret of `s/0` to `s/{size - 1}`, in no order.
    ///
    /// # Errors
    ///
    /// Where one was not answered.
    pub async fn get_distinct(&mut self, first: u32, size: u32, n: u32) -> Result<u64> {
        // Prime, and so prime to every size in use: all names come before one comes again.
        const STEP: u32 = 7919;
        let sum = self
            .guest
            .call_run_distinct(&mut self.store, "s/", first % size, STEP, size, n)
            .await?;
        Ok(sum)
    }

    /// As many calls of `vault.get` as there is time for.
    ///
    /// # Errors
    ///
    /// Where the guest trapped.
    pub async fn flood(&mut self, reference: &str, seconds: u32) -> Result<FloodReport> {
        Ok(self
            .guest
            .call_run_flood(&mut self.store, reference, seconds)
            .await?)
    }

    /// Opens a handle that the guest keeps.
    ///
    /// # Errors
    ///
    /// Where it does not open.
    pub async fn hold(&mut self, reference: &str) -> Result<u64> {
        Ok(self.guest.call_hold(&mut self.store, reference).await?)
    }
}

impl bare::Host for Bare {
    fn get(&mut self, reference: String) -> std::result::Result<Vec<u8>, types::Error> {
        self.0
            .get(&reference)
            .cloned()
            .ok_or(types::Error::NotFound)
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl VaultView for Host {
    fn vault(&mut self) -> VaultCtxView<'_> {
        VaultCtxView {
            ctx: &mut self.vault,
            table: &mut self.table,
        }
    }
}
