//! One way to compile, so that what one run compiled the next one finds.

use wasmtime::{Cache, Config, Engine};

/// An engine whose guests yield at every epoch, so that signals, deadlines and the broker's own
/// work get their turn beside a guest that loops.
///
/// # Errors
///
/// The processor or the system lacks what compiled code needs.
pub(crate) fn engine(fuel: bool, cache: Option<Cache>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    // Costs a counter in every block, and a second entry in the cache, so only where asked for.
    config.consume_fuel(fuel);
    // Offsets into the binary, which only a debugger of the guest would want: without them the
    // cached code is a third smaller, and a start as much faster.
    config.generate_address_map(false);
    config.cache(cache);
    Engine::new(&config)
}
