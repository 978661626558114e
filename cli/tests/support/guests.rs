//! The components that `cargo xtask guests` builds.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test ends where its helper fails")]

use std::path::{Path, PathBuf};

use super::support::{Answer, Room};

/// The path of a guest, which must have been built.
#[track_caller]
pub(crate) fn guest(name: &str) -> PathBuf {
    let folder = std::env::var_os("STRONGROOM_GUESTS").map_or_else(
        || {
            let target = Path::new(env!("CARGO_BIN_EXE_strongroom"))
                .ancestors()
                .nth(2)
                .unwrap();
            target.join("wasm32-wasip2/debug")
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo xtask guests`",
        path.display()
    );
    path
}

/// Adds an entry for the probe that may do `actions` on everything under `app/`.
pub(crate) fn allow_probe(room: &Room, actions: &str) {
    let wasm = guest("probe.wasm");
    room.configure(&format!(
        "[component.probe]\nwasm = {wasm:?}\ngrants = [{{ vault = \"local\", secrets = [\"app/**\"], actions = {actions} }}]\n"
    ));
}

/// `run probe.wasm` with these arguments of its own.
pub(crate) fn probe(arguments: &[&str]) -> Vec<std::ffi::OsString> {
    let mut all = vec![
        "run".into(),
        guest("probe.wasm").into_os_string(),
        "--".into(),
    ];
    all.extend(arguments.iter().map(|argument| argument.into()));
    all
}

/// Runs a guest; compiled code is kept between tests, since a debug build takes seconds for it.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(
    room: &Room,
    args: impl IntoIterator<Item = S>,
) -> Answer {
    command(room, args).output().unwrap().into()
}

/// The command of [`run`].
pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(
    room: &Room,
    args: impl IntoIterator<Item = S>,
) -> std::process::Command {
    let mut command = room.command(args);
    command.env(
        "XDG_CACHE_HOME",
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"),
    );
    command
}
