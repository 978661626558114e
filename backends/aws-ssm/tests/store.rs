//! What the trials do not ask: names that others gave, parameters that others made, the window of
//! versions, and the root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;

use aws_sdk_ssm::types::ParameterType;
use common::{path, store_with, value};
use strongroom_backend::{
    Backend, ErrorKind, Metadata, PutOptions, SecretValue, VersionState, Which,
};
use strongroom_backend_aws::testing;
use strongroom_backend_aws_ssm::{Config, SsmBackend};

async fn raw() -> aws_sdk_ssm::Client {
    let session = testing::session(&testing::lenient()).await;
    aws_sdk_ssm::Client::new(session.sdk())
}

fn config(prefix: &str) -> Config {
    Config::new(testing::config(&testing::lenient()), prefix)
}

async fn names(store: &SsmBackend, prefix: &str) -> Vec<String> {
    let page = store.list(prefix, None, 1000).await.unwrap();
    page.paths.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_others_made_is_read_and_listed_under_its_path() {
    let fresh = testing::fresh("legacy");
    let (flat, deep) = (fresh.clone(), format!("/{fresh}/old/key"));
    let mut config = config(&format!("/{fresh}/app/"));
    config.names = [
        ("stripe/api-key".to_owned(), flat.clone()),
        ("old".to_owned(), deep.clone()),
        ("not/there".to_owned(), format!("{fresh}-none")),
    ]
    .into();
    let store = store_with(&config).await;
    let raw = raw().await;
    for (name, kind) in [
        (&flat, ParameterType::String),
        (&deep, ParameterType::SecureString),
    ] {
        let put = raw
            .put_parameter()
            .name(name)
            .value(format!("of {name}"))
            .r#type(kind);
        put.description("by hand").send().await.unwrap();
    }
    let options = PutOptions::default();
    store
        .put(&path("zebra"), &value("z"), &options)
        .await
        .unwrap();
    let got = store
        .get(&path("stripe/api-key"), Which::Current)
        .await
        .unwrap();
    assert_eq!(got.value.expose(), format!("of {flat}").as_bytes());
    assert_eq!(names(&store, "").await, ["old", "stripe/api-key", "zebra"]);
    assert_eq!(names(&store, "s").await, ["stripe/api-key"]);
    let told = store.describe(&path("old")).await.unwrap();
    assert_eq!(told.description.as_deref(), Some("by hand"));
    // A write leaves the description of others alone.
    store
        .put(&path("old"), &value("new"), &options)
        .await
        .unwrap();
    let told = store.describe(&path("old")).await.unwrap();
    assert_eq!(told.description.as_deref(), Some("by hand"));
    assert_eq!(told.version, Some(2));
}

#[tokio::test]
async fn foreign_tags_and_labels_stay() {
    let fresh = testing::fresh("tags");
    let store = store_with(&config(&format!("/{fresh}/"))).await;
    let options = PutOptions {
        metadata: Metadata {
            labels: Some(vec![("team".to_owned(), "a".to_owned())]),
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    store.put(&path("a"), &value("x"), &options).await.unwrap();
    let raw = raw().await;
    let name = format!("/{fresh}/a");
    let tag = aws_sdk_ssm::types::Tag::builder()
        .key("access")
        .value("red")
        .build()
        .unwrap();
    let kind = aws_sdk_ssm::types::ResourceTypeForTagging::Parameter;
    let add = raw
        .add_tags_to_resource()
        .resource_type(kind.clone())
        .resource_id(&name);
    add.tags(tag).send().await.unwrap();
    let none = Metadata {
        labels: Some(Vec::new()),
        ..Metadata::default()
    };
    store
        .versioning()
        .unwrap()
        .set_metadata(&path("a"), &none)
        .await
        .unwrap();
    assert_eq!(store.describe(&path("a")).await.unwrap().labels, []);
    let tags = raw
        .list_tags_for_resource()
        .resource_type(kind)
        .resource_id(&name);
    let tags = tags.send().await.unwrap();
    let keys: Vec<_> = tags.tag_list().iter().map(|tag| tag.key()).collect();
    assert_eq!(keys, ["access"]);
}

#[tokio::test]
async fn a_hundred_versions_are_kept_unless_a_label_holds_the_oldest() {
    let fresh = testing::fresh("window");
    let store = store_with(&config(&format!("/{fresh}/"))).await;
    let name = path("a");
    let options = PutOptions::default();
    for round in 1..=105u64 {
        let change = store
            .put(&name, &value(&round.to_string()), &options)
            .await
            .unwrap();
        assert_eq!(change.version, round);
    }
    let versions = store.versions(&name).await.unwrap();
    assert_eq!(versions.len(), 100);
    assert_eq!(
        (versions[0].version, versions[0].state),
        (105, VersionState::Current)
    );
    assert_eq!(
        (versions[99].version, versions[99].state),
        (6, VersionState::Superseded)
    );
    let gone = store.get(&name, Which::Version(5)).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let kept = store.get(&name, Which::Version(6)).await.unwrap();
    assert_eq!(kept.value.expose(), b"6");
    let label = raw()
        .await
        .label_parameter_version()
        .name(format!("/{fresh}/a"));
    label
        .parameter_version(6)
        .labels("golden")
        .send()
        .await
        .unwrap();
    let error = store.put(&name, &value("x"), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("has a label"), "{error}");
    assert_eq!(store.get(&name, Which::Current).await.unwrap().version, 105);
}

#[tokio::test]
async fn the_root_has_names_that_begin_like_the_services() {
    let store = store_with(&config("/")).await;
    let fresh = testing::fresh("x");
    let options = PutOptions::default();
    let texts = [
        format!("aws/{fresh}"),
        format!("SSM-{fresh}"),
        format!("aws{fresh}/y"),
    ];
    for text in &texts {
        store
            .put(&path(text), &value(text), &options)
            .await
            .unwrap();
    }
    for text in &texts {
        let got = store.get(&path(text), Which::Current).await.unwrap();
        assert_eq!(got.value.expose(), text.as_bytes());
        let told = store.describe(&path(text)).await.unwrap();
        assert_eq!(told.description, None);
        assert_eq!(names(&store, text).await, *std::slice::from_ref(text));
    }
    let under: Vec<_> = names(&store, "aws").await;
    let mine: Vec<_> = under.iter().filter(|name| name.contains(&fresh)).collect();
    assert_eq!(mine, [&texts[0], &texts[2]]);
}

#[tokio::test]
async fn blank_values_and_what_the_service_would_resolve_are_hidden_from_it() {
    let fresh = testing::fresh("forms");
    let store = store_with(&config(&format!("/{fresh}/"))).await;
    let raw = raw().await;
    for (index, (bytes, start)) in [
        (&b"{{ssm:/other}}"[..], "strongroom:base64:"),
        (b"", "strongroom:text:"),
        (b" ", "strongroom:base64:"),
        (b"plain\n", "plain\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("v{index}");
        let options = PutOptions::default();
        store
            .put(&path(&name), &SecretValue::copy_of(bytes), &options)
            .await
            .unwrap();
        let get = raw
            .get_parameter()
            .name(format!("/{fresh}/{name}"))
            .with_decryption(true);
        let stored = get.send().await.unwrap();
        let parameter = stored.parameter().unwrap();
        assert!(parameter.value().unwrap().starts_with(start));
        assert_eq!(parameter.r#type(), Some(&ParameterType::SecureString));
        let got = store.get(&path(&name), Which::Current).await.unwrap();
        assert_eq!(got.value.expose(), bytes);
    }
}
