use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::claim::Hex32;

/// A line to keep elsewhere, off the machine: a log that does not lead to it was rolled back.
///
/// Its text form is one line of JSON with the `seq`, `mac` and hash of a checkpoint record. It needs
/// no secrecy and no MAC of its own: whoever would change it must reach where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub(crate) seq: u64,
    pub(crate) mac: [u8; 32],
    pub(crate) hash: [u8; 32],
    pub(crate) removal_allowed: bool,
}

impl Checkpoint {
    /// Lets [`verify`](fn@crate::verify) accept that this record is gone with a file that was removed
    /// by age, where a record tells of the removal. Whoever took the host over can forge that record,
    /// so prefer a newer checkpoint.
    #[must_use]
    pub fn allow_removed(self) -> Self {
        Self {
            removal_allowed: true,
            ..self
        }
    }

    /// The record that it names.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(rename = "audit-checkpoint")]
    version: u32,
    seq: u64,
    mac: Hex32,
    hash: Hex32,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Text {
            version: 1,
            seq: self.seq,
            mac: Hex32(self.mac),
            hash: Hex32(self.hash),
        };
        f.write_str(&serde_json::to_string(&text).map_err(|_| fmt::Error)?)
    }
}

/// A text that is no checkpoint line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint line of version 1")]
pub struct CheckpointError;

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(line: &str) -> Result<Self, CheckpointError> {
        let text: Text = serde_json::from_str(line.trim()).map_err(|_| CheckpointError)?;
        if text.version != 1 || text.seq == 0 {
            return Err(CheckpointError);
        }
        Ok(Self {
            seq: text.seq,
            mac: text.mac.0,
            hash: text.hash.0,
            removal_allowed: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_and_others_are_refused() {
        let checkpoint = Checkpoint {
            seq: 9,
            mac: [1; 32],
            hash: [2; 32],
            removal_allowed: false,
        };
        let line = checkpoint.to_string();
        assert!(!line.contains('\n'));
        assert_eq!(line.parse(), Ok(checkpoint));
        for bad in [
            "",
            "{}",
            "{\"audit-checkpoint\":2}",
            &line.replace("\"seq\":9", "\"seq\":0"),
        ] {
            assert_eq!(bad.parse::<Checkpoint>(), Err(CheckpointError));
        }
    }
}
