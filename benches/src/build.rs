//! Programs that a bench runs beside itself, built as it was built.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// The target that guests are built for.
const GUEST_TARGET: &str = "wasm32-wasip2";

/// The folder that cargo builds into, found from where this program lies.
///
/// # Errors
///
/// Where this program lies in no such folder.
pub fn target_dir() -> Result<PathBuf> {
    let program = env::current_exe()?;
    let is_target = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    let found = program.ancestors().find(is_target);
    let found = found.ok_or("this program does not lie in a folder of cargo's")?;
    Ok(found.to_owned())
}

/// The folder with the programs of the profile that this one was built with.
///
/// # Errors
///
/// As [`target_dir`].
pub fn profile_dir() -> Result<PathBuf> {
    Ok(target_dir()?.join(profile()))
}

/// The folder with the guests: the one that `STRONGROOM_GUESTS` names, or else that of this program's
/// profile, where they are built first.
///
/// # Errors
///
/// Where they do not build.
pub fn guests() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("STRONGROOM_GUESTS") {
        return Ok(folder.into());
    }
    cargo_build(&[
        "--target",
        GUEST_TARGET,
        "--package",
        "strongroom-bench-guest",
        "--package",
        "strongroom-example-guests",
    ])?;
    Ok(target_dir()?.join(GUEST_TARGET).join(profile()))
}

/// Runs `cargo build` with these arguments, with the profile and into the folder of this program.
///
/// # Errors
///
/// Where cargo fails; it says why on standard error.
pub fn cargo_build(args: &[&str]) -> Result<()> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--target-dir"])
        .arg(target_dir()?)
        .args(args)
        // Flags for the machine's own target mean nothing to a guest.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if profile() == "release" {
        cargo.arg("--release");
    }
    let status = cargo.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cargo build {}: {status}", args.join(" ")).into())
    }
}

const fn profile() -> &'static str {
    if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    }
}
