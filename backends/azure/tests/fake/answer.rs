//! The vault's REST interface, as the recordings show it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use strongroom_backend_testkit::wire::{Reply, Request};

use super::vault::{Phase, Stored, Version};
use super::{AUDIENCE, State, TENANT};

/// Limits of the service.
const VALUE: usize = 25_600;
const TAGS: usize = 15;
const TAG: usize = 256;
const CONTENT_TYPE: usize = 255;
const PAGE: usize = 25;
const RETENTION: u64 = 90 * 86_400;

/// Why an operation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    Policy,
    Role,
    Firewall,
}

/// A request, taken apart.
struct Call<'r> {
    request: &'r Request,
    /// `https://<host>` as the client wrote it.
    base: String,
    segments: Vec<&'r str>,
    query: BTreeMap<String, String>,
    /// What the vault does with deleted secrets.
    level: &'static str,
}

type Answer = Result<Reply, Reply>;

pub(crate) fn respond(state: &mut State, request: &Request) -> Reply {
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let call = Call {
        level: match (state.soft_delete, state.purge_protected) {
            (true, false) => "Recoverable+Purgeable",
            (true, true) => "Recoverable",
            (false, _) => "Purgeable",
        },
        request,
        base: format!("https://{}", request.header("host").unwrap_or_default()),
        segments: request.path().split('/').skip(1).collect(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
    };
    route(state, &call).unwrap_or_else(|refusal| refusal)
}

fn route(state: &mut State, call: &Call<'_>) -> Answer {
    let token = call.request.header("authorization");
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    if !token.is_some_and(|token| state.tokens.accepts(token)) {
        return Err(challenge());
    }
    if state.throttled > 0 {
        state.throttled -= 1;
        let body = error("Throttled", "Request was not processed.", None);
        return Err(Reply::json(429, &body).with_header("retry-after", "1"));
    }
    if !call.query.contains_key("api-version") {
        return Err(bad("api-version must be specified"));
    }
    match (&*call.request.method, call.segments.as_slice()) {
        ("GET", ["secrets"]) => {
            allowed(state, "list")?;
            list(state, call)
        }
        ("POST", ["secrets", "restore"]) => {
            allowed(state, "restore")?;
            restore(state, call)
        }
        ("PUT", ["secrets", name]) => {
            allowed(state, "set")?;
            set(state, call, legal(name)?)
        }
        ("GET", ["secrets", name, "versions"]) => {
            allowed(state, "list")?;
            versions(state, call, legal(name)?)
        }
        ("POST", ["secrets", name, "backup"]) => {
            allowed(state, "backup")?;
            backup(state, call, legal(name)?)
        }
        ("GET", ["secrets", name] | ["secrets", name, ""]) => {
            allowed(state, "get")?;
            get(state, call, legal(name)?, "")
        }
        ("GET", ["secrets", name, id]) => {
            allowed(state, "get")?;
            get(state, call, legal(name)?, id)
        }
        ("PATCH", ["secrets", name] | ["secrets", name, ""]) => {
            allowed(state, "set")?;
            update(state, call, legal(name)?, "")
        }
        ("PATCH", ["secrets", name, id]) => {
            allowed(state, "set")?;
            update(state, call, legal(name)?, id)
        }
        ("DELETE", ["secrets", name]) => {
            allowed(state, "delete")?;
            delete(state, call, legal(name)?)
        }
        ("GET", ["deletedsecrets"]) => {
            allowed(state, "list")?;
            list_deleted(state, call)
        }
        ("GET", ["deletedsecrets", name]) => {
            allowed(state, "get")?;
            deleted(state, call, legal(name)?)
        }
        ("POST", ["deletedsecrets", name, "recover"]) => {
            allowed(state, "recover")?;
            recover(state, call, legal(name)?)
        }
        ("DELETE", ["deletedsecrets", name]) => {
            allowed(state, "purge")?;
            purge(state, legal(name)?)
        }
        _ => Err(bad("unknown operation")),
    }
}

fn set(state: &mut State, call: &Call<'_>, name: &str) -> Answer {
    let body = parsed(call)?;
    let value = body["value"].as_str();
    let value = value.ok_or_else(|| bad("Property 'value' is required"))?;
    if value.len() > VALUE {
        return Err(bad("The value of the secret is too long"));
    }
    held(state, name)?;
    let mut version = Version {
        id: state.new_id(),
        value: value.to_owned(),
        content_type: None,
        enabled: true,
        created: 0,
        updated: 0,
        exp: None,
        nbf: None,
        tags: BTreeMap::new(),
    };
    change(&mut version, &body)?;
    version.created = state.tick();
    version.updated = version.created;
    let stored = state.secrets.entry(name.to_ascii_lowercase());
    let stored = stored.or_insert_with(|| Stored {
        name: name.to_owned(),
        versions: Vec::new(),
        phase: Phase::Active,
    });
    let answer = bundle(call, &stored.name, &version, true);
    stored.versions.push(version);
    Ok(Reply::json(200, &answer.to_string()))
}

fn get(state: &mut State, call: &Call<'_>, name: &str, id: &str) -> Answer {
    let stored = active(state, name)?;
    let shown = stored.name.clone();
    let version = stored.find(id).ok_or_else(|| missing("Secret", name))?;
    if !version.enabled {
        let text = "Operation get is not allowed on a disabled secret.";
        let body = error("Forbidden", text, Some("SecretDisabled"));
        return Err(Reply::json(403, &body));
    }
    let answer = bundle(call, &shown, version, true);
    Ok(Reply::json(200, &answer.to_string()))
}

fn update(state: &mut State, call: &Call<'_>, name: &str, id: &str) -> Answer {
    let body = parsed(call)?;
    let now = state.tick();
    let stored = active(state, name)?;
    let shown = stored.name.clone();
    let version = stored.find(id).ok_or_else(|| missing("Secret", name))?;
    let mut changed = version.clone();
    change(&mut changed, &body)?;
    changed.updated = now;
    *version = changed;
    let answer = bundle(call, &shown, version, false);
    Ok(Reply::json(200, &answer.to_string()))
}

/// Takes over what a body gives; tags are replaced as a whole, attributes one by one.
fn change(version: &mut Version, body: &Value) -> Result<(), Reply> {
    if let Some(content_type) = body["contentType"].as_str() {
        if content_type.len() > CONTENT_TYPE {
            return Err(bad("contentType is too long"));
        }
        version.content_type = Some(content_type.to_owned());
    }
    let attributes = &body["attributes"];
    if let Some(enabled) = attributes["enabled"].as_bool() {
        version.enabled = enabled;
    }
    version.exp = attributes["exp"].as_u64().or(version.exp);
    version.nbf = attributes["nbf"].as_u64().or(version.nbf);
    if let Some(tags) = body["tags"].as_object() {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let tags: Option<BTreeMap<_, _>> = tags
            .iter()
            .map(|(name, value)| Some((name.clone(), text(value)?)))
            .collect();
        let tags = tags.ok_or_else(|| bad("tags are strings"))?;
        let long = |text: &String| text.encode_utf16().count() > TAG;
        if tags.len() > TAGS || tags.iter().any(|(name, value)| long(name) || long(value)) {
            return Err(bad("too many or too long tags"));
        }
        version.tags = tags;
    }
    Ok(())
}

fn versions(state: &mut State, call: &Call<'_>, name: &str) -> Answer {
    let (page, none) = (state.page, state.no_versions_of_deleted);
    let stored = match active(state, name) {
        Ok(stored) => stored,
        Err(_) if none => return Ok(Reply::json(200, r#"{"value":[],"nextLink":null}"#)),
        Err(refusal) => return Err(refusal),
    };
    let shown = stored.name.clone();
    let mut versions: Vec<_> = stored.versions.iter().collect();
    versions.sort_by(|a, b| a.id.cmp(&b.id));
    let items = versions.into_iter().map(|version| {
        let mut item = bundle(call, &shown, version, false);
        item["id"] = json!(format!("{}/secrets/{shown}/{}", call.base, version.id));
        (version.id.clone(), item)
    });
    paged(call, page, items.collect())
}

fn list(state: &mut State, call: &Call<'_>) -> Answer {
    let items = state
        .secrets
        .iter()
        .filter(|(_, stored)| stored.phase == Phase::Active)
        .map(|(key, stored)| {
            let mut item = bundle(call, &stored.name, stored.newest(), false);
            item["id"] = json!(format!("{}/secrets/{}", call.base, stored.name));
            (key.clone(), item)
        });
    paged(call, state.page, items.collect())
}

fn delete(state: &mut State, call: &Call<'_>, name: &str) -> Answer {
    let (lag, at) = (state.lag, state.now());
    if !state.soft_delete {
        let stored = active(state, name)?;
        let answer = bundle(call, &stored.name, stored.newest(), false);
        state.secrets.remove(&name.to_ascii_lowercase());
        return Ok(Reply::json(200, &answer.to_string()));
    }
    let stored = active(state, name)?;
    stored.phase = match lag {
        0 => Phase::Deleted { at },
        lag => Phase::Deleting { left: lag - 1, at },
    };
    let answer = deleted_bundle(call, stored, at);
    Ok(Reply::json(200, &answer.to_string()))
}

fn deleted(state: &mut State, call: &Call<'_>, name: &str) -> Answer {
    match state.look(name) {
        Some(stored) => match stored.phase {
            Phase::Deleted { at } => Ok(Reply::json(
                200,
                &deleted_bundle(call, stored, at).to_string(),
            )),
            _ => Err(missing("Deleted Secret", name)),
        },
        None => Err(missing("Deleted Secret", name)),
    }
}

fn list_deleted(state: &mut State, call: &Call<'_>) -> Answer {
    let items = state.secrets.iter().filter_map(|(key, stored)| {
        let Phase::Deleted { at } = stored.phase else {
            return None;
        };
        let mut item = deleted_bundle(call, stored, at);
        item["id"] = json!(format!("{}/secrets/{}", call.base, stored.name));
        Some((key.clone(), item))
    });
    paged(call, state.page, items.collect())
}

fn recover(state: &mut State, call: &Call<'_>, name: &str) -> Answer {
    let lag = state.lag;
    let stored = state.look(name);
    let stored = stored.ok_or_else(|| missing("Deleted Secret", name))?;
    match stored.phase {
        Phase::Deleted { .. } => {}
        Phase::Recovering { .. } => return Err(conflict("ObjectIsBeingRecovered")),
        _ => return Err(missing("Deleted Secret", name)),
    }
    stored.phase = match lag {
        0 => Phase::Active,
        lag => Phase::Recovering { left: lag - 1 },
    };
    let answer = bundle(call, &stored.name, stored.newest(), false);
    Ok(Reply::json(200, &answer.to_string()))
}

/// The refusals are those that users of the real service report: the recordings have none.
fn purge(state: &mut State, name: &str) -> Answer {
    let (lag, protected) = (state.purge_lag, state.purge_protected);
    match state.look(name) {
        Some(stored) if matches!(stored.phase, Phase::Deleted { .. }) => {
            if protected {
                let text = "Operation \"purge\" is not allowed: purge protection is enabled.";
                return Err(Reply::json(403, &error("Forbidden", text, None)));
            }
            match lag {
                0 => drop(state.secrets.remove(&name.to_ascii_lowercase())),
                lag => stored.phase = Phase::Purging { left: lag - 1 },
            }
            Ok(Reply::status(204))
        }
        Some(stored) if matches!(stored.phase, Phase::Deleting { .. }) => {
            Err(conflict("ObjectIsBeingDeleted"))
        }
        _ => Err(missing("Deleted Secret", name)),
    }
}

fn backup(state: &mut State, call: &Call<'_>, name: &str) -> Answer {
    let stored = active(state, name)?;
    let versions: Vec<_> = stored
        .versions
        .iter()
        .map(|v| {
            let mut whole = bundle(call, &stored.name, v, true);
            whole["id"] = json!(v.id);
            whole
        })
        .collect();
    let whole = json!({ "name": stored.name, "versions": versions });
    let value = URL_SAFE_NO_PAD.encode(whole.to_string());
    Ok(Reply::json(200, &json!({ "value": value }).to_string()))
}

fn restore(state: &mut State, call: &Call<'_>) -> Answer {
    let body = parsed(call)?;
    let value = body["value"].as_str().unwrap_or_default();
    let whole = URL_SAFE_NO_PAD.decode(value.trim_end_matches('=')).ok();
    let whole = whole.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let whole = whole.ok_or_else(|| bad("The backup blob is malformed"))?;
    let name = whole["name"].as_str().unwrap_or_default().to_owned();
    if state.look(&name).is_some() {
        return Err(conflict("SecretAlreadyExists"));
    }
    let mut versions = Vec::new();
    for kept in whole["versions"].as_array().into_iter().flatten() {
        let number = |name: &str| kept["attributes"][name].as_u64().unwrap_or_default();
        let text = |name: &str| kept[name].as_str().unwrap_or_default().to_owned();
        let mut version = Version {
            id: text("id"),
            value: text("value"),
            content_type: None,
            enabled: true,
            created: number("created"),
            updated: number("updated"),
            exp: None,
            nbf: None,
            tags: BTreeMap::new(),
        };
        change(&mut version, kept)?;
        versions.push(version);
    }
    let stored = Stored {
        name: name.clone(),
        versions,
        phase: Phase::Active,
    };
    let answer = bundle(call, &name, stored.newest(), false);
    state.secrets.insert(name.to_ascii_lowercase(), stored);
    Ok(Reply::json(200, &answer.to_string()))
}

fn active<'s>(state: &'s mut State, name: &str) -> Result<&'s mut Stored, Reply> {
    match state.look(name) {
        Some(stored) if stored.phase == Phase::Active => Ok(stored),
        _ => Err(missing("Secret", name)),
    }
}

/// Refuses a write to a name that is deleted, or on the way to or from it.
fn held(state: &mut State, name: &str) -> Result<(), Reply> {
    match state.look(name).map(|stored| stored.phase) {
        None | Some(Phase::Active) => Ok(()),
        Some(Phase::Deleted { .. }) => Err(conflict("ObjectIsDeletedButRecoverable")),
        Some(Phase::Deleting { .. } | Phase::Purging { .. }) => {
            Err(conflict("ObjectIsBeingDeleted"))
        }
        Some(Phase::Recovering { .. }) => Err(conflict("ObjectIsBeingRecovered")),
    }
}

fn bundle(call: &Call<'_>, name: &str, version: &Version, with_value: bool) -> Value {
    let mut attributes = json!({
        "enabled": version.enabled,
        "created": version.created,
        "updated": version.updated,
        "recoveryLevel": call.level,
        "recoverableDays": 90,
    });
    for (name, time) in [("exp", version.exp), ("nbf", version.nbf)] {
        if let Some(time) = time {
            attributes[name] = json!(time);
        }
    }
    let mut bundle = json!({
        "id": format!("{}/secrets/{name}/{}", call.base, version.id),
        "attributes": attributes,
    });
    if with_value {
        bundle["value"] = json!(version.value);
    }
    if let Some(content_type) = &version.content_type {
        bundle["contentType"] = json!(content_type);
    }
    if !version.tags.is_empty() {
        bundle["tags"] = json!(version.tags);
    }
    bundle
}

fn deleted_bundle(call: &Call<'_>, stored: &Stored, at: u64) -> Value {
    let mut bundle = bundle(call, &stored.name, stored.newest(), false);
    bundle["recoveryId"] = json!(format!("{}/deletedsecrets/{}", call.base, stored.name));
    bundle["deletedDate"] = json!(at);
    bundle["scheduledPurgeDate"] = json!(at + RETENTION);
    bundle
}

/// A page of items that are in the order of their keys, and the link to the next.
fn paged(call: &Call<'_>, page: usize, items: Vec<(String, Value)>) -> Answer {
    let most = match call.query.get("maxresults").map(|text| text.parse()) {
        None => page,
        Some(Ok(most)) if (1..=PAGE).contains(&most) => most,
        Some(_) => return Err(bad("maxresults is out of range")),
    };
    let after = match call.query.get("$skiptoken") {
        None => None,
        Some(token) => {
            let key = URL_SAFE_NO_PAD.decode(token).ok();
            let key = key.and_then(|bytes| String::from_utf8(bytes).ok());
            Some(key.ok_or_else(|| bad("the skip token is malformed"))?)
        }
    };
    let mut left = items
        .into_iter()
        .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
        .peekable();
    let shown: Vec<_> = left.by_ref().take(most).collect();
    let next = shown.last().filter(|_| left.peek().is_some());
    let next = next.map(|(key, _)| {
        let token = URL_SAFE_NO_PAD.encode(key);
        let path = call.request.path();
        format!(
            "{}{path}?api-version={}&$skiptoken={token}&maxresults={most}",
            call.base,
            call.query.get("api-version").map_or("", String::as_str),
        )
    });
    let value: Vec<_> = shown.into_iter().map(|(_, item)| item).collect();
    let body = json!({ "value": value, "nextLink": next });
    Ok(Reply::json(200, &body.to_string()))
}

fn parsed(call: &Call<'_>) -> Result<Value, Reply> {
    serde_json::from_slice(&call.request.body).map_err(|_| bad("the body is not JSON"))
}

fn legal(name: &str) -> Result<&str, Reply> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if (1..=127).contains(&name.len()) && name.bytes().all(legal) {
        return Ok(name);
    }
    Err(bad("the name must match '^[0-9a-zA-Z-]+$'"))
}

fn allowed(state: &State, operation: &str) -> Result<(), Reply> {
    let Some((_, denial)) = state.denied.iter().find(|(denied, _)| *denied == operation) else {
        return Ok(());
    };
    let inner = match denial {
        Denial::Policy => "AccessDenied",
        Denial::Role => "ForbiddenByRbac",
        Denial::Firewall => "ForbiddenByFirewall",
    };
    let text = format!("The application '{TENANT}' may not {operation}.");
    let body = error("Forbidden", &text, Some(inner));
    Err(Reply::json(403, &body))
}

fn challenge() -> Reply {
    let text = "AKV10000: Request is missing a Bearer or PoP token.";
    let header = format!(
        "Bearer authorization=\"https://login.windows.net/{TENANT}\", resource=\"{AUDIENCE}\""
    );
    Reply::json(401, &error("Unauthorized", text, None)).with_header("www-authenticate", &header)
}

fn missing(what: &str, name: &str) -> Reply {
    let text = format!("{what} not found: {name}");
    Reply::json(404, &error("SecretNotFound", &text, None))
}

fn conflict(inner: &str) -> Reply {
    let text = "The secret is in a state in which this is not possible.";
    Reply::json(409, &error("Conflict", text, Some(inner)))
}

fn bad(text: &str) -> Reply {
    Reply::json(400, &error("BadParameter", text, None))
}

fn error(code: &str, message: &str, inner: Option<&str>) -> String {
    let mut error = json!({ "code": code, "message": message });
    if let Some(inner) = inner {
        error["innererror"] = json!({ "code": inner });
    }
    json!({ "error": error }).to_string()
}
