//! The files in `packaging`: what they run, set and name is the server's. `.ci/packaging` checks their form.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use valuation_server::app::App;
use valuation_server::cli::{Cli, Command};
use valuation_server::config::{CA_VARIABLE, Config, FILE_VARIABLE, Setting, TOKEN_VARIABLE};

use crate::command_lines::words;

const DOCKERFILE: &str = include_str!("../../packaging/Dockerfile");
const KUBERNETES: &str = include_str!("../../packaging/kubernetes.yaml");
const SERVER: &str = include_str!("../../packaging/valuation-server.service");
const BACKUP: &str = include_str!("../../packaging/valuation-server-backup.service");
const ARCHIVE: &str = include_str!("../../packaging/valuation-server-archive.service");
const TIMERS: [&str; 2] = [
    include_str!("../../packaging/valuation-server-backup.timer"),
    include_str!("../../packaging/valuation-server-archive.timer"),
];

/// The values of a key in a unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let value = |line: &'a str| line.strip_prefix(key)?.strip_prefix('=');
    unit.lines().filter_map(value).collect()
}

fn variable_is_known(name: &str) -> bool {
    [FILE_VARIABLE, TOKEN_VARIABLE, CA_VARIABLE].contains(&name)
        || Setting::ALL.into_iter().any(|setting| setting.variable() == name)
}

/// How long a stop may take with these variables and the defaults.
async fn longest_stop(variables: &[(String, String)]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("v.sqlite").to_str().unwrap().to_owned();
    let ours = [
        ("VALUATION_DATABASE", database.as_str()),
        ("VALUATION_LISTEN", "127.0.0.1:0"),
        ("VALUATION_ADMIN_LISTEN", "127.0.0.1:0"),
        ("VALUATION_SUPERCAR_URL", "http://supercar.invalid"),
        ("VALUATION_PREMIUM_URL", "http://premium.invalid"),
    ];
    let given = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all = given.filter(|(name, _)| *name != FILE_VARIABLE).chain(ours);
    let all: BTreeMap<&str, &str> = all.collect();
    let environment = all.iter().map(|(name, value)| (name.into(), value.into()));
    let config = Config::load(&BTreeMap::new(), None, environment).unwrap();
    App::start(&config).await.unwrap().longest_stop()
}

#[tokio::test]
async fn the_servers_unit_runs_serve_with_known_variables_and_gives_a_stop_its_time() {
    let [start] = values(SERVER, "ExecStart")[..] else { panic!("one ExecStart") };
    let cli = Cli::try_parse_from(words(start)).unwrap();
    assert!(matches!(cli.command, Command::Serve(_)));
    for given in values(SERVER, "Environment") {
        let (name, _) = given.split_once('=').unwrap();
        assert!(variable_is_known(name), "{name}");
    }
    let [limit] = values(SERVER, "TimeoutStopSec")[..] else { panic!("one TimeoutStopSec") };
    assert!(humantime::parse_duration(limit).unwrap() > longest_stop(&[]).await);
    // As docs/running.md says: SIGHUP reads the document again, and 2 is a wrong setting.
    assert_eq!(values(SERVER, "ExecReload"), ["kill -HUP $MAINPID"]);
    assert_eq!(values(SERVER, "RestartPreventExitStatus"), ["2"]);
    assert_eq!(values(SERVER, "Type"), ["notify"]);
}

/// The line for the shell: what it executes is the part from `exec` on.
#[test]
fn the_units_of_the_timers_run_commands_of_the_server_on_its_database() {
    for unit in [BACKUP, ARCHIVE] {
        let [start] = values(unit, "ExecStart")[..] else { panic!("one ExecStart") };
        // systemd makes `$` of `$$`, and `%` of `%%`.
        let shell = words(&start.replace("$$", "$").replace("%%", "%"));
        assert_eq!(&shell[..2], ["/bin/sh", "-c"]);
        let (_, line) = shell[2].split_once("exec ").unwrap();
        // A date as the shell would give it.
        let line = line.replace("$(date -u +%Y-%m-%d)", "2026-11-30");
        let line = words(&line.replace("$before", "2025-10-01"));
        let parsed = Cli::try_parse_from(&line);
        assert!(parsed.is_ok(), "{line:?}: {}", parsed.unwrap_err());
        let database = values(SERVER, "Environment");
        let database = database.iter().find_map(|v| v.strip_prefix("VALUATION_DATABASE="));
        assert!(line.iter().any(|word| Some(word.as_str()) == database), "{line:?}");
        assert_eq!(values(unit, "User"), values(SERVER, "User"));
        let ours = values(unit, "StateDirectory")[0];
        assert!(ours.starts_with(values(SERVER, "StateDirectory")[0]), "{ours}");
    }
    for timer in TIMERS {
        assert_eq!(values(timer, "Persistent"), ["yes"]);
    }
}

/// The instructions of the Dockerfile, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let lines = DOCKERFILE.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let split = |line: &str| line.trim().split_once(' ').map(|(k, v)| (k.to_owned(), v.to_owned()));
    joined.lines().filter_map(split).collect()
}

fn of<'a>(instructions: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let found = instructions.iter().filter(|(found, _)| found == name);
    found.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn the_image_runs_serve_as_no_root_with_known_variables_and_a_health_check_of_the_binary() {
    let instructions = instructions();
    let json = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap();
    let [entry] = of(&instructions, "ENTRYPOINT")[..] else { panic!("one ENTRYPOINT") };
    let [command] = of(&instructions, "CMD")[..] else { panic!("one CMD") };
    let cli = Cli::try_parse_from(json(entry).into_iter().chain(json(command))).unwrap();
    assert!(matches!(cli.command, Command::Serve(_)));
    let [health] = of(&instructions, "HEALTHCHECK")[..] else { panic!("one HEALTHCHECK") };
    let (_, health) = health.split_once("CMD").unwrap();
    let cli = Cli::try_parse_from(json(health.trim())).unwrap();
    let Command::Check(check) = cli.command else { panic!("{health} is no check") };

    let [variables] = of(&instructions, "ENV")[..] else { panic!("one ENV") };
    let variables: Vec<(&str, &str)> =
        variables.split_whitespace().map(|pair| pair.split_once('=').unwrap()).collect();
    for (name, _) in &variables {
        assert!(variable_is_known(name), "{name}");
        assert!(!name.contains("TOKEN") && !name.contains("SECRET") && !name.contains("URL"));
    }
    // What is still to be given is enough for the health check as well: it knows the listener.
    let urls = [
        ("VALUATION_SUPERCAR_URL", "http://supercar.invalid"),
        ("VALUATION_PREMIUM_URL", "http://premium.invalid"),
    ];
    let environment = variables.iter().chain(&urls).map(|(n, v)| (n.into(), v.into()));
    check.server(environment).unwrap();
    let database = variables.iter().find(|(name, _)| *name == "VALUATION_DATABASE").unwrap().1;
    let [volume] = of(&instructions, "VOLUME")[..] else { panic!("one VOLUME") };
    assert!(Path::new(database).starts_with(volume));
    let [user] = of(&instructions, "USER")[..] else { panic!("one USER") };
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0));
    assert_eq!(of(&instructions, "STOPSIGNAL"), ["SIGTERM"]);
}

/// A workspace whose members are not all there can't be built.
#[test]
fn what_the_image_is_built_from_is_there_and_sent_to_the_builder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ignored = std::fs::read_to_string(root.join(".dockerignore")).unwrap();
    let sent: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for path in &sent {
        assert!(root.join(path).exists(), "{path}");
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    for member in members {
        let member = member.as_str().unwrap().split('/').next().unwrap();
        assert!(sent.contains(&member), "{member}");
    }
    for needed in ["Cargo.toml", "Cargo.lock", ".cargo"] {
        assert!(sent.contains(&needed), "{needed}");
    }
    // The same compiler as the workspace wants.
    let version = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(DOCKERFILE.contains(&format!("FROM rust:{version}-")), "rust {version}");
}

/// The value after the first `key: ` of a text.
fn after<'a>(text: &'a str, key: &str) -> &'a str {
    let (_, rest) = text.split_once(key).unwrap_or_else(|| panic!("{key} is not there"));
    rest.trim_start().split(['\n', ',', '}', '#']).next().unwrap().trim().trim_matches('"')
}

#[tokio::test]
async fn the_manifest_probes_the_operators_side_and_gives_a_stop_its_time() {
    let pairs = KUBERNETES.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("- {name: VALUATION_")?;
        let (name, value) = rest.split_once(", value: ")?;
        let value = value.trim_end_matches('}').trim_matches('"');
        Some((format!("VALUATION_{name}"), value.to_owned()))
    });
    let variables: Vec<(String, String)> = pairs.collect();
    assert_eq!(variables.len(), KUBERNETES.matches("VALUATION_").count() - 1, "one in a comment");
    for (name, _) in &variables {
        assert!(variable_is_known(name), "{name}");
    }
    let port = |name: &str| {
        let (_, value) = variables.iter().find(|(found, _)| found == name).unwrap();
        value.rsplit(':').next().unwrap().to_owned()
    };
    assert_eq!(after(KUBERNETES, "name: http, containerPort:"), port("VALUATION_LISTEN"));
    assert_eq!(after(KUBERNETES, "name: admin, containerPort:"), port("VALUATION_ADMIN_LISTEN"));
    for (probe, path) in
        [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
    {
        let (_, probe) = KUBERNETES.split_once(&format!("{probe}:")).unwrap();
        assert_eq!((after(probe, "path:"), after(probe, "port:")), (path, "admin"));
    }
    let args: Vec<String> = serde_json::from_str(&format!(
        "{}]",
        KUBERNETES.split_once("args: ").unwrap().1.split(']').next().unwrap()
    ))
    .unwrap();
    let cli = Cli::try_parse_from(["valuation-server".to_owned()].into_iter().chain(args)).unwrap();
    assert!(matches!(cli.command, Command::Serve(_)));

    // With the token that the file must have.
    let mut all = variables.clone();
    all.push(("VALUATION_ADMIN_TOKEN".to_owned(), "0123456789abcdef".to_owned()));
    let grace = after(KUBERNETES, "terminationGracePeriodSeconds:").parse().unwrap();
    assert!(Duration::from_secs(grace) > longest_stop(&all).await);
    assert!(KUBERNETES.contains("replicas: 1\n") && KUBERNETES.contains("type: Recreate"));
    // The user of the image owns the volume.
    for id in ["runAsUser:", "runAsGroup:", "fsGroup:"] {
        assert!(DOCKERFILE.contains(&format!("USER {0}:{0}", after(KUBERNETES, id))), "{id}");
    }
}

#[test]
fn the_program_has_the_name_that_the_files_run() {
    assert_eq!(Cli::command().get_name(), "valuation-server");
}
