//! The trials that every store passes, on KV v2 and v1 of a real server.
mod common;

use std::sync::Arc;

use libtest_mimic::Arguments;
use strongroom_backend_hashicorp::{HashicorpBackend, Kv};
use strongroom_backend_testkit::{Fixture, Target, trials};

use common::Server;

fn main() -> std::process::ExitCode {
    let mut all = trials(target("hashicorp-vault-v2", Kv::Auto));
    all.extend(trials(target("hashicorp-vault-v1", Kv::V1)));
    libtest_mimic::run(&Arguments::from_args(), all).exit_code()
}

fn target(name: &'static str, kv: Kv) -> Target {
    Target::new(name, move || async move {
        let server = Server::shared();
        let mount = server.mount(if kv == Kv::V1 { 1 } else { 2 }).await;
        let mut config = server.config(&mount);
        config.kv = kv;
        config.prefix = "trial".to_owned();
        let store = HashicorpBackend::open(&config, std::path::Path::new(".")).await?;
        Ok(Fixture::new(Arc::new(store)).keeping(mount))
    })
}
