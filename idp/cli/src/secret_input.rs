//! Passwords and secrets: from standard input or from a file, never from the command line.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use idp_core::secret::Secret;
use idp_server::secret_files;

use crate::failure::Failure;
use crate::output;

/// More than any password or secret has.
const LONGEST_LINE: u64 = 16 * 1024;

/// Reads one from whichever was named; `None` when neither was.
///
/// # Errors
/// When nothing can be read there.
pub(crate) fn read(stdin: bool, file: Option<&PathBuf>) -> Result<Option<Secret>, Failure> {
    match file {
        Some(path) => Ok(Some(from_file(path)?)),
        None if stdin => first_line(std::io::stdin().lock()).map(Some),
        None => Ok(None),
    }
}

/// Reads one from a file, and warns where others can read it too.
///
/// # Errors
/// When there is no secret in it, or it is no place for one.
pub(crate) fn from_file(path: &Path) -> Result<Secret, String> {
    let file = secret_files::read(path)?;
    if let Some(warning) = &file.warning {
        output::warning(warning);
    }
    Ok(file.secret)
}

/// The first line, so that it also works when a person types it.
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
