//! What goes over the wire: how many requests, for what, and what is in them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use serde_json::{Value, json};
use strongroom_backend::{
    Backend, ErrorKind, Metadata, PutOptions, SecretPath, SecretValue, Versioning, Which,
};
use strongroom_backend_testkit::wire::{Reply, Wire};

use common::{Strict, kind, path, shown};

fn body(strict: &Strict, action: &str) -> Value {
    let requests = strict.wire.requests();
    let request = requests
        .iter()
        .rfind(|request| common::action(request) == action);
    serde_json::from_slice(&request.unwrap().body).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Metadata {
    let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    Metadata {
        labels: Some(pairs.iter().map(owned).collect()),
        ..Metadata::default()
    }
}

async fn put_with(strict: &Strict, name: &str, options: &PutOptions) -> Result<u64, ErrorKind> {
    let value = SecretValue::copy_of(b"value");
    let change = strict.store.put(&path(name), &value, options).await;
    change
        .map(|change| change.version)
        .map_err(|error| error.kind())
}

#[tokio::test]
async fn a_get_is_one_request() {
    let strict = Strict::start().await;
    strict.put("a", b"x").await;
    strict.actions();
    strict.get("a").await.unwrap();
    assert_eq!(strict.actions(), ["GetSecretValue"]);
    assert_eq!(kind(strict.get("missing").await), ErrorKind::NotFound);
    assert_eq!(strict.actions(), ["GetSecretValue"]);
    strict.read("a", Which::Version(1)).await.unwrap();
    let mut asked = strict.actions();
    asked.sort();
    assert_eq!(asked, ["DescribeSecret", "GetSecretValue"]);
}

#[tokio::test]
async fn a_write_is_a_look_and_two_steps() {
    let strict = Strict::start().await;
    strict.put("a", b"x").await;
    assert_eq!(strict.actions(), ["DescribeSecret", "CreateSecret"]);
    strict.put_if("a", b"y", 1).await.unwrap();
    let steps = [
        "DescribeSecret",
        "PutSecretValue",
        "UpdateSecretVersionStage",
    ];
    assert_eq!(strict.actions(), steps);
    assert_eq!(
        kind(strict.put_if("a", b"z", 1).await),
        ErrorKind::Conflict(2)
    );
    assert_eq!(strict.actions(), ["DescribeSecret"]);
    strict.put_if("b", b"x", 0).await.unwrap();
    let create = ["DescribeSecret", "CreateSecret", "DescribeSecret"];
    assert_eq!(strict.actions(), create);
}

#[tokio::test]
async fn many_are_read_by_twenties() {
    let strict = Strict::start().await;
    let mut paths = Vec::new();
    for number in 0..45 {
        let name = format!("n/{number}");
        strict.put(&name, name.as_bytes()).await;
        paths.push(path(&name));
    }
    paths.push(path("missing"));
    paths.push(path("n/7"));
    strict.actions();
    let answers = strict.store.get_many(&paths).await;
    assert_eq!(strict.actions(), ["BatchGetSecretValue"; 3]);
    for (path, answer) in paths.iter().zip(answers) {
        match path.as_str() {
            "missing" => assert_eq!(answer.unwrap_err().kind(), ErrorKind::NotFound),
            name => assert_eq!(answer.unwrap().value.expose(), name.as_bytes()),
        }
    }
    assert!(strict.store.get_many(&[]).await.is_empty());
    assert!(strict.actions().is_empty());
}

#[tokio::test]
async fn without_the_permission_for_many_each_is_read_alone() {
    let strict = Strict::start().await;
    let paths: Vec<SecretPath> = (0..5).map(|number| path(&format!("n/{number}"))).collect();
    for path in &paths {
        strict.put(path.as_str(), path.as_str().as_bytes()).await;
    }
    strict.service.deny("BatchGetSecretValue");
    strict.actions();
    for batches in [1, 0] {
        let answers = strict.store.get_many(&paths).await;
        for (path, answer) in paths.iter().zip(answers) {
            assert_eq!(answer.unwrap().value.expose(), path.as_str().as_bytes());
        }
        let asked = strict.actions();
        let singles = asked.iter().filter(|action| *action == "GetSecretValue");
        assert_eq!(singles.count(), 5);
        assert_eq!(asked.len(), 5 + batches, "a denial is remembered");
    }
}

#[tokio::test]
async fn text_and_bytes_are_sent_as_they_are() {
    let strict = Strict::start().await;
    strict.put("json", b"{\"user\":\"a\"}").await;
    let sent = body(&strict, "CreateSecret");
    assert_eq!(sent["SecretString"], "{\"user\":\"a\"}");
    assert_eq!(sent["SecretBinary"], Value::Null);
    strict.put("json", b"\xff\0").await;
    let sent = body(&strict, "PutSecretValue");
    assert_eq!(
        sent["SecretBinary"], "/wA=",
        "in base64 by the protocol alone"
    );
    assert_eq!(sent["SecretString"], Value::Null);
    let token = sent["ClientRequestToken"].as_str().unwrap();
    assert!(
        token.starts_with("strongroom-00000000000000000002-"),
        "{token}"
    );
    strict.put("empty", b"").await;
    assert_eq!(strict.get("empty").await.unwrap(), (1, Vec::new()));
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_before_any_request() {
    let strict = Strict::start().await;
    let large = vec![b'x'; 65_537];
    let error = common::put(&strict.store, "a", &large, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge(65_536));
    let long = "x".repeat(200);
    for options in [
        PutOptions {
            expires: Some(1),
            ..PutOptions::default()
        },
        PutOptions {
            metadata: labels(&[(&long, "")]),
            ..PutOptions::default()
        },
    ] {
        let refused = put_with(&strict, "a", &options).await.unwrap_err();
        assert!(matches!(
            refused,
            ErrorKind::Unsupported | ErrorKind::InvalidArgument
        ));
    }
    let metadata = Metadata {
        description: Some("x".repeat(2_049)),
        ..Metadata::default()
    };
    let refused = strict.store.set_metadata(&path("a"), &metadata).await;
    assert_eq!(kind(refused), ErrorKind::InvalidArgument);
    assert_eq!(
        kind(strict.read("a", Which::Version(0)).await),
        ErrorKind::NotFound
    );
    assert!(strict.actions().is_empty());
}

#[tokio::test]
async fn tags_of_others_are_left_alone() {
    let strict = Strict::start().await;
    strict.put("a", b"x").await;
    let theirs = ("team".to_owned(), "payments".to_owned());
    strict.service.change(|secrets| {
        let tags = &mut secrets.get_mut("a").unwrap().tags;
        tags.insert(theirs.0.clone(), theirs.1);
    });
    let a = path("a");
    strict
        .store
        .set_metadata(&a, &labels(&[("team", "mine"), ("b", "")]))
        .await
        .unwrap();
    assert_eq!(strict.service.secrets()["a"].tags["team"], "payments");
    assert_eq!(
        strict.service.secrets()["a"].tags["strongroom:label:team"],
        "mine"
    );
    strict.store.set_metadata(&a, &labels(&[])).await.unwrap();
    let tags = strict.service.secrets()["a"].tags.clone();
    assert_eq!(tags.keys().collect::<Vec<_>>(), [&theirs.0]);
    assert!(strict.store.describe(&a).await.unwrap().labels.is_empty());
}

#[tokio::test]
async fn metadata_that_is_not_kept_is_told_and_the_value_stands() {
    let strict = Strict::start().await;
    strict.put("a", b"x").await;
    strict.service.deny("TagResource");
    let options = PutOptions {
        metadata: labels(&[("a", "b")]),
        ..PutOptions::default()
    };
    let value = SecretValue::copy_of(b"y");
    let error = strict
        .store
        .put(&path("a"), &value, &options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(
        error.to_string().contains("written as version 2"),
        "{error}"
    );
    assert_eq!(strict.get("a").await.unwrap(), (2, b"y".to_vec()));
    let options = PutOptions {
        author: Some("component:billing".to_owned()),
        ..PutOptions::default()
    };
    assert_eq!(
        put_with(&strict, "a", &options).await,
        Ok(3),
        "an author alone is no reason"
    );
}

#[tokio::test]
async fn settings_reach_the_service() {
    let strict = Strict::with(|config| {
        config.prefix = "prod/".to_owned();
        config.kms_key_id = Some("alias/app".to_owned());
        config.names = [("stripe/api-key".to_owned(), "LegacyStripeKey".to_owned())].into();
    })
    .await;
    strict.put("db/main", b"x").await;
    strict.put("stripe/api-key", b"y").await;
    strict.service.write_as_another_tool("other/secret", "z");
    let secrets = strict.service.secrets().clone();
    assert_eq!(
        secrets["prod/db/main"].kms_key_id.as_deref(),
        Some("alias/app")
    );
    assert!(secrets.contains_key("LegacyStripeKey"));
    for prefix in ["", "s", "stripe/"] {
        let page = strict.store.list(prefix, None, 10).await.unwrap();
        assert!(page.paths.contains(&path("stripe/api-key")), "{prefix:?}");
        assert_eq!(page.paths.len(), if prefix.is_empty() { 2 } else { 1 });
    }
    let page = strict.store.list("db", None, 10).await.unwrap();
    assert_eq!(page.paths, [path("db/main")]);
}

#[tokio::test]
async fn an_encoded_name_without_its_note_is_somebody_elses() {
    let strict = Strict::start().await;
    strict.put("x-AbCdEf", b"mine").await;
    let name = strict.service.secrets().keys().next().unwrap().clone();
    assert!(name.starts_with("x-abcdef--"), "{name}");
    assert_eq!(strict.get("x-AbCdEf").await.unwrap(), (1, b"mine".to_vec()));
    let many = strict
        .store
        .get_many(&[path("x-AbCdEf"), path("other")])
        .await;
    assert_eq!(many[0].as_ref().unwrap().value.expose(), b"mine");
    for tag in [Some("y-AbCdEf"), None] {
        strict.service.change(|secrets| {
            let tags = &mut secrets.get_mut(&name).unwrap().tags;
            tags.clear();
            tags.extend(tag.map(|path| ("strongroom:path".to_owned(), path.to_owned())));
        });
        let damaged = ErrorKind::Damaged;
        assert_eq!(kind(strict.get("x-AbCdEf").await), damaged);
        assert_eq!(
            kind(strict.read("x-AbCdEf", Which::Version(1)).await),
            damaged
        );
        assert_eq!(kind(strict.put_if("x-AbCdEf", b"z", 1).await), damaged);
        let x = path("x-AbCdEf");
        assert_eq!(kind(strict.store.delete(&x, None).await), damaged);
        assert_eq!(kind(strict.store.describe(&x).await), damaged);
        assert_eq!(kind(strict.store.versions(&x).await), damaged);
        let many = strict.store.get_many(&[x, path("other")]).await;
        assert_eq!(many[0].as_ref().unwrap_err().kind(), damaged);
        assert!(
            strict
                .store
                .list("", None, 10)
                .await
                .unwrap()
                .paths
                .is_empty()
        );
    }
}

#[tokio::test]
async fn check_says_who_and_what() {
    let wire = Wire::http(|request| match request.header("x-amz-target") {
        Some(_) => Reply::json(200, &json!({ "SecretList": [] }).to_string()),
        None => Reply::Whole {
            status: 200,
            headers: vec![("content-type".to_owned(), "text/xml".to_owned())],
            body: b"<GetCallerIdentityResponse><GetCallerIdentityResult>\
                <Arn>arn:aws:iam::123456789012:user/ops</Arn><UserId>A</UserId>\
                <Account>123456789012</Account></GetCallerIdentityResult>\
                </GetCallerIdentityResponse>"
                .to_vec(),
        },
    });
    let store = common::store(&wire.url(), |_| {}).await;
    let lines = store.check().await.unwrap().join("\n");
    assert!(lines.contains("user/ops"), "{lines}");
    assert!(lines.contains("can be listed"), "{lines}");
    let denied = Strict::start().await;
    denied.service.deny("ListSecrets");
    let error = denied.store.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(!shown(&error).contains("123456789012"), "{error:?}");
}
