//! Learning of changes without a restart.

use std::time::Duration;

use crate::Error;
use crate::bindings::strongroom::vault::watch as wit;

/// The longest that one [`wait_for_change`] may wait. The host refuses more.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// Waits until the current version differs from `known`, or until `timeout` is over: then none.
/// Needs `read`.
///
/// The wait ends at once, with [`Error::Denied`], when the grant is taken away.
///
/// ```no_run
/// # fn main() -> Result<(), strongroom_guest::Error> {
/// use strongroom_guest::{vault, watch};
///
/// let mut key = vault::read("stripe/api-key")?;
/// loop {
///     if watch::wait_for_change("stripe/api-key", key.version, watch::MAX_WAIT)?.is_some() {
///         key = vault::read("stripe/api-key")?;
///         // ... use the new key from here on.
///     }
/// #   if key.value.is_empty() { return Ok(()); }
/// }
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Denied`] without a grant, [`Error::InvalidArgument`] for a timeout over [`MAX_WAIT`],
/// [`Error::Unavailable`] where the backend does not answer.
pub fn wait_for_change(
    reference: &str,
    known: u64,
    timeout: Duration,
) -> Result<Option<u64>, Error> {
    let milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    Ok(wit::wait_for_change(reference, known, milliseconds)?)
}
