//! The memory store passes every trial; it is the model of the others.

use std::sync::Arc;

use libtest_mimic::Arguments;
use strongroom_backend::MemoryBackend;
use strongroom_backend_testkit::{Fixture, Target, trials};

fn main() {
    let target = Target::new("memory", || async {
        Ok(Fixture::new(Arc::new(MemoryBackend::new())))
    });
    libtest_mimic::run(&Arguments::from_args(), trials(target)).exit();
}
