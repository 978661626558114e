//! Runs one guest over the store that a file names: AWS, GCP, Azure, Kubernetes, HashiCorp Vault, the
//! environment, files, or a chain of them.
//!
//! ```console
//! $ cargo xtask guests
//! $ cargo run -p strongroom-example-portable -- examples/portable/vaults/local.toml
//! ```
//!
//! The guest, its grants and what it prints are the same over all of them, and so is the audit log.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example answers by printing")]

mod project;
mod secrets;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, ExitCode};

use project::Project;
use strongroom::{Broker, Loaded, VaultCtx, VaultCtxView, VaultView};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Where `cargo xtask guests` puts the guest, from the root of the repository.
const GUEST: &str = "target/wasm32-wasip2/debug/portable.wasm";

const USAGE: &str = "give a file of vaults, as examples/portable/vaults/local.toml, \
                     and, unless it is in target, the guest";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What each store holds: a context of WASI, one of the vault, and the table they share.
struct Host {
    wasi: WasiCtx,
    vault: VaultCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl VaultView for Host {
    fn vault(&mut self) -> VaultCtxView<'_> {
        VaultCtxView {
            ctx: &mut self.vault,
            table: &mut self.table,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let vaults = arguments.next().ok_or(USAGE)?;
    let guest = arguments.next().unwrap_or_else(|| GUEST.into());

    let project = Project::new(&vaults)?;
    let missing = project.missing_variables()?;
    if !missing.is_empty() {
        // An environment is set for a program before it starts.
        let this = std::env::current_exe()?;
        let mut again = Program::new(this);
        let status = again.arg(vaults).arg(guest).envs(missing).status()?;
        return Ok(ExitCode::from(u8::from(!status.success())));
    }

    project.write()?;
    let broker = Broker::builder()
        .registry(strongroom_backends::registry())
        .config_file(project.config())
        .state_dir(project.folder())
        .build()
        .await?;
    let ran = match project.seed(&broker).await {
        Ok(()) => run(&broker, &guest).await,
        Err(error) => Err(error),
    };
    let cleared = project.clear(&broker).await;
    broker.close().await?;
    let succeeded = ran?;
    cleared?;
    for line in project.records()? {
        println!("audit: {line}");
    }
    Ok(ExitCode::from(u8::from(!succeeded)))
}

/// Runs the guest as the component `portable`; answers whether it succeeded.
async fn run(broker: &Broker, guest: &Path) -> Result<bool> {
    let bytes = std::fs::read(guest)
        .map_err(|error| format!("{}: {error}; run `cargo xtask guests`", guest.display()))?;
    let engine = Engine::new(&Config::new())?;
    let mut linker = Linker::<Host>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    strongroom::add_to_linker(&mut linker)?;
    let loaded = broker.component("portable")?.load(&engine, &bytes)?;
    call(&linker, &loaded).await
}

/// Runs a `wasi:cli` command in a store of its own.
async fn call(linker: &Linker<Host>, loaded: &Loaded) -> Result<bool> {
    let host = Host {
        wasi: WasiCtx::builder().inherit_stdout().inherit_stderr().build(),
        vault: loaded.instance(),
        table: ResourceTable::new(),
    };
    let mut store = Store::new(linker.engine(), host);
    let command = Command::instantiate_async(&mut store, loaded.component(), linker).await?;
    Ok(command.wasi_cli_run().call_run(&mut store).await?.is_ok())
}
