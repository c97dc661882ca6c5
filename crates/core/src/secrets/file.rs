//! Secrets from a file of dotenv lines: for `mutt up`, for tests, and for people without Vault.
//!
//! `NAME=value`, optionally after `export`; blank lines and lines that begin with `#` are skipped. A value without quotes
//! goes to the end of the line, or to ` #`; between `'` it is taken as it stands; between `"`, `\\`, `\"`, `\n` and `\t`
//! are understood. Nothing is expanded. The file must be closed to everyone but its owner.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use secrecy::SecretString;

use super::SecretsError;
use super::values::Values;

/// Permission bits of group and others: none of them may be set.
const OPEN_TO_OTHERS: u32 = 0o077;

/// Reads the whole file; blocks, so call it at start or on a blocking thread.
pub(super) fn read(path: &Path) -> Result<Values, SecretsError> {
    let unreadable = |source| SecretsError::FileUnreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    // Asked of the open file: the path could be another file by then.
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & OPEN_TO_OTHERS != 0 {
        return Err(SecretsError::FileExposed { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    let entries = parse(&text).map_err(|(line, problem)| SecretsError::FileMalformed {
        path: path.to_owned(),
        line,
        problem,
    })?;
    Ok(Values::new(format!("the secrets file {}", path.display()), entries))
}

type Entries = Vec<(String, SecretString)>;

/// The line number counts from 1; the problem never quotes the line, which may hold a secret.
fn parse(text: &str) -> Result<Entries, (usize, &'static str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries: Entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let problem = |text| (index + 1, text);
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| problem("there is no `=`"))?;
        let name = name.trim();
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(problem("the name before `=` may have only letters, digits and `_`"));
        }
        if entries.iter().any(|(earlier, _)| earlier == name) {
            return Err(problem("this name was set further up already"));
        }
        let value = unquote(value.trim()).map_err(problem)?;
        entries.push((name.to_owned(), SecretString::from(value)));
    }
    Ok(entries)
}

fn unquote(value: &str) -> Result<String, &'static str> {
    let mut characters = value.chars();
    match characters.next() {
        Some(quote @ ('\'' | '"')) => {
            let mut out = String::new();
            loop {
                match characters.next() {
                    None => return Err("the closing quote is missing"),
                    Some(end) if end == quote => break,
                    Some('\\') if quote == '"' => out.push(match characters.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some(same @ ('\\' | '"')) => same,
                        _ => return Err("only \\\\, \\\", \\n and \\t are known between double quotes"),
                    }),
                    Some(other) => out.push(other),
                }
            }
            let rest = characters.as_str().trim_start();
            if rest.is_empty() || rest.starts_with('#') {
                Ok(out)
            } else {
                Err("there is text after the closing quote")
            }
        }
        _ => Ok(value.split_once(" #").map_or(value, |(before, _)| before).trim_end().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let entries = parse(text).unwrap();
        entries.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect()
    }

    fn value(line: &str) -> String {
        values(line).remove(0).1
    }

    #[test]
    fn values_come_through_exactly() {
        assert_eq!(value("A=007"), "007");
        assert_eq!(value("  export A = with spaces  \r"), "with spaces");
        assert_eq!(value("A=a=b#c"), "a=b#c");
        assert_eq!(value("A=secret # a comment"), "secret");
        assert_eq!(value("A='it # \"stays\" \\n'"), "it # \"stays\" \\n");
        assert_eq!(value(r#"A="line\n\"tab\"\t\\" # note"#), "line\n\"tab\"\t\\");
        assert_eq!(value("A=$HOME"), "$HOME");
        assert_eq!(values("\u{feff}A=1\n\n# no\nB=\n").len(), 2);
    }

    #[test]
    fn problems_name_the_line_and_not_its_content() {
        for (text, line) in [
            ("A=1\nsecret without a name", 2),
            ("A='open", 1),
            ("A=1\n\nA=2", 3),
            ("A B=1", 1),
            ("=1", 1),
            (r#"A="\x""#, 1),
            ("A='a' b", 1),
        ] {
            let (found, problem) = parse(text).unwrap_err();
            assert_eq!(found, line, "{text}: {problem}");
            assert!(!problem.contains("secret without"), "{problem}");
        }
    }
}
