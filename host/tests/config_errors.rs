//! What is refused, with the words that the operator reads.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

use std::path::Path;

use proptest::prelude::*;
use strongroom::config::{Backends, Config, Quotas};
use strongroom_backend::VaultId;
use strongroom_backend_local::KeySource;

const BASE: &str = "[vault.app]\nbackend = 'local'\npath = 'app.vault'\n";

fn parse(text: &[u8]) -> Result<Config, String> {
    let backends = Backends::new(["local", "memory"]);
    Config::parse(text, Path::new("/etc/s.toml"), &backends).map_err(|error| error.to_string())
}

/// Each case stands after `BASE`, from line 4 on.
const AFTER_BASE: &[(&str, &str)] = &[
    // Keys
    (
        "[vaults.b]",
        "4:2: unknown key 'vaults': did you mean 'vault'?",
    ),
    (
        "[component.b]\nrole = []",
        "5:1: unknown key 'role' in [component.b]: did you mean 'roles'?",
    ),
    (
        "[component.b.quotas]\ncalls_per_second = 1",
        "5:1: unknown key 'calls_per_second' in [component.b.quotas]: did you mean 'calls-per-second'?",
    ),
    (
        "[component.b]\ngrants = [{ vault = 'app', secret = ['a'], actions = ['read'] }]",
        "5:11: component.b.grants[0] has no 'secrets': patterns of the secrets, \"**\" for all of the vault\n/etc/s.toml:5:28: unknown key 'secret' in component.b.grants[0]: did you mean 'secrets'?",
    ),
    (
        "[workspace.dev.audit]",
        "4:1: a workspace may not touch [audit]: one log records them all",
    ),
    // Names
    (
        "[vault.app]\nbackend = 'memory'",
        "4:8: 'app' is there twice",
    ),
    ("[component.b]\n[component.b]", "5:12: 'b' is there twice"),
    (
        "[component.b]\nroles = []\nroles = []",
        "6:1: 'roles' is there twice",
    ),
    (
        "[component.'a b']",
        "4:12: 'a b' is no component name: 1 to 64 letters, digits, '_' or '-'",
    ),
    (
        "[role.'']",
        "4:7: '' is no role name: 1 to 64 letters, digits, '_' or '-'",
    ),
    (
        "[vault.'a/b']\nbackend = 'memory'",
        "4:8: 'a/b' is no vault id: 1 to 64 letters, digits, '_' or '-'",
    ),
    (
        "[component.b]\nroles = ['srvice']\n[role.service]",
        "5:10: unknown role 'srvice': did you mean 'service'?",
    ),
    (
        "[component.b]\nroles = ['service']",
        "5:10: unknown role 'service': there is none",
    ),
    (
        "[component.b]\nroles = ['s', 's']\n[role.s]",
        "5:15: 'roles' holds 's' twice",
    ),
    (
        "[component.b]\ndefault-vault = 'ap'",
        "5:17: unknown vault 'ap': did you mean 'app'?",
    ),
    (
        "[component.b]\ndigest = 'sha256:12'",
        "5:10: 'digest': a SHA-256 has 64 hexadecimal digits, and this has 2 bytes after 'sha256:'",
    ),
    (
        "[component.b]\ndigest = 'md5:12'",
        "5:10: 'digest': a digest is written 'sha256:' and 64 hexadecimal digits",
    ),
    // Grants
    (
        "[role.r]\ngrants = [{ vault = 'prod', secrets = ['a'], actions = ['read'] }]",
        "5:21: unknown vault 'prod': there is 'app'",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['a'], actions = ['raed'] }]",
        "5:56: unknown action 'raed': did you mean 'read'?",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['a/**/b'], actions = ['read'] }]",
        "5:39: pattern 'a/**/b': '**' may only be the whole last segment, as in 'a/**'; '*' stays within one segment",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['app:a'], actions = ['read'] }]",
        "5:39: pattern 'app:a': a pattern names no vault: put the vault into 'vault' and the path into 'secrets'",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = [], actions = ['read'] }]",
        "5:11: role.r.grants[0] has no 'secrets': patterns of the secrets, \"**\" for all of the vault",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['a'] }]",
        "5:11: role.r.grants[0] has no 'actions', as in actions = [\"read\"]",
    ),
    (
        "[role.r]\ngrants = [{ secrets = ['a'], actions = ['read'] }]",
        "5:11: role.r.grants[0] has no 'vault': a grant names the vault that it is for",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = 'a', actions = ['read'] }]",
        "5:38: 'secrets' must be an array, not a string",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['a'], actions = ['read'], expires = 2027-01-01 }]",
        "5:75: 'expires' must be a date, a time and an offset, as in 2027-01-01T00:00:00Z",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['a'], actions = ['read'], expires = 2027-01-01T00:00:00 }]",
        "5:75: 'expires' must be a date, a time and an offset, as in 2027-01-01T00:00:00Z",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['a'], actions = ['read'], expires = '2027-01-01T00:00:00Z' }]",
        "5:75: 'expires' must be a time without quotes, as in 2027-01-01T00:00:00Z, not a string",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['a'], actions = ['use-http'] }]",
        "5:11: role.r.grants[0] has no 'hosts': 'use-http' names the hosts that may get the value",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['a'], actions = ['read'], hosts = ['h'] }]",
        "5:11: 'hosts' goes with the action 'use-http'",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['a'], actions = ['use-http'], hosts = ['*.h'] }]",
        "5:78: host '*.h': a host is a lower-case name such as 'api.example.com', without scheme, path or '*'",
    ),
    // Vaults
    (
        "[vault.b]\nbackend = 'loca'",
        "5:11: unknown backend 'loca': did you mean 'local'?",
    ),
    (
        "[vault.b]\nbackend = 'aws-ssm'",
        "5:11: backend 'aws-ssm' is not built into this program: build it with --features aws-ssm",
    ),
    (
        "[vault.b]\npath = 'x'",
        "4:8: [vault.b] has no 'backend': one of local, memory",
    ),
    (
        "[vault.b]\nchain = ['b']",
        "5:10: [vault.b] leads back to itself: b -> b",
    ),
    (
        "[vault.b]\nbackend = 'local'\ncache = { ttl = '5m' }",
        "6:9: 'cache' has no use here: backend 'local' is always current",
    ),
    (
        "[vault.b]\nbackend = 'memory'\nsync = { from = 'b:' }",
        "6:17: [vault.b] leads back to itself: b -> b",
    ),
    (
        "[vault.b]\nbackend = 'memory'\nsync = { from = 'nowhere:' }",
        "6:17: unknown vault 'nowhere': there is 'app', 'b'",
    ),
    (
        "[vault.b]\nbackend = 'memory'\nsync = { from = 'app:stripe' }",
        "6:17: 'from' must be a vault, or whole segments of it that end with '/': \"prod:app/\"",
    ),
    (
        "[vault.b]\nbackend = 'memory'\nsync = { every = '1h' }",
        "6:8: [vault.b.sync] has no 'from', as in from = \"prod:app/\"",
    ),
    (
        "[vault.b]\nbackend = 'memory'\nsync = { from = 'app:' }\n\
         [vault.c]\nbackend = 'memory'\nsync = { from = 'b:' }",
        "9:17: [vault.b] is a copy itself: copy what it is a copy of instead",
    ),
    (
        "[vault.b]\nbackend = 'memory'\nsync = { from = 'app:', every = '1d' }",
        "6:8: 'every' must be shorter than 'max-stale' (24h where it is not set), or the copy is too \
         old to be served before it is made anew",
    ),
    (
        "[vault.b]\nbackend = 'memory'\nsync = { from = 'app:', to = 'app' }",
        "6:30: 'to' must be whole segments of a path that end with '/': \"app/\"",
    ),
    (
        "[vault.b]\nbackend = 'memory'\n[vault.b.fields]\n'a' = { of = 'b' }",
        "7:7: [vault.b.fields.'a'] has no 'field', as in { of = \"db/main\", field = \"password\" }",
    ),
    (
        "[vault.b]\nbackend = 'memory'\n[vault.b.fields]\n'a' = { of = 'b', field = 'c' }\n'b' = { of = 'c', field = 'c' }",
        "7:7: 'of' must be a secret of the vault, not another bound name",
    ),
    (
        "[vault.b]\nbackend = 'memory'\n[vault.b.fields]\n'a/' = { of = 'b', field = 'c' }",
        "7:1: 'a/': a path segment is empty: remove the leading, trailing or doubled '/'",
    ),
    (
        "[role.r]\ngrants = [{ vault = 'app', secrets = ['a'], actions = ['read', 'write'], field = 'x' }]",
        "5:82: 'field' goes with the actions 'read' and 'list' alone",
    ),
    (
        "[vault.b]\nbackend = 'local'\n[vault.b.names]\n'a' = 'B'",
        "6:1: 'names' has no use here: backend 'local' knows every path as it is",
    ),
    (
        "[vault.b]\nbackend = 'local'\npath = './x/../app.vault'",
        "4:8: [vault.b] has the path that [vault.app] in line 1 has already",
    ),
    (
        "[vault.b]\nbackend = 'local'\npath = 'b.vault'\nkey = { file = 'app.vault' }",
        "4:8: the key of [vault.b] is the file that [vault.app] in line 1 writes",
    ),
    // The log
    (
        "[audit]\nkey = { file = 'k' }",
        "4:1: [audit] has no 'path': the file that records are written to",
    ),
    (
        "[audit]\npath = 'a.jsonl'",
        "4:1: [audit] has no 'key', as in key = { file = \"keys/audit.key\" }",
    ),
    (
        "[audit]\npath = 'a.jsonl'\nkey = { env = 'K' }",
        "6:7: [audit.key] has no 'file': the log's key comes from a file\n/etc/s.toml:6:9: unknown key 'env' in [audit.key]: there is 'allow-links', 'file'",
    ),
    (
        "[audit]\npath = 'app.vault'\nkey = { file = 'k' }",
        "4:1: [audit] has the path that [vault.app] in line 1 has already",
    ),
    (
        "[audit]\npath = 'a.jsonl'\nkey = { file = 'k' }\ndurability = 'dsk'",
        "7:14: unknown durability 'dsk': did you mean 'disk'?",
    ),
    (
        "[audit]\npath = 'a.jsonl'\nkey = { file = 'k' }\nrotate = '1 gig'",
        "7:10: 'rotate': a size is a whole number and a unit: B, KiB, MiB, GiB or TiB, as in \"1 GiB\"",
    ),
    (
        "[audit]\npath = 'a.jsonl'\nkey = { file = 'k' }\nrotate = '1 B'",
        "4:1: 'rotate' must be at least 64 KiB",
    ),
    (
        "[audit]\npath = 'a.jsonl'\nkey = { file = 'k' }\nkeep-for = 90",
        "7:12: 'keep-for' must be a string, not an integer",
    ),
    // Quotas
    (
        "[quotas]\ncalls-per-second = 0",
        "5:20: 'calls-per-second' must be from 1 to 10000000: to allow nothing, give no grants",
    ),
    (
        "[quotas]\nopen-handles = -1",
        "5:16: 'open-handles' must be a whole number, 0 or more",
    ),
    (
        "[quotas]\nbytes-per-second = '2 PB'",
        "5:20: 'bytes-per-second': a size is a whole number and a unit: B, KiB, MiB, GiB or TiB, as in \"1 GiB\"",
    ),
    // Syntax
    ("path = 'x'", "4:1: 'path' is there twice"),
    ("default-vault", "4:14: key with no value, expected `=`"),
];

#[test]
fn each_mistake_names_its_line_and_the_way_out() {
    let mut wrong = Vec::new();
    for (text, expected) in AFTER_BASE {
        let got = parse(format!("{BASE}{text}").as_bytes());
        let expected = format!("/etc/s.toml:{expected}");
        match got {
            Err(error) if error == expected => {}
            got => wrong.push(format!("--- {text}\nwant {expected}\ngot  {got:?}\n")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_shared_audit_key_is_refused() {
    let text = "[vault.a]\nbackend = 'local'\npath = 'a'\nkey = { file = 'k' }\n\
                [vault.b]\nbackend = 'local'\npath = 'b'\nkey = { file = 'k' }\n";
    assert!(parse(text.as_bytes()).is_ok(), "vaults may share one");
    let error = parse(format!("{text}[audit]\npath = 'l'\nkey = {{ file = 'k' }}\n").as_bytes());
    let expected =
        "/etc/s.toml:9:1: [audit] needs a key of its own: this is the key of [vault.b] in line 5";
    assert_eq!(error.unwrap_err(), expected);
}

#[test]
fn every_problem_is_told_at_once_and_in_order() {
    let text = "[vault.b]\nbackend = 'nope'\n[component.c]\nroles = ['x']\nrols = 1\n[audti]\n";
    let error = parse(text.as_bytes()).unwrap_err();
    let lines: Vec<_> = error
        .lines()
        .map(|line| line.split(':').nth(1).unwrap())
        .collect();
    assert_eq!(lines, ["2", "4", "5", "6"]);
    let many =
        "[component.c]\n".to_owned() + &(0..500).map(|n| format!("k{n} = 1\n")).collect::<String>();
    assert_eq!(parse(many.as_bytes()).unwrap_err().lines().count(), 20);
}

#[test]
fn credentials_are_refused_and_not_repeated() {
    for (text, place) in [
        (
            "[vault.b]\nbackend = 'memory'\npassword = 'hunter2-canary'",
            "3:1",
        ),
        (
            "[vault.b]\nbackend = 'memory'\nauth = { secret_access_key = 'hunter2-canary' }",
            "3:10",
        ),
        (
            "[vault.b]\nbackend = 'memory'\nkey = 'hunter2-canary'",
            "3:1",
        ),
        ("[vault.b]\nbackend = 'memory'\ntoken = 42", "3:1"),
        (
            "[vault.b]\nbackend = 'memory'\nendpoint = 'https://u:hunter2-canary@h/'",
            "3:12",
        ),
        ("[component.c]\nwasm = 'AKIAABCDEFGHIJKLMNOP'", "2:8"),
        (
            "[component.c]\nwasm = '-----BEGIN RSA PRIVATE KEY-----hunter2-canary'",
            "2:8",
        ),
        (
            "[component.c]\nroles = ['hvs.hunter2-canary-hunter2']",
            "2:10",
        ),
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        let line = error
            .lines()
            .find(|line| line.contains("credential"))
            .unwrap_or(&error);
        assert!(
            line.starts_with(&format!("/etc/s.toml:{place}: ")),
            "{error}"
        );
        assert!(line.contains("credential"), "{error}");
        assert!(!line.contains("hunter2-canary"), "{error}");
    }
    // Names of files and variables are no credentials, nor are names of secrets.
    let fine = "[vault.b]\nbackend = 'memory'\nkey = { file = 'k' }\ntoken-file = 't'\naccess-key-id-env = 'A'\n\
                [role.r]\ngrants = [{ vault = 'b', secrets = ['password', 'api/token'], actions = ['read'] }]";
    assert!(parse(fine.as_bytes()).is_ok());
}

#[test]
fn values_of_the_file_are_not_repeated() {
    for text in [
        "[vault.b]\nbackend = ['canary-canary']",
        "[quotas]\ncalls-per-second = 'canary-canary'",
        "[audit]\npath = 'a'\nkey = { file = 'k' }\nrotate = 'canary-canary'",
        "[component.c]\ndigest = 'canary-canary'",
        "default-vault = \"canary-canary",
        "[vault.b]\npath = 'canary-canary",
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn settings_of_a_backend_are_strict_and_say_where() {
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        path: std::path::PathBuf,
        key: Option<KeySource>,
    }
    let settings = |text: &str| {
        let config = parse(format!("[vault.b]\nbackend = 'local'\n{text}").as_bytes()).unwrap();
        let vault = &config.vaults[&VaultId::parse("b").unwrap()];
        vault
            .settings::<Settings>()
            .map_err(|error| error.to_string())
    };
    let good = settings("path = 'x'\nkey = { file = 'k', allow-links = true }").unwrap();
    assert_eq!(good.path, Path::new("x"));
    assert_eq!(
        good.key,
        Some(KeySource::File {
            path: "k".into(),
            allow_links: true
        })
    );
    for (text, expected) in [
        (
            "pth = 'x'",
            "3:1: [vault.b]: unknown key 'pth': did you mean 'path'?",
        ),
        (
            "key = { env = 'K' }",
            "1:1: [vault.b]: missing field `path`",
        ),
        (
            "path = 3",
            "3:8: [vault.b]: invalid type: integer `3`, expected path string",
        ),
        (
            "path = 'x'\nkey = {}",
            "4:7: [vault.b]: a key has exactly one of `file`, `passphrase-file` and `env`",
        ),
        (
            "path = 'x'\nkey = { env = 'K', file = 'f' }",
            "4:7: [vault.b]: a key has exactly one of `file`, `passphrase-file` and `env`",
        ),
        (
            "path = 'x'\nkey = { env = 'K', allow-links = true }",
            "4:7: [vault.b]: `allow-links` belongs to `file` and `passphrase-file`",
        ),
        (
            "path = 'x'\nkey = { fil = 'K' }",
            "4:9: [vault.b]: unknown key 'fil': did you mean 'file'?",
        ),
        (
            "path = 'x'\nkey = { file = 'k', allow-links = 'canary' }",
            "4:35: [vault.b]: invalid type: string of this kind, expected a boolean",
        ),
    ] {
        assert_eq!(
            settings(text).unwrap_err(),
            format!("/etc/s.toml:{expected}"),
            "{text}"
        );
    }
    let config = parse(b"[vault.b]\nbackend = 'local'\npath = 'x'\n").unwrap();
    let error = config.vaults[&VaultId::parse("b").unwrap()].error("path", "is on a network");
    assert_eq!(error.to_string(), "/etc/s.toml:3:8: is on a network");
}

#[test]
fn a_whole_file_reads_as_it_says() {
    let text = include_str!("config_files/whole.toml");
    let config = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let component = config.components.values().next().unwrap();
    assert_eq!(
        component.wasm.as_deref(),
        Some(Path::new("/etc/billing.wasm"))
    );
    assert_eq!(
        component.default_vault.as_ref().unwrap().as_str(),
        "app-secrets"
    );
    assert_eq!(component.roles.len(), 1);
    assert_eq!(component.grants[1].expires, Some(1_798_761_600_000));
    assert_eq!(component.quotas.calls_per_second, 50);
    assert_eq!(component.quotas.open_handles, 7, "from the file's own");
    assert_eq!(
        component.quotas.pages_per_second,
        Quotas::PAGES_PER_SECOND,
        "built in"
    );
    let audit = config.audit.as_ref().unwrap();
    assert_eq!(audit.path, Path::new("/etc/audit.jsonl"));
    assert_eq!(audit.key.path, Path::new("/etc/keys/audit.key"));
    assert_eq!(
        (audit.rotate, audit.keep_for.as_secs()),
        (1 << 30, 90 * 86400)
    );
    assert_eq!(config.reaches_out(), []);
    let digest = strongroom::grants::Digest::of(text.as_bytes());
    assert_eq!(config.digest(), digest);
}

#[test]
fn what_reaches_out_is_found() {
    let elsewhere = |text: &str| {
        let config = parse(format!("[vault.b]\nbackend = 'memory'\n{text}").as_bytes()).unwrap();
        let found = config.reaches_out().iter();
        found
            .map(|it| format!("{}:{}", it.line, it.what))
            .collect::<Vec<_>>()
    };
    assert_eq!(elsewhere("endpoint = 'http://h'"), ["3:vault.b.endpoint"]);
    assert_eq!(
        elsewhere("address = 'h'\nverify-tls = true"),
        ["3:vault.b.address"]
    );
    assert_eq!(elsewhere("verify-tls = false"), ["3:vault.b.verify-tls"]);
    assert_eq!(
        elsewhere("auth = { token_url = 'h' }"),
        ["3:vault.b.auth.token_url"]
    );
    assert_eq!(elsewhere("vault = 'v'"), ["3:vault.b.vault"]);
    assert_eq!(elsewhere("allow-exec = true"), ["3:vault.b.allow-exec"]);
    assert_eq!(
        elsewhere("auth = { profile = 'p' }"),
        ["3:vault.b.auth.profile"]
    );
    assert_eq!(elsewhere("allow-exec = false"), [""; 0]);
    assert_eq!(elsewhere("region = 'r'\nverify-tls = true"), [""; 0]);
    assert_eq!(elsewhere("key = { env = 'K' }"), ["3:vault.b.key.env"]);
    assert_eq!(
        elsewhere(
            "'url\u{1b}[2J' = 'h'"
                .replace("'url\u{1b}[2J'", "\"url\\u001b[2J\"")
                .as_str()
        ),
        ["3:vault.b.url\\u{1b}[2J"]
    );
}

#[test]
fn the_file_as_such_is_bounded() {
    let error = parse(&vec![b'#'; (1 << 20) + 1]).unwrap_err();
    assert_eq!(
        error,
        "/etc/s.toml: is larger than 1 MiB, which no configuration is"
    );
    let error = parse(b"# fine\n# \xff\n").unwrap_err();
    assert_eq!(error, "/etc/s.toml: line 2 is not UTF-8");
    // Depth must end in an error, not in the stack.
    for deep in [
        "a.".repeat(200_000) + "a = 1",
        "a = ".to_owned() + &"[".repeat(500_000),
    ] {
        assert!(parse(deep.as_bytes()).is_err());
    }
}

/// Pieces of configurations, so that random texts get past the syntax.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z=\\[\\]{}'\",.\n0-9 -]{0,12}",
        proptest::sample::select(vec![
            "[vault.a]\n",
            "[component.a]\n",
            "[role.a]\n",
            "[audit]\n",
            "[quotas]\n",
            "[[component.a.grants]]\n",
            "[vault.a.names]\n",
            "backend = 'local'\n",
            "default-vault = 'a'\n",
            "vault = 'a'\n",
            "secrets = ['a/**', '*']\n",
            "actions = ['data-read']\n",
            "expires = 0000-01-01T00:00:00Z\n",
            "key = { file = 'k' }\n",
            "expires = 9999-12-31T23:59:60.999999999+23:59\n",
            "path = 'p'\n",
            "path = '\\u0000'\n",
            "grants = [{ vault = 'a', secrets = ['**'], actions = ['read'] }]\n",
            "roles = ['a']\n",
            "rotate = '1 GiB'\n",
            "keep-for = '99999999999d'\n",
            "calls-per-second = 0xfff\n",
            "calls-per-second = 99999999999999999999\n",
            "hosts = ['a:1']\n",
            "\u{feff}",
            "\r\n",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_pieces_panic(pieces in proptest::collection::vec(piece(), 0..12)) {
        if let Ok(config) = parse(pieces.concat().as_bytes()) {
            let _ = config.policy(1);
            for vault in config.vaults.values() {
                let _ = vault.settings::<toml::Table>();
            }
        }
    }
}
