//! HTTP/2 by the frame, for clients that behave as no library would.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

/// A frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a connection begins with.
pub(crate) fn opening(settings: &[u8]) -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, settings)[..]].concat()
}

/// The setting by which the other side may send no byte of a body.
pub(crate) const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    connect_with(address, &[]).await
}

pub(crate) async fn connect_with(address: SocketAddr, settings: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&opening(settings)).await.unwrap();
    stream
}

/// A field as it is, in no table (RFC 7541, section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let low = |number: usize| number.to_le_bytes()[0];
        let mut coded = vec![low(text.len().min(127))];
        if let Some(mut rest) = text.len().checked_sub(127) {
            while rest >= 128 {
                coded.push(low(rest % 128 + 128));
                rest /= 128;
            }
            coded.push(low(rest));
        }
        [coded, text.as_bytes().to_vec()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

/// The fields of a request's head.
pub(crate) fn head(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x")];
    pseudo.iter().chain(fields).flat_map(|(name, value)| field(name, value)).collect()
}

/// A request whose body has not come.
pub(crate) fn put_without_its_body(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = [&[("content-type", "application/json")], fields].concat();
    frame(HEADERS, END_HEADERS, stream, &head("PUT", "/valuations/AB1", &fields))
}

pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path, &[]))
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The next frame; `None` at the end of the connection, in order or not.
pub(crate) async fn next(stream: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
    let mut payload = vec![0; number(&head[..3]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload })
}

/// The next frame of this kind on this stream; answers pings on the way, as one that is alive.
pub(crate) async fn next_of(stream: &mut TcpStream, kind: u8, number: u32) -> Option<Frame> {
    loop {
        let came = next(stream).await?;
        if (came.kind, came.stream) == (kind, number) {
            return Some(came);
        }
        if (came.kind, came.flags) == (PING, 0) {
            let _ = stream.write_all(&frame(PING, ACK, 0, &came.payload)).await;
        }
    }
}

/// Ready when all that was sent before has been looked at.
pub(crate) async fn looked_at(stream: &mut TcpStream) {
    stream.write_all(&frame(PING, 0, 0, b"look at!")).await.unwrap();
    loop {
        let came = next_of(stream, PING, 0).await.expect("the connection ended");
        if came.flags == ACK && came.payload == b"look at!" {
            return;
        }
    }
}
