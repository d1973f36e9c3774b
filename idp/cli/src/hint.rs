//! Commands that people are told to type: each runs as it stands, in the folder they are in.

/// The name this program was started as: `idp`, or the way to it.
pub(crate) fn program() -> String {
    let name = std::env::args_os().next().unwrap_or_default();
    if name.is_empty() { "idp".to_owned() } else { quoted(&name.to_string_lossy()) }
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |sign: char| sign.is_ascii_alphanumeric() || "-_./:=@%+,".contains(sign);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_read_more_into_it() {
        for (word, expected) in [
            ("data/dev", "data/dev"),
            ("", "''"),
            ("my keys", "'my keys'"),
            ("a$b;c*", "'a$b;c*'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
