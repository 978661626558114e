//! Processes that go on when the task has ended: started, recognised later, stopped.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::{Value, json};

use crate::process::{self, Result};

/// How often something is asked that will change soon.
const POLL: Duration = Duration::from_millis(50);

/// How long a server may take to end when asked, before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a server gets of this task's environment. Anything else could change how it behaves.
const KEPT: [&str; 5] = ["HOME", "LANG", "PATH", "TMPDIR", "USER"];

/// A server that has been started. It is killed when this is dropped, unless it is kept.
pub(crate) struct Daemon {
    child: Child,
    kept: bool,
}

impl Daemon {
    /// Starts it in a process group of its own, out of reach of the terminal's Ctrl-C.
    ///
    /// Its environment is what `command` sets and little else.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let set: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        let child = command
            .env_clear()
            .envs(set)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", process::shown(command)))?;
        Ok(Self { child, kept: false })
    }

    /// Waits until the server is ready, at most so long.
    pub(crate) fn wait_until(&mut self, ready: impl Fn() -> bool, at_most: Duration) -> Result<()> {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended: {status}").into());
            }
            if start.elapsed() > at_most {
                return Err(format!("not ready after {} s", at_most.as_secs()).into());
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// How to recognise it.
    pub(crate) fn identity(&self) -> Result<Identity> {
        Ok(Identity::of(self.child.id()).ok_or("it ended at once")?)
    }

    /// Lets it go on, and says how to recognise it.
    pub(crate) fn keep(mut self) -> Result<Identity> {
        let identity = self.identity()?;
        self.kept = true;
        Ok(identity)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.kept {
            // It may have ended by itself; there is nobody to tell anyway.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// A process and no later one of the same number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pid: u32,
    /// The boot and the moment in it.
    started: String,
}

impl Identity {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let started = format!("{}:{}", boot.trim(), started(&stat)?);
        Some(Self { pid, started })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it runs.
    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Ends the process and waits for its end. No other process is ever signalled.
    pub(crate) fn stop(&self) -> Result<()> {
        for signal in [Signal::TERM, Signal::KILL] {
            self.send(signal)?;
            let start = Instant::now();
            while start.elapsed() < PATIENCE {
                if !self.is_alive() {
                    return Ok(());
                }
                sleep(POLL);
            }
        }
        Err(format!("process {} does not end", self.pid).into())
    }

    fn send(&self, signal: Signal) -> Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        // The handle holds on to one process; so what is found to be ours after opening it is what gets the signal.
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            opened => opened?,
        };
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(handle, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "pid": self.pid, "started": self.started })
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            pid: value.get("pid")?.as_u64()?.try_into().ok()?,
            started: value.get("started")?.as_str()?.to_owned(),
        })
    }
}

/// When a process started, in ticks since boot, from its `/proc/PID/stat`; nothing if it has ended.
fn started(stat: &str) -> Option<&str> {
    // The name of the program stands in parentheses and may hold anything, parentheses and spaces too.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    match fields.next()? {
        // Ended, and not yet waited for by its parent.
        "Z" | "X" => None,
        _ => fields.nth(18),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_start_whatever_the_program_is_called() {
        let rest = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        for name in ["moto_server", "a b", ") Z 1 (", ""] {
            let stat = format!("77 ({name}) S {rest}");
            assert_eq!(started(&stat), Some("4242"), "{name:?}");
            assert_eq!(started(&format!("77 ({name}) Z {rest}")), None);
        }
        assert_eq!(started("77 (cut) S 1 2 3"), None);
        assert_eq!(started(""), None);
    }

    #[test]
    fn a_process_is_known_again_and_stopped_and_no_other_is() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let sleeper = || Daemon::spawn(Command::new("sleep").arg("600"), &log).unwrap();

        let kept = sleeper().keep().unwrap();
        assert!(kept.is_alive());
        assert_eq!(Identity::from_json(&kept.to_json()), Some(kept.clone()));

        // A later process that got the same number.
        let other = Identity {
            started: "boot:1".to_owned(),
            ..kept.clone()
        };
        assert!(!other.is_alive());
        other.stop().unwrap();
        assert!(kept.is_alive());

        kept.stop().unwrap();
        assert!(!kept.is_alive());
        kept.stop().unwrap();

        let dropped = sleeper();
        let identity = Identity::of(dropped.child.id()).unwrap();
        drop(dropped);
        assert!(!identity.is_alive());
    }

    #[test]
    fn a_server_that_ends_or_is_never_ready_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut ends = Daemon::spawn(
            Command::new("sh")
                .args(["-c", "echo $SEEN $CARGO; exit 3"])
                .env("SEEN", "seen"),
            &log,
        )
        .unwrap();
        let error = ends.wait_until(|| false, PATIENCE).unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        assert_eq!(fs::read_to_string(&log).unwrap(), "seen\n");

        let mut hangs = Daemon::spawn(Command::new("sleep").arg("600"), &log).unwrap();
        let error = hangs.wait_until(|| false, Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "not ready after 0 s");
    }
}
