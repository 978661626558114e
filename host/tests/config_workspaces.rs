//! Workspaces, chains, layers and places, as the configuration has them.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

use std::path::Path;

use strongroom::Registry;
use strongroom::backend::{Reference, VaultId};
use strongroom::config::{Backends, Config, Quotas};
use strongroom::grants::{Action, Name, Principal};

fn parse(text: &str, workspace: Option<&str>) -> Result<Config, String> {
    let backends = Backends::new(["local", "memory", "env"]).with_remote(["aws-ssm", "cloud"]);
    let file = Path::new("/etc/s.toml");
    Config::parse_in(text.as_bytes(), file, &backends, workspace)
        .map_err(|error| error.to_string().replace("/etc/s.toml:", ""))
}

fn settings(config: &Config, vault: &str) -> String {
    let vault = &config.vaults[&VaultId::parse(vault).unwrap()];
    let table: toml::Table = vault.settings().unwrap();
    table.to_string()
}

const WHOLE: &str = r#"default-vault = "prod"

[vault.prod]
backend = "aws-ssm"
region = "eu-west-1"
prefix = "/prod/"
auth = { profile = "prod" }
cache = { ttl = "5m" }

[component.billing]
grants = [ { vault = "prod", secrets = ["**"], actions = ["read", "write"] } ]

[workspace.staging]
default-vault = "extra"

[workspace.staging.vault.prod]
prefix = "/staging/"
auth = { access-key-id-env = "ID", secret-access-key-env = "KEY" }
cache = { max-stale = "2h" }

[workspace.staging.vault.extra]
backend = "memory"

[workspace.staging.component.billing]
grants = [ { vault = "extra", secrets = ["a"], actions = ["read"] } ]

[workspace.laptop.vault.prod]
backend = "local"
path = "prod.vault"
key = { env = "LAPTOP_KEY" }
"#;

#[test]
fn a_workspace_is_laid_over_the_rest() {
    let plain = parse(WHOLE, None).unwrap();
    assert_eq!(plain.workspace(), None);
    assert_eq!(plain.vaults.len(), 1);
    assert_eq!(plain.default_vault.as_ref().unwrap().as_str(), "prod");

    let staging = parse(WHOLE, Some("staging")).unwrap();
    assert_eq!(staging.workspace(), Some("staging"));
    assert_eq!(staging.default_vault.as_ref().unwrap().as_str(), "extra");
    let text = settings(&staging, "prod");
    assert!(text.contains("region = \"eu-west-1\""), "{text}");
    assert!(text.contains("prefix = \"/staging/\""), "{text}");
    assert!(text.contains("ID") && !text.contains("profile"), "{text}");
    let grants = &staging.components.values().next().unwrap().grants;
    assert_eq!(grants.len(), 1, "arrays are replaced");
    assert_eq!(grants[0].vault.as_str(), "extra");
    assert_eq!(grants[0].line, 25, "in the real file");

    let laptop = parse(WHOLE, Some("laptop")).unwrap();
    let text = settings(&laptop, "prod");
    assert!(!text.contains("region"), "another backend replaces: {text}");
    assert_eq!(laptop.digest(), plain.digest());
}

const ROLES: &str = r#"quotas = { calls-per-second = 500, pending-calls = 9 }

[vault.app]
backend = "memory"

[role.reader]
grants = [ { vault = "app", secrets = ["**"], actions = ["read"] } ]

[role.idle]
grants = []

[component.billing]
roles = ["reader", "idle"]
quotas = { open-handles = 7, calls-per-second = 400 }

[component.mailer]
roles = ["reader"]

[workspace.staging.quotas]
calls-per-second = 50

[workspace.staging.role.reader]
grants = [ { vault = "app", secrets = ["staging/*"], actions = ["read"] } ]

[workspace.staging.role.writer]
grants = [ { vault = "app", secrets = ["staging/*"], actions = ["write"] } ]

[workspace.staging.component.billing]
roles = ["reader", "writer"]
quotas = { bytes-per-second = "1 MiB", calls-per-second = 40 }
"#;

#[test]
fn a_workspace_changes_a_role_for_all_who_carry_it() {
    for (workspace, anywhere, writes) in [(None, true, false), (Some("staging"), false, true)] {
        let policy = parse(ROLES, workspace).unwrap().policy(1);
        let may = |name: &str, action, reference: &str| {
            let principal = Principal::Component {
                name: Name::parse(name).unwrap(),
                digest: None,
            };
            let reference = Reference::parse(reference, None).unwrap();
            policy.decide(&principal, action, &reference, 0).is_ok()
        };
        for name in ["billing", "mailer"] {
            assert!(may(name, Action::Read, "app:staging/a"), "{workspace:?}");
            assert_eq!(may(name, Action::Read, "app:a"), anywhere, "{workspace:?}");
        }
        let told = may("billing", Action::Write, "app:staging/a");
        assert_eq!(told, writes, "{workspace:?}");
        assert!(!may("mailer", Action::Write, "app:staging/a"));
    }
    let staging = parse(ROLES, Some("staging")).unwrap();
    let names: Vec<_> = staging.roles.keys().map(Name::as_str).collect();
    assert_eq!(names, ["idle", "reader", "writer"]);
    // Nothing of one workspace is there in another.
    let known = "[vault.a]\nbackend = 'memory'\n[workspace.one.role.r]\ngrants = []\n\
        [workspace.two.component.c]\nroles = ['r']\n";
    let unknown = parse(known, Some("two")).unwrap_err();
    assert_eq!(unknown, "6:10: unknown role 'r': there is none");
}

#[test]
fn a_workspace_changes_quotas_key_by_key() {
    let quotas = |workspace| {
        let config = parse(ROLES, workspace).unwrap();
        let of = |name: &str| config.components[&Name::parse(name).unwrap()].quotas;
        (config.quotas, of("billing"), of("mailer"))
    };
    let (file, billing, mailer) = quotas(None);
    assert_eq!((file.calls_per_second, file.pending_calls), (500, 9));
    assert_eq!((billing.calls_per_second, billing.open_handles), (400, 7));
    assert_eq!(billing.bytes_per_second, Quotas::BYTES_PER_SECOND);
    assert_eq!((mailer, billing.pending_calls), (file, 9));

    let (file, billing, mailer) = quotas(Some("staging"));
    assert_eq!((file.calls_per_second, file.pending_calls), (50, 9));
    assert_eq!((billing.calls_per_second, billing.open_handles), (40, 7));
    assert_eq!(billing.bytes_per_second, 1 << 20);
    assert_eq!((mailer, billing.pending_calls), (file, 9));

    let wrong = "quotas = { calls-per-second = 5 }\n[workspace.w.quotas]\ncalls-per-second = 0";
    let told = parse(wrong, Some("w")).unwrap_err();
    assert!(
        told.starts_with("3:20: 'calls-per-second' must be from 1"),
        "{told}"
    );
    assert!(parse(wrong, None).is_ok());
}

#[test]
fn trust_and_secret_variables_are_of_the_whole_file() {
    let plain = parse(WHOLE, None).unwrap();
    let variables: Vec<_> = plain.secret_variables().into_iter().collect();
    assert_eq!(variables, ["ID", "KEY", "LAPTOP_KEY"]);
    let reached: Vec<_> = plain.reaches_out().iter().map(|r| &*r.what).collect();
    assert_eq!(
        reached,
        [
            "vault.prod.backend",
            "vault.prod.auth.profile",
            "workspace.staging.vault.prod.auth.access-key-id-env",
            "workspace.staging.vault.prod.auth.secret-access-key-env",
            "workspace.laptop.vault.prod.key.env",
        ]
    );
    let staging = parse(WHOLE, Some("staging")).unwrap();
    assert_eq!(staging.reaches_out(), plain.reaches_out());
    assert_eq!(staging.secret_variables(), plain.secret_variables());
}

#[test]
fn what_is_wrong_in_a_workspace_is_told_at_its_line() {
    for (text, workspace, expected) in [
        (
            "[vault.a]\nbackend = 'memory'\n[workspace.w.vault.a]\ncache = { ttl = '5m' }",
            Some("w"),
            "4:9: 'cache' has no use here: backend 'memory' is always current",
        ),
        (
            "[vault.a]\nbackend = 'memory'\n[workspace.w.vault.b]\nbackend = 'memry'",
            Some("w"),
            "4:11: unknown backend 'memry': did you mean 'memory'?",
        ),
        (
            "[workspace.w]\nvaults = 1",
            Some("w"),
            "2:1: unknown key 'vaults': did you mean 'vault'?",
        ),
        (
            "[workspace.w.audit]\npath = 'x'",
            None,
            "1:1: a workspace may not touch [audit]: one log records them all",
        ),
        (
            "[workspace.w.vault.a]\nbackend = 'aws-ssm'\ntoken = 'x'",
            None,
            "3:1: 'token' would put a credential into this file: name the file or the variable that holds it",
        ),
        (
            "[workspace.'a b']",
            None,
            "1:12: 'a b' is no workspace name: 1 to 64 letters, digits, '_' or '-'",
        ),
    ] {
        assert_eq!(parse(text, workspace).unwrap_err(), expected, "{text}");
    }
    let unknown = parse(WHOLE, Some("stagng")).unwrap_err();
    assert_eq!(
        unknown,
        " has no workspace 'stagng': did you mean 'staging'? (it has laptop, staging)"
    );
    let none = parse("", Some("w")).unwrap_err();
    assert!(none.contains("has no workspace 'w'"), "{none}");
}

#[test]
fn vaults_over_one_place_are_refused_with_both_lines() {
    for (one, two, same) in [
        ("region = 'a'", "region = 'a'", true),
        (
            "region = 'a'\nprefix = '/p/'",
            "prefix = '/p'\nregion = 'a'",
            true,
        ),
        (
            "region = 'a'\ncache = false",
            "region = 'a'\nretry = { attempts = 1 }",
            true,
        ),
        ("region = 'a'\nnames = { x = 'Y' }", "region = 'a'", true),
        ("region = 'a'", "region = 'b'", false),
        (
            "auth = { profile = 'a' }",
            "auth = { profile = 'b' }",
            false,
        ),
        ("prefix = '/p/a'", "prefix = '/p/b'", false),
    ] {
        let text = format!(
            "[vault.one]\nbackend = 'cloud'\n{one}\n[vault.two]\nbackend = 'cloud'\n{two}\n"
        );
        let line = text.lines().position(|l| l == "[vault.two]").unwrap() + 1;
        let told = format!("{line}:8: [vault.two] is the same place as [vault.one] in line 1");
        match parse(&text, None) {
            Err(error) => assert!(same && error == told, "{text}\n{error}"),
            Ok(_) => assert!(!same, "{text}"),
        }
    }
    let env =
        "[vault.a]\nbackend = 'env'\nprefix = 'P_'\n[vault.b]\nbackend = 'env'\nprefix = 'P_'";
    assert!(parse(env, None).unwrap_err().contains("same place"));
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
    #[serde(default, rename = "colour")]
    _colour: String,
}

#[test]
fn which_vaults_are_one_place_is_for_their_backend_to_say() {
    let registry = Registry::new().with_remote(
        "far",
        |settings: &Settings| settings.name.to_lowercase(),
        |_| Err("nothing is opened".into()),
    );
    let parse = |text: &str| {
        let file = Path::new("/etc/s.toml");
        Config::parse(text.as_bytes(), file, &registry.names()).map_err(|error| error.to_string())
    };
    for (one, two, same) in [
        ("name = 'a'", "name = 'A'", true),
        (
            "name = 'a'\ncolour = 'b'",
            "name = 'a'\ncache = false",
            true,
        ),
        ("name = 'a'", "name = 'a/'", false),
        ("name = 'a'", "name = 'b'", false),
        // What the backend does not take is compared as it is written.
        ("color = 'b'", "color = 'b'", true),
        ("color = 'b'", "color = 'B'", false),
        ("name = 'a'", "name = 'a'\ncolor = 'b'", false),
    ] {
        let text =
            format!("[vault.one]\nbackend = 'far'\n{one}\n[vault.two]\nbackend = 'far'\n{two}\n");
        match parse(&text) {
            Err(error) => assert!(same && error.contains("same place"), "{text}\n{error}"),
            Ok(_) => assert!(!same, "{text}"),
        }
    }
}

#[test]
fn no_two_stores_and_no_log_have_one_file_of_secrets() {
    let refusal = |text: &str| {
        let backends = Backends::new(["files", "memory"]);
        let file = Path::new("/etc/s.toml");
        let read = Config::parse(text.as_bytes(), file, &backends);
        read.err().map(|error| error.to_string())
    };
    let one = "[vault.one]\nbackend = 'files'\njson = 's.json'\n";
    for other in [
        "[vault.two]\nbackend = 'files'\njson = './s.json'",
        "[vault.two]\nbackend = 'files'\njson = '/etc/x/../s.json'\nallow-links = true",
        "[vault.two]\nbackend = 'files'\npath = 's.json'",
        "[audit]\npath = 's.json'\nkey = { file = 'k' }",
    ] {
        let told = refusal(&format!("{one}{other}")).unwrap();
        let part = "has the path that [vault.one] in line 1 has already";
        assert!(told.contains(part), "{other}\n{told}");
    }
    for other in [
        "[vault.two]\nbackend = 'files'\njson = 't.json'",
        "[vault.two]\nbackend = 'files'\npath = 's'",
    ] {
        assert_eq!(refusal(&format!("{one}{other}")), None, "{other}");
    }
}

#[test]
fn chains_lead_somewhere_and_never_back() {
    let deep: String = (0..12)
        .map(|n| format!("[vault.v{n}]\nchain = ['v{}']\n", n + 1))
        .collect();
    let deep = format!("{deep}[vault.v12]\nbackend = 'memory'\n");
    for (text, expected) in [
        (
            "[vault.a]\nchain = []",
            "1:8: [vault.a] has no 'chain': the ids of vaults, first asked first",
        ),
        ("[vault.a]\nchain = ['b']", "2:10: unknown vault 'b'"),
        (
            "[vault.b]\nbackend = 'memory'\n[vault.a]\nchain = ['b', 'b']",
            "4:15: 'chain' holds 'b' twice",
        ),
        (
            "[vault.b]\nbackend = 'memory'\n[vault.a]\nchain = ['b']\nbackend = 'memory'",
            "5:11: a vault has a 'backend' or a 'chain', not both",
        ),
        (
            "[vault.b]\nbackend = 'memory'\n[vault.a]\nchain = ['b']\ncache = false",
            "5:9: 'cache' has no use here: each vault of a chain has its own",
        ),
        (
            "[vault.b]\nbackend = 'memory'\n[vault.a]\nchain = ['b']\non-error = 'skip'",
            "5:12: unknown word 'skip'",
        ),
        (
            "[vault.b]\nbackend = 'memory'\n[vault.a]\nchain = ['b']\nregion = 'x'",
            "5:1: unknown key 'region' in [vault.a]",
        ),
        (
            "[vault.a]\nbackend = 'cloud'\ncache = { ttl = '5 parsecs' }",
            "3:17: 'ttl': a duration is",
        ),
        (
            "[vault.a]\nbackend = 'cloud'\ncache = { tll = '5m' }",
            "3:11: unknown key 'tll' in [vault.a.cache]: did you mean 'ttl'?",
        ),
        (
            "[vault.a]\nbackend = 'cloud'\ncache = true",
            "3:9: 'vault.a.cache' must be a table, not a boolean",
        ),
        (
            "[vault.a]\nbackend = 'cloud'\ndeadline = '1h'",
            "3:12: 'deadline' must be from 100ms to 300s",
        ),
        (
            "[vault.a]\nchain = ['b']\ndeadline = '9s'\n[vault.b]\nbackend = 'cloud'",
            "3:12: 'deadline' is below that of a vault of the chain, which is 10s",
        ),
        (
            "[vault.a]\nchain = ['b']\ndeadline = '4s'\n[vault.b]\nchain = ['c']\n[vault.c]\nbackend = 'cloud'\ndeadline = '5s'",
            "3:12: 'deadline' is below that of a vault of the chain, which is 5s",
        ),
        (
            "[vault.a]\nbackend = 'cloud'\nretry = { attempts = 0 }",
            "3:22: 'attempts' must be from 1 to 10",
        ),
    ] {
        let error = parse(text, None).unwrap_err();
        assert!(error.starts_with(expected), "{text}\n{error}");
    }
    for text in [
        "[vault.a]\nchain = ['a']",
        "[vault.a]\nchain = ['b']\n[vault.b]\nchain = ['a']",
        "[vault.a]\nchain = ['b']\n[vault.b]\nchain = ['c', 'd']\n[vault.c]\nbackend = 'memory'\n[vault.d]\nchain = ['a']",
    ] {
        let error = parse(text, None).unwrap_err();
        assert!(error.contains("leads back to itself: a ->"), "{error}");
    }
    let error = parse(&deep, None).unwrap_err();
    assert!(error.contains("lie within each other"), "{error}");
}

#[test]
fn a_chain_has_the_time_of_its_members() {
    let text = "[vault.a]\nchain = ['b', 'c']\n[vault.b]\nchain = ['c', 'd']\n\
        [vault.c]\nbackend = 'cloud'\ndeadline = '4s'\n[vault.d]\nbackend = 'memory'\n\
        [vault.e]\nchain = ['b']\ndeadline = '5s'\n\
        [vault.f]\nchain = ['g', 'h']\n[vault.g]\nbackend = 'cloud'\nregion = 'g'\ndeadline = '300s'\n\
        [vault.h]\nbackend = 'cloud'\nregion = 'h'\ndeadline = '1s'\n";
    let config = parse(text, None).unwrap();
    for (id, seconds) in [("b", 14), ("a", 18), ("e", 5), ("f", 300)] {
        let vault = &config.vaults[&VaultId::parse(id).unwrap()];
        assert_eq!(vault.deadline.as_secs(), seconds, "{id}");
    }
}
