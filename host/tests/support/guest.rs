//! Real guests, run in this process by `wasmtime_wasi`.

use std::sync::OnceLock;
use std::time::Duration;

use strongroom::{Broker, VaultCtx, VaultCtxView, VaultView};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::task::JoinHandle;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Cache, CacheConfig, Config, Engine, Store};
use wasmtime_wasi::cli::{AsyncStdinStream, AsyncStdoutStream};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::soon;

/// What a pipe of the guest holds.
const PIPE: usize = 1 << 20;

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    vault: VaultCtx,
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

/// One engine for all tests; what it compiled the next run finds. Guests yield each 10 ms.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut cache = CacheConfig::new();
        cache.with_directory(concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled"));
        let mut config = Config::new();
        config.epoch_interruption(true);
        config.cache(Some(Cache::new(cache).unwrap()));
        let engine = Engine::new(&config).unwrap();
        let ticking = engine.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(10));
                ticking.increment_epoch();
            }
        });
        engine
    })
}

pub fn bytes(guest: &str) -> Vec<u8> {
    std::fs::read(strongroom_test_guests::guest(guest)).unwrap()
}

/// A running guest.
pub struct Guest {
    stdin: Option<DuplexStream>,
    stdout: Lines<BufReader<DuplexStream>>,
    task: JoinHandle<wasmtime::Result<Result<(), ()>>>,
}

impl Guest {
    /// Starts `guest` as the component `name` with these arguments.
    pub async fn start(broker: &Broker, name: &str, guest: &str, args: &[&str]) -> Self {
        let component = broker.component(name).unwrap();
        let loaded = component.load(engine(), &bytes(guest)).unwrap();
        Self::with(loaded.component(), loaded.instance(), args)
    }

    /// Starts the probe and lets it wait for commands.
    pub async fn probe(broker: &Broker, name: &str) -> Self {
        Self::start(broker, name, "probe", &["script"]).await
    }

    pub fn with(component: &Component, vault: VaultCtx, args: &[&str]) -> Self {
        let (stdin, theirs) = tokio::io::duplex(PIPE);
        let (stdout, output) = tokio::io::duplex(PIPE);
        let mut wasi = WasiCtx::builder();
        wasi.stdin(AsyncStdinStream::new(theirs));
        wasi.stdout(AsyncStdoutStream::new(PIPE, output));
        wasi.inherit_stderr().arg("guest").args(args);
        let host = Host {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            vault,
        };
        let mut linker = Linker::<Host>::new(engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        strongroom::add_to_linker(&mut linker).unwrap();
        let mut store = Store::new(engine(), host);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let component = component.clone();
        let task = tokio::spawn(async move {
            let command = Command::instantiate_async(&mut store, &component, &linker).await?;
            command.wasi_cli_run().call_run(&mut store).await
        });
        Self {
            stdin: Some(stdin),
            stdout: BufReader::new(stdout).lines(),
            task,
        }
    }

    pub async fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).await.unwrap();
        stdin.write_all(b"\n").await.unwrap();
    }

    /// The next line; none at the end.
    pub async fn line(&mut self) -> Option<String> {
        soon("a line of the guest", self.stdout.next_line())
            .await
            .unwrap()
    }

    /// Gives the waiting probe a command and returns what it printed.
    pub async fn ask(&mut self, command: &str) -> Vec<String> {
        self.send(command).await;
        self.answer(command).await
    }

    /// What the command that was sent last printed.
    pub async fn answer(&mut self, command: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                Some(line) if line == "done" => return lines,
                Some(line) => lines.push(line),
                None => panic!("the guest ended during `{command}`: {lines:?}"),
            }
        }
    }

    /// The first line that a command printed.
    pub async fn one(&mut self, command: &str) -> String {
        let mut lines = self.ask(command).await;
        assert!(!lines.is_empty(), "{command} printed nothing");
        lines.swap_remove(0)
    }

    /// Closes the input, reads what is still printed, and tells how the guest ended.
    pub async fn end(mut self) -> (Vec<String>, wasmtime::Result<Result<(), ()>>) {
        self.stdin = None;
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        let ended = soon("the guest ends", self.task).await;
        (lines, ended.unwrap())
    }

    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Drops the store, wherever the guest is.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Runs a guest to its end: what it printed.
pub async fn run(broker: &Broker, name: &str, guest: &str, args: &[&str]) -> Vec<String> {
    let guest = Guest::start(broker, name, guest, args).await;
    guest.end().await.0
}

pub fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
