//! AWS: moto once as it comes, once with signatures and permissions checked.

use std::process::Command;
use std::time::Duration;

use super::daemon::Daemon;
use super::python::Environment;
use super::record::Record;
use super::{Place, Server, Started, environment, net};
use crate::process::Result;

const MOTO: Environment = Environment::new("moto");
const ADDRESS: &str = "STRONGROOM_TEST_AWS";
const STRICT_ADDRESS: &str = "STRONGROOM_TEST_AWS_STRICT";
const DEADLINE: Duration = Duration::from_secs(60);

/// Takes any credentials and does not look at the signature.
pub(super) const SERVER: Server = Server {
    name: "aws",
    about: "moto 5.2.5: Parameter Store and Secrets Manager, any credentials",
    install: |folders| MOTO.install(folders),
    start: |place| {
        let (daemon, address) = start(place, u64::MAX)?;
        Ok(Started {
            process: Some(daemon),
            environment: environment([(ADDRESS, address)]),
        })
    },
    is_healthy: |_, record| is_healthy(record, ADDRESS),
};

/// Checks signatures and what a user may do, and has users of different rights.
pub(super) const STRICT_SERVER: Server = Server {
    name: "aws-strict",
    about: "moto 5.2.5 with SigV4 and IAM checked; users admin, reader, nobody",
    install: |folders| MOTO.install(folders),
    start: |place| {
        let (daemon, address) = start(place, free_calls())?;
        let mut found = environment([(STRICT_ADDRESS, address.clone())]);
        for user in USERS {
            let variable = format!("{STRICT_ADDRESS}_{}", user.name.to_uppercase());
            found.insert(variable, user.create(&address)?);
        }
        Ok(Started {
            process: Some(daemon),
            environment: found,
        })
    },
    is_healthy: |_, record| is_healthy(record, STRICT_ADDRESS),
};

/// Starts a server that checks nothing in the first calls.
fn start(place: &Place<'_>, free_calls: u64) -> Result<(Daemon, String)> {
    let [port] = net::free_ports()?;
    let mut moto = Command::new(MOTO.program(place.folders, "python"));
    // Not by its script: that begins with the path of its interpreter, which the kernel cuts if it is long.
    moto.args([
        "-m",
        "moto.server",
        "-H",
        "127.0.0.1",
        "-p",
        &port.to_string(),
    ]);
    if free_calls != u64::MAX {
        moto.env("INITIAL_NO_AUTH_ACTION_COUNT", free_calls.to_string());
    }
    let mut daemon = place.spawn(&mut moto)?;
    let address = format!("http://127.0.0.1:{port}");
    daemon.wait_until(|| net::is_ok(&address, "/moto-api/"), DEADLINE)?;
    Ok((daemon, address))
}

fn is_healthy(record: &Record, variable: &str) -> bool {
    let address = record.variable(variable);
    address.is_some_and(|address| net::is_ok(address, "/moto-api/"))
}

/// A user of the strict server. It checks actions only, neither resources nor conditions.
struct User {
    name: &'static str,
    allowed: &'static [&'static str],
}

/// Whoever needs other rights makes a user of its own, as `admin`.
const USERS: [User; 3] = [
    User {
        name: "admin",
        allowed: &["*"],
    },
    User {
        name: "reader",
        allowed: &[
            "ssm:GetParameter",
            "ssm:GetParameters",
            "secretsmanager:GetSecretValue",
        ],
    },
    User {
        name: "nobody",
        allowed: &[],
    },
];

/// How many calls the users below take. All are used up, so that tests find every call checked.
fn free_calls() -> u64 {
    USERS.iter().map(|user| user.calls().len() as u64).sum()
}

impl User {
    /// What makes the user; the last one makes its key.
    fn calls(&self) -> Vec<Vec<(&'static str, String)>> {
        let call = |action: &str| {
            vec![
                ("Version", "2010-05-08".to_owned()),
                ("Action", action.to_owned()),
                ("UserName", self.name.to_owned()),
            ]
        };
        let mut calls = vec![call("CreateUser")];
        if !self.allowed.is_empty() {
            let mut put = call("PutUserPolicy");
            let policy = serde_json::json!({
                "Version": "2012-10-17",
                "Statement": [{ "Effect": "Allow", "Action": self.allowed, "Resource": "*" }],
            });
            put.push(("PolicyName", "rights".to_owned()));
            put.push(("PolicyDocument", policy.to_string()));
            calls.push(put);
        }
        calls.push(call("CreateAccessKey"));
        calls
    }

    /// Makes the user, and gives `ID:SECRET`.
    fn create(&self, address: &str) -> Result<String> {
        // The server finds the service in here.
        const UNCHECKED: &str = "AWS4-HMAC-SHA256 \
            Credential=free/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0";
        let mut answer = String::new();
        for call in self.calls() {
            let form: Vec<_> = call
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let (status, body) = net::post_form(address, UNCHECKED, &form)?;
            if status != 200 {
                return Err(
                    format!("HTTP {status} to the calls that make {}: {body}", self.name).into(),
                );
            }
            answer = body;
        }
        let id = element(&answer, "AccessKeyId");
        let secret = element(&answer, "SecretAccessKey");
        match (id, secret) {
            (Some(id), Some(secret)) => Ok(format!("{id}:{secret}")),
            _ => Err(format!("no access key for {} in: {answer}", self.name).into()),
        }
    }
}

/// The text of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_elements() {
        let xml = "<A><AccessKeyId>AKIA1</AccessKeyId><B>b+/</B></A>";
        assert_eq!(element(xml, "AccessKeyId"), Some("AKIA1"));
        assert_eq!(element(xml, "B"), Some("b+/"));
        assert_eq!(element(xml, "C"), None);
        assert_eq!(element("<C>cut", "C"), None);
    }

    #[test]
    fn users_take_each_free_call() {
        assert_eq!(free_calls(), 8);
    }
}
