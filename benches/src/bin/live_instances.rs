//! `live_instances GUESTS N`: prints how much memory this process has in use, in KiB, with 1 and then
//! with N instances of the guest, each with an open handle. In a process of its own, so that nothing was
//! allocated and freed before.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::path::PathBuf;

use strongroom_benches::{Bytes, Project, Result, Vault, World};

const REFERENCE: &str = "s/held";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let guests: PathBuf = args.next().ok_or("where are the guests?")?.into();
    let n: usize = args.next().ok_or("how many?")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(run(World::new(&guests)?, n))
}

async fn run(world: World, n: usize) -> Result<()> {
    let project = Project::new(Vault::Memory, "process", 1)?;
    let broker = project.broker().await?;
    Project::put(&broker, REFERENCE, &[b'v'; 32]).await?;
    let mut live = Vec::with_capacity(n);
    while live.len() < n {
        let mut instance = world.instance(&broker, "c0", Bytes::new()).await?;
        instance.hold(REFERENCE).await?;
        live.push(instance);
        if live.len() == 1 || live.len() == n {
            println!("{}", proportional_kib()?);
        }
    }
    drop(live);
    broker.close().await?;
    Ok(())
}

/// This process's part of all memory: pages that several share are divided among them.
fn proportional_kib() -> Result<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("the system does not tell")?.parse()?)
}
