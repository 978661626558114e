//! Stores across a network, with test servers on this machine: what caching, layers and audit add to what the
//! service's own library takes.

use strongroom::backend::Which;
use strongroom_benches::clients::{Service, secret};
use strongroom_benches::{Bytes, Project, Result, Vault, store};

use crate::Setting;
use crate::measure::{Turns, each};
use crate::table::{Bound, Row, Verdict};

const WARM: &str = "s/warm";
/// As in `warm`.
const WARM_CALLS: u32 = 2_000;
/// Calls in a turn of cold gets: test servers answer some hundred in a second.
const COLD_CALLS: u32 = 20;
/// As many as one call of `get-many` takes.
const MANY: usize = 100;

/// A cache hit over each store against one over the local store.
pub(crate) async fn warm(setting: &Setting) -> Result<Vec<Row>> {
    let local = store(setting.scale.of(100, 10)).await?;
    over_each(async |service| {
        let ours = Project::new(Vault::Table(&service.table), "process", 1)?;
        let theirs = Project::new(Vault::Local(&local.folder), "process", 1)?;
        let (ours_broker, theirs_broker) = (ours.broker().await?, theirs.broker().await?);
        Project::put(&ours_broker, WARM, &[b'v'; 32]).await?;
        let mut guest = setting
            .world
            .instance(&ours_broker, "c0", Bytes::new())
            .await?;
        let mut other = setting
            .world
            .instance(&theirs_broker, "c0", Bytes::new())
            .await?;
        let n = setting.scale.of(WARM_CALLS, 20);
        let mut turns = Turns::default();
        for _ in 0..setting.scale.of(301, 1) {
            ours_broker.log().flush()?;
            theirs_broker.log().flush()?;
            guest.get(WARM, 200).await?;
            other.get("s/0", 200).await?;
            let (of_ours, _) = each(n, guest.get(WARM, n)).await?;
            let (of_local, _) = each(n, other.get("s/0", n)).await?;
            turns.add(of_ours, of_local);
        }
        ours_broker.close().await?;
        theirs_broker.close().await?;
        let measure = format!("cache hit over {} / over local", service.name);
        Ok(Row::times(measure, &turns, Bound::AtMost(1.1)))
    })
    .await
}

/// A get that nothing remembers against the same call of the client library.
pub(crate) async fn cold(setting: &Setting) -> Result<Vec<Row>> {
    over_each(async |service| {
        let table = format!("{}cache = false\n", service.table);
        let project = Project::new(Vault::Table(&table), "process", 1)?;
        let broker = project.broker().await?;
        let name = secret(0);
        Project::put(&broker, &name, &[b'v'; 32]).await?;
        let session = broker.operator()?;
        let n = setting.scale.of(COLD_CALLS, 2);
        let mut turns = Turns::default();
        for turn in 0..=setting.scale.of(31, 1) {
            let ours = each(n, async {
                for _ in 0..n {
                    session.get(&name, Which::Current).await?;
                }
                Ok(())
            });
            let (ours, ()) = ours.await?;
            let theirs = each(n, async {
                for _ in 0..n {
                    service.read(&name).await?;
                }
                Ok(())
            });
            let (theirs, ()) = theirs.await?;
            // The first makes connections and learns what a server is.
            if turn > 0 {
                turns.add(ours, theirs);
            }
        }
        broker.close().await?;
        let measure = format!("cold get over {} / library alone", service.name);
        Ok(Row::times(measure, &turns, Bound::AtMost(1.3)))
    })
    .await
}

/// One get-many of 100 against the library's own way to as many values in the fewest requests; how many
/// requests ours takes is what each store's tests count.
pub(crate) async fn many(setting: &Setting) -> Result<Vec<Row>> {
    let count = setting.scale.of(MANY, 3);
    over_each(async |service| {
        let table = format!("{}cache = false\n", service.table);
        let project = Project::new(Vault::Table(&table), "process", 1)?;
        let broker = project.broker().await?;
        let names: Vec<_> = (0..count).map(secret).collect();
        for name in &names {
            Project::put(&broker, name, &[b'v'; 32]).await?;
        }
        let session = broker.operator()?;
        let mut turns = Turns::default();
        for turn in 0..=setting.scale.of(21, 1) {
            let (ours, values) = each(1, async { Ok(session.get_many(&names).await?) }).await?;
            if let Some(Err(error)) = values.into_iter().find(|value| value.is_err()) {
                return Err(error.into());
            }
            let (theirs, ()) = each(1, service.read_many(&names)).await?;
            if turn > 0 {
                turns.add(ours, theirs);
            }
        }
        broker.close().await?;
        let measure = format!("get-many of {count} over {} / library alone", service.name);
        Ok(Row::times(measure, &turns, Bound::AtMost(1.5)))
    })
    .await
}

/// A row for each service; those without a server are named.
async fn over_each(measure: impl AsyncFn(&Service) -> Result<Row>) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let run = format!("bench-{}", std::process::id());
    let (services, missing) = Service::all(&run, folder.path()).await?;
    let mut rows = Vec::new();
    for service in &services {
        rows.push(match measure(service).await {
            Ok(row) => row,
            Err(error) => Row::failed(service.name, error.as_ref()),
        });
    }
    for name in missing {
        let why = "no server: `cargo xtask servers up`, and its variables".to_owned();
        let sides = Default::default();
        rows.push(Row::fact(name, sides, "", Verdict::NotMeasured(why)));
    }
    Ok(rows)
}
