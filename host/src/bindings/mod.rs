//! The wasmtime side: WIT calls in, broker calls out, one mapping between their types.

mod ctx;
mod explain;
mod handle;
mod later;
mod vault;
mod writer;

mod generated {
    // Never `tracing` nor `verbose_tracing`: they print strings and lists, which are values here.
    wasmtime::component::bindgen!({
        path: "wit",
        world: "strongroom:vault/guest",
        imports: {
            "strongroom:vault/handle.[method]secret.version": trappable,
            "strongroom:vault/handle.[drop]secret": trappable,
            default: async | trappable,
        },
        with: {
            "strongroom:vault/handle.secret": super::HeldSecret,
            "strongroom:vault/leases.lease": super::later::NoLease,
        },
    });
}

pub use ctx::{Vault, VaultCtx, VaultCtxView, VaultView, add_to_linker};
pub(crate) use explain::explain;
pub use handle::HeldSecret;

use generated::strongroom::vault as wit;
use wit::types::Error as WitError;

use crate::{CallError, ErrorCode};

/// What the guest is told: the code, and nothing of the cause.
fn told(error: CallError) -> WitError {
    match error.code {
        ErrorCode::Denied => WitError::Denied,
        ErrorCode::NotFound => WitError::NotFound,
        ErrorCode::InvalidReference(why) => WitError::InvalidReference(why),
        ErrorCode::InvalidArgument(why) => WitError::InvalidArgument(why),
        ErrorCode::TooLarge(limit) => WitError::TooLarge(limit),
        ErrorCode::Conflict(current) => WitError::Conflict(current),
        ErrorCode::Unsupported(what) => WitError::Unsupported(what),
        ErrorCode::QuotaExceeded(wait_ms) => WitError::QuotaExceeded(wait_ms),
        ErrorCode::Unavailable(what) => WitError::Unavailable(what),
        ErrorCode::Failed(what) => WitError::Failed(what),
    }
}

/// The operator's log has what the guest is not told.
fn logged(error: CallError) -> WitError {
    use std::error::Error as _;
    if error.source().is_some()
        && matches!(error.code, ErrorCode::Unavailable(_) | ErrorCode::Failed(_))
    {
        tracing::warn!(error = %crate::broker::Chain(&error), "a guest's call did not succeed");
    }
    told(error)
}
