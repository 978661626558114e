//! Where a login is found that names no file: `$KUBECONFIG`, the home, and the pod around us.
//!
//! Environment variables and a folder of the system say it. Setting variables in a running process
//! would be unsound, and the folder is not ours: the program starts itself again, with variables
//! and, for a pod, mounts of its own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use libtest_mimic::{Arguments, Failed, Trial};
use strongroom_backend_kubernetes::{Auth, Config, KubernetesBackend, Layout};
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};

use common::{Admin, folder, read};

/// In the process that was started again: how to log in.
const AUTH: &str = "PLACES_TEST_AUTH";
/// And the namespace in the settings; none where there is none.
const NAMESPACE: &str = "PLACES_TEST_NAMESPACE";

/// What every process asks for.
const WANTED: &str = "db/password";
/// A Secret of one key, as the server of a kubeconfig has it.
const HELD: &str = r#"{"metadata":{"name":"db"},"data":{"password":"eA=="}}"#;

/// Mounts the folder `$1` where a pod has its service account.
const MOUNT: &str = "mount -t tmpfs none /var/run && \
                     mkdir -p /var/run/secrets/kubernetes.io/serviceaccount && \
                     mount --bind \"$1\" /var/run/secrets/kubernetes.io/serviceaccount";
/// How a process gets mounts of its own: as anybody, or as root where others may not.
const WAYS: [&[&str]; 2] = [&["--user", "--map-root-user"], &[]];

/// The client library reads a token's file again within a minute; the rest is for a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    if let Ok(auth) = std::env::var(AUTH) {
        return answer(&auth);
    }
    let mut trials = vec![
        Trial::test("the_file_that_the_variable_names", named_file),
        Trial::test("several_files_are_one_and_the_first_wins", several_files),
        Trial::test("the_file_in_the_home", left_file),
        Trial::test("found_files_are_judged_like_named_ones", judged_files),
        Trial::test("a_named_file_that_is_not_there_is_an_error", missing_file),
        Trial::test("nothing_anywhere_is_said", nothing),
    ];
    // Ignored, and counted as such, where the system grants no mounts.
    let way = way();
    let ignored = way.is_none();
    let way = way.unwrap_or_default();
    let pods = [
        Trial::test("a_pod_has_its_own_rights", move || own_rights(way)),
        Trial::test("a_pod_is_looked_for_last", move || last(way)),
        Trial::test("a_pods_token_is_read_again", move || read_again(way)),
        Trial::test("what_a_pod_lacks_is_said", move || incomplete(way)),
    ];
    trials.extend(pods.map(|trial| trial.with_ignored_flag(ignored)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Opens a store and reads what is asked for; says what came of it, each in a line.
fn answer(auth: &str) -> ExitCode {
    run(async {
        let auth = match auth {
            "default" => Auth::Default,
            _ => Auth::InCluster,
        };
        let mut config = Config::new(auth, "");
        config.namespace = std::env::var(NAMESPACE).ok();
        // Reading takes one request and one right.
        config.layout = Layout::Foreign;
        match KubernetesBackend::open(&config, Path::new("/")).await {
            Ok(store) => {
                for line in std::io::stdin().lines() {
                    match read(&store, &line.unwrap()).await {
                        Ok(value) => println!("value {value}"),
                        Err(error) => println!("{:?} {error}", error.kind()),
                    }
                }
            }
            Err(error) => println!("opening: {:?} {error}", error.kind()),
        }
    });
    ExitCode::SUCCESS
}

fn run(what: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(what);
}

/// This program in a process that opens a store.
struct Reader {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Reader {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let asks = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            asks,
            answers,
        }
    }

    /// What it says of a reference: a value, or the error of reading it or of opening the store.
    fn read(&mut self, reference: &str) -> String {
        // One that could not open its store has said so, and listens no more.
        let _ = writeln!(self.asks, "{reference}");
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "it ended after {line:?}");
        line.trim_end().to_owned()
    }

    /// Asks until the answer no more begins with `old` but with `new`.
    fn turns(&mut self, old: &str, new: &str) -> String {
        let began = Instant::now();
        loop {
            let said = self.read(WANTED);
            if said.starts_with(new) {
                return said;
            }
            assert!(said.starts_with(old), "{said}");
            assert!(began.elapsed() < PATIENCE, "still {said}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that logs in so, with no variables but those that are added.
fn alone<'c>(command: &'c mut Command, auth: &str) -> &'c mut Command {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env(AUTH, auth)
}

/// What the default login leads to with these variables.
fn said(variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let command = alone(&mut command, "default")
        .env(NAMESPACE, "app")
        .envs(variables.iter().copied());
    Reader::start(command).read(WANTED)
}

/// A home of nobody.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// Writes a file and says where it is.
    fn write(&self, name: &str, text: &str) -> String {
        let file = self.0.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

fn kubeconfig(server: &Wire, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters:\n- name: k\n  cluster: {{ server: '{}' }}\n\
         contexts:\n- name: c\n  context: {{ cluster: k, user: u }}\n\
         users:\n- name: u\n  user: {{ token: {token} }}\n",
        server.url()
    )
}

fn server() -> Wire {
    Wire::http(|_| Reply::json(200, HELD))
}

/// The logins that a server saw, all of them for what was wanted.
fn logins(server: &Wire) -> Vec<String> {
    let requests = server.requests();
    let login = requests.iter().map(|request| {
        assert_eq!(request.target, "/api/v1/namespaces/app/secrets/db");
        request.header("authorization").unwrap().to_owned()
    });
    login.collect()
}

fn named_file() -> Result<(), Failed> {
    let (home, named, left) = (Home::new(), server(), server());
    home.write(".kube/config", &kubeconfig(&left, "left"));
    let file = home.write("named", &kubeconfig(&named, "named"));
    let said = said(&[("HOME", home.path()), ("KUBECONFIG", &file)]);
    assert_eq!(said, "value x");
    assert_eq!(logins(&named), ["Bearer named"]);
    assert!(left.requests().is_empty());
    Ok(())
}

/// One says who we are, the other where the cluster is. One that is not there is left out.
fn several_files() -> Result<(), Failed> {
    let (home, server) = (Home::new(), server());
    let first = home.write(
        "first",
        "current-context: c\ncontexts:\n- name: c\n  context: { cluster: k, user: u }\n\
         users:\n- name: u\n  user: { token: first }\n",
    );
    let second = kubeconfig(&server, "second").replace("current-context: c", "current-context: n");
    let second = home.write("second", &second);
    let files = format!("/nowhere/kubeconfig::{first}:{second}");
    assert_eq!(
        said(&[("HOME", home.path()), ("KUBECONFIG", &files)]),
        "value x"
    );
    assert_eq!(logins(&server), ["Bearer first"]);
    server.forget();
    let files = format!("{second}:{first}");
    let said = said(&[("HOME", home.path()), ("KUBECONFIG", &files)]);
    assert!(said.starts_with("opening: Config"), "{said}");
    assert!(said.contains("no context 'n'"), "{said}");
    assert!(server.requests().is_empty());
    Ok(())
}

fn left_file() -> Result<(), Failed> {
    let (home, left) = (Home::new(), server());
    home.write(".kube/config", &kubeconfig(&left, "left"));
    assert_eq!(said(&[("HOME", home.path())]), "value x");
    assert_eq!(
        said(&[("HOME", home.path()), ("KUBECONFIG", "")]),
        "value x"
    );
    assert_eq!(logins(&left), ["Bearer left", "Bearer left"]);
    Ok(())
}

fn judged_files() -> Result<(), Failed> {
    let (home, server) = (Home::new(), server());
    let file = home.write(".kube/config", &kubeconfig(&server, "left"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666))?;
    let here = ("HOME", home.path());
    for variables in [vec![here], vec![here, ("KUBECONFIG", file.as_str())]] {
        let said = said(&variables);
        assert!(said.starts_with("opening: Config"), "{said}");
        assert!(said.contains("may be written by others"), "{said}");
    }
    assert!(server.requests().is_empty());
    Ok(())
}

/// Whoever named a file does not get another one's cluster.
fn missing_file() -> Result<(), Failed> {
    let (home, left) = (Home::new(), server());
    home.write(".kube/config", &kubeconfig(&left, "left"));
    let said = said(&[("HOME", home.path()), ("KUBECONFIG", "/nowhere/kubeconfig")]);
    assert!(said.starts_with("opening: Config no file that"), "{said}");
    assert!(said.contains("$KUBECONFIG"), "{said}");
    assert!(left.requests().is_empty());
    Ok(())
}

/// Half of what tells a pod is nothing, too.
fn nothing() -> Result<(), Failed> {
    let (home, server) = (Home::new(), server());
    let port = server.address().port().to_string();
    let here = ("HOME", home.path());
    for variables in [
        vec![here],
        vec![here, ("KUBERNETES_SERVICE_HOST", "127.0.0.1")],
        vec![here, ("KUBERNETES_SERVICE_PORT", port.as_str())],
    ] {
        let said = said(&variables);
        assert!(
            said.starts_with("opening: Config this is no pod: $KUBERNETES_SERVICE_HOST"),
            "{said}"
        );
        assert!(
            said.contains("Name a kubeconfig: auth = { kubeconfig = "),
            "{said}"
        );
    }
    assert!(server.requests().is_empty());
    Ok(())
}

fn unshared(way: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(way)
        .args(["--mount", "--propagation", "private"]);
    command
}

/// The first way that this machine grants.
fn way() -> Option<&'static [&'static str]> {
    let dir = tempfile::tempdir().unwrap();
    WAYS.into_iter().find(|way| {
        let mounted = unshared(way)
            .args(["sh", "-c", MOUNT, "sh"])
            .arg(dir.path())
            .output();
        mounted.is_ok_and(|output| output.status.success())
    })
}

/// What a pod knows of its cluster and of who it is.
struct Pod {
    account: tempfile::TempDir,
    host: String,
    port: String,
    way: &'static [&'static str],
}

impl Pod {
    /// One of the test server, under the service account `robot` of the namespace.
    async fn new(admin: &Admin, way: &'static [&'static str]) -> Self {
        let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
        let server = read("server");
        let pod = Self::without_account(server.trim().trim_start_matches("https://"), way);
        pod.write("ca.crt", &read("ca.crt"));
        pod.write("namespace", &admin.namespace);
        pod.write("token", &admin.token("robot").await);
        pod
    }

    fn without_account(server: &str, way: &'static [&'static str]) -> Self {
        let (host, port) = server.rsplit_once(':').unwrap();
        Self {
            account: tempfile::tempdir().unwrap(),
            host: host.to_owned(),
            port: port.to_owned(),
            way,
        }
    }

    /// Puts a file of the service account in the place of an older one, at once.
    fn write(&self, name: &str, text: &str) {
        let new = self.account.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, self.account.path().join(name)).unwrap();
    }

    fn start(&self, auth: &str, variables: &[(&str, &str)]) -> Reader {
        let mut command = unshared(self.way);
        command
            .args(["sh", "-c", &format!("{MOUNT} && exec \"$0\"")])
            .arg(std::env::current_exe().unwrap())
            .arg(self.account.path());
        let command = alone(&mut command, auth)
            .env("KUBERNETES_SERVICE_HOST", &self.host)
            .env("KUBERNETES_SERVICE_PORT", &self.port)
            .envs(variables.iter().copied());
        Reader::start(command)
    }

    fn said(&self) -> String {
        self.start("in-cluster", &[]).read(WANTED)
    }
}

/// A namespace with two Secrets, of which its account `robot` may read the one that is wanted.
async fn cluster() -> Admin {
    let admin = Admin::new("pod").await;
    admin.secret("db", &[("password", b"of-the-cluster")]).await;
    admin.secret("other", &[("password", b"not-ours")]).await;
    admin.account("robot").await;
    admin.grant_account("robot", &["get"], &["db"]).await;
    admin
}

fn own_rights(way: &'static [&'static str]) -> Result<(), Failed> {
    run(async {
        let admin = cluster().await;
        let pod = Pod::new(&admin, way).await;
        let mut reader = pod.start("in-cluster", &[]);
        assert_eq!(reader.read(WANTED), "value of-the-cluster");
        let other = reader.read("other/password");
        // The namespace is the pod's own where the settings name none.
        let elsewhere = pod
            .start("in-cluster", &[(NAMESPACE, "default")])
            .read(WANTED);
        for said in [other, elsewhere] {
            assert!(said.starts_with("PermissionDenied"), "{said}");
            assert!(said.contains("grant the verb"), "{said}");
        }
    });
    Ok(())
}

fn last(way: &'static [&'static str]) -> Result<(), Failed> {
    run(async {
        let admin = cluster().await;
        let pod = Pod::new(&admin, way).await;
        let (home, left) = (Home::new(), server());
        let here = [("HOME", home.path()), (NAMESPACE, "app")];
        let there = [here[0], (NAMESPACE, admin.namespace.as_str())];
        let said = pod.start("default", &there).read(WANTED);
        assert_eq!(said, "value of-the-cluster");
        home.write(".kube/config", &kubeconfig(&left, "left"));
        assert_eq!(pod.start("default", &here).read(WANTED), "value x");
        assert_eq!(logins(&left), ["Bearer left"]);
    });
    Ok(())
}

/// The account goes, and its token with it; one of that name comes back, and its token is in the
/// same file. All that time it is one store.
fn read_again(way: &'static [&'static str]) -> Result<(), Failed> {
    run(async {
        let admin = cluster().await;
        let pod = Pod::new(&admin, way).await;
        let mut reader = pod.start("in-cluster", &[]);
        assert_eq!(reader.read(WANTED), "value of-the-cluster");
        admin
            .accounts()
            .delete("robot", &DeleteParams::default())
            .await
            .unwrap();
        // The server remembers a token for ten seconds.
        let refused = reader.turns("value of-the-cluster", "Unauthenticated");
        assert!(refused.contains("renew the token"), "{refused}");
        admin.account("robot").await;
        pod.write("token", &admin.token("robot").await);
        reader.turns("Unauthenticated", "value of-the-cluster");
    });
    Ok(())
}

fn incomplete(way: &'static [&'static str]) -> Result<(), Failed> {
    let identity = Identity::new("127.0.0.1");
    let server = Wire::https(&identity, |_| Reply::json(200, HELD));
    let pod = Pod::without_account(&server.address().to_string(), way);
    for (missing, text) in [("namespace", "app"), ("ca.crt", identity.authority())] {
        let said = pod.said();
        assert!(
            said.starts_with("opening: Config the service account is not mounted"),
            "without {missing}: {said}"
        );
        assert!(said.contains("automountServiceAccountToken"), "{said}");
        pod.write(missing, text);
    }
    let said = pod.said();
    assert!(said.starts_with("opening: Unauthenticated"), "{said}");
    assert!(said.contains("token file"), "{said}");
    assert!(server.requests().is_empty());
    pod.write("token", "of-the-pod");
    assert_eq!(pod.said(), "value x");
    assert_eq!(logins(&server), ["Bearer of-the-pod"]);
    // The authority in the folder is the only one that is trusted.
    server.forget();
    pod.write("ca.crt", Identity::new("127.0.0.1").authority());
    let said = pod.said();
    assert!(said.starts_with("Failed"), "{said}");
    assert!(said.contains("certificate is not trusted"), "{said}");
    assert!(server.requests().is_empty());
    Ok(())
}
