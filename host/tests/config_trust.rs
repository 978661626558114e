//! What a process that uses a found configuration for a while holds as accepted.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::fs;

use strongroom::config::trust::{Acceptance, TrustList, Untrusted};
use strongroom::config::{Backends, Config, Found};
use tempfile::TempDir;

const VAULT: &str = "[vault.a]\nbackend = 'memory'\nauth = { kubeconfig = 'k8s' }\n";

struct Project {
    dir: TempDir,
    list: TrustList,
}

impl Project {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let list = TrustList::at(dir.path().join("state"));
        let project = Self { dir, list };
        project.write("k8s", "a");
        project
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// The configuration with this text.
    fn config(&self, text: &str) -> Config {
        self.write("strongroom.toml", text);
        let file = self.dir.path().join("strongroom.toml");
        Config::parse(text.as_bytes(), &file, &Backends::new(["memory"])).unwrap()
    }

    fn acceptance(&self, in_current_folder: bool) -> Acceptance {
        let path = self.dir.path().join("strongroom.toml");
        let found = Found {
            path,
            in_current_folder,
        };
        Acceptance::new(self.list.clone(), found)
    }
}

/// A vault may be opened hours after the configuration was accepted.
#[test]
fn what_was_accepted_stands_while_its_files_do() {
    let project = Project::new();
    let config = project.config(VAULT);
    let acceptance = project.acceptance(true);
    assert!(acceptance.require(&config).is_err());
    assert!(acceptance.still(&config).is_err(), "a refusal is no word");
    project.list.add(&config).unwrap();
    acceptance.require(&config).unwrap();
    acceptance.still(&config).unwrap();
    project.write("k8s", "b");
    let refused = acceptance.still(&config).unwrap_err();
    assert!(
        matches!(refused, Untrusted::NotAccepted { .. }),
        "{refused}"
    );
    // Accepted anew, as it is now.
    project.list.add(&config).unwrap();
    acceptance.still(&config).unwrap();
    // A file that is renewed and was not looked at by anybody.
    project.write("k8s", "c");
    assert!(acceptance.still(&config).is_err());
}

/// An edit may take a restart, and what is in force has to go on working until then.
#[test]
fn what_is_in_force_stands_although_an_edit_was_accepted() {
    let project = Project::new();
    let config = project.config(VAULT);
    let acceptance = project.acceptance(true);
    project.list.add(&config).unwrap();
    acceptance.require(&config).unwrap();
    let edited = project.config(&format!("{VAULT}[vault.b]\nbackend = 'memory'\n"));
    project.list.add(&edited).unwrap();
    acceptance.require(&edited).unwrap();
    acceptance.still(&config).unwrap();
    acceptance.still(&edited).unwrap();
    assert!(
        acceptance.require(&config).is_err(),
        "the older text takes force no more"
    );
    project.write("k8s", "b");
    assert!(acceptance.still(&config).is_err());
    assert!(acceptance.still(&edited).is_err());
}

#[test]
fn a_configuration_that_was_named_stands_whatever_its_files_are() {
    let project = Project::new();
    let config = project.config(VAULT);
    let acceptance = project.acceptance(false);
    acceptance.require(&config).unwrap();
    project.write("k8s", "b");
    acceptance.still(&config).unwrap();
}
