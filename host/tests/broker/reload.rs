//! Edits of the configuration while calls go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use strongroom::audit::{self, Filter, Outcome};
use strongroom::backend::{MemoryBackend, VaultId};
use strongroom::{Broker, ErrorCode, Registry};

use crate::support::{Home, LONG, Rig, VAULTS, get, soon, until};

const GRANTED: &str = r#"
[component.billing]
grants = [ { vault = "app", secrets = ["a", "b"], actions = ["data-read"] } ]
"#;
const REVOKED: &str = "[component.billing]\n";

/// An edit counts within this time.
const IN_FORCE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_grant_taken_away_is_gone_for_the_next_call_and_given_back_likewise() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let session = rig.session("billing");
    let mut times = Vec::new();
    for _ in 0..5 {
        assert_eq!(get(&session, "a").await.unwrap(), "v");
        times.push(rig.edit(REVOKED).await);
        assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::Denied);
        let described = session.describe("a").await.unwrap_err();
        assert_eq!(described.code, ErrorCode::Denied);
        times.push(rig.edit(GRANTED).await);
    }
    // A busy machine may delay any one of them; polling would be late for all.
    times.sort_unstable();
    assert!(times[times.len() / 2] <= IN_FORCE, "{times:?}");
}

#[tokio::test]
async fn each_edit_is_a_policy_of_its_own_on_record() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let session = rig.session("billing");
    get(&session, "a").await.unwrap();
    let first = rig.broker.config().digest().to_string();
    rig.edit(REVOKED).await;
    get(&session, "a").await.unwrap_err();
    let second = rig.broker.config().digest().to_string();
    let records = rig.records();
    assert_eq!((records[0].policy, records[1].policy), (1, 2));
    let shown = audit::show(&rig.home.location(), Filter::default()).unwrap();
    let lines = shown.map(|s| String::from_utf8(s.unwrap().line).unwrap());
    let policies: Vec<_> = lines.filter(|l| l.contains("\"policy\",")).collect();
    assert_eq!(policies.len(), 2, "{policies:?}");
    assert!(policies[0].contains(&first) && policies[1].contains(&second));
}

#[tokio::test]
async fn a_waiting_watch_ends_with_denied() {
    let rig = Rig::new(GRANTED).await;
    let known = rig.put("a", "v").await;
    let session = rig.session("billing");
    let minute = Duration::from_secs(60);
    let waiting = tokio::spawn(async move { session.wait_for_change("a", known, minute).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    rig.edit(REVOKED).await;
    let ended = soon("the watch ends", waiting).await.unwrap();
    assert_eq!(ended.unwrap_err().code, ErrorCode::Denied);
    let records = rig.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome, Some(Outcome::Denied));
}

#[tokio::test]
async fn a_watch_tells_of_changes_by_anyone() {
    let rig = Rig::new(GRANTED).await;
    let session = rig.session("billing");
    let minute = Duration::from_secs(60);
    let soonest = session.wait_for_change("a", 5, minute).await.unwrap();
    assert_eq!(soonest, Some(0), "there is none, which is not 5");
    let waiting = {
        let session = session.clone();
        tokio::spawn(async move { session.wait_for_change("a", 0, minute).await })
    };
    tokio::time::sleep(Duration::from_millis(60)).await;
    rig.put("a", "v").await;
    let told = soon("the watch tells", waiting).await.unwrap().unwrap();
    assert_eq!(told, Some(1));
    let nothing = session.wait_for_change("a", 1, Duration::from_millis(80));
    assert_eq!(nothing.await.unwrap(), None);
}

#[tokio::test]
async fn a_bad_edit_leaves_the_old_configuration_in_force() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let session = rig.session("billing");
    let in_force = rig.broker.config().digest();
    for wrong in [
        "[component.billing]\nno-such-key = 1\n",
        "[component.billing]\ngrants = [ { vault = \"app\", secrets = [\"**/a\"], actions = [\"read\"] } ]\n",
        "[component.billing]\ngrants = [ { vault = \"nowhere\", secrets = [\"a\"], actions = [\"read\"] } ]\n",
        "not toml",
    ] {
        rig.home.write_config(&format!("{VAULTS}{wrong}"));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(rig.broker.config().digest(), in_force, "{wrong}");
        assert_eq!(get(&session, "a").await.unwrap(), "v");
    }
    rig.edit(REVOKED).await;
    assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::Denied);
}

#[tokio::test]
async fn an_edit_of_what_takes_a_restart_changes_nothing_at_all() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let session = rig.session("billing");
    let in_force = rig.broker.config().digest();
    let swapped = VAULTS.replace("\"test\"", "\"memory\"");
    rig.home.write_config(&format!("{swapped}{REVOKED}"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.broker.config().digest(), in_force);
    rig.home
        .write_config_with(&format!("{VAULTS}{REVOKED}"), "rotate = \"2 GiB\"");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.broker.config().digest(), in_force);
    assert_eq!(get(&session, "a").await.unwrap(), "v");
    rig.edit(REVOKED).await;
    assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::Denied);
}

#[tokio::test]
async fn quotas_of_an_edit_count_from_then_on() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let session = rig.session("billing");
    for _ in 0..20 {
        get(&session, "a").await.unwrap();
    }
    rig.edit(&format!("{GRANTED}quotas = {{ calls-per-second = 1 }}\n"))
        .await;
    let mut refused = 0;
    for _ in 0..20 {
        refused += u32::from(get(&session, "a").await.is_err());
    }
    assert!(refused >= 15, "{refused}");
}

#[tokio::test]
async fn a_broker_without_reload_keeps_its_configuration() {
    let rig = Rig::new(GRANTED).await;
    let home = Home::new();
    home.write_config(&format!(
        "{}{GRANTED}",
        VAULTS.replace("\"test\"", "\"memory\"")
    ));
    let builder = Broker::builder().config_file(home.path("strongroom.toml"));
    let fixed = builder.reload(false).build().await.unwrap();
    let before = fixed.config().digest();
    home.write_config(VAULTS.replace("\"test\"", "\"memory\"").as_str());
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert_eq!(fixed.config().digest(), before);
    fixed.close().await.unwrap();
    rig.broker.close().await.unwrap();
}

/// An edit may come with someone else's repository.
#[tokio::test]
async fn an_edit_that_is_not_accepted_takes_force_once_it_is() {
    let home = Home::new();
    let config = |entry: &str| format!("{}{entry}", VAULTS.replace("\"test\"", "\"memory\""));
    home.write_config(&config(REVOKED));
    let accepted = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&accepted);
    let broker = Broker::builder()
        .config_file(home.path("strongroom.toml"))
        .reload_if(move |edited| {
            assert_eq!(edited.components.len(), 1);
            match asked.load(Ordering::SeqCst) {
                true => Ok(()),
                false => Err("nobody has read it".to_owned()),
            }
        })
        .build()
        .await
        .unwrap();
    let session = broker.component("billing").unwrap().session(None);
    let (first, code) = (broker.config().digest(), ErrorCode::Denied);
    assert_eq!(get(&session, "a").await.unwrap_err(), code);
    home.write_config(&config(GRANTED));
    // Longer than an event takes and the next look at the file.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(broker.config().digest(), first);
    assert_eq!(get(&session, "a").await.unwrap_err(), code);
    accepted.store(true, Ordering::SeqCst);
    until("what was accepted is in force", || {
        broker.config().digest() != first
    })
    .await;
    assert_eq!(
        get(&session, "a").await.unwrap_err(),
        ErrorCode::NotFound,
        "granted"
    );
}

/// What a configuration names can change while its text does not, before a vault is first asked.
#[tokio::test]
async fn a_vault_opens_only_while_the_configuration_stands() {
    let home = Home::new();
    home.write_config(&format!("{VAULTS}{GRANTED}"));
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let registry = Registry::new().with("test", move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(MemoryBackend::new()))
    });
    let stands = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stands);
    let broker = Broker::builder()
        .registry(registry)
        .state_dir(home.path("state"))
        .config_file(home.path("strongroom.toml"))
        .open_if(move |in_force| {
            assert_eq!(in_force.components.len(), 1);
            match asked.load(Ordering::SeqCst) {
                true => Ok(()),
                false => Err("its kubeconfig is another one".to_owned()),
            }
        })
        .build()
        .await
        .unwrap();
    let session = broker.component("billing").unwrap().session(None);
    let refused = get(&session, "a").await.unwrap_err();
    assert!(matches!(refused, ErrorCode::Failed(_)), "{refused:?}");
    // The way past the comparison of marks is none past this.
    let app = VaultId::parse("app").unwrap();
    broker.accept_rollback(&app).await.unwrap_err();
    assert_eq!(opened.load(Ordering::SeqCst), 0);
    stands.store(true, Ordering::SeqCst);
    // The refusal is remembered for a moment, as every failure to open is.
    let since = Instant::now();
    while get(&session, "a").await.unwrap_err() != ErrorCode::NotFound {
        assert!(since.elapsed() < LONG, "it stands, and does not open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stands.store(false, Ordering::SeqCst);
    assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::NotFound);
    assert_eq!(opened.load(Ordering::SeqCst), 1, "what is open stays open");
}

#[tokio::test]
async fn a_component_that_an_edit_removes_is_denied() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let session = rig.session("billing");
    get(&session, "a").await.unwrap();
    rig.edit("").await;
    assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::Denied);
    assert!(rig.broker.component("billing").is_err());
    until("the edit is undone", || {
        rig.home.write_config(&format!("{VAULTS}{GRANTED}"));
        rig.broker.component("billing").is_ok()
    })
    .await;
    assert_eq!(get(&session, "a").await.unwrap(), "v");
}

#[tokio::test]
async fn the_workspace_is_in_the_records_and_stays_over_an_edit() {
    let home = Home::new();
    let config = |action: &str| {
        format!(
            "{VAULTS}[component.billing]\ngrants = []\n[workspace.staging.component.billing]\n\
             grants = [ {{ vault = \"other\", secrets = [\"**\"], actions = [\"{action}\"] }} ]\n"
        )
    };
    home.write_config(&config("read"));
    let broker = Broker::builder()
        .registry(Registry::new().with("test", |_| Ok(Arc::new(MemoryBackend::new()))))
        .config_file(home.path("strongroom.toml"))
        .workspace("staging")
        .build()
        .await
        .unwrap();
    let session = broker.component("billing").unwrap().session(None);
    let missing = get(&session, "other:a").await.unwrap_err();
    assert_eq!(missing, ErrorCode::NotFound, "granted there");
    home.write_config(&config("write"));
    until("the edit is in force", || {
        broker.with_policy(|policy| policy.generation()) == 2
    })
    .await;
    assert_eq!(broker.config().workspace(), Some("staging"));
    let denied = get(&session, "other:a").await.unwrap_err();
    assert_eq!(denied, ErrorCode::Denied);
    broker.log().flush().unwrap();
    let all = audit::show(&home.location(), Filter::default());
    let records = all.unwrap().map(|shown| shown.unwrap().record);
    let told: Vec<_> = records
        .filter(|record| record.action == audit::Action::Policy)
        .map(|record| record.word("workspace").map(str::to_owned))
        .collect();
    assert_eq!(
        told,
        [Some("staging".to_owned()), Some("staging".to_owned())]
    );
}
