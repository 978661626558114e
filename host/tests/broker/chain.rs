//! Vaults that stand for others.

use std::sync::Arc;

use strongroom::ErrorCode;
use strongroom::audit::Cache;
use strongroom::backend::{Backend, ErrorKind, MemoryBackend, Which};
use strongroom_backend_testkit::{Fault, Operation, When};

use crate::support::far::{Cloud, Far, put};
use crate::support::{get, set};

const CONFIG: &str = r#"
default-vault = "payments"
[vault.payments]
chain = ["local", "prod"]
[vault.local]
backend = "here"
[vault.prod]
backend = "cloud"
cache = { negative-ttl = "1h" }

[component.billing]
grants = [ { vault = "payments", secrets = ["**"], actions = ["data-read", "data-write"] } ]
"#;

async fn far(config: &str) -> (Far, Arc<MemoryBackend>) {
    let here = Arc::new(MemoryBackend::new());
    let far = Far::over(Cloud::new().with_here(&here), config).await;
    (far, here)
}

#[tokio::test]
async fn the_record_says_which_vault_answered_on_the_warm_way_too() {
    let (far, here) = far(CONFIG).await;
    far.cloud.put("a", "cloud").await;
    put(&here, "b", "here").await;
    let session = far.session();
    for _ in 0..2 {
        assert_eq!(get(&session, "a").await.unwrap(), "cloud");
        assert_eq!(get(&session, "b").await.unwrap(), "here");
    }
    assert_eq!(far.cloud.counts.of(Operation::Get), 1);
    let records = far.home.records(&far.broker);
    let told: Vec<_> = records
        .iter()
        .map(|r| (r.vault.as_deref(), r.detail.as_deref(), r.cache))
        .collect();
    let (vault, prod, local) = (Some("payments"), Some("from=prod"), Some("from=local"));
    assert_eq!(
        told,
        [
            (vault, prod, Some(Cache::Miss)),
            (vault, local, Some(Cache::Miss)),
            (vault, prod, Some(Cache::Hit)),
            (vault, local, Some(Cache::Hit)),
        ]
    );
}

#[tokio::test]
async fn a_grant_on_the_chain_is_none_on_its_members() {
    let (far, _here) = far(CONFIG).await;
    far.cloud.put("a", "cloud").await;
    let session = far.session();
    assert_eq!(get(&session, "a").await.unwrap(), "cloud");
    for reference in ["prod:a", "local:a"] {
        assert_eq!(
            get(&session, reference).await.unwrap_err(),
            ErrorCode::Denied
        );
    }
}

#[tokio::test]
async fn what_an_earlier_vault_gains_or_loses_is_seen_at_once() {
    let (far, here) = far(CONFIG).await;
    far.cloud.put("a", "cloud").await;
    let session = far.session();
    let operator = far.broker.operator().unwrap();
    for round in 0..20 {
        assert_eq!(get(&session, "a").await.unwrap(), "cloud", "{round}");
        let value = format!("here {round}");
        set(&operator, "local:a", &value).await.unwrap();
        assert_eq!(get(&session, "a").await.unwrap(), value);
        assert_eq!(get(&session, "a").await.unwrap(), value);
        operator.delete("local:a", None).await.unwrap();
    }
    // Beside the broker, as another process does.
    put(&here, "a", "beside").await;
    assert_eq!(get(&session, "a").await.unwrap(), "beside");
}

#[tokio::test]
async fn writes_go_to_the_first_that_can_and_show_at_once() {
    let (far, here) = far(CONFIG).await;
    far.cloud.put("a", "cloud").await;
    let session = far.session();
    assert_eq!(get(&session, "a").await.unwrap(), "cloud");
    assert_eq!(get(&session, "new").await.unwrap_err(), ErrorCode::NotFound);
    for name in ["a", "new"] {
        assert_eq!(set(&session, name, "written").await.unwrap(), 1);
        assert_eq!(get(&session, name).await.unwrap(), "written");
        let kept = here.get(&crate::support::name(name), Which::Current).await;
        assert_eq!(kept.unwrap().value.expose(), b"written");
    }
    // Deleted where it was, the other shows again.
    session.delete("a", None).await.unwrap();
    assert_eq!(get(&session, "a").await.unwrap(), "cloud");
    let listed = session.list("", None).await.unwrap();
    let listed: Vec<_> = listed.references.iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["payments:a", "payments:new"]);
}

#[tokio::test]
async fn a_rollback_writes_the_vault_that_answers() {
    let config = CONFIG.replace("\"data-write\"]", "\"data-write\", \"rollback\"]");
    let (far, here) = far(&config).await;
    far.cloud.put("a", "old").await;
    far.cloud.put("a", "new").await;
    let session = far.session();
    assert_eq!(get(&session, "a").await.unwrap(), "new");
    assert_eq!(session.rollback("a", 1).await.unwrap(), 3);
    assert_eq!(get(&session, "a").await.unwrap(), "old");
    let kept = here.get(&crate::support::name("a"), Which::Current).await;
    assert_eq!(kept.unwrap_err().kind(), ErrorKind::NotFound);
    far.cloud.put("a", "newest").await;
    assert_eq!(
        get(&far.broker.operator().unwrap(), "a").await.unwrap(),
        "newest"
    );
}

#[tokio::test]
async fn an_outage_stops_or_is_passed_as_the_setting_says() {
    let stop = CONFIG.replace(r#"["local", "prod"]"#, r#"["prod", "local"]"#);
    let next = stop.replace("chain = ", "on-error = \"next\"\nchain = ");
    for (config, passes) in [(stop, false), (next, true)] {
        let (far, here) = far(&config).await;
        put(&here, "a", "here").await;
        let outage = Fault::Fail(ErrorKind::Unavailable);
        let always = When::always().on(Operation::Get);
        far.cloud.faults.arm(outage, always);
        let session = far.session();
        let got = get(&session, "a").await;
        let missing = get(&session, "none").await.unwrap_err();
        assert!(matches!(missing, ErrorCode::Unavailable(_)), "{missing:?}");
        if passes {
            assert_eq!(got.unwrap(), "here");
        } else {
            let code = got.unwrap_err();
            assert!(matches!(code, ErrorCode::Unavailable(_)), "{code:?}");
        }
        far.cloud.faults.heal();
        far.cloud.put("a", "cloud").await;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        if passes {
            // Nothing was remembered of the time when it was passed over.
            assert_eq!(get(&session, "a").await.unwrap(), "cloud");
        }
    }
}

#[tokio::test]
async fn a_vault_that_hangs_is_passed_at_its_own_deadline() {
    let config = CONFIG.replace(
        "chain = [\"local\", \"prod\"]",
        "on-error = \"next\"\ndeadline = \"300ms\"\nchain = [\"prod\", \"local\"]",
    );
    let config = config.replace("\"cloud\"", "\"cloud\"\ndeadline = \"300ms\"");
    let (far, here) = far(&config).await;
    put(&here, "a", "here").await;
    far.cloud.faults.arm(Fault::Hang, When::always());
    let began = std::time::Instant::now();
    assert_eq!(get(&far.session(), "a").await.unwrap(), "here");
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn many_through_a_chain_ask_each_vault_once() {
    let (far, here) = far(CONFIG).await;
    for number in 0..40 {
        let name = format!("n/{number}");
        if number % 2 == 0 {
            put(&here, &name, "here").await;
        } else {
            far.cloud.put(&name, "cloud").await;
        }
    }
    let names: Vec<_> = (0..50).map(|number| format!("n/{number}")).collect();
    for _ in 0..2 {
        let results = far.session().get_many(&names).await.unwrap();
        for (number, result) in results.iter().enumerate() {
            let expected: &[u8] = match (number, number % 2) {
                (40.., _) => {
                    assert_eq!(result.as_ref().unwrap_err().code, ErrorCode::NotFound);
                    continue;
                }
                (_, 0) => b"here",
                _ => b"cloud",
            };
            assert_eq!(result.as_ref().unwrap().value.expose(), expected);
        }
        assert_eq!(far.cloud.counts.of(Operation::GetMany), 1);
        assert_eq!(far.cloud.counts.of(Operation::Get), 0);
    }
}

#[tokio::test]
async fn chains_lie_within_chains() {
    let config = CONFIG.replace(
        "chain = [\"local\", \"prod\"]",
        "chain = [\"inner\", \"prod\"]\n[vault.inner]\nchain = [\"local\"]",
    );
    let (far, here) = far(&config).await;
    put(&here, "a", "here").await;
    far.cloud.put("b", "cloud").await;
    let session = far.session();
    assert_eq!(get(&session, "a").await.unwrap(), "here");
    assert_eq!(get(&session, "b").await.unwrap(), "cloud");
    let records = far.home.records(&far.broker);
    let details: Vec<_> = records.iter().filter_map(|r| r.detail.as_deref()).collect();
    assert_eq!(details, ["from=local", "from=prod"]);
}
