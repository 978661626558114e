//! The host is killed at random moments: what a guest was given is on record, and nothing is lost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where its helper fails, and prints its figures"
)]

#[path = "proof/dice.rs"]
mod dice;
#[path = "support/guests.rs"]
mod guests;
mod support;
#[path = "proof/tally.rs"]
mod tally;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dice::Dice;
use guests::guest;
use support::Room;
use tally::{Printed, Versions, add_printed, recorded_since, unrecorded};

/// Hosts that run at the same time: the component, and the secret that it prints until it is killed.
const HOSTS: [(&str, &str); 4] = [
    ("reader-0", "app/short"),
    ("reader-1", "app/long"),
    ("reader-2", "app/short"),
    ("reader-3", "app/still"),
];
/// With four hosts in each, 200 are killed.
const ROUNDS: usize = 50;
/// The log and the store are proven whole this often, and at the end.
const PROVE_EVERY: usize = 10;
/// A host that prints nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn two_hundred_killed_hosts_leave_no_value_without_its_record() {
    let started = Instant::now();
    let mut dice = Dice::new();
    let room = room();
    let mut secrets = [
        Secret::new(&room, "app/short", 0),
        Secret::new(&room, "app/long", 1500),
        Secret::new(&room, "app/still", 0),
    ];
    let mut offset = fs::metadata(room.path("audit.jsonl")).unwrap().len();
    let mut rounds = Vec::new();
    let mut sets = Sets::default();
    for round in 1..=ROUNDS {
        let printed = kill_a_round(&room, &mut dice, &mut secrets, &mut sets);
        for secret in &mut secrets {
            // The first of these also takes the records of the dead over.
            secret.is_old_or_new(room.get(secret.name), round);
        }
        rounds.push((
            printed,
            recorded_since(&room.path("audit.jsonl"), &mut offset),
        ));
        if round % PROVE_EVERY == 0 {
            is_whole(&room);
        }
    }
    let versions = versions(&room);
    let (mut values, mut records) = (0, 0);
    for (number, (printed, recorded)) in rounds.iter().enumerate() {
        let missing = unrecorded(printed, recorded, &versions);
        assert!(missing.is_empty(), "round {}: {missing:#?}", number + 1);
        values += printed.values().sum::<u64>();
        records += recorded.values().sum::<u64>();
    }
    println!(
        "{} hosts and {} of {} `set` killed in {:.0?}: {values} values printed, {records} reads on record",
        ROUNDS * HOSTS.len(),
        sets.killed,
        sets.started,
        started.elapsed()
    );
    assert!(values > 1000, "only {values} values were printed");
    assert!(
        sets.killed > ROUNDS / 4,
        "only {} `set` were killed",
        sets.killed
    );
}

#[test]
fn a_record_that_is_missing_is_found_out() {
    let room = room();
    let mut offset = fs::metadata(room.path("audit.jsonl")).unwrap().len();
    let begin = usize::try_from(offset).unwrap();
    let mut secrets = [Secret::new(&room, "app/short", 0)];
    let mut printed = Printed::new();
    let output = kill(
        &room,
        HOSTS[0],
        Moment::AfterFirst(Duration::from_millis(20)),
    );
    add_printed(&mut printed, HOSTS[0].0, HOSTS[0].1, &output);
    secrets[0].is_old_or_new(room.get("app/short"), 1);
    let recorded = recorded_since(&room.path("audit.jsonl"), &mut offset);
    let versions = versions(&room);
    assert_eq!(
        unrecorded(&printed, &recorded, &versions),
        Vec::<String>::new()
    );

    // As many records are taken out of a copy as there are more than values, and one.
    let on_record: u64 = recorded.values().sum();
    let count: u64 = printed.values().sum();
    let surplus = usize::try_from(on_record - count).unwrap();
    let log = fs::read(room.path("audit.jsonl")).unwrap();
    let is_read = |line: &&[u8]| {
        let text = String::from_utf8_lossy(line);
        text.contains("\"principal\":\"component:reader-0\"")
            && text.contains("\"action\":\"read\"")
    };
    let mut left = surplus + 1;
    let mut kept: Vec<&[u8]> = Vec::new();
    for line in log[begin..].split_inclusive(|byte| *byte == b'\n') {
        if left > 0 && is_read(&line) {
            left -= 1;
        } else {
            kept.push(line);
        }
    }
    assert_eq!(left, 0);
    let kept = kept.concat();
    let missing = unrecorded(&printed, &tally::recorded(&kept), &versions);
    assert_eq!(missing.len(), 1, "{missing:?}");

    // And who takes them out of the log itself is found out by `verify`.
    is_whole(&room);
    let whole = fs::read(room.path("audit.jsonl")).unwrap();
    let cut = [&log[..begin], &kept, &whole[log.len()..]].concat();
    overwrite(&room.path("audit.jsonl"), &cut);
    room.run(["audit", "verify"]).exits(1);
    overwrite(&room.path("audit.jsonl"), &whole);
    room.run(["audit", "verify"]).ok();
}

/// A project with the four readers, whose compiled code is in the cache.
fn room() -> Room {
    let room = Room::new();
    let file = room.path("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let key = "path = \"local.vault\"";
    assert!(text.contains(key));
    fs::write(
        &file,
        text.replace(key, "keep-versions = 1000\npath = \"local.vault\""),
    )
    .unwrap();
    let wasm = guest("probe.wasm");
    for name in HOSTS.iter().map(|host| host.0).chain(["proof"]) {
        room.configure(&format!(
            "[component.{name}]\nwasm = {wasm:?}\n\
             grants = [{{ vault = \"local\", secrets = [\"app/**\"], actions = [\"read\"] }}]\n"
        ));
    }
    room.command(run_probe("proof", &["exit", "0"]))
        .status()
        .unwrap();
    room
}

fn run_probe(name: &str, arguments: &[&str]) -> Vec<String> {
    let wasm = guest("probe.wasm").into_os_string().into_string().unwrap();
    let mut all: Vec<String> = ["run", "--name", name, &wasm, "--"]
        .map(String::from)
        .into();
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    all
}

/// A secret and the values that it may have now.
struct Secret {
    name: &'static str,
    /// Bytes at the end of each value, so that lines of the guest are longer than one write.
    padding: usize,
    number: u64,
    /// The last value whose `set` answered, and those of `set` that were killed since.
    possible: Vec<Vec<u8>>,
}

impl Secret {
    fn new(room: &Room, name: &'static str, padding: usize) -> Self {
        let mut secret = Self {
            name,
            padding,
            number: 0,
            possible: Vec::new(),
        };
        let first = secret.next();
        room.set(name, &first);
        secret.possible.push(first);
        secret
    }

    fn next(&mut self) -> Vec<u8> {
        self.number += 1;
        format!(
            "{:08} {} {}",
            self.number,
            self.name,
            "x".repeat(self.padding)
        )
        .into_bytes()
    }

    #[track_caller]
    fn is_old_or_new(&mut self, value: Vec<u8>, round: usize) {
        assert!(
            self.possible.contains(&value),
            "round {round}: {} is {:?}, none of {} possible values",
            self.name,
            value.escape_ascii().to_string(),
            self.possible.len()
        );
        self.possible = vec![value];
    }
}

#[derive(Default)]
struct Sets {
    started: usize,
    killed: usize,
}

/// Four hosts at once, each killed at a moment of its own, while two of the secrets are written over
/// and over: what the guests printed.
fn kill_a_round(
    room: &Room,
    dice: &mut Dice,
    secrets: &mut [Secret; 3],
    sets: &mut Sets,
) -> Printed {
    let printed = Mutex::new(Printed::new());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = secrets
            .iter_mut()
            .take(2)
            .map(|secret| {
                let (mut dice, over) = (dice.split(), &over);
                scope.spawn(move || write_until(room, secret, &mut dice, over))
            })
            .collect();
        let hosts: Vec<_> = HOSTS
            .iter()
            .map(|host| {
                let moment = match dice.coin() {
                    true => Moment::AfterStart(dice.millis(20, 150)),
                    false => Moment::AfterFirst(dice.millis(0, 60)),
                };
                let printed = &printed;
                scope.spawn(move || {
                    let output = kill(room, *host, moment);
                    add_printed(&mut printed.lock().unwrap(), host.0, host.1, &output);
                })
            })
            .collect();
        for host in hosts {
            host.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        for writer in writers {
            let done = writer.join().unwrap();
            sets.started += done.started;
            sets.killed += done.killed;
        }
    });
    printed.into_inner().unwrap()
}

#[derive(Clone, Copy)]
enum Moment {
    /// This long after the process was started: while it opens, compiles and recovers.
    AfterStart(Duration),
    /// This long after the guest's first value.
    AfterFirst(Duration),
}

/// Runs one host and kills it: what its guest printed.
fn kill(room: &Room, (component, secret): (&str, &str), moment: Moment) -> Vec<u8> {
    let output = room.home().join(format!("{component}.out"));
    let errors = room.home().join(format!("{component}.err"));
    let mut child = room
        .command(run_probe(component, &["print-forever", secret]))
        .stdout(File::create(&output).unwrap())
        .stderr(File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    let rest = match moment {
        Moment::AfterStart(rest) => rest,
        Moment::AfterFirst(rest) => {
            let started = Instant::now();
            while fs::metadata(&output).unwrap().len() == 0 {
                let ended = child.try_wait().unwrap();
                assert!(
                    ended.is_none() && started.elapsed() < PATIENCE,
                    "{component}: {ended:?} {}",
                    fs::read_to_string(&errors).unwrap()
                );
                thread::sleep(Duration::from_millis(1));
            }
            rest
        }
    };
    thread::sleep(rest);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(
        status.signal(),
        Some(9),
        "{component} ended by itself: {}",
        fs::read_to_string(&errors).unwrap()
    );
    fs::read(&output).unwrap()
}

/// Writes new values, about every second `set` killed on its way.
fn write_until(room: &Room, secret: &mut Secret, dice: &mut Dice, over: &AtomicBool) -> Sets {
    let mut sets = Sets::default();
    while !over.load(Ordering::Relaxed) {
        let value = secret.next();
        let mut child = room
            .command(["set", secret.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&value).unwrap();
        sets.started += 1;
        if dice.coin() {
            thread::sleep(dice.millis(5, 150));
            child.kill().unwrap();
        }
        let ended = child.wait_with_output().unwrap();
        match ended.status.code() {
            Some(0) => secret.possible = vec![value],
            None => {
                sets.killed += 1;
                secret.possible.push(value);
            }
            Some(code) => panic!("{code}: {}", String::from_utf8_lossy(&ended.stderr)),
        }
    }
    sets
}

/// The log proves untampered from its first key on, and every record and value of the store opens.
#[track_caller]
fn is_whole(room: &Room) {
    let doctor = room.run(["doctor"]).ok();
    for line in doctor.text().lines() {
        assert!(line.starts_with("ok "), "{}", doctor.text());
    }
    let verified = room
        .run(["audit", "verify", "--key", "keys/audit.key.first"])
        .ok();
    assert!(
        verified.stderr.is_empty() && !verified.text().contains("journals"),
        "{verified:?}"
    );
    room.run(["audit", "verify"]).ok();
}

/// All versions of all secrets, which have no gap.
fn versions(room: &Room) -> Versions {
    let mut versions = Versions::new();
    for secret in ["app/short", "app/long", "app/still"] {
        let known = room.run(["versions", secret, "--json"]);
        if known.code == 4 {
            continue;
        }
        let known = known.ok().json();
        let newest = known["versions"].as_array().unwrap().len();
        let script: String = (1..=newest)
            .map(|version| format!("get-version {secret} {version}\n"))
            .collect();
        let answers = room.feed(run_probe("proof", &["script"]), script).ok();
        let values: Vec<&str> = answers
            .text()
            .lines()
            .filter(|line| *line != "done")
            .map(|line| line.strip_prefix("value ").unwrap())
            .collect();
        assert_eq!(values.len(), newest, "{secret}");
        for (version, value) in (1..).zip(values) {
            let key = (secret.to_owned(), value[..tally::DISTINCT].to_owned());
            let double = versions.insert(key, version);
            assert!(
                double.is_none(),
                "{secret} has a value twice: {double:?}, {version}"
            );
        }
    }
    versions
}

fn overwrite(path: &Path, bytes: &[u8]) {
    // In place: another file under this name would be another way to be found out.
    let mut file = File::options()
        .write(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}
