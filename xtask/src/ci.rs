//! `cargo xtask ci`: what a change must pass. A step that cannot run has failed.

use std::ffi::OsStr;
use std::process::Command;

use crate::process::{self, Result};
use crate::{absence, guests, test, wit, workspace};

/// How many inputs each fuzz target gets here. Finding something takes hours; this shows that the
/// targets build and start.
const FUZZ_RUNS: &str = "-runs=2000";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out a step by its name; it is listed as left out.
    #[arg(long, value_name = "STEP")]
    skip: Vec<String>,
    /// Only this step; may be given again.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Print the names of the steps.
    #[arg(long)]
    list: bool,
}

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 14] = [
    ("wit", || wit::run(&wit::Args::check())),
    ("format", || cargo(["fmt", "--all", "--check"])),
    ("clippy", || {
        cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    }),
    ("clippy-guests", clippy_guests),
    ("clippy-no-clouds", || {
        cargo([
            "clippy",
            "--package",
            "strongroom-cli",
            "--no-default-features",
            "--",
            "-D",
            "warnings",
        ])
    }),
    ("docs", docs),
    ("deny", || {
        cargo([
            "deny",
            "--workspace",
            "check",
            "bans",
            "licenses",
            "sources",
        ])
    }),
    ("package", package),
    ("dependencies", absence::dependencies),
    ("bindings", absence::traced_bindings),
    ("guests", || guests::build(false).map(drop)),
    ("test", || test::run(&test::Args::all())),
    ("benches", || {
        // Smoke only, so the unoptimised build that the tests have made anyway is enough. Asked for by
        // its package, the libraries would be built again with the features that it alone asks for.
        cargo([
            "bench",
            "--profile",
            "dev",
            "--workspace",
            "--bench",
            "speed",
            "--",
            "--test",
        ])
    }),
    ("fuzz", fuzz),
];

pub(crate) fn run(args: &Args) -> Result<()> {
    let names = STEPS.map(|(name, _)| name);
    if args.list {
        println!("{}", names.join("\n"));
        return Ok(());
    }
    if let Some(name) = args
        .skip
        .iter()
        .chain(&args.only)
        .find(|name| !names.contains(&name.as_str()))
    {
        return Err(format!("no step {name:?}; there are {}", names.join(", ")).into());
    }

    let mut summary = Vec::new();
    let mut all_passed = true;
    for (name, step) in STEPS {
        let named = |list: &[String]| list.iter().any(|listed| listed == name);
        if named(&args.skip) || !(args.only.is_empty() || named(&args.only)) {
            summary.push(format!("left out  {name}"));
            continue;
        }
        println!("\n== {name}");
        match step() {
            Ok(()) => summary.push(format!("passed    {name}")),
            Err(error) => {
                all_passed = false;
                eprintln!("error: {error}");
                summary.push(format!("FAILED    {name}: {error}"));
            }
        }
    }
    println!("\n{}", summary.join("\n"));
    if all_passed {
        Ok(())
    } else {
        Err("not all steps passed".into())
    }
}

fn cargo<const N: usize>(args: [&str; N]) -> Result<()> {
    process::run(process::cargo().args(args))
}

/// What is compiled for the guests' target alone is not seen by the other clippy.
fn clippy_guests() -> Result<()> {
    cargo([
        "clippy",
        "--package",
        "strongroom-guest",
        "--package",
        "strongroom-example-guests",
        "--package",
        "strongroom-test-guests",
        "--package",
        "strongroom-bench-guest",
        "--target",
        guests::TARGET,
        "--",
        "-D",
        "warnings",
    ])
}

fn docs() -> Result<()> {
    process::run(
        process::cargo()
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--lib",
                // With the features of the tests' libraries, which clippy has checked.
                "--examples",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Each crate that is published holds all that it is built from.
fn package() -> Result<()> {
    let mut cargo = process::cargo();
    // Work that is not committed yet is checked, too.
    cargo.args(["package", "--no-verify", "--allow-dirty"]);
    for package in workspace::published_packages()? {
        cargo.args(["--package", &package]);
    }
    process::run(&mut cargo)
}

/// Builds and starts each fuzz target. Needs a nightly toolchain and cargo-fuzz.
fn fuzz() -> Result<()> {
    let targets = process::output(&mut fuzz_command(["list"]))?;
    let mut none = true;
    for target in targets.split_whitespace() {
        let fuzz = workspace::root().join("fuzz");
        // The first folder is where new inputs go; the seeds stay as they are.
        let (corpus, seeds) = (
            fuzz.join("corpus").join(target),
            fuzz.join("seeds").join(target),
        );
        std::fs::create_dir_all(&corpus)?;
        let mut run = fuzz_command(["run", target]);
        run.args([&corpus, &seeds]).args(["--", FUZZ_RUNS]);
        process::run(&mut run)?;
        none = false;
    }
    if none {
        Err("there is no fuzz target".into())
    } else {
        Ok(())
    }
}

fn fuzz_command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut rustup = Command::new("rustup");
    rustup
        .current_dir(workspace::root())
        .args(["run", "nightly", "cargo", "fuzz"])
        .args(args);
    rustup
}
