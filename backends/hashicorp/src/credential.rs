//! Credentials from where the configuration says they are.

use std::path::Path;

use zeroize::Zeroizing;

use crate::config::Credential;
use crate::error::{Fault, Result};

/// The longest credential that is read from a file: tokens of large batches stay below 8 KiB.
const MOST: u64 = 64 << 10;

/// Reads a credential; what was read before may have been replaced since.
pub(crate) async fn read(credential: &Credential) -> Result<Zeroizing<String>> {
    let (text, from) = match credential {
        Credential::Env(name) => {
            let text = std::env::var(name).map_err(|_| {
                Fault::Config(format!("the environment variable {name} is not set"))
            })?;
            (
                Zeroizing::new(text),
                format!("the environment variable {name}"),
            )
        }
        Credential::File(path) => {
            let file = path.clone();
            let read = tokio::task::spawn_blocking(move || read_file(&file)).await;
            let text = read.map_err(|_| Fault::Limit("a file could not be read"))??;
            (text, format!("the file {}", path.display()))
        }
    };
    let trimmed = text.strip_suffix('\n').unwrap_or(&text);
    let trimmed = trimmed.strip_suffix('\r').unwrap_or(trimmed);
    if trimmed.is_empty() {
        return Err(Fault::Config(format!("{from} is empty")));
    }
    Ok(Zeroizing::new(trimmed.to_owned()))
}

fn read_file(path: &Path) -> Result<Zeroizing<String>> {
    let wrong = |what: String| Fault::Config(format!("the file {} {what}", path.display()));
    let known = std::fs::metadata(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    // A pipe would hold the call for as long as nobody writes to it.
    if !known.is_file() || known.len() > MOST {
        return Err(wrong(format!(
            "is not a plain file of at most {MOST} bytes"
        )));
    }
    let bytes = std::fs::read(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let mut bytes = Zeroizing::new(bytes);
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(wrong("is not a text".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_newline_at_the_end_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        for (content, token) in [("hvs.a", "hvs.a"), ("hvs.a\n", "hvs.a"), ("a\r\n", "a")] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(*read(&Credential::File(file.clone())).await.unwrap(), token);
        }
        std::fs::write(&file, "\n").unwrap();
        assert!(read(&Credential::File(file.clone())).await.is_err());
        assert!(read(&Credential::File(dir.path().into())).await.is_err());
        // Set by cargo for its tests.
        let set = Credential::Env("CARGO_PKG_NAME".into());
        assert_eq!(*read(&set).await.unwrap(), "strongroom-backend-hashicorp");
        assert!(
            read(&Credential::Env("STRONGROOM_TEST_NOT_SET".into()))
                .await
                .is_err()
        );
    }
}
