//! Whose namespace, names and Secrets these are, and what the server lets our user do with them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, PostParams};
use strongroom_backend::{Backend, ErrorKind, VersionState};
use strongroom_backend_kubernetes::Layout;

use common::{Admin, app_config, config, data, fresh, is, named, open, path, plain, read, value};

#[tokio::test]
async fn rights_are_the_servers_by_verb() {
    let admin = Admin::new("rights").await;
    let writer = open(&config(&admin.namespace)).await;
    for name in ["a", "b", "c", "d"] {
        writer
            .put(&path(name), &value(name), &plain())
            .await
            .unwrap();
    }
    let store = open(&app_config(&admin.namespace)).await;
    let denied = ErrorKind::PermissionDenied;
    is(read(&store, "a").await, denied, "grant the verb");
    is(store.list("", None, 10).await, denied, "listing Secrets");
    for answer in store.get_many(&["a", "b", "c", "d"].map(path)).await {
        is(answer, denied, "reading the Secret");
    }
    admin.grant(&["get"], &[]).await;
    assert_eq!(read(&store, "a").await.unwrap(), "a");
    is(store.list("", None, 10).await, denied, "listing Secrets");
    is(
        store.put(&path("a"), &value("x"), &plain()).await,
        denied,
        "changing the Secret",
    );
    is(
        store.put(&path("e"), &value("x"), &plain()).await,
        denied,
        "making the Secret",
    );
    is(
        store.delete(&path("a"), None).await,
        denied,
        "changing the Secret",
    );
    for (answer, name) in store
        .get_many(&["a", "b", "c", "d"].map(path))
        .await
        .into_iter()
        .zip(["a", "b", "c", "d"])
    {
        assert_eq!(answer.unwrap().value.expose(), name.as_bytes());
    }
    admin.grant(&["create", "patch"], &[]).await;
    store.put(&path("e"), &value("x"), &plain()).await.unwrap();
    store.put(&path("e"), &value("y"), &plain()).await.unwrap();
}

#[tokio::test]
async fn rights_to_certain_names_are_enough_to_read_these() {
    let admin = Admin::new("names").await;
    let writer = open(&config(&admin.namespace)).await;
    let names = ["a", "b", "c", "d", "e"].map(path);
    for name in &names {
        writer.put(name, &value("x"), &plain()).await.unwrap();
    }
    admin.grant(&["get"], &["a", "c"]).await;
    let store = open(&app_config(&admin.namespace)).await;
    assert_eq!(read(&store, "a").await.unwrap(), "x");
    is(
        read(&store, "b").await,
        ErrorKind::PermissionDenied,
        "reading the Secret",
    );
    // What may not be read looks the same whether it is there or not.
    is(
        read(&store, "zz").await,
        ErrorKind::PermissionDenied,
        "reading the Secret",
    );
    let allowed: Vec<_> = store
        .get_many(&names)
        .await
        .iter()
        .map(Result::is_ok)
        .collect();
    assert_eq!(allowed, [true, false, true, false, false]);
}

#[tokio::test]
async fn a_namespace_is_made_only_if_the_settings_say_so() {
    let namespace = fresh("made");
    let mut settings = config(&namespace);
    settings.create_namespace = false;
    let store = open(&settings).await;
    is(
        read(&store, "a").await,
        ErrorKind::NotFound,
        "no such secret",
    );
    let put = store.put(&path("a"), &value("x"), &plain()).await;
    is(put, ErrorKind::Failed, "create-namespace");
    let store = open(&config(&namespace)).await;
    store.put(&path("a"), &value("x"), &plain()).await.unwrap();
    assert_eq!(read(&store, "a").await.unwrap(), "x");
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_says_so() {
    let admin = Admin::new("ending").await;
    let store = open(&config(&admin.namespace)).await;
    store.put(&path("a"), &value("x"), &plain()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(admin.client.clone());
    namespaces
        .delete(&admin.namespace, &DeleteParams::default())
        .await
        .unwrap();
    let put = store.put(&path("b"), &value("x"), &plain()).await;
    is(put, ErrorKind::Failed, "being deleted");
}

#[tokio::test]
async fn foreign_secrets_are_read_by_name_and_key() {
    let admin = Admin::new("foreign").await;
    let ours = open(&config(&admin.namespace)).await;
    ours.put(&path("db"), &value("ours"), &plain())
        .await
        .unwrap();
    admin
        .secret("regcred", &[(".dockerconfigjson", b"{}")])
        .await;
    let immutable = Secret {
        metadata: named("fixed"),
        immutable: Some(true),
        string_data: Some(BTreeMap::from([("key".into(), "text".into())])),
        ..Secret::default()
    };
    admin
        .secrets()
        .create(&PostParams::default(), &immutable)
        .await
        .unwrap();
    let mut settings = config(&admin.namespace);
    settings.layout = Layout::Foreign;
    settings.names = BTreeMap::from([("docker".into(), "regcred/.dockerconfigjson".into())]);
    let store = open(&settings).await;
    assert_eq!(read(&store, "fixed/key").await.unwrap(), "text");
    assert_eq!(read(&store, "docker").await.unwrap(), "{}");
    assert_eq!(read(&store, "db/value").await.unwrap(), "ours");
    for text in [
        "fixed",
        "fixed/other",
        "fixed/key/more",
        "Fixed/key",
        "missing/key",
    ] {
        assert_eq!(
            read(&store, text).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
    let listed = store.list("", None, 10).await.unwrap().paths;
    assert_eq!(listed, ["db/value", "docker", "fixed/key"].map(path));
    let told = store.describe(&path("fixed/key")).await.unwrap();
    assert!(told.created > 1_700_000_000_000 && told.updated >= told.created);
    let put = store.put(&path("fixed/key"), &value("x"), &plain()).await;
    is(put, ErrorKind::Unsupported, "only read");
}

#[tokio::test]
async fn two_vaults_in_one_namespace_keep_apart() {
    let namespace = fresh("prefix");
    let with = |prefix: &str| {
        let mut settings = config(&namespace);
        settings.prefix = prefix.to_owned();
        settings
    };
    let (one, two) = (open(&with("a-")).await, open(&with("a-b-")).await);
    one.put(&path("b-x"), &value("one"), &plain())
        .await
        .unwrap();
    // The same object, which belongs to the other's reference.
    is(read(&two, "x").await, ErrorKind::Failed, "another `prefix`");
    let put = two.put(&path("x"), &value("two"), &plain()).await;
    is(put, ErrorKind::Failed, "another `prefix`");
    two.put(&path("y"), &value("two"), &plain()).await.unwrap();
    assert_eq!(one.list("", None, 10).await.unwrap().paths, [path("b-x")]);
    assert_eq!(two.list("", None, 10).await.unwrap().paths, [path("y")]);
}

#[tokio::test]
async fn given_names_are_the_names_of_objects() {
    let admin = Admin::new("given").await;
    let mut settings = config(&admin.namespace);
    settings.names = BTreeMap::from([("stripe/api-key".into(), "stripe-credentials".into())]);
    let store = open(&settings).await;
    store
        .put(&path("stripe/api-key"), &value("sk"), &plain())
        .await
        .unwrap();
    assert_eq!(
        data(&admin, "stripe-credentials")
            .await
            .get("value")
            .unwrap(),
        b"sk"
    );
    is(
        read(&store, "stripe-credentials").await,
        ErrorKind::InvalidArgument,
        "given to",
    );
    assert_eq!(
        store.list("", None, 10).await.unwrap().paths,
        [path("stripe/api-key")]
    );
    let version = store
        .versions(&path("stripe/api-key"))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(version.state, VersionState::Current);
}
