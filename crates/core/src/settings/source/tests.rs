//! What a file may say, and who wins.

use super::*;

fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Found, SettingsError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mutt.toml");
    std::fs::write(&path, text).unwrap();
    load(Some(&path), env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
}

#[test]
fn the_environment_wins_over_the_file() {
    let found = load_text(
        "[\"where redis is\"]\nredis_host = \"in-file\"\nREDIS_PORT = 6380\n",
        &[("REDIS_HOST", "in-env")],
    )
    .unwrap();
    let host = &found.values["REDIS_HOST"];
    assert_eq!((host.text.as_str(), &host.origin), ("in-env", &Origin::Environment));
    let port = &found.values["REDIS_PORT"];
    assert_eq!(port.text, "6380");
    assert!(matches!(&port.origin, Origin::File(path) if path.ends_with("mutt.toml")));
    assert!(found.problems.is_empty());
}

#[test]
fn sections_nest_and_lists_are_lists() {
    let found = load_text(
        "LOG_LEVEL = \"DEBUG\"\n[a.b.c]\nINGEST_ALLOWED_SOURCES = [\"10.0.0.0/8\", \"::1\"]\nRATE_LIMIT_ENABLED = true\n",
        &[],
    )
    .unwrap();
    assert_eq!(found.values["INGEST_ALLOWED_SOURCES"].text, "10.0.0.0/8,::1");
    assert_eq!(found.values["RATE_LIMIT_ENABLED"].text, "true");
    assert_eq!(found.values["LOG_LEVEL"].text, "DEBUG");
}

#[test]
fn unknown_doubled_and_shapeless_keys_are_problems() {
    let found = load_text(
        "[a]\nREDIS_HOTS = 1\nREDIS_PORT = 1\nDB_PASS = \"hunter2\"\nDB_PORT = [[1], [2]]\n[b]\nredis_port = 2\n",
        &[],
    )
    .unwrap();
    let mut texts: Vec<_> = found.problems.iter().map(ToString::to_string).collect();
    texts.sort();
    assert_eq!(texts.len(), 4, "{texts:#?}");
    assert!(texts[0].starts_with("DB_PASS (file ") && texts[0].contains("SECRETS_FILE"), "{texts:#?}");
    assert!(texts[1].starts_with("DB_PORT (file ") && texts[1].contains("neither"), "{texts:#?}");
    assert!(
        texts[2].starts_with("REDIS_HOTS (file ") && texts[2].contains("was REDIS_HOST meant?"),
        "{texts:#?}"
    );
    assert!(texts[3].starts_with("REDIS_PORT (file ") && texts[3].contains("twice"), "{texts:#?}");
    assert!(!texts.concat().contains("hunter2"));
}

#[test]
fn a_file_that_is_absent_or_broken_is_named() {
    let absent = load(Some(Path::new("/nowhere/mutt.toml")), std::iter::empty()).unwrap_err();
    assert!(absent.to_string().contains("/nowhere/mutt.toml"));
    let broken = load_text("REDIS_HOST = \n", &[]).unwrap_err();
    assert!(matches!(broken, SettingsError::Syntax { .. }));
}
