//! The layers of the server, held against its sources. The library tests its own.

use std::fs;
use std::path::{Path, PathBuf};

/// Files below a folder, as paths relative to it, with their text but without comments.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let code = code.collect::<Vec<_>>().join("\n");
                found.push((path.strip_prefix(root).unwrap().to_owned(), code));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(!found.is_empty());
    found
}

/// The files of one module: `name.rs`, or all below `name/`.
fn module<'a>(
    sources: &'a [(PathBuf, String)],
    name: &'a str,
) -> impl Iterator<Item = &'a (PathBuf, String)> {
    let file = format!("{name}.rs");
    let of = move |path: &Path| path.starts_with(name) || path == Path::new(&file);
    let mut found = sources.iter().filter(move |(path, _)| of(path)).peekable();
    assert!(found.peek().is_some(), "no module {name}");
    found
}

/// Whether a code names a path, at the start of a word.
fn names(code: &str, path: &str) -> bool {
    code.match_indices(path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + path.len()..].chars().next();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !word(before) && !word(after)
    })
}

#[test]
fn providers_audit_store_http_and_admin_do_not_know_one_another() {
    let sources = sources("src");
    let layers = ["providers", "audit", "store", "http", "admin"];
    for layer in layers {
        for (path, code) in module(&sources, layer) {
            for other in layers.iter().filter(|other| **other != layer) {
                let other = format!("crate::{other}");
                assert!(!names(code, &other), "{} names {other}", path.display());
            }
        }
    }
}

#[test]
fn the_domain_knows_no_serde_http_sql_tower_and_no_other_module() {
    let sources = sources("src");
    for (path, code) in module(&sources, "domain") {
        for word in ["serde", "http", "hyper", "rusqlite", "tower", "tokio", "failover", "crate"] {
            assert!(!names(code, &format!("{word}::")), "{} names {word}", path.display());
        }
    }
}

#[test]
fn http_sees_the_valuer_the_domain_and_the_pages_alone() {
    let sources = sources("src");
    for (path, code) in module(&sources, "http") {
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            let tools = ["listener", "panics", "log_throttle", "write_deadline"];
            let allowed = [&["domain", "valuer", "web", "http"][..], &tools].concat();
            assert!(
                allowed.iter().any(|module| rest.starts_with(module)),
                "{} names crate::{}",
                path.display(),
                rest.lines().next().unwrap_or_default()
            );
        }
    }
}

#[test]
fn the_operators_side_sees_its_own_traits_and_the_pages_alone() {
    let sources = sources("src");
    for (path, code) in module(&sources, "admin") {
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            let allowed = ["listener", "panics", "log_throttle", "web", "write_deadline"]
                .iter()
                .any(|name| rest.starts_with(name));
            assert!(allowed, "{} names crate::{rest:.20}", path.display());
        }
    }
}

/// So a document's text is read by the configuration's one parser, wherever it is from.
#[test]
fn the_document_knows_of_no_setting_and_no_other_layer_than_the_providers_client() {
    for (path, code) in module(&sources("src"), "document") {
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            assert!(rest.starts_with("providers::"), "{} names crate::{rest:.20}", path.display());
        }
    }
}

#[test]
fn the_crate_failover_is_named_in_app_config_telemetry_and_the_operators_page_alone() {
    let allowed = ["app", "config", "telemetry", "web/operator", "web/operator.rs"];
    for (path, code) in sources("src") {
        let allowed = allowed.iter().any(|module| path.starts_with(module));
        assert!(allowed || !names(&code, "failover::"), "{} names failover", path.display());
    }
}

#[test]
fn sql_stands_in_the_store_alone_and_http_clients_in_the_providers_the_document_the_demo_and_the_health_check()
 {
    for (path, code) in sources("src") {
        let store = path.starts_with("store");
        for database in ["rusqlite::", "tokio_postgres::", "deadpool_postgres::"] {
            assert!(store || !names(&code, database), "{} names {database}", path.display());
        }
        let asks = ["providers", "document", "demo", "check"]
            .iter()
            .any(|module| path.starts_with(module));
        for client in ["hyper::client", "hyper_util::client", "reqwest::"] {
            assert!(asks || !names(&code, client), "{} names an HTTP client", path.display());
        }
    }
}

/// So a wall clock that is stepped, by a day or by a second, moves no deadline, no window and no time
/// until the revert: of what our own code does only the times that a log row, an operator's list of
/// events and the history show, and the end of a forced route, which an operator orders as a time of
/// day. Over a restart nothing but a wall clock can say how long it took.
#[test]
fn the_wall_clock_is_read_for_log_rows_events_the_history_orders_archives_reports_and_over_a_restart_alone()
 {
    let mut readers = Vec::new();
    for folder in ["src", "../failover/src"] {
        for (path, code) in sources(folder) {
            if ["SystemTime::now", "Timestamp::now", "Zoned::now"].iter().any(|at| names(&code, at))
            {
                readers.push(path);
            }
        }
    }
    readers.sort();
    let known = [
        "admin/commands.rs",
        "admin/journal.rs",
        // For since when a value is in force.
        "app/configuration.rs",
        "app/fleet_orders.rs",
        "app/history.rs",
        "app/memory.rs",
        "app/orders.rs",
        "app/overview.rs",
        "app/policy_notes.rs",
        "app/recorder.rs",
        // For when a report was made.
        "app/report.rs",
        "app/standing.rs",
        "audit/entry.rs",
        // The library's, for the time of its events.
        "clock/system.rs",
        // For when the configuration was read.
        "document/file.rs",
        "document/poller.rs",
        // For when the configuration took effect, or did not.
        "reload.rs",
        // For the months whose partitions are made.
        "store/postgres/engine.rs",
        // For what an archive says of itself, and to refuse a date to come.
        "tools/archive.rs",
        // For "the last hour".
        "tools/logs.rs",
        // For when a database was moved, and the partitions of the next months.
        "tools/migrate.rs",
        // For when a report was made.
        "tools/report.rs",
    ];
    assert_eq!(readers, known.map(Path::new));
}

/// Below `mod.rs`, which may name all of them.
#[test]
fn the_files_of_a_folder_form_no_circle() {
    let sources = sources("src");
    for folder in [
        "app",
        "audit",
        "config",
        "document",
        "providers",
        "report",
        "store",
        "store/log",
        "store/postgres",
        "telemetry",
        "tools",
        "valuer",
        "web/operator",
    ] {
        let mut left: Vec<(Vec<&str>, &str)> = module(&sources, folder)
            .map(|(path, code)| (module_path(path), code.as_str()))
            .filter(|(path, _)| path.len() > folder.split('/').count())
            .collect();
        // A file that names none of those left is in no circle with them.
        loop {
            let modules: Vec<_> = left.iter().map(|(path, _)| path.clone()).collect();
            left.retain(|(path, code)| {
                modules.iter().any(|other| other != path && names_module(code, path, other))
            });
            if left.len() == modules.len() {
                let modules: Vec<_> = modules.iter().map(|path| path.join("/")).collect();
                assert!(modules.is_empty(), "a circle in {folder}: {modules:?}");
                break;
            }
        }
    }
}

/// The module of a file: `a/b.rs` and `a/b/mod.rs` are `a::b`.
fn module_path(path: &Path) -> Vec<&str> {
    let names = path.iter().map(|name| name.to_str().unwrap().trim_end_matches(".rs"));
    names.filter(|name| *name != "mod").collect()
}

/// Whether the code of a module names another, from the crate's root or by `super`.
fn names_module(code: &str, module: &[&str], other: &[&str]) -> bool {
    let from_root = format!("crate::{}", other.join("::"));
    let by_super = (1..module.len()).filter_map(|up| {
        let rest = other.strip_prefix(&module[..module.len() - up])?;
        (!rest.is_empty()).then(|| format!("{}{}", "super::".repeat(up), rest.join("::")))
    });
    by_super.chain([from_root]).any(|name| {
        code.match_indices(&name).any(|(at, _)| {
            let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let before = code[..at].chars().next_back();
            !is_part(before)
                && before != Some(':')
                && !is_part(code[at + name.len()..].chars().next())
        })
    })
}
