//! References that mean something to somebody: none reaches another secret, version, account or host.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use strongroom_backend::{
    Backend, Metadata, PutOptions, Reference, SecretPath, SecretValue, VaultId, Versioning, Which,
};
use strongroom_backend_testkit::hostile;
use strongroom_backend_testkit::wire::Request;

use common::Strict;

/// Paths that the grammar takes and that a service, a rule of ours or another path comes close to.
const CLOSE: [&str; 24] = [
    "key",
    "Key",
    "key-AbCdEf",
    "key-abcdef",
    "KEY-abcdef",
    "key/abcdef",
    "key-AbCdEfg",
    "key--abcdef",
    "key-abcdef--mfrggzdfmztwq2lkmfrggzdfmz",
    "key-abcdef--MFRGGZDFMZTWQ2LKMFRGGZDFMZ",
    "app/key",
    "app/app/key",
    "abcdef",
    "-abcdef",
    "arn-aws-secretsmanager-eu-west-1-123456789012-secret-key-AbCdEf",
    "secret/key-AbCdEf",
    "strongroom/key",
    "AWSCURRENT",
    "AWSPREVIOUS",
    "aws-managed",
    "rds-cluster-abc123",
    "version/1",
    "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p",
    "_",
];

#[tokio::test]
async fn none_reaches_anything_but_its_own() {
    let strict = Strict::with(|config| config.prefix = "app/".to_owned()).await;
    let host = strict.wire.address().to_string();
    let vault = VaultId::parse("app").unwrap();
    let texts = hostile::references();
    assert!(texts.len() >= 200);
    let mut refused = 0;
    let mut paths: BTreeSet<SecretPath> = BTreeSet::new();
    for text in &texts {
        match Reference::parse(text, Some(&vault)) {
            Ok(reference) => drop(paths.insert(reference.path().clone())),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100, "{refused}");
    paths.extend(CLOSE.iter().map(|text| SecretPath::parse(text).unwrap()));
    let mut names: BTreeMap<String, SecretPath> = BTreeMap::new();
    for path in &paths {
        let name = exercise(&strict, path, &host).await;
        let encoded = name != format!("app/{path}");
        assert!(!encoded || name.contains("--"), "{name}");
        if let Some(other) = names.insert(name.clone(), path.clone()) {
            panic!("{path} and {other} are both {name}");
        }
    }
    // Each still has its own value, and the service has no others.
    for path in &paths {
        let secret = strict.store.get(path, Which::Current).await.unwrap();
        assert_eq!(secret.value.expose(), path.as_str().as_bytes());
    }
    let there: BTreeSet<_> = strict.service.secrets().keys().cloned().collect();
    assert_eq!(there, names.into_keys().collect());
    let page = strict.store.list("", None, 1000).await.unwrap();
    assert_eq!(page.paths, paths.into_iter().collect::<Vec<_>>());
}

/// Makes every call for `path`; returns the one name that all of them were about.
async fn exercise(strict: &Strict, path: &SecretPath, host: &str) -> String {
    let store = &strict.store;
    let value = SecretValue::copy_of(path.as_str().as_bytes());
    let plain = PutOptions::default();
    let metadata = Metadata {
        description: Some(path.to_string()),
        labels: Some(vec![("aws:team".to_owned(), path.to_string())]),
        ..Metadata::default()
    };
    let full = PutOptions {
        metadata: metadata.clone(),
        author: Some("operator:arn:aws:iam::1:user/x".to_owned()),
        ..PutOptions::default()
    };
    strict.wire.forget();
    store.put(path, &value, &plain).await.unwrap();
    let number = store.put(path, &value, &full).await.unwrap().version;
    store.get(path, Which::Current).await.unwrap();
    store.get(path, Which::Version(number)).await.unwrap();
    for number in [77, u64::MAX] {
        assert!(store.get(path, Which::Version(number)).await.is_err());
    }
    // Two, so that they are asked for together.
    let missing = SecretPath::parse("missing").unwrap();
    let many = store.get_many(&[path.clone(), missing]).await;
    assert!(many[0].is_ok());
    store.describe(path).await.unwrap();
    store.versions(path).await.unwrap();
    store.set_metadata(path, &metadata).await.unwrap();
    store.delete(path, None).await.unwrap();
    store.undelete(path, None).await.unwrap();
    let mut names = BTreeSet::new();
    for request in strict.wire.requests() {
        names.extend(named(&request, host));
    }
    names.remove("app/missing");
    assert_eq!(names.len(), 1, "{path}: {names:?}");
    names.pop_first().unwrap()
}

/// The names that a request is about, where all else of it is as it should be.
fn named(request: &Request, host: &str) -> Vec<String> {
    assert_eq!(request.method, "POST");
    assert_eq!(request.target, "/");
    assert_eq!(request.header("host"), Some(host));
    let signed = request.header("authorization").unwrap();
    assert!(signed.contains("/us-east-1/secretsmanager/aws4_request"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let ids: Vec<&str> = match common::action(request).as_str() {
        "CreateSecret" => vec![body["Name"].as_str().unwrap()],
        "BatchGetSecretValue" => {
            let ids = body["SecretIdList"].as_array().unwrap();
            ids.iter().map(|id| id.as_str().unwrap()).collect()
        }
        _ => vec![body["SecretId"].as_str().unwrap()],
    };
    for id in &ids {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"/_.-".contains(&b);
        assert!(id.starts_with("app/") && id.bytes().all(legal), "{id}");
        let (_, end) = id.rsplit_once('-').unwrap_or_default();
        let like_an_arn = end.len() == 6 && end.bytes().all(|b| b.is_ascii_alphanumeric());
        assert!(!like_an_arn, "{id}");
    }
    ids.into_iter().map(ToOwned::to_owned).collect()
}
