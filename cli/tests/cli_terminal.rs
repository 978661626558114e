//! On a terminal: the prompt without echo, colours and progress. The process: no core dumps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod support;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use support::Room;

/// A command on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    fn start(room: &Room, args: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .open(OsStr::from_bytes(name.as_bytes()))
            .unwrap();
        let command = room.command(args);
        // Makes the terminal the one that /dev/tty names for the command.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(room.folder())
            .env_clear()
            .env("HOME", room.home())
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("TERM", "xterm")
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave))
            .spawn()
            .expect("setsid of util-linux");
        let keyboard = File::from(master);
        let mut reader = keyboard.try_clone().unwrap();
        let (send, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if send.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            keyboard,
            screen,
            shown: String::new(),
        }
    }

    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.shown.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no {text:?} in {:?}", self.shown),
            }
        }
    }

    fn type_in(&mut self, text: &str) {
        match self.keyboard.write_all(text.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{error}"),
            _ => {}
        }
    }

    fn end(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        while let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(200)) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        (status.code().unwrap(), self.shown)
    }
}

#[test]
fn a_prompt_asks_twice_and_shows_nothing() {
    let room = Room::new();
    let mut terminal = Terminal::start(&room, &["set", "a"]);
    terminal.wait_for("not shown): ");
    terminal.type_in("canary-90\n");
    terminal.wait_for("again: ");
    terminal.type_in("canary-90\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("local:a version 1"), "{shown}");
    assert_eq!(room.get("a"), b"canary-90");
}

#[test]
fn two_values_that_differ_change_nothing() {
    let room = Room::new();
    let mut terminal = Terminal::start(&room, &["set", "a"]);
    terminal.wait_for("not shown): ");
    terminal.type_in("canary-91\n");
    terminal.wait_for("again: ");
    terminal.type_in("canary-92\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, 2, "{shown}");
    assert!(
        shown.contains("differ") && !shown.contains("canary"),
        "{shown}"
    );
    room.run(["get", "a"]).exits(4);
}

#[test]
fn what_is_typed_ahead_does_not_show_either() {
    let room = Room::new();
    let mut terminal = Terminal::start(&room, &["set", "a"]);
    terminal.wait_for("not shown): ");
    terminal.type_in("canary-93\ncanary-93\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(room.get("a"), b"canary-93");
}

#[test]
fn a_value_is_shown_alone_on_its_line() {
    let room = Room::new();
    room.set("a", "shown");
    let (code, shown) = Terminal::start(&room, &["get", "a"]).end();
    assert_eq!((code, shown.as_str()), (0, "shown\r\n"));
}

#[test]
fn control_c_changes_nothing_and_gives_the_terminal_back() {
    let room = Room::new();
    let mut terminal = Terminal::start(&room, &["set", "a"]);
    terminal.wait_for("not shown): ");
    terminal.type_in("canary-94\x03");
    let keyboard = terminal.keyboard.try_clone().unwrap();
    let (code, shown) = terminal.end();
    assert_eq!(code, 130, "{shown}");
    assert!(
        !shown.contains("canary") && !shown.contains("error"),
        "{shown}"
    );
    let modes = rustix::termios::tcgetattr(&keyboard).unwrap().local_modes;
    assert!(
        modes.contains(rustix::termios::LocalModes::ECHO | rustix::termios::LocalModes::ICANON)
    );
    room.run(["get", "a"]).exits(4);
}

#[test]
fn an_error_is_coloured_on_a_terminal_only() {
    let room = Room::new();
    let mut terminal = Terminal::start(&room, &["get", "missing"]);
    terminal.wait_for("not found");
    let (code, shown) = terminal.end();
    assert_eq!(code, 4);
    assert!(shown.contains("\x1b[1;31merror:\x1b[0m"), "{shown:?}");
    assert!(
        !room
            .run(["get", "missing"])
            .exits(4)
            .stderr
            .contains('\x1b')
    );
}

#[test]
fn progress_shows_on_a_terminal_only_and_is_gone_at_the_end() {
    let room = Room::new();
    let lines: String = (0..25).map(|i| format!("V{i}=canary-{i}\n")).collect();
    std::fs::write(room.path("many.env"), lines).unwrap();
    room.run(["import", "many.env", "--to", "local:from/"]).ok();
    let mut terminal = Terminal::start(&room, &["copy", "local:from/", "local:to/"]);
    terminal.wait_for("25 created");
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown:?}");
    let (_, last) = shown.rsplit_once("copying [").unwrap();
    // How many of how many, its line cleared, and then the answer alone.
    let (bar, answer) = last.split_once("\r\x1b[2K").unwrap();
    assert!(bar.contains("/25"), "{shown:?}");
    assert!(answer.starts_with("25 created"), "{shown:?}");
    assert!(!shown.contains("canary"), "{shown:?}");

    let piped = room.run(["copy", "local:from/", "local:again/"]).ok();
    assert_eq!((piped.text(), piped.stderr.as_str()), ("25 created\n", ""));
}

#[test]
fn the_process_leaves_no_core_and_lets_nobody_look() {
    let room = Room::new();
    let command = room.command(["set", "a"]);
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -S -c $(ulimit -H -c); exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(room.folder())
        .env("HOME", room.home())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let limits = format!("/proc/{}/limits", child.id());
    let end = Instant::now() + Duration::from_secs(60);
    let core = loop {
        // Also while the command is still starting: it must get there before it reads the value.
        let text = std::fs::read_to_string(&limits).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .unwrap()
            .to_owned();
        // What may not be read is a process that nobody may look into: ours.
        let is_ours = std::fs::read_link(format!("/proc/{}/exe", child.id())).map_or(true, |exe| {
            exe == std::path::Path::new(env!("CARGO_BIN_EXE_strongroom"))
        });
        if is_ours && line.split_whitespace().nth(4) == Some("0") || Instant::now() > end {
            break line;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    drop(child.stdin.take().unwrap().write_all(b"v"));
    assert!(child.wait().unwrap().success());
    assert_eq!(room.get("a"), b"v");
}
