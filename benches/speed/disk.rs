//! Records that must be on disk before a value leaves: callers share their waiting.

use strongroom_benches::{Bytes, Error, Instance, Project, Result, Vault};

use crate::Setting;
use crate::measure::{Turns, each, sync_is_too_fast};
use crate::table::{Bound, Row};

const REFERENCE: &str = "s/durable";
const GUESTS: u32 = 8;

pub(crate) async fn guests_at_once(setting: &Setting) -> Result<Vec<Row>> {
    let project = Project::new(Vault::Memory, "disk", 1)?;
    let broker = project.broker().await?;
    Project::put(&broker, REFERENCE, &[b'v'; 32]).await?;
    let mut guests = Vec::new();
    for _ in 0..GUESTS {
        let mut guest = setting.world.instance(&broker, "c0", Bytes::new()).await?;
        guest.get(REFERENCE, 1).await?;
        guests.push(guest);
    }

    let n = setting.scale.of(200, 2);
    let mut turns = Turns::default();
    for _ in 0..setting.scale.of(11, 1) {
        let all = std::mem::take(&mut guests);
        let (together, all) = each(n * GUESTS, at_once(all, n)).await?;
        guests = all;
        let one = guests.pop().ok_or("no guest")?;
        let (alone, one) = each(n, at_once(vec![one], n)).await?;
        guests.extend(one);
        turns.add(together, alone);
    }
    drop(guests);
    broker.close().await?;
    // One guest waits for one sync each time, so that none costs more than its get.
    let measure = format!("durable gets of {GUESTS} guests at once / of one");
    let row = Row::rates(measure, &turns, Bound::AtLeast(4.0));
    Ok(vec![row.unless(sync_is_too_fast(turns.against()))])
}

/// Runs all guests side by side, `n` calls each, and gives them back.
async fn at_once(guests: Vec<Instance>, n: u32) -> Result<Vec<Instance>> {
    let running: Vec<_> = guests
        .into_iter()
        .map(|mut guest| {
            tokio::spawn(async move {
                guest.get(REFERENCE, n).await?;
                Ok::<_, Error>(guest)
            })
        })
        .collect();
    let mut ended = Vec::new();
    for guest in running {
        ended.push(guest.await??);
    }
    Ok(ended)
}
