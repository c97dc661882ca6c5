//! Rules of the house that no compiler checks: layout, imports of the pure modules, script headers, words that must
//! not be committed. Each test lists every offender at once, as `path:line`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap here is a failed test")]
#![expect(clippy::case_sensitive_file_extension_comparisons, reason = "our files' endings are in lower case")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this has two jobs.
const MAX_LINES: usize = 500;
/// `main` only says what is started; everything it starts can be called by a test.
const MAX_MAIN_LINES: usize = 40;
/// One atomic step should fit on a screen.
const MAX_LUA_LINES: usize = 100;
/// Folders that hold no source of ours.
const NOT_OURS: [&str; 5] = ["target", ".git", ".mutt", ".tools", "node_modules"];

struct Source {
    /// Relative to the workspace, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.starts_with("crates/e2e/")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every text file of the project; generated query data and the lock file are left out.
fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) && name != ".sqlx" {
                    folders.push(path);
                }
            } else if name != "Cargo.lock"
                && let Ok(text) = fs::read_to_string(&path)
            {
                let path = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
                found.push(Source { path, text });
            }
        }
    }
    assert!(found.len() > 50, "the walk found only {} files: it looks in the wrong place", found.len());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn assert_none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

/// Lines that hold one of `words`, as `path:line: word`.
fn lines_with(source: &Source, words: &[&str]) -> Vec<String> {
    let mut hits = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(**word)) {
            hits.push(format!("{}:{}: {word}", source.path, number + 1));
        }
    }
    hits
}

#[test]
fn files_are_short_enough_to_read() {
    let mut offenders = Vec::new();
    for source in sources() {
        let limit = match &source {
            _ if source.path.ends_with("src/main.rs") => MAX_MAIN_LINES,
            _ if source.is_rust() => MAX_LINES,
            _ if source.has_extension("lua") => MAX_LUA_LINES,
            _ => continue,
        };
        let lines = source.text.lines().count();
        if lines > limit {
            offenders.push(format!("{}: {lines} lines, at most {limit}", source.path));
        }
    }
    assert_none("split these by job", &offenders);
}

#[test]
fn rust_files_say_what_they_are_for() {
    let offenders: Vec<_> = sources()
        .into_iter()
        .filter(|source| {
            source.is_rust() && !source.path.ends_with("/tests.rs") && !source.text.starts_with("//!")
        })
        .map(|source| source.path)
        .collect();
    assert_none("begin these with a `//!` header", &offenders);
}

#[test]
fn modules_are_named_files() {
    let offenders: Vec<_> =
        sources().into_iter().map(|source| source.path).filter(|path| path.ends_with("/mod.rs")).collect();
    assert_none("use foo.rs beside foo/ instead of foo/mod.rs", &offenders);
}

#[test]
fn domain_and_rules_are_pure() {
    let impure = [
        "tokio::",
        "::redis::",
        "crate::redis",
        "sqlx::",
        "axum::",
        "tracing::",
        "reqwest::",
        "std::fs",
        "std::net::Tcp",
    ];
    let mut offenders = Vec::new();
    for source in sources() {
        let inside = |module: &str| {
            source.path == format!("crates/core/src/{module}.rs")
                || source.path.starts_with(&format!("crates/core/src/{module}/"))
        };
        if inside("domain") || inside("rules") {
            let code: String = source
                .text
                .lines()
                .map(|line| if line.trim_start().starts_with("//") { "\n" } else { line })
                .fold(String::new(), |all, line| all + line.trim_end_matches('\n') + "\n");
            offenders.extend(lines_with(&Source { path: source.path, text: code }, &impure));
        }
    }
    assert_none("decisions must not wait, connect or log", &offenders);
}

#[test]
fn nothing_is_left_to_do() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let offenders: Vec<_> = sources()
        .iter()
        .filter(|source| !source.path.ends_with(".txt"))
        .flat_map(|source| lines_with(source, &words))
        .collect();
    assert_none("finish these, or say what is missing in the documentation", &offenders);
}

#[test]
fn no_test_is_switched_off() {
    let words = [concat!("#[ig", "nore"), concat!("std::thread::sle", "ep(")];
    let offenders: Vec<_> = sources()
        .iter()
        .filter(|source| source.is_rust() && source.is_test())
        .flat_map(|source| lines_with(source, &words))
        .collect();
    assert_none("a test runs always and waits with `eventually`", &offenders);
}

#[test]
fn nothing_points_out_of_the_project() {
    let anywhere = [
        concat!("/wo", "rk/"),
        concat!("pypi", ".org"),
        concat!("index.crates", ".io"),
        concat!("static.crates", ".io"),
        concat!("registry.npm", "js"),
        concat!("deb.debian", ".org"),
    ];
    // Tests may read the corpora that lie beside the project on some machines, and skip without them.
    let outside_tests = [concat!("../sha", "red")];
    let mut offenders = Vec::new();
    for source in sources() {
        offenders.extend(lines_with(&source, &anywhere));
        if !source.is_test() {
            offenders.extend(lines_with(&source, &outside_tests));
        }
    }
    assert_none("a clone must build and run anywhere", &offenders);
}

#[test]
fn decision_records_have_a_number_each() {
    let mut numbers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut offenders = Vec::new();
    for source in sources() {
        let Some(name) = source.path.strip_prefix("docs/adr/").filter(|name| name.ends_with(".md")) else {
            continue;
        };
        match name.split_once('-') {
            Some((number, _)) if number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                numbers.entry(number.to_owned()).or_default().push(name.to_owned());
            }
            _ => offenders.push(format!("{name}: not named NNNN-title.md")),
        }
    }
    offenders.extend(numbers.into_values().filter(|names| names.len() > 1).map(|names| names.join(" and ")));
    assert_none("number decision records one by one", &offenders);
}

#[test]
fn lua_files_are_loaded_and_documented() {
    let all = sources();
    let loaders: String = all
        .iter()
        .filter(|source| source.path.starts_with("crates/core/src/redis"))
        .map(|source| source.text.as_str())
        .collect();
    let mut offenders = Vec::new();
    for script in all.iter().filter(|source| source.has_extension("lua")) {
        let name = script.path.rsplit('/').next().unwrap();
        let mut problem = |text: String| offenders.push(format!("{}: {text}", script.path));
        if !loaders.contains(&format!("{name}\"")) {
            problem("no module of core::redis loads it".into());
        }
        let header: Vec<&str> = script
            .text
            .lines()
            .skip_while(|line| line.starts_with("#!"))
            .take_while(|line| line.starts_with("--"))
            .collect();
        let title = format!("-- {}:", name.trim_end_matches(".lua"));
        if !header.first().is_some_and(|line| line.starts_with(&title)) {
            problem(format!("does not begin with `{title} what it does`"));
        }
        let header = header.join("\n");
        if !header.contains("returns ") {
            problem("its header does not say what it returns".into());
        }
        for table in ["KEYS", "ARGV"] {
            for index in literal_indexes(&script.text, table) {
                if !documents(&header, table, index) {
                    problem(format!("its header does not explain {table}[{index}]"));
                }
            }
        }
    }
    assert_none("a script opens with its name, keys, arguments and answers", &offenders);
}

/// Every n of `table[n]` in the script.
fn literal_indexes(script: &str, table: &str) -> Vec<u32> {
    let opening = format!("{table}[");
    let mut indexes: Vec<u32> = script
        .split(&opening)
        .skip(1)
        .filter_map(|rest| rest.split_once(']').and_then(|(index, _)| index.trim().parse().ok()))
        .collect();
    indexes.sort_unstable();
    indexes.dedup();
    indexes
}

/// Whether a header like `KEYS 1 queue | 2 lease | 7.. marks` names `index` of `table`.
fn documents(header: &str, table: &str, index: u32) -> bool {
    let Some((_, after)) = header.split_once(&format!("{table} ")) else {
        return false;
    };
    // The part of the other table, and the answers, are not ours.
    let end = ["KEYS ", "ARGV ", "returns "]
        .iter()
        .filter_map(|word| after.find(word))
        .min()
        .unwrap_or(after.len());
    let (ours, _) = after.split_at(end);
    ours.split(|letter: char| letter.is_whitespace() || "|,".contains(letter)).any(|word| {
        let (number, rest) =
            word.split_at(word.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(word.len()));
        match (number.parse::<u32>(), rest) {
            (Ok(number), "") => number == index,
            (Ok(number), "..") => number <= index,
            (Ok(first), rest) => rest
                .trim_start_matches(['.', '-'])
                .parse::<u32>()
                .is_ok_and(|last| (first..=last).contains(&index)),
            _ => false,
        }
    })
}

#[test]
fn make_targets_are_one_line_each() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut recipe_lines: BTreeMap<&str, usize> = BTreeMap::new();
    let mut target = "";
    for line in makefile.lines() {
        if line.starts_with('\t') {
            *recipe_lines.entry(target).or_default() += 1;
        } else if let Some((name, _)) = line.split_once(':') {
            target = name;
        }
    }
    let offenders: Vec<_> =
        recipe_lines.into_iter().filter(|(_, lines)| *lines > 1).map(|(name, _)| name.to_owned()).collect();
    assert_none("move the work into scripts/ or `mutt`", &offenders);
}
