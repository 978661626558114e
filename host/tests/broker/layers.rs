//! Vaults across a network, with what stands around their stores.

use std::time::{Duration, Instant};

use strongroom::ErrorCode;
use strongroom::audit::{Action, Cache, Outcome};
use strongroom_backend_testkit::{Fault, Gate, Operation, When};

use crate::support::far::{Cloud, Far};
use crate::support::{Home, get, set, soon};

fn config(settings: &str) -> String {
    format!("{}{GRANTED}", vault(settings))
}

fn vault(settings: &str) -> String {
    format!("default-vault = \"app\"\n[vault.app]\nbackend = \"cloud\"\n{settings}\n")
}

const GRANTED: &str = r#"
[component.billing]
quotas = { pending-calls = 5000 }
grants = [ { vault = "app", secrets = ["**"], actions = ["data-read", "data-write"] } ]
"#;

fn unavailable(error: &ErrorCode) -> bool {
    matches!(error, ErrorCode::Unavailable(_))
}

#[tokio::test]
async fn a_thousand_concurrent_misses_make_one_call() {
    let far = Far::new(&config("")).await;
    far.cloud.put("a", "v").await;
    let gate = Gate::new();
    let slow = Fault::Pause(gate.clone());
    far.cloud.faults.arm(slow, When::next(1).on(Operation::Get));
    let readers: Vec<_> = (0..1000)
        .map(|_| {
            let session = far.session();
            tokio::spawn(async move { get(&session, "a").await })
        })
        .collect();
    soon("the store is asked", gate.reached()).await;
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
    gate.release();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap(), "v");
    }
    assert_eq!(far.cloud.counts.of(Operation::Get), 1);
    let records = far.home.records(&far.broker);
    assert_eq!(records.len(), 1000);
}

#[tokio::test]
async fn a_missing_name_is_asked_for_once_in_its_time() {
    let far = Far::new(&config("cache = { negative-ttl = \"300ms\" }")).await;
    let session = far.session();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(200) {
        assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::NotFound);
    }
    assert_eq!(far.cloud.counts.of(Operation::Get), 1);
    far.cloud.put("a", "v").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(get(&session, "a").await.unwrap(), "v");
}

#[tokio::test]
async fn records_tell_hit_miss_and_stale_with_its_age() {
    let settings = "cache = { ttl = \"200ms\", max-stale = \"1h\" }\nretry = { attempts = 1 }";
    let far = Far::new(&config(settings)).await;
    far.cloud.put("a", "v").await;
    let (one, two) = (far.session(), far.broker.operator().unwrap());
    assert_eq!(get(&one, "a").await.unwrap(), "v");
    assert_eq!(get(&one, "a").await.unwrap(), "v");
    assert_eq!(far.cloud.counts.of(Operation::Get), 1);
    // An operator sees the store.
    assert_eq!(get(&two, "a").await.unwrap(), "v");
    assert_eq!(far.cloud.counts.of(Operation::Get), 2);
    let outage = Fault::Fail(strongroom::backend::ErrorKind::Unavailable);
    far.cloud.faults.arm(outage, When::always());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(get(&one, "a").await.unwrap(), "v");
    assert!(unavailable(&get(&two, "a").await.unwrap_err()));
    far.cloud.faults.heal();
    far.cloud.put("a", "new").await;
    assert_eq!(get(&one, "a").await.unwrap(), "new");
    let records = far.home.records(&far.broker);
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.cache, record.detail.as_deref(), record.outcome))
        .collect();
    let allowed = Some(Outcome::Allowed);
    assert_eq!(
        told,
        [
            (Some(Cache::Miss), None, allowed),
            (Some(Cache::Hit), None, allowed),
            (Some(Cache::Miss), None, allowed),
            (Some(Cache::Stale), Some("age=0m"), allowed),
            (None, None, Some(Outcome::Failed)),
            (Some(Cache::Miss), None, allowed),
        ]
    );
}

#[tokio::test]
async fn a_value_is_not_remembered_longer_than_its_ttl() {
    let far = Far::new(&config("cache = { ttl = \"300ms\" }")).await;
    far.cloud.put("a", "old").await;
    let session = far.session();
    assert_eq!(get(&session, "a").await.unwrap(), "old");
    far.cloud.put("a", "new").await;
    assert_eq!(get(&session, "a").await.unwrap(), "old");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(get(&session, "a").await.unwrap(), "new");
}

#[tokio::test]
async fn without_a_cache_every_read_asks() {
    for settings in ["cache = false", "cache = { ttl = \"0s\" }"] {
        let far = Far::new(&config(settings)).await;
        far.cloud.put("a", "v").await;
        for read in 1..=3 {
            assert_eq!(get(&far.session(), "a").await.unwrap(), "v");
            assert_eq!(far.cloud.counts.of(Operation::Get), read);
        }
    }
}

#[tokio::test]
async fn many_are_one_call_and_then_none() {
    let far = Far::new(&config("")).await;
    let names: Vec<_> = (0..100).map(|n| format!("n/{}", n % 50)).collect();
    for name in names.iter().take(40) {
        far.cloud.put(name, name).await;
    }
    let session = far.session();
    for calls in [1, 1] {
        let results = session.get_many(&names).await.unwrap();
        for (at, (name, result)) in names.iter().zip(results).enumerate() {
            match result {
                Ok(secret) => assert_eq!(secret.value.expose(), name.as_bytes()),
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::NotFound);
                    assert!(at % 50 >= 40);
                }
            }
        }
        assert_eq!(far.cloud.counts.of(Operation::GetMany), calls);
        assert_eq!(far.cloud.counts.of(Operation::Get), 0);
    }
    assert_eq!(far.home.records(&far.broker).len(), 200);
}

#[tokio::test]
async fn what_one_process_writes_every_process_of_the_machine_reads_next() {
    let cloud = Cloud::new();
    let (home, other) = (Home::new(), Home::new());
    home.write_config(&config(""));
    // Another project, which logs in to the same store otherwise and keeps values for less long.
    other.write_config(&config("auth = 'other'\ncache = { ttl = \"1m\" }"));
    std::fs::create_dir(home.path("state")).unwrap();
    std::os::unix::fs::symlink(home.path("state"), other.path("state")).unwrap();
    let (here, there) = (cloud.broker(&home).await, cloud.broker(&other).await);
    let reader = here.component("billing").unwrap().session(None);
    let writer = there.component("billing").unwrap().session(None);
    cloud.put("a", "first").await;
    assert_eq!(get(&reader, "a").await.unwrap(), "first");
    for number in 0..50 {
        let text = number.to_string();
        set(&writer, "a", &text).await.unwrap();
        assert_eq!(get(&reader, "a").await.unwrap(), text);
        assert_eq!(get(&reader, "a").await.unwrap(), text);
    }
    writer.delete("a", None).await.unwrap();
    assert_eq!(get(&reader, "a").await.unwrap_err(), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_revocation_drops_what_is_kept_and_another_edit_does_not() {
    let far = Far::new(&config("")).await;
    far.cloud.put("a", "v").await;
    let session = far.session();
    assert_eq!(get(&session, "a").await.unwrap(), "v");
    far.edit(&format!("# a comment\n{}", config(""))).await;
    assert_eq!(get(&session, "a").await.unwrap(), "v");
    assert_eq!(far.cloud.counts.of(Operation::Get), 1);
    let none = format!("{}[component.billing]\ngrants = []\n", vault(""));
    far.edit(&none).await;
    assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::Denied);
    far.edit(&config("")).await;
    assert_eq!(get(&session, "a").await.unwrap(), "v");
    assert_eq!(far.cloud.counts.of(Operation::Get), 2);
}

#[tokio::test]
async fn a_denial_of_the_store_ends_what_components_remember() {
    let far = Far::new(&config("")).await;
    far.cloud.put("a", "v").await;
    let session = far.session();
    assert_eq!(get(&session, "a").await.unwrap(), "v");
    let denied = Fault::Fail(strongroom::backend::ErrorKind::PermissionDenied);
    far.cloud.faults.arm(denied, When::always());
    assert!(session.describe("a").await.is_err());
    let refused = get(&session, "a").await.unwrap_err();
    assert!(matches!(refused, ErrorCode::Failed(_)), "{refused:?}");
}

#[tokio::test]
async fn calls_end_at_the_deadline_of_their_vault() {
    let far = Far::new(&config("deadline = \"400ms\"")).await;
    far.cloud.put("a", "v").await;
    let session = far.session();
    far.cloud.faults.arm(Fault::Hang, When::always());
    let within = |began: Instant| began.elapsed() < Duration::from_millis(900);
    let began = Instant::now();
    assert!(unavailable(&get(&session, "a").await.unwrap_err()));
    assert!(within(began), "{:?}", began.elapsed());
    let began = Instant::now();
    let failed = set(&session, "a", "w").await.unwrap_err();
    assert!(unavailable(&failed.code));
    assert!(within(began), "{:?}", began.elapsed());
    let records = far.home.records(&far.broker);
    let write = records.iter().rfind(|r| r.action == Action::Write).unwrap();
    assert_eq!(write.outcome, Some(Outcome::Unknown), "it may be written");
}

#[tokio::test]
async fn at_the_deadline_a_stale_value_is_served_and_the_failure_counted() {
    let settings = "cache = { ttl = \"100ms\", max-stale = \"1h\" }\ndeadline = \"300ms\"\n\
        retry = { attempts = 1 }\nbreaker = { failures = 1, pause = \"1m\" }";
    let far = Far::new(&config(settings)).await;
    far.cloud.put("a", "v").await;
    let session = far.session();
    assert_eq!(get(&session, "a").await.unwrap(), "v");
    tokio::time::sleep(Duration::from_millis(150)).await;
    far.cloud.faults.arm(Fault::Hang, When::always());
    assert_eq!(get(&session, "a").await.unwrap(), "v");
    let records = far.home.records(&far.broker);
    assert_eq!(records[1].cache, Some(Cache::Stale));
    let asked = far.cloud.counts.total();
    assert!(unavailable(&get(&session, "b").await.unwrap_err()));
    assert_eq!(far.cloud.counts.total(), asked, "the store is left alone");
}

#[tokio::test]
async fn a_store_that_fails_is_left_alone() {
    let settings = "retry = { attempts = 1 }\nbreaker = { failures = 3, pause = \"1m\" }";
    let far = Far::new(&config(settings)).await;
    let session = far.session();
    let outage = Fault::Fail(strongroom::backend::ErrorKind::Unavailable);
    far.cloud
        .faults
        .arm(outage, When::always().on(Operation::Get));
    for _ in 0..20 {
        assert!(unavailable(&get(&session, "a").await.unwrap_err()));
    }
    assert_eq!(far.cloud.counts.of(Operation::Get), 3);
}

#[tokio::test]
async fn without_a_state_folder_the_vault_works_all_the_same() {
    let cloud = Cloud::new();
    let home = Home::new();
    home.write_config(&config(""));
    std::fs::write(home.path("state"), "a file, not a folder").unwrap();
    let broker = cloud.broker(&home).await;
    cloud.put("a", "v").await;
    let session = broker.component("billing").unwrap().session(None);
    assert_eq!(get(&session, "a").await.unwrap(), "v");
    set(&session, "a", "w").await.unwrap();
    assert_eq!(get(&session, "a").await.unwrap(), "w");
}
