//! Every call that a component can make, and every way in which it can end.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use super::guests::guest;
use super::values::{CURRENT, FIELD, GUEST, NONE, VARIABLE};
use super::watched::Watched;

/// `run` of the probe with its entry.
pub(crate) fn probe(calls: &[&str]) -> Vec<String> {
    let wasm = guest("probe.wasm").into_os_string().into_string().unwrap();
    let before = ["run", "--name", "probe", &wasm, "--"];
    before
        .iter()
        .chain(calls)
        .map(|word| (*word).to_owned())
        .collect()
}

/// Every call of the probe guest.
pub(crate) fn guest_calls(watched: &mut Watched) {
    let value = watched.bytes(GUEST);
    watched
        .step(probe(&["set", "app/guest"]))
        .input(value.clone())
        .run()
        .ok();
    watched
        .step(probe(&["set-if", "app/guest", "1"]))
        .input(value.clone())
        .run()
        .ok();
    watched
        .step(probe(&["set-if", "app/guest", "1"]))
        .input(value.clone())
        .run()
        .exits(1);
    watched
        .step(probe(&["set", "other/guest"]))
        .input(value.clone())
        .run()
        .exits(1);
    watched
        .step(probe(&["set-expiring", "app/late", "4102444800000"]))
        .input(value.clone())
        .run()
        .ok();
    let too_long = value.repeat(1 + (1 << 20) / value.len());
    watched
        .step(probe(&["set", "app/large"]))
        .input(too_long)
        .run()
        .exits(1);
    for call in [
        &["get", "app/guest"][..],
        &["read", "app/guest"],
        &["get-version", "app/guest", "1"],
        &["get-many", "app/guest", "app/none", "other/key"],
        &["open-reveal", "app/guest"],
    ] {
        watched.step(probe(call)).asks(&[GUEST]).run().ok();
    }
    watched
        .step(probe(&["hold", "app/guest"]))
        .input("\n\n")
        .asks(&[GUEST])
        .run()
        .ok();
    watched
        .step(probe(&["handles", "3", "app/guest"]))
        .run()
        .ok();
    for call in [
        &["many", "3", "app/guest"][..],
        &["describe", "app/guest"],
        &["versions", "app/guest"],
        &["list"],
        &["list", "app/"],
        &["list-page", "app/"],
        &["set-metadata", "app/guest", "a text", "k=v"],
        &["set-metadata", "app/guest", "-", "--clear-labels"],
        &["delete", "app/guest"],
        &["get", "app/guest"],
        &["undelete", "app/guest"],
        &["delete", "app/guest", "1"],
        &["undelete", "app/guest", "1"],
        &["rollback", "app/guest", "1"],
        &["destroy", "app/guest", "2"],
        &["get-version", "app/guest", "2"],
        &["rotate", "app/guest"],
        &["watch", "app/guest", "1", "50"],
        &["watch", "app/guest", "3", "50"],
        &["placeholder", "app/guest"],
        &["lease", "role"],
        &["transit", "sign", "app/guest", "00"],
        &["transit", "encrypt", "app/guest", "00"],
        &["transit", "decrypt", "app/guest", "00"],
        &["transit", "hmac", "app/guest", "00"],
        &["flood", "app/guest", "1"],
        &["big-string", "100000"],
        &["grow"],
        &["panic"],
        &["exit", "1"],
        &["env"],
        &["file", "/etc/hostname"],
        &["connect", "127.0.0.1:1"],
        &["get", "other/key"],
        &["get", "..//"],
        &["no-such-call"],
    ] {
        watched.step(probe(call)).run();
    }
    // A guest that holds values when it ends badly, and one that asks for too much.
    let end = |last: &str| {
        format!("get app/key\nopen-reveal app/json\nget-many app/key app/guest\n{last}\n")
    };
    for last in ["panic", "grow", "exit 1"] {
        watched
            .step(probe(&["script"]))
            .input(end(last))
            .asks(&[CURRENT, FIELD, GUEST])
            .run();
    }
    for (option, value) in [
        ("--timeout", "1s"),
        ("--fuel", "300000000"),
        ("--max-memory", "64"),
    ] {
        let mut args = probe(&["script"]);
        args.splice(1..1, [option.to_owned(), value.to_owned()]);
        let last = if option == "--max-memory" {
            "grow"
        } else {
            "loop"
        };
        watched
            .step(args)
            .input(end(last))
            .asks(&[CURRENT, FIELD, GUEST])
            .run()
            .exits(134);
    }
    let mut limited = probe(&["script"]);
    limited[2] = "limited".into();
    let answer = watched
        .step(limited)
        .input(end("get app/key\nhandles 3 app/key"))
        .asks(&[CURRENT, FIELD, GUEST])
        .run();
    assert!(
        answer.text().contains("quota-exceeded"),
        "{}",
        answer.text()
    );
    let token = String::from_utf8(watched.bytes(VARIABLE)).unwrap();
    let mut with_variable = probe(&["env"]);
    with_variable.splice(1..1, ["--env".into(), "TOKEN".into()]);
    watched
        .step(with_variable)
        .variable("TOKEN", token)
        .given(&[VARIABLE])
        .asks(&[VARIABLE])
        .run()
        .ok();
    let mut timeout = probe(&["print-forever", "app/key"]);
    timeout.splice(1..1, ["--timeout".into(), "500ms".into()]);
    watched.step(timeout).asks(&[CURRENT]).run();
}

/// While a guest holds a value: the files of a live host, its journal among them.
pub(crate) fn live_host(watched: &mut Watched) {
    let mut child = watched
        .room
        .command(probe(&["hold", "app/key"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("open "));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"\n").unwrap();
    let value = format!("value {}", hex::encode(watched.bytes(CURRENT)));
    assert_eq!(lines.next().unwrap().unwrap(), value);
    watched.search_files();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// The other components that come with the project.
pub(crate) fn other_guests(watched: &mut Watched) {
    for (name, args, asked) in [
        (
            "reader_only",
            &["app/key", "app/none", "other/key"][..],
            &[CURRENT][..],
        ),
        ("read_secret", &["app/key"], NONE),
        ("json_secret", &["app/json"], NONE),
        ("json_secret", &["app/key"], NONE),
        ("get_many", &["app/key", "app/json", "other/key"], NONE),
        ("list_versions", &["app/"], NONE),
        ("writer", &["app/written"], NONE),
        ("refused", &[], NONE),
    ] {
        let wasm = guest(&format!("{name}.wasm"))
            .into_os_string()
            .into_string()
            .unwrap();
        let all = [&["run", &wasm, "--"], args].concat();
        watched.step(all).asks(asked).run();
    }
}
