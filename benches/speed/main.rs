//! What secrets cost, against what must be paid anyway, as ratios that hold on any machine.
//!
//! ```console
//! $ cargo bench -p strongroom-benches            # everything, some minutes
//! $ cargo bench -p strongroom-benches -- warm    # rows whose name contains `warm`
//! $ cargo bench -p strongroom-benches -- --test  # each row once, with tiny numbers
//! ```
//!
//! Each row runs its two sides in turns, A B A B ..., so that what else the machine does meets both alike.
//! The ratio is the median over the turns, with the lowest and the highest. A missed bound does not
//! fail the program, a row that could not run does.

#![forbid(unsafe_code)]

mod cold;
mod disk;
mod flood;
mod measure;
mod processes;
mod remote;
mod set;
mod table;
mod warm;

use std::process::ExitCode;

use strongroom_benches::{Result, World, guests};
use tokio::runtime::Runtime;

use measure::Scale;
use table::Row;

/// A row's name, which filters match, and what measures it.
type Measure = (&'static str, fn(&Setting) -> Result<Vec<Row>>);

const MEASURES: [Measure; 14] = [
    ("warm-32", |s| s.wait(warm::of_size(s, 32, 1.5))),
    ("warm-25k", |s| s.wait(warm::of_size(s, 25_000, 1.15))),
    ("warm-denied", |s| s.wait(warm::denied(s))),
    ("flood", |s| s.wait(flood::flood(s))),
    ("disk", |s| s.wait(disk::guests_at_once(s))),
    ("cold", |s| s.wait(cold::gets(s))),
    ("set", |s| s.wait(set::durable(s))),
    ("list", |s| s.wait(cold::listings(s))),
    ("remote-warm", |s| s.wait(remote::warm(s))),
    ("remote-cold", |s| s.wait(remote::cold(s))),
    ("remote-many", |s| s.wait(remote::many(s))),
    ("start", processes::start),
    ("memory", processes::memory),
    ("instructions", processes::instructions),
];

/// What all rows are measured with.
struct Setting {
    runtime: Runtime,
    scale: Scale,
    guests: std::path::PathBuf,
    world: World,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let given = |flag: &str| args.iter().any(|arg| arg == flag);
    // `cargo test --benches` does not pass `--bench`: there only that everything works is asked.
    let smoke = given("--test") || !given("--bench");
    let filter: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    match run(smoke, &filter) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            table::note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether every row that was asked for could be measured.
fn run(smoke: bool, filter: &[&str]) -> Result<bool> {
    let guests = guests()?;
    let setting = Setting {
        runtime: Runtime::new()?,
        scale: Scale { smoke },
        world: World::new(&guests)?,
        guests,
    };
    let mut rows = Vec::new();
    let asked = |name: &str| filter.is_empty() || filter.iter().any(|part| name.contains(part));
    for (name, measure) in MEASURES.iter().filter(|(name, _)| asked(name)) {
        table::note(&format!("measuring {name} ..."));
        match measure(&setting) {
            Ok(measured) => rows.extend(measured),
            Err(error) => rows.push(Row::failed(name, error.as_ref())),
        }
    }
    table::print(&rows, smoke);
    Ok(!rows.iter().any(Row::has_failed))
}

impl Setting {
    fn wait<T>(&self, row: impl Future<Output = T>) -> T {
        self.runtime.block_on(row)
    }
}
