use std::str::FromStr as _;

use strongroom_audit::{Checkpoint, parse_line};

/// A log that somebody wrote to, and a checkpoint line that somebody passed: a record or an error.
pub fn audit_reader(data: &[u8]) {
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        if let Err(error) = parse_line(line) {
            assert!(error.at <= line.len());
        }
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(checkpoint) = Checkpoint::from_str(text)
    {
        let printed = checkpoint.to_string();
        assert_eq!(Checkpoint::from_str(&printed), Ok(checkpoint));
    }
}
