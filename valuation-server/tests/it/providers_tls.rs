//! TLS to the providers: trusted authorities, the client certificate, and errors at the start.

use std::path::PathBuf;

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use valuation_server::domain::ErrorCode;
use valuation_server::providers::{BaseUrl, Transport, supercar};

use crate::process_harness::binary;
use crate::stub::{AMPLE, GOOD_JSON, ask, supercar_over};
use crate::tls_stub::{Authority, TlsStub};

const HERE: &str = "127.0.0.1";

fn answer() -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{GOOD_JSON}", GOOD_JSON.len())
}

/// Trusts this authority in addition to the system's, so that no test depends on those.
fn trusting(authority: &Authority) -> Transport {
    Transport { ca: Some(authority.trusted()), ..Transport::default() }
}

async fn failure(url: &str, transport: &Transport) -> (ErrorCode, String) {
    let (result, call) = ask(&mut supercar_over(url, AMPLE, transport), "AA99BCD").await;
    assert!(result.unwrap_err().is_provider_failure());
    call.error.unwrap()
}

#[tokio::test]
async fn a_provider_with_a_certificate_of_an_own_authority_is_asked_and_its_session_is_resumed() {
    let own = Authority::new();
    for version in [&TLS12, &TLS13] {
        let stub = TlsStub::start(&own.identity(HERE), None, version, answer()).await;
        let mut service = supercar_over(&stub.url(), AMPLE, &trusting(&own));
        for _ in 0..3 {
            let (result, call) = ask(&mut service, "AA99BCD").await;
            assert_eq!(result.unwrap().lowest().to_string(), "22350", "{call:?}");
        }
        let [first, later @ ..] = &stub.handshakes()[..] else { panic!("no handshake") };
        assert_ne!(*first, HandshakeKind::Resumed);
        assert_eq!(later, [HandshakeKind::Resumed; 2], "{version:?}");
    }
}

#[tokio::test]
async fn an_unknown_authority_another_name_and_an_expired_certificate_are_tls() {
    let (own, other) = (Authority::new(), Authority::new());
    for (identity, because) in [
        (other.identity(HERE), "UnknownIssuer"),
        (own.identity("supercar.example"), "not valid for"),
        (own.expired_identity(HERE), "expired"),
    ] {
        let stub = TlsStub::start(&identity, None, &TLS13, answer()).await;
        let (code, message) = failure(&stub.url(), &trusting(&own)).await;
        assert_eq!(code, ErrorCode::Tls, "{message}");
        assert!(message.contains(because), "{message}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_its_refusal_is_tls() {
    let (own, other) = (Authority::new(), Authority::new());
    let ours = own.file("client.pem", &own.identity("valuation-server"));
    let foreign = other.file("client.pem", &other.identity("valuation-server"));
    for version in [&TLS12, &TLS13] {
        let stub = TlsStub::start(&own.identity(HERE), Some(&own), version, answer()).await;
        let with = |certificate: &PathBuf| Transport {
            client_cert: Some(certificate.clone()),
            ..trusting(&own)
        };
        let mut service = supercar_over(&stub.url(), AMPLE, &with(&ours));
        assert!(ask(&mut service, "AA99BCD").await.0.is_ok());
        for transport in [trusting(&own), with(&foreign)] {
            let (code, message) = failure(&stub.url(), &transport).await;
            assert_eq!(code, ErrorCode::Tls, "{version:?}: {message}");
        }
    }
}

#[tokio::test]
async fn one_that_does_not_speak_tls_is_tls() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let (code, message) = failure(&url, &trusting(&Authority::new())).await;
    answering.await.unwrap();
    assert_eq!(code, ErrorCode::Tls, "{message}");
}

#[tokio::test]
async fn a_connection_that_is_reset_while_tls_is_agreed_on_is_reset() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 64]).await;
        stream.set_zero_linger().unwrap();
    });
    let (code, message) = failure(&url, &trusting(&Authority::new())).await;
    answering.await.unwrap();
    assert_eq!(code, ErrorCode::Reset, "{message}");
}

#[test]
fn a_file_that_is_missing_or_no_pem_is_a_start_error_that_names_it() {
    let own = Authority::new();
    let garbage = own.file("garbage.pem", "remember the milk");
    let broken =
        own.file("broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    let keyless = own.trusted();
    let missing = own.file("x", "").with_file_name("missing.pem");
    // Whether TLS is spoken or not: a file that was asked for and can't be used is a mistake.
    for url in ["http://127.0.0.1:1", "https://127.0.0.1:1"] {
        let base = BaseUrl::parse(url).unwrap();
        for path in [&garbage, &broken, &missing] {
            let ca = Transport { ca: Some(path.clone()), ..Transport::default() };
            let error = supercar(&base, AMPLE, &ca).unwrap_err().to_string();
            assert!(error.contains(&format!("--provider-ca {}", path.display())), "{error}");
        }
        for path in [&garbage, &broken, &missing, &keyless] {
            let identity = Transport { client_cert: Some(path.clone()), ..trusting(&own) };
            let error = supercar(&base, AMPLE, &identity).unwrap_err().to_string();
            let named = format!("--provider-client-cert {}", path.display());
            assert!(error.contains(&named), "{error}");
        }
    }
}

#[tokio::test]
async fn an_ssl_cert_file_that_cannot_be_used_is_noticed_at_the_start() {
    let own = Authority::new();
    let garbage = own.file("garbage.pem", "remember the milk");
    let missing = own.file("x", "").with_file_name("missing.pem");
    for path in [&garbage, &missing] {
        let serve = |supercar: &str| {
            let mut command = binary();
            command
                .env("SSL_CERT_FILE", path)
                .args(["serve", "--listen", "127.0.0.1:0", "--premium-url", "http://127.0.0.1:2"])
                .args(["--supercar-url", supercar, "--database"])
                .arg(path.with_file_name("v.sqlite"));
            command
        };
        let ending = serve("https://127.0.0.1:1").output();
        let output = tokio::time::timeout(AMPLE, ending).await.expect("it started").unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("SSL_CERT_FILE") && told.contains("--provider-ca"), "{told}");
        if path == &missing {
            assert!(told.contains(&path.display().to_string()), "{told}");
        }
    }
}
