//! What is kept about a running server between two tasks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::daemon::Identity;
use crate::process::Result;

/// The record's file in the server's folder.
const FILE: &str = "server.json";

/// The variables that tell tests where a server is.
pub(crate) type Environment = BTreeMap<String, String>;

/// A server that was started.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Record {
    /// Its process; what is only files has none.
    pub(crate) process: Option<Identity>,
    /// What its installation was made from.
    pub(crate) key: String,
    /// Started for a test run, and stopped when no test run needs it.
    pub(crate) temporary: bool,
    /// What tests need to find it.
    pub(crate) environment: Environment,
}

impl Record {
    /// The record in a server's folder, if there is a whole one.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(dir.join(FILE)).ok()?;
        Self::from_json(&serde_json::from_str(&text).ok()?)
    }

    /// Puts it there.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let new = dir.join("server.json.new");
        fs::write(&new, serde_json::to_string_pretty(&self.to_json())?)?;
        fs::rename(new, dir.join(FILE))?;
        Ok(())
    }

    /// Whether its process runs, if it needs one.
    pub(crate) fn is_alive(&self) -> bool {
        self.process.as_ref().is_none_or(Identity::is_alive)
    }

    /// A variable of it.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    fn to_json(&self) -> Value {
        json!({
            "process": self.process.as_ref().map(Identity::to_json),
            "key": self.key,
            "temporary": self.temporary,
            "environment": self.environment,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let process = match value.get("process")? {
            Value::Null => None,
            process => Some(Identity::from_json(process)?),
        };
        let environment = value.get("environment")?.as_object()?.iter();
        Some(Self {
            process,
            key: value.get("key")?.as_str()?.to_owned(),
            temporary: value.get("temporary")?.as_bool()?,
            environment: environment
                .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect::<Option<_>>()?,
        })
    }
}

/// Lines that set the variables in a shell.
pub(crate) fn exports(environment: &Environment) -> String {
    environment
        .iter()
        .map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', r"'\''")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(value: &str) -> Environment {
        [("STRONGROOM_TEST_X".to_owned(), value.to_owned())].into()
    }

    #[test]
    fn is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(dir.path()), None);
        let process = json!({ "pid": 1, "started": "boot:1" });
        for process in [None, Identity::from_json(&process)] {
            let record = Record {
                process,
                key: "k".to_owned(),
                temporary: true,
                environment: environment("http://127.0.0.1:1"),
            };
            record.write(dir.path()).unwrap();
            assert_eq!(Record::read(dir.path()), Some(record));
        }
    }

    #[test]
    fn what_is_not_a_record_is_none() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "",
            "{}",
            r#"{"process":{"pid":-1,"started":""},"key":"","temporary":true,"environment":{}}"#,
            r#"{"process":null,"key":"","temporary":true,"environment":{"A":1}}"#,
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            assert_eq!(Record::read(dir.path()), None, "{text}");
        }
    }

    #[test]
    fn a_shell_reads_the_very_values() {
        let value = "a 'b' $(c) \"d\" \\ e";
        let script = format!(
            "{}printf %s \"$STRONGROOM_TEST_X\"",
            exports(&environment(value))
        );
        let shown = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(shown.stdout).unwrap(), value);
    }
}
