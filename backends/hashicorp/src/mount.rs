//! Which KV version the engine at our mount has.

use std::sync::Arc;

use serde::Deserialize;

use crate::client::Request;
use crate::error::{Fault, Result};
use crate::place::Place;
use crate::session::Session;

/// The version of KV at a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

#[derive(Deserialize)]
struct Mount {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    version: Option<String>,
}

/// Asks the server. Any token may that has some right below the mount.
pub(crate) async fn find(session: &Arc<Session>, place: &Place) -> Result<Version> {
    let mount = place.mount();
    let url = place.server(&format!("sys/internal/ui/mounts/{mount}"))?;
    let reply = session
        .call(&Request::get(url, "see the mount").no_secret())
        .await;
    let reply = reply.map_err(|fault| match fault {
        Fault::Denied(_) => Fault::Answer(strongroom_backend::Error::new(
            strongroom_backend::ErrorKind::PermissionDenied,
            format!(
                "no engine is mounted at '{mount}', or the token's policies give nothing below it: \
                 check 'mount', 'namespace' and the policies; 'kv' skips this question"
            ),
        )),
        other => other,
    })?;
    let found: Mount = reply.data()?;
    let path = found.path.trim_matches('/');
    if path != mount {
        return Err(Fault::Config(format!(
            "the engine of '{mount}' is mounted at '{path}': write mount = \"{path}\" and the rest \
             as 'prefix'"
        )));
    }
    match (
        found.kind.as_str(),
        found.options.and_then(|options| options.version).as_deref(),
    ) {
        ("kv", Some("2")) => Ok(Version::Two),
        ("kv" | "generic", None | Some("1" | "")) => Ok(Version::One),
        _ => Err(Fault::Config(format!(
            "the engine mounted at '{mount}' is not KV of version 1 or 2"
        ))),
    }
}
