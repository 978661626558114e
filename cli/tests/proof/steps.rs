//! Every command, each as often as it has ways to print.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::errors::{chmod, private};
use super::guests::guest;
use super::values::*;
use super::watched::Watched;

/// `init`, and from then on the keys that it made.
pub(crate) fn start(watched: &mut Watched) {
    watched.step(["init"]).run().ok();
    watched.step(["init"]).run().exits(2);
    let text = fs::read_to_string(watched.room.path("keys/local.key")).unwrap();
    let line = text.lines().last().unwrap();
    let key = STANDARD.decode(line).unwrap();
    let homes = ["keys/local.key", "keys/local.key.old"];
    watched.hide(KEY, key, &homes);
    watched.hide(KEY_TEXT, line, &homes);
    let first = fs::read_to_string(watched.room.path("keys/audit.key.first")).unwrap();
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    let mac = hex::decode(first["mac"].as_str().unwrap()).unwrap();
    watched.hide(AUDIT_KEY, mac, &["keys/audit.key", "keys/audit.key.first"]);

    let wasm = |name: &str| guest(name).into_os_string().into_string().unwrap();
    let all = "\"data-read\", \"data-write\", \"undelete\", \"rollback\", \"destroy\", \"rotate\", \"lease\"";
    watched.room.configure(&format!(
        "[component.probe]\nwasm = {:?}\n\
         grants = [{{ vault = \"local\", secrets = [\"app/**\"], actions = [{all}] }}]\n\
         quotas = {{ calls-per-second = 1000 }}\n\
         [component.limited]\n\
         grants = [{{ vault = \"local\", secrets = [\"app/**\"], actions = [{all}] }}]\n\
         quotas = {{ calls-per-second = 1, open-handles = 1 }}\n",
        wasm("probe.wasm")
    ));
    for name in [
        "reader_only",
        "read_secret",
        "json_secret",
        "get_many",
        "list_versions",
        "writer",
        "refused",
    ] {
        watched.room.configure(&format!(
            "[component.{name}]\nwasm = {:?}\n\
             grants = [{{ vault = \"local\", secrets = [\"app/**\"], actions = [{all}] }}]\n",
            wasm(&format!("{name}.wasm"))
        ));
    }
}

/// Every command for one secret.
pub(crate) fn secrets(watched: &mut Watched, outside: &Path) {
    let [previous, current, destroyed, field] =
        [PREVIOUS, CURRENT, DESTROYED, FIELD].map(|name| watched.bytes(name));
    let field = String::from_utf8(field).unwrap();
    watched.step(["set", "app/key"]).input(destroyed).run().ok();
    watched
        .step(["get", "app/key"])
        .asks(&[DESTROYED])
        .run()
        .ok();
    watched
        .step(["set", "app/key"])
        .input(previous.clone())
        .run()
        .ok();
    let file = outside.join("value");
    fs::write(&file, [&current[..], b"\n"].concat()).unwrap();
    let file = file.to_str().unwrap();
    watched
        .step([
            "set", "app/key", "--file", file, "--trim", "--kind", "api-key",
        ])
        .run()
        .ok();
    watched
        .step([
            "set",
            "app/json",
            "--if-version",
            "0",
            "--description",
            "JSON",
            "--label",
            "a=b",
            "--expires",
            "90d",
        ])
        .input(format!("{{\"password\":\"{field}\",\"port\":5432}}\n"))
        .run()
        .ok();
    let got = watched.step(["get", "app/key"]).asks(&[CURRENT]).run().ok();
    assert_eq!(got.stdout, current);
    let old = watched
        .step(["get", "app/key", "--version", "2"])
        .asks(&[PREVIOUS])
        .run()
        .ok();
    assert_eq!(old.stdout, previous);
    watched
        .step(["get", "app/key", "--json"])
        .asks(&[CURRENT])
        .run()
        .ok();
    let got = watched
        .step(["get", "app/json", "--field", "password"])
        .asks(&[FIELD])
        .run()
        .ok();
    assert_eq!(got.text(), field);
    watched
        .step(["get", "app/json", "--field", "port"])
        .run()
        .ok();
    for json in [&["--json"][..], &[]] {
        let with = |args: &[&'static str]| [args, json].concat();
        for quiet in [
            &["list"][..],
            &["list", "app/"],
            &["describe", "app/key"],
            &["describe", "app/json"],
            &["versions", "app/key"],
            &["delete", "app/key"],
            &["undelete", "app/key"],
            &["delete", "app/key", "--version", "1"],
            &["undelete", "app/key", "--version", "1"],
            &["rollback", "app/key", "--to", "2"],
            &["rollback", "app/key", "--to", "3"],
            &["check", "probe", "read", "app/key"],
            &["doctor"],
        ] {
            watched.step(with(quiet)).run().ok();
        }
        watched.step(with(&["rotate", "app/key"])).run();
    }
    watched
        .step(["destroy", "app/key", "--version", "1"])
        .run()
        .ok();
    watched.search_files();
}

/// Commands that move many values.
pub(crate) fn files(watched: &mut Watched, outside: &Path) {
    let value = String::from_utf8(watched.bytes(IMPORTED)).unwrap();
    let path = |name: &str| outside.join(name).into_os_string().into_string().unwrap();
    let (env, json) = (path("all.env"), path("all.json"));
    fs::write(&env, format!("# a file\nTOKEN=\"{value}\"\n")).unwrap();
    fs::write(&json, format!("{{\"TOKEN\":\"{value}\"}}")).unwrap();
    watched
        .step(["import", &env, "--to", "local:in/", "--dry-run"])
        .run()
        .ok();
    watched
        .step(["import", &env, "--to", "local:in/"])
        .run()
        .ok();
    watched
        .step(["import", &json, "--to", "local:in/", "--overwrite"])
        .run()
        .ok();
    watched
        .step(["import", "-", "--to", "local:std/"])
        .input(format!("A={value}"))
        .run()
        .ok();
    for format in ["env", "json"] {
        watched
            .step(["export", "local:in/", "--format", format])
            .asks(&[IMPORTED])
            .run()
            .ok();
        let to = path(&format!("out.{format}"));
        watched
            .step(["export", "local:in/", "--format", format, "--output", &to])
            .run()
            .ok();
        watched
            .step(["export", "local:in/", "--format", format, "--output", &to])
            .run();
    }
    watched
        .step(["copy", "local:in/", "local:copy/", "--dry-run"])
        .run()
        .ok();
    watched
        .step(["copy", "local:in/", "local:copy/"])
        .run()
        .ok();
    watched
        .step(["copy", "local:copy/TOKEN", "local:moved/TOKEN", "--move"])
        .run()
        .ok();
    watched
        .step(["copy", "local:app/key", "local:moved/TOKEN"])
        .run();
    watched
        .step([
            "copy",
            "local:app/key",
            "local:moved/TOKEN",
            "--overwrite",
            "--json",
        ])
        .run()
        .ok();

    // Files that are not what they should be, around the value.
    for (name, text) in [
        ("torn.env", format!("TOKEN=\"{value}\nREST=1\n")),
        ("noname.env", format!("={value}\n")),
        ("noequals.env", format!("{value}\n")),
        ("badname.env", format!("BAD NAME={value}\n")),
        ("double.env", format!("A={value}\nA=other\n")),
        ("torn.json", format!("{{\"TOKEN\":\"{value}\"")),
        ("list.json", format!("[\"{value}\"]")),
        ("number.json", format!("{{\"TOKEN\":[\"{value}\", 1]}}")),
        ("escape.json", format!("{{\"TOKEN\":\"{value}\\q\"}}")),
        ("text.json", format!("\"{value}\"")),
    ] {
        fs::write(outside.join(name), text).unwrap();
        for json in [&["--json"][..], &[]] {
            let file = path(name);
            let args = [&["import", &file, "--to", "local:torn/"], json].concat();
            watched.step(args).run();
        }
    }
}

/// Vaults of other kinds, and keys from elsewhere.
pub(crate) fn other_vaults(watched: &mut Watched, outside: &Path) {
    // Values go through all of these: here, or where servers answer for them.
    let file = outside.join("backend.toml");
    private(&file, b"[vault.x]\nprefix = \"X_\"\n");
    let refused = watched
        .step(["--config", file.to_str().unwrap(), "list"])
        .run()
        .exits(2);
    assert!(refused.stderr.contains(BACKENDS), "{}", refused.stderr);
    read_only_vaults(watched, outside);
    watched
        .room
        .configure("[vault.scratch]\nbackend = \"memory\"\n");
    watched.step(["trust"]).run().ok();
    let current = watched.bytes(CURRENT);
    watched
        .step(["set", "scratch:a"])
        .input(current.clone())
        .run()
        .ok();
    watched.step(["copy", "local:app/", "scratch:"]).run().ok();
    watched.step(["doctor", "scratch"]).run().ok();

    // A vault under a passphrase, with a project of its own.
    let passphrase = watched.bytes(PASSPHRASE);
    let file = watched.room.path("passphrase");
    private(&file, &passphrase);
    watched
        .step(["init", "passphrase.room", "--passphrase-file", "passphrase"])
        .run()
        .ok();
    let config = "passphrase.room/strongroom.toml";
    watched
        .step(["--config", config, "set", "a"])
        .input(current.clone())
        .run()
        .ok();
    watched
        .step(["--config", config, "get", "a"])
        .asks(&[CURRENT])
        .run()
        .ok();
    watched.step(["--config", config, "doctor"]).run().ok();
    let other = watched.bytes(OTHER_PASSPHRASE);
    private(&watched.room.path("other-passphrase"), &other);
    watched
        .step([
            "--config",
            config,
            "keys",
            "rekey",
            "--passphrase-file",
            "other-passphrase",
        ])
        .run()
        .ok();
    watched
        .step(["--config", config, "get", "a"])
        .asks(&[CURRENT])
        .run()
        .ok();
    // The old passphrase no longer opens it.
    private(&watched.room.path("other-passphrase"), &passphrase);
    for args in [&["get", "a"][..], &["doctor"], &["list", "--json"]] {
        let args = [&["--config", config], args].concat();
        let answer = watched.step(args).run();
        assert_ne!(answer.code, 0);
    }
    private(&watched.room.path("other-passphrase"), &other);

    // A key in a variable: the right one, a wrong one, and what is no key.
    let variable_key = watched.bytes(VARIABLE_KEY);
    watched.room.configure(
        "[vault.by-variable]\nbackend = \"local\"\npath = \"by-variable.vault\"\nkey = { env = \"VAULT_KEY\" }\n",
    );
    watched.step(["trust"]).run().ok();
    let misplaced = watched.bytes(MISPLACED);
    for key in [
        variable_key,
        misplaced.clone(),
        [&misplaced[..], b"\xc3\xa9 "].concat(),
        Vec::new(),
    ] {
        for args in [
            &["set", "by-variable:a"][..],
            &["get", "by-variable:a"],
            &["doctor", "by-variable"],
        ] {
            watched
                .step(args)
                .input(current.clone())
                .variable("VAULT_KEY", key.clone())
                .given(&[VARIABLE_KEY, MISPLACED])
                .asks(&[CURRENT])
                .run();
        }
    }
}

/// Variables and files.
fn read_only_vaults(watched: &mut Watched, outside: &Path) {
    let current = watched.bytes(CURRENT);
    let folder = outside.join("mounted");
    fs::create_dir(&folder).unwrap();
    chmod(&folder, 0o700);
    private(&folder.join("key"), &current);
    watched.room.configure(&format!(
        "[vault.variables]\nbackend = \"env\"\nprefix = \"SHOP_\"\n\
         [vault.mounted]\nbackend = \"files\"\npath = {folder:?}\n\
         [vault.chained]\nchain = [\"variables\", \"mounted\"]\n"
    ));
    watched
        .room
        .configure("[vault.offline]\nbackend = \"memory\"\nsync = { from = \"local:app/\" }\n");
    watched.step(["trust"]).run().ok();
    watched.step(["sync", "offline"]).run().ok();
    watched.step(["sync", "offline", "--json"]).run().ok();
    for vault in ["variables", "mounted", "chained"] {
        let name = format!("{vault}:key");
        let all = format!("{vault}:");
        for args in [
            &["get", &name][..],
            &["get", &name, "--json"],
            &["get", &name, "--field", "a"],
            &["describe", &name],
            &["versions", &name],
            &["list", &all],
            &["set", &name],
            &["delete", &name],
            &["copy", &name, "local:read-only", "--overwrite"],
            &["doctor", vault],
        ] {
            let asked: &[_] = if args[0] == "get" { &[CURRENT] } else { &[] };
            let answer = watched
                .step(args)
                .variable("SHOP_KEY", current.clone())
                .given(&[CURRENT])
                .input(current.clone())
                .asks(asked)
                .run();
            let works = ["get", "describe", "list", "copy", "doctor"].contains(&args[0]);
            let works = works && !args.contains(&"--field");
            assert!(!works || answer.code == 0, "{args:?}: {answer:?}");
        }
    }
}

/// `exec`.
pub(crate) fn programs(watched: &mut Watched) {
    let printed = watched
        .step([
            "exec",
            "--env",
            "A=app/key",
            "--env",
            "B=app/json",
            "--",
            "sh",
            "-c",
            "printf %s \"$A\"; env",
        ])
        .asks(&[CURRENT, FIELD])
        .replaced()
        .run()
        .ok();
    assert!(printed.stdout.starts_with(&watched.bytes(CURRENT)));
    watched
        .step(["exec", "--env", "A=app/key", "--", "true"])
        .replaced()
        .run()
        .ok();
    watched
        .step(["exec", "--env", "A=app/key", "--", "no-such-program"])
        .replaced()
        .run();
    watched
        .step([
            "exec",
            "--env",
            "A=app/key",
            "--env",
            "B=app/none",
            "--",
            "true",
        ])
        .run();
    watched
        .step(["exec", "--env", "A B=app/key", "--", "true"])
        .replaced()
        .run();
    let binary = [&watched.bytes(CURRENT)[..], b"\0end"].concat();
    watched.step(["set", "app/binary"]).input(binary).run().ok();
    watched
        .step(["exec", "--env", "A=app/binary", "--", "true"])
        .replaced()
        .run();
    watched
        .step(["get", "app/binary", "--json"])
        .asks(&[CURRENT])
        .run()
        .ok();
}

/// The log's commands, and those that print nothing of a vault.
pub(crate) fn log_and_help(watched: &mut Watched, outside: &Path) {
    watched.step(["audit", "show"]).run().ok();
    watched
        .step(["audit", "show", "--json", "--since", "1d"])
        .run()
        .ok();
    watched
        .step(["audit", "verify", "--key", "keys/audit.key.first"])
        .run()
        .ok();
    let line = watched
        .step(["audit", "checkpoint"])
        .run()
        .ok()
        .text()
        .to_owned();
    watched
        .step(["audit", "verify", "--checkpoint", &line])
        .run()
        .ok();
    watched
        .step(["audit", "verify", "--checkpoint", "{}"])
        .run();
    watched.step(["audit", "resume"]).run();
    follow_for_a_while(watched);
    for shell in ["bash", "zsh", "fish"] {
        watched.step(["completions", shell]).run().ok();
    }
    watched.step(["man"]).run().ok();
    watched
        .step(["man", outside.join("man").to_str().unwrap()])
        .run()
        .ok();
    watched.step(["trust"]).run();
    watched.step(["--help"]).run().ok();
    // A file that holds a key, given where another is meant.
    watched
        .step(["audit", "verify", "--key", "keys/local.key"])
        .run();
    watched
        .step(["audit", "verify", "--checkpoint", "@keys/local.key"])
        .run();
    watched.step(["--config", "keys/local.key", "list"]).run();
    watched.step(["run", "keys/local.key"]).run();
}

/// `audit follow` stays until it is interrupted.
fn follow_for_a_while(watched: &mut Watched) {
    let current = watched.bytes(CURRENT);
    let mut set = watched.room.command(["set", "app/followed"]);
    set.stdin(Stdio::piped()).stdout(Stdio::null());
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        let mut child = set.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&current).unwrap();
        assert!(child.wait().unwrap().success());
    });
    let followed = watched
        .step(["audit", "follow", "--json"])
        .interrupted_after(Duration::from_secs(2))
        .run();
    writer.join().unwrap();
    assert!(followed.text().contains("app/followed"), "{followed:?}");
}

/// New keys, at the end: the ones so far are searched for to the last.
pub(crate) fn keys(watched: &mut Watched) {
    watched.step(["keys", "rotate"]).run().ok();
    watched.step(["keys", "rotate", "--json"]).run().ok();
    watched.step(["get", "app/key"]).asks(&[CURRENT]).run().ok();
    watched
        .step(["keys", "rekey", "--file", "keys/new.key"])
        .run()
        .ok();
    watched.step(["get", "app/key"]).asks(&[CURRENT]).run().ok();
    watched.step(["audit", "verify"]).run().ok();
}
