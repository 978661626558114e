//! Who gets what, and what the others learn: nothing.

use std::time::Duration;

use strongroom::audit::{Action, Cache, Outcome};
use strongroom::backend::{Metadata, PutOptions, SecretValue, Which};
use strongroom::grants::Digest;
use strongroom::{BuildError, CallError, ErrorCode, Session};

use crate::support::{Rig, get, in_ms, now_ms, set};

const BILLING: &str = r#"
[component.billing]
grants = [ { vault = "app", secrets = ["stripe/*", "db/main"], actions = ["read"] } ]
"#;

#[tokio::test]
async fn a_granted_value_is_read_and_on_record() {
    let rig = Rig::new(BILLING).await;
    let version = rig.put("stripe/key", "v").await;
    let session = rig.session("billing");
    assert_eq!(get(&session, "stripe/key").await.unwrap(), "v");
    assert_eq!(get(&session, "app:stripe/key").await.unwrap(), "v");
    assert_eq!(get(&session, "stripe/key").await.unwrap(), "v");
    let records = rig.records();
    assert_eq!(records.len(), 3);
    for record in &records {
        assert_eq!(record.principal, "component:billing");
        assert_eq!(record.vault.as_deref(), Some("app"));
        assert_eq!(record.secret.as_deref(), Some("stripe/key"));
        assert_eq!(record.version, Some(version));
        assert_eq!(record.outcome, Some(Outcome::Allowed));
        assert_eq!(record.grant.as_deref(), Some("component.billing.grants[0]"));
        assert!(record.instance.is_some());
        assert_eq!(record.digest, None, "nobody hashed the bytes");
    }
    assert_eq!(records[0].cache, Some(Cache::Miss));
    assert_eq!(records[2].cache, Some(Cache::Hit));
}

/// Every call about one secret, by its error.
async fn every_call(session: &Session, reference: &str) -> Vec<CallError> {
    let value = || SecretValue::copy_of(b"new");
    vec![
        session.get(reference, Which::Current).await.unwrap_err(),
        session.get(reference, Which::Version(1)).await.unwrap_err(),
        session.describe(reference).await.unwrap_err(),
        session.versions(reference).await.unwrap_err(),
        session
            .wait_for_change(reference, 0, Duration::ZERO)
            .await
            .unwrap_err(),
        session
            .set(reference, value(), PutOptions::default())
            .await
            .unwrap_err(),
        session
            .set_metadata(reference, Metadata::default())
            .await
            .unwrap_err(),
        session.delete(reference, None).await.unwrap_err(),
        session.undelete(reference, None).await.unwrap_err(),
        session.destroy(reference, 1).await.unwrap_err(),
        session.rollback(reference, 1).await.unwrap_err(),
        session.rotate(reference).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn what_is_denied_looks_the_same_whether_or_not_it_exists() {
    let rig = Rig::new(BILLING).await;
    rig.put("hidden/there", "v").await;
    let session = rig.session("billing");
    let mut seen = Vec::new();
    for reference in ["hidden/there", "hidden/none", "nowhere:hidden/there"] {
        let before = rig.records().len();
        for _ in 0..2 {
            // The second round finds remembered denials.
            let errors = every_call(&session, reference).await;
            seen.push(format!("{errors:?}"));
            assert!(errors.iter().all(|e| e.code == ErrorCode::Denied));
        }
        let records = rig.records().split_off(before);
        assert_eq!(records.len(), 24);
        for record in records {
            assert_eq!(record.outcome, Some(Outcome::Denied), "{record:?}");
            assert_eq!((record.grant, record.detail), (None, None));
        }
    }
    assert!(
        seen.windows(2).all(|pair| pair[0] == pair[1]),
        "the errors tell more than that it is denied: {seen:#?}"
    );
    assert_eq!(rig.counts.total(), 0, "a backend was asked");
}

#[tokio::test]
async fn a_grant_of_one_action_is_not_one_of_another() {
    let rig = Rig::new(
        r#"
[component.lister]
grants = [ { vault = "app", secrets = ["**"], actions = ["list"] } ]
[component.writer]
grants = [ { vault = "app", secrets = ["**"], actions = ["data-write"] } ]
[component.user]
grants = [ { vault = "app", secrets = ["**"], actions = ["use-encrypt"] } ]
"#,
    )
    .await;
    rig.put("a", "v").await;
    for name in ["lister", "writer", "user"] {
        let error = get(&rig.session(name), "a").await.unwrap_err();
        assert_eq!(error, ErrorCode::Denied, "{name}");
    }
    let error = set(&rig.session("lister"), "a", "x").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
    assert_eq!(rig.counts.total(), 0);
}

#[tokio::test]
async fn a_malformed_reference_is_recorded_by_length_and_reason() {
    let rig = Rig::new(BILLING).await;
    let session = rig.session("billing");
    let long = "sk-live-".repeat(100);
    let huge = "sk-live-".repeat(1 << 17);
    let texts = [
        "",
        "/",
        "/stripe/key",
        "stripe/key/",
        "stripe//key",
        "stripe/./key",
        "stripe/../key",
        "..",
        "stripe/%2e%2e/key",
        "stripe/key%00",
        "stripe\\key",
        "stripe/key\0",
        "stripe/kéy",
        "stripe/key\n",
        " stripe/key",
        "stripe/*",
        "stripe/**",
        "stripe/key?version=1",
        "stripe/key#frag",
        "app:stripe:key",
        ":stripe/key",
        "app:",
        "arn:aws:secretsmanager:us-east-1:1:secret:x",
        "https://vault/secrets/x",
        "app/x:stripe/key",
        "\u{202e}stripe/key",
        "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q",
        &long,
        &huge,
    ];
    for text in texts {
        let error = session.get(text, Which::Current).await.unwrap_err();
        let ErrorCode::InvalidReference(why) = &error.code else {
            panic!("{text:?}: {error:?}");
        };
        let record = rig.records().pop().unwrap();
        assert_eq!(record.outcome, Some(Outcome::Invalid));
        assert_eq!((record.vault, record.secret), (None, None), "{text:?}");
        let detail = record.detail.unwrap();
        let expected = format!("reference of {} bytes: {why}", text.len());
        assert_eq!(detail, expected);
        let part: String = text.trim().chars().take(8).collect();
        if part.chars().count() == 8 {
            assert!(!format!("{error} {error:?} {detail}").contains(&part));
        }
    }
    assert_eq!(rig.counts.total(), 0);
}

#[tokio::test]
async fn every_call_refuses_a_malformed_reference_before_it_decides() {
    let rig = Rig::new(BILLING).await;
    let session = rig.session("billing");
    let errors = every_call(&session, "../etc/passwd").await;
    for error in &errors {
        let refused = matches!(error.code, ErrorCode::InvalidReference(_));
        assert!(refused, "{error:?}");
    }
    let records = rig.records();
    assert_eq!(records.len(), errors.len());
    assert!(records.iter().all(|r| r.outcome == Some(Outcome::Invalid)));
    assert_eq!(rig.counts.total(), 0);
}

#[tokio::test]
async fn the_same_text_of_two_components_never_crosses() {
    let rig = Rig::new(
        r#"
[component.one]
grants = [ { vault = "app", secrets = ["key"], actions = ["read"] } ]
[component.two]
default-vault = "other"
grants = [ { vault = "other", secrets = ["key"], actions = ["data-read", "data-write"] } ]
[component.three]
"#,
    )
    .await;
    rig.put("key", "of app").await;
    let [one, two, three] = ["one", "two", "three"].map(|name| rig.session(name));
    set(&two, "key", "of other").await.unwrap();
    for _ in 0..3 {
        assert_eq!(get(&one, "key").await.unwrap(), "of app");
        assert_eq!(get(&two, "key").await.unwrap(), "of other");
        assert_eq!(get(&three, "key").await.unwrap_err(), ErrorCode::Denied);
        assert_eq!(get(&two, "app:key").await.unwrap_err(), ErrorCode::Denied);
        assert_eq!(get(&one, "other:key").await.unwrap_err(), ErrorCode::Denied);
    }
}

#[tokio::test]
async fn a_role_grants_to_its_components_alone() {
    let rig = Rig::new(
        r#"
[component.in]
roles = ["reader"]
[component.out]
[role.reader]
grants = [ { vault = "app", secrets = ["shared/**"], actions = ["data-read"] } ]
"#,
    )
    .await;
    rig.put("shared/a", "v").await;
    assert_eq!(get(&rig.session("in"), "shared/a").await.unwrap(), "v");
    let error = get(&rig.session("out"), "shared/a").await.unwrap_err();
    assert_eq!(error, ErrorCode::Denied);
    let allowed = &rig.records()[0];
    assert_eq!(allowed.grant.as_deref(), Some("role.reader.grants[0]"));
}

#[tokio::test]
async fn a_grant_that_expires_takes_the_remembered_value_with_it() {
    let until = in_ms(1500);
    let rig = Rig::new(&format!(
        "[component.billing]\ngrants = [ {{ vault = \"app\", secrets = [\"a\"], \
         actions = [\"read\"], expires = {until} }} ]\n"
    ))
    .await;
    rig.put("a", "v").await;
    let session = rig.session("billing");
    assert_eq!(get(&session, "a").await.unwrap(), "v");
    assert_eq!(get(&session, "a").await.unwrap(), "v");
    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::Denied);
}

#[tokio::test]
async fn a_secret_that_expires_takes_the_remembered_value_with_it() {
    let rig = Rig::new(BILLING).await;
    let options = PutOptions {
        expires: Some(now_ms() + 700),
        ..PutOptions::default()
    };
    rig.put_with("stripe/key", "v", options).await;
    let session = rig.session("billing");
    assert_eq!(get(&session, "stripe/key").await.unwrap(), "v");
    assert_eq!(get(&session, "stripe/key").await.unwrap(), "v");
    tokio::time::sleep(Duration::from_millis(800)).await;
    let expired = get(&session, "stripe/key").await.unwrap_err();
    assert_eq!(expired, ErrorCode::NotFound);
    let by_number = session.get("stripe/key", Which::Version(1)).await;
    assert_eq!(by_number.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn other_bytes_than_those_pinned_get_nothing_also_not_from_memory() {
    let (pinned, other) = (Digest::of(b"pinned"), Digest::of(b"other"));
    let rig = Rig::new(&format!("{BILLING}digest = \"{pinned}\"\n")).await;
    rig.put("stripe/key", "v").await;
    let billing = rig.broker.component("billing").unwrap();
    let sessions = [None, Some(other), Some(pinned)].map(|digest| billing.session(digest));
    for _ in 0..2 {
        let [unknown, other, pinned] = &sessions;
        let refused = get(unknown, "stripe/key").await.unwrap_err();
        assert_eq!(refused, ErrorCode::Denied);
        assert_eq!(get(pinned, "stripe/key").await.unwrap(), "v");
        let refused = get(other, "stripe/key").await.unwrap_err();
        assert_eq!(refused, ErrorCode::Denied);
    }
    let refused = billing.instance_unverified().err().unwrap();
    assert!(matches!(refused, BuildError::Digest { .. }), "{refused}");
    let records = rig.records();
    let allowed = records
        .iter()
        .filter(|r| r.outcome == Some(Outcome::Allowed));
    assert!(allowed.clone().count() == 2);
    let text = pinned.to_string();
    assert!(
        allowed
            .into_iter()
            .all(|r| r.digest.as_ref() == Some(&text))
    );
}

#[tokio::test]
async fn a_pin_added_by_an_edit_stops_other_bytes_that_already_run() {
    let (good, bad) = (Digest::of(b"good"), Digest::of(b"bad"));
    let rig = Rig::new(BILLING).await;
    rig.put("stripe/key", "v").await;
    let billing = rig.broker.component("billing").unwrap();
    let (good_runs, bad_runs) = (billing.session(Some(good)), billing.session(Some(bad)));
    assert_eq!(get(&bad_runs, "stripe/key").await.unwrap(), "v");
    rig.edit(&format!("{BILLING}digest = \"{good}\"\n")).await;
    assert_eq!(get(&good_runs, "stripe/key").await.unwrap(), "v");
    let refused = get(&bad_runs, "stripe/key").await.unwrap_err();
    assert_eq!(refused, ErrorCode::Denied);
    assert_eq!(get(&good_runs, "stripe/key").await.unwrap(), "v");
}

#[tokio::test]
async fn a_component_without_an_entry_is_refused_by_name() {
    let rig = Rig::new("").await;
    for name in ["ghost", "", "../billing", "component.billing"] {
        let refused = rig.broker.component(name).err().unwrap();
        let unknown = matches!(refused, BuildError::UnknownComponent(_));
        assert!(unknown, "{refused}");
    }
}

#[tokio::test]
async fn the_operator_reads_and_is_on_record_as_the_user() {
    let rig = Rig::new("").await;
    rig.put("a", "v").await;
    let operator = rig.broker.operator().unwrap();
    assert_eq!(get(&operator, "a").await.unwrap(), "v");
    let unknown = get(&operator, "nowhere:a").await.unwrap_err();
    assert_eq!(unknown, ErrorCode::Denied);
    let record = &rig.records()[0];
    assert!(record.principal.starts_with("operator:"));
    assert_eq!(record.grant.as_deref(), Some("operator"));
    assert_eq!(
        rig.outcomes(Action::Read),
        [Outcome::Allowed, Outcome::Denied]
    );
}
