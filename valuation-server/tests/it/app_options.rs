//! Options that are off by default: probing, a ramp, slow calls, `Retry-After`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use failover::clock::ManualClock;
use tower::ServiceExt;
use valuation_server::app::{self, Providers, State};
use valuation_server::config::{Config, Ratio, Setting, StallLimit};
use valuation_server::demo::simulator::{Fault, Mode};
use valuation_server::domain::Provider;
use valuation_server::providers::BaseUrl;

use crate::app_harness::{TestApp, Told, broken, listen, provider, told};
use crate::store_support::until;
use crate::stub::{Act, GOOD_JSON, Stub, request, response};

const SUPERCAR: &str = "SuperCar Valuations";
const PREMIUM: &str = "Premium Car Valuations";

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

/// Started with these settings, and at the end of SuperCar's time on the fallback.
async fn after_an_outage(settings: &[(Setting, &str)]) -> TestApp {
    let app = TestApp::with(settings).await;
    app.supercar.set_fault(broken());
    app.put_many("OUT", 10).await;
    assert_eq!(app.route().0, Provider::Premium);
    app.advance(300);
    app
}

#[tokio::test]
async fn one_call_probes_supercar_while_the_others_stay_on_the_fallback() {
    let app = after_an_outage(&[(Setting::Probes, "1"), (Setting::ProviderTimeout, "1h")]).await;
    app.supercar.set_fault(Fault::always(Mode::Hang));
    let others = async {
        until("the probe", || app.supercar.calls() >= 11).await;
        for car in 0..5 {
            assert_eq!(provider(&app.put(&format!("B{car}")).await), PREMIUM);
        }
    };
    tokio::select! {
        answer = app.put("A") => panic!("{answer:?}"),
        () = others => {}
    }
    assert_eq!(app.supercar.calls(), 11);
    let status = app.providers.status();
    assert_eq!((app::provider(status.route), status.state), (Provider::Premium, State::Probing));
    assert_eq!((status.reverts_in, status.tally.calls()), (None, 0));
}

#[tokio::test]
async fn three_probes_that_succeed_bring_all_calls_back_with_an_empty_window() {
    let app = after_an_outage(&[(Setting::Probes, "1")]).await;
    let heard = listen(&app.providers);
    app.supercar.set_fault(Fault::NONE);
    for car in 0..3 {
        assert_eq!(app.providers.status().state, State::Probing);
        assert_eq!(provider(&app.put(&format!("A{car}")).await), SUPERCAR);
    }
    assert_eq!(app.route(), (Provider::SuperCar, 0, 0));
    assert_eq!(app.providers.status().state, State::Primary);
    let probing = "the time on the fallback is over; the others stay with Premium";
    let back = "its probes succeeded; counts start from zero";
    let expected = [(State::Probing, probing.to_owned()), (State::Primary, back.to_owned())];
    assert_eq!(told(&heard), expected);
}

#[tokio::test]
async fn a_probe_that_fails_is_rescued_and_the_fallback_keeps_the_calls() {
    let app = after_an_outage(&[(Setting::Probes, "1")]).await;
    let heard = listen(&app.providers);
    assert_eq!(provider(&app.put("A").await), PREMIUM);
    assert_eq!(app.providers.status().reverts_in, seconds(300));
    assert_eq!(told(&heard)[1], (State::Fallback, "a probe failed; back in 5m".to_owned()));
    app.put_many("B", 5).await;
    assert_eq!(app.supercar.calls(), 11);
}

#[tokio::test]
async fn a_ramp_spreads_a_growing_share_until_all_calls_are_back() {
    let app = after_an_outage(&[(Setting::RampUp, "100s")]).await;
    let heard = listen(&app.providers);
    app.supercar.set_fault(Fault::NONE);
    let mut before = 10;
    let mut share = async |mark: &str| {
        app.put_many(mark, 20).await;
        let asked = app.supercar.calls() - before;
        before += asked;
        asked
    };
    assert!((1..=3).contains(&share("A").await));
    let status = app.providers.status();
    assert_eq!((app::provider(status.route), status.state), (Provider::SuperCar, State::Ramping));
    assert_eq!(status.reverts_in, seconds(100));
    app.advance(50);
    assert!((10..=12).contains(&share("B").await));
    app.advance(50);
    assert_eq!(share("C").await, 20);
    let status = app.providers.status();
    assert_eq!((status.state, status.tally.calls(), status.reverts_in), (State::Primary, 20, None));
    let returning = "the time on the fallback is over; all calls in 1m 40s; counts start from zero";
    let back = "the ramp is over; counts start from zero";
    let expected = [(State::Ramping, returning.to_owned()), (State::Primary, back.to_owned())];
    assert_eq!(told(&heard), expected);
}

#[tokio::test]
async fn a_retry_after_of_seven_seconds_makes_the_time_on_the_fallback_seven_seconds() {
    for status in [429, 503] {
        let app = TestApp::with(&[(Setting::FollowRetryAfter, "on")]).await;
        app.supercar.set_fault(Fault::always(Mode::Status(status)).retry_after(7));
        app.put_many("A", 10).await;
        assert_eq!(app.providers.status().reverts_in, seconds(7));
        app.supercar.set_fault(Fault::NONE);
        app.advance(6);
        assert_eq!(provider(&app.put("B").await), PREMIUM);
        app.advance(1);
        assert_eq!(provider(&app.put("C").await), SUPERCAR);
    }
}

#[tokio::test]
async fn a_retry_after_is_followed_up_to_ten_minutes_and_one_of_zero_says_nothing() {
    for (asked, followed) in [(0, 300), (1, 1), (600, 600), (86_400, 600)] {
        let app = TestApp::with(&[(Setting::FollowRetryAfter, "on")]).await;
        app.supercar.set_fault(Fault::always(Mode::Status(503)).retry_after(asked));
        app.put_many("A", 10).await;
        assert_eq!(app.providers.status().reverts_in, seconds(followed), "{asked}");
    }
}

#[tokio::test]
async fn what_is_left_of_a_retry_after_at_the_trip_is_followed_from_one_second_on() {
    let app = TestApp::with(&[(Setting::FollowRetryAfter, "on")]).await;
    app.supercar.set_fault(Fault::always(Mode::Status(503)).retry_after(2));
    app.put_many("A", 9).await;
    app.clock.advance(Duration::from_millis(1_500));
    app.supercar.set_fault(broken());
    app.put("B").await;
    assert_eq!(app.providers.status().reverts_in, seconds(1));
}

/// Ten calls to a SuperCar that takes this long by the manual clock, and gives quotes.
async fn ten_calls_of(time: Duration, flags: &[(Setting, &str)]) -> (Providers<ManualClock>, Told) {
    let clock = ManualClock::new();
    let acts = vec![Act::Advance(clock.clone(), time), response("200 OK", GOOD_JSON.as_bytes())];
    let supercar = Stub::start(acts).await;
    let config = config(&supercar.url(), flags);
    let providers = Providers::new(&config, clock).unwrap();
    let heard = listen(&providers);
    let quotes = providers.quotes();
    for car in 0..10 {
        let quote = quotes.clone().oneshot(request(&format!("A{car}"))).await.unwrap();
        assert_eq!(quote.provider(), Provider::SuperCar);
    }
    (providers, heard)
}

/// Premium is at an address where nobody is.
fn config(supercar: &str, flags: &[(Setting, &str)]) -> Config {
    let flags: BTreeMap<_, _> =
        flags.iter().map(|(setting, text)| (*setting, (*text).to_owned())).collect();
    let [supercar, premium] =
        [supercar, "http://127.0.0.1:9"].map(|url| BaseUrl::parse(url).unwrap());
    Config::with_providers(&flags, Path::new("unused"), supercar, premium).unwrap()
}

#[tokio::test]
async fn calls_that_are_answered_but_too_slow_fail_over() {
    let time = Duration::from_secs(3);
    let (providers, heard) = ten_calls_of(time, &[(Setting::SlowCall, "2s")]).await;
    assert_eq!(app::provider(providers.status().route), Provider::Premium);
    let because = "10 of its last 10 calls were slow; back in 5m".to_owned();
    assert_eq!(told(&heard), [(State::Fallback, because)]);
}

#[tokio::test]
async fn calls_that_take_just_the_time_are_not_slow() {
    let time = Duration::from_secs(2);
    let (providers, _) = ten_calls_of(time, &[(Setting::SlowCall, "2s")]).await;
    let status = providers.status();
    assert_eq!(
        (app::provider(status.route), status.tally.calls(), status.tally.failures),
        (Provider::SuperCar, 10, 0)
    );
}

#[tokio::test]
async fn a_trip_by_failures_says_so_even_if_slow_calls_are_watched_too() {
    let app = TestApp::with(&[(Setting::SlowCall, "2s")]).await;
    let heard = listen(&app.providers);
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    let because = "10 of its last 10 calls failed; back in 5m".to_owned();
    assert_eq!(told(&heard), [(State::Fallback, because)]);
}

#[tokio::test]
async fn with_the_defaults_a_retry_after_is_not_followed_and_all_calls_return_at_once() {
    let app = TestApp::start().await;
    app.supercar.set_fault(Fault::always(Mode::Status(503)).retry_after(7));
    app.put_many("A", 10).await;
    assert_eq!(app.providers.status().reverts_in, seconds(300));
    app.advance(300);
    assert_eq!(app.providers.status().state, State::Primary);
    app.supercar.set_fault(Fault::NONE);
    app.put_many("B", 20).await;
    assert_eq!(app.calls(), (30, 10));
    assert_eq!(app.route(), (Provider::SuperCar, 20, 0));
}

#[tokio::test]
async fn with_the_defaults_no_call_is_slow() {
    let (providers, heard) = ten_calls_of(Duration::from_secs(4), &[]).await;
    assert_eq!(app::provider(providers.status().route), Provider::SuperCar);
    assert_eq!(told(&heard), []);
}

#[tokio::test]
async fn premium_may_be_slower_than_supercars_slow_call() {
    let clock = ManualClock::new();
    let body = "<root><ValuationPrivateSaleMinimum>1</ValuationPrivateSaleMinimum>\
        <ValuationPrivateSaleMaximum>2</ValuationPrivateSaleMaximum></root>";
    let time = Act::Advance(clock.clone(), Duration::from_secs(3));
    let premium = Stub::start(vec![time, response("200 OK", body.as_bytes())]).await;
    let mut config = config("http://127.0.0.1:9", &[(Setting::SlowCall, "2s")]);
    config.premium_url = BaseUrl::parse(&premium.url()).unwrap();
    let providers = Providers::new(&config, clock).unwrap();
    let heard = listen(&providers);
    for car in 0..30 {
        let quote = providers.quotes().oneshot(request(&format!("A{car}"))).await.unwrap();
        assert_eq!(quote.provider(), Provider::Premium);
    }
    assert_eq!(told(&heard).len(), 1, "it trips, and does not come back");
}

#[test]
fn as_many_probes_as_the_setting_takes_make_a_policy() {
    let most = config("http://127.0.0.1:9", &[(Setting::Probes, "1000")]);
    assert!(Providers::new(&most, ManualClock::new()).is_ok());
}

#[test]
fn a_policy_that_makes_no_sense_is_named_by_its_setting() {
    let sound = config("http://127.0.0.1:9", &[]);
    let shown = |change: fn(&mut Config)| {
        let mut config = sound.clone();
        change(&mut config);
        Providers::new(&config, ManualClock::new()).unwrap_err().to_string()
    };
    for (setting, shown) in [
        ("probes", shown(|config| config.probes = Some(1_001))),
        ("ramp-up", shown(|config| config.ramp_up = Some(Duration::ZERO))),
        ("slow-call", shown(|config| config.slow_call = Some(Duration::ZERO))),
        (
            "slow-rate",
            shown(|config| {
                config.slow_call = Some(Duration::from_secs(1));
                config.slow_rate = Ratio::ONE;
            }),
        ),
        ("stalled-calls", shown(|config| config.stalled_calls = Some(Duration::ZERO))),
        (
            "stalled-limit",
            shown(|config| {
                config.stalled_calls = Some(Duration::from_secs(1));
                config.stalled_limit = StallLimit::Calls(0);
            }),
        ),
    ] {
        assert!(shown.starts_with(&format!("{setting} makes no sense: ")), "{shown}");
    }
}
