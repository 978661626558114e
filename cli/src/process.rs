//! What the process does before anything else: no core dumps, no debugger, no values in a panic,
//! and a log that never shows more of other crates than warnings.

use std::io::Write;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::failure::Failure;
use crate::output;

/// The variable that sets the level of our own log: `off`, `error`, `warn`, `info`, `debug`, `trace`.
const LOG_VARIABLE: &str = "STRONGROOM_LOG";

/// Keeps values out of core dumps, debuggers of the same user and panic messages.
pub(crate) fn harden() {
    // The hard limit stays: a program that `exec` starts may raise its own again. A failure is no
    // reason to stop, since the process cannot be dumped either way.
    let maximum = rustix::process::getrlimit(Resource::Core).maximum;
    let none = Rlimit {
        current: Some(0),
        maximum,
    };
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // Over a file size limit a write should fail, as on a full disk, and the audit log say so; the
    // signal's own way is to kill the process. A program that `exec` starts gets the default back.
    let ignored = Arc::new(AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, ignored);
    panic::set_hook(Box::new(|info| {
        // The payload is left out: it is the one part that could quote a value.
        let place = info
            .location()
            .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        let _ = writeln!(
            std::io::stderr(),
            "error: internal error{place}; please report it, with the command but without values"
        );
    }));
}

/// Sends our log to standard error at the level that `STRONGROOM_LOG` names, `error` without it: what a
/// command fails on is its own message.
/// Other crates never log more than warnings: their debug texts may hold what they were given.
///
/// # Errors
///
/// A level that does not exist is wrong usage.
pub(crate) fn start_log() -> Result<(), Failure> {
    let level = match std::env::var_os(LOG_VARIABLE) {
        None => LevelFilter::ERROR,
        Some(text) if text.is_empty() => LevelFilter::ERROR,
        Some(text) => text
            .to_str()
            .and_then(|text| text.parse::<LevelFilter>().ok())
            .ok_or_else(|| {
                Failure::usage(format!("{LOG_VARIABLE} does not name a level"))
                    .hint("use one of off, error, warn, info, debug, trace")
            })?,
    };
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("strongroom", level);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(output::colours(&std::io::stderr()))
        .with_filter(targets);
    // A second subscriber in one process is only possible in tests, and harmless there.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    Ok(())
}
