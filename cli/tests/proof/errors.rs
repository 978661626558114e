//! Wrong arguments, references, files and configurations, each with a value near them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::components::probe;
use super::values::{CURRENT, MISPLACED};
use super::watched::Watched;

/// Wrong arguments and references, and what cannot be done.
pub(crate) fn wrong_calls(watched: &mut Watched, outside: &Path) {
    let misplaced = String::from_utf8(watched.bytes(MISPLACED)).unwrap();
    let current = watched.bytes(CURRENT);
    // A value given as an argument is in the list of processes, but goes no further.
    let bad = format!("app/{misplaced} ");
    for args in [
        &["set", "app/key", &misplaced][..],
        &["get", &bad],
        &["describe", &bad],
        &["delete", &bad, "--json"],
        &["copy", &bad, "local:x"],
        &["exec", "--env", &format!("A={bad}"), "--", "true"],
    ] {
        watched.step(args).given(&[MISPLACED]).run().exits(2);
    }
    watched
        .step(probe(&["get", &bad]))
        .given(&[MISPLACED])
        .run()
        .exits(1);
    for args in [
        &["set", "app/key", "--if-version", "1"][..],
        &["set", "app/key", "--if-version", "0", "--json"],
        &["set", "..//"],
        &["set", "nosuch:a"],
        &["set", "app/key", "--expires", "yesterday"],
        &["set", "app/key", "--label", "nothing"],
        &["set", "app/key", "--nonsense"],
        &["set", "app/key", "--file", "no-such-file"],
        &["get", "app/none"],
        &["get", "app/key", "--version", "99"],
        &["get", "app/key", "--version", "1"],
        &["get", "app/key", "--field", "a"],
        &["get", "app/json", "--field", "none"],
        &["get", "app/binary", "--field", "a"],
        &["delete", "app/none"],
        &["undelete", "app/none"],
        &["undelete", "app/key"],
        &["destroy", "app/key", "--version", "99"],
        &["rollback", "app/key", "--to", "1"],
        &["rollback", "app/key", "--to", "99"],
        &["rotate", "app/none"],
        &["copy", "local:none/", "local:x/"],
        &["export", "nosuch:"],
        &["keys", "rotate", "scratch"],
        &["doctor", "nosuch"],
        &["check", "nosuch", "read", "app/key"],
    ] {
        let answer = watched.step(args).input(current.clone()).run();
        assert!(
            answer.code != 0 || args.contains(&"undelete") || args[0] == "copy",
            "{args:?}"
        );
    }
    let large = outside.join("large");
    fs::write(&large, current.repeat(1 + (1 << 20) / current.len())).unwrap();
    watched
        .step(["set", "app/large", "--file", large.to_str().unwrap()])
        .run()
        .exits(1);
    watched
        .step(["set", "app/large"])
        .input(fs::read(&large).unwrap())
        .run()
        .exits(1);
}

/// Files that are damaged, missing, of the wrong mode, or hold what they should not.
pub(crate) fn wrong_files(watched: &mut Watched, outside: &Path) {
    let room = |watched: &Watched, name: &str| watched.room.path(name);
    let tries = |watched: &mut Watched| -> Vec<i32> {
        let value = watched.bytes(CURRENT);
        let mut codes = Vec::new();
        for args in [
            &["get", "app/key"][..],
            &["set", "app/json"],
            &["doctor"],
            &["list", "--json"],
        ] {
            codes.push(
                watched
                    .step(args)
                    .asks(&[CURRENT])
                    .input(value.clone())
                    .run()
                    .code,
            );
        }
        codes.push(
            watched
                .step(probe(&["get", "app/key"]))
                .asks(&[CURRENT])
                .run()
                .code,
        );
        codes
    };
    let with = |watched: &mut Watched, name: &str, change: &dyn Fn(&Path)| {
        let path = room(watched, name);
        let kept = outside.join("kept");
        fs::rename(&path, &kept).unwrap();
        fs::copy(&kept, &path).unwrap();
        change(&path);
        let codes = tries(watched);
        assert!(codes.iter().any(|code| *code != 0), "{name}: {codes:?}");
        // Under a watch that looks for every value, also at what was changed.
        watched.search_files();
        let _ = fs::remove_file(&path);
        fs::rename(&kept, &path).unwrap();
    };
    with(watched, "keys/local.key", &|path| chmod(path, 0o644));
    with(watched, "keys/local.key", &|path| {
        fs::remove_file(path).unwrap()
    });
    with(watched, "keys/local.key", &|path| {
        let text = fs::read_to_string(path).unwrap();
        private(path, &text.as_bytes()[..text.len() - 9]);
    });
    with(watched, "keys/local.key", &|path| {
        let (comment, _) = fs::read_to_string(path)
            .unwrap()
            .split_once('\n')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        private(
            path,
            format!("{comment}\n{}\n", STANDARD.encode([7; 32])).as_bytes(),
        );
    });
    with(watched, "keys/audit.key", &|path| chmod(path, 0o640));
    with(watched, "keys/audit.key", &|path| {
        let text = fs::read_to_string(path).unwrap();
        private(path, text.replace("\"epoch\":", "\"epoch\":x").as_bytes());
    });
    with(watched, "audit.jsonl", &|path| chmod(path, 0o666));
    with(watched, "audit.jsonl", &|path| {
        fs::remove_file(path).unwrap()
    });
    with(watched, "local.vault", &|path| {
        let mut bytes = fs::read(path).unwrap();
        let end = bytes.len();
        for at in (4096..end).step_by(512) {
            bytes[at] ^= 0x55;
        }
        private(path, &bytes);
    });

    // A configuration with a value where a name belongs, in every kind of error.
    let config = fs::read_to_string(room(watched, "strongroom.toml")).unwrap();
    let misplaced = String::from_utf8(watched.bytes(MISPLACED)).unwrap();
    let file = outside.join("wrong.toml");
    for wrong in [
        format!(
            "[vault.x]\nbackend = \"local\"\npath = \"x\"\nkey = {{ passphrase = \"{misplaced}\" }}\n"
        ),
        format!("[vault.x]\nbackend = \"local\"\npath = \"x\"\nkey = \"{misplaced}\"\n"),
        format!("[vault.x]\nbackend = \"local\"\npath = \"x\"\npassphrase = \"{misplaced}\"\n"),
        format!(
            "[vault.x]\nbackend = \"local\"\npath = \"x\"\nkey = {{ file = \"k\", text = \"{misplaced}\" }}\n"
        ),
        format!("[vault.x]\nbackend = \"aws-ssm\"\nsecret-access-key = \"{misplaced}\"\n"),
        format!("[vault.x]\nbackend = \"local\"\nkey = {{ passphrase = \"{misplaced}\n"),
        format!("password = \"{misplaced}\"\n{config}"),
        format!("{config}\n[vault.x]\ntoken = '{misplaced}' extra\n"),
    ] {
        private(&file, wrong.as_bytes());
        for json in [&["--json"][..], &[]] {
            let args = [&["--config", file.to_str().unwrap(), "list"], json].concat();
            watched.step(args).run().exits(2);
        }
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Writes a file that only we can read.
pub(crate) fn private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    chmod(path, 0o600);
}
