//! `strongroom copy --move` is killed at random moments: nothing is lost, and another run ends it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where its helper fails, and prints its figures"
)]

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "proof/dice.rs"]
mod dice;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use dice::Dice;
use support::Room;

/// At least so many moves are killed while both sides have something.
const BETWEEN: usize = 3;
/// Rounds until then, at the most: on a loaded machine a kill often comes before the first write.
const MOST: usize = 40;

/// The secrets under a prefix by name: the versions of each that can be read, oldest first.
type Stock = BTreeMap<String, Vec<String>>;

/// What is moved, and how.
struct Move {
    secrets: usize,
    versions: usize,
    flags: &'static [&'static str],
    /// Rounds, at the least.
    rounds: usize,
    /// Reads a side.
    stock: fn(&Room, &str) -> Stock,
}

#[test]
fn a_killed_move_loses_no_secret() {
    kill_and_go_on(&Move {
        secrets: 60,
        versions: 1,
        flags: &["--move"],
        rounds: 8,
        stock: values,
    });
}

#[test]
fn a_killed_move_of_all_versions_loses_none() {
    kill_and_go_on(&Move {
        secrets: 8,
        versions: 3,
        flags: &["--move", "--all-versions"],
        rounds: 4,
        stock: histories,
    });
}

fn kill_and_go_on(moved: &Move) {
    let started = Instant::now();
    let mut dice = Dice::new();
    let room = room();
    // How long a move takes that nobody kills; the moments of the kills lie within that.
    let (mut longest, mut killed, mut between) = (0, 0, 0);
    let mut round = 0;
    while round <= moved.rounds || (between < BETWEEN && round <= MOST) {
        let (from, to) = (format!("local:r{round}/"), format!("second:r{round}/"));
        let mut args = vec!["copy", from.as_str(), to.as_str()];
        args.extend(moved.flags);
        let whole = fill(&room, &from, moved);
        if round == 0 {
            let began = Instant::now();
            room.run(&args).ok();
            longest = u64::try_from(began.elapsed().as_millis()).unwrap().max(2);
        } else {
            let was_killed = kill(&room, &args, &mut dice, longest);
            let (left, come) = ((moved.stock)(&room, &from), (moved.stock)(&room, &to));
            nothing_is_lost(&whole, &left, &come, round);
            killed += usize::from(was_killed);
            // As fast as the machine is now, so that the next one falls in between.
            longest = match (was_killed, come.is_empty()) {
                (false, _) => longest * 3 / 4,
                (true, true) => longest * 5 / 4,
                (true, false) => longest,
            }
            .max(2);
            between += usize::from(was_killed && !left.is_empty() && !come.is_empty());
            // Where the kill came after the last secret there is nothing to move any more.
            room.run(&args).exits(if left.is_empty() { 4 } else { 0 });
        }
        assert_eq!((moved.stock)(&room, &to), whole, "round {round}");
        let left = (moved.stock)(&room, &from);
        assert!(left.is_empty(), "round {round}: {:?} stayed", left.keys());
        round += 1;
    }
    println!(
        "{killed} of {} moves killed, {between} with something on both sides, in {:.0?}",
        round - 1,
        started.elapsed()
    );
    assert!(between >= BETWEEN, "{between} of {killed} were in between");
    for check in [&["doctor"][..], &["audit", "verify"]] {
        room.run(check).ok();
    }
}

/// Two local vaults.
fn room() -> Room {
    let room = Room::new();
    room.run(["init", "second", "--vault", "second"]).ok();
    room.configure(
        "[vault.second]\nbackend = \"local\"\npath = \"second/second.vault\"\n\
         key = { file = \"second/keys/second.key\" }\n",
    );
    room
}

/// Writes the secrets of a round, each version a value of its own.
fn fill(room: &Room, prefix: &str, moved: &Move) -> Stock {
    let mut stock = Stock::new();
    for version in 1..=moved.versions {
        let mut lines = String::new();
        for secret in 0..moved.secrets {
            let name = format!("S{secret}");
            let value = format!("{version} at {prefix}{secret}");
            lines.push_str(&format!("{name}={value}\n"));
            stock.entry(name).or_default().push(value);
        }
        fs::write(room.path("fill.env"), lines).unwrap();
        room.run(["import", "fill.env", "--to", prefix, "--overwrite"])
            .ok();
    }
    stock
}

/// Runs a command and kills it within this many milliseconds; false where it had ended by then.
fn kill(room: &Room, args: &[&str], dice: &mut Dice, within: u64) -> bool {
    let errors = room.home().join("move.err");
    let mut child = room
        .command(args)
        .stdout(Stdio::null())
        .stderr(fs::File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    thread::sleep(dice.millis(0, within));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let killed = status.signal() == Some(9);
    let told = fs::read_to_string(&errors).unwrap();
    assert!(killed || status.success(), "{status}: {told}");
    killed
}

/// A source has all its versions until its target has them; a target has the first ones of them.
#[track_caller]
fn nothing_is_lost(whole: &Stock, left: &Stock, come: &Stock, round: usize) {
    for (name, versions) in whole {
        let (source, target) = (left.get(name), come.get(name));
        assert!(
            source == Some(versions) || (source.is_none() && target == Some(versions)),
            "round {round}: {name} has {source:?} left, and {target:?} come"
        );
        assert!(
            target.is_none_or(|target| versions.starts_with(target)),
            "round {round}: {name} became {target:?}"
        );
    }
    let mut names = left.keys().chain(come.keys());
    let strange = names.find(|name| !whole.contains_key(*name));
    assert_eq!(strange, None, "round {round}");
}

/// The current values, each as the one version of its secret.
fn values(room: &Room, prefix: &str) -> Stock {
    let exported = room.run(["export", prefix, "--format", "json"]).ok().json();
    let members = exported.as_object().unwrap().iter();
    let value = |member: &serde_json::Value| member["value"].as_str().unwrap().to_owned();
    members
        .map(|(name, member)| (name.clone(), vec![value(member)]))
        .collect()
}

/// All versions, one command for each.
fn histories(room: &Room, prefix: &str) -> Stock {
    let listed = room.run(["list", prefix]).ok();
    let history = |reference: &str| -> Vec<String> {
        let known = room.run(["versions", reference, "--json"]).ok().json();
        let known = known["versions"].as_array().unwrap();
        // Newest first.
        let numbers = known.iter().rev().map(|version| {
            let state = version["state"].as_str().unwrap();
            assert!(["current", "superseded"].contains(&state), "{state}");
            version["version"].to_string()
        });
        let read = |number: String| {
            let args = ["get", reference, "--version", number.as_str()];
            room.run(args).ok().text().to_owned()
        };
        numbers.map(read).collect()
    };
    let references = listed.text().lines();
    references
        .map(|reference| {
            let name = reference.strip_prefix(prefix).unwrap();
            (name.to_owned(), history(reference))
        })
        .collect()
}
