//! Where the guests are, for the tests that run them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The component of a guest by its name: `probe`, `reader_only`, `strongroom_bench_guest`, or one of
/// the examples.
///
/// They are taken from the folder that `STRONGROOM_GUESTS` names, which `cargo xtask test` sets. A
/// test that was started without it builds them first, once for each test program.
///
/// # Panics
///
/// Where there is no such guest, or it does not build: a test without its guest has failed.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir =
        DIR.get_or_init(|| env::var_os("STRONGROOM_GUESTS").map_or_else(build, PathBuf::from));
    let path = dir.join(name).with_extension("wasm");
    assert!(
        path.exists(),
        "no guest {}; run `cargo xtask guests`",
        path.display()
    );
    path
}

#[expect(clippy::panic, reason = "a test without its guest has failed")]
fn build() -> PathBuf {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["run", "--quiet", "--package", "xtask", "--", "guests"])
        .stderr(Stdio::inherit())
        .output();
    let listed = match output {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => panic!("{}: cargo xtask guests", output.status),
        Err(error) => panic!("cannot run cargo: {error}"),
    };
    let listed = String::from_utf8_lossy(&listed);
    match listed.lines().next().map(Path::new).and_then(Path::parent) {
        Some(dir) => dir.to_owned(),
        None => panic!("cargo xtask guests lists no guest"),
    }
}
