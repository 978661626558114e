//! Programs that come as Python packages, each in an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::folders::{self, Folders, Installation};
use crate::process::{self, Result};
use crate::workspace;

/// What is installed: the folder of its pins below `tests/servers`, which is its name as well.
pub(crate) struct Environment {
    name: &'static str,
    /// Sources that are unpacked beside the environment: the file of the pin, the folder to make,
    /// and which folder of the source it becomes.
    sources: &'static [(&'static str, &'static str, &'static str)],
}

impl Environment {
    /// The packages that `tests/servers/NAME/requirements.txt` pins.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, sources: &[] }
    }

    /// These sources, too.
    pub(crate) const fn with_sources(
        mut self,
        sources: &'static [(&'static str, &'static str, &'static str)],
    ) -> Self {
        self.sources = sources;
        self
    }

    /// Installs it unless it is installed, and says from what.
    pub(crate) fn install(&self, folders: &Folders) -> Result<String> {
        let version = process::output(Command::new("python3").args([
            "-c",
            "import platform; print(platform.machine(), platform.python_version())",
        ]))
        .map_err(|error| format!("Python 3.11 or newer is needed: {error}"))?;
        let mut parts = vec![version, fs::read_to_string(self.pins("requirements.txt"))?];
        for (pin, ..) in self.sources {
            parts.push(fs::read_to_string(self.pins(pin))?);
        }
        let key = folders::key(parts.iter().map(String::as_str));
        self.installation(folders)
            .make(&key, |dir| self.fill(dir))?;
        Ok(key)
    }

    /// A program of it, as `python`.
    pub(crate) fn program(&self, folders: &Folders, name: &str) -> PathBuf {
        self.dir(folders).join("venv/bin").join(name)
    }

    /// Where it is installed.
    pub(crate) fn dir(&self, folders: &Folders) -> PathBuf {
        self.installation(folders).dir().to_owned()
    }

    fn installation(&self, folders: &Folders) -> Installation {
        folders.installation(self.name)
    }

    fn pins(&self, file: &str) -> PathBuf {
        workspace::root()
            .join("tests/servers")
            .join(self.name)
            .join(file)
    }

    fn fill(&self, dir: &Path) -> Result<()> {
        let venv = dir.join("venv");
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let python = venv.join("bin/python");
        let pip = |args: &[&str], pins: &str| {
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "--disable-pip-version-check"])
                .args(args)
                .arg("--requirement")
                .arg(self.pins(pins));
            pip
        };
        run(&mut pip(&["install", "--quiet"], "requirements.txt"))?;
        for (pin, name, inner) in self.sources {
            let download = dir.join("download");
            let mut get = pip(
                &[
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--require-hashes",
                    "--no-binary",
                    "azure-keyvault-secrets",
                ],
                pin,
            );
            run(get.arg("--dest").arg(&download))?;
            let unpacked = dir.join("unpacked");
            run(Command::new(&python)
                .args(["-c", UNPACK])
                .arg(only_entry(&download)?)
                .arg(&unpacked))?;
            fs::rename(only_entry(&unpacked)?.join(inner), dir.join(name))?;
            folders::remove(&download)?;
            folders::remove(&unpacked)?;
        }
        Ok(())
    }
}

/// Unpacks an archive by its name's ending, zip or tar.
const UNPACK: &str = "import shutil, sys; shutil.unpack_archive(sys.argv[1], sys.argv[2])";

/// Runs it with what it prints on our standard error: standard output is for the variables.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    process::run(command.stdout(std::io::stderr()))
}

/// The one thing in a folder.
fn only_entry(dir: &Path) -> Result<PathBuf> {
    let mut entries = dir.read_dir()?;
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry?.path()),
        _ => Err(format!("not one entry in {}", dir.display()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pin without a version would be another server tomorrow.
    #[test]
    fn every_package_is_pinned() {
        let mut seen = 0;
        for file in workspace::files(&workspace::root().join("tests/servers"), "txt").unwrap() {
            for line in fs::read_to_string(&file).unwrap().lines() {
                let line = line.trim();
                if line.is_empty() || line.starts_with(['#', '-']) {
                    continue;
                }
                seen += 1;
                assert!(line.contains("=="), "{}: {line}", file.display());
            }
        }
        assert!(seen > 50);
    }
}
