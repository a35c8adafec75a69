//! The result of a stop.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{pause, resume, sleep};
use valuation_server::app::Ended;

use crate::app_harness::TestApp;
use crate::http2::{self, DATA, END_STREAM};
use crate::store_support::{at_once, in_time, until};

/// A valuation without a waiting client, whose commit is delayed by another program's lock
/// past the stop's deadline; the database itself then closes in time.
#[tokio::test]
async fn a_valuation_that_was_cut_off_is_reported_although_no_client_was_cut_off() {
    let app = TestApp::start().await;
    until("the route is saved", || at_once(app.store.noted("valuations")).unwrap().is_some()).await;
    let database = app.folder.path().join("valuations.sqlite");
    let neighbour = rusqlite::Connection::open(database).unwrap();
    neighbour.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Over HTTP/2, since over HTTP/1.1 a client that has closed its side may still wait.
    let mut client = http2::connect(app.address).await;
    client.write_all(&http2::put_without_its_body(1, &[])).await.unwrap();
    client.write_all(&http2::frame(DATA, END_STREAM, 1, b"{\"mileage\":1}")).await.unwrap();
    until("asked", || app.supercar.calls() == 1).await;
    until("with the writer", || app.store.queue().0 == 0).await;
    drop(client);
    let closed = async {
        while !app.look("/metrics").await.body.contains("http_server_open_connections 0") {
            tokio::task::yield_now().await;
        }
    };
    in_time("no connection is open", closed).await;
    // From here on time goes by as fast as nothing else happens. The stop's deadline is twice the
    // provider's and 7 s; the database's own begins after it.
    pause();
    let unlock = tokio::spawn(async move {
        sleep(Duration::from_millis(17_500)).await;
        resume();
        neighbour.execute_batch("ROLLBACK").unwrap();
    });
    let store = app.store.clone();
    let (ended, _folder) = app.stop().await;
    unlock.await.unwrap();
    assert_eq!((ended, store.lost_calls()), (Ended::CutOff, 0));
    assert_eq!(store.calls(None, 10).await.unwrap().len(), 1, "it is stored");
    assert_eq!(store.stats().failed.get(), 0, "the lock was released too late to tell");
}
