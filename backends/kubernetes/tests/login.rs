//! Ways to log in, and kubeconfigs that are refused.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use strongroom_backend::{Backend, ErrorKind, SecretPath, Which};
use strongroom_backend_kubernetes::{Auth, Config, KubernetesBackend};
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Reply, Wire};

const CANARY: &str = "canary-of-a-login-9d2e";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(cluster: &str, user: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters:\n- name: k\n  cluster: {cluster}\n\
             contexts:\n- name: c\n  context: {{ cluster: k, user: u, namespace: other }}\n\
             - name: d\n  context: {{ cluster: none, user: u }}\n\
             users:\n- name: u\n  user: {user}\n"
        );
        std::fs::write(dir.path().join("kubeconfig"), text).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn open(
        &self,
        edit: impl FnOnce(&mut Config),
    ) -> strongroom_backend::Result<KubernetesBackend> {
        let auth = Auth::Kubeconfig {
            path: "kubeconfig".into(),
            context: None,
        };
        let mut config = Config::new(auth, "app");
        edit(&mut config);
        KubernetesBackend::open(&config, self.0.path()).await
    }

    /// Must not open, and say why without a credential.
    async fn refused(&self, words: &str, edit: impl FnOnce(&mut Config)) {
        let Err(error) = self.open(edit).await else {
            panic!("opened, although {words}");
        };
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(
            error.to_string().contains(words),
            "{words:?} is not in: {error}"
        );
        assert!(
            Canary::new(CANARY).found_in_error(&error).is_none(),
            "{error:?}"
        );
    }

    fn script(&self, text: &str) {
        let file = self.file("login.sh");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
}

fn server() -> Wire {
    Wire::http(|_| Reply::json(404, r#"{"kind":"Status","reason":"NotFound","code":404}"#))
}

async fn get(store: &KubernetesBackend) -> ErrorKind {
    let error = store
        .get(&SecretPath::parse("a").unwrap(), Which::Current)
        .await
        .unwrap_err();
    assert!(
        Canary::new(CANARY).found_in_error(&error).is_none(),
        "{error:?}"
    );
    error.kind()
}

fn token(server: &Wire) -> String {
    let request = server.requests().pop().unwrap();
    request
        .header("authorization")
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn kubeconfigs_that_are_refused() {
    let token = format!("{{ token: {CANARY} }}");
    let cases = [
        ("{ server: 'http://10.1.2.3' }", "plain 'http://'"),
        (
            "{ server: 'https://user:pass@10.1.2.3' }",
            "user name or password",
        ),
        (
            "{ server: 'https://k', insecure-skip-tls-verify: true }",
            "insecure-skip-tls-verify",
        ),
        (
            "{ server: 'https://k', proxy-url: 'http://127.0.0.1:1' }",
            "proxy-url",
        ),
        (
            "{ server: 'https://k', certificate-authority: none.crt }",
            "certificate-authority",
        ),
        (
            "{ server: 'https://k', certificate-authority-data: 'A!' }",
            "not base64",
        ),
        ("{}", "no `server`"),
    ];
    for (cluster, words) in cases {
        Folder::new(cluster, &token).refused(words, |_| ()).await;
    }
    let good = Folder::new("{ server: 'https://k' }", &token);
    let named = |name: &str| Auth::Kubeconfig {
        path: "kubeconfig".into(),
        context: Some(name.into()),
    };
    good.refused("no context 'x'", |config| config.auth = named("x"))
        .await;
    good.refused("no cluster 'none'", |config| config.auth = named("d"))
        .await;
    good.refused("which `namespace`", |config| config.namespace = None)
        .await;
    good.refused("`namespace`", |config| {
        config.namespace = Some("../x".into())
    })
    .await;
    good.refused("keep-versions", |config| config.keep_versions = 0)
        .await;
    good.refused("`prefix`", |config| config.prefix = "UP-".into())
        .await;
    std::fs::set_permissions(
        good.file("kubeconfig"),
        std::fs::Permissions::from_mode(0o666),
    )
    .unwrap();
    good.refused("may be written by others", |_| ()).await;
    std::fs::write(
        good.file("kubeconfig"),
        format!("users: [ {CANARY}\n token: ["),
    )
    .unwrap();
    std::fs::set_permissions(
        good.file("kubeconfig"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    good.refused("not the YAML", |_| ()).await;
    std::fs::remove_file(good.file("kubeconfig")).unwrap();
    good.refused("kubeconfig", |_| ()).await;
    // No pod is around these tests.
    let config = Config::new(Auth::InCluster, "app");
    let Err(error) = KubernetesBackend::open(&config, Path::new("/")).await else {
        panic!("a pod");
    };
    assert!(error.to_string().contains("this is no pod"), "{error}");
}

#[tokio::test]
async fn a_program_runs_only_if_the_settings_say_so_and_not_before_a_call() {
    let server = server();
    let cluster = format!("{{ server: '{}' }}", server.url());
    let user = "{ exec: { apiVersion: client.authentication.k8s.io/v1, command: ./login.sh, \
                interactiveMode: IfAvailable } }";
    let folder = Folder::new(&cluster, user);
    folder.script(
        "#!/bin/sh\ntouch \"$(dirname \"$0\")/ran\"\n\
         echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\
         \"status\":{\"token\":\"given-by-a-program\"}}'\n",
    );
    folder.refused("allow-exec", |_| ()).await;
    let store = folder
        .open(|config| config.allow_exec = true)
        .await
        .unwrap();
    assert!(!folder.file("ran").exists(), "run before the first call");
    assert_eq!(get(&store).await, ErrorKind::NotFound);
    assert!(folder.file("ran").exists());
    assert_eq!(token(&server), "Bearer given-by-a-program");
}

#[tokio::test]
async fn a_program_that_fails_is_told_without_what_it_wrote() {
    let server = server();
    let cluster = format!("{{ server: '{}' }}", server.url());
    let user = "{ exec: { apiVersion: client.authentication.k8s.io/v1, command: ./login.sh } }";
    for script in [
        format!("#!/bin/sh\necho {CANARY}; echo {CANARY} >&2; exit 1\n"),
        format!("#!/bin/sh\necho {CANARY}\n"),
        "#!/bin/sh\necho '{}'\n".to_owned(),
        String::new(),
    ] {
        let folder = Folder::new(&cluster, user);
        if !script.is_empty() {
            folder.script(&script);
        }
        let store = folder
            .open(|config| config.allow_exec = true)
            .await
            .unwrap();
        assert_eq!(get(&store).await, ErrorKind::Unauthenticated, "{script}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_program_that_hangs_is_given_up() {
    let folder = Folder::new(
        "{ server: 'https://127.0.0.1:1' }",
        "{ exec: { apiVersion: client.authentication.k8s.io/v1, command: ./login.sh } }",
    );
    folder.script("#!/bin/sh\nexec sleep 12\n");
    let store = folder
        .open(|config| config.allow_exec = true)
        .await
        .unwrap();
    let began = std::time::Instant::now();
    assert_eq!(get(&store).await, ErrorKind::Unavailable);
    assert!(began.elapsed().as_secs() < 11, "{:?}", began.elapsed());
}

#[tokio::test]
async fn older_ways_to_run_a_program_are_programs() {
    let user = "{ auth-provider: { name: gcp, config: { cmd-path: /bin/true } } }";
    let folder = Folder::new("{ server: 'https://127.0.0.1:1' }", user);
    folder.refused("allow-exec", |_| ()).await;
}

#[tokio::test]
async fn tokens_come_from_files_beside_the_kubeconfig() {
    let server = server();
    let cluster = format!("{{ server: '{}' }}", server.url());
    let folder = Folder::new(&cluster, "{ tokenFile: token }");
    let Err(error) = folder.open(|_| ()).await else {
        panic!("opened without its token");
    };
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("token file"), "{error}");
    std::fs::write(folder.file("token"), "from-a-file").unwrap();
    let store = folder.open(|_| ()).await.unwrap();
    assert_eq!(get(&store).await, ErrorKind::NotFound);
    assert_eq!(token(&server), "Bearer from-a-file");
    std::fs::write(folder.file("token"), format!("{CANARY}\u{7}\n\u{7}")).unwrap();
    let store = folder.open(|_| ()).await.unwrap();
    assert_eq!(get(&store).await, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn an_endpoint_takes_the_place_of_the_address() {
    let server = server();
    let folder = Folder::new("{ server: 'https://unreachable.invalid' }", "{ token: x }");
    let endpoint = strongroom_backend_remote::Endpoint::parse(&server.url()).unwrap();
    let store = folder
        .open(|config| config.endpoint = Some(endpoint))
        .await
        .unwrap();
    assert_eq!(get(&store).await, ErrorKind::NotFound);
    let request = server.requests().pop().unwrap();
    assert_eq!(request.target, "/api/v1/namespaces/app/secrets/a");
}
