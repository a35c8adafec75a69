//! The files that list all settings are what the table gives. `UPDATE_SETTINGS=1` writes them.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use super::Setting;
use super::setting::{Default, Row, Scope};

/// Compares a file below the workspace's folder with what it should be, or writes it.
fn hold(path: &str, wanted: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let found = fs::read_to_string(&path).unwrap_or_default();
    let wanted = wanted(&found);
    if env::var_os("UPDATE_SETTINGS").is_some() {
        fs::write(&path, &wanted).unwrap();
    } else {
        assert_eq!(found, wanted, "{}: run this test with UPDATE_SETTINGS=1", path.display());
    }
}

fn documentation() -> String {
    let mut text = "\
# Settings

The test `config::listed` writes this table from `src/config/table.rs`.

A flag has precedence over an environment variable, a variable over the file that `--config` or
`VALUATION_CONFIG` names, the file over the default. The file is TOML; its keys are the flags' names
without `--`. The settings marked \"live\" can be changed by an operator while the server runs.

| flag | environment | default | live | meaning |
|---|---|---|---|---|
"
    .to_owned();
    for setting in Setting::ALL {
        let Row { scope, default, help, more, form, .. } = setting.row();
        let default = match default {
            Default::Text(text) => format!("`{text}`"),
            Default::Differs { serve, demo } => format!("`{serve}`, in the demo `{demo}`"),
            Default::Required => "must be set".to_owned(),
            Default::None => "–".to_owned(),
        };
        let live = if scope == Scope::Live { "live" } else { "" };
        let more = if more.is_empty() { String::new() } else { format!(" {more}.") };
        let (flag, variable, expected) = (setting.flag(), setting.variable(), form.expected);
        writeln!(
            text,
            "| `{flag}` | `{variable}` | {default} | {live} | {help}.{more} Takes {expected}. |"
        )
        .unwrap();
    }
    text
}

#[test]
fn the_documentation_is_what_the_table_gives() {
    hold("valuation-server/docs/settings.md", |_| documentation());
}

/// A setting that no input names is hardly ever fuzzed.
#[test]
fn the_fuzzers_dictionary_and_its_largest_seed_name_every_setting() {
    let key = |line: &str| Some(line.split_once(" = ")?.0.trim_start_matches('"').to_owned());
    hold("fuzz/dictionaries/config_file.dict", |found| {
        let keys = Setting::ALL.map(|setting| format!("\"{} = \"", setting.key()));
        let others = found.lines().filter(|line| key(line).is_none()).map(str::to_owned);
        keys.into_iter().chain(others).map(|line| line + "\n").collect()
    });
    hold("fuzz/seeds/config_file/all", |found| {
        let line = |setting: Setting| {
            let kept = found.lines().find(|line| key(line).as_deref() == Some(setting.key()));
            kept.map_or_else(
                || format!("{} = \"off\"\n", setting.key()),
                |line| format!("{line}\n"),
            )
        };
        Setting::ALL.into_iter().map(line).collect()
    });
}
