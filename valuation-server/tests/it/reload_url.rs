//! A configuration at a URL that changes while it is watched.

use std::time::{Duration, Instant};

use valuation_server::document::Timing;

use crate::config_server::{Behaviour, ConfigServer, parameter};
use crate::reload_harness::{QUICK, REFUSED, Watched};

async fn watch(behaviour: Behaviour, timing: Timing) -> (ConfigServer, Watched) {
    let server = ConfigServer::start(behaviour, "min-calls = 1\n").await;
    let place = server.url();
    let watched = start(place, timing).await;
    (server, watched)
}

/// The read at the start blocks.
async fn start(place: String, timing: Timing) -> Watched {
    let context = tokio::runtime::Handle::current();
    let started = tokio::task::spawn_blocking(move || {
        let _context = context.enter();
        Watched::start(place.as_ref(), &[("VALUATION_CONFIG_TOKEN", "t0p-s3cret")], timing)
    });
    started.await.unwrap()
}

/// The same document again is no change, and another one is.
async fn is_quiet_until_a_change(server: &ConfigServer, watched: &mut Watched) {
    server.until_asked(5).await;
    assert!(watched.is_quiet());
    server.set("min-calls = 2\n");
    assert_eq!(watched.next().await.min_calls, 2);
}

fn bytes(status: &str, more: &str) -> Behaviour {
    Behaviour::Bytes(format!("HTTP/1.1 {status}\r\n{more}\r\n").into_bytes())
}

#[tokio::test]
async fn a_key_of_consul_takes_effect_when_it_changes_by_queries_that_wait() {
    let (server, mut watched) = watch(Behaviour::Consul, QUICK).await;
    // At the start, at the start of the watch, and the one that waits.
    server.until_asked(3).await;
    for value in 2..5 {
        server.set(&format!("min-calls = {value}\n"));
        assert_eq!(watched.next().await.min_calls, value);
    }
    server.until_asked(6).await;
    let heads = server.heads();
    let indices: Vec<_> = heads.iter().map(|head| parameter(head, "index")).collect();
    assert_eq!(indices, [None, None, Some("100"), Some("101"), Some("102"), Some("103")]);
    for head in &heads {
        assert!(head.starts_with("get /v1/kv/valuation-server?raw"), "{head}");
        assert!(head.contains("\r\nauthorization: bearer t0p-s3cret\r\n"), "{head}");
    }
    assert_eq!(parameter(&heads[2], "wait"), Some("60000ms"));
    assert!(!format!("{:?}", watched.status).contains("s3cret"));
    watched.until_counts([3, 0, 0]).await;
}

#[tokio::test]
async fn a_wait_that_ends_without_a_change_and_an_index_without_a_new_text_change_nothing() {
    let wait = Duration::from_millis(20);
    let (server, mut watched) = watch(Behaviour::Consul, Timing { wait, ..QUICK }).await;
    server.until_asked(6).await;
    server.touch();
    server.until_asked(9).await;
    assert!(watched.is_quiet());
    server.set("min-calls = 2\n");
    assert_eq!(watched.next().await.min_calls, 2);
    watched.until_counts([1, 0, 0]).await;
}

#[tokio::test]
async fn an_index_that_goes_backwards_is_forgotten_and_the_next_change_is_seen() {
    let (server, mut watched) = watch(Behaviour::Consul, QUICK).await;
    server.until_asked(3).await;
    server.restore("min-calls = 2\n", 7);
    assert_eq!(watched.next().await.min_calls, 2);
    server.until_asked(5).await;
    server.set("min-calls = 3\n");
    assert_eq!(watched.next().await.min_calls, 3);
    let heads = server.heads();
    let indices: Vec<_> =
        heads.iter().skip(2).take(3).map(|head| parameter(head, "index")).collect();
    assert_eq!(indices, [Some("100"), None, Some("7")]);
}

#[tokio::test]
async fn a_server_whose_index_always_changes_is_not_asked_in_a_busy_loop() {
    let pause = Duration::from_millis(10);
    let began = Instant::now();
    let (server, mut watched) = watch(Behaviour::Restless, Timing { pause, ..QUICK }).await;
    server.until_asked(12).await;
    // The first two are the read at the start and the one at the start of the watch.
    assert!(began.elapsed() >= pause * 10, "{:?}", began.elapsed());
    assert!(watched.is_quiet());
}

#[tokio::test]
async fn a_document_with_a_tag_is_asked_for_conditionally() {
    let (server, mut watched) = watch(Behaviour::Tagged, QUICK).await;
    is_quiet_until_a_change(&server, &mut watched).await;
    let heads = server.heads();
    assert!(!heads[0].contains("if-none-match") && !heads[1].contains("if-none-match"));
    assert!(heads[2..].iter().all(|head| head.contains("if-none-match: \"")), "{heads:?}");
}

#[tokio::test]
async fn a_server_without_tags_and_index_is_polled_and_the_same_text_is_no_change() {
    let (server, mut watched) = watch(Behaviour::Plain, QUICK).await;
    is_quiet_until_a_change(&server, &mut watched).await;
}

#[tokio::test]
async fn a_document_that_is_wrong_is_refused_by_its_setting_and_place_and_the_old_one_stays() {
    for behaviour in [Behaviour::Consul, Behaviour::Tagged] {
        let (server, mut watched) = watch(behaviour, QUICK).await;
        for (text, words) in [
            ("min-calls = 0\n", format!("min-calls ({}, line 1): \"0\" is not", server.url())),
            ("[{\"Value\": \"\"}]", "is not TOML in line 1".to_owned()),
            (&format!("max-puts = {REFUSED}\n"), "max-puts: too much".to_owned()),
        ] {
            server.set(text);
            let found = watched.refusal().await;
            assert!(found.contains(&words), "{found}");
            assert!(watched.is_quiet());
            server.set("min-calls = 2\n");
            assert_eq!(watched.next().await.min_calls, 2);
            watched.until(|seen| seen.refused.is_none()).await;
            server.set("min-calls = 3\n");
            assert_eq!(watched.next().await.min_calls, 3);
        }
        watched.until_counts([6, 3, 0]).await;
    }
}

#[tokio::test]
async fn a_document_that_cant_be_read_changes_nothing_until_it_can() {
    let elsewhere = ConfigServer::start(Behaviour::Plain, "min-calls = 9\n").await;
    let redirect = format!("location: {}\r\ncontent-length: 0\r\n", elsewhere.url());
    let huge = format!("content-length: {}\r\n", 1 << 21);
    for (way, words) in [
        (bytes("500 Oops", "content-length: 0\r\n"), "the answer is 500"),
        (bytes("404 Not Found", "content-length: 0\r\n"), "is there such a document?"),
        (bytes("403 Forbidden", "content-length: 0\r\n"), "is VALUATION_CONFIG_TOKEN right"),
        (bytes("302 Found", &redirect), "redirects are not followed"),
        (bytes("304 Not Modified", ""), "304"),
        (bytes("200 OK", &huge), "longer than 1048576 bytes"),
        (Behaviour::Flood, "longer than 1048576 bytes"),
        (bytes("200 OK", "content-encoding: gzip\r\ncontent-length: 0\r\n"), "compressed"),
        (bytes("200 OK", "content-length: 9\r\n"), "there is no answer"),
        (Behaviour::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\xff".to_vec()), "UTF-8"),
        (Behaviour::Bytes(b"\0\x01garbage\r\n\r\n".to_vec()), "there is no answer"),
        (Behaviour::Bytes(Vec::new()), "there is no answer"),
    ] {
        let (server, mut watched) = watch(Behaviour::Consul, QUICK).await;
        server.behave(way);
        let found = watched.trouble().await;
        assert!(found.contains(words), "{found}");
        // Some of the same streak.
        server.until_asked(server.heads().len() + 3).await;
        assert!(watched.is_quiet());
        server.behave(Behaviour::Consul);
        watched.until(|seen| seen.unreachable.is_none()).await;
        server.set("min-calls = 2\n");
        assert_eq!(watched.next().await.min_calls, 2);
        watched.until_counts([1, 0, 1]).await;
    }
    assert_eq!(elsewhere.heads(), Vec::<String>::new(), "the token is sent to no other server");
}

#[tokio::test]
async fn a_server_that_hangs_or_has_gone_is_given_up_at_a_deadline() {
    let deadline = Duration::from_millis(50);
    let (server, mut watched) = watch(Behaviour::Tagged, Timing { deadline, ..QUICK }).await;
    server.behave(Behaviour::Hang);
    watched.until_trouble("no whole answer within 50ms").await;
    server.behave(Behaviour::Tagged);
    server.set("min-calls = 2\n");
    assert_eq!(watched.next().await.min_calls, 2);
    drop(server);
    let found = watched.until_trouble("there is no answer: ").await;
    assert!(!found.contains("127.0.0.1:"), "{found}");
}

#[tokio::test]
async fn a_document_that_is_asked_for_is_read_at_once_also_during_a_wait() {
    let (server, mut watched) = watch(Behaviour::Consul, QUICK).await;
    server.until_asked(3).await;
    server.set_silently("min-calls = 2\n");
    watched.asked.notify_one();
    assert_eq!(watched.next().await.min_calls, 2);
    server.until_asked(5).await;
    let heads = server.heads();
    let indices: Vec<_> = heads.iter().skip(2).map(|head| parameter(head, "index")).collect();
    assert_eq!(indices, [Some("100"), None, Some("100")]);
}

/// So a fleet does not ask in step.
#[tokio::test]
async fn the_time_until_the_next_try_varies_and_grows_to_its_limit() {
    use valuation_server::document::{Access, Place, Watch};
    let place = Place::parse("http://127.0.0.1:1/".as_ref()).unwrap();
    let mut watch = Watch::new(&place, &Access::default(), Timing::default()).unwrap().unwrap();
    let poll = Timing::default().poll;
    let pauses: Vec<_> = (0..20).map(|_| watch.pause()).collect();
    assert!(pauses.iter().all(|pause| (poll..=poll * 5 / 4).contains(pause)), "{pauses:?}");
    assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    for longest in [500, 1_000, 2_000, 4_000, 5_000, 5_000] {
        watch.read(false).await.unwrap_err();
        let longest = Duration::from_millis(longest);
        let pauses: Vec<_> = (0..20).map(|_| watch.pause()).collect();
        assert!(pauses.iter().all(|pause| (longest / 2..=longest).contains(pause)), "{pauses:?}");
    }
}
