//! What `doctor` says: each step that works, and the first that does not with its cause.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::path::Path;

use kube::api::DeleteParams;
use strongroom_backend::{Backend, ErrorKind, Which};
use strongroom_backend_kubernetes::{Auth, Config, KubernetesBackend};
use strongroom_backend_testkit::wire::Identity;

use common::{Admin, app_config, config, folder, fresh, open, path, plain, value};

/// A kubeconfig of our own, in a folder that is gone with the test.
struct Kubeconfig {
    dir: tempfile::TempDir,
}

impl Kubeconfig {
    /// For the test server unless `server` says another.
    fn new(server: Option<&str>, ca: Option<&str>, user: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let real = std::fs::read_to_string(folder().join("server")).unwrap();
        let ca_file = match ca {
            Some(pem) => {
                let file = dir.path().join("ca.crt");
                std::fs::write(&file, pem).unwrap();
                file
            }
            None => folder().join("ca.crt"),
        };
        let server = server.unwrap_or_else(|| real.trim());
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters:\n- name: k\n  cluster:\n    server: {server}\n    certificate-authority: {}\n\
             contexts:\n- name: c\n  context: {{ cluster: k, user: u }}\n\
             users:\n- name: u\n  user: {user}\n",
            ca_file.display()
        );
        std::fs::write(dir.path().join("kubeconfig"), text).unwrap();
        Self { dir }
    }

    fn config(&self, namespace: &str) -> Config {
        let auth = Auth::Kubeconfig {
            path: "kubeconfig".into(),
            context: None,
        };
        Config::new(auth, namespace)
    }

    async fn open(&self, namespace: &str) -> KubernetesBackend {
        KubernetesBackend::open(&self.config(namespace), self.dir.path())
            .await
            .unwrap()
    }
}

async fn fails(store: &KubernetesBackend, kind: ErrorKind, words: &[&str]) {
    let error = store.check().await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(
            error.to_string().contains(word),
            "{word:?} is not in: {error}"
        );
    }
}

#[tokio::test]
async fn each_step_has_a_line() {
    let admin = Admin::new("doctor").await;
    let lines = open(&config(&admin.namespace)).await.check().await.unwrap();
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    for words in [
        "over TLS",
        "authenticated as admin",
        "clock",
        "there",
        "list: works",
        "secrets: may get, list, watch, create, patch",
    ] {
        assert!(has(words), "{words:?} is not in {lines:#?}");
    }
}

#[tokio::test]
async fn a_namespace_to_be_made_is_no_failure_and_a_wrong_one_is() {
    let namespace = fresh("nowhere");
    let lines = open(&config(&namespace)).await.check().await.unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("the first write makes it"))
    );
    let mut settings = config(&namespace);
    settings.create_namespace = false;
    let store = open(&settings).await;
    fails(
        &store,
        ErrorKind::Config,
        &["there is no namespace", "create-namespace"],
    )
    .await;
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let admin = Admin::new("permission").await;
    let store = open(&app_config(&admin.namespace)).await;
    fails(
        &store,
        ErrorKind::PermissionDenied,
        &["listing Secrets", "grant the verb"],
    )
    .await;
    admin.grant(&["get"], &["db"]).await;
    let lines = store.check().await.unwrap();
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    assert!(has("authenticated as app"), "{lines:#?}");
    assert!(has("list: not allowed"), "{lines:#?}");
    assert!(
        has("for certain names only: get; may not list, watch, create, patch"),
        "{lines:#?}"
    );
    admin.grant(&["get", "list", "watch"], &[]).await;
    let lines = store.check().await.unwrap();
    assert!(
        lines
            .iter()
            .any(|l| l.contains("may get, list, watch; may not create, patch"))
    );
}

#[tokio::test]
async fn credentials_that_are_not_accepted_are_told() {
    for user in [
        "{ token: wrong-token-canary }",
        "{ username: admin, password: canary }",
        "{}",
    ] {
        let kubeconfig = Kubeconfig::new(None, None, user);
        let store = kubeconfig.open("default").await;
        fails(&store, ErrorKind::Unauthenticated, &["renew the token"]).await;
        for error in [
            store.get(&path("a"), Which::Current).await.unwrap_err(),
            store
                .put(&path("a"), &value("x"), &plain())
                .await
                .unwrap_err(),
            store.list("", None, 1).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
            assert!(!format!("{error:?}").contains("canary"));
        }
    }
}

/// A service account's token, as pods have it, from a file; and after the account is gone.
#[tokio::test]
async fn a_token_that_is_not_valid_any_more_is_told() {
    let admin = Admin::new("token").await;
    admin.account("robot").await;
    let token = admin.token("robot").await;
    let kubeconfig = Kubeconfig::new(None, None, "{ tokenFile: token }");
    std::fs::write(kubeconfig.dir.path().join("token"), token).unwrap();
    let store = kubeconfig.open(&admin.namespace).await;
    let name = format!("system:serviceaccount:{}:robot", admin.namespace);
    // Known, without rights.
    fails(&store, ErrorKind::PermissionDenied, &["grant the verb"]).await;
    admin
        .accounts()
        .delete("robot", &DeleteParams::default())
        .await
        .unwrap();
    // The server remembers a token for ten seconds.
    for _ in 0..60 {
        let error = store.check().await.unwrap_err();
        if error.kind() == ErrorKind::Unauthenticated {
            assert!(error.to_string().contains("renew the token"), "{error}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    panic!("the token of {name}, which is gone, is accepted");
}

#[tokio::test]
async fn the_way_there_is_told_apart() {
    let token = "{ token: admin-of-the-test-server }";
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = unused.local_addr().unwrap().port();
    drop(unused);
    let nothing = Kubeconfig::new(Some(&format!("https://127.0.0.1:{port}")), None, token);
    let store = nothing.open("default").await;
    let words = ["cannot reach https://127.0.0.1", "nothing listens"];
    fails(&store, ErrorKind::Unavailable, &words).await;

    let nowhere = Kubeconfig::new(Some("https://cluster.invalid"), None, token);
    let store = nowhere.open("default").await;
    fails(&store, ErrorKind::Unavailable, &["cannot be resolved"]).await;

    let stranger = Identity::new("localhost");
    let wrong_ca = Kubeconfig::new(None, Some(stranger.authority()), token);
    let store = wrong_ca.open("default").await;
    fails(&store, ErrorKind::Failed, &["certificate is not trusted"]).await;

    let real = std::fs::read_to_string(folder().join("server")).unwrap();
    let port = real.trim().rsplit(':').next().unwrap().to_owned();
    let http = Kubeconfig::new(Some(&format!("http://127.0.0.1:{port}")), None, token);
    let store = http.open("default").await;
    assert_ne!(store.check().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn opening_makes_no_call() {
    // Nothing listens there, and nobody notices.
    let kubeconfig = Kubeconfig::new(Some("https://127.0.0.1:1"), None, "{ token: x }");
    let config = kubeconfig.config("app");
    assert!(
        KubernetesBackend::open(&config, kubeconfig.dir.path())
            .await
            .is_ok()
    );
    assert!(
        KubernetesBackend::open(&config, Path::new("/nowhere"))
            .await
            .is_err()
    );
}
