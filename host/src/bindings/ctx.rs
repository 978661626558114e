//! What an embedder's store holds, and how the interface is added to a linker.

use wasmtime::component::{HasData, Linker, ResourceTable};

use super::generated::Guest;
use super::generated::strongroom::vault as wit;
use crate::Session;

/// What a store holds for the vault interfaces: one for each instance, made by
/// [`Loaded::instance`](crate::Loaded::instance).
pub struct VaultCtx {
    pub(super) session: Session,
    pub(super) vias: Vias,
    pub(super) handles: usize,
}

/// The session once for each function, so that the record names the way in and a call makes no
/// new one.
pub(super) struct Vias {
    pub(super) get: Session,
    pub(super) read: Session,
    pub(super) get_many: Session,
    pub(super) reveal: Session,
}

impl VaultCtx {
    pub(crate) fn new(session: Session) -> Self {
        let via = |name: &str| session.clone().via(&format!("strongroom:vault/{name}"));
        let vias = Vias {
            get: via("vault.get"),
            read: via("vault.read"),
            get_many: via("vault.get-many"),
            reveal: via("handle.secret.reveal"),
        };
        Self {
            session,
            vias,
            handles: 0,
        }
    }

    pub(super) fn via(&self, name: &str) -> Session {
        self.session
            .clone()
            .via(&format!("strongroom:vault/{name}"))
    }
}

/// A borrow of the two parts of a store that the interface needs.
pub struct VaultCtxView<'a> {
    /// The instance's context.
    pub ctx: &'a mut VaultCtx,
    /// The store's table of resources.
    pub table: &'a mut ResourceTable,
}

/// Gives the interface its part of the store's data.
pub trait VaultView: Send {
    /// The context and the table.
    fn vault(&mut self) -> VaultCtxView<'_>;
}

/// The marker under which the interface's data is looked up.
pub struct Vault;

impl HasData for Vault {
    type Data<'a> = VaultCtxView<'a>;
}

/// Adds every interface of the world `strongroom:vault/guest` to `linker`.
///
/// Host functions are asynchronous: call the guest with `call_async`. `leases`, `transit`,
/// `handle.placeholder` and `writer.rotate` are decided and recorded, and answer `unsupported`.
///
/// # Errors
///
/// Where the linker already has one of them.
pub fn add_to_linker<T: VaultView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    Guest::add_to_linker::<T, Vault>(linker, T::vault)
}

impl wit::types::Host for VaultCtxView<'_> {}
