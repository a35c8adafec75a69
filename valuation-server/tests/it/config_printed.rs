//! The configuration as it is printed: a file again, without its secrets.

use valuation_server::config::Setting;

use crate::config::{URLS, error, serve, serve_with_file};

#[test]
fn the_printed_configuration_says_where_each_value_came_from_and_reads_back() {
    let file = "window = '90s'\nprobes = 3\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, file).unwrap();
    let flags = [&URLS[..], &["--config", path.to_str().unwrap(), "--rescue", "off"]].concat();
    let config = serve(&flags, &[("VALUATION_FAILURE_RATE", "33%")]).unwrap();
    let printed = config.to_toml();
    let line = |key: &str| {
        let key = format!("{key} = ");
        printed.lines().find(|line| line.starts_with(&key)).unwrap().to_owned()
    };
    for (key, value, origin) in [
        ("listen", "\"127.0.0.1:3000\"", "# default"),
        ("rescue", "\"off\"", "# flag --rescue"),
        ("failure-rate", "\"33/100\"", "# environment VALUATION_FAILURE_RATE"),
        ("window", "\"1m 30s\"", &format!("# file {}, line 1", path.display())),
        ("probes", "\"3\"", &format!("# file {}, line 2", path.display())),
    ] {
        let line = line(key);
        assert!(line.contains(&format!(" = {value} ")) && line.ends_with(origin), "{line}");
    }
    assert!(printed.contains("# admin-token is not set"), "{printed}");
    let again = serve_with_file(&printed, &[]).unwrap();
    for setting in Setting::ALL {
        assert_eq!(again.shown(setting), config.shown(setting), "{setting:?}");
    }
}

#[test]
fn the_printed_configuration_leaves_secrets_out_and_is_read_where_they_are_given_again() {
    let secrets = [
        ("VALUATION_SUPERCAR_URL", "http://u:c4n4ry@s/a?b=c"),
        ("VALUATION_PREMIUM_URL", "http://p/?key=c4n4ry"),
        ("VALUATION_PROVIDER_PROXY", "http://u:c4n4ry@proxy:3128/p"),
        ("VALUATION_ADMIN_TOKEN", "c4n4ryc4n4ryc4n4ry"),
        ("VALUATION_CLUSTER", "rediss://u:c4n4ry@bus:6380"),
        ("VALUATION_CLUSTER_SECRET", "c4n4ryc4n4ryc4n4ry"),
        ("VALUATION_DATABASE", "postgres://u:c4n4ry@db:6432/v?connect_timeout=3"),
    ];
    let config = serve(&["--admin-listen", "0.0.0.0:9000"], &secrets).unwrap();
    let printed = config.to_toml();
    assert!(!printed.contains("c4n4ry"), "{printed}");
    for (key, value) in [
        ("supercar-url", "http://REDACTED@s/a?b=c"),
        ("premium-url", "http://p/?key=REDACTED"),
        ("provider-proxy", "http://REDACTED@proxy:3128/p"),
        ("admin-token", "REDACTED"),
        ("cluster", "rediss://REDACTED@bus:6380"),
        ("cluster-secret", "REDACTED"),
        ("database", "postgres://u:REDACTED@db:6432/v?connect_timeout=3"),
    ] {
        let line = format!("# {key} = \"{value}\"");
        let line = printed.lines().find(|found| found.starts_with(&line)).unwrap();
        let variable = Setting::from_key(key).unwrap().variable();
        let origin = format!("# environment {variable}; a secret, to be given again");
        assert!(line.ends_with(&origin), "{line}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("printed.toml");
    std::fs::write(&path, &printed).unwrap();
    let file = ["--config", path.to_str().unwrap()];
    let again = serve(&file, &secrets).unwrap();
    assert_eq!(again.admin_token, config.admin_token);
    assert_eq!(
        (&again.supercar_url, &again.premium_url),
        (&config.supercar_url, &config.premium_url)
    );
    for setting in Setting::ALL {
        assert_eq!(again.shown(setting), config.shown(setting), "{setting:?}");
    }
    let without = error(serve(&file, &secrets[..1]));
    assert!(without.contains("set --premium-url"), "{without}");
    let without = error(serve(&file, &secrets[..3]));
    assert!(without.contains("set admin-token (VALUATION_ADMIN_TOKEN)"), "{without}");
}

#[test]
fn a_url_with_redacted_in_place_of_a_secret_is_refused_by_name() {
    for url in [
        "http://REDACTED@h/",
        "http://u:REDACTED@h/",
        "http://h/?key=REDACTED",
        "http://h/?a=b&X-Api-Key=REDACTED&key=right",
    ] {
        let shown = error(serve(&["--supercar-url", url, "--premium-url", "http://p"], &[]));
        assert!(shown.starts_with("--supercar-url: "), "{shown}");
        assert!(shown.ends_with("it has REDACTED in place of a secret"), "{shown}");
    }
    // No secret is expected there.
    serve(&["--supercar-url", "http://h/REDACTED?a=REDACTED", "--premium-url", "http://p"], &[])
        .unwrap();
    let token = [&URLS[..], &["--admin-token", "REDACTED"]].concat();
    assert!(error(serve(&token, &[])).starts_with("--admin-token: "));
}
