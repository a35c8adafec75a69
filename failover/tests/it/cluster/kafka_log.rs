//! Kafka: what only a log has.

use std::collections::BTreeMap;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use failover::cluster::bus::kafka::Kafka;
use failover::cluster::bus::{Bus, Delivery, Port};
use rskafka::chrono::DateTime;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::record::Record;
use tokio::runtime::{Builder, Runtime};

use super::brokers::{Running, Tansu};
use super::node::Node;

const PATIENCE: Duration = Duration::from_secs(20);
const TOPIC: &str = "failover.fleet";

#[tokio::test]
async fn a_node_that_joins_reads_from_the_end_of_the_log() {
    let Some(broker) = Running::<Tansu>::start() else { return };
    let first = Node::start(broker.bus(), "fleet");
    first.is_up().await;
    first.publish(1, "history");
    first.hears("history").await;
    let second = Node::start(broker.bus(), "fleet");
    second.is_up().await;
    first.publish(1, "news");
    second.hears("news").await;
    assert_eq!(second.heard().messages, [b"news"]);
}

/// A node whose receiver is busy with its first message until it is let go; on a runtime of its own, whose
/// thread it keeps.
struct Busy {
    go_on: mpsc::Sender<()>,
    delivered: mpsc::Receiver<String>,
    runtime: Runtime,
}

impl Busy {
    fn start(bus: Kafka) -> Self {
        let (go_on, busy) = mpsc::channel::<()>();
        let busy = Mutex::new(busy);
        let (heard, delivered) = mpsc::channel();
        let port = Port::new("fleet", move |delivery| match delivery {
            Delivery::Message(message) => {
                let _ = heard.send(String::from_utf8(message.to_vec()).unwrap());
                let _ = busy.lock().unwrap().recv_timeout(PATIENCE);
            }
            Delivery::Lagged(messages) => drop(heard.send(format!("lagged {messages}"))),
            Delivery::Up => drop(heard.send("up".to_owned())),
            Delivery::Down(reason) => drop(heard.send(format!("down: {reason}"))),
            _ => {}
        });
        let running = bus.run(port);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(running);
        Self { go_on, delivered, runtime }
    }

    fn next(&self) -> String {
        self.delivered.recv_timeout(PATIENCE).unwrap()
    }
}

#[tokio::test]
async fn a_reader_that_fell_far_behind_skips_to_the_end_and_says_how_many_it_missed() {
    let Some(broker) = Running::<Tansu>::start() else { return };
    let reader = Busy::start(broker.bus());
    assert_eq!(reader.next(), "up");
    let client = ClientBuilder::new(vec![format!("127.0.0.1:{}", broker.port)]).build();
    let client = client.await.unwrap();
    let log = client.partition_client(TOPIC, 0, UnknownTopicHandling::Error).await.unwrap();
    let record = |text: &str| Record {
        key: None,
        value: Some(text.into()),
        headers: BTreeMap::new(),
        timestamp: DateTime::default(),
    };
    log.produce(vec![record("first")], Compression::NoCompression).await.unwrap();
    assert_eq!(reader.next(), "first");
    let (batches, size) = (60, 1_000);
    for _ in 0..batches {
        let batch = vec![record(&"missed".repeat(10)); size];
        log.produce(batch, Compression::NoCompression).await.unwrap();
    }
    drop(reader.go_on);
    let (mut heard, mut lagged) = (0, 0);
    while heard + lagged < batches * size {
        let next = reader.delivered.recv_timeout(PATIENCE).unwrap();
        match next.strip_prefix("lagged ") {
            Some(messages) => lagged += messages.parse::<usize>().unwrap(),
            None => heard += 1,
        }
    }
    assert!(heard + lagged == batches * size && lagged > 20_000, "{heard} {lagged}");
    log.produce(vec![record("news")], Compression::NoCompression).await.unwrap();
    assert_eq!(reader.delivered.recv_timeout(PATIENCE).unwrap(), "news");
    reader.runtime.shutdown_background();
}

#[test]
fn a_wrong_url_says_what_is_wrong_and_what_is_right_without_the_password() {
    for (url, problem) in [
        ("http://me:secret@host", "scheme is `http`"),
        ("kafka://:secret@host", "not both a user and a password"),
        ("kafka://me@host", "not both a user and a password"),
        ("kafka://me:secret@host/topic", "path `topic`"),
        ("kafka://me:secret@host?mechanism=gssapi", "option `mechanism=gssapi`"),
        ("kafka://me:secret@one,two:x", "host `two:x`"),
    ] {
        let error = Kafka::from_url(url).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("kafka://[user"), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let debug = format!("{:?}", Kafka::from_url("kafka://me:secret@host").unwrap());
    assert!(debug.contains("host") && !debug.contains("secret"), "{debug}");
}
