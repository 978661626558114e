//! Answers that are remembered: what the grant, the record and the quota cost.

use strongroom_benches::{Bytes, Project, Result, Vault};

use crate::Setting;
use crate::measure::{Turns, each};
use crate::table::{Bound, Row};

const GRANTED: &str = "s/warm";
const DENIED: &str = "other/warm";

/// Calls in a turn: under a millisecond, so that most turns are not interrupted, and they fit the audit
/// log's journal, so that a turn measures the call. What the log keeps up with is what `flood` measures.
const CALLS: u32 = 2_000;

const TURNS: u32 = 501;

/// Calls before each turn that are not counted: waiting for the log has emptied the processor's caches.
const WARM_UP: u32 = 200;

/// `vault.get` of a value of `size` bytes against the bare function.
pub(crate) async fn of_size(setting: &Setting, size: usize, bound: f64) -> Result<Vec<Row>> {
    let project = Project::new(Vault::Memory, "process", 1)?;
    let broker = project.broker().await?;
    let value = vec![b'v'; size];
    Project::put(&broker, GRANTED, &value).await?;
    let bare = Bytes::from([(GRANTED.to_owned(), value)]);
    let mut guest = setting.world.instance(&broker, "c0", bare).await?;

    let n = setting.scale.of(CALLS, 20);
    let mut turns = Turns::default();
    for _ in 0..setting.scale.of(TURNS, 1) {
        broker.log().flush()?;
        guest.bare(GRANTED, WARM_UP).await?;
        guest.get(GRANTED, WARM_UP).await?;
        let (ours, sum) = each(n, guest.get(GRANTED, n)).await?;
        let (against, expected) = each(n, guest.bare(GRANTED, n)).await?;
        if sum != expected {
            return Err("the two sides did not answer the same".into());
        }
        turns.add(ours, against);
    }
    broker.close().await?;
    let measure = format!("warm get of {size} bytes / bare call");
    Ok(vec![Row::times(measure, &turns, Bound::AtMost(bound))])
}

/// A refused `vault.get` against one that is answered.
pub(crate) async fn denied(setting: &Setting) -> Result<Vec<Row>> {
    let project = Project::new(Vault::Memory, "process", 1)?;
    let broker = project.broker().await?;
    for reference in [GRANTED, DENIED] {
        Project::put(&broker, reference, &[b'v'; 32]).await?;
    }
    let mut guest = setting.world.instance(&broker, "c0", Bytes::new()).await?;

    let n = setting.scale.of(CALLS, 20);
    let mut turns = Turns::default();
    for _ in 0..setting.scale.of(TURNS, 1) {
        broker.log().flush()?;
        guest.count_errors(GRANTED, WARM_UP).await?;
        guest.count_errors(DENIED, WARM_UP).await?;
        let (ours, refused) = each(n, guest.count_errors(DENIED, n)).await?;
        let (against, errors) = each(n, guest.count_errors(GRANTED, n)).await?;
        if (refused, errors) != (u64::from(n), 0) {
            return Err(format!("{refused} and {errors} of {n} calls were refused").into());
        }
        turns.add(ours, against);
    }
    broker.close().await?;
    let measure = "denied get / allowed warm get, 32 bytes";
    Ok(vec![Row::times(measure, &turns, Bound::AtMost(1.2))])
}
