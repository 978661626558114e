//! Prints what a record costs its caller, and how fast the log takes and verifies records.
//!
//! `cargo run --release -p strongroom-audit --example throughput`

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use strongroom_audit::{
    Action, AppendError, Cache, Entry, Location, Log, Options, Outcome, Verify, first_key_path,
    verify,
};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (path, key) = (
        dir.path().join("audit.jsonl"),
        dir.path().join("keys/audit.key"),
    );
    Log::init(&path, &key)?;
    let mut options = Options::new(&path, &key);
    options.journal = 64 << 20;
    options.rotate = 4 << 30;
    options.checkpoint_every = u64::MAX;
    let log = Log::open(options)?;
    let subject = log.subject(
        "component:billing",
        Some("01JABCDEFGHJKMNPQRSTVWXYZ0"),
        Some("sha256:00"),
    );
    let target = log.target(&subject, Some("app-secrets"), Some("stripe/api-key"));
    let (grant, via) = (
        log.grant("component.billing.grants[0]"),
        log.via("strongroom:vault/vault.get"),
    );
    let mut entry = Entry::outcome(&subject, Action::Read, Outcome::Allowed);
    entry.target = Some(&target);
    entry.grant = Some(&grant);
    entry.via = via;
    entry.version = Some(3);
    entry.cache = Some(Cache::Hit);

    // Bursts that fit the journal, on warm pages, drained in between.
    let mut best = f64::MAX;
    for _ in 0..12 {
        log.flush()?;
        std::thread::sleep(Duration::from_millis(5));
        let count = 60_000;
        let start = Instant::now();
        for n in 0..count {
            entry.time = 4_000_000_000_000_000 + n;
            black_box(log.append(&entry)?);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / count as f64);
    }
    println!("append: {best:.1} ns (best of 12 bursts)");

    log.flush()?;
    let count: u64 = 3_000_000;
    let (start, cpu) = (Instant::now(), cpu_seconds("audit-write")?);
    let mut written = 0;
    while written < count {
        match log.append(&entry) {
            Ok(_) => written += 1,
            Err(AppendError::Full) => log.ready_blocking(&subject)?,
            Err(e) => return Err(e.into()),
        }
    }
    log.flush()?;
    let cpu = cpu_seconds("audit-write")? - cpu;
    println!(
        "journal to log: {:.0} records/s, {:.0} in each second of the writer thread's own time",
        count as f64 / start.elapsed().as_secs_f64(),
        count as f64 / cpu
    );
    log.close()?;

    let size = std::fs::metadata(&path)?.len();
    let (start, cpu) = (Instant::now(), cpu_seconds("throughput")?);
    let location = Location {
        log: path,
        key: key.clone(),
        allow_links: false,
    };
    let report = verify(&Verify {
        location,
        first_key: Some(first_key_path(&key)),
        checkpoint: None,
    })?;
    let cpu = cpu_seconds("throughput")? - cpu;
    println!(
        "verify: {:.0} records/s, {:.0} in each second of its own time; {} bytes a record, whole: {}",
        report.records as f64 / start.elapsed().as_secs_f64(),
        report.records as f64 / cpu,
        size / report.records,
        report.is_whole()
    );
    Ok(())
}

/// Processor time of this process's thread of a name: on a busy machine wall time tells little.
fn cpu_seconds(thread: &str) -> Result<f64, Box<dyn Error>> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        let Some((head, fields)) = stat.rsplit_once(") ") else {
            continue;
        };
        if head.ends_with(&format!("({thread}")) {
            let ticks = |n| {
                fields
                    .split(' ')
                    .nth(n)
                    .and_then(|ticks| ticks.parse::<f64>().ok())
            };
            return Ok((ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0);
        }
    }
    Err(format!("no thread {thread}").into())
}
