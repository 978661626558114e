//! `warm_path N`: N answers that are remembered, for a program that counts instructions.
//!
//! Two runs, with N and 2N, tell by their difference what one answer takes.

#![forbid(unsafe_code)]

use strongroom::backend::Which;
use strongroom_benches::{Project, Result, Vault};

const REFERENCE: &str = "s/warm";

fn main() -> Result<()> {
    let n: u32 = std::env::args().nth(1).ok_or("how often?")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(run(n))
}

async fn run(n: u32) -> Result<()> {
    let project = Project::new(Vault::Memory, "process", 1)?;
    let broker = project.broker().await?;
    Project::put(&broker, REFERENCE, &[b'v'; 32]).await?;
    let session = broker.component("c0")?.session(None);
    for _ in 0..n {
        std::hint::black_box(session.get(REFERENCE, Which::Current).await?);
    }
    broker.close().await?;
    Ok(())
}
