//! Another configuration takes effect in a running server.

use std::time::Duration;

use valuation_server::config::Setting;
use valuation_server::demo::simulator::{Fault, Mode, Pace, Simulator};
use valuation_server::domain::{LogHead, Provider};
use valuation_server::providers::BaseUrl;

use crate::app_harness::{TestApp, broken, provider, with_supercar};
use crate::http_harness::{Client, get};
use crate::stub::{GOOD_JSON, Stub, response};
use crate::tls_stub::{Authority, TlsStub};

const SUPERCAR: &str = "SuperCar Valuations";
const PREMIUM: &str = "Premium Car Valuations";

async fn simulator(provider: Provider) -> Simulator {
    Simulator::start(provider, ([127, 0, 0, 1], 0).into(), Pace::INSTANT).await.unwrap()
}

/// The settings by their keys.
fn keys(settings: &[Setting]) -> Vec<&'static str> {
    settings.iter().map(|setting| setting.key()).collect()
}

#[tokio::test]
async fn the_policy_is_replaced_and_the_counts_of_the_window_stay() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 3).await;
    assert_eq!(app.route(), (Provider::SuperCar, 3, 3));
    let applied = app.apply(&[(Setting::MinCalls, "3"), (Setting::RevertAfter, "7m")]);
    assert_eq!(keys(&applied.changed), ["min-calls", "revert-after"]);
    assert_eq!(applied.waiting, []);
    assert_eq!(app.route().0, Provider::Premium, "the counts exceed the new threshold");
    let view = app.view().await;
    assert_eq!([&view["policy"]["min-calls"], &view["policy"]["revert-after"]], ["3", "7m"]);
    let events = app.look("/admin/failovers/valuations/events").await.json();
    assert_eq!(events[0]["kind"], "configuration");
    assert_eq!(events[0]["message"], "configuration: min-calls = 3, revert-after = 7m");
    let applied = app.apply(&[(Setting::MinCalls, "3"), (Setting::RevertAfter, "7m")]);
    assert_eq!(applied, Default::default(), "the same again");
    let again = app.look("/admin/failovers/valuations/events").await.json();
    assert_eq!(again, events, "and it is no event");
}

#[tokio::test]
async fn other_urls_of_the_providers_are_asked() {
    let app = TestApp::start().await;
    let (supercar, premium) =
        (simulator(Provider::SuperCar).await, simulator(Provider::Premium).await);
    assert_eq!(provider(&app.put("A").await), SUPERCAR);
    let mut config = with_supercar(app.config(&[]), supercar.base_url());
    config.premium_url = premium.base_url();
    let applied = app.live.apply(config).unwrap();
    assert_eq!(keys(&applied.changed), ["supercar-url", "premium-url"]);
    assert_eq!(provider(&app.put("B").await), SUPERCAR);
    supercar.set_fault(broken());
    assert_eq!(provider(&app.put("C").await), PREMIUM);
    assert_eq!((app.calls(), supercar.calls(), premium.calls()), ((1, 0), 2, 1));
}

#[tokio::test]
async fn a_running_request_ends_with_the_provider_and_the_deadline_that_it_began_with() {
    let app = TestApp::start().await;
    app.supercar.set_fault(Fault::always(Mode::Hang));
    let mut running = app.ask_and_wait(&app.supercar, "A", 1).await;
    let other = simulator(Provider::SuperCar).await;
    let config = app.config(&[(Setting::ProviderTimeout, "50ms"), (Setting::Rescue, "off")]);
    app.live.apply(with_supercar(config, other.base_url())).unwrap();
    assert_eq!(provider(&app.put("B").await), SUPERCAR);
    other.set_fault(Fault::always(Mode::Hang));
    let answer = app.put("C").await;
    assert_eq!(answer.status, 503, "after 50 ms, and without a rescue");
    app.supercar.set_fault(Fault::default());
    assert_eq!(app.supercar.calls(), 1);
    // Its deadline is five seconds; then it is rescued.
    assert_eq!(provider(&running[0].answer().await), PREMIUM);
}

#[tokio::test]
async fn premiums_other_range_is_taken() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    let lowest = async |vrm| app.put(vrm).await.json()["lowestValue"].clone();
    let before = lowest("A1").await;
    app.apply(&[(Setting::PremiumRange, "dealership")]);
    let answer = app.operate(&forget("A1")).await;
    assert_eq!(answer.status, 204);
    assert_ne!(lowest("A1").await, before);
}

fn forget(vrm: &str) -> String {
    format!("DELETE /admin/valuations/{vrm} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[tokio::test]
async fn client_errors_count_as_failures_from_the_change_on() {
    let app = TestApp::start().await;
    app.supercar.set_fault(Fault::always(Mode::Status(401)));
    app.put_many("A", 2).await;
    assert_eq!(app.route(), (Provider::SuperCar, 2, 0));
    app.apply(&[(Setting::ClientErrorStreak, "failure")]);
    assert_eq!(provider(&app.put("B").await), PREMIUM);
    assert_eq!(app.route(), (Provider::SuperCar, 3, 1));
}

#[tokio::test]
async fn a_long_stay_on_the_fallback_is_warned_of_by_the_new_limit() {
    let app = TestApp::start().await;
    app.order(r#"{"updateState":"FORCE_FALLBACK"}"#).await;
    app.put("A").await;
    app.advance(10);
    let warned = async || app.look("/readyz?verbose").await.body.contains("--fallback-warning");
    assert!(!warned().await);
    app.apply(&[(Setting::FallbackWarning, "5s")]);
    assert!(warned().await);
    app.apply(&[(Setting::FallbackWarning, "off")]);
    assert!(!warned().await);
}

#[tokio::test]
async fn what_a_call_to_premium_costs_is_shown_by_the_new_price() {
    let app = TestApp::start().await;
    let cost = async || app.look("/page/history").await.body.contains("£0.35");
    assert!(!cost().await);
    app.apply(&[(Setting::FallbackPrice, "0.35")]);
    assert!(cost().await);
}

#[tokio::test]
async fn fewer_vehicles_may_be_asked_about_at_once_and_more_than_at_the_start_wait_for_a_restart() {
    let app = TestApp::with(&[(Setting::MaxPuts, "2")]).await;
    app.supercar.set_fault(Fault::always(Mode::Hang));
    assert_eq!(keys(&app.apply(&[(Setting::MaxPuts, "1")]).changed), ["max-puts"]);
    let running = app.ask_and_wait(&app.supercar, "A", 1).await;
    assert_eq!(app.put("B").await.status, 503);
    let applied = app.apply(&[(Setting::MaxPuts, "3"), (Setting::MinCalls, "4")]);
    assert_eq!(keys(&applied.changed), ["min-calls"]);
    assert_eq!(keys(&applied.waiting), ["max-puts"]);
    assert_eq!(app.put("B").await.status, 503);
    let applied = app.apply(&[(Setting::MaxPuts, "2")]);
    assert_eq!((keys(&applied.changed), applied.waiting), (vec!["min-calls", "max-puts"], vec![]));
    app.supercar.set_fault(Fault::default());
    assert_eq!(app.put("B").await.status, 200);
    drop(running);
}

#[tokio::test]
async fn fewer_clients_may_be_connected_at_once_and_none_is_cut_off() {
    let app = TestApp::start().await;
    let mut first = Client::connect(app.address).await;
    let root = get("/");
    first.send(&root).await;
    assert_eq!(first.answer().await.status, 200);
    app.apply(&[(Setting::MaxConnections, "1")]);
    assert_eq!(app.get("A").await.status, 503);
    first.send(&root).await;
    assert_eq!(first.answer().await.status, 200);
    app.apply(&[(Setting::MaxConnections, "2")]);
    assert_eq!(app.get("A").await.status, 404);
}

#[tokio::test]
async fn front_ends_of_other_origins_are_allowed_on_connections_that_are_open_already() {
    let app = TestApp::start().await;
    let mut client = Client::connect(app.address).await;
    let origin = "https://cars.example";
    let root = get("/").replace("Host: x\r\n", &format!("Host: x\r\nOrigin: {origin}\r\n"));
    for (allowed, header) in [("off", None), (origin, Some(origin)), ("off", None)] {
        app.apply(&[(Setting::AllowOrigin, allowed)]);
        client.send(&root).await;
        assert_eq!(client.answer().await.header("access-control-allow-origin"), header);
    }
}

#[tokio::test]
async fn another_admin_token_is_wanted_at_once_and_ends_the_sessions_of_the_earlier_one() {
    const OLD: &str = "the-earlier-token-of-all";
    const NEW: &str = "the-later-token-of-all";
    let app = TestApp::with(&[(Setting::AdminToken, OLD)]).await;
    let status = async |header: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n");
        app.operate(&request).await.status
    };
    let bearer = |token| format!("Authorization: Bearer {token}");
    let body = format!("token={OLD}");
    let login = format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = app.operate(&login).await;
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap();
    let cookie = format!("Cookie: {cookie}");
    assert_eq!((status(&bearer(OLD)).await, status(&cookie).await), (200, 200));
    let applied = app.apply(&[(Setting::AdminToken, NEW)]);
    assert_eq!(keys(&applied.changed), ["admin-token"]);
    assert_eq!((status(&bearer(OLD)).await, status(&cookie).await), (401, 401));
    assert_eq!(status(&bearer(NEW)).await, 200);
    app.apply(&[]);
    assert_eq!(status("Accept: */*").await, 200, "none is needed on loopback");
}

#[tokio::test]
async fn the_newest_head_of_the_log_is_sent_along_from_the_change_on() {
    let app = TestApp::start().await;
    let stub = Stub::start(vec![response("200 OK", GOOD_JSON.as_bytes())]).await;
    let url = BaseUrl::parse(&stub.url()).unwrap();
    for (anchor, vrm) in [("off", "A"), ("on", "B"), ("off", "C")] {
        let config = app.config(&[(Setting::AnchorLog, anchor)]);
        app.live.apply(with_supercar(config, url.clone())).unwrap();
        assert_eq!(provider(&app.put(vrm).await), SUPERCAR);
    }
    let heads = stub.heads().into_iter().map(|head| {
        let mut lines = head.lines().map(str::to_ascii_lowercase);
        let value = lines.find_map(|line| Some(line.strip_prefix("audit-log-head: ")?.to_owned()));
        value.map(|value| value.parse::<LogHead>().unwrap().last_id)
    });
    assert_eq!(heads.collect::<Vec<_>>(), [None, Some(1), None]);
}

#[tokio::test]
async fn a_client_certificate_that_is_renewed_in_its_file_is_shown_after_the_next_apply() {
    let (own, other) = (Authority::new(), Authority::new());
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{GOOD_JSON}", GOOD_JSON.len());
    let version = &rustls::version::TLS13;
    let stub = TlsStub::start(&own.identity("127.0.0.1"), Some(&own), version, answer).await;
    let path = own.file("client.pem", &other.identity("valuation-server"));
    let (ca, cert) = (own.trusted(), path.to_str().unwrap());
    let app = TestApp::start().await;
    let apply = || {
        let files =
            [(Setting::ProviderCa, ca.to_str().unwrap()), (Setting::ProviderClientCert, cert)];
        let config = app.config(&files);
        app.live.apply(with_supercar(config, BaseUrl::parse(&stub.url()).unwrap()))
    };
    apply().unwrap();
    assert_eq!(provider(&app.put("A").await), PREMIUM, "SuperCar refuses the certificate");
    std::fs::write(&path, own.identity("valuation-server")).unwrap();
    assert_eq!(keys(&apply().unwrap().changed), [""; 0]);
    assert_eq!(provider(&app.put("B").await), SUPERCAR);

    std::fs::write(&path, "remember the milk").unwrap();
    let error = apply().unwrap_err().to_string();
    assert!(error.contains(&format!("--provider-client-cert {cert}")), "{error}");
    assert_eq!(provider(&app.put("C").await), SUPERCAR, "the earlier one goes on");
}

#[tokio::test]
async fn a_configuration_with_one_wrong_setting_leaves_everything_as_it_was() {
    let app = TestApp::start().await;
    let (before, events) = (app.providers.config(), "/admin/failovers/valuations/events");
    let missing = app.folder.path().join("missing.pem");
    let other = [
        (Setting::MinCalls, "3"),
        (Setting::Rescue, "off"),
        (Setting::AllowOrigin, "https://cars.example"),
        (Setting::AdminToken, "a-token-that-nobody-has"),
        (Setting::MaxPuts, "1"),
    ];
    let wrong = (Setting::ProviderCa, missing.to_str().unwrap());
    let error = app.live.apply(app.config(&[&other[..], &[wrong]].concat())).unwrap_err();
    assert!(error.to_string().contains("--provider-ca"), "{error}");
    assert_eq!(app.providers.config(), before);
    assert_eq!(app.look(events).await.json(), serde_json::json!([]));
    assert_eq!(app.apply(&other).changed.len(), other.len(), "the others alone are right");
}

#[tokio::test]
async fn what_an_operator_changed_stays_over_what_the_sources_say_and_is_checked_with_it() {
    let app = TestApp::start().await;
    assert_eq!(app.amend(r#"{"slow-call":"2s","min-calls":7}"#).await.status, 200);
    let applied = app.apply(&[(Setting::MinCalls, "5"), (Setting::Window, "30s")]);
    assert_eq!(keys(&applied.changed), ["window"]);
    assert_eq!(keys(&applied.waiting), ["min-calls", "slow-call"], "the next start has no 7");
    let policy = app.view().await["policy"].clone();
    assert_eq!([&policy["min-calls"], &policy["window"], &policy["slow-call"]], ["7", "30s", "2s"]);

    let error = app.live.apply(app.config(&[(Setting::ProviderTimeout, "1s")])).unwrap_err();
    assert!(error.to_string().starts_with("slow-call: \"2s\" is not"), "{error}");
    assert!(error.to_string().contains("an operator's change: take it back"), "{error}");
    assert_eq!(app.providers.config().provider_timeout, Duration::from_secs(5));
    assert_eq!(app.view().await["policy"], policy);
}

#[tokio::test]
async fn what_a_running_server_cannot_change_waits_for_a_restart() {
    let app = TestApp::start().await;
    let applied = app.apply(&[
        (Setting::Listen, "127.0.0.1:1"),
        (Setting::LogFormat, "json"),
        (Setting::Durability, "normal"),
        (Setting::ClusterName, "others"),
        (Setting::Rescue, "off"),
    ]);
    assert_eq!(keys(&applied.changed), ["rescue"]);
    assert_eq!(keys(&applied.waiting), ["listen", "log-format", "durability", "cluster-name"]);
    let message = "configuration: rescue = off, waiting for a restart: listen, log-format, durability, cluster-name";
    let events = app.look("/admin/failovers/valuations/events").await.json();
    assert_eq!(events[0]["message"], message);
    assert_eq!(keys(&app.apply(&[]).changed), ["rescue"]);
}
