//! Reads passwords and secrets from standard input or a file, never from the command line. At a terminal it asks twice
//! and shows nothing.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use idp_core::secret::Secret;
use idp_server::secret_files;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::{output, signals};

/// In bytes. Longer than any password or secret.
const LONGEST_LINE: usize = 16 * 1024;

/// Reads `what`, such as a password, from the source that was named; `None` if none was.
///
/// # Errors
/// When it cannot be read, is empty, or is not typed twice alike.
pub(crate) fn read(what: &str, stdin: bool, file: Option<&PathBuf>) -> Result<Option<Secret>, Failure> {
    match file {
        Some(path) => Ok(Some(from_file(path)?)),
        None if stdin && std::io::stdin().is_terminal() => typed(what).map(Some),
        None if stdin => first_line(unbuffered_stdin()?).map(Some),
        None => Ok(None),
    }
}

/// Asks for it at the terminal, twice, because a mistake would not be seen.
fn typed(what: &str) -> Result<Secret, Failure> {
    let initial = what.chars().take(1).flat_map(char::to_uppercase);
    let name: String = initial.chain(what.chars().skip(1)).collect();
    // Otherwise Ctrl-C ends the program before the terminal is restored.
    signals::catch_interrupt();
    let _hidden = HiddenInput::begin().map_err(|error| unreadable(&error))?;
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

fn ask(prompt: &str) -> Result<Secret, Failure> {
    let typed = rpassword::prompt_password(prompt);
    typed.map(Secret::new).map_err(|error| match error.kind() {
        // Ctrl-C or Ctrl-D.
        ErrorKind::Interrupted | ErrorKind::UnexpectedEof => Failure::new("cancelled; nothing was changed"),
        _ => unreadable(&error),
    })
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new(format_args!("the terminal cannot be read: {error}; pipe it into this command"))
}

/// Until this is dropped, the terminal shows nothing that is typed, and passes Ctrl-C on as a character. rpassword sets
/// the same mode, but only while it reads: what is typed or pasted before or between the prompts would be shown, and a
/// Ctrl-C there would be lost.
struct HiddenInput(Termios);

impl HiddenInput {
    fn begin() -> std::io::Result<Self> {
        let shown = tcgetattr(std::io::stdin())?;
        let mut hidden = shown.clone();
        hidden
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &hidden)?;
        Ok(Self(shown))
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
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

/// Only the first line, so that a person can type it. It is read byte by byte, and nothing else is left of it in memory.
fn first_line(mut input: impl Read) -> Result<Secret, Failure> {
    // Allocated at its full size: a buffer that grows leaves copies.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_LINE));
    let mut byte = [0];
    while line.len() < LONGEST_LINE && byte != *b"\n" {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => line.extend_from_slice(&byte),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Failure::new(format_args!("standard input cannot be read: {error}")));
            }
        }
    }
    if line.len() == LONGEST_LINE && byte != *b"\n" {
        return Err(Failure::new(format_args!(
            "the first line of standard input is too long: it has {LONGEST_LINE} bytes or more"
        )));
    }
    let text = std::str::from_utf8(&line)
        .map_err(|_| Failure::new("standard input cannot be read: it is not UTF-8"))?
        .trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Failure::new("standard input was empty; pipe the password or secret into this command"));
    }
    Ok(Secret::new(text.to_owned()))
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
        assert!(first_line("\n".as_bytes()).is_err() && first_line("".as_bytes()).is_err());
    }
}
