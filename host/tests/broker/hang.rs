//! A backend that does not answer. The clock is tokio's, paused: it jumps where all wait.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom::audit::{Action, Outcome};
use strongroom::backend::{
    Backend, Capabilities, Change, ChangeCell, Description, ListPage, MemoryBackend, PutOptions,
    Result, Secret, SecretPath, SecretValue, VersionInfo, Which,
};
use strongroom::{CallError, ErrorCode, Registry};
use strongroom_backend_testkit::{Fault, Operation, When};
use tokio::time::Instant;

use crate::support::{Home, Rig, VAULTS, get, set};

/// The longest that any call may wait for a backend, and what is added for its own work.
const DEADLINE: Duration = Duration::from_millis(10_500);

const GRANTED: &str = r#"
[component.billing]
grants = [ { vault = "app", secrets = ["**"], actions = ["data-read", "data-write", "rollback"] } ]
"#;

fn unavailable<T: std::fmt::Debug>(result: std::result::Result<T, CallError>) {
    let code = result.unwrap_err().code;
    assert!(matches!(code, ErrorCode::Unavailable(_)), "{code:?}");
}

#[tokio::test(start_paused = true)]
async fn every_call_to_a_backend_that_hangs_is_unavailable_in_time() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let session = rig.session("billing");
    rig.faults.arm(Fault::Hang, When::always());
    let mut started = Instant::now();
    let mut in_time = |what: &str| {
        let took = started.elapsed();
        assert!(took <= DEADLINE, "{what} took {took:?}");
        started = Instant::now();
    };
    unavailable(session.get("a", Which::Current).await);
    in_time("get");
    unavailable(session.get("a", Which::Version(1)).await);
    in_time("get of a version");
    unavailable(session.describe("a").await);
    in_time("describe");
    unavailable(session.versions("a").await);
    in_time("versions");
    unavailable(session.list("", None).await);
    in_time("list");
    unavailable(
        session
            .wait_for_change("a", 1, Duration::from_secs(60))
            .await,
    );
    in_time("wait-for-change");
    // While the intent goes to the disk the paused clock runs on by itself, so the time of a
    // change counts from the question.
    for operation in [Operation::Put, Operation::Delete, Operation::Get] {
        let before = rig.counts.of(operation);
        let change = async {
            match operation {
                Operation::Put => unavailable(set(&session, "a", "w").await),
                Operation::Delete => unavailable(session.delete("a", None).await),
                _ => unavailable(session.rollback("a", 1).await),
            }
            Instant::now()
        };
        let asked = async {
            while rig.counts.of(operation) == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Instant::now()
        };
        let (over, asked) = tokio::join!(change, asked);
        assert!(
            over - asked <= DEADLINE,
            "{operation:?}: {:?}",
            over - asked
        );
    }
    let outcomes = rig.outcomes(Action::Write);
    assert_eq!(
        outcomes,
        [Outcome::Unknown],
        "nobody knows whether it is written"
    );
    assert_eq!(rig.outcomes(Action::Read)[0], Outcome::Failed);
    rig.faults.heal();
    assert_eq!(get(&session, "a").await.unwrap(), "v");
}

#[tokio::test(start_paused = true)]
async fn many_reads_of_a_backend_that_hangs_share_one_deadline() {
    let rig = Rig::new(GRANTED).await;
    let session = rig.session("billing");
    rig.faults.arm(Fault::Hang, When::always());
    let texts: Vec<_> = (0..50).map(|n| format!("n-{n}")).collect();
    let started = Instant::now();
    let results = session.get_many(&texts).await.unwrap();
    assert!(started.elapsed() <= DEADLINE, "{:?}", started.elapsed());
    assert_eq!(results.len(), 50);
    results.into_iter().for_each(unavailable);
}

#[tokio::test(start_paused = true)]
async fn the_parts_of_a_change_share_one_deadline() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "1").await;
    rig.put("a", "2").await;
    let slow = Fault::Delay(Duration::from_secs(9));
    rig.faults
        .arm(slow.clone(), When::next(1).on(Operation::Get));
    rig.faults.arm(slow, When::next(1).on(Operation::Put));
    unavailable(rig.session("billing").rollback("a", 1).await);
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_slow_pages_has_one_deadline() {
    let rig = Rig::new(
        "[component.billing]\ngrants = [ { vault = \"app\", secrets = [\"zzz\"], actions = [\"list\"] } ]\n",
    )
    .await;
    for number in 0..1500 {
        rig.put(&format!("hidden/{number}"), "v").await;
    }
    let slow = Fault::Delay(Duration::from_secs(4));
    rig.faults.arm(slow, When::always().on(Operation::List));
    let started = Instant::now();
    unavailable(rig.session("billing").list("", None).await);
    assert!(started.elapsed() <= DEADLINE, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_backend_that_is_written_all_the_time_has_one_deadline() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let slow = Fault::Delay(Duration::from_secs(4));
    rig.faults.arm(slow, When::always().on(Operation::Get));
    let session = rig.session("billing");
    let started = Instant::now();
    let writing = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            rig.put("a", "w").await;
        }
    };
    tokio::select! {
        result = session.get("a", Which::Current) => drop(result),
        () = writing => {}
    }
    assert!(started.elapsed() <= DEADLINE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_vault_that_does_not_open_is_unavailable_in_time() {
    let home = Home::new();
    home.write_config(&format!("{VAULTS}{GRANTED}"));
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let registry = Registry::new().with("test", move |_| {
        let _ = gone.lock().unwrap().recv();
        Ok(Arc::new(MemoryBackend::new()))
    });
    let broker = home.build(registry).await;
    let session = broker.component("billing").unwrap().session(None);
    let started = Instant::now();
    unavailable(session.get("a", Which::Current).await);
    assert!(started.elapsed() <= DEADLINE + DEADLINE / 5);
    drop(go);
}

/// A store without change counters, as most services are.
struct Plain(MemoryBackend);

#[async_trait]
impl Backend for Plain {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }
    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.0.get(path, which).await
    }
    async fn put(&self, p: &SecretPath, v: &SecretValue, o: &PutOptions) -> Result<Change> {
        self.0.put(p, v, o).await
    }
    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.0.describe(path).await
    }
    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.0.delete(path, version).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.0.list(prefix, after, limit).await
    }
    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.0.versions(path).await
    }
    async fn check(&self) -> Result<Vec<String>> {
        self.0.check().await
    }
    fn change_cell(&self, _: &SecretPath) -> Option<ChangeCell> {
        None
    }
}

#[tokio::test]
async fn a_watch_of_a_store_without_counters_ends_as_soon_as_the_grant_goes() {
    let home = Home::new();
    home.write_config(&format!("{VAULTS}{GRANTED}"));
    let store: Arc<dyn Backend> = Arc::new(Plain(MemoryBackend::new()));
    let registry = Registry::new().with("test", move |_| Ok(Arc::clone(&store)));
    let broker = home.build(registry).await;
    let mut fastest = Duration::MAX;
    for _ in 0..4 {
        let session = broker.component("billing").unwrap().session(None);
        let minute = Duration::from_secs(60);
        let waiting = tokio::spawn(async move { session.wait_for_change("a", 0, minute).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        home.write_config(VAULTS);
        crate::support::until("the edit", || broker.config().components.is_empty()).await;
        let revoked = Instant::now();
        let ended = waiting.await.unwrap();
        assert_eq!(ended.unwrap_err().code, ErrorCode::Denied);
        fastest = fastest.min(revoked.elapsed());
        home.write_config(&format!("{VAULTS}{GRANTED}"));
        crate::support::until("the edit", || !broker.config().components.is_empty()).await;
    }
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

#[tokio::test]
async fn a_store_without_counters_is_never_answered_for_from_memory() {
    let home = Home::new();
    home.write_config(&format!("{VAULTS}{GRANTED}"));
    let store = Arc::new(Plain(MemoryBackend::new()));
    let opened: Arc<dyn Backend> = store.clone();
    let registry = Registry::new().with("test", move |_| Ok(Arc::clone(&opened)));
    let broker = home.build(registry).await;
    let session = broker.component("billing").unwrap().session(None);
    let path = crate::support::name("a");
    assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::NotFound);
    for number in 0..50 {
        let text = number.to_string();
        let value = SecretValue::copy_of(text.as_bytes());
        let options = PutOptions::default();
        store.put(&path, &value, &options).await.unwrap();
        assert_eq!(get(&session, "a").await.unwrap(), text);
    }
}
