//! Values go through every command, every call of a guest and every error, and show nowhere but in
//! the one output that asked for them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where its helper fails, and prints its figures"
)]

#[path = "proof/components.rs"]
mod components;
#[path = "proof/errors.rs"]
mod errors;
#[path = "support/guests.rs"]
mod guests;
#[path = "proof/steps.rs"]
mod steps;
mod support;
#[path = "proof/values.rs"]
mod values;
#[path = "proof/watched.rs"]
mod watched;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::Room;
use values::CURRENT;
use watched::Watched;

#[test]
fn a_value_shows_only_where_it_was_asked_for() {
    let outside = tempfile::tempdir().unwrap();
    let mut watched = Watched::new();
    values::hide_all(&mut watched);
    steps::start(&mut watched);
    steps::secrets(&mut watched, outside.path());
    steps::files(&mut watched, outside.path());
    steps::other_vaults(&mut watched, outside.path());
    steps::programs(&mut watched);
    components::guest_calls(&mut watched);
    components::other_guests(&mut watched);
    components::live_host(&mut watched);
    watched.search_files();
    steps::log_and_help(&mut watched, outside.path());
    errors::wrong_calls(&mut watched, outside.path());
    errors::wrong_files(&mut watched, outside.path());
    steps::keys(&mut watched);
    watched.search_files();

    for command in commands(&watched.room) {
        assert!(
            watched.ran(&command),
            "no value went through `{}`",
            command.join(" ")
        );
    }
    for code in [0, 1, 2, 4, 5, 6, 134] {
        assert!(
            watched.codes().contains(&code),
            "no command ended with {code}"
        );
    }
    println!(
        "{} states of processes and {} bytes of outputs and files searched",
        watched.looks, watched.searched
    );
    assert!(watched.looks > 200, "{} states of processes", watched.looks);
    assert!(watched.leaks().is_empty(), "{:#?}", watched.leaks());
}

#[test]
fn a_value_that_shows_is_found() {
    let mut watched = Watched::new();
    watched.hide(CURRENT, values::random(), &[]);
    let text = String::from_utf8(watched.bytes(CURRENT)).unwrap();
    watched.step(["init"]).run().ok();
    let value = watched.bytes(CURRENT);
    watched.step(["set", "app/key"]).input(value).run().ok();
    assert_eq!(watched.leaks(), Vec::<String>::new());

    let found = |watched: &mut Watched, place: &str| {
        assert!(
            watched.leaks().last().unwrap().contains(place),
            "{:?}",
            watched.leaks()
        );
        watched.leaks().len()
    };
    watched.step(["get", "app/key"]).run().ok();
    assert_eq!(found(&mut watched, "stdout of get"), 1);
    // In an argument, and on standard error, which quotes the file's name.
    watched
        .step(["set", "app/key", "--file", &text])
        .run()
        .exits(4);
    assert_eq!(found(&mut watched, "stderr of set"), 3);
    watched
        .step(["list"])
        .variable("X", text.clone())
        .run()
        .ok();
    assert_eq!(found(&mut watched, "environ of list"), 4);
    let encoded = format!("before {} after", STANDARD.encode(&text));
    fs::write(watched.room.path("audit.jsonl.journals/note"), encoded).unwrap();
    watched.search_files();
    assert_eq!(found(&mut watched, "as base64"), 5);
}

/// Every command that `--help` names, as its words.
fn commands(room: &Room) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut groups: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(group) = groups.pop() {
        let mut args = group.clone();
        args.push("--help".into());
        let help = room.run(args).ok();
        let listed: Vec<&str> = help
            .text()
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.strip_prefix("  "))
            .filter_map(|line| line.split(' ').next())
            .filter(|name| !name.is_empty() && *name != "help")
            .collect();
        if listed.is_empty() {
            all.push(group);
            continue;
        }
        for name in listed {
            groups.push(group.iter().cloned().chain([name.to_owned()]).collect());
        }
    }
    assert!(all.len() > 25, "{all:?}");
    all
}
