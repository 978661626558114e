//! A host program that runs two components with different grants on one vault.
//!
//! ```console
//! $ cargo xtask guests
//! $ cargo run -p strongroom-example-embed -- target/wasm32-wasip2/debug/read_secret.wasm
//! ```
//!
//! The same bytes run twice: as `billing`, which may read `stripe/*`, and as `reports`, which may
//! not. Which grants a component has comes from the host, never from the component.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example answers by printing")]

use std::error::Error;
use std::path::Path;

use strongroom::backend::{PutOptions, SecretValue};
use strongroom::{Broker, Loaded, VaultCtx, VaultCtxView, VaultView};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

const CONFIG: &str = r#"
default-vault = "app"

[vault.app]
backend = "memory"

[component.billing]
grants = [{ vault = "app", secrets = ["stripe/*"], actions = ["read"] }]

[component.reports]
grants = [{ vault = "app", secrets = ["reports/**"], actions = ["data-read"] }]

[audit]
path = "audit.jsonl"
key = { file = "keys/audit.key" }
"#;

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
async fn main() -> Result<(), Box<dyn Error>> {
    let wasm = std::env::args()
        .nth(1)
        .ok_or("give the path of a component")?;
    let bytes = std::fs::read(&wasm)?;

    let project = tempfile::tempdir()?;
    let broker = set_up(project.path()).await?;

    let engine = Engine::new(&Config::new())?;
    let mut linker = Linker::<Host>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    strongroom::add_to_linker(&mut linker)?;

    for name in ["billing", "reports"] {
        println!("-- {name}");
        let loaded = broker.component(name)?.load(&engine, &bytes)?;
        let exit = run(&linker, &loaded).await?;
        println!("   exit: {exit}");
    }

    broker.close().await?;
    println!("-- the audit log");
    print!(
        "{}",
        std::fs::read_to_string(project.path().join("audit.jsonl"))?
    );
    Ok(())
}

/// Writes a configuration, makes the audit log, and puts a secret into the vault.
async fn set_up(folder: &Path) -> Result<Broker, Box<dyn Error>> {
    let config = folder.join("strongroom.toml");
    std::fs::write(&config, CONFIG)?;
    strongroom::audit::Log::init(&folder.join("audit.jsonl"), &folder.join("keys/audit.key"))?;

    let broker = Broker::builder().config_file(config).build().await?;
    let value = SecretValue::new(b"sk_test_an_example_and_no_real_key".to_vec());
    broker
        .operator()?
        .set("stripe/api-key", value, PutOptions::default())
        .await?;
    Ok(broker)
}

/// Runs a `wasi:cli` command in a store of its own; answers whether it succeeded.
async fn run(linker: &Linker<Host>, loaded: &Loaded) -> Result<&'static str, Box<dyn Error>> {
    let wasi = WasiCtx::builder().inherit_stdout().inherit_stderr().build();
    let host = Host {
        wasi,
        vault: loaded.instance(),
        table: ResourceTable::new(),
    };
    let mut store = Store::new(linker.engine(), host);
    let command = Command::instantiate_async(&mut store, loaded.component(), linker).await?;
    match command.wasi_cli_run().call_run(&mut store).await? {
        Ok(()) => Ok("success"),
        Err(()) => Ok("failure"),
    }
}
