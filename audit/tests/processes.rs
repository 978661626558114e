//! Several processes at one log, and processes that die. The test program plays the others itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should stop where it fails"
)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{Home, reads, suffixed, within};
use libtest_mimic::{Arguments, Trial};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use strongroom_audit::{Action, Entry, Log, Options, Outcome, Record, parse_line};

macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($name), || {
            $name();
            Ok(())
        })),*]
    };
}

fn main() {
    if let Ok(role) = std::env::var("AUDIT_TEST_ROLE") {
        let path = std::env::var("AUDIT_TEST_LOG").unwrap();
        let key = std::env::var("AUDIT_TEST_KEY").unwrap();
        return play(&role, Path::new(&path), Path::new(&key));
    }
    let mut trials = trials![
        every_acknowledged_record_survives_sigkill,
        an_intent_of_a_killed_writer_ends_unknown,
        four_processes_write_one_chain,
        a_full_disk_stops_releases_and_mends,
        a_deleted_log_stops_releases_and_mends,
        a_replaced_log_stops_releases_and_mends,
        a_read_only_log_stops_releases_and_mends,
        a_cut_log_stops_releases,
        a_resumed_log_goes_on_without_restart,
        a_failed_sync_is_not_taken_for_success,
        many_who_wait_share_one_sync,
        killed_in_a_crowd_nothing_is_lost_or_doubled,
        a_disk_that_hangs_stops_releases_and_nobody_waits_for_ever,
        futures_end_on_any_executor,
        a_writer_that_died_after_its_close_needs_no_recovery,
        a_writer_that_died_with_its_close_in_the_journal_ends_with_it,
    ];
    // Ignored, and counted as such, where it cannot run.
    let read_only = trials![a_log_on_a_read_only_medium_is_verified_and_shown];
    let ignored = !can_mount();
    trials.extend(
        read_only
            .into_iter()
            .map(|trial| trial.with_ignored_flag(ignored)),
    );
    let mut arguments = Arguments::from_args();
    // Some of these measure time.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, trials).exit();
}

/// What the other processes do. Each acknowledged call is one line on standard output.
fn play(role: &str, path: &Path, key: &Path) {
    if role == "reader" {
        return read_only(path, key);
    }
    let mut options = Options::new(path, key);
    options.journal = 1 << 20;
    options.rotate = 200_000;
    let log = Log::open(options).unwrap();
    let subject = log.subject(&format!("component:{role}"), None, None);
    let mut out = std::io::stdout().lock();
    match role {
        "until-killed" => loop {
            let call = log
                .append_blocking(&Entry::outcome(&subject, Action::Read, Outcome::Allowed))
                .unwrap();
            writeln!(out, "{}", log.call_text(call)).unwrap();
        },
        "intents" => loop {
            let intent = log.append(&Entry::intent(&subject, Action::Write)).unwrap();
            log.wait_durable_blocking(intent).unwrap();
            writeln!(out, "{}", log.call_text(intent)).unwrap();
            if intent.0.is_multiple_of(3) {
                let mut outcome = Entry::outcome(&subject, Action::Write, Outcome::Allowed);
                outcome.of = Some(intent);
                log.append(&outcome).unwrap();
            }
        },
        "thousand" => {
            for n in 0..1000 {
                log.append_blocking(&Entry::outcome(&subject, Action::Read, Outcome::Allowed))
                    .unwrap();
                if n % 300 == 0 {
                    log.checkpoint().unwrap();
                }
            }
            log.close().unwrap();
        }
        "on-demand" => {
            for line in std::io::stdin().lock().lines() {
                line.unwrap();
                let answer =
                    match log.append(&Entry::outcome(&subject, Action::Read, Outcome::Allowed)) {
                        Ok(_) => "ok".to_owned(),
                        Err(e) => e.to_string(),
                    };
                writeln!(out, "{answer}").unwrap();
            }
            log.close().unwrap();
        }
        other => panic!("no role {other}"),
    }
}

/// Reads a log where nothing can be written.
fn read_only(path: &Path, key: &Path) {
    let probe = fs::write(path.with_file_name("probe"), "").unwrap_err();
    assert_eq!(probe.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let location = strongroom_audit::Location {
        log: path.to_owned(),
        key: key.to_owned(),
        allow_links: false,
    };
    let shown = strongroom_audit::show(&location, strongroom_audit::Filter::default()).unwrap();
    let shown = shown.map(Result::unwrap).count();
    let report = strongroom_audit::verify(&strongroom_audit::Verify {
        location,
        first_key: None,
        checkpoint: None,
    })
    .unwrap();
    assert!(report.is_whole(), "{:?}", report.bad);
    let answer = format!("{} {shown} {}", report.records, report.pending);
    std::io::stdout().write_all(answer.as_bytes()).unwrap();
}

/// In namespaces of its own, a shell may mount.
fn namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command
}

/// Makes the folder `$1` read-only.
const MOUNT: &str = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\"";

/// Whether this machine grants such mounts.
fn can_mount() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let mount = namespace().args([MOUNT, "sh"]).arg(dir.path()).output();
    mount.is_ok_and(|output| output.status.success())
}

fn run_read_only(home: &Home) -> String {
    let output = namespace()
        .arg(format!("{MOUNT} && exec \"$0\""))
        .arg(std::env::current_exe().unwrap())
        .arg(home.dir.path())
        .env("AUDIT_TEST_ROLE", "reader")
        .env("AUDIT_TEST_LOG", &home.log)
        .env("AUDIT_TEST_KEY", &home.key)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

fn a_log_on_a_read_only_medium_is_verified_and_shown() {
    let home = Home::with_reads(3);
    assert_eq!(run_read_only(&home), "5 5 0");
    // A copy without the files that only writers need, beside a dead writer's journal.
    fs::remove_file(suffixed(&home.log, ".lock")).unwrap();
    let mut child = spawn(&home, "on-demand");
    let mut out = BufReader::new(child.stdout.take().unwrap());
    until(&mut child, &mut out, true);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(suffixed(&home.log, ".lock")).unwrap();
    let answer = run_read_only(&home);
    // Killed before its record was in the log, after that, or in between: then the journal still
    // counts what the log has already, and it is shown once all the same.
    assert!(["6 7 1", "7 7 0", "7 7 1"].contains(&&*answer), "{answer}");
    assert!(!suffixed(&home.log, ".lock").exists());
}

fn spawn(home: &Home, role: &str) -> Child {
    // A file size limit then is an error like a full disk, not a signal.
    Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\""])
        .arg(std::env::current_exe().unwrap())
        .env("AUDIT_TEST_ROLE", role)
        .env("AUDIT_TEST_LOG", &home.log)
        .env("AUDIT_TEST_KEY", &home.key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn all_records(home: &Home) -> Vec<Record> {
    home.shown().into_iter().map(|shown| shown.record).collect()
}

fn every_acknowledged_record_survives_sigkill() {
    let home = Home::new();
    let mut acknowledged = Vec::new();
    let mut random = 12345u64;
    for round in 0.. {
        if round >= 60 && acknowledged.len() > 1000 {
            break;
        }
        let mut child = spawn(&home, "until-killed");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        // The first rounds die while they open, later ones at any moment of writing.
        if round >= 5 {
            out.read_line(&mut line).unwrap();
            acknowledged.push(line.trim().to_owned());
        }
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        std::thread::sleep(Duration::from_micros((random >> 33) % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(
            out.lines()
                .map(|line| line.unwrap())
                .filter(|line| !line.is_empty()),
        );
    }
    home.open().close().unwrap();
    let report = home.assert_whole();
    assert_eq!(report.pending, 0);
    // A child that died while it made its journal leaves a draft, which goes after a minute.
    let mut left = home.journals();
    left.retain(|path| path.extension() != Some("new".as_ref()));
    assert!(left.is_empty(), "{left:?}");
    let known: std::collections::HashSet<String> =
        all_records(&home).into_iter().map(|r| r.call).collect();
    // The last line may be torn: the child died while it wrote it.
    for call in acknowledged
        .iter()
        .filter(|call| call.split('.').count() == 2 && call.len() > 27)
    {
        let torn = !known.contains(call) && known.iter().any(|k| k.starts_with(call.as_str()));
        assert!(
            known.contains(call) || torn,
            "{call} was acknowledged and is not in the log"
        );
    }
}

fn an_intent_of_a_killed_writer_ends_unknown() {
    let home = Home::new();
    for round in 0..10 {
        let mut child = spawn(&home, "intents");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        for _ in 0..=round {
            line.clear();
            out.read_line(&mut line).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    home.open().close().unwrap();
    home.assert_whole();
    let records = all_records(&home);
    let intents: Vec<&str> = records
        .iter()
        .filter(|r| r.outcome.is_none())
        .map(|r| r.call.as_str())
        .collect();
    assert!(intents.len() >= 55);
    for intent in intents {
        let ends: Vec<&Record> = records
            .iter()
            .filter(|r| r.of.as_deref() == Some(intent))
            .collect();
        assert_eq!(ends.len(), 1, "{intent}");
        assert_eq!(ends[0].principal, "component:intents");
        assert_eq!(ends[0].action, Action::Write);
    }
    assert!(records.iter().any(|r| r.outcome == Some(Outcome::Unknown)));
    assert_eq!(
        records
            .iter()
            .filter(|r| r.action == Action::Recovered)
            .count(),
        10
    );
}

fn four_processes_write_one_chain() {
    let home = Home::new();
    let children: Vec<Child> = (0..4).map(|_| spawn(&home, "thousand")).collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let report = home.assert_whole();
    assert!(report.files > 1, "it rotated meanwhile");
    let records = all_records(&home);
    assert_eq!(
        records
            .iter()
            .filter(|r| r.principal == "component:thousand")
            .count(),
        4000
    );
    assert!(
        records
            .iter()
            .filter(|r| r.action == Action::Checkpoint)
            .count()
            >= 16
    );
    assert!(!home.verify_with(false, None).notes.is_empty());
}

/// Asks the child for a record each 10 ms until the answer is as wanted; gives the time it took.
fn until(child: &mut Child, out: &mut impl BufRead, ok: bool) -> (Duration, String) {
    let start = Instant::now();
    loop {
        let input = child.stdin.as_mut().unwrap();
        writeln!(input, "next").unwrap();
        input.flush().unwrap();
        let mut answer = String::new();
        out.read_line(&mut answer).unwrap();
        if (answer.trim() == "ok") == ok {
            return (start.elapsed(), answer);
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn a_full_disk_stops_releases_and_mends() {
    let home = Home::new();
    let mut child = spawn(&home, "on-demand");
    let mut out = BufReader::new(child.stdout.take().unwrap());
    until(&mut child, &mut out, true);
    // No file of the child may grow beyond a little more than the log has: what a full disk does.
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    let size = fs::metadata(&home.log).unwrap().len();
    let unlimited = prlimit(
        Some(pid),
        Resource::Fsize,
        Rlimit {
            current: Some(size + 700),
            maximum: None,
        },
    )
    .unwrap();
    let (_, answer) = until(&mut child, &mut out, false);
    assert!(answer.contains("cannot write"), "{answer}");
    assert!(
        fs::read(&home.log).unwrap().ends_with(b"\n"),
        "no torn line is left"
    );
    let before = home.lines().len();
    prlimit(Some(pid), Resource::Fsize, unlimited).unwrap();
    let (time, _) = until(&mut child, &mut out, true);
    assert!(time < Duration::from_secs(1));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(home.lines().len() > before);
    home.assert_whole();
}

/// Runs `harm`, asserts that releases stop within a second even when nothing is asked for, runs
/// `mend`, and asserts that they go on.
fn stops_and_mends(log: &Log, harm: impl FnOnce(), mend: impl FnOnce()) {
    reads(log, "component:a", 3);
    log.flush().unwrap();
    harm();
    within(
        Duration::from_secs(1),
        "the failure is seen while idle",
        || log.health().failed.is_some(),
    );
    assert!(common::read_once(log).is_err());
    mend();
    within(Duration::from_secs(1), "the log mends itself", || {
        common::read_once(log).is_ok()
    });
}

fn a_deleted_log_stops_releases_and_mends() {
    let home = Home::new();
    let log = home.open();
    let away = suffixed(&home.log, ".away");
    stops_and_mends(
        &log,
        || fs::rename(&home.log, &away).unwrap(),
        || {
            assert!(!home.log.exists(), "no new log was made");
            fs::rename(&away, &home.log).unwrap();
        },
    );
    log.close().unwrap();
    home.assert_whole();
}

fn a_replaced_log_stops_releases_and_mends() {
    let home = Home::new();
    let log = home.open();
    let away = suffixed(&home.log, ".away");
    stops_and_mends(
        &log,
        || {
            fs::rename(&home.log, &away).unwrap();
            fs::copy(&away, &home.log).unwrap();
        },
        || fs::rename(&away, &home.log).unwrap(),
    );
    log.close().unwrap();
    home.assert_whole();
}

fn a_read_only_log_stops_releases_and_mends() {
    let home = Home::new();
    let log = home.open();
    let mode = |mode| fs::set_permissions(&home.log, PermissionsExt::from_mode(mode)).unwrap();
    stops_and_mends(&log, || mode(0o400), || mode(0o600));
    stops_and_mends(&log, || mode(0o666), || mode(0o600));
    log.close().unwrap();
    home.assert_whole();
}

fn a_cut_log_stops_releases() {
    let home = Home::new();
    let log = home.open();
    let backup = suffixed(&home.log, ".backup");
    stops_and_mends(
        &log,
        || {
            fs::copy(&home.log, &backup).unwrap();
            fs::OpenOptions::new()
                .write(true)
                .open(&home.log)
                .unwrap()
                .set_len(10)
                .unwrap();
        },
        || {
            // As long as before, but not what the head says: still refused.
            fs::write(
                &home.log,
                "x".repeat(fs::metadata(&backup).unwrap().len() as usize),
            )
            .unwrap();
            std::thread::sleep(Duration::from_millis(300));
            assert!(common::read_once(&log).is_err());
            fs::write(&home.log, fs::read(&backup).unwrap()).unwrap();
        },
    );
    log.close().unwrap();
    home.assert_whole();
}

fn a_resumed_log_goes_on_without_restart() {
    let home = Home::new();
    let log = home.open();
    stops_and_mends(
        &log,
        || fs::remove_file(&home.log).unwrap(),
        || {
            Log::resume(&home.options()).unwrap();
        },
    );
    log.close().unwrap();
    let report = home.assert_whole();
    assert!(report.notes.iter().any(|note| note.contains("lost")));
}

fn a_failed_sync_is_not_taken_for_success() {
    let home = Home::new();
    let failing = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let calls = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut options = home.options();
    let (fail, count) = (Arc::clone(&failing), Arc::clone(&calls));
    options.sync = Arc::new(move |file| {
        count.fetch_add(1, Ordering::SeqCst);
        if fail.load(Ordering::SeqCst) {
            Err(std::io::ErrorKind::Other.into())
        } else {
            file.sync_data()
        }
    });
    let log = Log::open(options).unwrap();
    let call = common::read_once(&log).unwrap();
    log.wait_durable_blocking(call).unwrap();
    failing.store(true, Ordering::SeqCst);
    let call = common::read_once(&log).unwrap();
    assert!(log.wait_durable_blocking(call).is_err());
    assert!(
        common::read_once(&log).is_err(),
        "nothing is released on a disk that failed"
    );
    failing.store(false, Ordering::SeqCst);
    within(
        Duration::from_secs(2),
        "the log is written again and goes on",
        || common::read_once(&log).is_ok(),
    );
    log.wait_durable_blocking(call).unwrap();
    log.close().unwrap();
    home.assert_whole();
}

fn many_who_wait_share_one_sync() {
    let home = Home::new();
    let mut options = home.options();
    // Long enough for all who wait to have come before it ends, on a busy machine too.
    let syncs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&syncs);
    options.sync = Arc::new(move |file| {
        count.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(10));
        file.sync_data()
    });
    let log = Log::open(options).unwrap();
    let records_per_sync = |threads: u32| {
        let before = syncs.load(Ordering::Relaxed);
        let end = Instant::now() + Duration::from_millis(1500);
        let running: Vec<_> = (0..threads)
            .map(|_| {
                let log = log.clone();
                std::thread::spawn(move || {
                    let subject = log.subject("component:a", None, None);
                    let mut done = 0u32;
                    while Instant::now() < end {
                        let call = log
                            .append(&Entry::outcome(&subject, Action::Read, Outcome::Allowed))
                            .unwrap();
                        log.wait_durable_blocking(call).unwrap();
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let done = running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum::<u32>();
        f64::from(done) / f64::from(syncs.load(Ordering::Relaxed) - before)
    };
    let (one, eight) = (records_per_sync(1), records_per_sync(8));
    assert!(eight >= 3.0 * one, "one: {one:.2}, eight: {eight:.2}");
    log.close().unwrap();
    assert!(parse_line(home.lines()[0].as_bytes()).is_ok());
    home.assert_whole();
}

fn killed_in_a_crowd_nothing_is_lost_or_doubled() {
    let home = Home::new();
    let mut acknowledged = Vec::new();
    for round in 0.. {
        // On a busy machine it takes more rounds until all have written much.
        if round >= 6 && acknowledged.len() > 100 && !home.closed_files().is_empty() {
            break;
        }
        let mut children: Vec<Child> = (0..3).map(|_| spawn(&home, "until-killed")).collect();
        std::thread::sleep(Duration::from_millis(60 + 15 * round));
        for child in &mut children {
            child.kill().unwrap();
        }
        for mut child in children {
            let out = BufReader::new(child.stdout.take().unwrap());
            child.wait().unwrap();
            let mut lines: Vec<String> = out.lines().map(|line| line.unwrap()).collect();
            // It may have died within its last line.
            lines.pop();
            acknowledged.extend(lines);
        }
    }
    home.open().close().unwrap();
    home.assert_whole();
    let records = all_records(&home);
    let known: std::collections::HashSet<&str> = records.iter().map(|r| r.call.as_str()).collect();
    assert_eq!(known.len(), records.len(), "no record stands twice");
    assert!(
        acknowledged
            .iter()
            .all(|call| known.contains(call.as_str()))
    );
}

fn a_disk_that_hangs_stops_releases_and_nobody_waits_for_ever() {
    let home = Home::new();
    let hanging = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let hangs = Arc::clone(&hanging);
    let mut options = home.options();
    options.sync = Arc::new(move |file| {
        while hangs.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        file.sync_data()
    });
    let log = Log::open(options).unwrap();
    hanging.store(true, Ordering::SeqCst);
    let call = common::read_once(&log).unwrap();
    let start = Instant::now();
    assert!(log.wait_durable_blocking(call).is_err());
    assert!(block_on(log.wait_durable(call)).is_err());
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    // Reads that survive the process go on: the log's file answers.
    assert!(common::read_once(&log).is_ok());
    // A ratchet needs the disk within the writer thread itself.
    let other = log.clone();
    let ratchet = std::thread::spawn(move || other.checkpoint());
    within(Duration::from_secs(2), "releases stop", || {
        common::read_once(&log).is_err()
    });
    assert!(log.health().failed.unwrap().contains("does not answer"));
    hanging.store(false, Ordering::SeqCst);
    within(Duration::from_secs(2), "releases go on", || {
        common::read_once(&log).is_ok()
    });
    let _ = ratchet.join().unwrap();
    log.close().unwrap();
    home.assert_whole();
}

/// The writer's end, and what any recovery made of it.
fn ends(home: &Home) -> Vec<Action> {
    let records = all_records(home);
    let ends = records.iter().map(|record| record.action);
    ends.filter(|action| matches!(action, Action::Close | Action::Recovered))
        .collect()
}

fn a_writer_that_died_after_its_close_needs_no_recovery() {
    let home = Home::new();
    let log = home.open();
    reads(&log, "component:a", 3);
    let journal = home.journals().remove(0);
    let kept = home.dir.path().join("kept");
    fs::hard_link(&journal, &kept).unwrap();
    log.close().unwrap();
    // The journal as it is right before its removal.
    fs::rename(&kept, &journal).unwrap();
    home.open().close().unwrap();
    home.assert_whole();
    assert_eq!(ends(&home), [Action::Close, Action::Close]);
    assert!(home.journals().is_empty());
}

fn a_writer_that_died_with_its_close_in_the_journal_ends_with_it() {
    let home = Home::new();
    let log = home.open();
    reads(&log, "component:a", 3);
    log.flush().unwrap();
    let lock = fs::File::open(suffixed(&home.log, ".lock")).unwrap();
    lock.lock().unwrap();
    assert!(log.close().is_err());
    lock.unlock().unwrap();
    assert_eq!(home.journals().len(), 1);
    assert!(home.records().iter().all(|r| r.action != Action::Close));
    home.open().close().unwrap();
    home.assert_whole();
    assert_eq!(ends(&home), [Action::Close, Action::Close]);
    assert!(home.journals().is_empty());
}

fn futures_end_on_any_executor() {
    let home = Home::new();
    let log = home.open();
    let call = common::read_once(&log).unwrap();
    block_on(log.wait_durable(call)).unwrap();
    let subject = log.subject("component:a", None, None);
    block_on(log.ready(&subject)).unwrap();
    assert!(home.records().iter().any(|r| r.principal == "component:a"));
    log.close().unwrap();
}

/// The smallest executor there is.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(done) => return done,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
