//! Edits of a watched file, as editors and mounts make them.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use strongroom::config::watch::{Notice, Watch};
use strongroom::config::{Backends, Config};
use tempfile::TempDir;

/// What the architecture promises for an edit.
const IN_FORCE: Duration = Duration::from_millis(100);
/// Long enough for anything that would still come.
const LONG: Duration = Duration::from_secs(5);

struct Watched {
    file: PathBuf,
    notices: Receiver<(Instant, Notice)>,
    _watch: Watch,
    _dir: TempDir,
}

fn role(name: &str) -> String {
    format!("[role.{name}]\n")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn watched(prepare: impl FnOnce(&Path) -> PathBuf) -> Watched {
    let dir = TempDir::new().unwrap();
    let file = prepare(dir.path());
    let config = Config::load(&file, &Backends::default()).unwrap();
    let (sender, notices) = channel();
    let watch = Watch::start(&config, Backends::default(), move |notice| {
        sender.send((Instant::now(), notice)).unwrap();
    });
    // Until the events are subscribed a change is found by the first reading, which proves nothing.
    std::thread::sleep(Duration::from_millis(100));
    Watched {
        file,
        notices,
        _watch: watch,
        _dir: dir,
    }
}

fn plain() -> Watched {
    watched(|dir| {
        let file = dir.join("strongroom.toml");
        write(&file, &role("zero"));
        file
    })
}

impl Watched {
    /// The role of the configuration that comes next, and how long after `from`.
    fn changed(&self, from: Instant) -> (String, Duration) {
        match self.notices.recv_timeout(LONG).unwrap() {
            (at, Notice::Changed(config)) => {
                let role = config.roles.keys().next().map(ToString::to_string);
                (role.unwrap_or_default(), at - from)
            }
            // On a busy machine a file may be missing for longer than the watch waits.
            (_, Notice::Refused(error)) if error.to_string().contains("cannot be read") => {
                self.changed(from)
            }
            (_, other) => panic!("{other:?}"),
        }
    }

    fn refused(&self) -> String {
        match self.notices.recv_timeout(LONG).unwrap() {
            (_, Notice::Refused(error)) => error.to_string(),
            (_, other) => panic!("{other:?}"),
        }
    }

    fn quiet(&self, time: Duration) {
        let next = self.notices.recv_timeout(time);
        assert!(matches!(next, Err(RecvTimeoutError::Timeout)), "{next:?}");
    }
}

/// The best of several tries: another process may hold up one of them, not all.
fn soon(mut edit: impl FnMut(&str) -> Duration) {
    let times: Vec<_> = (0..5).map(|n| edit(&format!("r{n}"))).collect();
    assert!(times.iter().min().unwrap() < &IN_FORCE, "{times:?}");
    assert!(
        times.iter().all(|time| *time < Duration::from_secs(3)),
        "{times:?}"
    );
}

#[test]
fn an_edit_in_place_is_in_force_soon() {
    let watched = plain();
    soon(|name| {
        let start = Instant::now();
        fs::write(&watched.file, role(name)).unwrap();
        let (role, time) = watched.changed(start);
        assert_eq!(role, name);
        time
    });
}

#[test]
fn an_editor_that_renames_over_is_followed() {
    let watched = plain();
    soon(|name| {
        let (new, old) = (
            watched.file.with_extension("new"),
            watched.file.with_extension("old"),
        );
        write(&new, &role(name));
        let start = Instant::now();
        // With a backup, as editors keep: the file is missing for a moment.
        fs::rename(&watched.file, &old).unwrap();
        fs::rename(&new, &watched.file).unwrap();
        let (role, time) = watched.changed(start);
        assert_eq!(role, name);
        time
    });
}

#[test]
fn a_mounted_configuration_that_swaps_a_link_is_followed() {
    let watched = watched(|dir| {
        fs::create_dir(dir.join("v0")).unwrap();
        write(&dir.join("v0/strongroom.toml"), &role("zero"));
        symlink("v0", dir.join("..data")).unwrap();
        symlink("..data/strongroom.toml", dir.join("strongroom.toml")).unwrap();
        dir.join("strongroom.toml")
    });
    soon(|name| {
        let dir = watched.file.parent().unwrap();
        fs::create_dir(dir.join(name)).unwrap();
        write(&dir.join(name).join("strongroom.toml"), &role(name));
        symlink(name, dir.join("..tmp")).unwrap();
        // What the preparations told of is over: only the swap counts.
        std::thread::sleep(Duration::from_millis(150));
        let start = Instant::now();
        fs::rename(dir.join("..tmp"), dir.join("..data")).unwrap();
        let (role, time) = watched.changed(start);
        assert_eq!(role, name);
        time
    });
}

#[test]
fn a_change_that_no_event_tells_of_is_found_and_said() {
    let watched = watched(|dir| {
        // The link in between lies in a folder that is neither the file's nor its target's.
        for name in ["between", "v0", "v1"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        write(&dir.join("v0/strongroom.toml"), &role("zero"));
        write(&dir.join("v1/strongroom.toml"), &role("one"));
        symlink("../v0", dir.join("between/now")).unwrap();
        symlink("between/now/strongroom.toml", dir.join("strongroom.toml")).unwrap();
        dir.join("strongroom.toml")
    });
    let dir = watched.file.parent().unwrap();
    symlink("../v1", dir.join("between/next")).unwrap();
    let start = Instant::now();
    fs::rename(dir.join("between/next"), dir.join("between/now")).unwrap();
    let (_, alarm) = watched.notices.recv_timeout(LONG).unwrap();
    assert!(
        matches!(&alarm, Notice::Alarm(text) if text.contains("once a second")),
        "{alarm:?}"
    );
    let (role_now, time) = watched.changed(start);
    assert_eq!(role_now, "one");
    assert!(time < Duration::from_secs(3), "{time:?}");
    // The new target is watched from now on: no poll is needed.
    soon(|name| {
        let start = Instant::now();
        fs::write(dir.join("v1/strongroom.toml"), role(name)).unwrap();
        let (role, time) = watched.changed(start);
        assert_eq!(role, name);
        time
    });
}

#[test]
fn a_slow_writer_is_read_when_it_has_finished() {
    use std::io::Write as _;
    let watched = plain();
    for try_ in 0..20 {
        let (half, first) = (role(&format!("z{try_}")), role(&format!("a{try_}")));
        let start = Instant::now();
        let mut file = fs::File::create(&watched.file).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        file.write_all(half.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(15));
        file.write_all(first.as_bytes()).unwrap();
        drop(file);
        let took = start.elapsed();
        let (seen, _) = watched.changed(start);
        if took < Duration::from_millis(50) {
            // Neither the empty file, which would take every grant away, nor a half of it.
            assert_eq!(role(&seen), first);
            watched.quiet(Duration::from_millis(300));
            return;
        }
        // The machine was too busy for a writer that is slow, not stuck: again.
        while watched
            .notices
            .recv_timeout(Duration::from_millis(300))
            .is_ok()
        {}
    }
    panic!("the machine never let a writer finish within 50 ms");
}

#[test]
fn a_bad_file_is_refused_once_and_the_next_good_one_taken() {
    let watched = plain();
    fs::write(&watched.file, "[rol.a]\n").unwrap();
    let error = watched.refused();
    assert!(
        error.contains(":1:2: unknown key 'rol': did you mean 'role'?"),
        "{error}"
    );
    watched.quiet(Duration::from_millis(2500));
    // Back to what is in force is news too: the refusal is over.
    fs::write(&watched.file, role("zero")).unwrap();
    assert_eq!(watched.changed(Instant::now()).0, "zero");
}

#[test]
fn a_file_that_goes_or_that_others_may_write_is_refused() {
    let watched = plain();
    fs::set_permissions(&watched.file, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(watched.refused().contains("chmod go-w"));
    fs::remove_file(&watched.file).unwrap();
    assert!(watched.refused().contains("cannot be read"));
    write(&watched.file, &role("back"));
    assert_eq!(watched.changed(Instant::now()).0, "back");
}

#[test]
fn what_lies_beside_it_is_no_news() {
    let watched = plain();
    let beside = watched.file.with_file_name("audit.jsonl");
    for n in 0..50 {
        fs::write(&beside, format!("{n}\n")).unwrap();
    }
    // The same bytes again are no news either.
    fs::write(&watched.file, role("zero")).unwrap();
    watched.quiet(Duration::from_millis(1500));
}

#[test]
fn a_change_since_the_reading_is_found() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("strongroom.toml");
    write(&file, &role("zero"));
    let config = Config::load(&file, &Backends::default()).unwrap();
    write(&file, &role("one"));
    let (sender, notices) = channel();
    let watch = Watch::start(&config, Backends::default(), move |notice| {
        sender.send(notice).unwrap();
    });
    let notice = notices.recv_timeout(LONG).unwrap();
    assert!(matches!(notice, Notice::Changed(_)), "{notice:?}");
    drop(watch);
    write(&file, &role("two"));
    assert!(
        notices.recv_timeout(LONG).is_err(),
        "a dropped watch tells nothing and keeps nothing"
    );
}

#[test]
fn what_is_not_accepted_is_refused_once_and_taken_later() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("strongroom.toml");
    write(&file, &role("zero"));
    let config = Config::load(&file, &Backends::default()).unwrap();
    let word = dir.path().join("word");
    let (sender, notices) = channel();
    let given = word.clone();
    let _watch = Watch::start_if(
        &config,
        Backends::default(),
        move |_| {
            given
                .exists()
                .then_some(())
                .ok_or_else(|| "not yet".to_owned())
        },
        move |notice| sender.send(notice).unwrap(),
    );
    std::thread::sleep(Duration::from_millis(100));
    fs::write(&file, role("one")).unwrap();
    match notices.recv_timeout(LONG).unwrap() {
        Notice::Refused(error) => assert!(error.to_string().ends_with(": not yet"), "{error}"),
        other => panic!("{other:?}"),
    }
    let next = notices.recv_timeout(Duration::from_millis(1500));
    assert!(matches!(next, Err(RecvTimeoutError::Timeout)), "{next:?}");
    fs::write(&word, "").unwrap();
    // No alarm: that no event came says nothing where the file stayed as it was.
    let next = notices.recv_timeout(LONG).unwrap();
    assert!(matches!(next, Notice::Changed(_)), "{next:?}");
}

#[test]
fn a_folder_that_is_replaced_is_watched_again() {
    let watched = watched(|dir| {
        fs::create_dir(dir.join("etc")).unwrap();
        write(&dir.join("etc/strongroom.toml"), &role("zero"));
        dir.join("etc/strongroom.toml")
    });
    let folder = watched.file.parent().unwrap();
    fs::rename(folder, folder.with_file_name("old")).unwrap();
    fs::create_dir(folder).unwrap();
    write(&watched.file, &role("moved"));
    let next = || loop {
        // Whether the gap between the folders is seen, and said, is a matter of moments.
        match watched.notices.recv_timeout(LONG).unwrap().1 {
            Notice::Changed(config) => return config.roles.keys().next().unwrap().to_string(),
            Notice::Refused(_) | Notice::Alarm(_) => {}
        }
    };
    assert_eq!(next(), "moved");
    fs::write(&watched.file, role("again")).unwrap();
    assert_eq!(next(), "again");
}
