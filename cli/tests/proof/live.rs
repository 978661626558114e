//! A probe in a host that stays, asked one call at a time.
#![allow(
    dead_code,
    reason = "each test program has this as a module of its own, and uses a part"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// An answer that takes longer is a host that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running host, its guest's standard input and what the guest prints.
pub(crate) struct Live {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Live {
    /// Starts the command; its guest reads what to do from standard input.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        Self {
            child,
            stdin,
            lines,
        }
    }

    /// The process id of the host.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line to the guest.
    #[track_caller]
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// The next line that the guest prints.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => panic!(
                "no line from the guest: {error}; {:?}",
                self.child.try_wait()
            ),
        }
    }

    /// One call of the `script` guest: all that it prints before `done`.
    #[track_caller]
    pub(crate) fn ask(&mut self, call: &str) -> Vec<String> {
        self.say(call);
        let mut answer = Vec::new();
        loop {
            match self.line() {
                line if line == "done" => return answer,
                line => answer.push(line),
            }
        }
    }

    /// One call of the `script` guest that answers with one line.
    #[track_caller]
    pub(crate) fn ask_one(&mut self, call: &str) -> String {
        let mut answer = self.ask(call);
        assert_eq!(answer.len(), 1, "{call}: {answer:?}");
        answer.remove(0)
    }

    /// Ends the guest's input and waits: the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the probe prints for a value.
pub(crate) fn value_line(value: impl AsRef<[u8]>) -> String {
    format!("value {}", hex::encode(value))
}
