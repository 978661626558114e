//! Listings show what may be listed, and nothing beside it.

use strongroom::ErrorCode;
use strongroom::audit::{Action, Outcome};
use strongroom_backend_testkit::Operation;

use crate::support::Rig;

const GRANTS: &str = r#"
[component.one]
grants = [ { vault = "app", secrets = ["shown/*"], actions = ["list"] } ]
[component.two]
grants = [ { vault = "app", secrets = ["shown/*"], actions = ["list"] } ]
[component.reader]
grants = [ { vault = "app", secrets = ["**"], actions = ["read"] } ]
[component.deep]
grants = [ { vault = "app", secrets = ["shown/n-0001"], actions = ["list"] } ]
"#;

/// 250 names that may be listed, each between two that may not.
async fn rig() -> Rig {
    let rig = Rig::new(GRANTS).await;
    for number in 0..250 {
        rig.put(&format!("hidden/n-{number:04}"), "v").await;
        rig.put(&format!("shown/n-{number:04}"), "v").await;
        rig.put(&format!("shown/n-{number:04}/deeper"), "v").await;
        rig.put(&format!("zzz/n-{number:04}"), "v").await;
    }
    rig
}

#[tokio::test]
async fn pages_are_full_and_count_only_what_is_shown() {
    let rig = rig().await;
    let session = rig.session("one");
    for prefix in ["", "app:", "sho", "shown/", "shown/n-0"] {
        let (mut sizes, mut names, mut cursor) = (Vec::new(), Vec::new(), None);
        loop {
            let page = session.list(prefix, cursor.as_deref()).await.unwrap();
            sizes.push(page.references.len());
            names.extend(page.references.iter().map(ToString::to_string));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [100, 100, 50], "{prefix}");
        let expected: Vec<_> = (0..250).map(|n| format!("app:shown/n-{n:04}")).collect();
        assert_eq!(names, expected, "{prefix}");
    }
    for prefix in ["hidden/", "zzz", "shown/n-0001/", "nothing"] {
        let page = session.list(prefix, None).await.unwrap();
        assert!(page.references.is_empty() && page.cursor.is_none());
    }
}

#[tokio::test]
async fn a_last_page_that_is_full_has_no_cursor() {
    let rig = Rig::new(GRANTS).await;
    for number in 0..100 {
        rig.put(&format!("shown/n-{number:04}"), "v").await;
        rig.put(&format!("zzz/n-{number:04}"), "v").await;
    }
    let page = rig.session("one").list("", None).await.unwrap();
    assert_eq!(page.references.len(), 100);
    assert_eq!(page.cursor, None, "a cursor tells of names that are hidden");
}

#[tokio::test]
async fn a_cursor_is_good_for_its_component_and_prefix_alone() {
    let rig = rig().await;
    let one = rig.session("one");
    let cursor = one.list("shown/", None).await.unwrap().cursor.unwrap();
    for name in ["shown", "n-00", "c2hvd24"] {
        assert!(!cursor.contains(name), "{cursor}");
    }
    let refused = |result: Result<strongroom::Page, strongroom::CallError>| {
        let code = result.unwrap_err().code;
        assert!(matches!(code, ErrorCode::InvalidArgument(_)), "{code:?}");
    };
    refused(rig.session("two").list("shown/", Some(&cursor)).await);
    refused(one.list("", Some(&cursor)).await);
    refused(one.list("shown/n", Some(&cursor)).await);
    for wrong in ["", "A", "shown/n-0001", "=", &"A".repeat(10_000)] {
        refused(one.list("shown/", Some(wrong)).await);
    }
    let asked = rig.counts.of(Operation::List);
    for position in 0..cursor.len() {
        let mut bytes = cursor.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(bytes).unwrap();
        if let Ok(page) = one.list("shown/", Some(&tampered)).await {
            panic!("tampered at {position}: {page:?}");
        }
    }
    assert_eq!(rig.counts.of(Operation::List), asked);
    // It goes on with another instance of the same component, also after it was used.
    for _ in 0..2 {
        let page = rig.session("one").list("shown/", Some(&cursor)).await;
        let first = page.unwrap().references[0].to_string();
        assert_eq!(first, "app:shown/n-0100");
    }
}

#[tokio::test]
async fn without_a_list_grant_a_vault_looks_like_one_that_does_not_exist() {
    let rig = rig().await;
    rig.counts.reset();
    let reader = rig.session("reader");
    let mut errors = Vec::new();
    for prefix in ["", "app:", "app:shown/", "other:", "nowhere:", "nowhere:x/"] {
        let error = reader.list(prefix, None).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied);
        errors.push(format!("{error:?}"));
        let error = reader.list(prefix, Some("AAAA")).await.unwrap_err();
        errors.push(format!("{error:?}"));
    }
    errors.dedup();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(rig.counts.total(), 0);
    let outcomes = rig.outcomes(Action::List);
    assert_eq!(outcomes, [Outcome::Denied; 12]);
}

#[tokio::test]
async fn a_grant_of_one_name_lists_that_name() {
    let rig = rig().await;
    let page = rig.session("deep").list("", None).await.unwrap();
    let names: Vec<_> = page.references.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["app:shown/n-0001"]);
    assert_eq!(page.cursor, None);
}

#[tokio::test]
async fn a_malformed_prefix_is_recorded_by_its_length() {
    let rig = Rig::new(GRANTS).await;
    let one = rig.session("one");
    for prefix in [
        "/x",
        "shown//",
        "sk live",
        "a:b:c",
        &"sk-live-".repeat(1000),
    ] {
        let code = one.list(prefix, None).await.unwrap_err().code;
        assert!(matches!(code, ErrorCode::InvalidReference(_)), "{code:?}");
        let detail = rig.records().pop().unwrap().detail.unwrap();
        assert!(detail.starts_with(&format!("reference of {} bytes", prefix.len())));
        assert!(!detail.contains("live"));
    }
}

#[tokio::test]
async fn deleted_secrets_are_not_listed() {
    let rig = Rig::new(GRANTS).await;
    rig.put("shown/a", "v").await;
    rig.put("shown/b", "v").await;
    let operator = rig.broker.operator().unwrap();
    operator.delete("shown/a", None).await.unwrap();
    let page = rig.session("one").list("", None).await.unwrap();
    assert_eq!(page.references.len(), 1);
}
