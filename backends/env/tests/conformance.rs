//! The trials that every backend passes, and what only a real environment shows.
//!
//! The program starts itself again with the variables that it needs: setting them in a running
//! process would be unsound.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at whatever it did not expect"
)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use strongroom_backend::{Backend, Error, ErrorKind, Result, SecretPath, Which};
use strongroom_backend_env::{
    EnvBackend, EnvBuilder, EnvConfig, FilesBackend, FilesConfig, VariablePrefix,
};
use strongroom_backend_testkit::{Canary, Fixture, Target, trials};

const PREFIX: &str = "TRIAL_";
/// Set in the process that has the variables.
const STARTED: &str = "STARTED_WITH_TRIAL_VARIABLES";
const CANARY: &str = "canary-e171-of-another";

const HELD: [(&str, &str, &[u8]); 9] = [
    ("stripe/api-key", "STRIPE__API_KEY", b"sk_test"),
    ("DATABASE_URL", "_DATABASE_URL", b"postgres://"),
    ("database-url", "DATABASE_URL", b"another"),
    ("db_password", "_db_password", b"p=\"q\" \n$x"),
    ("tls/ca.crt", "TLS__CA___DCRT", b"-----BEGIN"),
    ("empty", "EMPTY", b""),
    ("bytes", "BYTES", b"\xff\x01\xfe\n"),
    ("a", "A", b"lower"),
    ("A", "_A", b"upper"),
];

/// Variables that no path may reach, with the prefix or without.
const DECOYS: [&str; 14] = [
    "TRIAL",
    "TRIAL_",
    "TRIAL__",
    "TRIAL___",
    "TRIAL_lower",
    "TRIAL_A_",
    "TRIAL_A__",
    "TRIAL_A____B",
    "TRIAL_A-B",
    "TRIAL_A/B",
    "TRIAL__stripe",
    "TRIAL___X",
    "OTHER_TRIAL_A",
    "trial_A",
];

fn main() -> ExitCode {
    if std::env::var_os(STARTED).is_none() {
        return start_again();
    }
    let mut all = trials(env_target());
    all.extend(trials(files_target("files", folder)));
    all.extend(trials(files_target("json", json)));
    all.extend([
        Trial::test("env::only_what_a_path_names_is_listed", listed),
        Trial::test("env::unset_is_not_found_and_empty_is_empty", unset),
        Trial::test("env::hostile_names_reach_no_other_variable", hostile),
        Trial::test("env::no_answer_shows_a_value", shown),
    ]);
    libtest_mimic::run(&Arguments::from_args(), all).exit_code()
}

fn start_again() -> ExitCode {
    let mut again = Command::new(std::env::current_exe().expect("this program has a path"));
    again.args(std::env::args_os().skip(1)).env(STARTED, "1");
    for (_, name, value) in HELD {
        again.env(
            format!("{PREFIX}{name}"),
            OsString::from_vec(value.to_vec()),
        );
    }
    again.envs(DECOYS.map(|name| (name, CANARY)));
    let status = again.status().expect("this program starts");
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => ExitCode::from(code),
        None => ExitCode::FAILURE,
    }
}

fn env_target() -> Target {
    Target::new("env", || async {
        Ok(Fixture::new(Arc::new(env()?)).holding(held()))
    })
}

fn files_target(name: &'static str, fill: fn(&Path) -> std::io::Result<FilesConfig>) -> Target {
    Target::new(name, move || async move {
        let dir = tempfile::tempdir().map_err(failed)?;
        let config = fill(dir.path()).map_err(failed)?;
        let store = FilesBackend::open(&config, dir.path())?;
        // A JSON text has no bytes that are not UTF-8.
        let held = held().into_iter();
        let held = held.filter(|(path, _)| name == "files" || path.as_str() != "bytes");
        Ok(Fixture::new(Arc::new(store))
            .holding(held.collect())
            .keeping(dir))
    })
}

fn folder(dir: &Path) -> std::io::Result<FilesConfig> {
    for (path, value) in held() {
        let file = dir.join("secrets").join(path.as_str());
        std::fs::create_dir_all(file.parent().expect("a folder"))?;
        write(&file, &value)?;
    }
    Ok(FilesConfig::folder("secrets"))
}

fn json(dir: &Path) -> std::io::Result<FilesConfig> {
    let text = held().into_iter().filter_map(|(path, value)| {
        Some((path.to_string(), String::from_utf8(value).ok()?.into()))
    });
    let object = serde_json::Value::Object(text.collect());
    write(&dir.join("secrets.json"), object.to_string().as_bytes())?;
    Ok(FilesConfig::json("secrets.json"))
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::write(path, bytes)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Failed, "the trial cannot be set up").with_source(error)
}

fn held() -> Vec<(SecretPath, Vec<u8>)> {
    let path = |text| SecretPath::parse(text).expect("a path");
    HELD.iter()
        .map(|(text, _, value)| (path(text), value.to_vec()))
        .collect()
}

fn env() -> Result<EnvBackend> {
    let prefix = VariablePrefix::parse(PREFIX).expect("a prefix");
    EnvBuilder::new(EnvConfig::new(prefix))
        .with_reserved(["OTHER_KEY"])
        .open()
}

fn wait<R>(work: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(work)
}

fn listed() -> std::result::Result<(), Failed> {
    let store = env()?;
    let page = wait(store.list("", None, 100))?;
    let names: Vec<_> = page.paths.iter().map(SecretPath::as_str).collect();
    let mut expected = HELD.map(|(path, _, _)| path);
    expected.sort_unstable();
    assert_eq!(names, expected);
    for (path, name, _) in HELD {
        let path = SecretPath::parse(path)?;
        assert_eq!(store.variable(&path), format!("{PREFIX}{name}"));
    }
    // The decoys that have the prefix.
    let lines = wait(store.check())?;
    assert!(lines[0].contains("9 secrets"), "{lines:?}");
    assert!(lines[1].starts_with("11 variables"), "{lines:?}");
    Ok(())
}

fn unset() -> std::result::Result<(), Failed> {
    let store = env()?;
    let missing = wait(store.get(&SecretPath::parse("not-set")?, Which::Current));
    let error = missing.err().ok_or("an unset variable has a value")?;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("TRIAL_NOT_SET"), "{error}");
    let empty = wait(store.get(&SecretPath::parse("empty")?, Which::Current))?;
    assert!(empty.value.is_empty());
    Ok(())
}

/// Each of these is refused by the grammar, not found, or a secret's own name.
fn hostile() -> std::result::Result<(), Failed> {
    let store = env()?;
    let names = hostile_names();
    assert!(names.len() >= 200, "{} names", names.len());
    let mut parsed = 0;
    for name in names {
        let Ok(path) = SecretPath::parse(&name) else {
            continue;
        };
        parsed += 1;
        assert!(store.variable(&path).starts_with(PREFIX));
        let own = HELD.iter().find(|(held, _, _)| *held == name);
        match (wait(store.get(&path, Which::Current)), own) {
            (Ok(secret), Some((_, _, value))) => assert_eq!(secret.value.expose(), *value),
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::NotFound, "{name}"),
            (Ok(_), None) => panic!("{name} reaches {}", store.variable(&path)),
            (Err(error), Some(_)) => panic!("{name}: {error}"),
        }
    }
    assert!(parsed >= 100, "only {parsed} get past the grammar");
    Ok(())
}

/// Names of variables there are, whole and in part, in every case and with every separator.
fn hostile_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "", "=", "A=B", "A\0", "../A", "./A", "A/", "/A", "%41", "$A", "${A}", "A:B", "*", "A\n",
    ]
    .map(str::to_owned)
    .to_vec();
    let variables = DECOYS.into_iter().map(str::to_owned);
    let set = HELD.iter().map(|(_, name, _)| format!("{PREFIX}{name}"));
    let process = [
        "PATH",
        "HOME",
        "AWS_SECRET_ACCESS_KEY",
        "VAULT_TOKEN",
        "STRONGROOM_CONFIG",
    ];
    for variable in variables.chain(set).chain(process.map(str::to_owned)) {
        let rest = variable.strip_prefix(PREFIX).unwrap_or(&variable);
        for text in [variable.as_str(), rest] {
            names.extend([
                text.to_owned(),
                text.to_lowercase(),
                text.replace('_', "-"),
                text.replace('_', "/"),
                text.replace("__", "/").replace('_', "-").to_lowercase(),
                text.replace('_', "."),
                text.trim_start_matches('_').to_owned(),
                format!("../{text}"),
                format!("x-{text}"),
            ]);
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn shown() -> std::result::Result<(), Failed> {
    let store = env()?;
    let canary = Canary::new(b"postgres://");
    let secret = wait(store.get(&SecretPath::parse("DATABASE_URL")?, Which::Current))?;
    assert!(canary.found_in_debug(&secret).is_none());
    let lines = wait(store.check())?;
    assert!(canary.found_in_debug(&lines).is_none());
    let error = wait(store.get(&SecretPath::parse("none")?, Which::Current)).err();
    let error = error.ok_or("an unset variable has a value")?;
    assert!(Canary::new(CANARY).found_in_error(&error).is_none());
    Ok(())
}
