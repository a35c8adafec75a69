//! The head of the log goes out with provider calls, and `report --verify` holds it against the file.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use failover::clock::ManualClock;
use tokio::sync::oneshot;
use valuation_server::app::App;
use valuation_server::config::{Config, Setting};
use valuation_server::domain::LogHead;
use valuation_server::providers::BaseUrl;

use crate::http_harness::{Client, put};
use crate::process_harness::binary;
use crate::store_support::{Place, at_once, until};
use crate::stub::{Stub, response};

/// The values of the header in each request that came.
fn heads(stub: &Stub) -> Vec<Option<String>> {
    let value = |head: &String| {
        head.lines()
            .find_map(|line| line.strip_prefix("audit-log-head: "))
            .map(|value| value.trim().to_owned())
    };
    stub.heads().iter().map(value).collect()
}

/// Two PUTs to a server whose providers both fail: each is asked by each PUT.
async fn asked(place: &Place, settings: &[(Setting, &str)]) -> [Vec<Option<String>>; 2] {
    let stub = || Stub::start(vec![response("500 Oops", b"")]);
    let (supercar, premium) = (stub().await, stub().await);
    let any = || "127.0.0.1:0".to_owned();
    let mut flags = BTreeMap::from([(Setting::Listen, any()), (Setting::AdminListen, any())]);
    flags.extend(settings.iter().map(|(setting, value)| (*setting, (*value).to_owned())));
    let url = |stub: &Stub| BaseUrl::parse(&stub.url()).unwrap();
    let config = Config::with_providers(&flags, &place.path(), url(&supercar), url(&premium));
    let app = App::start_on(&config.unwrap(), ManualClock::new()).await.unwrap();
    let (address, store) = (app.address(), app.store().clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(app.run(async { drop(stopped.await) }));
    for (at, vrm) in ["AA99BCD", "AB99BCD"].into_iter().enumerate() {
        let mut client = Client::connect(address).await;
        client.send(&put(&format!("/valuations/{vrm}"), "{\"mileage\": 10000}")).await;
        assert_eq!(client.answer().await.status, 503);
        // A failed PUT is answered before its calls are stored.
        let stored = || at_once(store.calls(None, 10)).unwrap().len();
        until("its calls are stored", || stored() >= 2 * (at + 1)).await;
    }
    drop(stop);
    task.await.unwrap();
    [heads(&supercar), heads(&premium)]
}

async fn verify(arguments: &[&str], database: &Path) -> (i32, String, String) {
    let mut command = binary();
    command.arg("report").arg("--database").arg(database).arg("--verify").args(arguments);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn each_provider_sees_the_newest_head_and_its_access_log_convicts_a_forger() {
    let place = Place::new();
    let seen = asked(&place, &[(Setting::AnchorLog, "on")]).await;
    for heads in &seen {
        assert_eq!(heads.len(), 2, "{seen:?}");
        assert_eq!(heads[0], None);
        let head = heads[1].as_ref().unwrap();
        assert_eq!(head.parse::<LogHead>().unwrap().last_id, 2);
    }
    assert_eq!(seen[0], seen[1]);
    let head = seen[0][1].clone().unwrap();
    let log = place.folder.path().join("heads.txt");
    std::fs::write(&log, format!("-\n\"{head}\"\n\n{head}\n")).unwrap();
    let at_log = format!("@{}", log.display());

    let (code, out, error) = verify(&["--witness", &at_log, &head], &place.path()).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(
        out.starts_with("verified: 4 rows, ids 1 to 4, are as they were sealed; the head is 4-")
    );

    let forger = place.neighbour();
    forger.execute_batch("UPDATE ProviderLogs SET outcome = 'success' WHERE id = 2").unwrap();
    let database = place.path();
    let (code, out, _) = verify(&[database.to_str().unwrap()], Path::new("nothing.sqlite")).await;
    assert_eq!(code, 1);
    assert!(out.contains("valuations.sqlite: row 2 was changed\n"), "{out}");
    forger
        .execute_batch(
            "DELETE FROM log_chain; DELETE FROM call_hours; DELETE FROM call_durations;
            UPDATE rollup_mark SET countedTo = 0",
        )
        .unwrap();
    let store = place.open();
    while store.catch_up().await.unwrap() {}
    store.shutdown().await;
    assert_eq!(verify(&[], &place.path()).await.0, 0);
    let (code, out, _) = verify(&["--witness", &at_log], &place.path()).await;
    assert_eq!(code, 1);
    assert!(
        out.contains(&format!("{head} was seen, and no record of the chain ends with row 2")),
        "{out}"
    );
    assert!(out.ends_with("not as it was sealed: 1 finding in 4 rows\n"), "{out}");
}

#[tokio::test]
async fn no_head_is_sent_by_default() {
    let place = Place::new();
    let seen = asked(&place, &[]).await;
    assert_eq!(seen, [vec![None, None], vec![None, None]]);
}

#[tokio::test]
async fn wrong_witnesses_and_flags_are_refused_with_what_would_be_right() {
    let place = Place::new();
    let folder = place.folder.path().join("heads.txt");
    std::fs::write(&folder, "-\n12-ab\n").unwrap();
    let at_log = format!("@{}", folder.display());
    for (arguments, part) in [
        (
            &["--witness", "12"][..],
            "12 is no head of the log; write it as in the header audit-log-head",
        ),
        (&["--witness", &at_log], "line 2: 12-ab is no head"),
        (&["--witness", "@/nothing/there"], "name a text file with one head per line"),
        (&["--exact"], "cannot be used with"),
        (&["--from", "2026-10"], "cannot be used with"),
    ] {
        let (code, out, error) = verify(arguments, &place.path()).await;
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?} {error}");
        assert!(error.contains(part), "{part} in {error}");
    }
    let (code, _, error) = verify(&[], &place.path()).await;
    assert_eq!(code, 1);
    assert!(error.contains("valuations.sqlite"), "{error}");
}
