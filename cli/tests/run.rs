//! `strongroom run`: real guests in the real command.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

#[path = "support/guests.rs"]
mod guests;
mod support;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use guests::{allow_probe, command, guest, probe, run};
use support::{Answer, Room, contains};

const CANARY: &str = "canary-7f31c0de";

fn room() -> Room {
    let room = Room::new();
    allow_probe(&room, "[\"read\"]");
    room.set("app/key", CANARY);
    room.set("other/key", CANARY);
    room
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn a_component_gets_what_it_is_granted_and_nothing_else() {
    let room = room();
    let answer = run(&room, probe(&["get", "app/key"])).ok();
    assert_eq!(answer.text(), format!("value {}\n", hex(CANARY)));
    for denied in [
        "other/key",
        "app-other/key",
        "none/such",
        "elsewhere:app/key",
    ] {
        assert_eq!(
            run(&room, probe(&["get", denied])).exits(1).text(),
            "error: denied\n"
        );
    }
    assert_eq!(
        run(&room, probe(&["get", "app/none"])).exits(1).text(),
        "error: not-found\n"
    );
    assert_eq!(
        run(&room, probe(&["set", "app/key", "00"])).exits(1).text(),
        "error: denied\n"
    );
}

#[test]
fn every_call_is_on_record_with_the_bytes_that_made_it() {
    let room = room();
    run(&room, probe(&["get", "app/key"])).ok();
    run(&room, probe(&["get", "other/key"])).exits(1);
    let shown = room
        .run(["audit", "show", "--json", "--component", "probe"])
        .ok();
    let records: Vec<serde_json::Value> = shown
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(records[0]["outcome"], "allowed");
    assert_eq!(records[0]["grant"], "component.probe.grants[0]");
    assert_eq!(records[0]["secret"], "app/key");
    assert_eq!(records[1]["outcome"], "denied");
    for record in &records {
        assert!(record["digest"].as_str().unwrap().starts_with("sha256:"));
    }
    for (path, bytes) in room.everything() {
        assert!(!contains(&bytes, CANARY.as_bytes()), "{}", path.display());
    }
}

#[test]
fn without_an_entry_it_says_what_to_add_and_that_works() {
    let room = Room::new();
    room.set("path/of/a/secret", "v");
    let read = ["get", "path/of/a/secret"];
    let refused = room
        .run(probe(&read))
        .exits(2)
        .says("no entry")
        .says("[component.probe]");
    let advice = refused.stderr.split_once("add one:\n").unwrap().1;
    room.configure(advice);
    assert_eq!(
        run(&room, probe(&read)).ok().text(),
        format!("value {}\n", hex("v"))
    );
    room.run(
        ["run", "--name", "ghost"]
            .iter()
            .map(Into::into)
            .chain(probe(&[]).into_iter().skip(1)),
    )
    .exits(2)
    .says("no [component.ghost]");
}

#[test]
fn several_entries_need_a_name() {
    let room = room();
    let wasm = guest("probe.wasm");
    room.configure(&format!("[component.second]\nwasm = {wasm:?}\n"));
    run(&room, probe(&["get", "app/key"]))
        .exits(2)
        .says("probe, second")
        .says("--name");
    let named = |name: &str| {
        let mut all = probe(&["get", "app/key"]);
        all.splice(1..1, ["--name".into(), name.into()]);
        run(&room, all)
    };
    named("probe").ok();
    assert_eq!(named("second").exits(1).text(), "error: denied\n");
}

#[test]
fn a_digest_finds_the_entry_and_refuses_other_bytes() {
    let room = Room::new();
    room.set("app/key", "v");
    let refused = run(&room, probe(&["get", "app/key"])).exits(2);
    let digest = refused
        .stderr
        .split_once("digest = \"")
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap();
    let grants = "grants = [{ vault = \"local\", secrets = [\"app/**\"], actions = [\"read\"] }]";
    room.configure(&format!(
        "[component.pinned]\ndigest = \"{digest}\"\n{grants}\n"
    ));
    run(&room, probe(&["get", "app/key"])).ok();
    let other = format!("sha256:{}", "0".repeat(64));
    let wasm = guest("reader_only.wasm");
    room.configure(&format!(
        "[component.other]\nwasm = {wasm:?}\ndigest = \"{other}\"\n"
    ));
    let answer = room.run(
        [wasm.as_os_str(), "--".as_ref(), "app/key".as_ref()]
            .iter()
            .fold(vec!["run".into()], |mut all: Vec<OsString>, word| {
                all.push(word.into());
                all
            }),
    );
    let answer = answer.exits(2).says(&other).says("sha256:");
    assert_eq!(
        answer.stderr.matches("sha256:").count(),
        2,
        "{}",
        answer.stderr
    );
}

/// Without a digest the file is the identity: whoever may change it has the grants.
#[test]
fn a_component_that_others_may_change_needs_a_digest() {
    let room = Room::new();
    room.set("app/key", "v");
    let folder = room.path("parts");
    let wasm = folder.join("app.wasm");
    fs::create_dir(&folder).unwrap();
    fs::copy(guest("probe.wasm"), &wasm).unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let grants = "grants = [{ vault = \"local\", secrets = [\"app/**\"], actions = [\"read\"] }]";
    room.configure(&format!("[component.app]\nwasm = {wasm:?}\n{grants}\n"));
    let get = |wasm: &Path, options: &[&str]| {
        let mut all: Vec<OsString> = vec!["run".into()];
        all.extend(options.iter().map(Into::into));
        all.extend([wasm.into(), "--".into(), "get".into(), "app/key".into()]);
        run(&room, all)
    };
    mode(&folder, 0o755);
    mode(&wasm, 0o755);
    get(&wasm, &[]).ok();
    for (path, good, bad) in [
        (&wasm, 0o644, 0o664),
        (&wasm, 0o644, 0o646),
        (&folder, 0o755, 0o777),
    ] {
        mode(path, bad);
        for options in [&[][..], &["--name", "app"]] {
            let answer = get(&wasm, options).exits(2).says("chmod go-w");
            let answer = answer
                .says(path.to_str().unwrap())
                .says("digest = \"sha256:");
            assert!(answer.stdout.is_empty());
        }
        mode(path, good);
    }
    // The folder of a link counts as well: the link could be pointed at other bytes.
    let open = room.path("open");
    fs::create_dir(&open).unwrap();
    mode(&open, 0o777);
    let link = open.join("link.wasm");
    symlink(&wasm, &link).unwrap();
    get(&link, &[]).exits(2).says("chmod go-w");
    mode(&open, 0o755);
    get(&link, &[]).ok();
    // Pinned bytes are the same whoever wrote them.
    mode(&wasm, 0o666);
    let refused = get(&wasm, &[]).exits(2);
    let digest = refused.stderr.split_once("digest = \"").unwrap().1;
    let digest = digest.split('"').next().unwrap();
    let file = room.path("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let entry = "\n[component.app]\n";
    let pinned = text.replace(entry, &format!("{entry}digest = \"{digest}\"\n"));
    fs::write(&file, pinned).unwrap();
    get(&wasm, &[]).ok();
}

#[test]
fn a_cloned_configuration_does_not_open_the_users_own_vault() {
    let room = Room::new();
    room.set("bank/pin", CANARY);
    let clone = room.home().join("clone");
    fs::create_dir(&clone).unwrap();
    let wasm = guest("probe.wasm");
    let text = format!(
        "[vault.local]\nbackend = \"local\"\npath = \"../work/local.vault\"\n\
         key = {{ file = \"../work/keys/local.key\" }}\n\
         [audit]\npath = \"../work/audit.jsonl\"\nkey = {{ file = \"../work/keys/audit.key\" }}\n\
         [component.evil]\nwasm = {wasm:?}\n\
         grants = [{{ vault = \"local\", secrets = [\"**\"], actions = [\"data-read\"] }}]\n"
    );
    let file = clone.join("strongroom.toml");
    fs::write(&file, text).unwrap();
    let there = |args: Vec<OsString>| -> Answer {
        command(&room, args)
            .current_dir(&clone)
            .output()
            .unwrap()
            .into()
    };
    let get = || probe(&["get", "local:bank/pin"]);
    let refused = there(get()).exits(2).says("strongroom trust");
    assert!(refused.stdout.is_empty());
    for what in [
        "vault.local.path in line 3 is outside of its folder",
        "vault.local.key.file in line 4",
        "audit.path in line 6",
        "audit.key.file in line 7",
    ] {
        assert!(refused.stderr.contains(what), "{}", refused.stderr);
    }
    // A file that was named was chosen.
    let value = format!("value {}\n", hex(CANARY));
    let mut named = get();
    named.splice(0..0, ["--config".into(), file.clone().into()]);
    assert_eq!(run(&room, named).ok().text(), value);
    let by_variable = command(&room, get())
        .env("STRONGROOM_CONFIG", &file)
        .output();
    assert_eq!(Answer::from(by_variable.unwrap()).ok().text(), value);
    let trusted = there(vec!["trust".into()]).ok();
    assert!(
        trusted
            .text()
            .contains("line 3: vault.local.path is outside of its folder")
    );
    assert_eq!(there(get()).ok().text(), value);
}

#[test]
fn a_file_name_does_not_reach_the_terminal_as_it_is() {
    let room = room();
    let name = "evil\x1b[2J.wasm";
    room.run(["run", name]).exits(4).says("\\u{1b}");
    fs::copy(guest("probe.wasm"), room.path(name)).unwrap();
    for args in [&["run", name][..], &["run", "--name", "ghost", name]] {
        let answer = room.run(args).exits(2);
        assert!(!answer.stderr.contains('\x1b'), "{:?}", answer.stderr);
    }
    room.run(["run", name])
        .exits(2)
        .says("for evil\\u{1b}[2J.wasm");
    fs::write(room.path(name), "text").unwrap();
    let answer = room.run(["run", name]).exits(2).says("\\u{1b}");
    assert!(!answer.stderr.contains('\x1b'), "{:?}", answer.stderr);
}

#[test]
fn a_program_has_no_variable_file_or_network_that_is_not_asked_for() {
    let room = room();
    let with_variable = |args, value: &str| -> Answer {
        command(&room, args)
            .env("LEAK", value)
            .output()
            .unwrap()
            .into()
    };
    assert_eq!(
        with_variable(probe(&["env"]), CANARY).ok().text(),
        "arg env\n"
    );
    let mut asked = probe(&["env"]);
    asked.splice(
        1..1,
        [
            "--env".into(),
            "A=b=c".into(),
            "--env".into(),
            "LEAK".into(),
        ],
    );
    let asked = with_variable(asked, "yes").ok();
    assert_eq!(asked.text(), "arg env\nenv A=b=c\nenv LEAK=yes\n");

    fs::write(room.path("file"), "text").unwrap();
    for path in ["file", "/file", "/etc/hostname", "../work/file"] {
        assert!(
            run(&room, probe(&["file", path]))
                .exits(1)
                .text()
                .starts_with("io-error"),
            "{path}"
        );
    }
    let mut with_folder = probe(&["file", "/in/file"]);
    with_folder.splice(1..1, ["--dir".into(), ".::/in".into()]);
    assert_eq!(
        run(&room, with_folder.clone()).ok().text(),
        format!("bytes {}\n", hex("text"))
    );
    *with_folder.last_mut().unwrap() = "/in/../strongroom.toml/../../secret".into();
    run(&room, with_folder).exits(1);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert!(
        run(&room, probe(&["connect", &address]))
            .exits(1)
            .text()
            .starts_with("io-error")
    );
}

#[test]
fn a_program_ends_with_its_own_code_and_a_trap_with_134() {
    let room = room();
    run(&room, probe(&["exit", "0"])).ok();
    run(&room, probe(&["exit", "1"])).exits(1);
    run(&room, probe(&["panic"])).exits(134).says("trapped");
}

#[test]
fn deadlines_and_fuel_stop_a_loop() {
    let room = room();
    let started = Instant::now();
    let with = |option: &str, value: &str| {
        let mut all = probe(&["loop"]);
        all.splice(1..1, [option.into(), value.into()]);
        run(&room, all)
    };
    with("--timeout", "300ms").exits(134).says("--timeout");
    assert!(started.elapsed() < Duration::from_secs(20));
    with("--fuel", "1000000").exits(134).says("fuel");
}

#[test]
fn memory_is_bounded() {
    let room = room();
    let mut all = probe(&["grow"]);
    all.splice(1..1, ["--max-memory".into(), "64".into()]);
    let answer = run(&room, all).exits(134);
    let grown = answer
        .text()
        .lines()
        .filter(|line| line.starts_with("grown"))
        .count();
    assert!((1..=4).contains(&grown), "{grown} times 16 MiB");
}

/// Starts a guest and waits for its first line.
fn start(
    room: &Room,
    arguments: &[&str],
    first: &str,
) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command(room, probe(arguments))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    if !first.is_empty() {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), first);
    }
    (child, lines)
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn signals_stop_a_guest_that_loops_and_one_that_waits() {
    let room = room();
    for (arguments, first) in [
        (&["loop"][..], "looping"),
        (&["hold", "app/key"][..], "open 1"),
    ] {
        for (name, code) in [("TERM", 143), ("INT", 130)] {
            let (mut child, _lines) = start(&room, arguments, first);
            let stdin = child.stdin.take();
            let asked = Instant::now();
            signal(&child, name);
            assert_eq!(
                child.wait().unwrap().code(),
                Some(code),
                "{arguments:?} {name}"
            );
            assert!(
                asked.elapsed() < Duration::from_secs(3),
                "{:?}",
                asked.elapsed()
            );
            drop(stdin);
        }
    }
    // Both ended in order, so the log has nothing to recover.
    room.run(["audit", "verify"]).ok();
}

#[test]
fn a_guest_whose_output_nobody_reads_can_be_stopped() {
    let room = room();
    let value = format!("value {}", hex(CANARY));
    let (mut child, lines) = start(&room, &["print-forever", "app/key"], &value);
    // Until the pipe is full and the write hangs.
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    drop(lines);
    room.run(["audit", "verify"]).ok();
}

/// What a guest that follows a script gets of a secret.
fn ask(stdin: &mut impl Write, lines: &mut impl BufRead, secret: &str) -> String {
    stdin
        .write_all(format!("get {secret}\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    lines.read_line(&mut answer).unwrap();
    let mut done = String::new();
    lines.read_line(&mut done).unwrap();
    assert_eq!(done, "done\n");
    answer
}

#[test]
fn a_grant_that_is_taken_away_is_gone_while_the_program_runs() {
    let room = room();
    let (mut child, mut lines) = start(&room, &["script"], "");
    let mut stdin = child.stdin.take().unwrap();
    let mut ask = || ask(&mut stdin, &mut lines, "app/key");
    assert_eq!(ask(), format!("value {}\n", hex(CANARY)));
    let file = room.path("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("app/**", "gone/**")).unwrap();
    let edited = Instant::now();
    while ask() != "error: denied\n" {
        assert!(
            edited.elapsed() < Duration::from_secs(2),
            "the old grant still counts"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    // A file that cannot be read as a configuration leaves what is in force.
    fs::write(&file, "nonsense").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(ask(), "error: denied\n");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// A pull into a folder that was trusted must not widen grants of a program under way.
#[test]
fn an_edit_of_a_found_configuration_takes_force_once_it_is_trusted() {
    let room = room();
    room.configure("[vault.variables]\nbackend = \"env\"\nprefix = \"APP_\"\n");
    let refused = run(&room, probe(&["get", "app/key"])).exits(2);
    assert!(refused.stderr.contains("strongroom trust"));
    room.run(["trust"]).ok();
    let (mut child, mut lines) = start(&room, &["script"], "");
    let mut stdin = child.stdin.take().unwrap();
    let mut ask = || ask(&mut stdin, &mut lines, "other/key");
    assert_eq!(ask(), "error: denied\n");
    let file = room.path("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("app/**", "other/**")).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(ask(), "error: denied\n");
    room.run(["trust"]).ok();
    let trusted = Instant::now();
    while ask() != format!("value {}\n", hex(CANARY)) {
        assert!(
            trusted.elapsed() < Duration::from_secs(5),
            "what was trusted does not count"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// The text stays, and a kubeconfig that it names sends secrets elsewhere from now on.
#[test]
fn a_vault_opens_while_what_was_trusted_is_as_it_was() {
    let room = room();
    // The settings of a vault that nobody asks are nobody's to judge.
    room.configure("[vault.far]\nbackend = \"env\"\nca-file = \"ca\"\n");
    let ca = room.path("ca");
    fs::write(&ca, "a").unwrap();
    room.run(["trust"]).ok();
    let (mut child, mut lines) = start(&room, &["script"], "");
    let mut stdin = child.stdin.take().unwrap();
    let mut ask = |secret| ask(&mut stdin, &mut lines, secret);
    // The program is under way, and no vault is open.
    assert_eq!(ask("other/key"), "error: denied\n");
    fs::write(&ca, "b").unwrap();
    let refused = ask("app/key");
    assert!(refused.starts_with("error: failed"), "{refused}");
    fs::write(&ca, "a").unwrap();
    let restored = Instant::now();
    while ask("app/key") != format!("value {}\n", hex(CANARY)) {
        assert!(
            restored.elapsed() < Duration::from_secs(20),
            "what is as it was trusted does not open"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_no_component_is_named() {
    let room = room();
    let whole = fs::read(guest("probe.wasm")).unwrap();
    let cases: &[(&str, &[u8], &str)] = &[
        ("core.wasm", b"\0asm\x01\0\0\0", "core module"),
        ("text.wat", b"(component)", "text"),
        ("garbage.wasm", b"#!/bin/sh\n", "not WebAssembly"),
        ("empty.wasm", b"", "empty"),
        ("half.wasm", &whole[..whole.len() / 2], "half.wasm"),
        ("library.wasm", b"\0asm\x0d\0\x01\0", "no command"),
    ];
    for (name, bytes, what) in cases {
        fs::write(room.path(name), bytes).unwrap();
        room.run(["run", "--name", "probe", name])
            .exits(2)
            .says(what)
            .says("hint");
    }
    room.run(["run", "none.wasm"]).exits(4).says("none.wasm");
}

#[test]
fn an_import_that_is_missing_is_named() {
    let room = room();
    let text = r#"(component
        (import "acme:billing/ledger@1.0.0" (instance (export "post" (func))))
        (core module $m (func (export "run") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $r (export "run" (func $run)))
        (export "wasi:cli/run@0.2.3" (instance $r)))"#;
    fs::write(room.path("needy.wasm"), wat::parse_str(text).unwrap()).unwrap();
    room.run(["run", "--name", "probe", "needy.wasm"])
        .exits(2)
        .says("acme:billing/ledger@1.0.0");
}

#[test]
fn compiled_code_is_kept_where_only_the_user_may_write() {
    let room = room();
    let cache = room.home().join(".cache/strongroom/wasm");
    room.run(probe(&["exit", "0"])).ok();
    assert_eq!(
        fs::metadata(&cache).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let kept = |room: &Room| {
        room.everything()
            .iter()
            .filter(|(p, _)| p.starts_with(&cache))
            .count()
    };
    assert!(kept(&room) > 0, "nothing was kept");

    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let before = kept(&room);
    let answer = room
        .run(probe(&["exit", "0"]))
        .ok()
        .says("compiled code is not kept");
    assert!(answer.stderr.contains("chmod 700"));
    assert_eq!(kept(&room), before);
}
