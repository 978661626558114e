//! The real service's recordings, answered to our client.
//!
//! Each file is what Microsoft's client of 2019 and the service said to each other in one test. A
//! server answers as the service did, in that order, and fails where our client asks for anything
//! else; each answer must mean to us what it says.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use azure_core::http::{Body, RequestContent};
use futures::TryStreamExt;
use serde::Deserialize;
use serde_json::Value;
use strongroom_backend::{Backend, ErrorKind, SecretPath, Which};
use strongroom_backend_remote::Endpoint;
use strongroom_backend_testkit::wire::{Identity, Reply, Request, Wire};

use crate::AzureBackend;
use crate::backend::Inner;
use crate::config::{Auth, ClientSecret, Config};
use crate::error::Fault;
use crate::tags::Tags;
use crate::vault::{New, NewAttributes, Vault, Version};

#[derive(Deserialize)]
struct Recording {
    interactions: Vec<Exchange>,
}

#[derive(Clone, Deserialize)]
struct Exchange {
    request: Asked,
    response: Answered,
}

#[derive(Clone, Deserialize)]
struct Asked {
    method: String,
    uri: String,
    body: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Answered {
    status: Status,
    body: Text,
    headers: BTreeMap<String, OneOrMany>,
}

#[derive(Clone, Deserialize)]
struct Status {
    code: u16,
}

#[derive(Clone, Deserialize)]
struct Text {
    string: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Exchange {
    /// The path, whose final '/' does not count.
    fn path(&self) -> &str {
        path_of(&self.request.uri)
    }

    fn segments(&self) -> Vec<&str> {
        self.path().split('/').skip(1).collect()
    }

    fn is(&self, request: &Request) -> bool {
        self.request.method == request.method
            && self.path() == request.path().trim_end_matches('/')
            // A page is named by its token alone.
            && skip_token(&self.request.uri) == skip_token(&request.target)
            && self.asked()["value"] == sent(request)["value"]
    }

    fn asked(&self) -> Value {
        let body = self.request.body.as_deref().unwrap_or("null");
        serde_json::from_str(body).unwrap()
    }

    fn answer(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }

    fn text(&self) -> &str {
        self.response.body.string.as_deref().unwrap_or_default()
    }

    fn reply(&self) -> Reply {
        let mut reply = Reply::json(self.response.status.code, self.text());
        for name in ["www-authenticate", "date"] {
            let value = match self.response.headers.get(name) {
                Some(OneOrMany::One(value)) => value,
                Some(OneOrMany::Many(values)) => &values[0],
                None => continue,
            };
            reply = reply.with_header(name, value);
        }
        reply
    }
}

fn sent(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

fn path_of(uri: &str) -> &str {
    let path = uri.split_once(".net").map_or(uri, |(_, path)| path);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    path.trim_end_matches('/')
}

fn skip_token(uri: &str) -> Option<String> {
    let (_, query) = uri.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let (_, token) = pairs.find(|(name, _)| name == "$skiptoken")?;
    Some(token.into_owned())
}

fn recordings() -> PathBuf {
    let folder = std::env::var_os("STRONGROOM_TEST_AZURE_RECORDINGS").expect(
        "STRONGROOM_TEST_AZURE_RECORDINGS is not set: start it with `cargo xtask servers up azure`",
    );
    folder.into()
}

fn read(path: &Path) -> Vec<Exchange> {
    let text = std::fs::read_to_string(path).unwrap();
    let recording: Recording = serde_saphyr::from_str(&text).unwrap();
    assert!(!recording.interactions.is_empty());
    recording.interactions
}

/// A server that answers as was recorded, and a folder with its authority.
struct Replayed {
    wire: Wire,
    folder: tempfile::TempDir,
    vault: String,
    /// What was asked that was not recorded.
    strays: Arc<Mutex<Vec<String>>>,
}

impl Replayed {
    /// Answers with what `pick` finds.
    fn new(
        exchanges: &[Exchange],
        pick: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let identity = Identity::new("localhost");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), identity.authority()).unwrap();
        let strays: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&strays);
        let wire = Wire::https(&identity, move |request| {
            if request.path().ends_with("/oauth2/v2.0/token") {
                return Reply::json(200, r#"{"access_token":"t","expires_in":3599}"#);
            }
            pick(request).unwrap_or_else(|| {
                let asked = format!("{} {}", request.method, request.target);
                seen.lock().unwrap().push(asked);
                Reply::status(500)
            })
        });
        let uri = &exchanges[0].request.uri;
        let host = uri.strip_prefix("https://").unwrap();
        Self {
            wire,
            folder,
            vault: host.split('.').next().unwrap().to_owned(),
            strays,
        }
    }

    /// In the order recorded, each once.
    fn in_order(exchanges: &[Exchange]) -> Self {
        let left: Mutex<VecDeque<_>> = Mutex::new(exchanges.to_vec().into());
        Self::new(exchanges, move |request| {
            let mut left = left.lock().unwrap();
            let next = left.front().filter(|next| next.is(request))?;
            let reply = next.reply();
            left.pop_front();
            Some(reply)
        })
    }

    /// In any order; what was recorded several times is answered as it was at the last.
    fn in_any_order(exchanges: &[Exchange]) -> Self {
        let known = exchanges.to_vec();
        Self::new(exchanges, move |request| {
            let authorized = request.header("authorization").is_some();
            let mut found = known
                .iter()
                .filter(|known| (known.response.status.code != 401) == authorized)
                .filter(|known| !authorized || known.is(request));
            found.next_back().map(Exchange::reply)
        })
    }

    fn config(&self) -> Config {
        let variable = if cfg!(windows) { "Path" } else { "PATH" };
        let auth = Auth::ClientSecret {
            tenant_id: "tenant".into(),
            client_id: "client".into(),
            secret: ClientSecret::Env(variable.into()),
        };
        let endpoint = Endpoint::parse(&self.wire.url()).unwrap();
        let mut config = Config::new(self.vault.clone(), auth);
        config.endpoint = Some(endpoint.clone());
        config.authority_host = Some(endpoint);
        config.ca_file = Some("ca.pem".into());
        config
    }

    fn inner(&self) -> Inner {
        Inner::new(&self.config(), self.folder.path()).unwrap()
    }

    fn strays(&self) -> Vec<String> {
        self.strays.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn every_answer_of_every_recording_is_understood() {
    let mut files: Vec<_> = std::fs::read_dir(recordings())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 26);
    let mut done = BTreeMap::new();
    for file in files {
        let exchanges = read(&file);
        let replayed = Replayed::in_order(&exchanges);
        let vault = replayed.inner().vault;
        let mut at = 0;
        while at < exchanges.len() {
            // The client answers a challenge by itself.
            at += usize::from(exchanges[at].response.status.code == 401);
            let (what, taken) = replay(&vault, &exchanges[at..]).await;
            let strays = replayed.strays();
            assert!(strays.is_empty(), "{}: {strays:?}", file.display());
            *done.entry(what).or_insert(0) += 1;
            at += taken;
        }
    }
    let expected = [
        "backup",
        "delete",
        "deleted",
        "get",
        "list",
        "list deleted",
        "purge",
        "recover",
        "restore",
        "set",
        "update",
        "versions",
    ];
    assert_eq!(done.keys().copied().collect::<Vec<_>>(), expected);
    assert!(done["set"] > 90 && done["deleted"] > 150, "{done:?}");
}

/// Asks for what was asked for next; returns what that was, and how many exchanges it took.
async fn replay(vault: &Vault, left: &[Exchange]) -> (&'static str, usize) {
    let next = &left[0];
    let (asked, answer) = (next.asked(), next.answer());
    let missing = next.response.status.code == 404;
    match (&*next.request.method, &*next.segments()) {
        ("PUT", ["secrets", name]) => {
            let exp = asked["attributes"]["exp"].as_u64();
            let tags = tags(&asked);
            let new = New {
                value: asked["value"].as_str().unwrap(),
                content_type: asked["contentType"].as_str(),
                tags: tags.as_map(),
                attributes: NewAttributes { enabled: true, exp },
            };
            same(&vault.set(name, &new).await.unwrap(), &answer);
            ("set", 1)
        }
        ("GET", ["secrets", name, "versions"]) => {
            let versions = vault.versions(name).await.unwrap();
            let pages = paged(left);
            let recorded: Vec<_> = pages.iter().flat_map(items).collect();
            assert_eq!(versions.len(), recorded.len());
            for (version, recorded) in versions.iter().zip(&recorded) {
                same(version, recorded);
            }
            ("versions", pages.len())
        }
        ("GET", ["secrets", name, id @ ..]) => {
            match vault.get(name, id.first().copied()).await {
                Ok(bundle) => {
                    assert!(!missing);
                    assert_eq!(*bundle.text, answer["value"].as_str().unwrap());
                    same(&bundle.version, &answer);
                }
                Err(fault) => assert!(missing && matches!(fault, Fault::NotFound), "{fault}"),
            }
            ("get", 1)
        }
        ("GET", ["secrets"]) => {
            let names = vault.names().await.unwrap();
            let pages = paged(left);
            let recorded: Vec<_> = pages.iter().flat_map(items).collect();
            assert_eq!(names.len(), recorded.len());
            for (listed, recorded) in names.iter().zip(&recorded) {
                let id = recorded["id"].as_str().unwrap();
                assert!(id.ends_with(&format!("/secrets/{}", listed.name)), "{id}");
                assert_eq!(listed.enabled, recorded["attributes"]["enabled"]);
            }
            ("list", pages.len())
        }
        ("PATCH", ["secrets", name, id @ ..]) => {
            let enabled = asked["attributes"]["enabled"].as_bool();
            let id = id.first().copied().unwrap_or_default();
            let update = vault.update(name, id, enabled, &tags(&asked)).await;
            same(&update.unwrap(), &answer);
            ("update", 1)
        }
        ("DELETE", ["secrets", name]) => {
            vault.delete(name).await.unwrap();
            ("delete", 1)
        }
        ("GET", ["deletedsecrets", name]) => {
            match vault.deleted(name).await {
                Ok(deleted) => {
                    assert!(!missing);
                    same(&deleted.newest, &answer);
                    assert_eq!(deleted.at, answer["deletedDate"].as_u64());
                }
                Err(fault) => assert!(missing && matches!(fault, Fault::NotFound), "{fault}"),
            }
            ("deleted", 1)
        }
        ("POST", ["deletedsecrets", name, "recover"]) => {
            vault.recover(name).await.unwrap();
            ("recover", 1)
        }
        ("DELETE", ["deletedsecrets", name]) => {
            vault.purge(name).await.unwrap();
            ("purge", 1)
        }
        other => replay_unused(vault, left, other).await,
    }
}

/// What the product does not call, by Microsoft's client over our transport.
async fn replay_unused(
    vault: &Vault,
    left: &[Exchange],
    asked: (&str, &[&str]),
) -> (&'static str, usize) {
    match asked {
        ("GET", ["deletedsecrets"]) => {
            let pager = vault.client().list_deleted_secret_properties(None).unwrap();
            let deleted: Vec<_> = pager.try_collect().await.unwrap();
            let pages = paged(left);
            assert_eq!(deleted.len(), pages.iter().flat_map(items).count());
            ("list deleted", pages.len())
        }
        ("POST", ["secrets", "restore"]) => {
            let body = left[0].request.body.clone().unwrap().into_bytes();
            let body: RequestContent<_> = Body::from(body).into();
            vault.client().restore_secret(body, None).await.unwrap();
            ("restore", 1)
        }
        ("POST", ["secrets", name, "backup"]) => {
            vault.client().backup_secret(name, None).await.unwrap();
            ("backup", 1)
        }
        (method, segments) => panic!("{method} {segments:?} was recorded and is not replayed"),
    }
}

fn tags(asked: &Value) -> Tags {
    let tags = asked["tags"].as_object().into_iter().flatten();
    Tags::from_service(tags.map(|(name, v)| (name.clone(), v.as_str().unwrap().to_owned())))
}

/// The exchanges that were the pages of one listing.
fn paged(left: &[Exchange]) -> Vec<Value> {
    let mut pages = Vec::new();
    for exchange in left {
        let page = exchange.answer();
        let more = page["nextLink"].is_string();
        pages.push(page);
        if !more {
            break;
        }
    }
    pages
}

fn items(page: &Value) -> Vec<Value> {
    page["value"].as_array().unwrap().clone()
}

fn same(version: &Version, recorded: &Value) {
    let attributes = &recorded["attributes"];
    let id = recorded["id"].as_str().unwrap();
    assert!(id.ends_with(&version.id), "{id}");
    assert_eq!(version.enabled, attributes["enabled"]);
    assert_eq!(version.number, attributes["created"]);
    assert_eq!(version.updated, attributes["updated"]);
    let level = attributes["recoveryLevel"].as_str().unwrap();
    assert_eq!(version.recoverable, level != "Purgeable");
    assert_eq!(version.purgeable, level != "Recoverable");
    assert_eq!(version.expires, attributes["exp"].as_u64());
    assert_eq!(
        version.content_type.as_deref(),
        recorded["contentType"].as_str()
    );
    assert_eq!(version.tags, tags(recorded));
}

/// The recorded file of this test, and a store over it with `names` of its own.
async fn store(test: &str, names: &[(&str, &str)]) -> (Replayed, AzureBackend) {
    let exchanges = read(&recordings().join(format!("{test}.yaml")));
    let replayed = Replayed::in_any_order(&exchanges);
    let mut config = replayed.config();
    let owned = |(path, name): &(&str, &str)| ((*path).to_owned(), (*name).to_owned());
    config.names = names.iter().map(owned).collect();
    let store = AzureBackend::open(&config, replayed.folder.path()).await;
    (replayed, store.unwrap())
}

fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

#[tokio::test]
async fn a_store_lists_and_reads_what_the_service_had() {
    let (replayed, store) = store("test_secrets_client.test_secret_list", &[]).await;
    let page = store.list("", None, 4).await.unwrap();
    let names: Vec<_> = page.paths.iter().map(SecretPath::as_str).collect();
    assert_eq!(names, ["sec0", "sec1", "sec2", "sec3"]);
    assert!(page.more);
    assert!(replayed.strays().is_empty());

    let test = "test_samples_secrets.test_example_secret_crud_operations";
    let (_replayed, store) = self::store(test, &[]).await;
    let secret = store
        .get(&path("secret-name"), Which::Current)
        .await
        .unwrap();
    assert_eq!(secret.value.expose(), b"secret-value");
    assert_eq!(secret.version, 1_571_336_890);
    assert_eq!(secret.expires, Some(2_527_401_600_000));
}

/// Seven versions of one second, in four pages whose links name the vault's own host.
#[tokio::test]
async fn real_versions_of_one_second_are_told_and_not_guessed() {
    let names = [("ver", "secVer33a90fd8")];
    let (replayed, store) = store("test_secrets_client.test_list_versions", &names).await;
    let versions = store.versions(&path("ver")).await.unwrap();
    assert_eq!(versions.len(), 7);
    let second = versions[0].version;
    assert!(versions.iter().all(|v| v.version == second));
    let refused = store.get(&path("ver"), Which::Version(second)).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("one second"), "{error}");
    let other = store.get(&path("ver"), Which::Version(second - 1)).await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(replayed.strays().is_empty());
}

#[tokio::test]
async fn what_the_service_does_not_say_is_not_taken_for_not_found() {
    let (replayed, store) = store("test_samples_secrets.test_example_secrets_recover", &[]).await;
    let missing = store.get(&path("none"), Which::Current).await;
    // Not recorded, so the server failed.
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(replayed.strays().len(), 1);
    let secret = store
        .get(&path("secret-name"), Which::Current)
        .await
        .unwrap();
    assert_eq!(secret.value.expose(), b"secret-value");
}
