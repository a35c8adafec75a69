//! A configuration file that changes while it is watched.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use valuation_server::config::Seen;

use crate::reload_harness::{QUICK, REFUSED, Watched};

/// A watched file with `min-calls = 1`.
fn file(environment: &[(&str, &str)]) -> (TempDir, PathBuf, Watched) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, "min-calls = 1\n").unwrap();
    let watched = Watched::start(path.as_os_str(), environment, QUICK);
    (folder, path, watched)
}

#[tokio::test]
async fn a_file_that_is_replaced_in_place_by_rename_or_by_a_swapped_link_takes_effect() {
    let (folder, path, mut watched) = file(&[]);
    fs::write(&path, "min-calls = 2\n").unwrap();
    assert_eq!(watched.next().await.min_calls, 2);
    let new = folder.path().join("new");
    fs::write(&new, "min-calls = 3\n").unwrap();
    fs::rename(&new, &path).unwrap();
    assert_eq!(watched.next().await.min_calls, 3);
    fs::write(folder.path().join("v4"), "min-calls = 4\n").unwrap();
    symlink("v4", &new).unwrap();
    fs::rename(&new, &path).unwrap();
    assert_eq!(watched.next().await.min_calls, 4);
    watched.until_counts([3, 0, 0]).await;
    let seen = watched.status.seen();
    assert_eq!((seen.refused, seen.unreachable), (None, None));
    assert_eq!(seen.since.len(), 1);
}

#[tokio::test]
async fn a_file_that_is_removed_for_a_while_changes_nothing_and_counts_once() {
    let (folder, path, mut watched) = file(&[]);
    let away = folder.path().join("away");
    fs::rename(&path, &away).unwrap();
    let words = watched.trouble().await;
    assert!(words.contains("No such file"), "{words}");
    fs::rename(&away, &path).unwrap();
    watched.until(|seen| seen.unreachable.is_none()).await;
    assert!(watched.is_quiet(), "it is the same");
    fs::write(&path, "min-calls = 2\n").unwrap();
    assert_eq!(watched.next().await.min_calls, 2);
    watched.until_counts([1, 0, 1]).await;
}

#[tokio::test]
async fn a_file_that_is_wrong_is_refused_by_its_setting_and_line_and_read_again_when_it_changes() {
    let (_folder, path, mut watched) = file(&[]);
    let place = path.display();
    for (text, words) in [
        ("min-calls = 0\n", format!("min-calls ({place}, line 1): \"0\" is not a whole number")),
        ("min-cal", format!("the configuration file {place} is not TOML in line 1")),
        ("\nsupercar-urls = 1\n", "unknown key \"supercar-urls\" in line 2".to_owned()),
        (&format!("max-puts = {REFUSED}\n"), "max-puts: too much for this machine".to_owned()),
    ] {
        fs::write(&path, text).unwrap();
        let found = watched.refusal().await;
        assert!(found.contains(&words), "{found}");
        assert!(watched.is_quiet(), "{text}");
        fs::write(&path, "min-calls = 2\n").unwrap();
        assert_eq!(watched.next().await.min_calls, 2);
        watched.until(|seen| seen.refused.is_none()).await;
        fs::write(&path, "min-calls = 3\n").unwrap();
        assert_eq!(watched.next().await.min_calls, 3);
    }
    watched.until_counts([8, 4, 0]).await;
}

#[tokio::test]
async fn flags_and_the_environment_stay_before_a_file_that_changes() {
    let (_folder, path, mut watched) = file(&[("VALUATION_WINDOW", "2s")]);
    fs::write(&path, "min-calls = 2\nwindow = '9s'\nsupercar-url = 'http://other'\n").unwrap();
    let config = watched.next().await;
    assert_eq!((config.min_calls, config.window), (2, Duration::from_secs(2)));
    assert_eq!(config.supercar_url.to_string(), "http://s:1/");
    // A setting that is left out has its default again.
    fs::write(&path, "rescue = false\n").unwrap();
    let config = watched.next().await;
    assert_eq!((config.min_calls, config.rescue), (10, false));
}

#[tokio::test]
async fn a_file_that_is_asked_for_takes_effect_again_also_if_it_is_the_same() {
    let (_folder, path, mut watched) = file(&[]);
    watched.asked.notify_one();
    assert_eq!(watched.next().await.min_calls, 1);
    fs::write(&path, "min-calls = none\n").unwrap();
    let words = watched.refusal().await;
    watched.asked.notify_one();
    watched.until_counts([1, 2, 0]).await;
    assert_eq!(watched.refusal().await, words);
}

#[tokio::test]
async fn a_long_value_or_key_is_shortened_and_what_would_be_right_is_not() {
    let (_folder, path, mut watched) = file(&[]);
    let long = "ä".repeat(100_000);
    for (text, words) in [
        (format!("min-calls = '{long}'\n"), "…\" is not a whole number from 1"),
        (format!("'{long}' = 1\n"), "…\" in line 1; there are listen,"),
        // As the parser of durations shows it.
        (format!("window = '1{}'\n", "x".repeat(100_000)), "…\" is not a duration"),
    ] {
        fs::write(&path, text).unwrap();
        let shown = |words: &str, seen: &Seen| {
            seen.refused.as_ref().is_some_and(|trouble| trouble.because.contains(words))
        };
        let seen = watched.until(|seen| shown(words, seen)).await;
        assert!(seen.refused.unwrap().because.chars().count() <= 2_001);
        assert!(watched.is_quiet());
    }
}

/// As by a shell's `>` before a slow program, or by a copy to a full disk.
#[tokio::test]
async fn a_file_that_is_emptied_counts_as_not_readable_until_something_is_written() {
    let (_folder, path, mut watched) = file(&[]);
    fs::write(&path, "").unwrap();
    let words = watched.trouble().await;
    assert!(words.contains("empty") && words.contains("comment"), "{words}");
    watched.asked.notify_one();
    fs::write(&path, "# none\n").unwrap();
    assert_eq!(watched.next().await.min_calls, 10);
    watched.until(|seen| seen.unreachable.is_none()).await;
    watched.until_counts([1, 0, 1]).await;
}
