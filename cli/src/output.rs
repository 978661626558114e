//! What a command says: answers on standard output, messages on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;

/// Whether a stream gets colours: only a terminal, and not where `NO_COLOR` is set or the terminal
/// is dumb.
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    let unset =
        |name| std::env::var_os(name).is_none_or(|value: std::ffi::OsString| value.is_empty());
    stream.is_terminal()
        && unset("NO_COLOR")
        && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Writes a text to standard output.
///
/// # Errors
///
/// The reader has gone (quiet), or the stream cannot be written.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|e| Failure::output(&e))
}

/// Writes one line to standard output.
///
/// # Errors
///
/// As [`text`].
pub(crate) fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{line}\n"))
}

/// Writes the one JSON document of a command: on several lines for a person, on one for a program.
///
/// For documents without secret values only; those go through [`bytes`].
///
/// # Errors
///
/// As [`text`].
pub(crate) fn document(document: &serde_json::Value) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return line(&format!("{document:#}"));
    }
    line(&document.to_string())
}

/// Writes bytes as they are, past the buffer of standard output: it would keep a copy.
///
/// # Errors
///
/// As [`text`].
pub(crate) fn bytes(mut bytes: &[u8]) -> Result<(), Failure> {
    let stdout = io::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(&stdout, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::output(&error.into())),
        }
    }
    Ok(())
}

/// Writes a value as it is. Where a person looks at it and it does not end its line, the line is
/// ended on standard error: standard output has the value's bytes and no others.
///
/// # Errors
///
/// As [`text`].
pub(crate) fn value(value: &[u8]) -> Result<(), Failure> {
    bytes(value)?;
    if io::stdout().is_terminal() && io::stderr().is_terminal() && !value.ends_with(b"\n") {
        note("");
    }
    Ok(())
}

/// Says something beside the answer, on standard error.
pub(crate) fn note(text: &str) {
    // Nowhere to say that this failed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Warns on standard error.
pub(crate) fn warning(text: &str) {
    label("warning", "\x1b[1;33m", text);
}

/// Reports a failure on standard error: `error:` and `hint:` lines, or one JSON document. One
/// without a message has nothing to add to what the command printed.
pub(crate) fn report(failure: &Failure, json: bool) {
    if failure.message.is_empty() {
        return;
    }
    if json {
        note(&failure.document().to_string());
        return;
    }
    label("error", "\x1b[1;31m", &failure.message);
    if let Some(hint) = &failure.hint {
        label("hint", "\x1b[1;36m", hint);
    }
}

fn label(label: &str, colour: &str, text: &str) {
    if colours(&io::stderr()) {
        note(&format!("{colour}{label}:\x1b[0m {text}"));
    } else {
        note(&format!("{label}: {text}"));
    }
}

/// A bar on standard error while `length` things are done; nothing where that is no terminal.
pub(crate) fn progress(length: u64, what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {eta}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.with_message(what)
}

/// A sign on standard error that work of an unknown length goes on; nothing where that is no
/// terminal.
pub(crate) fn working(what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.with_message(what)
}

/// A text from a store as one line that a terminal takes as text: labels and descriptions may have
/// been written by a guest, and must not move the cursor or forge a line.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_direction(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Characters that reorder the text around them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Rows under headings, each column as wide as its widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned).to_vec()],
        }
    }

    /// Adds a row; cells are made printable.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(printable).to_vec());
    }

    /// The table as text; no spaces at the ends of lines.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            text.push_str(line.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_in_text() {
        let mut table = Table::new(["a", "bb"]);
        table.row(["ccc", "d"]);
        table.row(["e", ""]);
        assert_eq!(table.render(), "a    bb\nccc  d\ne\n");
    }

    #[test]
    fn a_stored_text_cannot_drive_the_terminal() {
        assert_eq!(
            printable("a\x1b[2Jb\nc\u{202e}"),
            "a\\u{1b}[2Jb\\u{a}c\\u{202e}"
        );
        assert_eq!(printable("caf\u{e9} 10%"), "caf\u{e9} 10%");
    }
}
