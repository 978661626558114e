//! Disks that are full, in two ways: a small file system that is filled, where the system lets us
//! mount one; and a limit on the size of files, which works everywhere.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit};

use super::support::Room;

/// Marks that this process has mounts of its own.
const INSIDE: &str = "STRONGROOM_PROOF_MOUNTS";
/// Room for three hosts with their journals.
const SIZE: u64 = 80 << 20;

/// Runs `test` again in a process whose mounts are its own, and tells whether the caller is that
/// process. `None` where the system does not let us mount.
pub(crate) fn with_mounts(test: &str) -> Option<bool> {
    if std::env::var_os(INSIDE).is_some() {
        return Some(true);
    }
    let unshare = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private"])
            .args(args);
        command
    };
    let user = ["--user", "--map-root-user"];
    let ways: [&[&str]; 2] = [&[], &user];
    let way = ways.into_iter().find(|way| {
        let try_mount = unshare(way)
            .args(["mount", "-t", "tmpfs", "none", "/mnt"])
            .output();
        try_mount.is_ok_and(|output| output.status.success())
    })?;
    let status = unshare(way)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test}, with mounts of its own: {status}");
    Some(false)
}

/// A disk with a project on it, which can be full.
pub(crate) trait Disk {
    /// The project's user.
    fn room(&self) -> &Room;
    /// Leaves at most this many bytes, for commands started from now on and for this host.
    fn leave(&mut self, free: u64, host: Option<u32>);
    /// Takes that back.
    fn release(&mut self, host: Option<u32>);
    /// A command on this disk.
    fn command(&self, args: &[&str]) -> Command;
}

/// A file system of a few megabytes, and a file that fills it.
pub(crate) struct Small {
    room: Room,
    ballast: PathBuf,
}

impl Small {
    /// Mounts it for an empty project; only in a process that [`with_mounts`] started.
    pub(crate) fn new() -> Self {
        let room = Room::empty();
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={SIZE},mode=0700"),
                "none",
            ])
            .arg(room.folder())
            .status()
            .unwrap();
        assert!(status.success());
        let ballast = room.path("ballast");
        Self { room, ballast }
    }
}

impl Disk for Small {
    fn room(&self) -> &Room {
        &self.room
    }

    fn leave(&mut self, free: u64, _: Option<u32>) {
        self.release(None);
        let mut file = File::create(&self.ballast).unwrap();
        let block = vec![0x5a; 4096];
        let mut written: u64 = 0;
        while file.write_all(&block).is_ok() {
            written += 4096;
        }
        file.set_len(written.saturating_sub(free)).unwrap();
    }

    fn release(&mut self, _: Option<u32>) {
        let _ = fs::remove_file(&self.ballast);
    }

    fn command(&self, args: &[&str]) -> Command {
        self.room.command(args)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.room.folder())
            .status();
    }
}

/// A limit on how far any file may grow: writes past it fail like those on a full disk.
pub(crate) struct Limited {
    room: Room,
    limit: Option<u64>,
}

impl Limited {
    pub(crate) fn new() -> Self {
        Self {
            room: Room::empty(),
            limit: None,
        }
    }

    fn limit_host(host: Option<u32>, limit: Option<u64>) {
        if let Some(host) = host {
            let host = Pid::from_raw(i32::try_from(host).unwrap()).unwrap();
            let limit = Rlimit {
                current: limit,
                maximum: None,
            };
            rustix::process::prlimit(Some(host), Resource::Fsize, limit).unwrap();
        }
    }
}

impl Disk for Limited {
    fn room(&self) -> &Room {
        &self.room
    }

    fn leave(&mut self, free: u64, host: Option<u32>) {
        self.limit = Some(free);
        Self::limit_host(host, self.limit);
    }

    fn release(&mut self, host: Option<u32>) {
        self.limit = None;
        Self::limit_host(host, None);
    }

    fn command(&self, args: &[&str]) -> Command {
        // The signal that comes with the limit is not what a full disk sends.
        let plain = self.room.command(args);
        let limit = self
            .limit
            .map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "trap '' XFSZ; limit=$1; shift; exec prlimit --fsize=$limit: -- \"$@\"",
                "sh",
                &limit,
            ])
            .arg(plain.get_program())
            .args(plain.get_args())
            .current_dir(self.room.folder())
            .env_clear()
            .envs(
                plain
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        command
    }
}
