use std::path::Path;

use strongroom::config::{Backends, Config, restart_only_changes};

/// Every refusal has a place within the text and is bounded; what is accepted compiles, and differs
/// from itself in nothing.
pub fn config(data: &[u8]) {
    let backends = Backends::new(["local", "memory"]);
    match Config::parse(data, Path::new("/etc/s.toml"), &backends) {
        Ok(config) => {
            let policy = config.policy(1);
            assert_eq!(policy.vaults().count(), config.vaults.len());
            assert!(restart_only_changes(&config, &config).is_empty());
            for vault in config.vaults.values() {
                // What a backend makes of its settings may be an error, never a panic.
                let _ = vault.settings::<strongroom_backend_local::Config>();
                assert!(vault.settings::<toml::Table>().is_ok());
                assert!(vault.resolve(Path::new("x")).is_absolute());
            }
        }
        Err(error) => {
            let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!((1..=20).contains(&error.problems().len()));
            for problem in error.problems() {
                assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)));
                assert!(problem.message.len() < 4096, "{}", problem.message);
            }
        }
    }
}
