//! Calls that hang at SuperCar, and a Premium that hangs or fails as well.

use std::time::Duration;

use valuation_server::app::State;
use valuation_server::config::Setting;
use valuation_server::demo::simulator::{Fault, Mode};
use valuation_server::domain::Provider;

use crate::app_harness::{TestApp, broken, listen, provider, told};

const SUPERCAR: &str = "SuperCar Valuations";
const PREMIUM: &str = "Premium Car Valuations";

/// Far longer than a test takes, and so long that one that fails ends.
const A_MINUTE: (Setting, &str) = (Setting::ProviderTimeout, "1m");

#[tokio::test]
async fn a_supercar_that_hangs_is_left_before_its_calls_time_out() {
    let app = TestApp::with(&[A_MINUTE, (Setting::StalledCalls, "2s")]).await;
    let heard = listen(&app.providers);
    app.supercar.set_fault(Fault::always(Mode::Hang));
    let _waiting = app.ask_and_wait(&app.supercar, "A", 50).await;
    app.clock.advance(Duration::from_millis(2_500));
    assert_eq!(provider(&app.put("B").await), PREMIUM);
    assert_eq!(app.supercar.calls(), 50);
    let because = "50 of 50 calls were stalled; back in 5m".to_owned();
    assert_eq!(told(&heard), [(State::Fallback, because)]);
    // The same after the revert.
    app.advance(300);
    let _waiting_too = app.ask_and_wait(&app.supercar, "C", 50).await;
    app.clock.advance(Duration::from_millis(2_500));
    assert_eq!(provider(&app.put("D").await), PREMIUM);
}

#[tokio::test]
async fn stalled_calls_may_be_limited_by_number_and_while_calls_go_on() {
    let app = TestApp::with(&[A_MINUTE]).await;
    let heard = listen(&app.providers);
    let answer = app.amend(r#"{"stalled-calls":"2s","stalled-limit":5}"#).await;
    let policy = answer.json()["policy"].clone();
    assert_eq!([&policy["stalled-calls"], &policy["stalled-limit"]], ["2s", "5"]);
    app.supercar.set_fault(Fault::always(Mode::Hang));
    let _waiting = app.ask_and_wait(&app.supercar, "A", 5).await;
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
    let app = TestApp::with(&[A_MINUTE, (Setting::StalledCalls, "2s")]).await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    let heard = listen(&app.providers);
    app.supercar.set_fault(Fault::NONE);
    app.premium.set_fault(Fault::always(Mode::Hang));
    let _waiting = app.ask_and_wait(&app.premium, "B", 20).await;
    app.clock.advance(Duration::from_millis(2_500));
    let _last = app.ask_and_wait(&app.premium, "C", 1).await;
    assert_eq!(provider(&app.put("D").await), SUPERCAR);
    let (state, because) = told(&heard).remove(0);
    assert_eq!(state, State::Primary);
    assert!(because.starts_with("Premium is failing too ("), "{because}");
    assert!(because.contains("calls were stalled)"), "{because}");
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
