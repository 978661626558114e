//! News of what others change: how soon, and after the connection was lost.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use strongroom_backend::{Backend, Notice, Notices, Which};
use strongroom_backend_kubernetes::{Config, KubernetesBackend, Layout};

use common::{Admin, Proxy, app_config, config, fresh, open, path, plain, value};

/// Well under a second, on a machine that does other things as well.
const SOON: Duration = Duration::from_millis(800);

/// What a store gave notice of.
struct Heard {
    store: KubernetesBackend,
    notices: Arc<Mutex<Vec<String>>>,
    listening: Option<Notices>,
}

impl Heard {
    async fn new(config: &Config) -> Self {
        let store = open(config).await;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notices);
        let listening = store.notices(Arc::new(move |notice| {
            kept.lock().unwrap().push(match notice {
                Notice::Changed(path) => path.to_string(),
                Notice::Any => "*".to_owned(),
            });
        }));
        Self {
            store,
            notices,
            listening,
        }
    }

    fn all(&self) -> Vec<String> {
        self.notices.lock().unwrap().clone()
    }

    fn forget(&self) {
        self.notices.lock().unwrap().clear();
    }

    /// How long until there is a notice of `what`.
    async fn hears(&self, what: &str, within: Duration) -> Duration {
        let began = Instant::now();
        while !self.all().iter().any(|notice| notice == what) {
            let waited = began.elapsed();
            assert!(
                waited < within,
                "no notice of {what} in {waited:?}: {:?}",
                self.all()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        began.elapsed()
    }

    /// A watch begins with the news that anything may have changed.
    async fn begun(self) -> Self {
        self.hears("*", Duration::from_secs(10)).await;
        // The list has been answered, the watch may still be on its way.
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.forget();
        self
    }
}

#[tokio::test]
async fn a_change_of_another_host_is_heard_at_once() {
    let config = config(&fresh("watch"));
    let other = open(&config).await;
    other
        .put(&path("stripe/api-key"), &value("1"), &plain())
        .await
        .unwrap();
    other.put(&path("db"), &value("1"), &plain()).await.unwrap();
    let heard = Heard::new(&config).await.begun().await;
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        let text = value(&round.to_string());
        other
            .put(&path("stripe/api-key"), &text, &plain())
            .await
            .unwrap();
        slowest = slowest.max(heard.hears("stripe/api-key", SOON).await);
        heard.forget();
    }
    other
        .put(&path("new"), &value("1"), &plain())
        .await
        .unwrap();
    heard.hears("new", SOON).await;
    other.delete(&path("db"), None).await.unwrap();
    heard.hears("db", SOON).await;
    assert!(!heard.all().contains(&"*".to_owned()), "{:?}", heard.all());
    println!("slowest notice of ten: {slowest:?}");
}

#[tokio::test]
async fn what_people_do_by_hand_is_heard() {
    let admin = Admin::new("hand").await;
    let heard = Heard::new(&config(&admin.namespace)).await.begun().await;
    for name in ["edited", "deleted", "unlabelled"] {
        heard
            .store
            .put(&path(name), &value("1"), &plain())
            .await
            .unwrap();
        heard.hears(name, SOON).await;
    }
    heard.forget();
    let secrets = admin.secrets();
    let edit = |patch| Patch::Merge(patch);
    let params = PatchParams::default();
    secrets
        .patch(
            "edited",
            &params,
            &edit(json!({ "data": { "value": "eA==" } })),
        )
        .await
        .unwrap();
    heard.hears("edited", SOON).await;
    secrets
        .delete("deleted", &DeleteParams::default())
        .await
        .unwrap();
    heard.hears("deleted", SOON).await;
    let labels = json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": null } } });
    secrets
        .patch("unlabelled", &params, &edit(labels))
        .await
        .unwrap();
    heard.hears("unlabelled", SOON).await;
    // An object that is not ours is no news.
    heard.forget();
    admin.secret("theirs", &[("k", b"v")]).await;
    tokio::time::sleep(SOON).await;
    assert!(heard.all().is_empty(), "{:?}", heard.all());
}

#[tokio::test]
async fn what_changed_while_the_connection_was_lost_is_heard_after() {
    let config = config(&fresh("lost"));
    let other = open(&config).await;
    for name in ["a", "b"] {
        other.put(&path(name), &value("1"), &plain()).await.unwrap();
    }
    let proxy = Proxy::new().await;
    let heard = Heard::new(&proxy.before(config)).await.begun().await;
    other.put(&path("a"), &value("2"), &plain()).await.unwrap();
    heard.hears("a", SOON).await;
    for _ in 0..2 {
        heard.forget();
        proxy.close();
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.put(&path("b"), &value("3"), &plain()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(heard.all().is_empty(), "{:?}", heard.all());
        proxy.open();
        heard.hears("b", Duration::from_secs(3)).await;
        // It went on from where it was: nothing else is in doubt.
        assert!(
            heard.all().iter().all(|notice| notice == "b"),
            "{:?}",
            heard.all()
        );
        heard.forget();
        other.put(&path("a"), &value("4"), &plain()).await.unwrap();
        heard.hears("a", SOON).await;
    }
}

#[tokio::test]
async fn foreign_secrets_are_heard_by_what_was_read_of_them() {
    let admin = Admin::new("foreign").await;
    admin
        .secret("db", &[("user", b"u"), ("password", b"p"), ("host", b"h")])
        .await;
    admin.secret("tls", &[("key", b"k")]).await;
    let mut settings = config(&admin.namespace);
    settings.layout = Layout::Foreign;
    let heard = Heard::new(&settings).await.begun().await;
    heard
        .store
        .get(&path("db/user"), Which::Current)
        .await
        .unwrap();
    let many = ["db/password", "db/none", "tls/key"].map(path);
    heard.store.get_many(&many).await;
    let params = PatchParams::default();
    let patch = json!({ "data": { "user": "eA==" } });
    admin
        .secrets()
        .patch("db", &params, &Patch::Merge(&patch))
        .await
        .unwrap();
    heard.hears("db/user", SOON).await;
    let mut names = heard.all();
    names.sort();
    assert_eq!(names, ["db/none", "db/password", "db/user"]);
    admin
        .secrets()
        .delete("tls", &DeleteParams::default())
        .await
        .unwrap();
    heard.hears("tls/key", SOON).await;
}

#[tokio::test]
async fn without_the_right_or_the_wish_there_is_no_news() {
    let admin = Admin::new("unheard").await;
    let writer = open(&config(&admin.namespace)).await;
    admin.grant(&["get"], &[]).await;
    let heard = Heard::new(&app_config(&admin.namespace)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    writer.put(&path("a"), &value("1"), &plain()).await.unwrap();
    tokio::time::sleep(SOON).await;
    assert!(heard.all().is_empty());
    // Reading goes on.
    heard.store.get(&path("a"), Which::Current).await.unwrap();
    let mut settings = config(&admin.namespace);
    settings.watch = false;
    assert!(Heard::new(&settings).await.listening.is_none());
}

#[tokio::test]
async fn a_watch_ends_with_its_listener() {
    let config = config(&fresh("ends"));
    let other = open(&config).await;
    other.put(&path("a"), &value("1"), &plain()).await.unwrap();
    let mut heard = Heard::new(&config).await.begun().await;
    drop(heard.listening.take());
    tokio::time::sleep(Duration::from_millis(50)).await;
    other.put(&path("a"), &value("2"), &plain()).await.unwrap();
    tokio::time::sleep(SOON).await;
    assert!(heard.all().is_empty());
}
