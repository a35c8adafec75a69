//! Flags before environment before file before defaults, and errors that name the setting.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use valuation_server::cli::{Cli, Command, DemoBus, Scenario};
use valuation_server::config::{
    Config, ConfigError, Durability, Engine, Label, LogFormat, Origin, Ratio, Setting, StallLimit,
};
use valuation_server::document::Place;
use valuation_server::domain::Money;
use valuation_server::providers::{BaseUrl, HttpVersion, PremiumRange, Transport};

pub(crate) const URLS: [&str; 4] = ["--supercar-url", "http://s:1", "--premium-url", "http://p:2"];

pub(crate) fn serve(flags: &[&str], environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let cli = Cli::try_parse_from(["valuation-server", "serve"].iter().chain(flags)).unwrap();
    let Command::Serve(args) = cli.command else { panic!("not serve") };
    args.settings.config(environment.iter().map(|(name, value)| (name.into(), value.into())))
}

pub(crate) fn serve_with_file(text: &str, more: &[&str]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, text).unwrap();
    let flags = [&["--config", path.to_str().unwrap()][..], more].concat();
    serve(&flags, &[])
}

pub(crate) fn error(result: Result<Config, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = serve(&URLS, &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(config.database, Path::new("valuations.sqlite").into());
    assert_eq!(config.failure_rate, Ratio::HALF);
    assert_eq!(config.min_calls, 10);
    assert_eq!(config.fallback_warning, Some(Duration::from_secs(3_600)));
    assert_eq!(config.window, Duration::from_secs(60));
    assert_eq!(config.revert_after, Duration::from_secs(300));
    assert_eq!(config.provider_timeout, Duration::from_secs(5));
    assert_eq!(config.transport(), Transport::default());
    assert_eq!(config.provider_http, HttpVersion::Http1);
    assert!(config.rescue);
    assert_eq!(config.premium_range, PremiumRange::PrivateSale);
    assert_eq!((config.probes, config.ramp_up, config.slow_call), (None, None, None));
    assert_eq!((config.slow_rate, config.follow_retry_after), (Ratio::HALF, false));
    let half = StallLimit::Share(Ratio::HALF);
    assert_eq!((config.stalled_calls, config.stalled_limit), (None, half));
    assert!(config.watch_fallback && !config.client_errors_as_failures);
    assert_eq!((config.admin_listen, &config.admin_token), (None, &None));
    assert_eq!((config.log_format, config.access_log), (LogFormat::Text, false));
    assert_eq!(config.log_level, "info");
    assert_eq!(config.fallback_price, None);
    assert_eq!((config.max_connections, config.max_puts), (8_000, 1_000));
    assert_eq!((config.cache, config.durability), (Some(16 << 20), Durability::Full));
    assert_eq!((config.cluster.as_ref(), config.peers.len(), config.labels.len()), (None, 0, 0));
    assert_eq!((config.cluster_name.as_str(), &config.cluster_secret), ("valuations", &None));
    assert_eq!((config.cluster_domain.as_ref(), config.cluster_ca.as_ref()), (None, None));
    assert_eq!(config.origin(Setting::Window), &Origin::Default);
    assert_eq!(config.origin(Setting::PremiumUrl), &Origin::Flag);
}

#[test]
fn every_setting_is_taken_from_flags_from_the_environment_and_from_the_file() {
    let values = [
        (Setting::Listen, "[::1]:8080"),
        (Setting::Database, "postgres://u@db.example/v"),
        (Setting::DatabasePassword, "a password"),
        (Setting::DatabaseCa, "/etc/db-ca.pem"),
        (Setting::DatabaseConnections, "3"),
        (Setting::NodeName, "node-1"),
        (Setting::SupercarUrl, "http://s:1/a?b=c"),
        (Setting::PremiumUrl, "https://p"),
        (Setting::FailureRate, "1/3"),
        (Setting::MinCalls, "20"),
        (Setting::Window, "90s"),
        (Setting::RevertAfter, "1h 30m"),
        (Setting::ProviderTimeout, "750ms"),
        (Setting::Rescue, "off"),
        (Setting::PremiumRange, "dealership"),
        (Setting::Probes, "4"),
        (Setting::RampUp, "2m"),
        (Setting::SlowCall, "500ms"),
        (Setting::SlowRate, "25%"),
        (Setting::FollowRetryAfter, "on"),
        (Setting::StalledCalls, "600ms"),
        (Setting::StalledLimit, "20"),
        (Setting::WatchFallback, "off"),
        (Setting::ClientErrorStreak, "failure"),
        (Setting::ProviderHttp, "2"),
        (Setting::ProviderProxy, "http://proxy:3128"),
        (Setting::ProviderCa, "/etc/own-ca.pem"),
        (Setting::ProviderClientCert, "/etc/client.pem"),
        (Setting::AdminListen, "0.0.0.0:9001"),
        (Setting::AdminToken, "0123456789abcdef"),
        (Setting::FallbackWarning, "30m"),
        (Setting::LogFormat, "json"),
        (Setting::LogLevel, "valuation_server=debug,warn"),
        (Setting::AllowOrigin, "https://cars.example,http://localhost:5173"),
        (Setting::AccessLog, "on"),
        (Setting::FallbackPrice, "0.20"),
        (Setting::MaxConnections, "12"),
        (Setting::MaxPuts, "34"),
        (Setting::Cache, "64MiB"),
        (Setting::Durability, "full"),
        (Setting::AnchorLog, "on"),
        (Setting::Cluster, "udp://0.0.0.0:7946"),
        (Setting::Peers, "10.0.0.2:7946,dns:nodes.example:7946"),
        (Setting::ClusterName, "cars"),
        (Setting::ClusterSecret, "a-secret-of-16-b"),
        (Setting::Label, "version=1.4,zone=a"),
        (Setting::ClusterDomain, "zone"),
        (Setting::ClusterCa, "/etc/bus-ca.pem"),
    ];
    assert_eq!(values.map(|(setting, _)| setting), Setting::ALL);
    // Refused as a flag.
    let as_flags = values.iter().filter(|(setting, _)| *setting != Setting::DatabasePassword);
    let flags: Vec<String> = as_flags.flat_map(|(s, v)| [s.flag(), (*v).to_owned()]).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let variables = values.map(|(s, v)| (s.variable(), v));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    let file: String = values.iter().map(|(s, v)| format!("{} = {v:?}\n", s.key())).collect();
    let from_flags = serve(&flags, &[]).unwrap();
    let from_environment = serve(&[], &variables).unwrap();
    let from_file = serve_with_file(&file, &[]).unwrap();
    for config in [&from_flags, &from_environment, &from_file] {
        assert_eq!(config.listen.to_string(), "[::1]:8080");
        assert_eq!(config.database.to_string(), "postgres://u@db.example:5432/v");
        let ca = config.database_ca.as_deref();
        assert_eq!((ca, config.database_connections), (Some(Path::new("/etc/db-ca.pem")), 3));
        assert_eq!(config.node_name.as_deref(), Some("node-1"));
        assert_eq!(config.supercar_url, BaseUrl::parse("http://s:1/a?b=c").unwrap());
        assert_eq!(config.premium_url, BaseUrl::parse("https://p").unwrap());
        assert_eq!(config.failure_rate, "1/3".parse().unwrap());
        assert_eq!(config.min_calls, 20);
        assert_eq!(config.window, Duration::from_secs(90));
        assert_eq!(config.revert_after, Duration::from_secs(5400));
        assert_eq!(config.provider_timeout, Duration::from_millis(750));
        let transport = Transport {
            http: HttpVersion::Http2,
            proxy: Some(BaseUrl::parse("http://proxy:3128").unwrap()),
            ca: Some("/etc/own-ca.pem".into()),
            client_cert: Some("/etc/client.pem".into()),
        };
        assert_eq!(config.transport(), transport);
        assert!(!config.rescue);
        assert_eq!(config.premium_range, PremiumRange::Dealership);
        assert_eq!(config.probes, Some(4));
        assert_eq!(config.ramp_up, Some(Duration::from_secs(120)));
        assert_eq!(config.slow_call, Some(Duration::from_millis(500)));
        assert_eq!(config.slow_rate, "1/4".parse().unwrap());
        assert!(config.follow_retry_after);
        assert_eq!(config.stalled_calls, Some(Duration::from_millis(600)));
        assert_eq!(config.stalled_limit, StallLimit::Calls(20));
        assert!(!config.watch_fallback && config.client_errors_as_failures);
        assert_eq!(config.admin_listen.unwrap().to_string(), "0.0.0.0:9001");
        assert_eq!(config.admin_token.as_ref().unwrap().expose(), "0123456789abcdef");
        assert_eq!((config.log_format, config.access_log), (LogFormat::Json, true));
        assert_eq!(config.log_level, "valuation_server=debug,warn");
        assert_eq!(config.fallback_price.map(Money::pence), Some(20));
        assert_eq!((config.max_connections, config.max_puts), (12, 34));
        assert_eq!((config.cache, config.durability), (Some(64 << 20), Durability::Full));
        assert!(config.anchor_log);
        let bound = Engine::Udp("0.0.0.0:7946".parse().unwrap());
        assert_eq!(config.cluster.as_ref().map(|url| url.engine), Some(bound));
        assert_eq!(config.peers.len(), 2);
        assert_eq!(config.cluster_name, "cars");
        assert_eq!(config.cluster_secret.as_ref().unwrap().expose(), "a-secret-of-16-b");
        let labels = ["version=1.4", "zone=a"].map(|label| label.parse::<Label>().unwrap());
        assert_eq!(config.labels, labels);
        assert_eq!(config.cluster_domain.as_deref(), Some("zone"));
        assert_eq!(config.cluster_ca.as_deref(), Some(Path::new("/etc/bus-ca.pem")));
    }
    assert_eq!(from_flags.database_password, None);
    for config in [&from_environment, &from_file] {
        assert_eq!(config.database_password.as_ref().unwrap().expose(), "a password");
    }
    for setting in Setting::ALL {
        let is_flag = *from_flags.origin(setting) == Origin::Flag;
        assert_eq!(is_flag, setting != Setting::DatabasePassword, "{setting:?}");
        assert_eq!(from_environment.origin(setting), &Origin::Environment);
        assert!(matches!(from_file.origin(setting), Origin::Document { .. }));
    }
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, "min-calls = 1\nwindow = '1s'\nrevert-after = '1s'\n").unwrap();
    let environment = [
        ("VALUATION_CONFIG", path.to_str().unwrap()),
        ("VALUATION_WINDOW", "2s"),
        ("VALUATION_REVERT_AFTER", "2s"),
        ("VALUATION_RESCUE", ""),
    ];
    let config = serve(&[&URLS[..], &["--revert-after", "3s"]].concat(), &environment).unwrap();
    assert_eq!(config.min_calls, 1);
    let place = Place::File(path);
    assert_eq!(config.origin(Setting::MinCalls), &Origin::Document { place, line: 1 });
    assert_eq!(config.window, Duration::from_secs(2));
    assert_eq!(config.revert_after, Duration::from_secs(3));
    assert!(config.rescue, "a variable that is set to nothing counts as not set");
}

#[test]
fn a_file_named_by_a_flag_goes_before_one_named_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(&path, "min-calls = 7").unwrap();
    let flags = [&URLS[..], &["--config", path.to_str().unwrap()]].concat();
    let config = serve(&flags, &[("VALUATION_CONFIG", "/nonexistent/b.toml")]).unwrap();
    assert_eq!(config.min_calls, 7);
}

#[test]
fn numbers_and_booleans_in_the_file_need_no_quotes_and_stay_exact() {
    let text = "failure-rate = 0.1\nmin-calls = 12\nrescue = false\n";
    let config = serve_with_file(text, &URLS).unwrap();
    assert_eq!(config.failure_rate, "1/10".parse().unwrap());
    assert_eq!((config.min_calls, config.rescue), (12, false));
}

#[test]
fn a_flag_switches_off_what_the_file_asks_for() {
    let file = "probes = 3\nramp-up = '1m'\nslow-call = '1s'\nfollow-retry-after = true\n";
    let off = ["--probes", "0", "--ramp-up", "off", "--slow-call", "off"];
    let flags = [&URLS[..], &off, &["--follow-retry-after", "off"]].concat();
    let config = serve_with_file(file, &flags).unwrap();
    assert_eq!((config.probes, config.ramp_up, config.slow_call), (None, None, None));
    assert!(!config.follow_retry_after);
}

#[test]
fn serve_without_the_urls_says_what_to_set() {
    assert_eq!(
        error(serve(&[], &[])),
        "serve needs to know where the providers are: set --supercar-url (or \
         VALUATION_SUPERCAR_URL, or supercar-url in the file) and --premium-url (or \
         VALUATION_PREMIUM_URL, or premium-url in the file); to try it without providers: \
         valuation-server demo"
    );
    let one = error(serve(&URLS[..2], &[]));
    assert!(one.contains("--premium-url") && !one.contains("--supercar-url"), "{one}");
}

#[test]
fn an_error_names_the_setting_where_it_was_given_the_value_and_what_would_be_right() {
    for (flag, value, right) in [
        ("--listen", "localhost", "127.0.0.1:3000"),
        ("--database", "", "valuations.sqlite"),
        ("--failure-rate", "1", "nothing exceeds 1"),
        ("--failure-rate", "1.5", "such as 0.5, 1/3 or 50%: it is above 1"),
        ("--failure-rate", "-0.5", "such as 0.5"),
        ("--min-calls", "0", "a whole number from 1"),
        ("--min-calls", "-1", "a whole number from 1"),
        ("--min-calls", "4294967296", "a whole number from 1"),
        ("--window", "60", "such as 500ms, 60s or 5m"),
        ("--window", "0s", "from 10ms"),
        ("--window", "9ms", "from 10ms"),
        ("--revert-after", "-5m", "from 1ms"),
        ("--revert-after", "31days", "to 30days"),
        ("--provider-timeout", "fast", "from 1ms"),
        ("--rescue", "yes", "on or off"),
        ("--premium-range", "private", "private-sale or dealership"),
        ("--probes", "1001", "from 0 (no probing) to 1000"),
        ("--probes", "-1", "from 0 (no probing) to 1000"),
        ("--ramp-up", "0s", "off, or a duration with its unit, from 1ms"),
        ("--ramp-up", "on", "off, or a duration with its unit, from 1ms"),
        ("--slow-call", "2", "off, or a duration with its unit, from 1ms to below"),
        ("--slow-call", "5s", "below provider-timeout, such as 2s: calls end after 5s"),
        ("--slow-rate", "1", "nothing exceeds 1"),
        ("--follow-retry-after", "7s", "on or off"),
        ("--stalled-calls", "3ms", "from 4ms to four fifths of provider-timeout"),
        ("--stalled-calls", "4001ms", "such as 2s: calls end after 5s"),
        ("--stalled-limit", "1.5", "or a share below 1"),
        ("--stalled-limit", "100%", "nothing exceeds 1"),
        ("--stalled-limit", "-1", "a number of calls from 1"),
        ("--watch-fallback", "yes", "on or off"),
        ("--client-error-streak", "on", "warn or failure"),
        ("--admin-listen", "9000", "off, or an IP address and a port"),
        ("--admin-listen", "0.0.0.0:9000", "choose a loopback address, or set admin-token"),
        ("--admin-listen", "[::]:9000", "choose a loopback address, or set admin-token"),
        ("--log-format", "xml", "text or json"),
        ("--log-level", "", "such as info or valuation_server=debug,info"),
        ("--log-level", "inof", "such as info or valuation_server=debug,info"),
        ("--log-level", "warn,a=loud", "such as info or valuation_server=debug,info"),
        ("--allow-origin", "*", "https://cars.example"),
        ("--allow-origin", "cars.example", "https://cars.example"),
        ("--allow-origin", "https://cars.example/", "without a path"),
        ("--allow-origin", "https://cars.example:443", "a default port"),
        ("--allow-origin", "https://a.example,", "https://cars.example"),
        ("--access-log", "yes", "on or off"),
        ("--fallback-price", "0.205", "pounds with at most two decimals"),
        ("--max-connections", "0", "a whole number from 1 to 100000"),
        ("--max-puts", "-1", "a whole number from 1 to 100000"),
        ("--cache", "64MB", "such as 64MiB"),
        ("--durability", "none", "full or normal"),
        ("--provider-http", "1", "1.1 or 2"),
        ("--provider-http", "3", "1.1 or 2"),
        ("--provider-proxy", "socks5://h", "http:// or https://"),
        ("--provider-ca", "", "the path of a PEM file"),
        ("--cluster", "127.0.0.1:7946", "such as udp://127.0.0.1:7946, or the URL of a bus"),
        ("--cluster", "udp://localhost:7946", "udp:// with an IP address"),
        ("--cluster", "udp://127.0.0.1:7946", "UDP needs the other nodes: set --peers"),
        ("--cluster", "amqp://host", "there is no scheme \"amqp\"; there are udp, redis, rediss,"),
        ("--cluster", "redis://a,b", "the URL has several hosts"),
        ("--peers", "node-2", "hosts with their ports, such as"),
        ("--peers", "10.0.0.2:7946", "only --cluster udp://… has peers: leave them out"),
        ("--cluster-name", "My Cars", "1 to 64 of a to z, 0 to 9 and -"),
        ("--label", "zone", "such as zone=a"),
        ("--label", "zone=a,zone=b", "there are two labels zone: a key can be used once"),
        ("--cluster-domain", "zone", "this node has no label with that key: set --label"),
        ("--cluster-ca", "", "the path of a PEM file"),
        ("--supercar-url", "provider.example", "http:// or https://"),
        ("--premium-url", "ftp://x/", "neither http nor https"),
    ] {
        let others: Vec<&str> =
            URLS.chunks(2).filter(|pair| pair[0] != flag).flatten().copied().collect();
        let shown = error(serve(&[&others[..], &[flag, value]].concat(), &[]));
        assert!(shown.starts_with(&format!("{flag}: {value:?} is not ")), "{shown}");
        assert!(shown.contains(right), "{shown}");

        let setting = Setting::from_key(&flag[2..]).unwrap();
        if !value.is_empty() {
            let shown = error(serve(&others, &[(&setting.variable(), value)]));
            assert!(shown.starts_with(&format!("{}: {value:?} is not ", setting.variable())));
        }
        let text = format!("\n\n{} = {value:?}", setting.key());
        let shown = error(serve_with_file(&text, &others));
        assert!(shown.starts_with(setting.key()), "{shown}");
        assert!(shown.contains("settings.toml, line 3): "), "{shown}");
    }
}

#[test]
fn origins_are_given_in_one_text_in_several_flags_or_in_an_array() {
    let origins = ["https://cars.example", "http://localhost:5173", "http://[::1]:8080"];
    let flags: Vec<_> = origins.iter().flat_map(|origin| ["--allow-origin", origin]).collect();
    let array = format!("allow-origin = {origins:?}");
    for config in [
        serve(&[&URLS[..], &flags].concat(), &[]),
        serve(&[&URLS[..], &["--allow-origin", &origins.join(", ")]].concat(), &[]),
        serve_with_file(&array, &URLS),
    ] {
        let config = config.unwrap();
        assert_eq!(config.allow_origins, origins);
        let again = serve_with_file(&config.to_toml(), &[]).unwrap();
        assert_eq!(again.allow_origins, origins);
    }
    assert!(serve(&URLS, &[]).unwrap().allow_origins.is_empty());
    let twice = ["valuation-server", "serve", "--window", "1s", "--window", "2s"];
    let twice = Cli::try_parse_from(twice).unwrap_err().to_string();
    assert!(twice.contains("cannot be used multiple times"), "{twice}");
    let empty = error(serve_with_file("allow-origin = []", &URLS));
    assert!(empty.contains("\"array\" is not off, or origins"), "{empty}");
}

#[test]
fn udp_beyond_loopback_needs_a_secret() {
    let given = |bus: &str, peers: &str, secret: &[(&str, &str)]| {
        serve(&[&URLS[..], &["--cluster", bus, "--peers", peers]].concat(), secret)
    };
    let (loopback, all) = ("udp://127.0.0.1:7946", "udp://0.0.0.0:7946");
    given(loopback, "127.0.0.1:7947,[::1]:7946,localhost:7948", &[]).unwrap();
    for (bus, peers, setting) in [
        (all, "127.0.0.1:7947", "--cluster"),
        ("udp://[::]:7946", "127.0.0.1:7947", "--cluster"),
        (loopback, "127.0.0.1:7947,10.0.0.2:7946", "--peers"),
        (loopback, "dns:nodes.example:7946", "--peers"),
    ] {
        let shown = error(given(bus, peers, &[]));
        assert!(shown.starts_with(&format!("{setting}: ")), "{shown}");
        assert!(shown.contains("set cluster-secret (VALUATION_CLUSTER_SECRET)"), "{shown}");
        given(bus, peers, &[("VALUATION_CLUSTER_SECRET", "0123456789abcdef")]).unwrap();
        let short = error(given(bus, peers, &[("VALUATION_CLUSTER_SECRET", "0123456789")]));
        assert!(short.contains("\"REDACTED\" is not a text of 16 to 256"), "{short}");
    }
    let both = ["--cluster", "redis://h", "--peers", "127.0.0.1:1"];
    assert!(error(serve(&[&URLS[..], &both].concat(), &[])).starts_with("--peers: "));
}

#[test]
fn stalled_calls_take_four_fifths_of_the_deadline_and_a_limit_of_either_kind() {
    for (time, limit, expected) in [
        ("4s", "1", StallLimit::Calls(1)),
        ("4ms", "0.25", StallLimit::Share("1/4".parse().unwrap())),
        ("off", "0", StallLimit::Share("0".parse().unwrap())),
    ] {
        let flags = ["--stalled-calls", time, "--stalled-limit", limit];
        let config = serve(&[&URLS[..], &flags].concat(), &[]).unwrap();
        assert_eq!(config.stalled_limit, expected);
        let again = serve_with_file(&config.to_toml(), &[]).unwrap();
        let settings = |config: &Config| (config.stalled_calls, config.stalled_limit);
        assert_eq!(settings(&again), settings(&config));
    }
}

#[test]
fn a_file_that_is_not_right_is_named_with_its_line() {
    for (text, right) in [
        (
            "min-call = 10",
            "settings.toml has an unknown key \"min-call\" in line 1; there are listen,",
        ),
        ("[server]\nlisten = 'x'", "unknown key \"server\""),
        ("\nmin-calls = ", "is not TOML in line 2: "),
        ("min-calls = 1\nmin-calls = 2", "is not TOML in line 2: duplicate key"),
        ("min-calls = [1]", "\"array\" is not a whole number"),
        ("window = 60", "\"60\" is not a duration with its unit"),
    ] {
        let shown = error(serve_with_file(text, &URLS));
        assert!(shown.contains(right), "{shown}");
    }
    let shown = error(serve(&[&URLS[..], &["--config", "/nonexistent/x.toml"]].concat(), &[]));
    assert!(shown.starts_with("the configuration file /nonexistent/x.toml can't be read: "));
    assert!(shown.ends_with("name another one with --config or VALUATION_CONFIG"), "{shown}");
}

#[test]
fn a_variable_that_is_no_setting_is_refused_with_the_nearest_one_and_without_its_value() {
    for (name, nearest) in [
        ("VALUATION_MIN_CALL", "VALUATION_MIN_CALLS"),
        ("VALUATION_REVERT", "VALUATION_REVERT_AFTER"),
        ("VALUATION_CONFIG_FILE", "VALUATION_CONFIG"),
        ("VALUATION_CONFIG_TOKENS", "VALUATION_CONFIG_TOKEN"),
        ("VALUATION_ADMIN_TOKENS", "VALUATION_ADMIN_TOKEN"),
        ("VALUATION_SUPERCAR_PORT", "VALUATION_SUPERCAR_URL"),
    ] {
        let shown = error(serve(&URLS, &[(name, "c4n4ry")]));
        assert_eq!(shown, format!("there is no setting {name}; the nearest is {nearest}"));
    }
    // An empty one counts as not set, and another program's is ignored.
    serve(&URLS, &[("VALUATION_MIN_CALL", ""), ("VALUATIONS", "1"), ("MIN_CALLS", "1")]).unwrap();
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_of_our_name_are_no_settings() {
    let links = [
        ("VALUATION_SERVER_SERVICE_HOST", "10.0.0.1"),
        ("VALUATION_SERVER_SERVICE_PORT", "3000"),
        ("VALUATION_SERVER_SERVICE_PORT_HTTP", "3000"),
        ("VALUATION_SERVER_PORT", "tcp://10.0.0.1:3000"),
        ("VALUATION_SERVER_PORT_3000_TCP_ADDR", "10.0.0.1"),
        ("VALUATION_SERVICE_HOST", "10.0.0.2"),
        ("VALUATION_PORT", "tcp://10.0.0.2:3000"),
        ("VALUATION_WINDOW", "2s"),
    ];
    assert_eq!(serve(&URLS, &links).unwrap().window, Duration::from_secs(2));
    let shown = error(serve(&URLS, &[links[6]]));
    assert!(shown.starts_with("there is no setting VALUATION_PORT; "), "{shown}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_unicode_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let cli = Cli::try_parse_from(["valuation-server", "serve"].iter().chain(&URLS)).unwrap();
    let Command::Serve(args) = cli.command else { panic!("not serve") };
    let odd = OsString::from_vec(vec![0xff]);
    // Another program's variable may have any value.
    let odd = [(odd.clone(), odd.clone()), ("VALUATION_DATABASE".into(), odd)];
    let shown = error(args.settings.config(odd));
    assert!(shown.starts_with("VALUATION_DATABASE: ") && shown.contains("not Unicode"), "{shown}");
}

#[test]
fn neither_an_error_nor_a_debug_text_shows_a_secret() {
    let secret = "c4n4ry";
    for url in [
        format!("ftp://u:{secret}@h/"),
        format!("h:{secret}@x:99999"),
        format!("http://u:{secret}@h:99999/?key={secret}"),
        format!("http://u:{secret}@h/?key={secret}#f"),
    ] {
        let shown = serve(&["--supercar-url", &url], &[]).unwrap_err();
        assert!(!format!("{shown} {shown:?}").contains(secret), "{shown}");
        let shown = serve_with_file(&format!("supercar-url = '{url}"), &[]).unwrap_err();
        assert!(!format!("{shown} {shown:?}").contains(secret), "{shown}");
    }
    for url in [
        format!("redis://u:{secret}@a,b"),
        format!("redis://{secret}@h"),
        format!("amqp://u:{secret}@h"),
        format!("u:{secret}@h"),
        format!("redis://u:{secret}@h/{secret}?{secret}@h"),
        format!("redis://h?password={secret}"),
    ] {
        let shown = serve(&[&URLS[..], &["--cluster", &url]].concat(), &[]).unwrap_err();
        assert!(!format!("{shown} {shown:?}").contains(secret), "{url}: {shown}");
    }
    let url = format!("redis://u:{secret}@h");
    let config = serve(&[&URLS[..], &["--cluster", &url]].concat(), &[]).unwrap();
    assert!(!format!("{config:?} {}", config.to_toml()).contains(secret));
    let url = format!("http://u:{secret}@h/?key={secret}");
    let token = format!("{secret}{secret}{secret}");
    let flags = ["--supercar-url", &url, "--premium-url", &url, "--admin-token", &token];
    let config = serve(&flags, &[]).unwrap();
    assert!(!format!("{config:?} {}", config.to_toml()).contains(secret));
    let cli = Cli::try_parse_from(["valuation-server", "serve"].iter().chain(&flags)).unwrap();
    assert!(!format!("{cli:?}").contains(secret));
    for wrong in [secret, &format!("{token} {token}"), &token.repeat(20)] {
        let shown = serve(&[&URLS[..], &["--admin-token", wrong]].concat(), &[]).unwrap_err();
        assert!(!format!("{shown} {shown:?}").contains(secret), "{shown}");
        assert!(shown.to_string().starts_with("--admin-token: \"REDACTED\" is not a text of 16 "));
    }
}

#[test]
fn the_operators_side_may_leave_loopback_with_a_token_alone() {
    for address in ["127.0.0.1:0", "127.9.9.9:9000", "[::1]:9000", "[::ffff:127.0.0.1]:1", "off"] {
        serve(&[&URLS[..], &["--admin-listen", address]].concat(), &[]).unwrap();
    }
    let token = [("VALUATION_ADMIN_TOKEN", "0123456789abcdef")];
    let config = serve(&[&URLS[..], &["--admin-listen", "0.0.0.0:9000"]].concat(), &token).unwrap();
    assert!(config.admin_token.is_some());
}

#[test]
fn the_demo_needs_nothing_and_takes_its_own_flags() {
    let demo = |flags: &[&str]| {
        let cli = Cli::try_parse_from(["valuation-server", "demo"].iter().chain(flags)).unwrap();
        let Command::Demo(args) = cli.command else { panic!("not demo") };
        let url = |text| BaseUrl::parse(text).unwrap();
        let config = args.config(Path::new("d.sqlite"), url("http://s"), url("http://p"));
        (args, config)
    };
    let (args, config) = demo(&[]);
    let config = config.unwrap();
    assert_eq!((args.scenario, args.quick), (None, false));
    assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(config.database, Path::new("d.sqlite").into());
    assert_eq!(config.revert_after, Duration::from_secs(30));
    let flags = ["--scenario", "outage", "--quick", "--listen", "127.0.0.1:0", "--rescue", "off"];
    let (args, config) = demo(&flags);
    let config = config.unwrap();
    assert_eq!((args.scenario, args.quick), (Some(Scenario::Outage), true));
    assert_eq!((config.listen.port(), config.rescue), (0, false));
    assert_eq!(config.revert_after, Duration::from_secs(5));
    for flags in [&["--revert-after", "7s"][..], &[&flags[..3], &["--revert-after", "7s"]].concat()]
    {
        assert_eq!(demo(flags).1.unwrap().revert_after, Duration::from_secs(7), "{flags:?}");
    }
    assert!(error(demo(&["--window", "x"]).1).starts_with("--window: \"x\" is not "));

    let (args, config) = demo(&["--nodes", "3", "--scenario", "outage"]);
    assert_eq!((args.nodes, args.bus()), (Some(3), DemoBus::Udp));
    assert_eq!(config.unwrap().window, Duration::from_secs(3), "a story has several outages");
    assert_eq!(demo(&["--nodes", "2"]).1.unwrap().window, Duration::from_secs(60));
    for flags in [&["--nodes", "1"][..], &["--nodes", "10"], &["--cluster", "redis"]] {
        assert!(Cli::try_parse_from([&["valuation-server", "demo"], flags].concat()).is_err());
    }
}
