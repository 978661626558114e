//! A small Secrets Manager that says no where the documentation of the real one does: sizes, names, tokens,
//! labels, tags, secrets that are scheduled for deletion, pages. Its answers come one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strongroom_backend_testkit::wire::{Reply, Request};

use super::action;

const MARKED: &str =
    "You can't perform this operation on the secret because it was marked for deletion.";
/// Pages are short, so that many are needed.
const VERSIONS_PAGE: usize = 3;
const SECRETS_PAGE: usize = 4;

type Hook = Box<dyn FnMut(&str, &mut Secrets) + Send>;
type Answer = Result<Value, (&'static str, &'static str)>;

#[derive(Default)]
pub(crate) struct Service {
    pub(crate) secrets: Mutex<Secrets>,
    hook: Mutex<Option<Hook>>,
    denied: Mutex<BTreeSet<String>>,
}

pub(crate) type Secrets = BTreeMap<String, Secret>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Secret {
    pub(crate) versions: Vec<Version>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) description: Option<String>,
    pub(crate) deleted: bool,
    pub(crate) replicated: bool,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) window: Option<i64>,
    created: f64,
}

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) value: Value,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) created: f64,
}

impl Service {
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        let action = action(request);
        let Ok(body) = serde_json::from_slice(&request.body) else {
            return refusal("SerializationException", "no JSON");
        };
        let mut secrets = self.secrets();
        if let Some(hook) = &mut *self.hook.lock().unwrap() {
            hook(&action, &mut secrets);
        }
        if self.denied.lock().unwrap().contains(&action) {
            let text = "User: arn:aws:iam::123456789012:user/x is not authorized to perform it";
            return refusal("AccessDeniedException", text);
        }
        match act(&mut secrets, &action, &body) {
            Ok(answer) => Reply::json(200, &answer.to_string()),
            Err((code, text)) => refusal(code, text),
        }
    }

    pub(crate) fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap()
    }

    /// Changes what is there behind everybody's back.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Secrets) -> T) -> T {
        change(&mut self.secrets())
    }

    /// Calls `hook` before each answer, with what is asked for.
    pub(crate) fn before(&self, hook: impl FnMut(&str, &mut Secrets) + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    pub(crate) fn unhook(&self) {
        *self.hook.lock().unwrap() = None;
    }

    pub(crate) fn deny(&self, action: &str) {
        self.denied.lock().unwrap().insert(action.to_owned());
    }

    /// Adds a version as the console does: a random id, and current at once.
    pub(crate) fn write_as_another_tool(&self, name: &str, value: &str) -> u64 {
        write_as_another_tool(&mut self.secrets(), name, value)
    }
}

pub(crate) fn write_as_another_tool(secrets: &mut Secrets, name: &str, value: &str) -> u64 {
    let secret = secrets.entry(name.to_owned()).or_default();
    let at = secret.clock();
    secret.created = if secret.created == 0.0 {
        at
    } else {
        secret.created
    };
    let id = format!("{:08x}-97a5-4e0c-8f0b-2d2f6d8c5a11", secret.versions.len());
    secret.versions.push(Version {
        id: id.clone(),
        value: json!({ "SecretString": value }),
        labels: BTreeSet::new(),
        created: at,
    });
    secret.move_label("AWSCURRENT", &id);
    (at * 1000.0).round() as u64
}

impl Secret {
    fn version(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    pub(crate) fn labelled(&self, label: &str) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| version.labels.contains(label))
    }

    fn move_label(&mut self, label: &str, to: &str) {
        let from = self.labelled(label).map(|version| version.id.clone());
        for version in &mut self.versions {
            version.labels.remove(label);
            if version.id == to {
                version.labels.insert(label.to_owned());
            }
        }
        if label == "AWSCURRENT"
            && let Some(from) = from.filter(|from| from != to)
        {
            self.move_label("AWSPREVIOUS", &from);
        }
    }

    /// Now, later than any version.
    fn clock(&self) -> f64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let last = self
            .versions
            .last()
            .map_or(0, |last| (last.created * 1000.0).round() as u64);
        let millis = (now.as_millis() as u64).max(last + 1);
        millis as f64 / 1000.0
    }
}

fn refusal(code: &str, text: &str) -> Reply {
    let body = json!({ "__type": code, "Message": text });
    Reply::json(400, &body.to_string())
}

fn act(secrets: &mut Secrets, action: &str, body: &Value) -> Answer {
    match action {
        "CreateSecret" => return create(secrets, body),
        "BatchGetSecretValue" => return batch(secrets, body),
        "ListSecrets" => return list(secrets, body),
        _ => {}
    }
    let name = text(body, "SecretId").unwrap_or_default().to_owned();
    assert!(is_name(&name), "a SecretId that is no name: {name}");
    let missing = (
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret.",
    );
    let secret = secrets.get_mut(&name).ok_or(missing)?;
    let allowed_when_deleted = ["DescribeSecret", "ListSecretVersionIds", "RestoreSecret"];
    if secret.deleted && !allowed_when_deleted.contains(&action) {
        return Err(("InvalidRequestException", MARKED));
    }
    let ok = json!({ "ARN": arn(&name), "Name": name });
    match action {
        "GetSecretValue" => get(secret, &name, body),
        "PutSecretValue" => put(secret, &name, body),
        "UpdateSecretVersionStage" => move_stage(secret, body).map(|()| ok),
        "DescribeSecret" => Ok(describe(secret, &name, "VersionIdsToStages")),
        "ListSecretVersionIds" => versions(secret, &name, body),
        "DeleteSecret" => {
            let days = body["RecoveryWindowInDays"].as_i64();
            if !days.is_some_and(|days| (7..=30).contains(&days)) {
                return Err(("InvalidParameterException", "the recovery window"));
            }
            if secret.replicated {
                return Err(("InvalidRequestException", "the secret has replicas"));
            }
            secret.window = days;
            secret.deleted = true;
            Ok(ok)
        }
        "RestoreSecret" => {
            secret.deleted = false;
            Ok(ok)
        }
        "UpdateSecret" => {
            if let Some(text) = text(body, "Description") {
                secret.description = Some(text.to_owned());
            }
            Ok(ok)
        }
        "TagResource" => set_tags(secret, body).map(|()| ok),
        "UntagResource" => {
            for key in body["TagKeys"].as_array().into_iter().flatten() {
                secret.tags.remove(key.as_str().unwrap());
            }
            Ok(ok)
        }
        other => panic!("{other} was asked for"),
    }
}

fn create(secrets: &mut Secrets, body: &Value) -> Answer {
    let name = text(body, "Name").unwrap_or_default();
    assert!(is_name(name), "a name that is none: {name}");
    let id = token(body)?;
    let value = value(body)?;
    if let Some(there) = secrets.get(name) {
        if there.deleted {
            return Err((
                "InvalidRequestException",
                "You can't create this secret because a secret with this name is already scheduled for deletion.",
            ));
        }
        // Documented: the request is ignored, whatever else is in it.
        return match there.version(id) {
            Some(version) if version.value == value => {
                Ok(json!({ "ARN": arn(name), "Name": name, "VersionId": id }))
            }
            _ => Err((
                "ResourceExistsException",
                "The operation failed because the secret already exists.",
            )),
        };
    }
    let mut secret = Secret {
        description: text(body, "Description").map(ToOwned::to_owned),
        kms_key_id: text(body, "KmsKeyId").map(ToOwned::to_owned),
        ..Secret::default()
    };
    secret.created = secret.clock();
    set_tags(&mut secret, body)?;
    let created = secret.created;
    secret.versions.push(Version {
        id: id.to_owned(),
        value,
        labels: BTreeSet::from(["AWSCURRENT".to_owned()]),
        created,
    });
    secrets.insert(name.to_owned(), secret);
    Ok(json!({ "ARN": arn(name), "Name": name, "VersionId": id }))
}

fn get(secret: &Secret, name: &str, body: &Value) -> Answer {
    let stage = text(body, "VersionStage");
    let version = match text(body, "VersionId") {
        Some(id) => secret.version(id),
        None => secret.labelled(stage.unwrap_or("AWSCURRENT")),
    };
    let missing = (
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for the version.",
    );
    Ok(entry(version.ok_or(missing)?, name))
}

fn entry(version: &Version, name: &str) -> Value {
    let mut entry = json!({
        "ARN": arn(name), "Name": name, "VersionId": version.id,
        "VersionStages": version.labels, "CreatedDate": version.created,
    });
    for (key, value) in version.value.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}

fn put(secret: &mut Secret, name: &str, body: &Value) -> Answer {
    let id = token(body)?.to_owned();
    let value = value(body)?;
    let stages = body["VersionStages"].as_array().cloned();
    let stages = stages.unwrap_or_else(|| vec![json!("AWSCURRENT")]);
    assert!(!stages.is_empty(), "at least one label");
    match secret.version(&id) {
        Some(version) if version.value != value => {
            return Err((
                "ResourceExistsException",
                "You can't use this ClientRequestToken because that value is already in use.",
            ));
        }
        Some(_) => {}
        None => {
            let created = secret.clock();
            let first = secret.versions.is_empty();
            secret.versions.push(Version {
                id: id.clone(),
                value,
                labels: BTreeSet::new(),
                created,
            });
            for stage in stages {
                secret.move_label(stage.as_str().unwrap(), &id);
            }
            if first {
                secret.move_label("AWSCURRENT", &id);
            }
        }
    }
    let labels: usize = secret
        .versions
        .iter()
        .map(|version| version.labels.len())
        .sum();
    assert!(labels <= 20, "a secret has at most 20 labels");
    let labels = &secret.version(&id).unwrap().labels;
    Ok(json!({ "ARN": arn(name), "Name": name, "VersionId": id, "VersionStages": labels }))
}

/// Documented: where the label is attached and `RemoveFromVersionId` is not given or is not where it
/// is, the operation fails. That is so where it is on the version it should move to, too.
fn move_stage(secret: &mut Secret, body: &Value) -> Result<(), (&'static str, &'static str)> {
    let stage = text(body, "VersionStage").unwrap();
    let from = text(body, "RemoveFromVersionId");
    let to = text(body, "MoveToVersionId").expect("no label is removed");
    let on = secret.labelled(stage).map(|version| version.id.as_str());
    if on != from {
        return Err((
            "InvalidParameterException",
            "The staging label is currently attached to another version.",
        ));
    }
    if secret.version(to).is_none() {
        return Err(("ResourceNotFoundException", "no such version"));
    }
    let to = to.to_owned();
    secret.move_label(stage, &to);
    Ok(())
}

fn describe(secret: &Secret, name: &str, labels: &str) -> Value {
    let labelled = secret
        .versions
        .iter()
        .filter(|version| !version.labels.is_empty());
    let stages: BTreeMap<_, _> = labelled.map(|v| (v.id.clone(), json!(v.labels))).collect();
    let changed = secret
        .versions
        .last()
        .map_or(secret.created, |last| last.created);
    let mut described = json!({
        "ARN": arn(name), "Name": name, "CreatedDate": secret.created, "LastChangedDate": changed,
        "Tags": tags(secret),
    });
    if !stages.is_empty() {
        described[labels] = json!(stages);
    }
    if let Some(text) = &secret.description {
        described["Description"] = json!(text);
    }
    if secret.deleted {
        described["DeletedDate"] = json!(secret.clock());
    }
    if secret.replicated {
        described["ReplicationStatus"] = json!([{ "Region": "eu-west-1", "Status": "InSync" }]);
    }
    described
}

fn versions(secret: &Secret, name: &str, body: &Value) -> Answer {
    let all = body["IncludeDeprecated"].as_bool().unwrap_or_default();
    let versions: Vec<_> = secret
        .versions
        .iter()
        .filter(|version| all || !version.labels.is_empty())
        .map(|v| json!({ "VersionId": v.id, "VersionStages": v.labels, "CreatedDate": v.created }))
        .collect();
    let (page, next) = page(versions, "VersionId", body, VERSIONS_PAGE)?;
    Ok(json!({ "ARN": arn(name), "Name": name, "Versions": page, "NextToken": next }))
}

fn batch(secrets: &Secrets, body: &Value) -> Answer {
    let ids = body["SecretIdList"].as_array().unwrap();
    let ids: Vec<&str> = ids.iter().map(|id| id.as_str().unwrap()).collect();
    assert!(ids.len() <= 20, "at most 20 secrets in one request");
    assert!(ids.iter().all(|id| is_name(id)), "an id that is no name");
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    // Not in the order asked.
    for id in ids.into_iter().rev() {
        let secret = secrets.get(id);
        let answer = match secret {
            None => Err((
                "ResourceNotFoundException",
                "Secrets Manager can't find it.",
            )),
            Some(secret) if secret.deleted => Err(("InvalidRequestException", MARKED)),
            Some(secret) => get(secret, id, &json!({})),
        };
        match answer {
            Ok(entry) => values.push(entry),
            Err((code, text)) => {
                errors.push(json!({ "SecretId": id, "ErrorCode": code, "Message": text }));
            }
        }
    }
    Ok(json!({ "SecretValues": values, "Errors": errors }))
}

fn list(secrets: &Secrets, body: &Value) -> Answer {
    let filters = body["Filters"].as_array().cloned().unwrap_or_default();
    let matches = |name: &str, secret: &Secret| {
        filters.iter().all(|filter| {
            let values: Vec<&str> = filter["Values"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            assert!(
                (1..=10).contains(&values.len()),
                "1 to 10 values of a filter"
            );
            assert!(
                values
                    .iter()
                    .all(|value| !value.is_empty() && !value.starts_with('!'))
            );
            values
                .iter()
                .any(|value| match filter["Key"].as_str().unwrap() {
                    "name" => name.starts_with(value),
                    "tag-key" => secret.tags.keys().any(|key| key.starts_with(value)),
                    other => panic!("a filter of {other}"),
                })
        })
    };
    let found = secrets
        .iter()
        .filter(|(name, secret)| !secret.deleted && matches(name, secret));
    let found: Vec<_> = found
        .map(|(name, secret)| describe(secret, name, "SecretVersionsToStages"))
        .collect();
    let (page, next) = page(found, "Name", body, SECRETS_PAGE)?;
    Ok(json!({ "SecretList": page, "NextToken": next }))
}

type Page = (Vec<Value>, Option<String>);

/// The token names the last entry given, so that a page goes on there whatever was added or removed.
fn page(
    all: Vec<Value>,
    key: &str,
    body: &Value,
    most: usize,
) -> Result<Page, (&'static str, &'static str)> {
    let asked = body["MaxResults"].as_u64().unwrap_or(100) as usize;
    assert!((1..=100).contains(&asked), "a page of {asked}");
    let after = match text(body, "NextToken") {
        None => None,
        Some(token) => match token.strip_prefix("after-") {
            Some(after) => Some(after),
            None => {
                let text = "The NextToken value is invalid.";
                return Err(("InvalidNextTokenException", text));
            }
        },
    };
    // Entries come in falling order of their key.
    let comes = |entry: &Value| after.is_none_or(|after| text(entry, key).unwrap() < after);
    let mut rest: Vec<_> = all.into_iter().filter(comes).collect();
    rest.sort_by(|a, b| text(b, key).cmp(&text(a, key)));
    let more = rest.len() > asked.min(most);
    rest.truncate(asked.min(most));
    let last = rest.last().filter(|_| more);
    let next = last.map(|last| format!("after-{}", text(last, key).unwrap()));
    Ok((rest, next))
}

fn set_tags(secret: &mut Secret, body: &Value) -> Result<(), (&'static str, &'static str)> {
    let legal = |text: &str| {
        text.chars()
            .all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c))
    };
    for tag in body["Tags"].as_array().into_iter().flatten() {
        let (key, value) = (
            text(tag, "Key").unwrap(),
            text(tag, "Value").unwrap_or_default(),
        );
        let fits = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
        if !fits || !legal(key) || !legal(value) || key.starts_with("aws:") {
            return Err(("InvalidParameterException", "a tag that cannot be"));
        }
        secret.tags.insert(key.to_owned(), value.to_owned());
    }
    match secret.tags.len() {
        0..=50 => Ok(()),
        _ => Err(("InvalidParameterException", "more than 50 tags")),
    }
}

fn tags(secret: &Secret) -> Vec<Value> {
    let tag = |(key, value): (&String, &String)| json!({ "Key": key, "Value": value });
    secret.tags.iter().map(tag).collect()
}

fn value(body: &Value) -> Answer {
    let wrong = ("ValidationException", "a value that cannot be");
    let length = match (&body["SecretString"], &body["SecretBinary"]) {
        (Value::String(text), Value::Null) => text.len(),
        (Value::Null, Value::String(text)) => STANDARD.decode(text).map_err(|_| wrong)?.len(),
        _ => return Err(wrong),
    };
    if !(1..=65_536).contains(&length) {
        return Err(wrong);
    }
    let fields = ["SecretString", "SecretBinary"];
    let fields = fields.into_iter().filter(|field| !body[field].is_null());
    Ok(fields
        .map(|field| (field.to_owned(), body[field].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into())
}

fn token(body: &Value) -> Result<&str, (&'static str, &'static str)> {
    let token = text(body, "ClientRequestToken").unwrap_or_default();
    if (32..=64).contains(&token.len()) {
        Ok(token)
    } else {
        Err((
            "InvalidParameterException",
            "ClientRequestToken must be 32-64 characters long.",
        ))
    }
}

fn is_name(name: &str) -> bool {
    (1..=512).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b))
}

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf")
}

fn text<'b>(body: &'b Value, key: &str) -> Option<&'b str> {
    body[key].as_str()
}
