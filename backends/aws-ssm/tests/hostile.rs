//! Two hundred references that mean something to somebody: none reaches another parameter, version,
//! account or host.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{agreeable, body, operation, store, value};
use strongroom_backend::{Backend, Metadata, PutOptions, Reference, SecretPath, VaultId, Which};
use strongroom_backend_testkit::wire::{Request, Wire};

/// Beginnings and ends that selectors, URLs, paths, queries, shells and encodings give a meaning.
const STARTS: [&str; 20] = [
    "",
    "/",
    "//",
    "../",
    "./",
    "arn:aws:ssm:eu-west-1:123456789012:parameter/",
    "other:arn:",
    "/aws/service/",
    "%2e%2e/",
    "{{ssm:",
    "https://ssm.eu-west-1.amazonaws.com/",
    "//other.host/",
    "other:",
    "..%2f",
    "\\\\host\\",
    "~/",
    "*",
    "/app/",
    "?",
    "a/../",
];
const ENDS: [&str; 18] = [
    "",
    ":5",
    ":latest",
    ":$LATEST",
    "?version=5",
    "#5",
    "/",
    "/..",
    "/.",
    "\0",
    "\n",
    " ",
    "%00",
    "%2f",
    "}}",
    ",x",
    "*",
    "\u{2024}",
];
/// The same in the characters that paths have: these reach the store.
const LEGAL_STARTS: [&str; 16] = [
    "",
    "aws/",
    "ssm/",
    "AWS-",
    "app/",
    "app/app/",
    "parameter/",
    "arn-aws-ssm-eu-west-1-123456789012-parameter/",
    "projects/other/secrets/",
    "strongroom/",
    "-",
    "--",
    "_",
    "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/",
    "a/b/c/d/e/f/g/h/i/j/k/l/m/",
    "KEY/",
];
const LEGAL_ENDS: [&str; 15] = [
    "",
    "-5",
    ".5",
    "/5",
    "5",
    "/latest",
    "/versions/1",
    "-AbCdEf",
    "--mfrggzdfmztwq2lkmfrggzdfmz",
    "--MFRGGZDFMZTWQ2LKMFRGGZDFMZ",
    "..",
    ".",
    "_",
    "/key",
    "-3a5",
];

fn joined(starts: &[&str], ends: &[&str]) -> BTreeSet<String> {
    let each = |start: &&str| -> Vec<String> {
        ends.iter().map(|end| format!("{start}key{end}")).collect()
    };
    starts.iter().flat_map(each).collect()
}

#[test]
fn what_is_not_canonical_ends_before_any_store() {
    let vault = VaultId::parse("app").unwrap();
    let mut refused = 0;
    for text in joined(&STARTS, &ENDS) {
        match Reference::parse(&text, Some(&vault)) {
            Err(_) => refused += 1,
            // What stands before a colon is another vault, which is not this store.
            Ok(reference) if reference.vault() != &vault => refused += 1,
            Ok(reference) => assert_eq!(text, "key", "{reference}"),
        }
    }
    assert!(refused >= 200, "{refused}");
}

#[tokio::test]
async fn none_reaches_anything_but_its_own() {
    let server = Wire::http(agreeable);
    let host = server.address().to_string();
    let store = store(&server.url()).await;
    let mut names: BTreeMap<String, SecretPath> = BTreeMap::new();
    for text in joined(&LEGAL_STARTS, &LEGAL_ENDS) {
        let Ok(path) = SecretPath::parse(&text) else {
            continue;
        };
        let name = exercise(&store, &path, &server, &host).await;
        if let Some(other) = names.insert(name.clone(), path.clone()) {
            panic!("{path} and {other} are both {name}");
        }
    }
    assert!(server.requests().is_empty());
    assert!(names.len() >= 200, "{} names", names.len());
}

/// Makes every call for `path`; returns the one name that all of them were about.
async fn exercise(store: &dyn Backend, path: &SecretPath, server: &Wire, host: &str) -> String {
    let metadata = Metadata {
        labels: Some(vec![("team:5".to_owned(), "a".to_owned())]),
        ..Metadata::default()
    };
    let options = PutOptions {
        metadata: metadata.clone(),
        ..PutOptions::default()
    };
    store.get(path, Which::Current).await.unwrap();
    store.get(path, Which::Version(5)).await.unwrap();
    assert!(store.get_many(std::slice::from_ref(path)).await[0].is_ok());
    store
        .put(path, &value("x"), &PutOptions::default())
        .await
        .unwrap();
    store.put(path, &value("x"), &options).await.unwrap();
    store.describe(path).await.unwrap();
    store.versions(path).await.unwrap();
    store
        .versioning()
        .unwrap()
        .set_metadata(path, &metadata)
        .await
        .unwrap();
    store.delete(path, None).await.unwrap();
    let requests = server.requests();
    server.forget();
    assert!(requests.len() >= 10);
    let mut names = BTreeSet::new();
    for request in &requests {
        names.insert(named(request, host));
    }
    assert_eq!(names.len(), 1, "{path}: {names:?}");
    let name = names.pop_first().unwrap();
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    assert!(
        name.starts_with("/app/") && name.bytes().all(legal),
        "{name}"
    );
    name
}

/// The name that a request is about, where all else of it is as it should be.
fn named(request: &Request, host: &str) -> String {
    assert_eq!(request.method, "POST");
    assert_eq!(request.target, "/");
    assert_eq!(request.header("host"), Some(host));
    let signed = request.header("authorization").unwrap();
    assert!(
        signed.contains("Credential=AKIDTEST/") && signed.contains("/us-east-1/ssm/aws4_request")
    );
    let body = body(request);
    let text = |key: &str| body[key].as_str().unwrap().to_owned();
    let keys: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
    let only = |allowed: &[&str]| {
        assert!(
            keys.iter().all(|key| allowed.contains(&key.as_str())),
            "{keys:?}"
        );
    };
    match operation(request) {
        "GetParameter" => {
            only(&["Name", "WithDecryption"]);
            let name = text("Name");
            match name.split_once(':') {
                None => name,
                Some((name, selector)) => {
                    assert_eq!(selector, "5");
                    name.to_owned()
                }
            }
        }
        "GetParameters" => {
            only(&["Names", "WithDecryption"]);
            let [name] = &body["Names"].as_array().unwrap()[..] else {
                panic!("more than one name");
            };
            name.as_str().unwrap().to_owned()
        }
        "PutParameter" => {
            only(&[
                "Name",
                "Value",
                "Type",
                "Tier",
                "Overwrite",
                "Description",
                "Tags",
            ]);
            assert_eq!(text("Type"), "SecureString");
            text("Name")
        }
        "GetParameterHistory" => {
            only(&["Name", "WithDecryption", "MaxResults"]);
            assert_eq!(body["WithDecryption"], false);
            text("Name")
        }
        "DeleteParameter" => {
            only(&["Name"]);
            text("Name")
        }
        "ListTagsForResource" | "AddTagsToResource" => {
            only(&["ResourceType", "ResourceId", "Tags"]);
            assert_eq!(text("ResourceType"), "Parameter");
            text("ResourceId")
        }
        other => panic!("{other} was asked"),
    }
}
