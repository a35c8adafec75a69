//! The simulated providers, asked by the real services.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use valuation_server::config::Ratio;
use valuation_server::demo::simulator::{Fault, Mode, Pace, Simulator};
use valuation_server::domain::{ErrorCode, Provider, QuoteError};

use crate::store_support::until;
use crate::stub::{AMPLE, alone, ask, premium, supercar};

async fn start(provider: Provider) -> Simulator {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Simulator::start(provider, anywhere, Pace::INSTANT).await.unwrap()
}

fn url(simulator: &Simulator) -> String {
    simulator.base_url().to_string()
}

/// Sends one request by hand; the answer's status and body.
async fn http(address: SocketAddr, method: &str, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn both_answer_the_same_question_the_same_way_and_each_in_its_format() {
    let (cheap, dear) = (start(Provider::SuperCar).await, start(Provider::Premium).await);
    let (mut one, mut two) = (supercar(&url(&cheap), AMPLE), premium(&url(&dear), AMPLE));
    for vrm in ["AA99BCD", "é/?#", "a b", "🚗"] {
        let first = ask(&mut one, vrm).await.0.unwrap();
        assert_eq!(ask(&mut one, vrm).await.0.unwrap(), first);
        assert_eq!(first.provider(), Provider::SuperCar);
        assert_eq!(ask(&mut two, vrm).await.0.unwrap().provider(), Provider::Premium);
    }
    assert_eq!((cheap.calls(), dear.calls()), (8, 4));
}

#[tokio::test]
async fn each_fault_looks_like_what_it_is_called() {
    let simulator = start(Provider::SuperCar).await;
    let mut service = supercar(&url(&simulator), AMPLE);
    for (mode, code, status) in [
        (Mode::Status(500), ErrorCode::Status, Some(500)),
        (Mode::Status(503), ErrorCode::Status, Some(503)),
        (Mode::Status(429), ErrorCode::Status, Some(429)),
        (Mode::Status(404), ErrorCode::Status, Some(404)),
        (Mode::Garbage, ErrorCode::Unusable, Some(200)),
        (Mode::Reset, ErrorCode::Reset, None),
    ] {
        simulator.set_fault(Fault::always(mode));
        let (_, call) = ask(&mut service, "AA99BCD").await;
        assert_eq!((call.error.unwrap().0, call.response_code), (code, status), "{mode}");
    }
    simulator.set_fault(Fault::always(Mode::Hang));
    let (_, call) = ask(&mut supercar(&url(&simulator), Duration::from_millis(200)), "A").await;
    assert_eq!(call.error.unwrap().0, ErrorCode::Timeout);
    simulator.set_fault(Fault::always(Mode::Slow));
    let (result, call) = ask(&mut service, "AA99BCD").await;
    assert!(result.is_ok() && call.duration >= Pace::INSTANT.slow);
    simulator.set_fault(Fault::NONE);
    assert!(ask(&mut service, "AA99BCD").await.0.is_ok());
    assert_eq!(simulator.calls(), 9);
}

#[tokio::test]
async fn a_rate_affects_an_exact_share_of_the_calls() {
    let simulator = start(Provider::SuperCar).await;
    let third: Ratio = "1/3".parse().unwrap();
    simulator.set_fault(Fault::share(Mode::Status(503), third));
    let mut service = supercar(&url(&simulator), AMPLE);
    let mut failed = 0;
    for _ in 0..30 {
        failed += u32::from(ask(&mut service, "AA99BCD").await.0.is_err());
    }
    assert_eq!(failed, 10);
}

#[tokio::test]
async fn the_fault_is_switched_and_shown_over_http() {
    let simulator = start(Provider::SuperCar).await;
    let at = simulator.address();
    let (status, body) = http(at, "GET", "/fault").await;
    assert_eq!(status, 200);
    assert_eq!(
        body,
        "{\"provider\":\"SuperCar Valuations\",\"mode\":\"ok\",\"rate\":\"1/1\",\"calls\":0}\n"
    );
    assert_eq!(http(at, "POST", "/fault?mode=500").await.0, 200);
    assert_eq!(http(at, "GET", "/valuations/A").await.0, 500);
    let (_, body) = http(at, "POST", "/fault?mode=503&rate=0.5").await;
    assert!(body.contains("\"mode\":\"503\",\"rate\":\"1/2\",\"calls\":1"), "{body}");
    assert_eq!(http(at, "POST", "/fault?mode=ok").await.0, 200);
    assert_eq!(http(at, "GET", "/valuations/A").await.0, 200);
    for wrong in [
        "/fault",
        "/fault?mode=x",
        "/fault?mode=503&retry-after=x",
        "/fault?rate=2",
        "/fault?mode=ok&x=1",
    ] {
        assert_eq!(http(at, "POST", wrong).await.0, 400, "{wrong}");
        assert_eq!(simulator.fault(), Fault::NONE);
    }
    assert_eq!(http(at, "PUT", "/fault?mode=500").await.0, 405);
    assert_eq!(http(at, "GET", "/elsewhere").await.0, 404);
    assert_eq!(simulator.calls(), 2);
}

#[tokio::test]
async fn a_stop_frees_the_port_and_ends_calls_that_hang() {
    let simulator = Simulator::start(Provider::SuperCar, alone(2), Pace::INSTANT).await.unwrap();
    simulator.set_fault(Fault::always(Mode::Hang));
    let at = simulator.address();
    let url = url(&simulator);
    let hanging = tokio::spawn(async move { ask(&mut supercar(&url, AMPLE), "A").await.1 });
    until("a call", || simulator.calls() != 0).await;
    simulator.stop().await;
    assert_eq!(hanging.await.unwrap().error.unwrap().0, ErrorCode::Reset);
    assert!(TcpStream::connect(at).await.is_err());
}

#[tokio::test]
async fn premiums_simulator_does_not_serve_supercars_resource() {
    let simulator = start(Provider::Premium).await;
    let (result, _) = ask(&mut supercar(&url(&simulator), AMPLE), "A").await;
    assert_eq!(result, Err(QuoteError::NotFound));
    assert_eq!(simulator.calls(), 0);
}
