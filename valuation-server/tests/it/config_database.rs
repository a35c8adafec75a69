//! The settings of the database: a file, or PostgreSQL with what it needs, and no password where others see it.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser as _;
use valuation_server::cli::{Cli, Command};
use valuation_server::config::{Config, ConfigError, Durability, Location, Setting};
use valuation_server::tools::LogFiles;

use crate::config::{URLS, error, serve, serve_with_file};

const SECRET: &str = "c4n4ry";
const PASSWORD: (&str, &str) = ("VALUATION_DATABASE_PASSWORD", "c4n4ry");

fn with(flags: &[&str], environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    serve(&[&URLS[..], flags].concat(), environment)
}

/// Where a command on the log looks.
fn place(flags: &[&str], environment: &[(&str, &str)]) -> Result<Location, ConfigError> {
    let cli = Cli::try_parse_from([&["valuation-server", "logs"], flags].concat()).unwrap();
    let Command::Logs(args) = &cli.command else { panic!("not logs") };
    assert!(!format!("{cli:?}").contains(SECRET));
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    args.files.database.place(environment)
}

fn has_password(location: &Location) -> bool {
    match location {
        Location::Server(address) => address.has_password(),
        _ => false,
    }
}

#[test]
fn a_path_is_a_file_and_has_all_that_a_file_has() {
    let config = with(&["--database", "/tmp/x y.db", "--durability", "normal"], &[]).unwrap();
    assert_eq!(config.database, Path::new("/tmp/x y.db").into());
    assert_eq!((config.location(), config.durability), (config.database, Durability::Normal));
    // A name of the server is no contradiction: each server may have one.
    with(&["--node-name", "node-1"], &[]).unwrap();
}

#[test]
fn the_password_and_the_authorities_belong_to_the_servers_address_and_are_not_shown() {
    let flags = ["--database", "postgres://u@db.example/v", "--database-ca", "/etc/ca.pem"];
    let config = with(&flags, &[PASSWORD]).unwrap();
    assert!(has_password(&config.location()) && !has_password(&config.database));
    assert_eq!(config.shown(Setting::Database).unwrap(), "postgres://u@db.example/v");
    assert_eq!(config.shown(Setting::DatabasePassword).unwrap(), "REDACTED");
    assert!(!format!("{config:?} {:?} {}", config.location(), config.to_toml()).contains(SECRET));
    let file = format!("database = 'postgres://u:{SECRET}@db.example/v?connect_timeout=3'");
    let config = serve_with_file(&file, &URLS).unwrap();
    assert!(has_password(&config.location()));
    let shown = config.shown(Setting::Database).unwrap();
    assert_eq!(shown, "postgres://u:REDACTED@db.example/v?connect_timeout=3");
    assert!(!format!("{config:?} {:?} {}", config.location(), config.to_toml()).contains(SECRET));
}

#[test]
fn a_password_on_the_command_line_is_refused_with_what_is_better() {
    let url = "postgres://u:c4n4ry@db.example/v";
    for shown in [
        error(with(&["--database", url], &[])),
        error(with(&["--database", "postgres://db.example/v?password=c4n4ry"], &[])),
        place(&["--database", url], &[]).unwrap_err().to_string(),
        error(with(&["--database", "postgres://h/v", "--database-password", SECRET], &[])),
        error(with(&["--database-password", SECRET], &[])),
    ] {
        assert!(shown.starts_with("--database"), "{shown}");
        assert!(shown.contains("set VALUATION_DATABASE_PASSWORD, or"), "{shown}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
    for url in [url, "postgres://db.example/v?password=c4n4ry"] {
        assert!(has_password(&with(&[], &[("VALUATION_DATABASE", url)]).unwrap().location()));
    }
}

#[test]
fn settings_that_contradict_one_another_are_named() {
    let server = "postgres://u@db.example/v";
    let ca = &["--database-ca", "/etc/ca.pem"][..];
    for (flags, environment, setting, expected) in [
        (ca, &[][..], "--database-ca", "--database is a file: leave it out"),
        (&["--database-connections", "9"], &[], "--database-connections", "--database is a file"),
        (&[], &[PASSWORD], "VALUATION_DATABASE_PASSWORD", "--database is a file"),
        (
            &[],
            &[PASSWORD, ("VALUATION_DATABASE", "postgres://u:other@h/v")],
            "VALUATION_DATABASE_PASSWORD",
            "the URL of --database has a password too",
        ),
        (
            &[ca, &["--database", "postgres://localhost/v"]].concat(),
            &[],
            "--database-ca",
            "add sslmode=verify-full",
        ),
        (
            &["--database", server, "--durability", "normal"],
            &[],
            "--durability",
            "synchronous_commit",
        ),
    ] {
        let shown = error(with(flags, environment));
        assert!(shown.starts_with(setting) && shown.contains(expected), "{shown}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn a_wrong_value_is_refused_without_what_may_be_a_password() {
    for (url, expected) in [
        ("postgres://u:c4n4ry@h:port/v", "invalid value"),
        ("postgres://u:c4n4ry@h/v?colour=red", "unknown option"),
        ("postgres://u:c4n@c4n4ry/v@h", "must be escaped"),
        ("postgres://u:c4n4ry", "invalid value"),
        ("postgres:///v?password=c4n4ry", "it names no host"),
        ("postgres://h/v?sslmode=prefer&password=c4n4ry", "its sslmode is"),
        ("postgres://u:REDACTED@h/v", "REDACTED in place of a password"),
        ("mysql://u:c4n4ry@h/v", "there is no scheme"),
        ("host=h user=u password=c4n4ry", "a list of parameters"),
    ] {
        for shown in [
            error(with(&[], &[("VALUATION_DATABASE", url)])),
            place(&[], &[("VALUATION_DATABASE", url)]).unwrap_err().to_string(),
        ] {
            assert!(shown.starts_with("VALUATION_DATABASE: "), "{shown}");
            assert!(shown.contains(expected) && !shown.contains(SECRET), "{url}: {shown}");
        }
    }
    for (name, wrong) in [
        ("VALUATION_DATABASE_PASSWORD", "c4n4ry\n"),
        ("VALUATION_DATABASE_CONNECTIONS", "1"),
        ("VALUATION_DATABASE_CONNECTIONS", "1001"),
        ("VALUATION_NODE_NAME", "node 1"),
        ("VALUATION_NODE_NAME", &"n".repeat(65)),
    ] {
        let server = ("VALUATION_DATABASE", "postgres://h/v");
        let shown = error(with(&[], &[server, (name, wrong)]));
        assert!(shown.starts_with(&format!("{name}: ")) && !shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn a_command_on_the_log_finds_the_database_and_its_password_where_serve_does() {
    let file = |path: &str| Location::from(Path::new(path));
    assert_eq!(place(&[], &[]).unwrap(), file("valuations.sqlite"));
    // With a file nothing else is read: this may be the environment of a server with PostgreSQL.
    assert_eq!(place(&["--database", "b.sqlite"], &[PASSWORD]).unwrap(), file("b.sqlite"));
    let server = place(&["--database", "postgres://u@h/v"], &[PASSWORD]).unwrap();
    assert!(has_password(&server));
    assert_eq!(server.to_string(), "postgres://u@h:5432/v");
    let environment = [PASSWORD, ("VALUATION_DATABASE", "postgres://u@h/v")];
    assert_eq!(place(&[], &environment).unwrap(), server);
    assert_eq!(with(&[], &environment).unwrap().location(), server);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    std::fs::write(&config, "database = 'postgres://u@h/v'\ndatabase-password = 'c4n4ry'").unwrap();
    assert_eq!(place(&["--config", config.to_str().unwrap()], &[]).unwrap(), server);
}

#[test]
fn a_url_in_the_place_of_an_archive_is_no_path_that_an_error_would_show() {
    let archive = |path: &str| {
        let files = LogFiles { archive: vec![path.into()], ..LogFiles::default() };
        let environment = [PASSWORD, ("VALUATION_DATABASE", "postgres://u@h/v")];
        files.places(environment.map(|(name, value)| (name.into(), value.into())))
    };
    let places = archive("2026.sqlite").unwrap();
    assert_eq!(places[1], Location::from(Path::new("2026.sqlite")));
    assert!(has_password(&places[0]));
    let error = archive("postgres://u:c4n4ry@h/v").unwrap_err().to_string();
    assert!(!error.contains(SECRET), "{error}");
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_unicode_is_a_file_and_a_url_must_be_unicode() {
    use std::os::unix::ffi::OsStringExt as _;

    let located = |bytes: &[u8]| {
        let flag = OsString::from_vec(bytes.to_vec()).into();
        Config::database_location(Some(&flag), None, [])
    };
    let path = OsString::from_vec(b"v\xff.sqlite".to_vec());
    assert_eq!(located(b"v\xff.sqlite").unwrap(), Location::File(path.into()));
    let error = located(b"postgres://u\xff@h/v").unwrap_err().to_string();
    assert!(error.contains("it is not Unicode"), "{error}");
}
