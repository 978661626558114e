//! Commands whose every output, argument, variable and file is searched for values.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_backend_testkit::Canary;

use super::support::{Answer, Room};

/// A value that nothing may show.
struct Hidden {
    name: &'static str,
    bytes: Vec<u8>,
    characters: String,
    canary: Canary,
    /// Files that are there to hold it.
    homes: Vec<PathBuf>,
}

/// A folder with a vault, the values that must not show, and what showed.
pub(crate) struct Watched {
    pub(crate) room: Room,
    hidden: Vec<Hidden>,
    leaks: Vec<String>,
    ran: BTreeSet<Vec<String>>,
    codes: BTreeSet<i32>,
    /// Files as they were when all values were looked for in them.
    clean: BTreeMap<PathBuf, Vec<u8>>,
    /// Arguments and environments of running processes that were looked at.
    pub(crate) looks: usize,
    /// Bytes of outputs and files that were searched.
    pub(crate) searched: usize,
}

impl Watched {
    pub(crate) fn new() -> Self {
        let room = Room::empty();
        fs::create_dir(room.home().join("tmp")).unwrap();
        Self {
            room,
            hidden: Vec::new(),
            leaks: Vec::new(),
            ran: BTreeSet::new(),
            codes: BTreeSet::new(),
            clean: BTreeMap::new(),
            looks: 0,
            searched: 0,
        }
    }

    /// From now on `bytes` must not show, except in `homes`.
    pub(crate) fn hide(&mut self, name: &'static str, bytes: impl Into<Vec<u8>>, homes: &[&str]) {
        let bytes = bytes.into();
        self.hidden.push(Hidden {
            name,
            canary: Canary::new(bytes.clone()),
            characters: characters(&bytes),
            bytes,
            homes: homes.iter().map(|home| self.room.path(home)).collect(),
        });
        self.clean.clear();
    }

    /// The bytes of a hidden value.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let hidden = self.hidden.iter().find(|hidden| hidden.name == name);
        hidden.unwrap().bytes.clone()
    }

    /// A command to be run under watch.
    pub(crate) fn step<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> Step<'_> {
        let args = args
            .into_iter()
            .map(|arg| arg.as_ref().to_str().unwrap().to_owned())
            .collect();
        Step {
            watched: self,
            args,
            input: Vec::new(),
            asked: &[],
            given: &[],
            variables: Vec::new(),
            replaced: false,
            interrupt: None,
        }
    }

    /// Searches every file of the project, the home and the temporary folder.
    pub(crate) fn search_files(&mut self) {
        for (path, bytes) in self.room.everything() {
            // An empty journal is 16 MiB of nothing.
            let bytes = without_zeros(&bytes);
            if self.clean.get(&path) == Some(&bytes) {
                continue;
            }
            let known: Vec<&str> = self
                .hidden
                .iter()
                .filter(|hidden| hidden.homes.contains(&path))
                .map(|hidden| hidden.name)
                .collect();
            self.search(&path.display().to_string(), &bytes, &known);
            self.clean.insert(path, bytes);
        }
    }

    /// What showed so far.
    pub(crate) fn leaks(&self) -> &[String] {
        &self.leaks
    }

    /// The words of the commands that ran, up to two each.
    pub(crate) fn ran(&self, command: &[String]) -> bool {
        self.ran.iter().any(|ran| ran.starts_with(command))
    }

    /// The exit codes that came.
    pub(crate) fn codes(&self) -> &BTreeSet<i32> {
        &self.codes
    }

    fn search(&mut self, place: &str, bytes: &[u8], asked: &[&str]) {
        self.searched += bytes.len();
        let text = characters(bytes);
        for hidden in &self.hidden {
            if asked.contains(&hidden.name) {
                continue;
            }
            let raw = text.contains(&hidden.characters).then_some("bytes");
            if let Some(form) = raw.or_else(|| hidden.canary.found_in(&text)) {
                self.leaks
                    .push(format!("{} as {form}: {place}", hidden.name));
            }
        }
    }
}

/// One command.
pub(crate) struct Step<'a> {
    watched: &'a mut Watched,
    args: Vec<String>,
    input: Vec<u8>,
    asked: &'a [&'static str],
    given: &'a [&'static str],
    variables: Vec<(String, String)>,
    replaced: bool,
    interrupt: Option<Duration>,
}

impl<'a> Step<'a> {
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Values that the command was asked to print to standard output.
    pub(crate) fn asks(mut self, asked: &'a [&'static str]) -> Self {
        self.asked = asked;
        self
    }

    /// Values that the test itself puts into the arguments or the environment.
    pub(crate) fn given(mut self, given: &'a [&'static str]) -> Self {
        self.given = given;
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let value = String::from_utf8(value.into()).unwrap();
        self.variables.push((name.to_owned(), value));
        self
    }

    /// The process becomes another program, whose environment is asked for.
    pub(crate) fn replaced(mut self) -> Self {
        self.replaced = true;
        self
    }

    /// Sends SIGINT after this time.
    pub(crate) fn interrupted_after(mut self, time: Duration) -> Self {
        self.interrupt = Some(time);
        self
    }

    /// Runs it and searches both outputs, the arguments and the environment.
    pub(crate) fn run(self) -> Answer {
        let watched = self.watched;
        let words = self.args.iter().filter(|arg| !arg.starts_with('-'));
        watched.ran.insert(words.take(2).cloned().collect());
        let mut child = watched
            .room
            .command(&self.args)
            .env("STRONGROOM_LOG", "trace")
            .env("RUST_BACKTRACE", "1")
            .env("TMPDIR", watched.room.home().join("tmp"))
            .envs(self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (input, replaced) = (self.input, self.replaced);
        let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = drain(child.stdout.take().unwrap());
        let stderr = drain(child.stderr.take().unwrap());
        let (seen, status) = look_until_end(&mut child, replaced, self.interrupt);
        feeder.join().unwrap();
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let code = status.code().unwrap_or(-1);
        watched.codes.insert(code);
        watched.looks += seen.len();
        let command = self.args.join(" ");
        let command = command.get(..200).unwrap_or(&command).to_owned();
        for (place, bytes) in seen {
            watched.search(&format!("{place} of {command}"), &bytes, self.given);
        }
        watched.search(&format!("stdout of {command}"), &stdout, self.asked);
        watched.search(&format!("stderr of {command}"), &stderr, &[]);
        Answer {
            code,
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}

/// A character for each byte, so that what is no UTF-8 hides nothing.
fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn drain(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Arguments and environment of the process as others see them, each state once.
fn look_until_end(
    child: &mut Child,
    replaced: bool,
    mut interrupt: Option<Duration>,
) -> (BTreeSet<(&'static str, Vec<u8>)>, std::process::ExitStatus) {
    let folder = Path::new("/proc").join(child.id().to_string());
    let mut seen = BTreeSet::new();
    let started = Instant::now();
    loop {
        if interrupt
            .take_if(|after| started.elapsed() > *after)
            .is_some()
        {
            let id = child.id().to_string();
            let kill = Command::new("kill").args(["-s", "TERM", &id]).status();
            assert!(kill.unwrap().success());
        }
        let status = child.try_wait().unwrap();
        for name in ["cmdline", "comm", "environ"] {
            if name == "environ" && replaced {
                continue;
            }
            // What cannot be read, others cannot read either.
            if let Ok(bytes) = fs::read(folder.join(name))
                && !bytes.is_empty()
            {
                seen.insert((name, bytes));
            }
        }
        if let Some(status) = status {
            return (seen, status);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn without_zeros(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for chunk in bytes.chunks(64) {
        if chunk.iter().any(|byte| *byte != 0) {
            kept.extend_from_slice(chunk);
        }
    }
    kept
}
