//! `strongroom run`: a command component with its grants.

use std::cell::LazyCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom::Broker;
use strongroom::config::{Config, refuse_others};
use strongroom::grants::{Digest, Name};
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Trap, WasmBacktrace};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx};

use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::output;
use crate::wasm::guest::Guest;
use crate::wasm::inspect::Binary;
use crate::wasm::stop::{Stop, Watch};
use crate::wasm::{self, cache, engine, inspect};

/// The calls of a trapped program that are shown: enough to see how it came there.
const MAX_FRAMES: usize = 24;

/// Run a component with the grants of its entry in the configuration
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom run billing.wasm
  strongroom run billing.wasm --name billing -- --verbose
  strongroom run report.wasm --dir ./out::/out --env LANG=C --timeout 30s

The component must be a WASI 0.2 command. It has the standard streams, clocks and random numbers, and
no file, variable or network that is not asked for here. The entry is the one that --name names, or
else the one whose `wasm` is this file or whose `digest` is these bytes. Where the entry has no
`digest`, nobody else may be able to write the file or its folder. A change of the configuration
counts from the component's next call on.

Exit code: the program's own; 134 for a trap or --timeout; 128 + the signal that stopped it.")]
pub(crate) struct Args {
    /// The component
    component: PathBuf,

    /// The entry whose grants it gets
    #[arg(long, value_parser = |text: &str| Name::parse(text))]
    name: Option<Name>,

    /// A variable for the program; without a value, the one it has here
    #[arg(long, value_name = "K[=V]")]
    env: Vec<String>,

    /// A folder for the program, and what it is called there
    #[arg(long, value_name = "HOST[::GUEST]")]
    dir: Vec<String>,

    /// Stop the program after this time: 500ms, 30s, 5m, 1h
    #[arg(long, value_name = "D", value_parser = duration)]
    timeout: Option<Duration>,

    /// Stop the program after about this many instructions
    #[arg(long, value_name = "N")]
    fuel: Option<u64>,

    /// The most that each memory of the program may grow to, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_memory: u64,

    /// Arguments of the program
    #[arg(last = true)]
    args: Vec<String>,
}

/// Runs `run`; the exit code is the program's own.
pub(crate) async fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let binary = inspect::read(&args.component)?;
    // All that can be wrong with the arguments, before anything is opened.
    let wasi = wasi(&args)?;
    let broker = context.reloading_broker().await?;
    let ended = start(&args, &broker, &binary, wasi).await;
    if let Err(error) = broker.close().await {
        // The program has run: its exit code stands. What it got is in the journal.
        output::warning(&format!(
            "the audit log could not be brought up to date: {error}"
        ));
    }
    ended
}

async fn start(
    args: &Args,
    broker: &Broker,
    binary: &Binary,
    wasi: WasiCtx,
) -> Result<u8, Failure> {
    let name = pick(&broker.config(), args, binary)?;
    let component = broker.component(name.as_str())?;
    let engine = engine::engine(args.fuel.is_some(), cache::open())
        .map_err(|error| Failure::failed(format!("cannot start the engine: {error}")))?;
    let loaded = component.load(&engine, &binary.bytes).map_err(|error| {
        Failure::from(error)
            .while_doing(shown(&args.component))
            .hint("it may not have been copied whole; build it again")
    })?;
    inspect::check_world(&engine, loaded.component(), &args.component)?;
    let pre = link(&engine, loaded.component(), args)?;
    let memory = usize::try_from(args.max_memory << 20).unwrap_or(usize::MAX);
    let mut store = Guest::store(&engine, wasi, loaded.instance(), memory);
    if let Some(fuel) = args.fuel {
        store
            .set_fuel(fuel)
            .map_err(|error| Failure::failed(error.to_string()))?;
    }
    let mut watch = Watch::start(&engine, args.timeout)
        .map_err(|error| Failure::failed(format!("cannot watch for signals: {error}")))?;
    let program = async {
        let command = pre.instantiate_async(&mut store).await?;
        command.wasi_cli_run().call_run(&mut store).await
    };
    // The program first: where it has ended and a signal came, its own exit code counts.
    tokio::select! {
        biased;
        ended = program => Ok(exit_code(ended)),
        stop = watch.stopped() => {
            if stop == Stop::Timeout {
                output::report(&Failure::failed("the program ran longer than --timeout allows"), false);
            }
            Ok(stop.exit_code())
        }
    }
}

/// The entry whose grants count.
fn pick(config: &Config, args: &Args, binary: &Binary) -> Result<Name, Failure> {
    let file = shown(&args.component);
    // Megabytes take milliseconds, so they are hashed only where an entry asks for it.
    let digest = LazyCell::new(|| Digest::of(&binary.bytes));
    let entry = match &args.name {
        Some(name) => config.components.get(name).ok_or_else(|| {
            Failure::usage(format!(
                "{} has no [component.{name}]",
                shown(config.file())
            ))
            .hint(format!(
                "add an entry:\n{}",
                suggestion(config, args, *digest)
            ))
        })?,
        None => {
            let here = std::fs::canonicalize(&args.component).ok();
            let is_here = |wasm: &Path| here.is_some() && std::fs::canonicalize(wasm).ok() == here;
            let mut found = config.components.values().filter(|entry| {
                entry.digest.is_some_and(|pinned| pinned == *digest)
                    || entry.wasm.as_deref().is_some_and(is_here)
            });
            match (found.next(), found.next()) {
                (Some(entry), None) => entry,
                (None, _) => {
                    let configuration = shown(config.file());
                    return Err(Failure::usage(format!(
                        "no entry of {configuration} is for {file}"
                    ))
                    .hint(format!("add one:\n{}", suggestion(config, args, *digest))));
                }
                (Some(first), Some(second)) => {
                    let mut names = vec![first.name.as_str(), second.name.as_str()];
                    names.extend(found.map(|entry| entry.name.as_str()));
                    return Err(Failure::usage(format!(
                        "{file} has several entries: {}",
                        names.join(", ")
                    ))
                    .hint(format!("say which one: --name {}", first.name)));
                }
            }
        }
    };
    match entry.digest {
        Some(pinned) if pinned != *digest => Err(Failure::usage(format!(
            "{file} is not what [component.{}] allows: it has {}, the entry says {pinned}",
            entry.name, *digest
        ))
        .hint("if the change is meant, put the new digest into the entry")),
        Some(_) => Ok(entry.name.clone()),
        // Whoever may change the file, or put another in its place, would have the grants.
        None => match refuse_others(&args.component, &binary.opened) {
            Ok(()) => Ok(entry.name.clone()),
            Err(exposed) => Err(Failure::usage(format!(
                "{file} {}",
                output::printable(&exposed.to_string())
            ))
            .hint(format!(
                "its path gives it the grants of [component.{}]: chmod go-w what others may write, or \
                 pin its bytes there with digest = \"{}\"",
                entry.name, *digest
            ))),
        },
    }
}

/// The name of a file as a message can hold it.
fn shown(path: &Path) -> String {
    output::printable(&path.display().to_string())
}

fn suggestion(config: &Config, args: &Args, digest: Digest) -> String {
    let vault = config.default_vault.as_ref().map(|vault| vault.as_str());
    inspect::entry(
        &args.component,
        args.name.as_ref().map(Name::as_str),
        digest,
        vault,
    )
}

fn link(
    engine: &Engine,
    component: &wasmtime::component::Component,
    args: &Args,
) -> Result<CommandPre<Guest>, Failure> {
    let linked = || -> wasmtime::Result<CommandPre<Guest>> {
        let pre: InstancePre<Guest> = Guest::linker(engine)?.instantiate_pre(component)?;
        CommandPre::new(pre)
    };
    linked().map_err(|error| {
        let why = chain(error.as_ref());
        Failure::usage(format!("{} cannot be linked: {}", shown(&args.component), output::printable(&why)))
            .hint("`run` gives WASI 0.2 and strongroom:vault; what else it imports must be composed in (wac plug)")
    })
}

/// What a program sees beside the vault.
fn wasi(args: &Args) -> Result<WasiCtx, Failure> {
    let mut wasi = WasiCtx::builder();
    wasi.inherit_stdio();
    wasi.arg(
        args.component
            .file_name()
            .unwrap_or_default()
            .to_string_lossy(),
    );
    wasi.args(&args.args);
    for variable in &args.env {
        match variable.split_once('=') {
            Some((name, value)) => wasi.env(name, value),
            None => {
                let value = std::env::var(variable).map_err(|_| {
                    let name = output::printable(variable);
                    Failure::usage(format!("--env {name}: there is no such variable here"))
                })?;
                wasi.env(variable, value)
            }
        };
    }
    for folder in &args.dir {
        let (host, guest) = folder.split_once("::").unwrap_or((folder, folder));
        wasi.preopened_dir(host, guest, FsPerms::ReadWrite)
            .map_err(|error| {
                let host = output::printable(host);
                Failure::usage(format!("--dir {host}: {error}"))
            })?;
    }
    Ok(wasi.build())
}

/// The exit code of a program that ended by itself; a trap is told on standard error.
fn exit_code(ended: wasmtime::Result<Result<(), ()>>) -> u8 {
    let error = match ended {
        Ok(Ok(())) => return 0,
        Ok(Err(())) => return 1,
        Err(error) => error,
    };
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        // As the operating system would cut it.
        return exit.0.to_le_bytes()[0];
    }
    let what = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    output::report(
        &Failure::failed(format!("the program trapped: {}", output::printable(&what))),
        false,
    );
    if let Some(trace) = error.downcast_ref::<WasmBacktrace>() {
        // Names of functions come from the component.
        for line in trace.to_string().lines().skip(1).take(MAX_FRAMES) {
            output::note(&output::printable(line));
        }
    }
    wasm::TRAP
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "expected 500ms, 30s, 5m or 1h";
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| WRONG)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(WRONG),
    };
    number
        .checked_mul(millis)
        .filter(|ms| *ms > 0)
        .map(Duration::from_millis)
        .ok_or(WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in [
            "",
            "5",
            "s",
            "0s",
            "-1s",
            "1d",
            "99999999999999999999s",
            "9999999999999999h",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_program_ends_with_its_own_code() {
        assert_eq!(exit_code(Ok(Ok(()))), 0);
        assert_eq!(exit_code(Ok(Err(()))), 1);
        assert_eq!(exit_code(Err(I32Exit(3).into())), 3);
        assert_eq!(exit_code(Err(Trap::UnreachableCodeReached.into())), 134);
    }
}
