//! `.env` files, as shells and dotenv libraries agree on them.
//!
//! `NAME=value`, `export NAME=value`, comments, `'literal'` and `"escaped"` values over several
//! lines. Nothing is expanded: a `$` is a `$`. What [`write`] writes, [`parse`] reads back byte for
//! byte, and so does a POSIX shell where the name is a shell variable's.

use std::collections::HashMap;
use std::io::{self, Write};

use strongroom_backend::SecretValue;

use super::{Malformed, Variable};

/// Reads all variables in order.
///
/// # Errors
///
/// The first line that cannot be understood, or that repeats a name.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Variable>, Malformed> {
    if text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]) {
        return Err(Malformed::new(1, "the file is UTF-16; save it as UTF-8"));
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut parser = Parser {
        rest: text,
        line: 1,
    };
    let mut lines = HashMap::new();
    let mut variables = Vec::new();
    while parser.skip_to_variable() {
        let line = parser.line;
        let variable = parser.variable()?;
        if let Some(first) = lines.insert(variable.name.clone(), line) {
            let what = format!("{} stands in line {first} already", variable.name);
            return Err(Malformed::new(line, what));
        }
        variables.push(variable);
    }
    Ok(variables)
}

/// Whether [`write`] can name a variable so.
pub(crate) fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes
        .first()
        .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && bytes.iter().all(|b| is_name_byte(*b))
}

/// Whether shells accept it too, not dotenv libraries alone.
pub(crate) fn is_shell_name(name: &str) -> bool {
    is_name(name) && !name.contains(['.', '-'])
}

/// Appends one line, or several where the value has line breaks. The value is text without NUL.
pub(crate) fn write(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    out.write_all(name.as_bytes())?;
    out.write_all(b"=")?;
    if !value.is_empty() && value.bytes().all(is_bare) {
        out.write_all(value.as_bytes())?;
    } else if !value.contains('\'') {
        out.write_all(b"'")?;
        out.write_all(value.as_bytes())?;
        out.write_all(b"'")?;
    } else {
        out.write_all(b"\"")?;
        for byte in value.bytes() {
            if matches!(byte, b'\\' | b'"' | b'$' | b'`') {
                out.write_all(b"\\")?;
            }
            out.write_all(&[byte])?;
        }
        out.write_all(b"\"")?;
    }
    out.write_all(b"\n")
}

struct Parser<'t> {
    rest: &'t [u8],
    line: usize,
}

impl<'t> Parser<'t> {
    /// Skips blank lines and comments; false at the end.
    fn skip_to_variable(&mut self) -> bool {
        loop {
            match self.rest.first() {
                None => return false,
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.advance(1),
                Some(b'#') => self.advance(self.until_newline()),
                Some(_) => return true,
            }
        }
    }

    fn variable(&mut self) -> Result<Variable, Malformed> {
        if let Some(after) = self.rest.strip_prefix(b"export")
            && after.first().is_some_and(|b| is_blank(*b))
        {
            self.rest = after;
            self.skip_blanks();
        }
        let length = self.rest.iter().take_while(|b| is_name_byte(**b)).count();
        let name = String::from_utf8_lossy(self.take(length)).into_owned();
        self.skip_blanks();
        if !is_name(&name) || self.rest.first() != Some(&b'=') {
            // Not even the word that stands there is shown: it may be the second line of a value.
            return Err(self.malformed(
                "expected NAME=value; a name begins with a letter or `_` and goes on with letters, \
                 digits, `_`, `-` and `.`, and a value of several lines is in quotes",
            ));
        }
        self.advance(1);
        self.skip_blanks();
        let value = match self.rest.first() {
            Some(b'\'') => self.single_quoted(&name)?,
            Some(b'"') => self.double_quoted(&name)?,
            _ => self.bare(),
        };
        Ok(Variable { name, value })
    }

    fn bare(&mut self) -> SecretValue {
        let line = self.take(self.until_newline());
        let comment = line.iter().enumerate().position(|(at, byte)| {
            *byte == b'#' && (at == 0 || line.get(at - 1).is_some_and(|b| is_blank(*b)))
        });
        let value = comment.and_then(|at| line.get(..at)).unwrap_or(line);
        let end = value
            .iter()
            .rposition(|b| !is_blank(*b) && *b != b'\r')
            .map_or(0, |at| at + 1);
        SecretValue::copy_of(value.get(..end).unwrap_or_default())
    }

    fn single_quoted(&mut self, name: &str) -> Result<SecretValue, Malformed> {
        let unclosed = self.malformed(format!("the single quote of {name} is never closed"));
        self.advance(1);
        let length = self.rest.iter().position(|b| *b == b'\'').ok_or(unclosed)?;
        let value = SecretValue::copy_of(self.take(length));
        self.advance(1);
        self.after_quote(name)?;
        Ok(value)
    }

    fn double_quoted(&mut self, name: &str) -> Result<SecretValue, Malformed> {
        let unclosed = self.malformed(format!("the double quote of {name} is never closed"));
        self.advance(1);
        let length = self.until_double_quote().ok_or(unclosed)?;
        let quoted = self.take(length);
        self.advance(1);
        // Never longer than what is quoted, so the vector does not move and leave a copy behind.
        let mut value = Vec::with_capacity(length);
        let mut bytes = quoted.iter();
        while let Some(byte) = bytes.next() {
            match (byte, bytes.as_slice().first()) {
                (b'\\', Some(escaped @ (b'\\' | b'"' | b'$' | b'`'))) => value.push(*escaped),
                (b'\\', Some(b'n')) => value.push(b'\n'),
                (b'\\', Some(b'r')) => value.push(b'\r'),
                (b'\\', Some(b't')) => value.push(b'\t'),
                _ => {
                    value.push(*byte);
                    continue;
                }
            }
            bytes.next();
        }
        self.after_quote(name)?;
        Ok(SecretValue::new(value))
    }

    /// Where the closing quote stands: the first one that no backslash escapes.
    fn until_double_quote(&self) -> Option<usize> {
        let mut escaped = false;
        self.rest.iter().position(|byte| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        })
    }

    fn after_quote(&mut self, name: &str) -> Result<(), Malformed> {
        self.skip_blanks();
        if self.rest.first() == Some(&b'\r') {
            self.advance(1);
        }
        match self.rest.first() {
            None | Some(b'\n' | b'#') => Ok(()),
            Some(_) => Err(self.malformed(format!("text after the closing quote of {name}"))),
        }
    }

    fn malformed(&self, what: impl Into<String>) -> Malformed {
        Malformed::new(self.line, what)
    }

    fn until_newline(&self) -> usize {
        self.rest
            .iter()
            .position(|b| *b == b'\n')
            .unwrap_or(self.rest.len())
    }

    fn skip_blanks(&mut self) {
        self.advance(self.rest.iter().take_while(|b| is_blank(**b)).count());
    }

    fn advance(&mut self, count: usize) {
        self.take(count);
    }

    fn take(&mut self, count: usize) -> &'t [u8] {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .unwrap_or((self.rest, &[]));
        self.line += taken.iter().filter(|b| **b == b'\n').count();
        self.rest = rest;
        taken
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// What needs no quotes anywhere: neither a shell nor a dotenv library reads anything into it.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes())
            .unwrap()
            .into_iter()
            .map(|v| {
                (
                    v.name,
                    String::from_utf8(v.value.expose().to_vec()).unwrap(),
                )
            })
            .collect()
    }

    fn one(text: &str) -> String {
        let mut all = read(text);
        assert_eq!(all.len(), 1, "{text:?}");
        all.remove(0).1
    }

    #[test]
    fn the_usual_forms_are_read() {
        let text = "\u{feff}# comment\n\nA=1\nexport B = two words  # why\r\nC='it''\n";
        assert!(parse(text.as_bytes()).is_err());
        let text = "\u{feff}# comment\n\nA=1\n  export B = two words  # why\r\nC='$x # \\n'\r\n\
                    D=\"l1\nl2\\n\\\"\\$\\q\" # c\nE=\nF=a#b\nG=#c\nexported=1";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "$x # \\n"),
            ("D", "l1\nl2\n\"$\\q"),
            ("E", ""),
            ("F", "a#b"),
            ("G", ""),
            ("exported", "1"),
        ];
        assert_eq!(
            read(text),
            expected.map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn a_closing_quote_is_the_first_unescaped_one() {
        assert_eq!(one("A=\"a\\\\\""), "a\\");
        assert_eq!(one("A=\"a\\\"b\""), "a\"b");
        assert!(parse(b"A=\"a\\\"").is_err());
    }

    #[test]
    fn errors_name_the_line_and_never_the_value() {
        let cases = [
            ("A=1\ncanary-5d1\n", 2, "expected NAME=value"),
            ("A=1\n2canary=1\n", 2, "expected NAME=value"),
            ("A='x\ny'\nB=\"canary-5d1\n\n", 3, "never closed"),
            ("A='x'canary-5d1\n", 1, "after the closing quote"),
            ("A=1\nB=2\nA=canary-5d1\n", 3, "line 1 already"),
            ("\u{fffe}", 1, "NAME"),
        ];
        for (text, line, what) in cases {
            let error = parse(text.as_bytes()).err().unwrap();
            assert_eq!(error.line, line, "{text:?}");
            assert!(error.what.contains(what), "{text:?}: {error}");
            assert!(!error.to_string().contains("5d1"), "{error}");
        }
        assert!(parse(b"\xff\xfeA\0").err().unwrap().what.contains("UTF-16"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            values in proptest::collection::vec("[^\u{0}]{0,40}|[ab'\"\\\\$`#\n\r\t n]{0,16}", 0..6),
        ) {
            let mut out = Vec::new();
            for (i, value) in values.iter().enumerate() {
                write(&mut out, &format!("V{i}"), value).unwrap();
            }
            let read: Vec<_> = parse(&out).unwrap();
            prop_assert_eq!(read.len(), values.len());
            for (i, (got, value)) in read.iter().zip(&values).enumerate() {
                prop_assert_eq!(&got.name, &format!("V{i}"));
                prop_assert_eq!(got.value.expose(), value.as_bytes());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text);
        }

        #[test]
        fn a_shell_reads_the_same(value in "[ab'\"\\\\$`# !n~*\n\t]{0,20}") {
            let mut out = Vec::new();
            write(&mut out, "V", &value).unwrap();
            out.extend_from_slice(b"printf %s \"$V\"");
            let shell = std::process::Command::new("sh").arg("-c")
                .arg(std::str::from_utf8(&out).unwrap()).output().unwrap();
            prop_assert_eq!(shell.stdout, value.as_bytes());
        }
    }
}
