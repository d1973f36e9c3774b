//! Reads passwords and secrets from standard input or a file, never from the command line. At a terminal it asks twice
//! and shows nothing.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use idp_core::secret::Secret;
use idp_server::secret_files;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::options::OutputFormat;
use crate::{output, signals};

/// In bytes. Longer than any password or secret.
const LONGEST_LINE: usize = 16 * 1024;

/// Where a password or secret comes from, as the options say.
pub(crate) enum SecretInput {
    /// No option named a source.
    Nowhere,
    File(PathBuf),
    Pipe,
    /// It is typed. Nothing that is typed is shown from now on.
    Terminal(HiddenInput),
}

impl SecretInput {
    /// Make it before anything else that takes time: people type before they are asked.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub(crate) fn new(stdin: bool, file: Option<&PathBuf>) -> Result<Self, Failure> {
        Ok(match file {
            Some(path) => Self::File(path.clone()),
            None if stdin && std::io::stdin().is_terminal() => {
                Self::Terminal(HiddenInput::begin().map_err(|error| unreadable(&error))?)
            }
            None if stdin => Self::Pipe,
            None => Self::Nowhere,
        })
    }

    /// Reads `what`, such as a password; `None` if no source was named.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or is not typed twice alike.
    pub(crate) fn read(self, what: &str) -> Result<Option<Secret>, Failure> {
        match self {
            Self::Nowhere => Ok(None),
            Self::File(path) => Ok(Some(from_file(&path)?)),
            Self::Pipe => first_line(unbuffered_stdin()?).map(Some),
            Self::Terminal(hidden) => typed(what, &hidden).map(Some),
        }
    }
}

/// Asks for it at the terminal, twice, because a mistake would not be seen.
fn typed(what: &str, _: &HiddenInput) -> Result<Secret, Failure> {
    let initial = what.chars().take(1).flat_map(char::to_uppercase);
    let name: String = initial.chain(what.chars().skip(1)).collect();
    let first = ask(&format!("{name}: "))?;
    if first.expose().is_empty() {
        return Err(Failure::new(format_args!("the {what} is empty")));
    }
    let second = ask(&format!("The same {what} again: "))?;
    if first != second {
        return Err(Failure::new("the two entries differ; nothing was changed, try again"));
    }
    Ok(first)
}

/// Ctrl-C, as the terminal passes it on.
const INTERRUPT: u8 = 3;

/// The system lets people correct the line as they know it. Enter ends it, or Ctrl-C or Ctrl-D.
fn ask(prompt: &str) -> Result<Secret, Failure> {
    output::prompt(prompt);
    match line(unbuffered_stdin()?, &[b'\n', INTERRUPT])? {
        // Nothing, not even a line end, is Ctrl-D.
        line if line.is_empty() || line.ends_with(&[INTERRUPT]) => Err(Failure::new(CANCELLED)),
        line => text_of(&line),
    }
}

const CANCELLED: &str = "cancelled; nothing was changed";

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new(format_args!("the terminal cannot be read: {error}; pipe it into this command"))
}

/// Until this is dropped, the terminal shows nothing that is typed but line ends, and Ctrl-C is a character that ends a
/// line: a signal could come too late, or before there is a prompt. A signal that ends the program from elsewhere restores
/// the terminal first. Afterwards signals still end it, but silently: something may have been changed by then.
pub(crate) struct HiddenInput {
    shown: Termios,
    is_over: Arc<AtomicBool>,
}

impl HiddenInput {
    fn begin() -> std::io::Result<Self> {
        let ended = signals::ended()?;
        let shown = tcgetattr(std::io::stdin())?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        hidden.local_modes.insert(LocalModes::ECHONL);
        hidden.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        tcsetattr(std::io::stdin(), OptionalActions::Now, &hidden)?;
        let (before, is_over) = (shown.clone(), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        tokio::spawn(async move {
            ended.await;
            if !over.load(Ordering::Relaxed) {
                restore(&before);
                output::errors(OutputFormat::Text, &Failure::new(CANCELLED));
            }
            std::process::exit(1);
        });
        Ok(Self { shown, is_over })
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        restore(&self.shown);
    }
}

/// What was typed and not read must not reach the shell: it may be the rest of a secret.
fn restore(terminal: &Termios) {
    let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, terminal);
}

/// Reads from a file, and warns if others can read it too.
///
/// # Errors
/// When the file is empty, unreadable, or not safe for a secret.
pub(crate) fn from_file(path: &Path) -> Result<Secret, String> {
    let file = secret_files::read(path)?;
    if let Some(warning) = &file.warning {
        output::warning(warning);
    }
    Ok(file.secret)
}

/// Only the first line, so that a person can type it.
fn first_line(input: impl Read) -> Result<Secret, Failure> {
    let line = line(input, b"\n")?;
    let text = text_of(&line)?;
    if text.expose().is_empty() {
        let what = if line.is_empty() { "standard input was" } else { "the first line of standard input is" };
        return Err(Failure::new(format_args!(
            "{what} empty; pipe the password or secret into this command"
        )));
    }
    Ok(text)
}

/// A line with the byte that ended it. It is read byte by byte, and nothing else is left of it in memory.
fn line(mut input: impl Read, ends: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Allocated at its full size: a buffer that grows leaves copies.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_LINE));
    let mut byte = [0];
    while line.len() < LONGEST_LINE && !line.last().is_some_and(|last| ends.contains(last)) {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => line.extend_from_slice(&byte),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Failure::new(format_args!("standard input cannot be read: {error}")));
            }
        }
    }
    if line.len() == LONGEST_LINE && !line.ends_with(b"\n") {
        return Err(Failure::new(format_args!(
            "the first line of standard input is too long: it has {LONGEST_LINE} bytes or more"
        )));
    }
    Ok(line)
}

fn text_of(line: &[u8]) -> Result<Secret, Failure> {
    let text = std::str::from_utf8(line)
        .map_err(|_| Failure::new("standard input cannot be read: it is not UTF-8"))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Standard input without the buffer of the standard library, which is never wiped.
fn unbuffered_stdin() -> Result<File, Failure> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    stdin
        .map(File::from)
        .map_err(|error| Failure::new(format_args!("standard input cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_taken_as_it_is() {
        for (input, expected) in [("a b \n", "a b "), ("a\r\nb\n", "a"), ("ä", "ä")] {
            assert_eq!(first_line(input.as_bytes()).unwrap().expose(), expected);
        }
        let long = "a".repeat(LONGEST_LINE + 1);
        assert!(first_line(long.as_bytes()).is_err(), "never cut off");
        assert!(first_line(&b"\xff\n"[..]).is_err());
        for (input, said) in
            [("", "standard input was empty; "), ("\nb", "the first line of standard input is empty; ")]
        {
            assert!(first_line(input.as_bytes()).unwrap_err().lines()[0].starts_with(said), "fault_13");
        }
    }
}
