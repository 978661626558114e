//! Answers that nothing remembers, from the local store, and whether its size matters.

use strongroom::{Broker, Session};
use strongroom_benches::{Bytes, Instance, Project, Result, Stored, Vault, store};

use crate::Setting;
use crate::measure::{Turns, each};
use crate::table::{Bound, Row};

/// The smallest store has as many secrets as a turn asks for.
const CALLS: u32 = 100;

/// A get that no component asked before: with 100,000 secrets, with 100, and bare.
pub(crate) async fn gets(setting: &Setting) -> Result<Vec<Row>> {
    let calls = setting.scale.of(CALLS, 10);
    let large = store(setting.scale.of(100_000, 100)).await?;
    let small = store(calls).await?;
    let turns = setting.scale.of(101, 1);
    let large = Cold::open(&large, turns).await?;
    let small = Cold::open(&small, turns).await?;
    let value = Bytes::from([("s/0".to_owned(), vec![b'v'; 32])]);
    let mut bare = setting.world.instance(&large.broker, "c0", value).await?;

    // What a host that has run for a while has: the stores open, and their pages read once.
    for store in [&large, &small] {
        store.turn(setting, 0, store.size).await?;
    }
    let (mut by_bare, mut by_small) = (Turns::default(), Turns::default());
    for turn in 1..=turns {
        let of_large = large.turn(setting, turn, calls).await?;
        let of_small = small.turn(setting, turn, calls).await?;
        let (of_bare, _) = each(calls * 100, bare.bare("s/0", calls * 100)).await?;
        by_bare.add(of_large, of_bare);
        by_small.add(of_large, of_small);
    }
    let size = large.size;
    large.broker.close().await?;
    small.broker.close().await?;
    Ok(vec![
        Row::times(
            format!("cold get, {size} secrets / bare call"),
            &by_bare,
            Bound::AtMost(100.0),
        ),
        Row::times(
            format!("cold get, {size} secrets / {calls} secrets"),
            &by_small,
            Bound::AtMost(2.0),
        ),
    ])
}

/// All names of a store, page by page: ten times as many may take twenty times as long.
pub(crate) async fn listings(setting: &Setting) -> Result<Vec<Row>> {
    let large = store(setting.scale.of(100_000, 100)).await?;
    let small = store(setting.scale.of(10_000, 10)).await?;
    let (mut first, mut later) = (Turns::default(), Turns::default());
    for _ in 0..setting.scale.of(21, 1) {
        let of_large = Listed::time(&large).await?;
        let of_small = Listed::time(&small).await?;
        first.add(of_large.first, of_small.first);
        later.add(of_large.later, of_small.later);
    }
    let sizes = format!("{} names / {} names", large.size, small.size);
    Ok(vec![
        Row::times(
            format!("listing of {sizes}, first after start"),
            &first,
            Bound::AtMost(20.0),
        ),
        Row::times("  the next", &later, Bound::AtMost(20.0)),
    ])
}

/// A broker over a store, with a component for each turn: what one component was told, the next is
/// not, so that all ask the store.
struct Cold {
    broker: Broker,
    size: u32,
    _project: Project,
}

impl Cold {
    async fn open(store: &Stored, turns: u32) -> Result<Self> {
        let components = usize::try_from(turns)? + 1;
        let project = Project::new(Vault::Local(&store.folder), "process", components)?;
        Ok(Self {
            broker: project.broker().await?,
            size: store.size,
            _project: project,
        })
    }

    async fn turn(&self, setting: &Setting, turn: u32, calls: u32) -> Result<f64> {
        let component = format!("c{turn}");
        let mut guest: Instance = setting
            .world
            .instance(&self.broker, &component, Bytes::new())
            .await?;
        // Turns begin far apart.
        let begin = turn.wrapping_mul(31_337) % self.size;
        let (took, _) = each(calls, guest.get_distinct(begin, self.size, calls)).await?;
        Ok(took)
    }
}

/// What two listings of a store took, the first with what a start leaves to it.
struct Listed {
    first: f64,
    later: f64,
}

impl Listed {
    async fn time(store: &Stored) -> Result<Self> {
        let project = Project::new(Vault::Local(&store.folder), "process", 1)?;
        let broker = project.broker().await?;
        let session = broker.component("c0")?.session(None);
        let (first, names) = each(1, list(&session)).await?;
        let (later, again) = each(1, list(&session)).await?;
        broker.close().await?;
        let all = usize::try_from(store.size)?;
        if (names, again) != (all, all) {
            return Err(format!("{names} and {again} of {all} names were listed").into());
        }
        Ok(Self { first, later })
    }
}

async fn list(session: &Session) -> Result<usize> {
    let mut names = 0;
    let mut cursor = None;
    loop {
        let page = session.list("", cursor.as_deref()).await?;
        names += page.references.len();
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(names);
        }
    }
}
