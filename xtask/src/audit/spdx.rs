//! Licence expressions: <https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/>, and the older `MIT/Apache-2.0`.

use anyhow::{Context, bail, ensure};

/// Whether somebody who accepts just the licences that `is_allowed` names can use what is under `expression`.
///
/// `is_allowed` is asked about single licences, or a licence with its exception: `Apache-2.0 WITH LLVM-exception`.
pub(crate) fn is_satisfied(expression: &str, is_allowed: &dyn Fn(&str) -> bool) -> anyhow::Result<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut reader = Reader { words: spaced.split_whitespace().collect(), next: 0, is_allowed };
    let satisfied = reader.alternatives().with_context(|| format!("`{expression}`"))?;
    match reader.peek() {
        None => Ok(satisfied),
        Some(word) => bail!("`{expression}`: `{word}` stands where nothing should follow"),
    }
}

/// Reads the words from left to right; AND binds tighter than OR.
struct Reader<'a> {
    words: Vec<&'a str>,
    next: usize,
    is_allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Reader<'a> {
    fn alternatives(&mut self) -> anyhow::Result<bool> {
        let mut any = self.conjunction()?;
        while self.skip("OR") {
            any |= self.conjunction()?;
        }
        Ok(any)
    }

    fn conjunction(&mut self) -> anyhow::Result<bool> {
        let mut all = self.operand()?;
        while self.skip("AND") {
            all &= self.operand()?;
        }
        Ok(all)
    }

    fn operand(&mut self) -> anyhow::Result<bool> {
        if self.skip("(") {
            let inner = self.alternatives()?;
            ensure!(self.skip(")"), "a bracket is not closed");
            return Ok(inner);
        }
        let licence = self.name()?;
        if self.skip("WITH") {
            let exception = self.name()?;
            return Ok((self.is_allowed)(&format!("{licence} WITH {exception}")));
        }
        Ok((self.is_allowed)(licence))
    }

    fn name(&mut self) -> anyhow::Result<&'a str> {
        let word = self.peek().context("a licence is missing at the end")?;
        let is_operator =
            ["AND", "OR", "WITH", "(", ")"].iter().any(|operator| word.eq_ignore_ascii_case(operator));
        ensure!(!is_operator, "`{word}` stands where a licence should");
        self.next += 1;
        Ok(word)
    }

    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).copied()
    }

    fn skip(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.next += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::is_satisfied;

    const ALLOWED: [&str; 3] = ["MIT", "Apache-2.0", "MPL-2.0 WITH some-exception"];

    fn check(expression: &str) -> anyhow::Result<bool> {
        is_satisfied(expression, &|licence| ALLOWED.contains(&licence))
    }

    #[track_caller]
    fn allowed(expression: &str) {
        assert!(check(expression).unwrap(), "{expression}");
    }

    #[track_caller]
    fn refused(expression: &str) {
        assert!(!check(expression).unwrap(), "{expression}");
    }

    #[test]
    fn a_single_licence_has_to_be_listed() {
        allowed("MIT");
        refused("GPL-3.0-only");
    }

    #[test]
    fn one_of_several_alternatives_is_enough() {
        allowed("GPL-3.0-only OR MIT");
        allowed("MIT OR GPL-3.0-only");
        refused("GPL-3.0-only OR LGPL-2.1-or-later");
    }

    #[test]
    fn all_licences_that_hold_together_are_needed() {
        allowed("MIT AND Apache-2.0");
        refused("MIT AND GPL-3.0-only");
        refused("GPL-3.0-only AND MIT");
    }

    #[test]
    fn and_binds_tighter_than_or_and_brackets_bind_tightest() {
        allowed("MIT OR Apache-2.0 AND GPL-3.0-only");
        refused("(MIT OR Apache-2.0) AND GPL-3.0-only");
        allowed("(MIT OR GPL-3.0-only) AND ((Apache-2.0))");
    }

    #[test]
    fn a_slash_is_an_old_way_to_write_or() {
        allowed("GPL-3.0-only/MIT");
        allowed("GPL-3.0-only / MIT");
    }

    #[test]
    fn a_licence_with_an_exception_is_another_licence() {
        allowed("MPL-2.0 WITH some-exception");
        refused("MPL-2.0");
        refused("MIT WITH some-exception");
    }

    #[test]
    fn an_expression_that_cannot_be_read_is_an_error_and_never_allowed() {
        for broken in [
            "", "MIT OR", "MIT OR AND", "OR MIT", "(MIT", "MIT)", "MIT Apache-2.0", "MIT or Apache-2.0",
            "MIT WITH", "()",
        ] {
            assert!(check(broken).is_err(), "{broken}");
        }
    }
}
