//! Measures a read that no cache above the store answers, at two sizes of the store.
//!
//! `cargo run --release --example read_latency [SIZE ...]`
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::time::{Duration, Instant};

use strongroom_backend::{Backend, PutOptions, SecretPath, SecretValue, Which};
use strongroom_backend_local::{Config, KeySource, LocalBackend};

const SIZES: [usize; 2] = [100, 100_000];
const READS: usize = 200_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let asked = std::env::args()
        .skip(1)
        .map(|size| size.parse())
        .collect::<Result<Vec<usize>, _>>()?;
    let sizes = if asked.is_empty() {
        &SIZES
    } else {
        asked.as_slice()
    };
    for &size in sizes {
        let dir = std::env::temp_dir().join(format!("read-latency-{}", std::process::id()));
        std::fs::create_dir(&dir)?;
        let times = measure(&dir, size).await;
        std::fs::remove_dir_all(&dir)?;
        let times = times?;
        let at = |share: usize| times.get(times.len() * share / 1000).copied();
        println!(
            "{size:>7} secrets: p50 {:?}, p99 {:?}, p99.9 {:?}, mean {:?}",
            at(500).unwrap_or_default(),
            at(990).unwrap_or_default(),
            at(999).unwrap_or_default(),
            times.iter().sum::<Duration>() / u32::try_from(times.len())?,
        );
    }
    Ok(())
}

async fn measure(dir: &std::path::Path, size: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let config = Config::new("app.vault", KeySource::file("keys/app.key"));
    let store = LocalBackend::create(&config, dir)?;
    let value = SecretValue::new(vec![7; 32]);
    let paths = (0..size)
        .map(|n| SecretPath::parse(&format!("team-{}/service/key-{n}", n % 97)))
        .collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    for path in &paths {
        store.put(path, &value, &PutOptions::default()).await?;
    }
    let took = begun.elapsed();
    println!("{size:>7} durable writes in {took:?}");
    let begun = Instant::now();
    let listed = store.list("", None, size).await?.paths.len();
    println!("{listed:>7} names: first listing in {:?}", begun.elapsed());
    let begun = Instant::now();
    store.list("", None, size).await?;
    println!("{listed:>7} names: next listing in {:?}", begun.elapsed());
    let mut times = Vec::with_capacity(READS);
    let mut at = 0_usize;
    for read in 0..READS + READS / 10 {
        // A step that is prime to both sizes visits all names in no order.
        at = (at + 7919) % size;
        let path = paths.get(at).ok_or("no such path")?;
        let begun = Instant::now();
        let secret = store.get(path, Which::Current).await?;
        let took = begun.elapsed();
        drop(secret);
        if read >= READS / 10 {
            times.push(took);
        }
    }
    times.sort();
    Ok(times)
}
