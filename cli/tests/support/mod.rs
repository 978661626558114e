//! A folder with a vault of its own, and the real command run in it.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test program has this as a module of its own, and uses a part"
)]
#![allow(clippy::unwrap_used, reason = "a test ends where its helper fails")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Answer {
    /// Standard output as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Standard output as one JSON document.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }

    /// The answer, which must be a success.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// The answer, which must have this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "stdout: {:?}\nstderr: {}",
            self.stdout.escape_ascii().to_string(),
            self.stderr
        );
        self
    }

    /// The answer, whose standard error must have this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "no {text:?} in: {}",
            self.stderr
        );
        self
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A user's home and, in it, a folder that commands run in.
pub struct Room {
    home: tempfile::TempDir,
}

impl Room {
    /// A folder with nothing in it.
    pub fn empty() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("work")).unwrap();
        Self { home }
    }

    /// A folder in which `strongroom init` has run.
    pub fn new() -> Self {
        let room = Self::empty();
        room.run(["init"]).ok();
        room
    }

    pub fn folder(&self) -> PathBuf {
        self.home.path().join("work")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The command, with nothing of the test's environment.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command
            .args(args)
            .current_dir(self.folder())
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null());
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        self.command(args).output().unwrap().into()
    }

    /// Runs a command with `input` on standard input.
    pub fn feed<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: impl AsRef<[u8]>,
    ) -> Answer {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        // From a thread: the command may answer, or end, before it has read everything.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let answer = child.wait_with_output().unwrap().into();
        writer.join().unwrap();
        answer
    }

    /// Writes a value, which must succeed.
    #[track_caller]
    pub fn set(&self, reference: &str, value: impl AsRef<[u8]>) {
        self.feed(["set", reference], value).ok();
    }

    /// Reads a value, which must succeed.
    #[track_caller]
    pub fn get(&self, reference: &str) -> Vec<u8> {
        self.run(["get", reference]).ok().stdout
    }

    /// Adds to the configuration.
    pub fn configure(&self, text: &str) {
        let file = self.path("strongroom.toml");
        let old = fs::read_to_string(&file).unwrap();
        fs::write(file, old + "\n" + text).unwrap();
    }

    /// Every byte of every file under the folder, for searching.
    pub fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.home().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.clone(), fs::read(&path).unwrap()));
                }
            }
        }
        files
    }
}

/// Whether `bytes` has `needle` in it.
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
