//! Asking for a value on the terminal.
//!
//! Echo goes off before the prompt shows and stays off until the last answer is in: what is pasted
//! or typed ahead between two prompts must not show either. Bytes are read one by one into a
//! buffer that is wiped, without the line buffer of the terminal and its limit of 4,095 bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use strongroom_backend::SecretValue;

use crate::failure::{Exit, Failure};
use crate::input::{MAX_VALUE, WipedBuffer};

/// Asks for a value twice, without echo. `what` is shown before the colon.
///
/// # Errors
///
/// The two differ or are empty, there is no terminal, or the user broke it off (without a message).
pub(crate) fn twice(what: &str) -> Result<SecretValue, Failure> {
    let mut terminal = Terminal::open()?;
    let first = terminal.ask(&format!("{what}: "))?;
    if first.is_empty() {
        return Err(Failure::usage("no value was given")
            .hint("for an empty value: strongroom set REF --allow-empty < /dev/null"));
    }
    if first != terminal.ask(&format!("{what}, again: "))? {
        return Err(Failure::usage("the two values differ").hint("nothing was changed; try again"));
    }
    Ok(first)
}

/// The terminal of the process, without echo until it is dropped.
struct Terminal {
    file: File,
    before: Termios,
}

impl Terminal {
    fn open() -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/tty")
            .map_err(|e| cannot(&e))?;
        let before = rustix::termios::tcgetattr(&file).map_err(|e| cannot(&e.into()))?;
        let mut silent = before.clone();
        // Signals too come as bytes: one that killed the process would leave the terminal silent.
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        rustix::termios::tcsetattr(&file, OptionalActions::Now, &silent)
            .map_err(|e| cannot(&e.into()))?;
        Ok(Self { file, before })
    }

    fn ask(&mut self, prompt: &str) -> Result<SecretValue, Failure> {
        self.show(prompt)?;
        let line = read_line(&self.file);
        self.show("\n")?;
        line
    }

    fn show(&mut self, text: &str) -> Result<(), Failure> {
        self.file.write_all(text.as_bytes()).map_err(|e| cannot(&e))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing else can be done where this fails.
        let _ = rustix::termios::tcsetattr(&self.file, OptionalActions::Now, &self.before);
    }
}

fn read_line(file: &File) -> Result<SecretValue, Failure> {
    let mut line = WipedBuffer::with_capacity(256);
    loop {
        let mut byte = [0];
        match rustix::io::read(file, &mut byte) {
            Ok(0) => return Ok(line.into_value()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(cannot(&error.into())),
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(line.into_value()),
            CONTROL_C => return Err(Failure::new(Exit::Interrupted, String::new())),
            CONTROL_D if line.as_slice().is_empty() => return Ok(line.into_value()),
            BACKSPACE | DELETE => line.erase_character(),
            CONTROL_U => line.clear(),
            _ if line.as_slice().len() == MAX_VALUE => {
                return Err(Failure::failed(format!(
                    "a value has at most {MAX_VALUE} bytes"
                )));
            }
            // Writing to memory does not fail.
            _ => drop(line.write_all(&byte)),
        }
    }
}

const CONTROL_C: u8 = 0x03;
const CONTROL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CONTROL_U: u8 = 0x15;
const DELETE: u8 = 0x7f;

fn cannot(error: &io::Error) -> Failure {
    Failure::usage(format!("cannot ask on the terminal: {error}"))
        .hint("give the value on standard input, or with `--file F`")
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    fn typed(keys: &[u8]) -> Result<SecretValue, Failure> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(keys).unwrap();
        file.rewind().unwrap();
        read_line(&file)
    }

    #[test]
    fn a_line_is_edited_as_on_a_terminal() {
        for (keys, expected) in [
            (&b"abc\nd"[..], &b"abc"[..]),
            (b"abc\r", b"abc"),
            (b"abx\x7fc\n", b"abc"),
            (b"x\x08\x08abc\n", b"abc"),
            ("ab\u{20ac}\x7fc\n".as_bytes(), b"abc"),
            (b"wrong\x15abc\n", b"abc"),
            (b"a b\tc\n", b"a b\tc"),
            (b"\x04abc\n", b""),
            (b"", b""),
        ] {
            assert_eq!(typed(keys).unwrap().expose(), expected, "{keys:?}");
        }
    }

    #[test]
    fn control_c_ends_it_without_a_message() {
        let failure = typed(b"ab\x03").unwrap_err();
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::Interrupted, "")
        );
    }

    #[test]
    fn a_line_may_be_as_long_as_a_value() {
        let mut keys = vec![b'x'; MAX_VALUE];
        assert_eq!(typed(&keys).unwrap().len(), MAX_VALUE);
        keys.push(b'x');
        assert!(typed(&keys).is_err());
    }
}
