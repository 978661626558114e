//! The trials that every backend passes, over the whole stack.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Arguments;
use strongroom_backend::{Backend, ChangeTable, MemoryBackend};
use strongroom_backend_layers::{
    Breaker, BreakerSettings, CacheSettings, Cached, Deadline, Jitter, Retry, RetrySettings,
};
use strongroom_backend_testkit::{Fixture, Target, trials};

fn main() {
    let target = Target::new("layers", || async {
        let store: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
        let store = Arc::new(Deadline::new(store, Duration::from_secs(3)));
        let store = Arc::new(Retry::new(
            store,
            RetrySettings::default(),
            Jitter::random(),
        ));
        let store = Arc::new(Deadline::new(store, Duration::from_secs(10)));
        let store = Arc::new(Breaker::new(
            store,
            BreakerSettings::default(),
            Jitter::random(),
        ));
        let table = ChangeTable::in_memory();
        let store = Cached::new(store, CacheSettings::default(), table);
        Ok(Fixture::new(Arc::new(store)))
    });
    libtest_mimic::run(&Arguments::from_args(), trials(target)).exit();
}
