//! The configuration file: never a panic, what is accepted is in range, and what is refused is
//! refused with a text that names the file or a setting.
#![no_main]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;
use std::{env, fs};

use libfuzzer_sys::fuzz_target;
use valuation_server::config::{Config, ConfigError, Origin, Setting, StallLimit};
use valuation_server::document::LONGEST;

/// A file without a name, in memory where there is such a place: it is written for each input, and
/// goes away with the fuzzer, which ends without dropping its statics.
static FILE: LazyLock<(File, PathBuf)> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    let file = tempfile::tempfile_in(place).expect("a file without a name");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    (file, path)
});

fuzz_target!(|text: &[u8]| {
    let file = &FILE.1;
    fs::write(file, text).expect("the file is ours");
    // Without the providers' URLs nearly every file would be refused.
    let urls =
        [(Setting::SupercarUrl, "http://s.example"), (Setting::PremiumUrl, "http://p.example")];
    let flags: BTreeMap<_, _> = urls.map(|(setting, url)| (setting, url.to_owned())).into();
    for flags in [&BTreeMap::new(), &flags] {
        match Config::load(flags, Some(file), []) {
            Ok(config) => check(&config),
            Err(ConfigError::Unreadable { .. }) => {
                assert!(std::str::from_utf8(text).is_err() || text.len() > LONGEST);
            }
            Err(error) => {
                let name = file.to_string_lossy();
                let said = error.to_string();
                assert!(
                    said.contains(&*name)
                        || said.contains("set --supercar-url")
                        || said.contains("set --premium-url"),
                    "{said}"
                );
            }
        }
    }
});

fn check(config: &Config) {
    let day = Duration::from_secs(24 * 60 * 60);
    let ms = Duration::from_millis(1);
    for time in [config.window, config.revert_after, config.provider_timeout] {
        assert!((ms..=30 * day).contains(&time), "{time:?}");
    }
    for ratio in [config.failure_rate, config.slow_rate] {
        assert!(ratio.numerator() < ratio.denominator(), "{ratio}");
    }
    assert!(config.window >= 10 * ms && config.min_calls >= 1);
    assert!(config.slow_call.is_none_or(|slow| slow < config.provider_timeout));
    let seen_in_time = |time| time * 5 <= config.provider_timeout * 4 && time >= 4 * ms;
    assert!(config.stalled_calls.is_none_or(seen_in_time));
    match config.stalled_limit {
        StallLimit::Calls(calls) => assert!(calls >= 1),
        StallLimit::Share(share) => assert!(share.numerator() < share.denominator(), "{share}"),
    }
    assert!(config.probes.is_none_or(|probes| (1..=1_000).contains(&probes)));
    let limits = [config.max_connections, config.max_puts];
    assert!(limits.iter().all(|limit| (1..=100_000).contains(limit)));
    let cache = config.cache;
    assert!(cache.is_none_or(|bytes| (1 << 10..=1 << 40).contains(&bytes)), "{cache:?}");
    // Beyond this machine nobody commands the server without a token.
    let beyond = config.admin_listen.is_some_and(|at| !at.ip().to_canonical().is_loopback());
    assert!(!beyond || config.admin_token.is_some());
    let from_file = |setting: &Setting| matches!(config.origin(*setting), Origin::Document { .. });
    // What the file does not give has its default.
    if !from_file(&Setting::MinCalls) {
        assert_eq!(config.min_calls, 10);
    }
    for setting in Setting::ALL.iter().filter(|setting| from_file(setting)) {
        let Origin::Document { line, .. } = config.origin(*setting) else { continue };
        assert!(*line >= 1);
    }
}
