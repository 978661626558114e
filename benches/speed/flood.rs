//! A guest that asks as fast as it can: every call is on record, and none waits for long.

use strongroom_benches::{Bytes, Project, Result, Vault};

use crate::Setting;
use crate::measure::{Spread, Turns, each};
use crate::table::{Bound, Row, Verdict, time};

const REFERENCE: &str = "s/flooded";

pub(crate) async fn flood(setting: &Setting) -> Result<Vec<Row>> {
    let project = Project::new(Vault::Memory, "process", 1)?;
    let broker = project.broker().await?;
    let value = vec![b'v'; 32];
    Project::put(&broker, REFERENCE, &value).await?;
    let bare = Bytes::from([(REFERENCE.to_owned(), value)]);
    let mut guest = setting.world.instance(&broker, "c0", bare).await?;

    let seconds: u32 = setting.scale.of(5, 1);
    let n = setting.scale.of(1_000_000, 1000);
    let (before, _) = each(n, guest.bare(REFERENCE, n)).await?;
    let (took, report) = each(1, guest.flood(REFERENCE, seconds)).await?;
    let (after, _) = each(n, guest.bare(REFERENCE, n)).await?;
    drop(guest);
    broker.close().await?;
    let recorded = project.verified_reads()?;

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (calls, slow) = (report.count as f64, report.p9999_ns as f64);
    let mut turns = Turns::default();
    turns.add(took / calls, f64::midpoint(before, after));
    let rate = format!("gets one after the other for {seconds} s / bare calls");
    let slowest = Spread::of(&[slow]);
    let whole = report.errors == 0 && recorded == report.count;
    let facts = (
        format!("{recorded} records, verified"),
        format!("{} calls, {} refused", report.count, report.errors),
    );
    Ok(vec![
        Row::rates(rate, &turns, Bound::AtLeast(0.1)),
        Row::number(
            "  99.99 % of them took at most",
            (time(slow), String::new()),
            slowest,
            Bound::AtMost(50e6),
            time,
        ),
        Row::fact(
            "  all of them are on record",
            facts,
            "equal",
            if whole { Verdict::Met } else { Verdict::NotMet },
        ),
    ])
}
