//! The file of a client's secret.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroize;

use crate::error::{Fault, Result};
use crate::place::config_fault;

/// Far above any client secret.
const LONGEST: u64 = 16 << 10;

/// Reads a file that nobody else may read or write, without one newline at its end.
pub(crate) fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let failed = |error: std::io::Error| config_fault(format!("cannot read {shown}: {error}"));
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(config_fault(format!("{shown} is not a plain file")));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(Fault::Refused(format!(
                "group or others may read or change {shown}: take that away with `chmod go-rwx`"
            )));
        }
    }
    let mut text = String::with_capacity(usize::try_from(LONGEST).unwrap_or_default() + 1);
    let read = file.take(LONGEST + 1).read_to_string(&mut text);
    let length = read.map_err(|error| {
        text.zeroize();
        failed(error)
    })?;
    if length as u64 > LONGEST {
        text.zeroize();
        return Err(config_fault(format!("{shown} is too long for a secret")));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_of_ours_is_read_without_its_last_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for (written, expected) in [("s3\n", "s3"), ("s3\r\n", "s3"), ("s3\n\n", "s3\n")] {
            std::fs::write(&path, written).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(read(&path).unwrap(), expected);
        }
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "canary-19").unwrap();
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path), Err(Fault::Refused(_))), "{mode:o}");
        }
        assert!(matches!(read(dir.path()), Err(Fault::Config(_))));
        assert!(matches!(
            read(&dir.path().join("none")),
            Err(Fault::Config(_))
        ));
    }
}
