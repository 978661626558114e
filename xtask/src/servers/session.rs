//! The servers of a test run.

use std::fs::{File, TryLockError};

use super::folders::Folders;
use super::record::{Environment, Record};
use super::{Lifetime, SERVERS, down, environment_of_running, up};
use crate::process::Result;

/// All servers, for as long as this is held. Those that were started for it stop with the last test run
/// that uses them.
pub(crate) struct Session {
    folders: Folders,
    environment: Environment,
    /// Shared by all sessions of this user.
    in_use: Option<File>,
}

impl Session {
    /// Has all servers up; those that are up already are used.
    pub(crate) fn start() -> Result<Self> {
        let folders = Folders::of_user()?;
        let in_use = in_use(&folders)?;
        in_use.lock_shared()?;
        let mut session = Self {
            folders,
            environment: Environment::new(),
            in_use: Some(in_use),
        };
        let all: Vec<_> = SERVERS.iter().collect();
        session.environment = up(&session.folders, &all, Lifetime::WhileUsed)?;
        Ok(session)
    }

    /// The servers that are up already, and no other.
    pub(crate) fn of_running() -> Result<Self> {
        let folders = Folders::of_user()?;
        let in_use = in_use(&folders)?;
        in_use.lock_shared()?;
        Ok(Self {
            environment: environment_of_running(&folders),
            folders,
            in_use: Some(in_use),
        })
    }

    /// The variables that tests find the servers by.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    fn end(&mut self) -> Result<()> {
        drop(self.in_use.take());
        // Held to the end: a test run that begins meanwhile waits, and then starts its own.
        let in_use = in_use(&self.folders)?;
        match in_use.try_lock() {
            Ok(()) => {}
            // Another test run uses the servers; it stops them.
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let temporary: Vec<_> = SERVERS
            .iter()
            .filter(|server| {
                let record = Record::read(&self.folders.of_server(server.name));
                record.is_some_and(|record| record.temporary)
            })
            .collect();
        if temporary.is_empty() {
            return Ok(());
        }
        down(&self.folders, &temporary)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("error: test servers: {error}");
        }
    }
}

fn in_use(folders: &Folders) -> Result<File> {
    Ok(File::create(folders.in_use_file())?)
}
