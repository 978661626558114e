//! `cargo xtask guests`: builds the guests, and proves what they can reach by what they import.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wasmparser::{Parser, Payload};

use crate::process::{self, Result};
use crate::workspace;

/// The target that guests are built for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Where tests find the guests that were built for them.
pub(crate) const GUESTS_VARIABLE: &str = "STRONGROOM_GUESTS";

const PACKAGES: [&str; 3] = [
    "strongroom-bench-guest",
    "strongroom-example-guests",
    "strongroom-test-guests",
];

/// What some guests import of ours, exactly. The linker drops what a guest does not call, so that an
/// operator can tell from a component's imports what it cannot do; the SDK must keep that true.
const IMPORTS: [(&str, &[&str]); 3] = [
    (
        "reader_only",
        &[
            "strongroom:vault/types@0.1.0",
            "strongroom:vault/vault@0.1.0",
        ],
    ),
    (
        "list_versions",
        &[
            "strongroom:vault/types@0.1.0",
            "strongroom:vault/vault@0.1.0",
        ],
    ),
    (
        "writer",
        &[
            "strongroom:vault/types@0.1.0",
            "strongroom:vault/vault@0.1.0",
            "strongroom:vault/writer@0.1.0",
        ],
    ),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Optimised, as the benches need them.
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let dir = build(args.release)?;
    for guest in built(&dir)? {
        println!("{}", guest.display());
    }
    Ok(())
}

/// Builds all guests and returns the folder that they are in.
pub(crate) fn build(release: bool) -> Result<PathBuf> {
    add_target()?;
    let mut cargo = process::cargo();
    cargo.args(["build", "--quiet", "--target", TARGET]);
    // Flags for the machine's own target, as coverage sets them, mean nothing to a guest.
    cargo
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    if release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)?;

    let profile = if release { "release" } else { "debug" };
    let dir = workspace::target_dir()?.join(TARGET).join(profile);
    for (guest, expected) in IMPORTS {
        check_imports(&dir.join(guest).with_extension("wasm"), expected)?;
    }
    Ok(dir)
}

/// Adds the guests' target to the toolchain if it is not there.
fn add_target() -> Result<()> {
    let libraries = process::output(
        std::process::Command::new("rustc")
            .current_dir(workspace::root())
            .args(["--print", "target-libdir", "--target", TARGET]),
    )?;
    if Path::new(libraries.trim()).exists() {
        return Ok(());
    }
    process::run(
        std::process::Command::new("rustup")
            .current_dir(workspace::root())
            .args(["target", "add", TARGET]),
    )
}

fn built(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut guests = Vec::new();
    for entry in dir.read_dir()? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            guests.push(path);
        }
    }
    guests.sort();
    Ok(guests)
}

fn check_imports(guest: &Path, expected: &[&str]) -> Result<()> {
    let ours: BTreeSet<String> = imports(&fs::read(guest)?)?
        .into_iter()
        .filter(|name| is_ours(name))
        .collect();
    if ours.iter().eq(expected) {
        return Ok(());
    }
    let ours: Vec<_> = ours.into_iter().collect();
    Err(format!(
        "{} imports {ours:?} where {expected:?} is expected",
        guest.display()
    )
    .into())
}

fn is_ours(import: &str) -> bool {
    import.starts_with("strongroom:")
}

/// The names that a component imports, without those of the modules and components inside it.
fn imports(component: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    names.push(import?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}
