//! Reads passwords and secrets from standard input or a file, never from the command line.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use idp_core::secret::Secret;
use idp_server::secret_files;

use crate::failure::Failure;
use crate::output;

/// In bytes. Longer than any password or secret.
const LONGEST_LINE: u64 = 16 * 1024;

/// Reads from the source that was named; `None` if none was.
///
/// # Errors
/// When it cannot be read, or is empty.
pub(crate) fn read(stdin: bool, file: Option<&PathBuf>) -> Result<Option<Secret>, Failure> {
    match file {
        Some(path) => Ok(Some(from_file(path)?)),
        None if stdin => first_line(std::io::stdin().lock()).map(Some),
        None => Ok(None),
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

/// Only the first line, so that a person can type it.
fn first_line(input: impl BufRead) -> Result<Secret, Failure> {
    let mut line = String::new();
    let read = input.take(LONGEST_LINE).read_line(&mut line);
    read.map_err(|error| Failure::new(format_args!("standard input cannot be read: {error}")))?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    if line.is_empty() {
        return Err(Failure::new("standard input was empty; pipe the password or secret into this command"));
    }
    Ok(Secret::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_taken_as_it_is() {
        for (input, expected) in [("a b \n", "a b "), ("a\r\nb\n", "a"), ("ä", "ä")] {
            assert_eq!(first_line(input.as_bytes()).unwrap().expose(), expected);
        }
        assert!(first_line("\n".as_bytes()).is_err() && first_line("".as_bytes()).is_err());
    }
}
