//! What `doctor` prints: each step from the connection to the rights of the token.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use strongroom_backend::{Error, ErrorKind, SecretPath};
use strongroom_backend_remote::{Endpoint, clock};

use crate::client::{Request, now};
use crate::error::{Fault, Known, Result};
use crate::mount::Version;
use crate::place::Place;
use crate::session::Session;

/// A name that stands for any below the prefix where there is none yet.
const ANY: &str = "strongroom-check";
/// How many seconds clocks may be apart before expiries are told wrong.
const SKEW: u64 = 60;

#[derive(Deserialize)]
struct Health {
    initialized: bool,
    sealed: bool,
    #[serde(default)]
    standby: bool,
    #[serde(default)]
    version: String,
}

/// The server answers, and whether it can serve.
pub(crate) async fn server(
    session: &Session,
    place: &Place,
    address: &Endpoint,
    verified: Option<&str>,
) -> Result<Vec<String>> {
    let url = place.server("sys/health")?;
    let request = Request::server(url, "see the server's health");
    let reply = session.client().exchange(&request, None).await?;
    let way = match (address.is_tls(), verified) {
        (false, _) => "without TLS, on loopback",
        (true, Some(whom)) => whom,
        (true, None) => {
            "over TLS, the certificate is NOT checked (verify-tls = false): anyone on \
                         the way can read and change secrets"
        }
    };
    let mut lines = vec![format!("reached {address} {way}")];
    let health: Health = match reply.status {
        200 | 429 | 472 | 473 | 501 | 503 => reply.json()?,
        300..=399 => return Err(Known::Redirect.into()),
        status => return Err(Fault::Status(status)),
    };
    if !health.initialized {
        return Err(Known::Uninitialized.into());
    }
    if health.sealed {
        return Err(Known::Sealed.into());
    }
    let role = if health.standby {
        "a standby"
    } else {
        "active"
    };
    let version = health
        .version
        .chars()
        .filter(char::is_ascii_graphic)
        .take(64);
    lines.push(format!(
        "server {}: unsealed, {role}",
        version.collect::<String>()
    ));
    if let Some(date) = reply.date() {
        let seconds = |time: u64| i64::try_from(time / 1000).unwrap_or(i64::MAX);
        let ahead = seconds(date).saturating_sub(seconds(now()));
        lines.push(clock::compared(ahead, SKEW, "expiries are told wrong")?);
    }
    Ok(lines)
}

/// Whom the token is.
pub(crate) async fn who(session: &Arc<Session>) -> Result<String> {
    let method = session.method();
    let who = session.who().await?;
    let mut policies = who.policies;
    policies.extend(who.identity_policies.unwrap_or_default());
    let life = match who.ttl {
        0 => "without an end".to_owned(),
        ttl if who.renewable => format!("{ttl} s left, renewable"),
        ttl => format!("{ttl} s left, not renewable"),
    };
    Ok(format!(
        "authenticated by {method} as '{}', policies {}, {life}",
        printable(&who.display_name),
        printable(&policies.join(", "))
    ))
}

/// What the token may do below the prefix. It must be able to read; `path` is a secret that is
/// there, where there is one.
pub(crate) async fn rights(
    session: &Arc<Session>,
    place: &Place,
    version: Version,
    path: Option<&SecretPath>,
) -> Result<String> {
    let name = match path {
        Some(path) => place.name(path)?,
        None => format!("{}{ANY}", place.prefix()),
    };
    let mount = place.mount();
    let asked: &[(&str, &str, &str)] = match version {
        Version::One => &[
            ("", "read", "read"),
            ("", "create", "write"),
            ("", "delete", "delete"),
        ],
        Version::Two => &[
            ("data/", "read", "read"),
            ("metadata/", "read", "see metadata"),
            ("data/", "update", "write"),
            ("metadata/", "patch", "set metadata"),
            ("delete/", "update", "delete"),
            ("undelete/", "update", "undelete"),
            ("destroy/", "update", "destroy"),
        ],
    };
    let full = |area: &str| format!("{mount}/{area}{name}");
    let mut paths: Vec<_> = asked.iter().map(|(area, _, _)| full(area)).collect();
    paths.dedup();
    let body = serde_json::json!({ "paths": paths }).to_string();
    let url = place.server("sys/capabilities-self")?;
    let request = Request::post(url, Bytes::from(body), "ask for its own capabilities").no_secret();
    let reply = session.call(&request).await?;
    let told: BTreeMap<String, serde_json::Value> = reply.data()?;
    let may = |area: &str, capability: &str| {
        let list = told.get(&full(area)).and_then(serde_json::Value::as_array);
        let mut list = list
            .into_iter()
            .flatten()
            .filter_map(serde_json::Value::as_str);
        list.any(|has| has == "root" || has == capability)
    };
    let (able, unable): (Vec<_>, Vec<_>) = asked
        .iter()
        .copied()
        .partition(|(area, capability, _)| may(area, capability));
    let words = |rights: &[(&str, &str, &str)]| -> String {
        rights
            .iter()
            .map(|(_, _, word)| *word)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if path.is_some() && unable.iter().any(|(_, _, word)| *word == "read") {
        return Err(Fault::Answer(Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "the token may list '{mount}/{}' but not read a secret that is there: give one of \
                 its policies `read` on '{mount}/{}{}*'",
                place.prefix(),
                asked.first().map_or("", |(area, _, _)| area),
                place.prefix()
            ),
        )));
    }
    let mut line = format!(
        "may list, {} below '{mount}/{}'",
        words(&able),
        place.prefix()
    );
    if !unable.is_empty() {
        line.push_str(&format!("; may not {}", words(&unable)));
    }
    Ok(line)
}

/// A text of the server for a line of ours.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
