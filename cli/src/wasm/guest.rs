//! What a guest has: its grants, the standard streams, and what else was asked for.

use strongroom::{VaultCtx, VaultCtxView, VaultView};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Handles of all kinds that a guest may have open: far more than streams, files and secrets need.
const MAX_HANDLES: usize = 16_384;

/// The bytes that one call may bring into the host: 16 values of the largest size.
const MAX_CALL_BYTES: usize = 16 << 20;

/// The state of one store.
pub(crate) struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    vault: VaultCtx,
    limits: StoreLimits,
}

impl Guest {
    /// A store for one instance, whose memories may each have `max_memory` bytes.
    pub(crate) fn store(
        engine: &Engine,
        wasi: WasiCtx,
        vault: VaultCtx,
        max_memory: usize,
    ) -> Store<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let limits = StoreLimitsBuilder::new().memory_size(max_memory).build();
        let mut store = Store::new(
            engine,
            Self {
                wasi,
                table,
                vault,
                limits,
            },
        );
        store.limiter(|guest| &mut guest.limits);
        store.set_hostcall_fuel(MAX_CALL_BYTES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    /// Everything that a command may import: WASI 0.2 and our own interfaces.
    ///
    /// # Errors
    ///
    /// Two of them clash, which would be a mistake of this program.
    pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Self>> {
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        strongroom::add_to_linker(&mut linker)?;
        Ok(linker)
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl VaultView for Guest {
    fn vault(&mut self) -> VaultCtxView<'_> {
        VaultCtxView {
            ctx: &mut self.vault,
            table: &mut self.table,
        }
    }
}
