//! What the tests share: stores over servers under the tests' control, and what those answer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]
#![allow(dead_code, reason = "each test program uses some of it")]

use std::error::Error as StdError;

use serde_json::{Value, json};
use strongroom_backend::{Error, SecretPath, SecretValue};
use strongroom_backend_aws::testing;
use strongroom_backend_aws_ssm::{Config, SsmBackend};
use strongroom_backend_testkit::wire::{Reply, Request};

pub(crate) fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

pub(crate) fn value(text: &str) -> SecretValue {
    SecretValue::copy_of(text.as_bytes())
}

/// A store under `/app/` of the server at `url`.
pub(crate) async fn store(url: &str) -> SsmBackend {
    store_with(&Config::new(testing::config(url), "/app/")).await
}

pub(crate) async fn store_with(config: &Config) -> SsmBackend {
    let session = testing::session_with(&config.aws, "AKIDTEST", "secret-of-a-test").await;
    SsmBackend::with_session(config, session).unwrap()
}

/// The operation that a request asks for.
pub(crate) fn operation(request: &Request) -> &str {
    let target = request.header("x-amz-target").unwrap_or_default();
    target.strip_prefix("AmazonSSM.").unwrap_or_default()
}

pub(crate) fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

pub(crate) fn reply(body: &Value) -> Reply {
    Reply::json(200, &body.to_string()).with_header("content-type", "application/x-amz-json-1.1")
}

pub(crate) fn refusal(status: u16, code: &str) -> Reply {
    let body =
        json!({ "__type": code, "message": "canary-message arn:aws:iam::123456789012:user/x" });
    Reply::json(status, &body.to_string())
}

pub(crate) fn parameter(name: &str, version: u64, text: &str) -> Value {
    json!({ "Name": name, "Type": "SecureString", "Value": text, "Version": version,
            "ARN": format!("arn:aws:ssm:us-east-1:123456789012:parameter{name}") })
}

/// Answers every operation as if each parameter that is asked for were there, with its name as its
/// value and seven versions.
pub(crate) fn agreeable(request: &Request) -> Reply {
    let asked = body(request);
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    reply(&match operation(request) {
        "GetParameter" => {
            let name = text("Name");
            let (name, version) = name.split_once(':').unwrap_or((&name, "7"));
            json!({ "Parameter": parameter(name, version.parse().unwrap(), name) })
        }
        "GetParameters" => {
            let names = asked["Names"].as_array().unwrap();
            let each = names.iter().map(|name| name.as_str().unwrap());
            let found: Vec<_> = each.map(|name| parameter(name, 7, name)).collect();
            json!({ "Parameters": found, "InvalidParameters": [] })
        }
        "PutParameter" => json!({ "Version": 8, "Tier": "Standard" }),
        "GetParameterHistory" => json!({ "Parameters": [parameter(&text("Name"), 7, "x")] }),
        "ListTagsForResource" => json!({ "TagList": [] }),
        "DescribeParameters" => json!({ "Parameters": [] }),
        _ => json!({}),
    })
}

/// An error and its causes, as `Display` and `Debug` show them.
pub(crate) fn shown(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}
