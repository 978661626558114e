//! What the strict server holds, and its rules.

use std::collections::{BTreeMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Answer, Query, Refused};

/// The most names on a page where a test does not say otherwise.
const PAGE: usize = 40;
const MAX_VALUE: usize = 64 << 10;

pub(crate) type Meanwhile = fn(&mut Secret);

#[derive(Default)]
pub(crate) struct State {
    /// By project, location and id.
    pub(crate) secrets: BTreeMap<(String, String), Secret>,
    /// Permissions that our account does not have.
    pub(crate) denied: HashSet<&'static str>,
    /// Answers to give before any other, by permission, once each.
    pub(crate) planned: Vec<(&'static str, Refused)>,
    /// What others do just before a call of this permission is answered.
    pub(crate) meanwhile: Vec<(&'static str, Meanwhile)>,
    /// Whether `destroy` only schedules it.
    pub(crate) destroy_delay: bool,
    /// Whether a checksum in an answer is wrong.
    pub(crate) wrong_sums: bool,
    /// The most names on a page; 0 for [`PAGE`].
    pub(crate) page: usize,
    /// How often each permission was needed.
    pub(crate) calls: BTreeMap<&'static str, usize>,
    counter: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Secret {
    pub(crate) etag: u64,
    pub(crate) born: u64,
    pub(crate) replication: Value,
    pub(crate) labels: Map<String, Value>,
    pub(crate) annotations: Map<String, Value>,
    /// The first has number 1.
    pub(crate) versions: Vec<Version>,
    pub(crate) time: String,
}

#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) state: &'static str,
    pub(crate) data: Vec<u8>,
    pub(crate) etag: u64,
    pub(crate) time: String,
    pub(crate) destroyed: Option<String>,
    pub(crate) checked: bool,
}

/// Where secrets are: a project, and a location for regional ones.
pub(crate) struct Space {
    pub(crate) key: String,
    /// As answers have it.
    pub(crate) shown: String,
    regional: bool,
}

impl Space {
    pub(crate) fn new(project: &str, location: Option<&str>) -> Result<Self, Refused> {
        if project.is_empty() || project == "no-such-project" {
            return Err(Refused::new("NOT_FOUND", "no such project"));
        }
        let number = crc32c::crc32c(project.as_bytes());
        let place = location.map_or(String::new(), |location| format!("/locations/{location}"));
        Ok(Self {
            key: format!("{project}{place}"),
            shown: format!("projects/{number}{place}"),
            regional: location.is_some(),
        })
    }
}

impl State {
    /// Counts a call, and refuses it where it was said to.
    pub(crate) fn asked(&mut self, permission: &'static str) -> Result<(), Refused> {
        *self.calls.entry(permission).or_default() += 1;
        if let Some(at) = self.planned.iter().position(|(of, _)| *of == permission) {
            return Err(self.planned.remove(at).1);
        }
        if self.denied.contains(permission) {
            return Err(Refused::denied(permission));
        }
        if let Some(at) = self.meanwhile.iter().position(|(of, _)| *of == permission) {
            let (_, change) = self.meanwhile.remove(at);
            self.secrets.values_mut().for_each(change);
        }
        Ok(())
    }

    /// The calls so far, forgotten with this.
    pub(crate) fn take_calls(&mut self) -> usize {
        std::mem::take(&mut self.calls).values().sum()
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn secret(&mut self, space: &Space, id: &str) -> Result<&mut Secret, Refused> {
        self.secrets
            .get_mut(&(space.key.clone(), id.to_owned()))
            .ok_or_else(|| {
                Refused::new(
                    "NOT_FOUND",
                    format!("Secret [{}/secrets/{id}] not found.", space.shown),
                )
            })
    }

    pub(crate) fn create(&mut self, space: &Space, id: &str, body: &Value) -> Answer {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if id.is_empty() || id.len() > 255 || !id.bytes().all(legal) {
            return Err(invalid(
                "The provided Secret ID does not match the expected format",
            ));
        }
        let replication = body.get("replication").cloned().unwrap_or(Value::Null);
        let automatic = replication.get("automatic").is_some_and(Value::is_object);
        let replicas = replication.pointer("/userManaged/replicas");
        let managed = replicas
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty());
        if space.regional != replication.is_null() || (!space.regional && automatic == managed) {
            return Err(invalid("replication does not fit"));
        }
        let (labels, annotations) = (map(body, "labels"), map(body, "annotations"));
        check_labels(&labels)?;
        check_annotations(&annotations)?;
        let key = (space.key.clone(), id.to_owned());
        if self.secrets.contains_key(&key) {
            return Err(Refused::new("ALREADY_EXISTS", "Secret already exists."));
        }
        let secret = Secret {
            etag: self.next(),
            born: self.next(),
            replication,
            labels,
            annotations,
            versions: Vec::new(),
            time: now(),
        };
        let shown = secret.show(space, id);
        self.secrets.insert(key, secret);
        Ok(shown)
    }

    pub(crate) fn get(&mut self, space: &Space, id: &str) -> Answer {
        let secret = self.secret(space, id)?;
        Ok(secret.show(space, id))
    }

    pub(crate) fn update(&mut self, space: &Space, id: &str, mask: &str, body: &Value) -> Answer {
        let etag = self.next();
        let secret = self.secret(space, id)?;
        check_etag(secret.etag, body)?;
        if mask.is_empty() {
            return Err(invalid("an update mask is required"));
        }
        for field in mask.split(',') {
            match field {
                "labels" => {
                    let labels = map(body, "labels");
                    check_labels(&labels)?;
                    secret.labels = labels;
                }
                "annotations" => {
                    let annotations = map(body, "annotations");
                    check_annotations(&annotations)?;
                    secret.annotations = annotations;
                }
                _ => return Err(invalid("the field cannot be changed")),
            }
        }
        secret.etag = etag;
        Ok(secret.show(space, id))
    }

    pub(crate) fn list(&mut self, space: &Space, query: &Query) -> Answer {
        let mut found: Vec<_> = self
            .secrets
            .iter()
            .filter(|((key, _), _)| *key == space.key)
            .map(|((_, id), secret)| (secret.born, secret.show(space, id)))
            .collect();
        found.sort_by_key(|(born, _)| std::cmp::Reverse(*born));
        page("secrets", found, query, self.page)
    }

    pub(crate) fn add(&mut self, space: &Space, id: &str, body: &Value) -> Answer {
        let payload = &body["payload"];
        let data = payload["data"].as_str().unwrap_or_default();
        let data = STANDARD.decode(data).map_err(|_| invalid("not base64"))?;
        if data.len() > MAX_VALUE {
            return Err(invalid("The payload is larger than 64 KiB"));
        }
        let sum = payload["dataCrc32c"].as_str();
        let sum = sum.map(|sum| sum.parse::<u32>().map_err(|_| invalid("not a checksum")));
        let sum = sum.transpose()?;
        if sum.is_some_and(|sum| sum != crc32c::crc32c(&data)) {
            return Err(invalid("the checksum does not match"));
        }
        let etag = self.next();
        let secret = self.secret(space, id)?;
        secret.versions.push(Version {
            state: "ENABLED",
            data,
            etag,
            time: now(),
            destroyed: None,
            checked: sum.is_some(),
        });
        let number = secret.versions.len();
        Ok(secret.show_version(space, id, number))
    }

    pub(crate) fn list_versions(&mut self, space: &Space, id: &str, query: &Query) -> Answer {
        let most = self.page;
        let secret = self.secret(space, id)?;
        let numbers = (1..=secret.versions.len()).rev();
        let found = numbers.map(|n| (n as u64, secret.show_version(space, id, n)));
        page("versions", found.collect(), query, most)
    }

    pub(crate) fn get_version(&mut self, space: &Space, id: &str, number: &str) -> Answer {
        let secret = self.secret(space, id)?;
        let number = secret.number(number)?;
        Ok(secret.show_version(space, id, number))
    }

    pub(crate) fn access(&mut self, space: &Space, id: &str, number: &str) -> Answer {
        let wrong = u32::from(self.wrong_sums);
        let secret = self.secret(space, id)?;
        let number = secret.number(number)?;
        let version = &secret.versions[number - 1];
        let name = format!("{}/secrets/{id}/versions/{number}", space.shown);
        if version.state != "ENABLED" {
            let message = format!("Secret Version [{name}] is in {} state.", version.state);
            return Err(Refused::new("FAILED_PRECONDITION", message));
        }
        let sum = crc32c::crc32c(&version.data) ^ wrong;
        let mut payload = json!({"dataCrc32c": sum.to_string()});
        if !version.data.is_empty() {
            payload["data"] = STANDARD.encode(&version.data).into();
        }
        Ok(json!({"name": name, "payload": payload}))
    }

    pub(crate) fn turn(
        &mut self,
        space: &Space,
        id: &str,
        number: &str,
        verb: &str,
        body: &Value,
    ) -> Answer {
        let etag = self.next();
        let delay = self.destroy_delay;
        let secret = self.secret(space, id)?;
        let number = secret.number(number)?;
        let version = &mut secret.versions[number - 1];
        check_etag(version.etag, body)?;
        if version.state == "DESTROYED" {
            return Err(Refused::new(
                "FAILED_PRECONDITION",
                "the version is destroyed",
            ));
        }
        version.etag = etag;
        match verb {
            "enable" => version.state = "ENABLED",
            "disable" => version.state = "DISABLED",
            "destroy" if delay => version.state = "DISABLED",
            "destroy" => {
                version.state = "DESTROYED";
                version.data.clear();
                version.destroyed = Some(now());
            }
            _ => return Err(invalid("no such verb")),
        }
        Ok(secret.show_version(space, id, number))
    }
}

impl Secret {
    fn number(&self, text: &str) -> Result<usize, Refused> {
        let number = match text {
            "latest" => self.versions.len(),
            text => text.parse().map_err(|_| invalid("not a version"))?,
        };
        if number == 0 || number > self.versions.len() {
            return Err(Refused::new("NOT_FOUND", "Secret Version not found."));
        }
        Ok(number)
    }

    fn show(&self, space: &Space, id: &str) -> Value {
        let mut shown = json!({
            "name": format!("{}/secrets/{id}", space.shown),
            "createTime": self.time,
            "etag": tag(self.etag),
        });
        if !self.replication.is_null() {
            shown["replication"] = self.replication.clone();
        }
        // Empty fields are left out, as JSON of protocol buffers does.
        for (field, map) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !map.is_empty() {
                shown[field] = Value::Object(map.clone());
            }
        }
        shown
    }

    fn show_version(&self, space: &Space, id: &str, number: usize) -> Value {
        let version = &self.versions[number - 1];
        let mut shown = json!({
            "name": format!("{}/secrets/{id}/versions/{number}", space.shown),
            "createTime": version.time,
            "state": version.state,
            "etag": tag(version.etag),
            "clientSpecifiedPayloadChecksum": version.checked,
        });
        if let Some(time) = &version.destroyed {
            shown["destroyTime"] = time.clone().into();
        }
        shown
    }
}

fn page(field: &str, found: Vec<(u64, Value)>, query: &Query, most: usize) -> Answer {
    let most = if most == 0 { PAGE } else { most } as u64;
    if !query.get("filter").is_empty() {
        return Err(invalid("the filter is not understood"));
    }
    let number = |name: &str| match query.get(name) {
        "" => Ok(None),
        text => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| invalid("not a number")),
    };
    let size = number("pageSize")?.unwrap_or(u64::MAX).min(most).max(1);
    // A token is where the last page ended, so that what is new or gone moves nothing.
    let before = number("pageToken")?.unwrap_or(u64::MAX);
    let left: Vec<_> = found.into_iter().filter(|(at, _)| *at < before).collect();
    let more = left.len() > size as usize;
    let given: Vec<_> = left.into_iter().take(size as usize).collect();
    let last = given.last().map(|(at, _)| *at);
    let values: Vec<Value> = given.into_iter().map(|(_, value)| value).collect();
    let mut page = json!({});
    if !values.is_empty() {
        page[field] = values.into();
    }
    if let Some(last) = last.filter(|_| more) {
        page["nextPageToken"] = last.to_string().into();
    }
    Ok(page)
}

fn check_etag(etag: u64, body: &Value) -> Result<(), Refused> {
    match body["etag"].as_str() {
        None | Some("") => Ok(()),
        Some(given) if given == tag(etag) => Ok(()),
        Some(_) => Err(Refused::new(
            "FAILED_PRECONDITION",
            "the etag does not match the one of the resource",
        )),
    }
}

/// Quotes belong to it.
fn tag(etag: u64) -> String {
    format!("\"{etag:x}\"")
}

fn check_labels(labels: &Map<String, Value>) -> Result<(), Refused> {
    let legal = |text: &str| {
        let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        text.len() <= 63 && text.bytes().all(byte)
    };
    let fits = |(key, value): (&String, &Value)| {
        key.starts_with(|c: char| c.is_ascii_lowercase())
            && legal(key)
            && value.as_str().is_some_and(legal)
    };
    if labels.len() > 64 || !labels.iter().all(fits) {
        return Err(invalid("the labels do not match the expected format"));
    }
    Ok(())
}

fn check_annotations(annotations: &Map<String, Value>) -> Result<(), Refused> {
    let mut size = 0;
    for (key, value) in annotations {
        let value = value.as_str().ok_or_else(|| invalid("not a text"))?;
        size += key.len() + value.len();
        let ends = [key.chars().next(), key.chars().last()];
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let whole = ends
            .iter()
            .all(|end| end.is_some_and(|c| c.is_ascii_alphanumeric()));
        if key.len() > 63 || !whole || !key.chars().all(legal) {
            return Err(invalid(
                "an annotation's key does not match the expected format",
            ));
        }
    }
    if size >= 16 << 10 {
        return Err(invalid("the annotations are larger than 16 KiB"));
    }
    Ok(())
}

fn map(body: &Value, field: &str) -> Map<String, Value> {
    body[field].as_object().cloned().unwrap_or_default()
}

fn invalid(message: &str) -> Refused {
    Refused::new("INVALID_ARGUMENT", message)
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}
