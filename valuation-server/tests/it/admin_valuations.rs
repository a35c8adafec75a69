//! A vehicle's valuation with its log rows, and how an operator forgets it.

use serde_json::json;
use valuation_server::config::Setting;
use valuation_server::demo::simulator::{Fault, Mode};
use valuation_server::store::Store;

use crate::app_harness::{TestApp, admin_get, admin_send, broken};
use crate::http_harness::Answer;
use crate::store_support::{Place, at_once, entry, until, vrm};

async fn forget(app: &TestApp, segment: &str) -> Answer {
    let path = format!("/admin/valuations/{segment}");
    app.operate(&admin_get(&path).replace("GET", "DELETE")).await
}

#[tokio::test]
async fn a_vehicle_is_shown_with_its_valuation_and_its_log_rows_the_newest_first() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    let put = app.put("A%201").await.json();
    let path = "/admin/valuations/A%201";
    let seen = app.look(path).await;
    assert_eq!((seen.status, seen.header("content-type")), (200, Some("application/json")));
    let seen = seen.json();
    assert_eq!(seen["valuation"], put);
    assert_eq!(seen.get("problem"), None);
    let calls = seen["calls"].as_array().unwrap();
    let ids: Vec<_> = calls.iter().map(|call| call["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [2, 1]);
    assert_eq!([&calls[0]["vrm"], &calls[0]["outcome"]], ["A 1", "success"]);
    assert_eq!([&calls[0]["rescue"], &calls[1]["rescue"]], [true, false]);
    assert_eq!(calls[1]["responseCode"], 500);
    assert_eq!(calls[1]["errorCode"], "STATUS");
    assert_eq!(calls[1]["providerName"], "SuperCar Valuations");

    let one = app.look(&format!("{path}?limit=1")).await.json();
    assert_eq!(one["calls"].as_array().unwrap()[..], calls[..1]);
    for limit in ["-1", "x", "", "1001"] {
        let refused = app.look(&format!("{path}?limit={limit}")).await;
        assert_eq!((refused.status, &refused.json()["field"]), (400, &json!("limit")));
    }
}

#[tokio::test]
async fn a_vehicle_without_anything_is_not_found_and_a_wrong_segment_is_told() {
    let app = TestApp::start().await;
    for (segment, status) in [("A1", 404), ("", 400), ("%4", 400), ("ABCDEFGH", 400), ("A/B", 404)]
    {
        for answer in
            [app.look(&format!("/admin/valuations/{segment}")).await, forget(&app, segment).await]
        {
            assert_eq!(answer.status, status, "{segment}: {answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        }
    }
    let wrong = app.operate(&admin_send("POST", "/admin/valuations/A1", "{}")).await;
    let allow = Some("GET, HEAD, DELETE, OPTIONS");
    assert_eq!((wrong.status, wrong.header("allow")), (405, allow));
    // A vehicle that no provider values has log rows alone.
    app.supercar.set_fault(broken());
    app.premium.set_fault(broken());
    assert_eq!(app.put("A1").await.status, 503);
    let seen = app.look("/admin/valuations/A1").await.json();
    assert_eq!(seen["valuation"], json!(null));
    assert_eq!(seen["calls"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_forgotten_valuation_is_asked_for_again_and_leaves_its_log_rows_and_an_event() {
    let app = TestApp::start().await;
    let first = app.put("AB%C3%A91").await.json();
    assert_eq!(app.get("AB%C3%A91").await.status, 200);
    let forgotten = forget(&app, "AB%c3%a91").await;
    assert_eq!((forgotten.status, forgotten.body.as_str()), (204, ""));
    assert_eq!(app.get("AB%C3%A91").await.status, 404, "from the memory cache");
    assert_eq!(forget(&app, "AB%C3%A91").await.status, 404);
    assert_eq!(app.log().len(), 1);

    let events = app.look("/admin/failovers/valuations/events").await.json();
    let events = events.as_array().unwrap();
    assert_eq!(events.len(), 1, "what was not there is no event: {events:?}");
    assert_eq!(events[0]["kind"], "order");
    let message = events[0]["message"].as_str().unwrap();
    assert!(message.starts_with("FORGET ABé1: "), "{message}");
    assert!(message.contains(&first["lowestValue"].to_string()), "{message}");
    assert!(message.ends_with("of SuperCar Valuations"), "{message}");
    assert!(events[0]["from"].as_str().unwrap().starts_with("127.0.0.1:"));

    assert_eq!(app.put("AB%C3%A91").await.status, 200);
    assert_eq!(app.calls(), (2, 0));
    assert_eq!(app.log().len(), 2);
}

#[tokio::test]
async fn another_sites_page_can_forget_nothing() {
    let app = TestApp::start().await;
    app.put("A1").await;
    let delete = admin_get("/admin/valuations/A1").replace("GET", "DELETE");
    let foreign = delete.replace("\r\n\r\n", "\r\nOrigin: http://elsewhere.example\r\n\r\n");
    assert_eq!(app.operate(&foreign).await.status, 403);
    assert_eq!(app.get("A1").await.status, 200);
}

#[tokio::test]
async fn a_stored_row_that_makes_no_sense_is_shown_as_such_and_can_be_forgotten() {
    let app = TestApp::start().await;
    let neighbour =
        rusqlite::Connection::open(app.folder.path().join("valuations.sqlite")).unwrap();
    neighbour
        .execute_batch(
            "INSERT INTO vehicle_valuation (vrm, lowestValue, highestValue) VALUES ('A1', -5, 2)",
        )
        .unwrap();
    let seen = app.look("/admin/valuations/A1").await.json();
    assert_eq!(seen["valuation"], json!(null));
    let problem = seen["problem"].as_str().unwrap();
    assert!(problem.contains("lowestValue is -5"), "{problem}");
    assert_eq!(forget(&app, "A1").await.status, 204);
    assert_eq!(app.put("A1").await.status, 200);
}

#[tokio::test]
async fn a_valuation_that_is_under_way_is_stored_after_an_order_to_forget_the_vehicle() {
    let app = TestApp::with(&[(Setting::ProviderTimeout, "300ms")]).await;
    app.supercar.set_fault(Fault::always(Mode::Hang));
    let mut clients = app.ask_and_wait(&app.supercar, "A", 1).await;
    assert_eq!(forget(&app, "A0").await.status, 404, "there is none yet");
    assert_eq!(clients[0].answer().await.status, 200);
    assert_eq!(app.get("A0").await.status, 200);
    assert_eq!(forget(&app, "A0").await.status, 204);
    assert_eq!(app.get("A0").await.status, 404);
}

#[tokio::test]
async fn whatever_comes_together_the_memory_cache_shows_what_the_database_has() {
    let app = TestApp::start().await;
    for round in 0..50 {
        let mark = format!("A{}", round % 3);
        let (put, read, forgotten, again) =
            tokio::join!(app.put(&mark), app.get(&mark), forget(&app, &mark), app.put(&mark));
        assert_eq!((put.status, again.status), (200, 200));
        assert!(matches!(read.status, 200 | 404) && matches!(forgotten.status, 204 | 404));
        let stored = app.store.find(&vrm(&mark)).await.unwrap();
        let expected = if stored.is_some() { 200 } else { 404 };
        assert_eq!(app.get(&mark).await.status, expected, "{mark}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_write_forgets_nothing_and_says_so() {
    let app = TestApp::start().await;
    app.put("A1").await;
    let file = app.folder.path().join("valuations.sqlite");
    let away = app.folder.path().join("away");
    std::fs::rename(&file, &away).unwrap();
    let refused = forget(&app, "A1").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    std::fs::rename(&away, &file).unwrap();
    until("well again", || app.store.can_store()).await;
    assert_eq!(app.get("A1").await.status, 200);
    let events = app.look("/admin/failovers/valuations/events").await.json();
    assert_eq!(events, json!([]));
}

#[tokio::test]
async fn another_server_on_the_file_notices_a_forgotten_valuation() {
    let place = Place::new();
    let here = place.open();
    let there = Store::open(&place.config_with(|file| file.readers = 1)).await.unwrap();
    here.commit(entry("A1")).await.unwrap();
    until("the first look", || there.version() > 0).await;
    until("the commit was seen", || at_once(there.find(&vrm("A1"))).unwrap().is_some()).await;
    let (at_once, before) = (here.version(), there.version());
    assert!(here.forget(vrm("A1")).await.unwrap());
    assert!(here.version() > at_once);
    until("noticed", || there.version() > before).await;
    assert!(!there.forget(vrm("A1")).await.unwrap());
}
