//! A connection that breaks during the commit: whether the batch is stored only the database knows.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use valuation_server::store::{Backend, Store, StoreError};

use crate::contract::on_postgres;
use crate::postgres_server::PostgresServer;
use crate::store_support::{entry, in_time, until, vrm};

/// What a relay does with the next COMMIT.
#[derive(Clone, Copy)]
enum Cut {
    Nothing = 0,
    /// The server gets it, and its answer is lost.
    After = 1,
    /// The server does not get it.
    Before = 2,
    /// The server gets nothing more, and does not hear that its client has gone: as when a machine loses its power.
    Silence = 3,
}

/// A relay in front of PostgreSQL.
struct Relay {
    address: SocketAddr,
    cut: Arc<AtomicU8>,
}

impl Relay {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicU8::new(Cut::Nothing as u8));
        let next = Arc::clone(&cut);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let (client, upstream) = (Arc::new(client), Arc::new(upstream));
                let gone = Arc::new(Mutex::new(false));
                let (to, from, cut, is_gone) = (
                    Arc::clone(&upstream),
                    Arc::clone(&client),
                    Arc::clone(&next),
                    Arc::clone(&gone),
                );
                thread::spawn(move || requests(&from, &to, &cut, &is_gone));
                thread::spawn(move || answers(&upstream, &client, &gone));
            }
        });
        Self { address, cut }
    }

    fn next(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst) == Cut::Nothing as u8
    }
}

/// Passes requests on, up to the COMMIT that is to be cut.
fn requests(from: &TcpStream, to: &TcpStream, cut: &AtomicU8, gone: &Mutex<bool>) {
    let mut buffer = [0; 1 << 16];
    loop {
        let (mut reader, mut writer) = (from, to);
        let Ok(count @ 1..) = reader.read(&mut buffer) else { break };
        let bytes = &buffer[..count];
        let commit = bytes.windows(7).rposition(|bytes| bytes == b"COMMIT\0");
        let wanted = cut.load(Ordering::SeqCst);
        match commit {
            // The message's kind and length are in the five bytes before.
            Some(at) if wanted == Cut::Before as u8 => {
                cut.store(Cut::Nothing as u8, Ordering::SeqCst);
                *gone.lock().unwrap() = true;
                let _ = writer.write_all(&bytes[..at - 5]);
            }
            Some(_) if wanted == Cut::Silence as u8 => {
                cut.store(Cut::Nothing as u8, Ordering::SeqCst);
                // Until the other thread ends the connection.
                while let Ok(1..) = reader.read(&mut buffer) {}
                return;
            }
            Some(_) if wanted == Cut::After as u8 => {
                cut.store(Cut::Nothing as u8, Ordering::SeqCst);
                *gone.lock().unwrap() = true;
                let _ = writer.write_all(bytes);
            }
            _ => {
                if writer.write_all(bytes).is_err() {
                    break;
                }
                continue;
            }
        }
        // The server reads what it was sent before it sees the end.
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Both);
        return;
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Passes answers back, unless they are lost.
fn answers(from: &TcpStream, to: &TcpStream, gone: &Mutex<bool>) {
    let mut buffer = [0; 1 << 16];
    loop {
        let (mut reader, mut writer) = (from, to);
        let Ok(count @ 1..) = reader.read(&mut buffer) else { break };
        if *gone.lock().unwrap() || writer.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

async fn a_commit_is_cut(cut: Cut) {
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    let other = server.client(&database);
    let relay = Relay::to(server.socket());
    let store = open_through(&relay, server, &database).await;
    store.commit(entry("AA1")).await.unwrap();

    relay.next(cut);
    let error = store.commit(entry("AA2")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(relay.is_cut());
    until("the writer is well again", || store.can_store()).await;

    assert_eq!(store.find(&vrm("AA2")).await.unwrap(), entry("AA2").valuation);
    store.commit(entry("AA3")).await.unwrap();
    let marks = other.rows(r#"SELECT "vrm" FROM "ProviderLogs" ORDER BY "id""#).unwrap();
    let marks: Vec<_> = marks.iter().map(|row| row[0].as_deref().unwrap()).collect();
    assert_eq!(marks, ["AA1", "AA2", "AA3"]);
    let sums = other.rows(r#"SELECT sum("calls") FROM "call_hours""#).unwrap();
    assert_eq!(sums, [[Some("3".to_owned())]]);
    store.shutdown().await;
    assert_eq!(store.lost_calls(), 0);
    server.forget(&database);
}

/// A store on the database through the relay.
async fn open_through(relay: &Relay, server: &PostgresServer, database: &str) -> Store {
    let mut config = on_postgres(server, database);
    let url =
        server.url(database).replace(&server.socket().to_string(), &relay.address.to_string());
    if let Backend::Postgres(postgres) = &mut config.backend {
        postgres.address = url.parse().unwrap();
    }
    Store::open(&config).await.unwrap()
}

#[tokio::test]
async fn a_server_that_vanishes_with_the_lock_of_the_head_stops_the_others_for_five_seconds_at_most()
 {
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    let relay = Relay::to(server.socket());
    let vanishing = open_through(&relay, server, &database).await;
    let other = Store::open(&on_postgres(server, &database)).await.unwrap();

    relay.next(Cut::Silence);
    let (vanished, stored) = tokio::join!(vanishing.commit(entry("AA1")), async {
        until("it holds the lock", || relay.is_cut()).await;
        in_time("the other server stores", other.commit(entry("AA2"))).await
    });
    stored.unwrap();
    assert!(matches!(vanished, Err(StoreError::Unavailable(_))), "{vanished:?}");
    // It was not gone for good: what it could not store it stores now.
    until("it is well again", || vanishing.can_store()).await;
    let marks = server.client(&database).rows(r#"SELECT "vrm" FROM "ProviderLogs" ORDER BY "id""#);
    let marks: Vec<_> = marks.unwrap().into_iter().flatten().flatten().collect();
    assert_eq!(marks, ["AA2", "AA1"]);
    for store in [vanishing, other] {
        store.shutdown().await;
    }
    server.forget(&database);
}

#[tokio::test]
async fn a_batch_whose_commit_was_not_answered_is_stored_once() {
    a_commit_is_cut(Cut::After).await;
}

#[tokio::test]
async fn a_batch_whose_commit_did_not_arrive_is_stored_once() {
    a_commit_is_cut(Cut::Before).await;
}
