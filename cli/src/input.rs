//! Values on their way in: from a stream, a file or a prompt, never from the command line.
//!
//! No copy of a value stays behind in memory that is given back: buffers are wiped when they grow
//! and when they are dropped, and the streams are read without the standard library's own buffers.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use strongroom_backend::SecretValue;
use zeroize::{Zeroize, Zeroizing};

use crate::failure::{Exit, Failure};

/// The most bytes that are read as one value. No backend holds more; each may hold less, and its
/// own limit is checked before it is asked.
pub(crate) const MAX_VALUE: usize = 1 << 20;

/// What a buffer starts with: one page, which most values fit.
const FIRST: usize = 4096;

/// Reads a value from standard input.
///
/// # Errors
///
/// It has more than [`MAX_VALUE`] bytes, or cannot be read.
pub(crate) fn standard() -> Result<SecretValue, Failure> {
    read(&io::stdin(), "standard input")
}

/// Whether standard input is a terminal, so that a value must be asked for.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// Reads a value from a file; `-` is standard input.
///
/// # Errors
///
/// There is no such file, it has more than [`MAX_VALUE`] bytes, or cannot be read.
pub(crate) fn file(path: &Path) -> Result<SecretValue, Failure> {
    if path == Path::new("-") {
        return standard();
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| cannot_read(&name, &e))?;
    read(&file, &name)
}

fn read(stream: &impl AsFd, name: &str) -> Result<SecretValue, Failure> {
    let mut value = WipedBuffer::with_capacity(FIRST);
    loop {
        // One byte more than the limit tells a value at it from a longer one.
        let room = value.room(MAX_VALUE + 1);
        if room.is_empty() {
            return Err(Failure::new(
                Exit::Failed,
                format!("{name} has more than {MAX_VALUE} bytes, the most that a secret can have"),
            )
            .hint("nothing was changed"));
        }
        match rustix::io::read(stream, room) {
            Ok(0) => return Ok(value.into_value()),
            Ok(count) => value.filled(count),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(cannot_read(name, &error.into())),
        }
    }
}

fn cannot_read(name: &str, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::NotFound => Exit::NotFound,
        _ => Exit::Usage,
    };
    Failure::new(exit, format!("cannot read {name}: {error}"))
}

/// Bytes that are wiped when they move to a larger buffer and when they are dropped.
pub(crate) struct WipedBuffer {
    /// All of it is initialised; what counts is the first `length` bytes.
    bytes: Zeroizing<Vec<u8>>,
    length: usize,
}

impl WipedBuffer {
    /// An empty buffer with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Zeroizing::new(vec![0; capacity.max(1)]),
            length: 0,
        }
    }

    /// The bytes written so far.
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The bytes as a value; the buffer is wiped.
    pub(crate) fn into_value(self) -> SecretValue {
        SecretValue::copy_of(self.as_slice())
    }

    /// Takes the last character away, or the last byte where it is none.
    pub(crate) fn erase_character(&mut self) {
        let is_inner = |byte: &u8| byte & 0xc0 == 0x80;
        let inner = self
            .as_slice()
            .iter()
            .rev()
            .take_while(|b| is_inner(b))
            .count();
        self.truncate(self.length.saturating_sub(inner.min(3) + 1));
    }

    /// Takes everything away.
    pub(crate) fn clear(&mut self) {
        self.truncate(0);
    }

    fn truncate(&mut self, length: usize) {
        self.bytes
            .iter_mut()
            .skip(length)
            .for_each(Zeroize::zeroize);
        self.length = self.length.min(length);
    }

    /// Free room, at least a byte unless `limit` bytes are there already.
    fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.length == self.bytes.len() && self.length < limit {
            self.grow((self.bytes.len() * 2).min(limit));
        }
        self.bytes.get_mut(self.length..).unwrap_or_default()
    }

    fn filled(&mut self, count: usize) {
        self.length = (self.length + count).min(self.bytes.len());
    }

    /// A new buffer, the old one wiped: a vector that grew by itself would leave its bytes behind.
    fn grow(&mut self, capacity: usize) {
        let mut larger = Zeroizing::new(vec![0; capacity]);
        larger
            .iter_mut()
            .zip(self.as_slice())
            .for_each(|(to, from)| *to = *from);
        self.bytes.zeroize();
        self.bytes = larger;
    }
}

impl Write for WipedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.length + bytes.len();
        if needed > self.bytes.len() {
            self.grow(needed.max(self.bytes.len() * 2));
        }
        let room = self.bytes.get_mut(self.length..needed).unwrap_or_default();
        room.copy_from_slice(bytes);
        self.length = needed;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    fn holding(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn every_length_around_a_growth_comes_back_whole() {
        for length in [0, 1, FIRST - 1, FIRST, FIRST + 1, 3 * FIRST, MAX_VALUE] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let value = read(&holding(&bytes), "a file").unwrap();
            assert!(value.expose() == bytes, "{length} bytes");
        }
    }

    #[test]
    fn one_byte_over_the_limit_is_refused() {
        let failure = read(&holding(&vec![7; MAX_VALUE + 1]), "a file").unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
        assert!(failure.message.contains("1048576"));
    }

    #[test]
    fn what_is_written_comes_back() {
        let mut buffer = WipedBuffer::with_capacity(2);
        for chunk in [&b"a"[..], b"", b"bcd", b"efghijklmnop"] {
            buffer.write_all(chunk).unwrap();
        }
        assert_eq!(buffer.as_slice(), b"abcdefghijklmnop");
        assert_eq!(buffer.into_value().expose(), b"abcdefghijklmnop");
    }
}
