//! The trials that every backend passes, against a real API server.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Arguments;
use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_kubernetes::Layout;
use strongroom_backend_testkit::{Fixture, Target, trials};

use common::{Admin, config, fresh, open, path, server};

const HELD: [(&str, &str, &[u8]); 7] = [
    ("db", "password", b"p=\"q\" \n$x"),
    ("db", "user", b"app"),
    ("tls.web", "tls.crt", b"-----BEGIN"),
    ("tls.web", "tls.key", b"\xff\x00\xfe\n"),
    ("empty", "EMPTY", b""),
    ("a", "A", b"upper"),
    ("a", "a", b"lower"),
];

fn main() -> ExitCode {
    let mut all = trials(own());
    all.extend(trials(foreign()));
    libtest_mimic::run(&Arguments::from_args(), all).exit_code()
}

fn started() -> Result<(), Error> {
    server()
        .map(drop)
        .map_err(|text| Error::new(ErrorKind::Config, text))
}

/// Each in a namespace of its own, which the first write makes.
fn own() -> Target {
    Target::new("kubernetes", || async {
        started()?;
        let mut config = config(&fresh("own"));
        // As many as the store in memory, which the trials compare with.
        config.keep_versions = 100;
        Ok(Fixture::new(Arc::new(open(&config).await)))
    })
}

fn foreign() -> Target {
    Target::new("foreign", || async {
        started()?;
        let admin = Admin::new("foreign").await;
        for name in ["db", "tls.web", "empty", "a"] {
            let of = HELD.iter().filter(|(secret, _, _)| *secret == name);
            let data: Vec<_> = of.map(|(_, key, value)| (*key, *value)).collect();
            admin.secret(name, &data).await;
        }
        // What no path names is left out.
        admin
            .secret("regcred", &[(".dockerconfigjson", b"{}")])
            .await;
        let mut config = config(&admin.namespace);
        config.layout = Layout::Foreign;
        let held = HELD
            .iter()
            .map(|(name, key, value)| (path(&format!("{name}/{key}")), value.to_vec()));
        Ok(Fixture::new(Arc::new(open(&config).await)).holding(held.collect()))
    })
}
