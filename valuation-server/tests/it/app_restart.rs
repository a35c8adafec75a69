//! The route over a restart.

use std::time::{Duration, SystemTime};

use valuation_server::app::Ended;
use valuation_server::domain::Provider;
use valuation_server::store::{Store, StoreConfig};

use crate::app_harness::{TestApp, broken, provider};

#[tokio::test]
async fn after_a_restart_the_route_and_the_time_until_the_revert_are_as_before() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    app.advance(100);
    assert_eq!(app.providers.status().reverts_in, Some(Duration::from_secs(200)));
    let (ended, folder) = app.stop().await;
    assert_eq!(ended, Ended::Whole);

    let app = TestApp::in_folder(folder, &[]).await;
    let left = app.providers.status().reverts_in.unwrap();
    // The wall clock says how long the restart took.
    assert!((Duration::from_secs(140)..=Duration::from_secs(200)).contains(&left), "{left:?}");
    assert_eq!(provider(&app.put("B").await), Provider::Premium.name());
    assert_eq!(app.calls(), (0, 1));
    app.advance(200);
    assert_eq!(provider(&app.put("C").await), Provider::SuperCar.name());
}

#[tokio::test]
async fn the_time_that_the_restart_took_is_taken_off_the_time_until_the_revert() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    let (_, folder) = app.stop().await;
    let store =
        Store::open(&StoreConfig::new(folder.path().join("valuations.sqlite"))).await.unwrap();
    let saved = store.noted("valuations").await.unwrap().unwrap();
    let earlier = saved.at.unwrap() - Duration::from_secs(120);
    store.note("valuations", saved.text, earlier).await.unwrap();
    store.shutdown().await;

    let app = TestApp::in_folder(folder, &[]).await;
    let left = app.providers.status().reverts_in.unwrap();
    // Of 300 s; the start of the second server takes some time as well.
    assert!((Duration::from_secs(60)..=Duration::from_secs(180)).contains(&left), "{left:?}");
}

#[tokio::test]
async fn what_the_window_has_seen_is_there_after_a_stop() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 9).await;
    let (_, folder) = app.stop().await;
    let app = TestApp::in_folder(folder, &[]).await;
    assert_eq!(app.route(), (Provider::SuperCar, 9, 9));
    app.supercar.set_fault(broken());
    app.put("B").await;
    assert_eq!(app.route().0, Provider::Premium);
}

#[tokio::test]
async fn a_state_that_cannot_be_understood_keeps_no_server_from_starting() {
    for text in ["", "{\"version\":99}", "{\"version\":1,\"state\":\"sideways\"}"] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::new(folder.path().join("valuations.sqlite"))).await;
        let store = store.unwrap();
        store.note("valuations", text.to_owned(), SystemTime::now()).await.unwrap();
        store.shutdown().await;
        let app = TestApp::in_folder(folder, &[]).await;
        assert_eq!(app.route(), (Provider::SuperCar, 0, 0), "{text}");
        assert_eq!(provider(&app.put("A").await), Provider::SuperCar.name());
    }
}

#[tokio::test]
async fn what_was_called_before_a_restart_is_in_the_history() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    // Ten failures of SuperCar, each rescued by Premium; Premium alone is asked about the last two.
    app.put_many("A", 12).await;
    let (_, folder) = app.stop().await;
    let app = TestApp::in_folder(folder, &[]).await;
    let always = SystemTime::UNIX_EPOCH..SystemTime::now() + Duration::from_secs(60);
    let sums = app.store.history_totals(always).await.unwrap();
    let seen = |source| sums.get(source).map(|sum| (sum.calls, sum.failures, sum.rescues));
    assert_eq!(seen("valuations"), Some((10, 10, 0)));
    assert_eq!(seen(Provider::SuperCar.name()), Some((10, 10, 0)));
    assert_eq!(seen(Provider::Premium.name()), Some((12, 0, 10)));
    assert_eq!(sums[Provider::Premium.name()].latencies.0.iter().sum::<u64>(), 12);
}
