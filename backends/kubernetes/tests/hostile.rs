//! References that mean something to somebody: none reaches another object, namespace or host.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use strongroom_backend::{
    Backend, ErrorKind, Metadata, PutOptions, SecretPath, SecretValue, Which,
};
use strongroom_backend_kubernetes::{Auth, Config, KubernetesBackend, Layout};
use strongroom_backend_testkit::hostile;
use strongroom_backend_testkit::wire::{Reply, Request, Wire};

const SECRETS: &str = "/api/v1/namespaces/app/secrets";
const MISSING: &str = r#"{"kind":"Status","status":"Failure","reason":"NotFound","code":404,
    "details":{"kind":"secrets"}}"#;
const CONFLICT: &str = r#"{"kind":"Status","status":"Failure","reason":"Conflict","code":409}"#;

/// Beginnings and ends that paths of the API, names that others give and our own encoding give a
/// meaning. Every one of them makes a path: these reach the store.
const STARTS: [&str; 16] = [
    "",
    "-",
    "_",
    "kube-",
    "key.",
    "app/",
    "namespaces/",
    "secrets/",
    "default/",
    "strongroom/",
    "namespaces/other/secrets/",
    "api/v1/namespaces/other/secrets/",
    "sh.helm.release.v1.",
    "a/b/c/d/e/f/g/h/i/j/k/l/m/n/",
    "KEY/",
    "Key-",
];
const ENDS: [&str; 15] = [
    "",
    "-",
    ".",
    "..",
    "...",
    "_",
    ".v1",
    "-5",
    ".json",
    "/status",
    "/log",
    "/value",
    "/key",
    "--mfrggzdfmztwq2lkmfrggzdfmz",
    "--MFRGGZDFMZTWQ2LKMFRGGZDFMZ",
];

/// Secrets of others, of which nobody asks for one.
const DECOYS: [&str; 6] = [
    "other",
    "stripe",
    "latest",
    "secrets",
    "kube-root-ca.crt",
    "sh.helm.release.v1.app.v1",
];
/// Secrets that are asked for together with each other one.
const BESIDE: [&str; 3] = ["beside-1", "beside-2", "beside-3"];

/// Those of the two hundred that are paths, and paths that come close to something.
fn paths() -> BTreeSet<SecretPath> {
    let hostile = hostile::paths();
    assert!(hostile::references().len() >= 200 && hostile.len() >= 30);
    let mut paths: BTreeSet<SecretPath> = hostile.into_iter().collect();
    for start in STARTS {
        for end in ENDS {
            paths.insert(path(&format!("{start}key{end}")));
        }
    }
    for (letter, length) in [("x", 253), ("X", 253), ("x", 254), ("x", 255)] {
        paths.insert(path(&letter.repeat(length)));
    }
    assert!(paths.len() >= 250, "{}", paths.len());
    for other in DECOYS.iter().chain(&BESIDE) {
        assert!(!paths.contains(&path(other)), "{other} is no other");
    }
    paths
}

fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

/// An API server with the Secrets of one namespace, and a store that leads to it.
struct Cluster {
    wire: Wire,
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
    store: KubernetesBackend,
    _dir: tempfile::TempDir,
}

impl Cluster {
    async fn new(edit: impl FnOnce(&mut Config)) -> Self {
        let objects: Arc<Mutex<BTreeMap<String, Value>>> = Arc::default();
        let shared = Arc::clone(&objects);
        let wire = Wire::http(move |request| serve(&mut shared.lock().unwrap(), request));
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "current-context: c\nclusters: [{{ name: k, cluster: {{ server: '{}' }} }}]\n\
             contexts: [{{ name: c, context: {{ cluster: k, user: u }} }}]\n\
             users: [{{ name: u, user: {{ token: of-the-app }} }}]\n",
            wire.url()
        );
        std::fs::write(dir.path().join("kubeconfig"), text).unwrap();
        let auth = Auth::Kubeconfig {
            path: "kubeconfig".into(),
            context: None,
        };
        let mut config = Config::new(auth, "app");
        edit(&mut config);
        let store = KubernetesBackend::open(&config, dir.path()).await.unwrap();
        Self {
            wire,
            objects,
            store,
            _dir: dir,
        }
    }

    /// Puts a Secret there as another tool would.
    fn holds(&self, name: &str, key: &str, value: &str) {
        let mut objects = self.objects.lock().unwrap();
        let meta = json!({ "name": name, "resourceVersion": "1" });
        let new = json!({ "metadata": meta, "type": "Opaque" });
        let object = objects.entry(name.to_owned()).or_insert(new);
        object["data"][key] = json!(STANDARD.encode(value));
    }

    fn object(&self, name: &str) -> Value {
        self.objects.lock().unwrap()[name].clone()
    }

    /// What the label of a Secret says, by which lists find it.
    fn tag(&self, name: &str) -> String {
        let object = self.object(name);
        let tag = object["metadata"]["labels"]["strongroom/name"].as_str();
        tag.unwrap().to_owned()
    }

    /// The requests since the last time. Each is ours, and goes where it should.
    fn requests(&self) -> Vec<Request> {
        let requests = self.wire.requests();
        self.wire.forget();
        let host = self.wire.address().to_string();
        for request in &requests {
            assert_eq!(request.header("host"), Some(host.as_str()));
            assert_eq!(request.header("authorization"), Some("Bearer of-the-app"));
            assert!(request.target.starts_with(SECRETS), "{}", request.target);
        }
        requests
    }
}

fn serve(objects: &mut BTreeMap<String, Value>, request: &Request) -> Reply {
    let Some(rest) = request.path().strip_prefix(SECRETS) else {
        return Reply::status(400);
    };
    match (request.method.as_str(), rest.strip_prefix('/')) {
        ("GET", Some(name)) => match objects.get(name) {
            Some(object) => Reply::json(200, &object.to_string()),
            None => Reply::json(404, MISSING),
        },
        ("GET", None) => {
            let items: Vec<_> = objects
                .values()
                .filter(|object| is_selected(object, &request.target))
                .collect();
            Reply::json(200, &json!({ "items": items }).to_string())
        }
        ("POST", None) => {
            let mut object = body(request);
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            if objects.contains_key(&name) {
                return Reply::json(409, CONFLICT);
            }
            object["metadata"]["resourceVersion"] = json!("1");
            objects.insert(name, object);
            Reply::json(201, "{}")
        }
        ("PATCH", Some(name)) => {
            let (patch, Some(object)) = (body(request), objects.get_mut(name)) else {
                return Reply::json(404, MISSING);
            };
            let version = object["metadata"]["resourceVersion"].clone();
            if patch["metadata"]["resourceVersion"] != version {
                return Reply::json(409, CONFLICT);
            }
            merge(object, &patch);
            let next = version.as_str().unwrap().parse::<u64>().unwrap() + 1;
            object["metadata"]["resourceVersion"] = json!(next.to_string());
            Reply::json(200, "{}")
        }
        _ => Reply::status(400),
    }
}

/// Whether a list of ours is about this object: of all that are ours, or of certain tags.
fn is_selected(object: &Value, target: &str) -> bool {
    let labels = &object["metadata"]["labels"];
    let tag = labels["strongroom/name"].as_str();
    let tagged = |tag: &str| !target.contains("strongroom%2Fname") || target.contains(tag);
    labels["app.kubernetes.io/managed-by"] == "strongroom" && tag.is_some_and(tagged)
}

/// A merge patch, after RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in changes {
        if change.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], change);
        }
    }
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// RFC 1123, as Kubernetes has it for the names of Secrets.
fn is_legal(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let word = |word: &str| {
        word.bytes().next().is_some_and(plain)
            && word.bytes().next_back().is_some_and(plain)
            && word.bytes().all(|b| plain(b) || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(word)
}

/// Whether a text ends as our encoded names do.
fn is_encoded(text: &str) -> bool {
    let end = text.rsplit_once("--").map(|(_, end)| end);
    end.is_some_and(|end| end.len() == 26 && end.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The end of the encoded name of a path.
fn hash(path: &SecretPath) -> String {
    let digest = Sha256::digest(format!("strongroom name 1\0{path}"));
    let mut hash = BASE32_NOPAD.encode(&digest).to_ascii_lowercase();
    hash.truncate(26);
    hash
}

#[tokio::test]
async fn none_reaches_anything_but_its_own() {
    reach(&paths(), "").await;
}

#[tokio::test]
async fn nor_does_it_leave_its_prefix() {
    let paths: BTreeSet<_> = hostile::paths().into_iter().collect();
    reach(&paths, "shop.").await;
}

/// Makes every call for each path, and looks at every request.
async fn reach(paths: &BTreeSet<SecretPath>, prefix: &str) {
    let cluster = Cluster::new(|config| config.prefix = prefix.to_owned()).await;
    for decoy in DECOYS {
        cluster.holds(decoy, "value", "decoy");
    }
    let decoys = DECOYS.map(|decoy| cluster.object(decoy));
    let beside = BESIDE.map(path);
    for other in &beside {
        put(&cluster.store, other, other.as_str()).await;
    }
    cluster.requests();
    let mut names: BTreeMap<String, SecretPath> = BTreeMap::new();
    for path in paths {
        exercise(&cluster.store, path, &beside).await;
        let name = looked_at(&cluster, path, prefix);
        if let Some(other) = names.insert(name.to_ascii_lowercase(), path.clone()) {
            panic!("{path} and {other} are both {name}");
        }
    }
    assert_eq!(names.len(), paths.len());
    // Each still has its own value, and the namespace has no other objects.
    let all: Vec<_> = paths.iter().cloned().collect();
    let values = cluster.store.get_many(&all).await;
    for (path, secret) in all.iter().zip(values) {
        assert_eq!(secret.unwrap().value.expose(), path.as_str().as_bytes());
    }
    let listed = cluster.store.list("", None, 1000).await.unwrap();
    let ours: BTreeSet<_> = all.into_iter().chain(beside).collect();
    assert_eq!(listed.paths, ours.into_iter().collect::<Vec<_>>());
    assert_eq!(DECOYS.map(|decoy| cluster.object(decoy)), decoys);
    let others = BESIDE.map(|other| format!("{prefix}{other}"));
    let others = others.into_iter().chain(DECOYS.map(str::to_owned));
    let there: BTreeSet<String> = cluster.objects.lock().unwrap().keys().cloned().collect();
    assert_eq!(there, names.into_keys().chain(others).collect());
}

async fn put(store: &KubernetesBackend, path: &SecretPath, value: &str) {
    let value = SecretValue::copy_of(value.as_bytes());
    let options = PutOptions {
        author: Some(format!("operator:{path}")),
        metadata: metadata(path),
        ..PutOptions::default()
    };
    store.put(path, &value, &options).await.unwrap();
}

async fn get(store: &KubernetesBackend, path: &SecretPath, which: Which) -> Vec<u8> {
    let secret = store.get(path, which).await.unwrap();
    secret.value.expose().to_vec()
}

fn metadata(path: &SecretPath) -> Metadata {
    Metadata {
        description: Some(path.to_string()),
        labels: Some(vec![("kubernetes.io/name".to_owned(), path.to_string())]),
        ..Metadata::default()
    }
}

/// Every call there is. In the end the value is the path itself.
async fn exercise(store: &KubernetesBackend, path: &SecretPath, beside: &[SecretPath; 3]) {
    let missing = store.get(path, Which::Current).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{path}: {missing}");
    let missing = store.delete(path, None).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{path}: {missing}");
    let own = path.as_str().as_bytes();
    put(store, path, "first").await;
    put(store, path, path.as_str()).await;
    assert_eq!(get(store, path, Which::Current).await, own);
    assert_eq!(get(store, path, Which::Version(1)).await, b"first");
    assert!(store.get(path, Which::Version(u64::MAX)).await.is_err());
    let alone = store.get_many(std::slice::from_ref(path)).await;
    assert_eq!(alone[0].as_ref().unwrap().value.expose(), own);
    // As many as are asked for in one list.
    let [one, two, three] = beside.clone();
    let many = store.get_many(&[one, path.clone(), two, three]).await;
    assert!(many.iter().all(Result::is_ok));
    assert_eq!(many[1].as_ref().unwrap().value.expose(), own);
    let description = store.describe(path).await.unwrap().description;
    assert_eq!(description.as_deref(), Some(path.as_str()));
    assert_eq!(store.versions(path).await.unwrap().len(), 2);
    let versioning = store.versioning().unwrap();
    versioning
        .set_metadata(path, &metadata(path))
        .await
        .unwrap();
    store.delete(path, None).await.unwrap();
    versioning.undelete(path, None).await.unwrap();
    versioning.destroy(path, 1).await.unwrap();
    assert_eq!(get(store, path, Which::Current).await, own);
}

/// The one name that all requests for `path` were about, where all else of them is as it should be.
fn looked_at(cluster: &Cluster, path: &SecretPath, prefix: &str) -> String {
    let requests = cluster.requests();
    let mut names = BTreeSet::new();
    let (mut made, mut changed, mut lists) = (0, 0, Vec::new());
    for request in &requests {
        let rest = request.target.strip_prefix(SECRETS).unwrap();
        let name = match request.method.as_str() {
            "POST" => {
                made += 1;
                assert_eq!(rest, "?fieldManager=strongroom", "{path}");
                draft(&body(request), path)
            }
            "PATCH" => {
                changed += 1;
                changes(&body(request));
                let named = rest.strip_suffix("?fieldManager=strongroom").unwrap();
                named.strip_prefix('/').unwrap().to_owned()
            }
            "GET" if rest.starts_with('?') => {
                assert!(request.body.is_empty());
                lists.push(selector(rest));
                continue;
            }
            "GET" => {
                assert!(request.body.is_empty());
                rest.strip_prefix('/').unwrap().to_owned()
            }
            method => panic!("{path} asks {method} {}", request.target),
        };
        names.insert(name);
    }
    assert_eq!((made, changed), (1, 5), "{path}");
    assert_eq!(names.len(), 1, "{path}: {names:?}");
    let name = names.pop_first().unwrap();
    assert!(is_legal(&name), "{path}: {name}");
    let own = name.strip_prefix(prefix).unwrap();
    if own == path.as_str() {
        assert!(!is_encoded(own), "{path}");
    } else {
        let (slug, end) = own.rsplit_once("--").unwrap();
        assert!(!slug.is_empty() && !slug.contains('.'), "{path}: {name}");
        assert_eq!(end, hash(path), "{path}");
    }
    let mut asked = BESIDE.map(|other| format!("{prefix}{other}")).to_vec();
    asked.push(name.clone());
    asked.sort();
    let tags: Vec<_> = asked.iter().map(|name| cluster.tag(name)).collect();
    let list = format!(
        "app.kubernetes.io/managed-by=strongroom,strongroom/name in ({})",
        tags.join(",")
    );
    assert_eq!(lists, [list], "{path}");
    name
}

/// The name that a new object is given, where all else in it is what ours have.
fn draft(body: &Value, path: &SecretPath) -> String {
    let all = ["apiVersion", "data", "kind", "metadata", "type"];
    assert_eq!(keys(body), BTreeSet::from(all));
    assert_eq!(body["apiVersion"], "v1");
    assert_eq!(body["kind"], "Secret");
    assert_eq!(body["type"], "Opaque");
    assert_eq!(keys(&body["data"]), BTreeSet::from(["value"]));
    let meta = &body["metadata"];
    // No namespace: it is that of the address.
    let all = ["annotations", "labels", "name"];
    assert_eq!(keys(meta), BTreeSet::from(all));
    let all = ["app.kubernetes.io/managed-by", "strongroom/name"];
    assert_eq!(keys(&meta["labels"]), BTreeSet::from(all));
    let all = ["strongroom/history", "strongroom/reference"];
    assert_eq!(keys(&meta["annotations"]), BTreeSet::from(all));
    let reference = &meta["annotations"]["strongroom/reference"];
    assert_eq!(reference, path.as_str());
    meta["name"].as_str().unwrap().to_owned()
}

/// A change is of values and of the history, and names no object.
fn changes(body: &Value) {
    assert_eq!(keys(body), BTreeSet::from(["data", "metadata"]));
    let meta = &body["metadata"];
    let all = ["annotations", "resourceVersion"];
    assert_eq!(keys(meta), BTreeSet::from(all));
    let all = ["strongroom/history"];
    assert_eq!(keys(&meta["annotations"]), BTreeSet::from(all));
    for key in keys(&body["data"]) {
        assert!(["value", "value.v1", "value.v2"].contains(&key), "{key}");
    }
}

/// What a list asks for, where it asks for nothing else.
fn selector(query: &str) -> String {
    let pairs = query.trim_start_matches('?').split('&');
    let pairs: Vec<_> = pairs.filter(|pair| !pair.is_empty()).collect();
    let [pair] = &pairs[..] else {
        panic!("{query}");
    };
    let text = pair.strip_prefix("labelSelector=").unwrap();
    let codes = [
        ("%2F", "/"),
        ("%3D", "="),
        ("%2C", ","),
        ("%28", "("),
        ("%29", ")"),
        ("+", " "),
    ];
    let decode = |text: String, (code, mark): (&str, &str)| text.replace(code, mark);
    codes.into_iter().fold(text.to_owned(), decode)
}

/// The Secret and the key that a path is where others wrote it.
fn place(path: &SecretPath) -> Option<(&str, &str)> {
    let (name, key) = path.as_str().split_once('/')?;
    // A path has no key that begins with a dot.
    (is_legal(name) && !key.contains('/') && !is_encoded(key)).then_some((name, key))
}

#[tokio::test]
async fn none_reaches_another_key_of_others() {
    let cluster = Cluster::new(|config| config.layout = Layout::Foreign).await;
    let paths = paths();
    for decoy in DECOYS {
        cluster.holds(decoy, "value", "decoy");
    }
    for path in &paths {
        if let Some((name, key)) = place(path) {
            cluster.holds(name, key, path.as_str());
            // Beside it, what it would be in another case.
            for other in [key.to_ascii_uppercase(), key.to_ascii_lowercase()] {
                if other != key && !paths.contains(format!("{name}/{other}").as_str()) {
                    cluster.holds(name, &other, "in another case");
                }
            }
        }
    }
    let store = &cluster.store;
    let (mut reached, mut refused) = (0, 0);
    for path in &paths {
        let value = SecretValue::copy_of(b"x");
        let put = store.put(path, &value, &PutOptions::default()).await;
        assert!(put.is_err(), "{path}");
        assert!(store.delete(path, None).await.is_err(), "{path}");
        assert!(store.versions(path).await.is_err(), "{path}");
        assert!(cluster.requests().is_empty(), "{path}");
        let secret = store.get(path, Which::Current).await;
        let many = store.get_many(std::slice::from_ref(path)).await;
        let description = store.describe(path).await;
        let requests = cluster.requests();
        let Some((name, _)) = place(path) else {
            refused += 1;
            for error in [
                secret.unwrap_err(),
                many.into_iter().next().unwrap().unwrap_err(),
                description.unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{path}: {error}");
            }
            assert!(requests.is_empty(), "{path}: {requests:?}");
            continue;
        };
        reached += 1;
        let own = path.as_str().as_bytes();
        assert_eq!(secret.unwrap().value.expose(), own);
        assert_eq!(many[0].as_ref().unwrap().value.expose(), own);
        assert!(description.is_ok(), "{path}");
        assert_eq!(requests.len(), 3, "{path}");
        for request in requests {
            assert_eq!(request.method, "GET", "{path}");
            assert_eq!(request.target, format!("{SECRETS}/{name}"));
            assert!(request.body.is_empty());
        }
    }
    assert!(reached >= 60 && refused >= 150, "{reached}, {refused}");
}
