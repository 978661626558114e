//! Azure Key Vault: no server can be installed, so two witnesses against a fake of ours: recordings of
//! the real service, and Microsoft's own client with its tests.

use super::python::Environment;
use super::{Server, Started, environment};

const SDK: Environment = Environment::new("azure").with_sources(&[
    ("recordings.txt", "recordings", "tests/recordings"),
    ("sdk.txt", "sdk", ""),
]);
const RECORDINGS: &str = "STRONGROOM_TEST_AZURE_RECORDINGS";

/// Files only.
pub(super) const SERVER: Server = Server {
    name: "azure",
    about: "recordings of the real Key Vault; Microsoft's Python client 4.12.0 and its tests",
    install: |folders| SDK.install(folders),
    start: |place| {
        let dir = SDK.dir(place.folders);
        let path = |path: std::path::PathBuf| path.display().to_string();
        Ok(Started {
            process: None,
            environment: environment([
                (RECORDINGS, path(dir.join("recordings"))),
                ("STRONGROOM_TEST_AZURE_SDK", path(dir.join("sdk"))),
                (
                    "STRONGROOM_TEST_AZURE_PYTHON",
                    path(SDK.program(place.folders, "python")),
                ),
            ]),
        })
    },
    is_healthy: |_, record| {
        let mut files = record.environment.values();
        files.all(|file| std::path::Path::new(file).exists())
    },
};
