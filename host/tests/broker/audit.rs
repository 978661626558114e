//! No value without its record.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use strongroom::ErrorCode;
use strongroom::audit::{self, Action, Outcome, Verify};
use strongroom::backend::Which;

use crate::support::{LONG, Rig, get, set};

const GRANTED: &str = r#"
[component.billing]
grants = [ { vault = "app", secrets = ["**"], actions = ["data-read", "data-write"] } ]
[component.second]
grants = [ { vault = "app", secrets = ["n/1"], actions = ["read"] } ]
"#;

fn verify(rig: &Rig) {
    let location = rig.home.location();
    let report = audit::verify(&Verify {
        first_key: Some(audit::first_key_path(&location.key)),
        location,
        checkpoint: None,
    })
    .unwrap();
    assert!(report.is_whole(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_that_was_received_is_on_record_and_the_log_is_whole() {
    let rig = Rig::new(GRANTED).await;
    for number in 0..5 {
        rig.put(&format!("n/{number}"), "v").await;
    }
    let mut tasks = Vec::new();
    for task in 0..4 {
        let name = if task % 2 == 0 { "billing" } else { "second" };
        let session = rig.session(name);
        tasks.push(tokio::spawn(async move {
            let (mut received, mut denied, mut missing) = (0, 0, 0);
            for call in 0..500 {
                let text = format!("n/{}", (call + task) % 7);
                match get(&session, &text).await {
                    Ok(_) => received += 1,
                    Err(ErrorCode::Denied) => denied += 1,
                    Err(ErrorCode::NotFound) => missing += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
            let texts: Vec<_> = (0..7).map(|n| format!("n/{n}")).collect();
            for result in session.get_many(&texts).await.unwrap() {
                match result.map_err(|e| e.code) {
                    Ok(_) => received += 1,
                    Err(ErrorCode::Denied) => denied += 1,
                    _ => missing += 1,
                }
            }
            (received, denied, missing)
        }));
    }
    let mut totals = (0, 0, 0);
    for task in tasks {
        let (received, denied, missing) = task.await.unwrap();
        totals.0 += received;
        totals.1 += denied;
        totals.2 += missing;
    }
    let outcomes = rig.outcomes(Action::Read);
    let count = |outcome| outcomes.iter().filter(|o| **o == outcome).count();
    let recorded = [Outcome::Allowed, Outcome::Denied, Outcome::NotFound].map(count);
    assert_eq!(recorded, [totals.0, totals.1, totals.2]);
    assert_eq!(outcomes.len(), totals.0 + totals.1 + totals.2);
    rig.broker.clone().close().await.unwrap();
    verify(&rig);
}

/// Breaks the log, proves that releases stop and changes are not made, mends it, and proves that
/// they go on without a restart.
async fn breaks(rig: &Rig, do_break: impl FnOnce(), mend: impl FnOnce()) {
    rig.put("a", "v").await;
    let session = rig.session("billing");
    let mut received = 0;
    for _ in 0..10 {
        get(&session, "a").await.unwrap();
        received += 1;
    }
    rig.broker.log().flush().unwrap();
    let broken = Instant::now();
    do_break();
    let stopped = loop {
        match get(&session, "a").await {
            Ok(_) => received += 1,
            Err(ErrorCode::Unavailable(_)) => break broken.elapsed(),
            Err(other) => panic!("{other:?}"),
        }
        assert!(broken.elapsed() < LONG, "values are still released");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(stopped < Duration::from_millis(1500), "{stopped:?}");
    let puts = rig.counts.of(strongroom_backend_testkit::Operation::Put);
    for _ in 0..5 {
        let code = get(&session, "a").await.unwrap_err();
        assert!(matches!(code, ErrorCode::Unavailable(_)), "{code:?}");
        let code = session.get("a", Which::Version(1)).await.unwrap_err().code;
        assert!(matches!(code, ErrorCode::Unavailable(_)), "{code:?}");
        let code = set(&session, "a", "w").await.unwrap_err().code;
        assert!(matches!(code, ErrorCode::Unavailable(_)), "{code:?}");
        let code = session.describe("a").await.unwrap_err().code;
        assert!(matches!(code, ErrorCode::Unavailable(_)), "{code:?}");
        let code = session.list("", None).await.unwrap_err().code;
        assert!(matches!(code, ErrorCode::Unavailable(_)), "{code:?}");
        let code = get(&session, "../x").await.unwrap_err();
        assert!(matches!(code, ErrorCode::Unavailable(_)), "{code:?}");
    }
    let after = rig.counts.of(strongroom_backend_testkit::Operation::Put);
    assert_eq!(
        after, puts,
        "a change was made without its intent on record"
    );
    mend();
    let mended = Instant::now();
    loop {
        if get(&session, "a").await.is_ok() {
            received += 1;
            break;
        }
        assert!(mended.elapsed() < LONG, "nothing is released after mending");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(set(&session, "a", "w").await.is_ok());
    let outcomes = rig.outcomes(Action::Read);
    let allowed = outcomes.iter().filter(|o| **o == Outcome::Allowed).count();
    assert!(
        allowed >= received,
        "{received} received, {allowed} on record"
    );
    rig.broker.clone().close().await.unwrap();
    verify(rig);
}

#[tokio::test]
async fn a_log_that_was_taken_away_stops_releases_until_it_is_back() {
    let rig = Rig::new(GRANTED).await;
    let (log, away) = (rig.home.log_file(), rig.home.path("away"));
    breaks(
        &rig,
        || fs::rename(&log, &away).unwrap(),
        || fs::rename(&away, &log).unwrap(),
    )
    .await;
}

#[tokio::test]
async fn a_log_that_was_replaced_stops_releases_until_the_true_one_is_back() {
    let rig = Rig::new(GRANTED).await;
    let (log, away) = (rig.home.log_file(), rig.home.path("away"));
    breaks(
        &rig,
        || {
            fs::rename(&log, &away).unwrap();
            fs::copy(&away, &log).unwrap();
            fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();
        },
        || fs::rename(&away, &log).unwrap(),
    )
    .await;
}

#[tokio::test]
async fn a_log_that_others_may_write_stops_releases_until_they_may_not() {
    let rig = Rig::new(GRANTED).await;
    let log = rig.home.log_file();
    let mode = |mode| fs::set_permissions(&log, fs::Permissions::from_mode(mode)).unwrap();
    breaks(&rig, || mode(0o622), || mode(0o600)).await;
}

#[tokio::test]
async fn with_durability_disk_a_value_comes_after_its_line() {
    let rig = Rig::with_audit(GRANTED, "durability = \"disk\"").await;
    rig.put("a", "v").await;
    let session = rig.session("billing");
    for number in 1..=20 {
        if number % 5 == 0 {
            rig.put("a", "v").await;
        }
        assert_eq!(get(&session, "a").await.unwrap(), "v");
        // No flush: the line is there now, or a power cut would lose it.
        let text = fs::read_to_string(rig.home.log_file()).unwrap();
        let lines = text
            .lines()
            .filter(|l| l.contains("\"allowed\"") && l.contains("\"read\""));
        assert_eq!(lines.count(), number);
    }
    let denied = get(&rig.session("second"), "a").await.unwrap_err();
    assert_eq!(denied, ErrorCode::Denied);
}

#[tokio::test]
async fn without_an_audit_table_there_is_no_broker() {
    let home = crate::support::Home::new();
    let file = home.path("strongroom.toml");
    fs::write(&file, "[vault.m]\nbackend = \"memory\"\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = strongroom::Broker::builder()
        .config_file(&file)
        .build()
        .await;
    assert!(matches!(
        refused.err(),
        Some(strongroom::BuildError::NoAudit)
    ));
}

#[tokio::test]
async fn after_close_nothing_is_released() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let session = rig.session("billing");
    get(&session, "a").await.unwrap();
    rig.broker.clone().close().await.unwrap();
    let code = get(&session, "a").await.unwrap_err();
    assert!(matches!(code, ErrorCode::Unavailable(_)), "{code:?}");
    verify(&rig);
}

#[tokio::test]
async fn thousands_of_instances_and_names_do_not_use_the_journal_up() {
    let rig = Rig::new(GRANTED).await;
    rig.put("n/1", "v").await;
    for number in 0..3000 {
        let session = rig.session("billing");
        assert_eq!(get(&session, "n/1").await.unwrap(), "v");
        let name = format!("none/{number}");
        assert_eq!(get(&session, &name).await.unwrap_err(), ErrorCode::NotFound);
    }
    assert_eq!(get(&rig.session("second"), "n/1").await.unwrap(), "v");
}
