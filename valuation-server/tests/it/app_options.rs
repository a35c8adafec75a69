//! What decides beside the failure rate: probing, a gradual return, slow and stalled calls, a watched
//! fallback, `Retry-After`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::ManualClock;
use tower::ServiceExt;
use valuation_server::app::{Providers, State};
use valuation_server::config::{Config, Ratio, Setting, StallLimit};
use valuation_server::demo::simulator::{Fault, Mode};
use valuation_server::domain::Provider;
use valuation_server::providers::BaseUrl;

use crate::app_harness::{TestApp, broken, provider};
use crate::http_harness::{Client, put};
use crate::stub::{Act, GOOD_JSON, Stub, request, response};

const SUPERCAR: &str = "SuperCar Valuations";
const PREMIUM: &str = "Premium Car Valuations";

type Told = Arc<Mutex<Vec<(State, String)>>>;

/// Collects the changes of the route, in words.
fn listen(providers: &Providers<ManualClock>) -> Told {
    let told = Told::default();
    let teller = Arc::clone(&told);
    providers.on_transition(move |transition| {
        teller.lock().unwrap().push((transition.state, transition.because.clone()));
    });
    told
}

fn told(told: &Told) -> Vec<(State, String)> {
    std::mem::take(&mut *told.lock().unwrap())
}

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
        while app.supercar.calls() < 11 {
            tokio::task::yield_now().await;
        }
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
    assert_eq!((status.provider, status.state), (Provider::Premium, State::Probing));
    assert_eq!((status.reverts_in, status.calls), (None, 0));
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
async fn a_gradual_return_spreads_a_growing_share_until_all_calls_are_back() {
    let app = after_an_outage(&[(Setting::GradualReturn, "100s")]).await;
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
    assert_eq!((status.provider, status.state), (Provider::SuperCar, State::Returning));
    assert_eq!(status.reverts_in, seconds(100));
    app.advance(50);
    assert!((10..=12).contains(&share("B").await));
    app.advance(50);
    assert_eq!(share("C").await, 20);
    let status = app.providers.status();
    assert_eq!((status.state, status.calls, status.reverts_in), (State::Primary, 20, None));
    let returning = "the time on the fallback is over; all calls in 1m 40s; counts start from zero";
    let back = "the gradual return is over; counts start from zero";
    let expected = [(State::Returning, returning.to_owned()), (State::Primary, back.to_owned())];
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

/// Ten calls to a SuperCar that takes so long by the manual clock, and answers well.
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
    assert_eq!(providers.status().provider, Provider::Premium);
    let because = "10 of its last 10 calls were slow; back in 5m".to_owned();
    assert_eq!(told(&heard), [(State::Fallback, because)]);
}

#[tokio::test]
async fn calls_that_take_just_the_time_are_not_slow() {
    let time = Duration::from_secs(2);
    let (providers, _) = ten_calls_of(time, &[(Setting::SlowCall, "2s")]).await;
    let status = providers.status();
    assert_eq!((status.provider, status.calls, status.failures), (Provider::SuperCar, 10, 0));
}

#[tokio::test]
async fn a_trip_by_failures_says_so_where_slow_calls_are_watched_as_well() {
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
    assert_eq!(providers.status().provider, Provider::SuperCar);
    assert_eq!(told(&heard), []);
}

/// Clients that wait for a valuation of a new car each, from a provider that hangs.
async fn wait_for(
    app: &TestApp,
    mark: &str,
    cars: u64,
    asked: impl Fn(&TestApp) -> u64,
) -> Vec<Client> {
    let (mut clients, before) = (Vec::new(), asked(app));
    for car in 0..cars {
        let mut client = Client::connect(app.address).await;
        client.send(put(&format!("/valuations/{mark}{car}"), "{\"mileage\": 1}")).await;
        clients.push(client);
    }
    while asked(app) < before + cars {
        tokio::task::yield_now().await;
    }
    clients
}

fn supercar(app: &TestApp) -> u64 {
    app.supercar.calls()
}

fn premium(app: &TestApp) -> u64 {
    app.premium.calls()
}

const AN_HOUR: (Setting, &str) = (Setting::ProviderTimeout, "1h");

#[tokio::test]
async fn a_supercar_that_hangs_is_left_before_its_calls_time_out() {
    let app = TestApp::with(&[AN_HOUR, (Setting::StalledCalls, "2s")]).await;
    let heard = listen(&app.providers);
    app.supercar.set_fault(Fault::always(Mode::Hang));
    let _waiting = wait_for(&app, "A", 50, supercar).await;
    app.clock.advance(Duration::from_millis(2_500));
    assert_eq!(provider(&app.put("B").await), PREMIUM);
    assert_eq!(app.supercar.calls(), 50);
    let because = "50 of 50 calls were stalled; back in 5m".to_owned();
    assert_eq!(told(&heard), [(State::Fallback, because)]);
    // The same after the revert.
    app.advance(300);
    let _waiting_too = wait_for(&app, "C", 50, supercar).await;
    app.clock.advance(Duration::from_millis(2_500));
    assert_eq!(provider(&app.put("D").await), PREMIUM);
}

#[tokio::test]
async fn stalled_calls_may_be_limited_by_number_and_while_calls_go_on() {
    let app = TestApp::with(&[AN_HOUR]).await;
    let heard = listen(&app.providers);
    let answer = app.amend(r#"{"stalled-calls":"2s","stalled-limit":5}"#).await;
    let policy = answer.json()["policy"].clone();
    assert_eq!([&policy["stalled-calls"], &policy["stalled-limit"]], ["2s", "5"]);
    app.supercar.set_fault(Fault::always(Mode::Hang));
    let _waiting = wait_for(&app, "A", 5, supercar).await;
    app.clock.advance(Duration::from_millis(2_500));
    assert_eq!(provider(&app.put("B").await), PREMIUM);
    let because = "5 calls were stalled; back in 5m".to_owned();
    assert_eq!(told(&heard), [(State::Fallback, because)]);
}

#[tokio::test]
async fn a_premium_that_fails_too_brings_the_calls_back_before_its_time_is_over() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    let heard = listen(&app.providers);
    app.supercar.set_fault(Fault::NONE);
    app.premium.set_fault(broken());
    // SuperCar answers as the last resort; that attempt is counted nowhere. The rescue of the call
    // that tripped was the first call of Premium's time, and succeeded.
    assert_eq!(app.put_many("B", 9).await, [200; 9]);
    assert_eq!(app.route(), (Provider::SuperCar, 0, 0));
    let because = "Premium is failing too (9 of its last 10 calls failed), before its time is over; \
                   counts start from zero";
    assert_eq!(told(&heard), [(State::Primary, because.to_owned())]);
    assert_eq!(app.premium.calls(), 19);
    assert_eq!(provider(&app.put("C").await), SUPERCAR);
    assert_eq!((app.premium.calls(), app.route().1), (19, 1));
    let events = app.look("/admin/failovers/valuations/events?limit=1").await.json();
    assert_eq!(events[0]["cause"], "fallback_failing");
    let message = events[0]["message"].as_str().unwrap();
    assert!(message.starts_with("revert: SuperCar is asked first: Premium is fail"), "{message}");
}

#[tokio::test]
async fn a_premium_that_hangs_brings_them_back_by_stalled_calls() {
    let app = TestApp::with(&[AN_HOUR, (Setting::StalledCalls, "2s")]).await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    let heard = listen(&app.providers);
    app.supercar.set_fault(Fault::NONE);
    app.premium.set_fault(Fault::always(Mode::Hang));
    let _waiting = wait_for(&app, "B", 20, premium).await;
    app.clock.advance(Duration::from_millis(2_500));
    let _last = wait_for(&app, "C", 1, premium).await;
    assert_eq!(provider(&app.put("D").await), SUPERCAR);
    let (state, because) = told(&heard).remove(0);
    assert_eq!(state, State::Primary);
    assert!(because.starts_with("Premium is failing too ("), "{because}");
    assert!(because.contains("calls were stalled)"), "{because}");
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
    for car in 0..30 {
        let quote = providers.quotes().oneshot(request(&format!("A{car}"))).await.unwrap();
        assert_eq!(quote.provider(), Provider::Premium);
    }
    assert_eq!(providers.status().state, State::Fallback);
}

#[tokio::test]
async fn without_watching_a_premium_that_fails_keeps_the_calls_and_the_setting_can_be_changed() {
    let app = TestApp::with(&[(Setting::WatchFallback, "off"), (Setting::Rescue, "off")]).await;
    app.supercar.set_fault(broken());
    app.premium.set_fault(broken());
    app.put_many("A", 60).await;
    assert_eq!((app.calls(), app.route().0), ((10, 50), Provider::Premium));
    let answer = app.amend(r#"{"watch-fallback":"on"}"#).await;
    assert_eq!(answer.json()["policy"]["watch-fallback"], "on");
    // What was counted before is enough.
    assert_eq!(app.route().0, Provider::SuperCar);
}

#[tokio::test]
async fn a_premium_that_does_not_know_the_vehicles_keeps_the_calls() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    app.supercar.set_fault(Fault::NONE);
    app.premium.set_fault(Fault::always(Mode::Status(404)));
    assert_eq!(app.put_many("B", 30).await, [404; 30]);
    assert_eq!(app.route().0, Provider::Premium);
}

/// Both are broken: on SuperCar's route Premium's rescues fail, and that ends no time of its own.
#[tokio::test]
async fn rescues_by_premium_before_the_trip_do_not_shorten_its_time() {
    let app = TestApp::with(&[(Setting::MinCalls, "20")]).await;
    app.supercar.set_fault(broken());
    app.premium.set_fault(broken());
    app.put_many("A", 20).await;
    assert_eq!(app.route().0, Provider::Premium);
    // The rescue of the call that tripped came after the trip.
    app.put_many("B", 18).await;
    assert_eq!(app.route().0, Provider::Premium);
    app.put("C").await;
    assert_eq!(app.route(), (Provider::SuperCar, 0, 0));
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
        ("gradual-return", shown(|config| config.gradual_return = Some(Duration::ZERO))),
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
