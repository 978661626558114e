//! Writing a secret: on disk, record and value, when it answers.

use strongroom_backend_local::{Config, KeySource, LocalBackend};
use strongroom_benches::{Project, Result, Vault};

use crate::Setting;
use crate::measure::{Turns, each, sync_cost, sync_is_too_fast};
use crate::table::{Bound, Row};

/// Names that are written in turns: each gets its first version, and then others.
const NAMES: u32 = 20;

pub(crate) async fn durable(setting: &Setting) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(strongroom_benches::target_dir()?)?;
    drop(LocalBackend::create(
        &Config::new("v.vault", KeySource::file("keys/v.key")),
        folder.path(),
    )?);
    let project = Project::new(Vault::Local(folder.path()), "process", 1)?;
    let broker = project.broker().await?;
    Project::put(&broker, "s/first", b"opens the store").await?;

    let mut turns = Turns::default();
    for turn in 0..setting.scale.of(200, 2) {
        let name = format!("s/{}", turn % NAMES);
        let (ours, ()) = each(1, Project::put(&broker, &name, &[b'v'; 32])).await?;
        turns.add(ours, sync_cost(folder.path(), 1)?.median);
    }
    broker.close().await?;
    let row = Row::times("set / fsync of 4 KiB appended", &turns, Bound::AtMost(3.0));
    Ok(vec![row.unless(sync_is_too_fast(turns.against()))])
}
