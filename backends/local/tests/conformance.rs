//! The trials that every backend passes.

use std::sync::Arc;

use libtest_mimic::Arguments;
use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_local::{Config, KeySource, LocalBackend};
use strongroom_backend_testkit::{Fixture, Target, trials};

fn main() {
    let target = Target::new("local", || async {
        let dir = tempfile::tempdir()
            .map_err(|error| Error::new(ErrorKind::Failed, "tempdir").with_source(error))?;
        let config = Config::new("app.vault", KeySource::file("keys/app.key"));
        let store = LocalBackend::create(&config, dir.path())?;
        Ok(Fixture::new(Arc::new(store)).keeping(dir))
    });
    libtest_mimic::run(&Arguments::from_args(), trials(target)).exit();
}
