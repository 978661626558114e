//! Names and grants that are bound to one field of a JSON secret.

use std::sync::Arc;
use std::time::Duration;

use strongroom::ErrorCode;
use strongroom::audit::{Cache, Outcome};
use strongroom::backend::{MemoryBackend, Metadata, PutOptions, Which};
use strongroom_backend_testkit::{Fault, When};
use strongroom_backend_testkit::{Gate, Operation};

use crate::support::far::{Cloud, Far, put};
use crate::support::{Rig, get, set, soon};

const JSON: &str = r#"{"user":"app","password":"p\u0040ss","port":5432}"#;

const NAMES: &str = r#"
default-vault = "app"
[vault.app]
backend = "cloud"
[vault.app.fields]
"db/password" = { of = "db/main", field = "password" }
"db/port" = { of = "db/main", field = "port" }
"db/none" = { of = "db/main", field = "none" }
"text/field" = { of = "text/whole", field = "x" }
"gone/field" = { of = "gone", field = "x" }

[component.billing]
grants = [ { vault = "app", secrets = ["db/password", "db/port", "db/none", "*/field"], actions = ["data-read"] } ]
[component.admin]
grants = [ { vault = "app", secrets = ["**"], actions = ["data-read", "data-write", "destroy", "undelete"] } ]
"#;

async fn far() -> Far {
    let far = Far::new(NAMES).await;
    far.cloud.put("db/main", JSON).await;
    far.cloud.put("text/whole", "no object").await;
    far
}

#[tokio::test]
async fn a_bound_name_is_its_field_and_no_more() {
    let far = far().await;
    let session = far.session();
    for _ in 0..2 {
        assert_eq!(get(&session, "db/password").await.unwrap(), "p@ss");
        assert_eq!(get(&session, "db/port").await.unwrap(), "5432");
    }
    assert_eq!(far.cloud.counts.of(Operation::Get), 1, "one secret");
    let whole = get(&session, "db/main").await.unwrap_err();
    assert_eq!(whole, ErrorCode::Denied);
    let none = get(&session, "db/none").await.unwrap_err();
    assert_eq!(none, ErrorCode::NotFound);
    let text = get(&session, "text/field").await.unwrap_err();
    assert!(matches!(text, ErrorCode::Failed(_)), "{text:?}");
    let gone = get(&session, "gone/field").await.unwrap_err();
    assert_eq!(gone, ErrorCode::NotFound);
    let records = far.home.records(&far.broker);
    let first = &records[0];
    assert_eq!(first.secret.as_deref(), Some("db/password"));
    assert_eq!(first.cache, Some(Cache::Miss));
    let hits = records.iter().filter(|r| r.cache == Some(Cache::Hit));
    assert_eq!(hits.count(), 3);
    let many = ["db/password", "db/port", "db/none"].map(str::to_owned);
    let many = session.get_many(&many).await.unwrap();
    assert_eq!(many[0].as_ref().unwrap().value.expose(), b"p@ss");
    assert_eq!(many[2].as_ref().unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_bound_name_follows_the_secret_and_is_only_read() {
    let far = far().await;
    let session = far.session();
    let admin = far.broker.component("admin").unwrap().session(None);
    assert_eq!(get(&session, "db/password").await.unwrap(), "p@ss");
    let version = set(&admin, "db/main", r#"{"password":"new"}"#)
        .await
        .unwrap();
    assert_eq!(get(&session, "db/password").await.unwrap(), "new");
    assert_eq!(
        get(&session, "db/port").await.unwrap_err(),
        ErrorCode::NotFound
    );
    let old = session
        .get("db/password", Which::Version(version - 1))
        .await;
    assert_eq!(old.unwrap().value.expose(), b"p@ss");
    let (_, described) = session.describe("db/password").await.unwrap();
    assert_eq!(described.version, Some(version));
    for refused in [
        set(&admin, "db/password", "x").await.map(drop),
        admin.delete("db/password", None).await,
        admin.undelete("db/password", None).await,
        admin.destroy("db/password", 1).await,
    ] {
        let code = refused.unwrap_err().code;
        assert!(matches!(code, ErrorCode::Unsupported(_)), "{code:?}");
    }
    admin.delete("db/main", None).await.unwrap();
    assert_eq!(
        get(&session, "db/password").await.unwrap_err(),
        ErrorCode::NotFound
    );
}

#[tokio::test]
async fn a_field_that_is_not_there_has_no_current_version() {
    let far = far().await;
    let session = far.session();
    let (_, described) = session.describe("db/none").await.unwrap();
    assert_eq!(described.version, None);
    let short = Duration::from_millis(300);
    let waited = session.wait_for_change("db/none", 0, short).await;
    assert_eq!(waited.unwrap(), None);
    assert!(far.cloud.counts.of(Operation::Describe) < 4);
    let text = session.describe("text/field").await.unwrap_err();
    assert!(matches!(text.code, ErrorCode::Failed(_)), "{text:?}");
    // What is kept is older than what is described.
    assert_eq!(get(&session, "db/port").await.unwrap(), "5432");
    far.cloud.put("db/main", "{}").await;
    let (_, described) = session.describe("db/port").await.unwrap();
    assert_eq!(described.version, None);
}

#[tokio::test]
async fn a_chain_passes_a_bound_name_whose_field_is_not_there() {
    let config = r#"
default-vault = "both"
[vault.both]
chain = ["here", "prod"]
[vault.here]
backend = "here"
fields = { "pass" = { of = "db", field = "p" } }
[vault.prod]
backend = "cloud"
[component.billing]
grants = [ { vault = "both", secrets = ["pass"], actions = ["data-read"] } ]
"#;
    let here = Arc::new(MemoryBackend::new());
    let far = Far::over(Cloud::new().with_here(&here), config).await;
    put(&here, "db", "{}").await;
    far.cloud.put("pass", "one").await;
    far.cloud.put("pass", "two").await;
    let session = far.session();
    assert_eq!(get(&session, "pass").await.unwrap(), "two");
    let (_, described) = session.describe("pass").await.unwrap();
    assert_eq!(described.version, Some(2));
    let old = session.get("pass", Which::Version(1)).await.unwrap();
    assert_eq!(old.value.expose(), b"one");
}

#[tokio::test]
async fn bound_names_are_listed_where_their_secret_is() {
    let far = far().await;
    far.cloud.put("db/password", "hidden").await;
    let operator = far.broker.operator().unwrap();
    let listed = operator.list("", None).await.unwrap();
    let listed: Vec<_> = listed.references.iter().map(ToString::to_string).collect();
    assert_eq!(
        listed,
        [
            "app:db/main",
            "app:db/none",
            "app:db/password",
            "app:db/port",
            "app:text/field",
            "app:text/whole"
        ]
    );
    assert_eq!(get(&operator, "db/password").await.unwrap(), "p@ss");
    let listed = far.session().list("db/", None).await.unwrap();
    assert_eq!(listed.references.len(), 3);
}

#[tokio::test]
async fn listing_asks_the_store_few_times() {
    let far = far().await;
    let operator = far.broker.operator().unwrap();
    operator.list("", None).await.unwrap();
    assert_eq!(far.cloud.counts.of(Operation::List), 1, "all on the page");
    far.cloud.counts.reset();
    let listed = operator.list("db/p", None).await.unwrap();
    assert_eq!(listed.references.len(), 2);
    assert_eq!(far.cloud.counts.of(Operation::List), 2, "one secret beside");
}

#[tokio::test]
async fn fields_of_a_chain_are_of_what_answers() {
    let config = r#"
default-vault = "both"
[vault.both]
chain = ["here", "prod"]
fields = { "pass" = { of = "db", field = "p" } }
[vault.here]
backend = "here"
[vault.prod]
backend = "cloud"
[component.billing]
grants = [ { vault = "both", secrets = ["pass"], actions = ["read"] } ]
"#;
    let here = Arc::new(MemoryBackend::new());
    let far = Far::over(Cloud::new().with_here(&here), config).await;
    far.cloud.put("db", r#"{"p":"cloud"}"#).await;
    let session = far.session();
    assert_eq!(get(&session, "pass").await.unwrap(), "cloud");
    put(&here, "db", r#"{"p":"here"}"#).await;
    assert_eq!(get(&session, "pass").await.unwrap(), "here");
    let records = far.home.records(&far.broker);
    let details: Vec<_> = records.iter().filter_map(|r| r.detail.as_deref()).collect();
    assert_eq!(details, ["from=prod", "from=here"]);
}

const FIELD: &str = r#"
[component.billing]
grants = [ { vault = "app", secrets = ["db/*"], field = "password", actions = ["read"] } ]
"#;

const WHOLE: &str = r#"
[component.billing]
grants = [
  { vault = "app", secrets = ["db/*"], field = "password", actions = ["read"] },
  { vault = "app", secrets = ["db/main"], actions = ["read"] },
]
"#;

#[tokio::test]
async fn a_grant_of_a_field_gives_that_field() {
    let rig = Rig::new(FIELD).await;
    rig.put("db/main", JSON).await;
    rig.put("db/text", "no object").await;
    rig.put("db/none", "{}").await;
    let session = rig.session("billing");
    for _ in 0..2 {
        assert_eq!(get(&session, "db/main").await.unwrap(), "p@ss");
    }
    let old = session.get("db/main", Which::Version(1)).await.unwrap();
    assert_eq!(old.value.expose(), b"p@ss");
    let many = session.get_many(&["db/main".to_owned()]).await.unwrap();
    assert_eq!(many[0].as_ref().unwrap().value.expose(), b"p@ss");
    let text = get(&session, "db/text").await.unwrap_err();
    assert!(matches!(text, ErrorCode::Failed(_)), "{text:?}");
    assert_eq!(
        get(&session, "db/none").await.unwrap_err(),
        ErrorCode::NotFound
    );
    // Grants only add, and what was remembered under fewer is not served under more, nor the
    // other way.
    rig.edit(WHOLE).await;
    assert_eq!(get(&session, "db/main").await.unwrap(), JSON);
    rig.edit(FIELD).await;
    assert_eq!(get(&session, "db/main").await.unwrap(), "p@ss");
    let records = rig.records();
    let grants: Vec<_> = records
        .iter()
        .filter(|r| r.outcome == Some(Outcome::Allowed))
        .filter_map(|r| r.grant.as_deref())
        .collect();
    assert_eq!(grants[0], "component.billing.grants[0]");
    assert_eq!(grants[4], "component.billing.grants[1]");
}

#[tokio::test]
async fn a_grant_of_a_field_tells_no_more_than_the_field() {
    let rig = Rig::new(FIELD).await;
    let options = PutOptions {
        metadata: Metadata {
            description: Some("of the whole".to_owned()),
            labels: Some(vec![("team".to_owned(), "x".to_owned())]),
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    rig.put_with("db/main", JSON, options).await;
    rig.put("db/none", "{}").await;
    let session = rig.session("billing");
    let (_, described) = session.describe("db/main").await.unwrap();
    assert_eq!(described.version, Some(1));
    assert_eq!(
        (described.description, described.labels),
        (None, Vec::new())
    );
    let (_, described) = session.describe("db/none").await.unwrap();
    assert_eq!(described.version, None);
    let short = Duration::from_millis(100);
    let waited = session.wait_for_change("db/none", 0, short).await;
    assert_eq!(waited.unwrap(), None);
    rig.edit(WHOLE).await;
    let (_, described) = session.describe("db/main").await.unwrap();
    assert_eq!(described.labels.len(), 1);
}

#[tokio::test]
async fn what_was_read_whole_is_not_released_under_a_grant_of_a_field() {
    let rig = Rig::new(WHOLE).await;
    rig.put_with("db/main", JSON, PutOptions::default()).await;
    for many in [false, true] {
        let gate = Gate::new();
        let operation = if many {
            Operation::GetMany
        } else {
            Operation::Get
        };
        let when = When::next(1).on(operation);
        rig.faults.arm(Fault::PauseAfter(gate.clone()), when);
        let session = rig.session("billing");
        let edit = async {
            soon("it is asked for", gate.reached()).await;
            rig.edit(FIELD).await;
            gate.release();
        };
        let read = async {
            if many {
                let mut read = session.get_many(&["db/main".to_owned()]).await.unwrap();
                read.remove(0).unwrap().value
            } else {
                session.get("db/main", Which::Current).await.unwrap().value
            }
        };
        let (value, ()) = tokio::join!(read, edit);
        assert_eq!(value.expose(), b"p@ss");
        rig.edit(WHOLE).await;
    }
}
