//! `cargo xtask servers`: the servers that the backends' tests talk to, none of them ours.
//!
//! Each is installed in a version that is pinned, outside the checkout, and listens on loopback on a port that was free.
//! `docs/test-servers.md` says what each one does not check.

mod aws;
mod azure;
mod daemon;
mod folders;
mod gcp;
mod kubernetes;
mod net;
mod openbao;
mod python;
mod record;
mod session;

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use clap::Subcommand;

use self::daemon::Daemon;
use self::folders::Folders;
use self::record::{Environment, Record};
pub(crate) use self::session::Session;
use crate::process::Result;

/// All there are, in the order in which they start.
const SERVERS: [Server; 7] = [
    aws::SERVER,
    aws::STRICT_SERVER,
    gcp::SERVER,
    openbao::SERVER,
    openbao::TLS_SERVER,
    azure::SERVER,
    // Last: from nothing, it takes minutes to build.
    kubernetes::SERVER,
];

/// The file in a server's folder for all that it prints.
const LOG: &str = "log";

/// How much of its log is shown of a server that failed, in lines.
const LOG_TAIL: usize = 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs and starts servers, and prints the variables that tests find them by.
    Up {
        /// Which ones [default: all]
        names: Vec<String>,
    },
    /// Installs servers, and starts none.
    Install {
        /// Which ones [default: all]
        names: Vec<String>,
    },
    /// Stops servers.
    Down {
        /// Which ones [default: all]
        names: Vec<String>,
    },
    /// Lists the servers and which of them are up.
    #[command(visible_alias = "status")]
    List,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let folders = Folders::of_user()?;
    match &args.task {
        Task::Up { names } => {
            let servers = named(names)?;
            let environment = up(&folders, &servers, Lifetime::UntilDown)?;
            print!("{}", record::exports(&environment));
            Ok(())
        }
        Task::Install { names } => install(&folders, &named(names)?),
        Task::Down { names } => down(&folders, &named(names)?),
        Task::List => {
            list(&folders);
            Ok(())
        }
    }
}

/// A kind of server: how it is installed, started, and found to be well.
struct Server {
    name: &'static str,
    /// What it is, for people.
    about: &'static str,
    /// Installs it unless it is installed. What comes back changes with what is to be installed.
    install: fn(&Folders) -> Result<String>,
    /// Starts it, and returns when it is ready.
    start: fn(&Place<'_>) -> Result<Started>,
    /// Whether it answers as it should. Its process is known to run.
    is_healthy: fn(&Folders, &Record) -> bool,
}

/// Where a server starts.
struct Place<'a> {
    folders: &'a Folders,
    /// Its own folder: private, and empty at first.
    dir: PathBuf,
    lifetime: Lifetime,
}

impl Place<'_> {
    /// Starts the server's process. What it prints goes into the log.
    fn spawn(&self, command: &mut Command) -> Result<Daemon> {
        let daemon = Daemon::spawn(command, &self.log())?;
        // Before it is ready, so that it can be stopped even if this task is killed while it waits.
        let record = Record {
            process: Some(daemon.identity()?),
            key: String::new(),
            temporary: self.lifetime == Lifetime::WhileUsed,
            environment: Environment::new(),
        };
        record.write(&self.dir)?;
        Ok(daemon)
    }

    fn log(&self) -> PathBuf {
        self.dir.join(LOG)
    }
}

/// A server that is ready.
struct Started {
    process: Option<Daemon>,
    environment: Environment,
}

/// How long a server stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lifetime {
    /// Until somebody stops it.
    UntilDown,
    /// While test runs use it.
    WhileUsed,
}

/// The servers of these names; all, if there are none.
fn named(names: &[String]) -> Result<Vec<&'static Server>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !SERVERS.iter().any(|server| server.name == name.as_str()))
    {
        let known: Vec<_> = SERVERS.iter().map(|server| server.name).collect();
        return Err(format!("no server {unknown:?}; there are {}", known.join(", ")).into());
    }
    let wanted =
        |server: &&Server| names.is_empty() || names.iter().any(|name| name == server.name);
    Ok(SERVERS.iter().filter(wanted).collect())
}

/// Has these servers installed. Tries all, and fails if one is not in the end.
fn install(folders: &Folders, servers: &[&Server]) -> Result<()> {
    let _lock = lock(folders)?;
    let mut failed = Vec::new();
    for server in servers {
        if let Err(error) = (server.install)(folders) {
            eprintln!("error: {}: {error}", server.name);
            failed.push(server.name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("not installed: {}", failed.join(", ")).into())
    }
}

/// Has these servers up, and says how tests find them. Tries all, and fails if one is not up in the end.
fn up(folders: &Folders, servers: &[&Server], lifetime: Lifetime) -> Result<Environment> {
    let _lock = lock(folders)?;
    let mut environment = Environment::new();
    let mut failed = Vec::new();
    for server in servers {
        match server.bring_up(folders, lifetime) {
            Ok(record) => environment.extend(record.environment),
            Err(error) => {
                eprintln!("error: {}: {error}", server.name);
                eprint!("{}", server.log_tail(folders));
                failed.push(server.name);
            }
        }
    }
    write_environment(folders)?;
    if failed.is_empty() {
        Ok(environment)
    } else {
        Err(format!("not up: {}", failed.join(", ")).into())
    }
}

fn down(folders: &Folders, servers: &[&Server]) -> Result<()> {
    let _lock = lock(folders)?;
    let mut failed = Vec::new();
    for server in servers {
        if let Err(error) = server.bring_down(folders) {
            eprintln!("error: {}: {error}", server.name);
            failed.push(server.name);
        }
    }
    write_environment(folders)?;
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("not down: {}", failed.join(", ")).into())
    }
}

fn list(folders: &Folders) {
    for server in &SERVERS {
        let state = match server.running(folders) {
            Some(Record {
                process: Some(process),
                ..
            }) => format!("up, process {}", process.pid()),
            Some(_) => "there".to_owned(),
            None => "down".to_owned(),
        };
        println!("{:<11} {state:<18} {}", server.name, server.about);
    }
}

impl Server {
    /// Its record, if it runs and is well.
    fn running(&self, folders: &Folders) -> Option<Record> {
        let record = Record::read(&folders.of_server(self.name))?;
        (record.is_alive() && (self.is_healthy)(folders, &record)).then_some(record)
    }

    fn bring_up(&self, folders: &Folders, lifetime: Lifetime) -> Result<Record> {
        let dir = folders.of_server(self.name);
        let running = self.running(folders);
        let key = (self.install)(folders)?;
        if let Some(mut record) = running
            && record.key == key
        {
            // Who asks for it to stay overrules the test run that started it, and not the other way round.
            if record.temporary && lifetime == Lifetime::UntilDown {
                record.temporary = false;
                record.write(&dir)?;
            }
            return Ok(record);
        }
        self.bring_down(folders)?;
        folders::make_private(&dir)?;
        eprintln!("starting {}: {}", self.name, self.about);
        let place = Place {
            folders,
            dir,
            lifetime,
        };
        let started = (self.start)(&place)?;
        let record = Record {
            process: started.process.map(Daemon::keep).transpose()?,
            key,
            temporary: lifetime == Lifetime::WhileUsed,
            environment: started.environment,
        };
        record.write(&place.dir)?;
        Ok(record)
    }

    /// Stops it, if it runs, and removes its files.
    fn bring_down(&self, folders: &Folders) -> Result<()> {
        let dir = folders.of_server(self.name);
        if let Some(Record {
            process: Some(process),
            ..
        }) = Record::read(&dir)
            && process.is_alive()
        {
            eprintln!("stopping {}", self.name);
            process.stop()?;
        }
        folders::remove(&dir)
    }

    /// The end of what it printed.
    fn log_tail(&self, folders: &Folders) -> String {
        let log = fs::read(folders.of_server(self.name).join(LOG)).unwrap_or_default();
        tail(&String::from_utf8_lossy(&log), LOG_TAIL)
    }
}

/// The last lines of a text, set off from what is around them.
fn tail(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines
        .iter()
        .skip(from)
        .map(|line| format!("  | {line}\n"))
        .collect()
}

/// Writes down how the servers that run are found.
fn write_environment(folders: &Folders) -> Result<()> {
    let environment = environment_of_running(folders);
    let mut file = File::create(folders.environment_file())?;
    file.write_all(record::exports(&environment).as_bytes())?;
    Ok(())
}

fn environment_of_running(folders: &Folders) -> Environment {
    let running = SERVERS.iter().filter_map(|server| server.running(folders));
    running.flat_map(|record| record.environment).collect()
}

/// Held while servers start and stop; whoever comes second waits.
fn lock(folders: &Folders) -> Result<File> {
    let file = File::create(folders.lock_file())?;
    file.lock()?;
    Ok(file)
}

/// Variables by name.
fn environment<const N: usize>(variables: [(&str, String); N]) -> Environment {
    variables
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_servers() {
        let chosen = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            named(&names)
                .map(|servers| servers.iter().map(|server| server.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).unwrap().len(), SERVERS.len());
        assert_eq!(
            chosen(&["vault", "aws", "vault"]).unwrap(),
            ["aws", "vault"]
        );
        let error = chosen(&["vault", "consul"]).unwrap_err().to_string();
        assert!(
            error.contains("\"consul\"") && error.contains("kubernetes"),
            "{error}"
        );
    }

    #[test]
    fn shows_the_end_of_a_log() {
        assert_eq!(tail("a\nb\nc\n", 2), "  | b\n  | c\n");
        assert_eq!(tail("a", 2), "  | a\n");
        assert_eq!(tail("", 2), "");
    }
}
